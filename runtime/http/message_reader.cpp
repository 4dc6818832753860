// SPDX-License-Identifier: MPL-2.0
//
// Bodies of messages (RFC 9112 6 and 7). Sizes are checked before anything is kept.

#include "runtime/http/message_reader.hpp"

#include <algorithm>

namespace rvi::http {

namespace {

/// Memory set aside on the word of a header alone.
constexpr uint64_t reserved_max = 256 << 10;
/// A chunk size with its extensions.
constexpr size_t chunk_line_max = 256;

int hex_digit(char x) {
  if (x >= '0' && x <= '9')
    return x - '0';
  if (x >= 'a' && x <= 'f')
    return x - 'a' + 10;
  return x >= 'A' && x <= 'F' ? x - 'A' + 10 : -1;
}

/// Digits, then nothing or an extension, which is skipped.
std::optional<uint64_t> parse_chunk_size(std::string_view line) {
  uint64_t result = 0;
  size_t i = 0;
  for (; i < line.size() && hex_digit(line[i]) >= 0; ++i)
    result = result << 4 | static_cast<uint64_t>(hex_digit(line[i]));
  auto rest = trim(line.substr(i));
  if (i == 0 || i > 15 || (i < line.size() && (rest.empty() || rest[0] != ';')))
    return std::nullopt;
  return result;
}

bool is_control(char x) {
  return (x >= '\0' && x < ' ' && x != '\t') || x == '\x7f';
}

} // namespace

message_reader::progress message_reader::read(std::string_view& bytes) {
  for (;;) {
    auto was = state_;
    auto result = progress::more;
    switch (state_) {
      case state::head:
        return read_head(bytes);
      case state::fixed_body:
        return read_fixed(bytes);
      case state::chunk_size:
        result = read_chunk_size(bytes);
        break;
      case state::chunk_bytes:
        result = read_chunk_bytes(bytes);
        break;
      case state::chunk_end:
        result = read_chunk_end(bytes);
        break;
      case state::trailers:
        result = read_trailer(bytes);
        break;
      case state::until_end:
        if (bytes.size() > bounds_.body_bytes_max - body_.size())
          return fail(413, "body too large");
        body_.append(bytes);
        bytes = {};
        return progress::more;
      case state::failed:
        return progress::failed;
    }
    if (result != progress::more || (bytes.empty() && state_ == was))
      return result;
  }
}

message_reader::progress message_reader::end() {
  if (state_ == state::failed || state_ == state::until_end)
    return state_ == state::failed ? progress::failed : complete();
  return inside() ? fail(400, "the transport ended inside a message") : progress::more;
}

message_reader::progress message_reader::fail(int status, const char* reason) {
  state_ = state::failed;
  error_ = {status, reason};
  return progress::failed;
}

message_reader::progress message_reader::complete() {
  state_ = state::head;
  return progress::complete;
}

message_reader::progress message_reader::read_fixed(std::string_view& bytes) {
  auto n = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
  if (body_.empty() && n > 0)
    body_.reserve(static_cast<size_t>(std::min(left_, reserved_max)));
  body_.append(bytes.substr(0, n));
  bytes.remove_prefix(n);
  left_ -= n;
  return left_ == 0 ? complete() : progress::more;
}

message_reader::progress message_reader::read_chunk_size(std::string_view& bytes) {
  std::string_view line;
  switch (take_line(bytes, chunk_line_max, line)) {
    case line_progress::more:
      return progress::more;
    case line_progress::line:
      break;
    default:
      return fail(400, "chunk size");
  }
  auto size = parse_chunk_size(line);
  if (!size)
    return fail(400, "chunk size");
  if (*size > bounds_.body_bytes_max - body_.size())
    return fail(413, "body too large");
  left_ = *size;
  state_ = *size == 0 ? state::trailers : state::chunk_bytes;
  return progress::more;
}

message_reader::progress message_reader::read_chunk_bytes(std::string_view& bytes) {
  auto n = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
  body_.append(bytes.substr(0, n));
  bytes.remove_prefix(n);
  left_ -= n;
  if (left_ == 0)
    state_ = state::chunk_end;
  return progress::more;
}

message_reader::progress message_reader::read_chunk_end(std::string_view& bytes) {
  std::string_view line;
  switch (take_line(bytes, 0, line)) {
    case line_progress::more:
      return progress::more;
    case line_progress::line:
      state_ = state::chunk_size;
      return progress::more;
    default:
      return fail(400, "chunk without its end");
  }
}

/// Trailers are checked and dropped.
message_reader::progress message_reader::read_trailer(std::string_view& bytes) {
  std::string_view line;
  switch (take_line(bytes, bounds_.header_bytes_max - trailer_bytes_, line)) {
    case line_progress::more:
      return progress::more;
    case line_progress::too_long:
      return fail(431, "trailers too long");
    case line_progress::bad:
      return fail(400, "trailers");
    case line_progress::line:
      break;
  }
  if (line.empty())
    return complete();
  auto colon = std::min(line.find(':'), line.size());
  auto name = line.substr(0, colon);
  if (name.empty() || colon == line.size()
      || !std::all_of(name.begin(), name.end(), [](char x) { return token_char(x) != '\0'; }))
    return fail(400, "trailers");
  trailer_bytes_ += std::min(line.size() + 2, bounds_.header_bytes_max - trailer_bytes_);
  return progress::more;
}

message_reader::line_progress
message_reader::take_line(std::string_view& bytes, size_t bytes_max, std::string_view& line) {
  if (line_done_)
    line_.clear();
  line_done_ = false;
  auto end = bytes.find('\n');
  auto found = end != std::string_view::npos;
  auto size = found ? end + 1 : bytes.size();
  if (size > bytes_max + 2 - line_.size())
    return line_progress::too_long;
  line_.append(bytes.substr(0, size));
  bytes.remove_prefix(size);
  if (!found)
    return line_progress::more;
  line_done_ = true;
  line = line_;
  if (line.size() < 2 || line[line.size() - 2] != '\r')
    return line_progress::bad;
  line.remove_suffix(2);
  return std::any_of(line.begin(), line.end(), is_control) ? line_progress::bad
                                                           : line_progress::line;
}

} // namespace rvi::http
