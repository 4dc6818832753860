// SPDX-License-Identifier: MPL-2.0
//
// One connection of a service, in texts or in frames: which calls it waits for, which of our
// requests it has not answered, and how many of its bytes the socket took. No socket, no actor: the
// server moves the bytes.

#pragma once

#include "actors/metric_queue.hpp"
#include "messages/service_api.hpp"
#include "messages/wire/json_rpc.hpp"
#include "messages/wire/service_frame.hpp"
#include "runtime/http/http.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rvi {

struct service_connection_config {
  http::limits http;
  json_rpc::limits text;
  size_t calls_in_flight_max = 4'096;
  size_t call_bytes_in_flight_max = size_t{64} << 20;
  size_t deliveries_max = 16'384; // requests of ours without an answer
  metric_queue_limits metrics;
  uint64_t busy_retry_ms = 100;
};

/// What one text led to.
struct text_effects {
  std::vector<service_call> calls;
  std::vector<receipt> receipts;
  std::vector<client_id> finished; // HTTP requests that wait for nothing more
  std::vector<client_id> roomy;    // were refused requests for their number, and take them again
};

class service_connection {
public:
  service_connection(const service_connection_config& config, principal who)
    : codec(config.http),
      who(std::move(who)),
      config_(config),
      metrics_(config.metrics) {}

  /// Bytes of the socket. The first one tells whether they are HTTP or frames.
  void receive(std::string_view bytes);

  /// The body of a POST, or with sequence 0 a message of the connection that lasts. Calls go to
  /// `out`; what cannot be one is answered here.
  void accept_text(std::string_view text, uint64_t sequence, client_id client, uint64_t now_ms,
                   text_effects& out);

  /// A whole frame but a hello; what cannot be one ends the connection.
  void accept_frame(service_frame::received&& x, size_t bytes, client_id client, uint64_t now_ms,
                    text_effects& out);
  /// Says why, then ends a connection of frames.
  void fail(const caf::error& why);

  /// An answer to a call; unknown tokens are ignored (they were notifications, or a stale edge's).
  void answer(const call_result& result, text_effects& out);

  /// Sends HLD figure 32 or an outcome; false: it did not leave, `lost` says how it ends.
  bool deliver(const invocation& request, receipt& lost);
  bool deliver(const outcome_notice& x, receipt& lost);

  /// HLD 10.2. Nobody answers it.
  void tell(const availability_report& x);
  /// HLD 6.1.3. `text` is the notification. It goes at once, or waits until the service has read
  /// what is before it. Returns how many values nobody will see now.
  size_t deliver(const metric_value_ptr& x, std::string_view text);
  /// Sends of the metrics that wait what there is room for; true if any.
  bool send_metrics();

  /// The end: everything not answered is lost. `untouched` is what starts at or behind `sent`, the
  /// bytes that have reached the socket or still may.
  std::vector<receipt> lose_deliveries(uint64_t sent);

  /// Clients that wait for answers or, on a WebSocket, for requests.
  std::vector<client_id> clients() const;
  bool waits_for_answers() const { return open_calls_ > 0; }

  size_t pending_output() const;
  void take_output(std::vector<char>& out); // appends
  bool wants_close() const;

  http::server_connection codec;
  std::optional<service_frame::stream> frames; // instead of `codec`
  principal who;
  std::optional<client_id> lasting; // the connection's own client id: of a WebSocket, or of frames
  uint64_t appended = 0;            // bytes given to the broker
  uint64_t transferred = 0;         // of those, bytes the socket took
  bool local = false;               // Unix socket
  bool closing = false;             // nothing is read or written any more
  bool forgotten = false;           // the edge knows of the end
  bool behind = false;              // reports were left out; once it has read, it gets them anew
  bool dirty = false;               // output waits to be flushed
  uint64_t last_event_ms = 0;       // a whole request or message
  uint64_t last_bytes_ms = 0;
  uint64_t last_ping_ms = 0;
  uint64_t closing_ms = 0;
  uint64_t due_ms = 0;     // of its entry in the server's `due`; 0: it has none
  bool cut = false;        // closed both ways: nothing is waited for
  bool idle_before = true; // not one whole request yet
  size_t read_size = 0;

private:
  static constexpr uint32_t none = UINT32_MAX;

  /// Where an answer goes.
  struct open_call {
    std::string id;     // of a text
    uint64_t frame = 0; // id of a frame; without either it goes nowhere
    client_id client = 0;
    uint64_t sequence = 0; // of the HTTP request; 0: WebSocket
    size_t bytes = 0;
    uint32_t group = none;
    uint32_t position = 0; // in the group
    uint32_t generation = 0;
    bool used = false;
  };

  /// A JSON-RPC batch: its answers leave together.
  struct answer_group {
    std::vector<std::string> answers; // in the order of the calls
    size_t open = 0;
    uint64_t sequence = 0;
  };

  /// A request of ours that a service has not answered.
  struct delivery {
    transaction_id id;
    bool outcome = false;
    uint64_t begin = 0; // offset of its first byte
  };

  struct text_context {
    uint64_t sequence;
    client_id client;
    text_effects& out;
  };

  void accept_single(json_rpc::call& x, size_t bytes, const text_context& at);
  void accept_batch(json_rpc::decoded& texts, size_t bytes, const text_context& at);
  void accept_response(const json_rpc::response& x, text_effects& out);
  std::optional<json_rpc::problem>
  open(json_rpc::call& x, size_t bytes, uint32_t group, uint32_t position, const text_context& at);
  caf::error open(service_request&& x, open_call slot, text_effects& out);
  void accept_call(service_frame::call& x, size_t bytes, client_id client, text_effects& out);
  void close_call(open_call& x, text_effects& out);
  void complete(uint32_t group);
  /// Room for a metric: the service reads what it is sent.
  bool has_metric_room() const;
  void send(uint64_t sequence, std::string_view text);
  void send_text(std::string_view text);
  bool send_delivery(std::string_view text, delivery x, receipt& lost);
  bool may_deliver(receipt& lost);

  const service_connection_config& config_;
  std::vector<open_call> calls_; // a call's token is its place here and its generation
  std::vector<uint32_t> free_;
  size_t open_calls_ = 0;
  size_t open_bytes_ = 0;
  std::map<client_id, size_t> http_clients_; // calls open
  std::unordered_map<uint32_t, answer_group> groups_;
  uint32_t last_group_ = 0;
  std::unordered_map<uint64_t, delivery> deliveries_;
  bool refused_delivery_ = false; // because there were too many
  uint64_t last_delivery_ = 0;
  metric_queue metrics_;
  std::string scratch_; // one text or frame being written
  bool begun_ = false;  // a byte has come
};

} // namespace rvi
