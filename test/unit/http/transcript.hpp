// SPDX-License-Identifier: MPL-2.0
//
// Feeds a server connection and writes down what comes of it, once in one piece, once byte by byte
// and once in pieces of seven: all must be the same.

#pragma once

#include "runtime/http/http.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace rvi::test {

struct transcript {
  std::vector<std::string> events; // "POST /x body", "text hello", "closed reason"
  std::string output;
  bool wants_close = false;
  bool operator==(const transcript&) const = default;
};

enum class answering { at_once, never };

/// Answers each request with 200 and its body, accepts each WebSocket.
transcript
serve(std::string_view input, const http::limits& bounds = {}, answering when = answering::at_once);

/// The status of the first response in `output`.
int first_status(const std::string& output);

/// `serve` for an input that must be refused: no event but the last, and the end is wanted.
int refusal(std::string_view input, const http::limits& bounds = {});

/// A frame; masked as by a client unless told otherwise.
struct frame {
  unsigned opcode = 1;
  std::string payload;
  bool fin = true;
  bool masked = true;
  unsigned rsv = 0;
};
std::string encode(const frame& x);

/// A good opening request.
extern const std::string upgrade_request;
/// `serve` after `upgrade_request`; its request and response are cut off.
transcript serve_frames(std::string_view frames, const http::limits& bounds = {});

/// The close frame a server sends.
std::string close_frame(unsigned code, std::string_view reason);

} // namespace rvi::test
