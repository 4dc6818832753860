// SPDX-License-Identifier: MPL-2.0
//
// Heads of messages: lines are checked here, http_parser takes them apart, and what its lenient
// build lets through is checked again.

#include "runtime/http/message_reader.hpp"

#include <algorithm>
#include <http_parser.h>

namespace rvi::http {

namespace {

/// What the callbacks write to.
struct head_fields {
  message_head& head;
  bool in_name = false;
  bool finished = false;
};

head_fields& fields_of(http_parser* parser) {
  return *static_cast<head_fields*>(parser->data);
}

const http_parser_settings& callbacks() {
  static const http_parser_settings result = [] {
    http_parser_settings x;
    http_parser_settings_init(&x);
    x.on_url = [](http_parser* parser, const char* at, size_t n) {
      fields_of(parser).head.target.append(at, n);
      return 0;
    };
    x.on_header_field = [](http_parser* parser, const char* at, size_t n) {
      auto& fields = fields_of(parser);
      if (!fields.in_name)
        fields.head.headers.emplace_back();
      fields.in_name = true;
      fields.head.headers.back().first.append(at, n);
      return 0;
    };
    x.on_header_value = [](http_parser* parser, const char* at, size_t n) {
      auto& fields = fields_of(parser);
      fields.in_name = false;
      fields.head.headers.back().second.append(at, n);
      return 0;
    };
    x.on_headers_complete = [](http_parser* parser) {
      auto& fields = fields_of(parser);
      fields.finished = true;
      fields.head.keep_alive = http_should_keep_alive(parser) != 0;
      return 0;
    };
    return x;
  }();
  return result;
}

protocol_error describe_errno(http_errno x) {
  switch (x) {
    case HPE_INVALID_VERSION:
      return {505, "HTTP version"};
    case HPE_HEADER_OVERFLOW:
      return {431, "head too long"};
    default:
      return {400, http_errno_description(x)};
  }
}

/// Lowercases the name and trims the value; false if the name is none.
bool normalize(std::pair<std::string, std::string>& header) {
  for (auto& x : header.first) {
    x = token_char(x);
    if (x == '\0')
      return false;
  }
  auto& value = header.second;
  value.resize(trim(value).size()); // http_parser has cut the front
  return !header.first.empty();
}

/// Digits alone: no sign, no list, no empty value.
std::optional<uint64_t> parse_length(std::string_view x) {
  if (x.empty() || x.size() > 18)
    return std::nullopt;
  uint64_t result = 0;
  for (auto digit : x) {
    if (digit < '0' || digit > '9')
      return std::nullopt;
    result = result * 10 + static_cast<uint64_t>(digit - '0');
  }
  return result;
}

} // namespace

message_reader::progress message_reader::read_head(std::string_view& bytes) {
  if (bytes.empty())
    return progress::more;
  auto before = partial_.size();
  if (scanned_ == 0) {
    head_ = {};
    body_ = {};
  }
  auto piece = bytes.substr(0, bounds_.header_bytes_max - before);
  auto text = piece;
  if (before > 0) {
    partial_.append(piece);
    text = partial_;
  }
  switch (scan(text)) {
    case progress::complete:
      break;
    case progress::failed:
      return progress::failed;
    default:
      bytes.remove_prefix(piece.size());
      if (text.size() >= bounds_.header_bytes_max)
        return fail(431, "head too long");
      if (before == 0)
        partial_.assign(piece);
      return progress::more;
  }
  bytes.remove_prefix(scanned_ - before);
  auto result = parse(text.substr(first_line_, scanned_ - first_line_));
  partial_.clear();
  scanned_ = line_start_ = first_line_ = lines_ = 0;
  if (result == progress::head)
    choose_body();
  return result;
}

message_reader::progress message_reader::scan(std::string_view text) {
  // Fails at once on TLS and other binary protocols, which may never send a line end.
  if (scanned_ == 0 && text[0] != '\r' && (text[0] < 'A' || text[0] > 'Z'))
    return fail(400, "not HTTP");
  size_t end = 0;
  while ((end = text.find('\n', scanned_)) != std::string_view::npos) {
    auto start = line_start_;
    scanned_ = line_start_ = end + 1;
    if (end == start || text[end - 1] != '\r')
      return fail(400, "bare LF");
    auto line = text.substr(start, end - 1 - start);
    if (line.empty()) {
      if (lines_ > 0)
        return progress::complete;
      if (start > 0)
        return fail(400, "blank lines");
      first_line_ = line_start_;
      continue;
    }
    if (line.find('\r') != std::string_view::npos)
      return fail(400, "bare CR");
    if (line[0] == ' ' || line[0] == '\t')
      return fail(400, "folded header");
    if (lines_++ == 0)
      first_size_ = line.size();
  }
  scanned_ = text.size();
  return progress::more;
}

message_reader::progress message_reader::parse(std::string_view text) {
  http_parser parser;
  http_parser_init(&parser, kind_ == message_kind::request ? HTTP_REQUEST : HTTP_RESPONSE);
  head_fields fields{head_};
  parser.data = &fields;
  head_.headers.reserve(8);
  auto n = http_parser_execute(&parser, &callbacks(), text.data(), text.size());
  auto code = HTTP_PARSER_ERRNO(&parser);
  if (!fields.finished) {
    auto what = describe_errno(code);
    return fail(what.status, what.reason);
  }
  if (parser.http_major != 1 || parser.http_minor > 1)
    return fail(505, "HTTP version");
  head_.minor = parser.http_minor;
  head_.status = static_cast<int>(parser.status_code);
  for (auto& header : head_.headers)
    if (!normalize(header))
      return fail(400, "header name");
  if (check_framing() == progress::failed)
    return progress::failed;
  if (code != HPE_OK || n != text.size())
    return fail(400, http_errno_description(code));
  if (kind_ == message_kind::response)
    return progress::head;
  head_.method = http_method_str(static_cast<http_method>(parser.method));
  return check_request(first_size_);
}

message_reader::progress message_reader::check_request(size_t request_line_bytes) {
  constexpr size_t version_bytes = 8;
  if (head_.method.size() + 1 + head_.target.size() + 1 + version_bytes != request_line_bytes)
    return fail(400, "request line");
  auto hosts = count_headers(head_.headers, "host");
  if (hosts > 1 || (hosts == 0 && head_.minor == 1))
    return fail(400, "Host is missing or given twice");
  if (head_.method == "CONNECT")
    return fail(501, "CONNECT");
  head_.keep_alive = head_.keep_alive && head_.minor == 1;
  return check_target();
}

/// Leaves the path and query. A target with an authority must name the same one as Host.
message_reader::progress message_reader::check_target() {
  auto& target = head_.target;
  auto bad = [](char x) { return x <= ' ' || x >= '\x7f' || x == '#'; };
  if (target.empty() || std::any_of(target.begin(), target.end(), bad))
    return fail(400, "target");
  constexpr std::string_view scheme = "http://";
  if (equal_ignoring_case(std::string_view{target}.substr(0, scheme.size()), scheme)) {
    auto slash = std::min(target.find('/', scheme.size()), target.size());
    auto authority = std::string_view{target}.substr(scheme.size(), slash - scheme.size());
    if (authority != find_header(head_.headers, "host"))
      return fail(400, "target and Host differ");
    target.erase(0, slash);
    if (target.empty())
      target = "/";
  }
  if (target[0] != '/' && !(target == "*" && head_.method == "OPTIONS"))
    return fail(400, "target");
  return progress::head;
}

message_reader::progress message_reader::check_framing() {
  size_t lengths = 0;
  size_t codings = 0;
  for (auto& [name, value] : head_.headers) {
    if (name == "content-length") {
      head_.content_length = parse_length(value);
      if (++lengths > 1 || !head_.content_length)
        return fail(400, "Content-Length");
    } else if (name == "transfer-encoding") {
      if (++codings > 1)
        return fail(400, "Transfer-Encoding given twice");
      head_.chunked = equal_ignoring_case(value, "chunked");
      if (!head_.chunked)
        return fail(501, "transfer coding");
    }
  }
  if (head_.chunked && (lengths > 0 || head_.minor == 0))
    return fail(400, lengths > 0 ? "Content-Length and Transfer-Encoding"
                                 : "Transfer-Encoding in HTTP/1.0");
  if (head_.content_length.value_or(0) > bounds_.body_bytes_max)
    return fail(413, "body too large");
  return progress::head;
}

void message_reader::choose_body() {
  // RFC 9112 6.3; these responses have no body whatever their headers say.
  auto bodiless = head_.status / 100 == 1 || head_.status == 204 || head_.status == 304;
  left_ = 0;
  trailer_bytes_ = 0;
  if (kind_ == message_kind::response && bodiless)
    state_ = state::fixed_body;
  else if (head_.chunked)
    state_ = state::chunk_size;
  else if (kind_ == message_kind::response && !head_.content_length)
    state_ = state::until_end;
  else {
    state_ = state::fixed_body;
    left_ = head_.content_length.value_or(0);
  }
}

} // namespace rvi::http
