// SPDX-License-Identifier: MPL-2.0
//
// JSON-RPC 2.0 between a service and its node, as a codec: text to calls and back. What the methods
// and fields mean is in rvi.proto, part 2. rvi_core's names and HLD figure 6 are understood as
// well.
//
// Errors are {"code":N,"message":"for people","data":{"code":"unauthorized","retry_after_ms":100}}.
// `data.code` is the name to act on; N is fixed for each name (`number_of`):
//
//   -32700 the text is no JSON (data.code malformed)     -32602 bad_request
//   -32600 no JSON-RPC request (data.code bad_request)   -32603 internal
//   -32601 unknown_method
//   -32001 invalid_name        -32002 unknown_target          -32003 too_large
//   -32004 unauthenticated     -32005 unauthorized            -32006 credential_invalid
//   -32007 credential_expired  -32008 credential_not_yet_valid -32009 unknown_issuer
//   -32010 unknown_credential  -32011 signature_invalid       -32012 replay
//   -32013 timeout             -32014 outcome_unknown         -32015 busy
//   -32016 refused             -32017 malformed               -32018 limit_exceeded
//   -32019 protocol_mismatch   -32020 link_down               -32021 unreachable
//   -32022 store_failed        -32023 store_full              -32024 config_invalid
//   -32025 file_unsafe         -32026 io_failed               -32027 shutting_down
//   -32028 not_found
//   -32029 revoked
//   -32030 quarantined

#pragma once

#include "messages/envelope.hpp"
#include "messages/service_api.hpp"
#include "runtime/error.hpp"
#include "runtime/json/json.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rvi::json_rpc {

inline constexpr int parse_error = -32700;
inline constexpr int invalid_request = -32600;

/// The fixed number of an error; never changes once published.
int number_of(ec x);

struct limits {
  json::limits text{.bytes_max = size_t{12} << 20, .depth_max = 64, .nodes_max = 500'000};
  size_t batch_max = 1'000;     // calls of one JSON-RPC batch
  size_t methods_max = 256;     // of one register_service
  uint64_t timeout_ms = 60'000; // of an invoke that gives none
};

/// Why a call is not one.
struct problem {
  int number = invalid_request;
  caf::error reason;
};

struct call {
  std::string id; // the JSON value as written; empty for a notification, which is never answered
  std::variant<service_request, problem> content;

  bool is_notification() const { return id.empty(); }
};

/// A service's answer to a request of ours.
struct response {
  uint64_t id = 0;   // 0: not one of ours
  std::string error; // the error object as written; empty: it was taken
};

struct decoded {
  bool batch = false; // answers go into an array
  std::vector<std::variant<call, response>> elements;
};

/// Reads one text. What cannot be read at all comes as one call with a `problem` and the id null.
decoded decode(std::string_view text, uint64_t now_ms, const limits& bounds = {});

/// Appends the answer to the call with this id.
void append_answer(std::string& out, std::string_view id, const service_answer& answer);
void append_error(std::string& out, std::string_view id, const problem& x,
                  uint64_t retry_after_ms = 0);
void append_error(std::string& out, std::string_view id, const caf::error& x,
                  uint64_t retry_after_ms = 0);

/// One JSON value, not deeper nor of more parts than a text may be.
bool is_json(std::string_view text);

/// The error object alone, as it stands in answers and outcomes.
std::string error_object(const caf::error& x);

/// Whether a service can be handed these arguments: they come from another node. Error:
/// `malformed`.
caf::error check_arguments(const envelope& x);

/// HLD figure 32: a request to a service, to be answered under `id`. Error: of check_arguments.
caf::error append_invoke(std::string& out, uint64_t id, const envelope& x,
                         std::string_view service_signature = {});

/// HLD 8.20: an outcome to the requesting service. Errors as above.
caf::error append_reply(std::string& out, uint64_t id, const outcome_notice& x);

/// The error of an outcome as a service gets it: itself if it is JSON, else an object that quotes
/// it.
std::string foreign_error(const std::string& error);

/// HLD 10.2: a report on availability, as a notification: it is not answered.
void append_availability(std::string& out, const availability_report& x);
/// HLD 6.1.3: a value for a subscriber, as a notification.
void append_metric(std::string& out, const metric_value& x);

/// What an HTTP service answered to a POST of ours: nothing if it took it, else the error object.
std::string refusal_in(int status, std::string_view body);

} // namespace rvi::json_rpc
