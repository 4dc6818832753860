// SPDX-License-Identifier: MPL-2.0
//
// WebSocket messages (RFC 6455 5 to 7) over wslay's frames. wslay's own event layer is not used: it
// closes without a status on a broken frame, lets a close frame of one byte pass, checks the
// reason of a close frame differently when it comes in pieces, and copies each message twice.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::http {

enum class websocket_side { client, server };

class websocket_codec {
public:
  /// Frames are appended to `output`, which must live as long.
  websocket_codec(websocket_side side, size_t message_bytes_max, std::string& output);
  websocket_codec(const websocket_codec&) = delete;
  ~websocket_codec();

  /// Appends the messages that are complete. Answers pings and the close handshake.
  void receive(std::string_view bytes, std::vector<std::string>& messages);
  /// These do nothing once a close frame was sent.
  void send_text(std::string_view text);
  void send_ping();
  void close(uint16_t code, std::string_view reason);

  uint64_t pongs() const;
  /// Nothing more will be read or sent: close the transport.
  bool over() const;
  /// The code we closed with because the peer broke a rule; 0 if it did not.
  uint16_t violation() const;
  /// Code and reason of the end, for people.
  const std::string& reason() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace rvi::http
