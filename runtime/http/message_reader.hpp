// SPDX-License-Identifier: MPL-2.0
//
// Cuts a stream of bytes into HTTP messages. http_parser reads the heads; lines and bodies are cut
// here, because Debian builds http_parser lenient: it takes bare LF, spaces before the colon and
// any byte for the LF after a chunk size, and these are the shapes that smuggle requests.

#pragma once

#include "runtime/http/http.hpp"

namespace rvi::http {

struct message_head {
  std::string method;  // of requests
  std::string target;  // of requests
  int status = 0;      // of responses
  int minor = 1;       // of the version: HTTP/1.0 or HTTP/1.1
  header_list headers; // names in lowercase
  bool keep_alive = true;
  bool chunked = false;
  std::optional<uint64_t> content_length;
};

/// What is wrong with a message, and the status a server answers it with.
struct protocol_error {
  int status = 400;
  const char* reason = "";
};

enum class message_kind { request, response };

class message_reader {
public:
  enum class progress {
    more,     // all bytes are used up
    head,     // `head()` is there; read on
    complete, // so is `body()`; both may be moved from
    failed,   // `error()` says why; nothing more can be read
  };

  message_reader(message_kind kind, const limits& bounds) : kind_{kind}, bounds_{bounds} {}

  /// Takes bytes from the front until something happens. The events do not depend on how the
  /// stream is cut into pieces.
  progress read(std::string_view& bytes);
  /// The transport ended. `more`: between two messages.
  progress end();

  message_head& head() { return head_; }
  const message_head& head() const { return head_; }
  std::string& body() { return body_; }
  const protocol_error& error() const { return error_; }
  /// A message has begun and is not complete.
  bool inside() const { return state_ != state::head || scanned_ > 0; }

private:
  enum class state {
    head,
    fixed_body,
    chunk_size,
    chunk_bytes,
    chunk_end,
    trailers,
    until_end,
    failed,
  };
  enum class line_progress { more, line, too_long, bad };

  progress fail(int status, const char* reason);
  progress complete();

  progress read_head(std::string_view& bytes);
  /// Looks for the blank line; `complete` if it is found.
  progress scan(std::string_view text);
  progress parse(std::string_view text);
  progress check_request(size_t request_line_bytes);
  progress check_framing();
  progress check_target();
  void choose_body();

  progress read_fixed(std::string_view& bytes);
  progress read_chunk_size(std::string_view& bytes);
  progress read_chunk_bytes(std::string_view& bytes);
  progress read_chunk_end(std::string_view& bytes);
  progress read_trailer(std::string_view& bytes);
  /// A line without its CRLF, valid until the next call.
  line_progress take_line(std::string_view& bytes, size_t bytes_max, std::string_view& line);

  message_kind kind_;
  limits bounds_;
  state state_ = state::head;
  protocol_error error_;
  message_head head_;
  std::string body_;

  std::string partial_;   // the head so far, if it came in pieces
  size_t scanned_ = 0;    // bytes of the head looked at
  size_t line_start_ = 0; // of the line being looked at
  size_t first_line_ = 0; // where the first line starts: one blank line may come before it
  size_t first_size_ = 0; // its length
  size_t lines_ = 0;      // seen, without the blank one

  uint64_t left_ = 0;        // bytes of the body or chunk still to come
  size_t trailer_bytes_ = 0; // so far
  std::string line_;         // a partial line, or the last one
  bool line_done_ = false;
};

/// Whether a comma-separated list has this element; lowercase is expected, any case is found.
bool has_token(std::string_view list, std::string_view lowercase);
bool equal_ignoring_case(std::string_view x, std::string_view lowercase);
/// Whether a list of headers has this element in any header of that name.
bool header_has_token(const header_list& headers, std::string_view name, std::string_view token);
size_t count_headers(const header_list& headers, std::string_view lowercase_name);
std::string_view trim(std::string_view x);
/// The lowercase form of a character a header name may have, else 0 (RFC 9110 5.6.2).
char token_char(char x);

} // namespace rvi::http
