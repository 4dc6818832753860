// SPDX-License-Identifier: MPL-2.0
//
// Writes heads of messages, and what both ends of a WebSocket handshake compute.

#pragma once

#include "runtime/http/http.hpp"

namespace rvi::http {

struct response_head {
  int status = 200;
  std::string_view content_type; // empty: none
  bool close = false;
  bool without_body = false; // an answer to HEAD
};

/// Appends a whole response. Headers with control characters are left out: a line end in one would
/// forge another header or response.
void encode_response(std::string& out, const response_head& head, std::string_view body,
                     const header_list& extra);

/// Appends `Name: value` lines.
void encode_headers(std::string& out, const header_list& headers);

/// Neither empty nor with a space or control character.
bool is_word(std::string_view x);

/// Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 4.2.2).
std::string websocket_accept(std::string_view key);

} // namespace rvi::http
