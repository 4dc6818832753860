// SPDX-License-Identifier: MPL-2.0
//
// The server's end: requests become events, answers are put back in order, and a WebSocket takes
// over the connection once it is accepted.

#include "runtime/crypto/crypto.hpp"
#include "runtime/http/encode.hpp"
#include "runtime/http/event_queue.hpp"
#include "runtime/http/http.hpp"
#include "runtime/http/message_reader.hpp"
#include "runtime/http/websocket_codec.hpp"

namespace rvi::http {

namespace {

/// A request on its way to an answer.
struct exchange {
  std::string answer; // kept until those before it are out
  std::string websocket_key;
  bool head_request = false;
  bool keep_alive = true;
  bool answered = false;
};

} // namespace

struct server_connection::state {
  limits bounds;
  message_reader reader;
  event_queue<event> events;
  std::string output;
  std::vector<exchange> exchanges; // oldest first, not yet answered up to the front
  uint64_t first_sequence = 1;     // of the front
  std::string websocket_key;       // of the request being read
  bool continue_due = false;       // the client waits for 100
  bool input_over = false;
  bool wants_close = false;
  std::string held; // came after an upgrade request that is not answered
  std::unique_ptr<websocket_codec> socket;
  std::vector<std::string> messages;
  bool end_told = false;

  explicit state(limits x) : bounds{x}, reader{message_kind::request, x} {}

  void receive(std::string_view bytes);
  void begin_request();
  void end_request();
  /// 0, or the status that refuses the upgrade.
  int check_upgrade(const char*& why) const;
  bool upgrade_pending() const {
    return !exchanges.empty() && !exchanges.front().websocket_key.empty();
  }
  exchange* find(uint64_t sequence);
  void answer(exchange& x, response_head head, std::string_view body, const header_list& extra);
  void flush_answers();
  void fail(int status, std::string_view reason);
  void receive_frames(std::string_view bytes);
  void tell_end(std::string reason);
};

// -- requests -------------------------------------------------------------------------------------

void server_connection::state::receive(std::string_view bytes) {
  while (!input_over) {
    if (socket)
      return receive_frames(bytes);
    if (upgrade_pending()) {
      if (bytes.size() > bounds.header_bytes_max - held.size()) {
        // There is no answer to wait for: what follows would be neither HTTP nor frames.
        exchanges.clear();
        wants_close = input_over = true;
        return tell_end("data before the WebSocket was accepted");
      }
      held.append(bytes);
      return;
    }
    switch (reader.read(bytes)) {
      case message_reader::progress::more:
        return;
      case message_reader::progress::head:
        begin_request();
        break;
      case message_reader::progress::complete:
        end_request();
        break;
      case message_reader::progress::failed:
        return fail(reader.error().status, reader.error().reason);
    }
  }
}

void server_connection::state::begin_request() {
  auto& head = reader.head();
  websocket_key.clear();
  if (exchanges.size() >= bounds.pipelined_max)
    return fail(503, "too many requests without an answer");
  if (auto expectation = find_header(head.headers, "expect");
      !expectation.empty() && head.minor == 1) {
    if (!equal_ignoring_case(expectation, "100-continue"))
      return fail(417, "expectation");
    continue_due = head.chunked || head.content_length.value_or(0) > 0;
    flush_answers();
  }
  if (!header_has_token(head.headers, "upgrade", "websocket"))
    return;
  const char* why = "";
  if (auto status = check_upgrade(why))
    return fail(status, why);
  websocket_key = find_header(head.headers, "sec-websocket-key");
}

int server_connection::state::check_upgrade(const char*& why) const {
  auto& head = reader.head();
  why = "WebSocket handshake";
  if (head.method != "GET" || head.minor != 1 || head.chunked || head.content_length.value_or(0) > 0
      || !exchanges.empty() || !header_has_token(head.headers, "connection", "upgrade"))
    return 400;
  if (count_headers(head.headers, "sec-websocket-version") != 1
      || find_header(head.headers, "sec-websocket-version") != "13") {
    why = "WebSocket version";
    return 426;
  }
  auto key = crypto::unbase64(find_header(head.headers, "sec-websocket-key"));
  auto good = count_headers(head.headers, "sec-websocket-key") == 1 && key && key->size() == 16;
  return good ? 0 : 400;
}

void server_connection::state::end_request() {
  auto& head = reader.head();
  request result;
  result.sequence = first_sequence + exchanges.size();
  result.method = std::move(head.method);
  result.target = std::move(head.target);
  result.headers = std::move(head.headers);
  result.body = std::move(reader.body());
  result.keep_alive = head.keep_alive;
  result.websocket_upgrade = !websocket_key.empty();
  exchange x;
  x.head_request = result.method == "HEAD";
  x.keep_alive = result.keep_alive;
  x.websocket_key = std::move(websocket_key);
  websocket_key.clear();
  exchanges.push_back(std::move(x));
  continue_due = false;
  // A WebSocket handshake says nothing of the connection's life as an HTTP connection.
  input_over = !result.keep_alive && !result.websocket_upgrade;
  events.push(std::move(result));
}

// -- answers --------------------------------------------------------------------------------------

exchange* server_connection::state::find(uint64_t sequence) {
  if (sequence < first_sequence || sequence - first_sequence >= exchanges.size())
    return nullptr;
  auto& x = exchanges[sequence - first_sequence];
  return x.answered ? nullptr : &x;
}

void server_connection::state::answer(exchange& x, response_head head, std::string_view body,
                                      const header_list& extra) {
  head.close = !x.keep_alive;
  head.without_body = x.head_request;
  auto first = &x == &exchanges.front();
  encode_response(first ? output : x.answer, head, body, extra);
  x.answered = true;
  if (first)
    flush_answers();
}

void server_connection::state::flush_answers() {
  size_t n = 0;
  for (; n < exchanges.size() && exchanges[n].answered && !wants_close; ++n) {
    output.append(exchanges[n].answer);
    wants_close = !exchanges[n].keep_alive;
  }
  first_sequence += n;
  exchanges.erase(exchanges.begin(), exchanges.begin() + static_cast<ptrdiff_t>(n));
  if (wants_close) {
    input_over = true;
    exchanges.clear();
  }
  if (continue_due && exchanges.empty() && !wants_close) {
    continue_due = false;
    output.append("HTTP/1.1 100 Continue\r\n\r\n");
  }
}

/// Answers after the requests before it, and ends the connection then.
void server_connection::state::fail(int status, std::string_view reason) {
  input_over = true;
  continue_due = false;
  exchange x;
  x.keep_alive = false;
  exchanges.push_back(std::move(x));
  header_list extra;
  if (status == 426)
    extra = {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}};
  std::string text{reason};
  answer(exchanges.back(), {status, "text/plain; charset=utf-8"}, text + "\n", extra);
  tell_end(std::to_string(status) + " " + text);
}

void server_connection::state::tell_end(std::string reason) {
  if (!end_told)
    events.push(closed{std::move(reason)});
  end_told = true;
}

// -- WebSocket ------------------------------------------------------------------------------------

void server_connection::state::receive_frames(std::string_view bytes) {
  socket->receive(bytes, messages);
  for (auto& x : messages)
    events.push(text_message{std::move(x)});
  messages.clear();
  if (socket->over()) {
    wants_close = input_over = true;
    tell_end(socket->reason());
  }
}

// -- server_connection ----------------------------------------------------------------------------

server_connection::server_connection(limits bounds) : state_{std::make_unique<state>(bounds)} {}

server_connection::server_connection(server_connection&&) noexcept = default;

server_connection& server_connection::operator=(server_connection&&) noexcept = default;

server_connection::~server_connection() = default;

void server_connection::receive(std::string_view bytes) {
  state_->receive(bytes);
}

std::optional<event> server_connection::next() {
  return state_->events.pop();
}

void server_connection::respond(uint64_t sequence, int status, std::string_view content_type,
                                std::string_view body, const header_list& extra) {
  auto* x = state_->find(sequence);
  if (x == nullptr || state_->socket)
    return;
  if (!x->websocket_key.empty()) { // refused; what the client has sent since is void
    x->keep_alive = false;
    state_->input_over = true;
  }
  state_->answer(*x, {status, content_type}, body, extra);
}

void server_connection::accept_websocket(uint64_t sequence, std::string_view subprotocol) {
  auto* x = state_->find(sequence);
  if (x == nullptr || x->websocket_key.empty())
    return;
  auto& output = state_->output;
  output.append("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Accept: ");
  output.append(websocket_accept(x->websocket_key)).append("\r\n");
  if (!subprotocol.empty())
    encode_headers(output, {{"Sec-WebSocket-Protocol", std::string{subprotocol}}});
  output.append("\r\n");
  ++state_->first_sequence;
  state_->exchanges.clear();
  state_->socket = std::make_unique<websocket_codec>(websocket_side::server,
                                                     state_->bounds.message_bytes_max, output);
  state_->receive(std::exchange(state_->held, {}));
}

bool server_connection::is_websocket() const {
  return state_->socket != nullptr;
}

void server_connection::send_text(std::string_view text) {
  if (state_->socket)
    state_->socket->send_text(text);
}

void server_connection::send_ping() {
  if (state_->socket)
    state_->socket->send_ping();
}

void server_connection::close_websocket(uint16_t code, std::string_view reason) {
  if (state_->socket)
    state_->socket->close(code, reason);
}

uint64_t server_connection::pongs() const {
  return state_->socket ? state_->socket->pongs() : 0;
}

void server_connection::take_output(std::vector<char>& out) {
  drain(state_->output, out);
}

std::string server_connection::take_output() {
  return std::exchange(state_->output, {});
}

size_t server_connection::pending_output() const {
  return state_->output.size();
}

size_t server_connection::unanswered() const {
  return state_->exchanges.size();
}

bool server_connection::wants_close() const {
  return state_->wants_close;
}

} // namespace rvi::http
