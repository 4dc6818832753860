// SPDX-License-Identifier: MPL-2.0
//
// Plain appends: a response costs one allocation or none.

#include "runtime/http/encode.hpp"

#include "runtime/crypto/crypto.hpp"
#include "runtime/http/message_reader.hpp"
#include "runtime/tls/sha1.hpp"

#include <algorithm>
#include <charconv>
#include <http_parser.h>

namespace rvi::http {

namespace {

void append_number(std::string& out, uint64_t x) {
  char digits[20];
  auto end = std::to_chars(digits, digits + sizeof digits, x).ptr;
  out.append(digits, end);
}

bool is_safe(const std::pair<std::string, std::string>& header) {
  auto control = [](char x) { return (x >= '\0' && x < ' ' && x != '\t') || x == '\x7f'; };
  auto& [name, value] = header;
  return !name.empty()
         && std::all_of(name.begin(), name.end(), [](char x) { return token_char(x) != '\0'; })
         && std::none_of(value.begin(), value.end(), control);
}

} // namespace

void encode_headers(std::string& out, const header_list& headers) {
  for (auto& header : headers)
    if (is_safe(header))
      out.append(header.first).append(": ").append(header.second).append("\r\n");
}

void encode_response(std::string& out, const response_head& head, std::string_view body,
                     const header_list& extra) {
  auto bodiless = head.status / 100 == 1 || head.status == 204 || head.status == 304;
  out.reserve(out.size() + body.size() + 160);
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<uint64_t>(head.status));
  out.append(" ").append(http_status_str(static_cast<http_status>(head.status))).append("\r\n");
  if (!head.content_type.empty())
    out.append("Content-Type: ").append(head.content_type).append("\r\n");
  if (!bodiless) {
    out.append("Content-Length: ");
    append_number(out, body.size());
    out.append("\r\n");
  }
  encode_headers(out, extra);
  if (head.close)
    out.append("Connection: close\r\n");
  out.append("\r\n");
  if (!bodiless && !head.without_body)
    out.append(body);
}

bool is_word(std::string_view x) {
  return !x.empty()
         && std::none_of(x.begin(), x.end(), [](char c) { return c <= ' ' || c == '\x7f'; });
}

std::string client_connection::encode_request(std::string_view method, std::string_view target,
                                              std::string_view host, const header_list& headers,
                                              std::string_view body) {
  std::string out;
  if (!is_word(method) || !is_word(target) || !is_word(host))
    return out;
  out.reserve(body.size() + 256);
  out.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: ").append(host);
  out.append("\r\n");
  encode_headers(out, headers);
  if (method != "GET" || !body.empty()) {
    out.append("Content-Length: ");
    append_number(out, body.size());
    out.append("\r\n");
  }
  out.append("\r\n").append(body);
  return out;
}

std::string websocket_accept(std::string_view key) {
  std::string text{key};
  text.append("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  return crypto::base64(tls::sha1(text));
}

} // namespace rvi::http
