// SPDX-License-Identifier: MPL-2.0
//
// wslay cuts, masks and unmasks frames; the rules about messages are here. UTF-8 is checked when a
// message is complete, which its bound permits and vector instructions make cheap.

#include "runtime/http/websocket_codec.hpp"

#include "runtime/crypto/crypto.hpp"
#include "runtime/json/utf8.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <wslay/wslay.h>

namespace rvi::http {

namespace {

/// Memory set aside on the word of a frame header alone.
constexpr uint64_t reserved_max = 256 << 10;
constexpr size_t close_reason_max = 123;
/// Masks drawn at once: the system's generator costs more than a small frame.
constexpr size_t mask_pool_bytes = 1024;

/// Codes that may be on the wire (RFC 6455 7.4).
bool is_close_code(unsigned x) {
  return (x >= 1000 && x <= 1014 && x != 1004 && x != 1005 && x != 1006) || (x >= 3000 && x < 5000);
}

std::string_view view(const uint8_t* at, size_t n) {
  return {reinterpret_cast<const char*>(at), n};
}

} // namespace

struct websocket_codec::state {
  websocket_side side;
  size_t message_bytes_max;
  std::string& output;
  wslay_frame_context_ptr frames = nullptr;
  std::string_view input; // during `receive` alone
  std::string masks;

  std::string message;
  std::string control;
  uint64_t frame_left = 0;
  uint8_t opcode = 0;
  bool fin = false;
  bool in_frame = false;
  bool in_message = false;

  uint64_t pongs = 0;
  bool close_sent = false;
  bool over = false;
  uint16_t violation = 0;
  std::string reason;

  state(websocket_side which, size_t bound, std::string& out);
  ~state() { wslay_frame_context_free(frames); }
  state(const state&) = delete;

  void receive(std::string_view bytes, std::vector<std::string>& messages);
  /// 0, or the code to close with.
  uint16_t take(const wslay_frame_iocb& frame, std::vector<std::string>& messages);
  uint16_t begin(const wslay_frame_iocb& frame);
  uint16_t end(std::vector<std::string>& messages);
  uint16_t end_control();
  uint16_t end_close();
  void send(uint8_t code, std::string_view payload);
  void send_close(unsigned code, std::string_view why);
  void fail(uint16_t code);

  static ssize_t on_send(const uint8_t* from, size_t n, int flags, void* self);
  static ssize_t on_receive(uint8_t* to, size_t n, int flags, void* self);
  static int on_mask(uint8_t* to, size_t n, void* self);
};

// -- wslay's callbacks ----------------------------------------------------------------------------

ssize_t websocket_codec::state::on_send(const uint8_t* from, size_t n, int, void* self) {
  static_cast<state*>(self)->output.append(view(from, n));
  return static_cast<ssize_t>(n);
}

ssize_t websocket_codec::state::on_receive(uint8_t* to, size_t n, int, void* self) {
  auto& input = static_cast<state*>(self)->input;
  if (input.empty())
    return -1;
  n = std::min(n, input.size());
  std::memcpy(to, input.data(), n);
  input.remove_prefix(n);
  return static_cast<ssize_t>(n);
}

int websocket_codec::state::on_mask(uint8_t* to, size_t n, void* self) {
  auto& masks = static_cast<state*>(self)->masks;
  if (masks.size() < n)
    masks = crypto::random_bytes(mask_pool_bytes);
  std::memcpy(to, masks.data() + masks.size() - n, n);
  masks.resize(masks.size() - n);
  return 0;
}

// -- frames in ------------------------------------------------------------------------------------

websocket_codec::state::state(websocket_side which, size_t bound, std::string& out)
  : side{which},
    message_bytes_max{bound},
    output{out} {
  wslay_frame_callbacks callbacks{on_send, on_receive, on_mask};
  [[maybe_unused]] auto made = wslay_frame_context_init(&frames, &callbacks, this);
  assert(made == 0);
}

void websocket_codec::state::receive(std::string_view bytes, std::vector<std::string>& messages) {
  input = bytes;
  while (!over) {
    wslay_frame_iocb frame{};
    auto n = wslay_frame_recv(frames, &frame);
    if (n == WSLAY_ERR_WANT_READ) {
      if (input.empty())
        break;
      continue;
    }
    // wslay refuses long and fragmented control frames and lengths that are not the shortest.
    auto code = n < 0 ? uint16_t{1002} : take(frame, messages);
    if (code != 0)
      fail(code);
  }
  input = {};
}

uint16_t
websocket_codec::state::take(const wslay_frame_iocb& frame, std::vector<std::string>& messages) {
  if (!in_frame)
    if (auto code = begin(frame))
      return code;
  auto& to = wslay_is_ctrl_frame(opcode) ? control : message;
  to.append(view(frame.data, frame.data_length));
  frame_left -= frame.data_length;
  if (frame_left > 0)
    return 0;
  in_frame = false;
  return end(messages);
}

uint16_t websocket_codec::state::begin(const wslay_frame_iocb& frame) {
  auto from_client = side == websocket_side::server;
  if (frame.rsv != 0 || (frame.mask != 0) != from_client)
    return 1002;
  in_frame = true;
  fin = frame.fin != 0;
  opcode = frame.opcode;
  frame_left = frame.payload_length;
  switch (opcode) {
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
      return 0;
    case WSLAY_TEXT_FRAME:
      if (in_message)
        return 1002;
      in_message = true;
      break;
    case WSLAY_BINARY_FRAME:
      return in_message ? 1002 : 1003;
    case WSLAY_CONTINUATION_FRAME:
      if (!in_message)
        return 1002;
      break;
    default:
      return 1002;
  }
  if (frame_left > message_bytes_max - message.size())
    return 1009;
  message.reserve(message.size() + static_cast<size_t>(std::min(frame_left, reserved_max)));
  return 0;
}

uint16_t websocket_codec::state::end(std::vector<std::string>& messages) {
  if (wslay_is_ctrl_frame(opcode)) {
    auto code = end_control();
    control.clear();
    return code;
  }
  if (!fin)
    return 0;
  in_message = false;
  if (!json::is_utf8(message))
    return 1007;
  if (!close_sent)
    messages.push_back(std::move(message));
  message.clear();
  return 0;
}

uint16_t websocket_codec::state::end_control() {
  switch (opcode) {
    case WSLAY_PING:
      if (!close_sent)
        send(WSLAY_PONG, control);
      return 0;
    case WSLAY_PONG:
      ++pongs;
      return 0;
    default:
      return end_close();
  }
}

uint16_t websocket_codec::state::end_close() {
  unsigned code = 0;
  std::string_view why;
  if (!control.empty()) {
    if (control.size() == 1)
      return 1002;
    code = static_cast<unsigned>(static_cast<uint8_t>(control[0])) << 8
           | static_cast<uint8_t>(control[1]);
    why = std::string_view{control}.substr(2);
    if (!is_close_code(code))
      return 1002;
    if (!json::is_utf8(why))
      return 1007;
  }
  send_close(code, {});
  over = true;
  reason = code == 0 ? "closed by the peer" : std::to_string(code) + " from the peer";
  if (!why.empty())
    reason.append(": ").append(why);
  return 0;
}

void websocket_codec::state::fail(uint16_t code) {
  static constexpr std::pair<uint16_t, std::string_view> texts[] = {
    {1002, "protocol error"},
    {1003, "text messages only"},
    {1007, "not UTF-8"},
    {1009, "message too large"},
  };
  auto text
    = std::find_if(std::begin(texts), std::end(texts), [&](auto& x) { return x.first == code; });
  assert(text != std::end(texts));
  send_close(code, text->second);
  over = true;
  violation = code;
  reason = std::to_string(code) + " " + std::string{text->second};
  message = {};
}

// -- frames out -----------------------------------------------------------------------------------

void websocket_codec::state::send(uint8_t code, std::string_view payload) {
  wslay_frame_iocb frame{};
  frame.fin = 1;
  frame.opcode = code;
  frame.mask = side == websocket_side::client ? 1 : 0;
  frame.payload_length = payload.size();
  frame.data = reinterpret_cast<const uint8_t*>(payload.data());
  frame.data_length = payload.size();
  [[maybe_unused]] auto sent = wslay_frame_send(frames, &frame);
  assert(sent == static_cast<ssize_t>(payload.size()));
}

void websocket_codec::state::send_close(unsigned code, std::string_view why) {
  if (close_sent)
    return;
  close_sent = true;
  std::string payload;
  if (code != 0) {
    payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
    why = why.substr(0, close_reason_max);
    payload.append(why.substr(0, json::utf8_valid_up_to(why)));
  }
  send(WSLAY_CONNECTION_CLOSE, payload);
}

// -- websocket_codec ------------------------------------------------------------------------------

websocket_codec::websocket_codec(websocket_side side, size_t message_bytes_max, std::string& output)
  : state_{std::make_unique<state>(side, message_bytes_max, output)} {}

websocket_codec::~websocket_codec() = default;

void websocket_codec::receive(std::string_view bytes, std::vector<std::string>& messages) {
  state_->receive(bytes, messages);
}

void websocket_codec::send_text(std::string_view text) {
  if (!state_->close_sent)
    state_->send(WSLAY_TEXT_FRAME, text);
}

void websocket_codec::send_ping() {
  if (!state_->close_sent)
    state_->send(WSLAY_PING, {});
}

void websocket_codec::close(uint16_t code, std::string_view reason) {
  state_->send_close(is_close_code(code) ? code : 1000u, reason);
}

uint64_t websocket_codec::pongs() const {
  return state_->pongs;
}

bool websocket_codec::over() const {
  return state_->over;
}

uint16_t websocket_codec::violation() const {
  return state_->violation;
}

const std::string& websocket_codec::reason() const {
  return state_->reason;
}

} // namespace rvi::http
