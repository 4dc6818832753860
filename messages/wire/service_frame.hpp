// SPDX-License-Identifier: MPL-2.0
//
// The binary form of a service connection (rvi.proto, part 2, ServiceFrame): bytes to frames,
// frames to calls, and back. What calls and fields mean is the same as in JSON-RPC; what has no
// frame of its own travels as a JSON-RPC text.

#pragma once

#include "messages/service_api.hpp"
#include "messages/wire/frame.hpp"
#include "messages/wire/json_rpc.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rvi::wire {
class ServiceFrame;
}

namespace rvi::service_frame {

/// What both sides send first: a byte that begins no HTTP request, a name, a version.
inline constexpr std::string_view preface{"\0RVISVC\1", 8};

/// Bytes of a connection after the preface, both ways, with everything that is checked before a
/// frame is parsed. No socket.
class stream {
public:
  explicit stream(size_t bytes_max) : reader_(bytes_max) {}

  void receive(std::string_view bytes);
  /// The bytes of the next whole frame, valid until the next call; nothing yet. Errors:
  /// `protocol_mismatch` (another preface), `limit_exceeded`.
  expected<std::optional<std::string_view>> next();
  /// The preface has come.
  bool begun() const { return begun_; }

  /// What the functions below append to. Frames appended after `close` are lost with it.
  std::string& output() { return out_; }
  size_t pending_output() const { return out_.size(); }
  void take_output(std::vector<char>& out); // appends
  /// To be closed as soon as the output is written.
  void close() { closing_ = true; }
  bool wants_close() const { return closing_; }

private:
  wire::frame_reader reader_;
  std::string first_; // of the preface
  std::string out_;
  bool begun_ = false;
  bool closing_ = false;
};

struct hello {
  std::string token;
};
struct text {
  std::string json;
};
struct call {
  uint64_t id = 0; // 0: nobody waits for an answer
  std::variant<service_request, caf::error> content;
};
using received = std::variant<hello, text, call, json_rpc::response>;

/// Reads one frame of a service. Error: `malformed` for what is none, or none of a service's.
expected<received> decode(std::string_view bytes, uint64_t now_ms, const json_rpc::limits& bounds);

// Each appends one frame, length and all.
void append(std::string& out, const wire::ServiceFrame& x);
void append_hello(std::string& out, std::string_view token);
void append_json(std::string& out, std::string_view text);
/// The answer to the call with this id.
void append_answer(std::string& out, uint64_t id, const service_answer& answer);
void append_error(std::string& out, uint64_t id, const caf::error& x, uint64_t retry_after_ms = 0);
/// HLD figure 32. Error: of json_rpc::check_arguments.
caf::error append_invocation(std::string& out, uint64_t id, const envelope& x,
                             std::string_view service_signature = {});
/// HLD 8.20: how an earlier request ended. Error: `malformed` if its reply is no JSON.
caf::error append_ended(std::string& out, uint64_t id, const outcome_notice& x);
/// HLD 6.1.3.
void append_metric(std::string& out, const metric_value& x);

} // namespace rvi::service_frame
