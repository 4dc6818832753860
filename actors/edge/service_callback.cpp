// SPDX-License-Identifier: MPL-2.0
//
// One queue and at most one connection per address. A request that has touched the socket is never
// sent again: whether the service ran it cannot be known.

#include "actors/edge/service_callback.hpp"

#include "messages/wire/json_rpc.hpp"
#include "runtime/http/http.hpp"
#include "runtime/observe/log.hpp"

#include <caf/io/broker.hpp>
#include <caf/io/middleman.hpp>
#include <caf/send.hpp>

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <sys/socket.h>

namespace rvi {

namespace {

constexpr const char* component = "service-callback";

/// One POST to be made.
struct callback_job {
  receipt end; // how it ends, filled in as far as known
  std::string path;
  std::string body;
  uint64_t queued_ms = 0;
};

struct callback_queue {
  enum class phase : uint8_t { idle, connecting, waiting };

  std::string host;
  uint16_t port = 0;
  std::string authority;
  std::deque<callback_job> jobs; // the front one is the one being sent
  callback_queue::phase phase = phase::idle;
  uint64_t dial = 0;
  std::optional<caf::io::connection_handle> connection;
  http::client_connection codec;
  bool touched = false;  // bytes of the front one have reached the socket
  uint64_t since_ms = 0; // of the phase
};

struct service_callback_state {
  static constexpr const char* name = "service-callback";
  using handle = caf::io::connection_handle;

  explicit service_callback_state(caf::io::broker* self) : self(self) {}
  ~service_callback_state();

  void start(const service_callback_config& x);
  template <class Delivery, class Content>
  void take(const std::vector<Delivery>& list, Content content);
  void enqueue(const std::string& address, callback_job&& job);
  void pump(callback_queue& q);
  void connected(uint64_t dial, socket_fd fd, const std::string& detail);
  void post(callback_queue& q);
  void receive(handle h, const std::vector<char>& bytes);
  void transferred(handle h);
  void closed(handle h);
  void finish(callback_queue& q, std::string refusal);
  void fail(callback_queue& q, bool all, const std::string& why);
  void disconnect(callback_queue& q);
  void end(callback_job& job, receipt::status what, bool untouched);
  void check_deadlines();
  void check_deadline(callback_queue& q);
  void send_receipts();
  callback_queue* find(handle h);
  http::limits reply_limits() const;
  uint64_t now_ms() const;

  caf::io::broker* self;
  service_callback_config config;
  connector_actor connector;
  std::map<std::string, callback_queue> queues; // by authority
  std::vector<receipt> receipts;                // of this event
  uint64_t last_dial = 0;
  uint64_t last_id = 0;
  bool ticking = false;
};

service_callback_state::~service_callback_state() {
  for (auto& [authority, q] : queues)
    fail(q, true, "the node stops");
  if (!receipts.empty())
    caf::anon_send(config.edge, atom::receipt_v, std::move(receipts));
}

void service_callback_state::start(const service_callback_config& x) {
  config = x;
  connector = start_connector(self->system());
  self->link_to(connector);
}

uint64_t service_callback_state::now_ms() const {
  using namespace std::chrono;
  return uint64_t(duration_cast<milliseconds>(self->clock().now().time_since_epoch()).count());
}

http::limits service_callback_state::reply_limits() const {
  http::limits result;
  result.body_bytes_max = config.reply_bytes_max;
  return result;
}

callback_queue* service_callback_state::find(handle h) {
  for (auto& [authority, q] : queues)
    if (q.connection == h)
      return &q;
  return nullptr;
}

template <class Delivery, class Content>
void service_callback_state::take(const std::vector<Delivery>& list, Content content) {
  for (auto& x : list) {
    callback_job job;
    content.fill(x, job.end);
    if (auto error = content.append(job.body, ++last_id, x)) {
      job.end.error = json_rpc::error_object(error);
      end(job, receipt::status::refused, true);
    } else {
      enqueue(x.network_address, std::move(job));
    }
  }
  send_receipts();
}

void service_callback_state::enqueue(const std::string& address, callback_job&& job) {
  auto target = check_callback_address(address, config.hosts, config.own_ports);
  if (!target) {
    job.end.error = json_rpc::error_object(target.error());
    return end(job, receipt::status::refused, true);
  }
  auto key = target->authority();
  if (queues.size() >= config.addresses_max && queues.count(key) == 0)
    return end(job, receipt::status::lost, true);
  auto& q = queues[key];
  if (q.jobs.size() >= config.queue_max)
    return end(job, receipt::status::lost, true);
  q.host = target->host;
  q.port = target->port;
  q.authority = std::move(key);
  job.path = std::move(target->path);
  job.queued_ms = now_ms();
  q.jobs.push_back(std::move(job));
  if (!std::exchange(ticking, true))
    self->delayed_send(self, std::chrono::milliseconds(config.tick_ms), atom::tick_v);
  pump(q);
}

/// Starts on the front job if nothing is under way.
void service_callback_state::pump(callback_queue& q) {
  if (q.phase != callback_queue::phase::idle || q.jobs.empty())
    return;
  if (q.connection && now_ms() - q.since_ms > config.reuse_ms_max)
    disconnect(q); // the service may just be closing it
  if (q.connection)
    return post(q);
  q.phase = callback_queue::phase::connecting;
  q.since_ms = now_ms();
  q.dial = ++last_dial;
  self->send(connector, atom::setup_v,
             dial_request{q.dial, q.host, q.port, config.reply_timeout_ms});
}

void service_callback_state::connected(uint64_t dial, socket_fd fd, const std::string& detail) {
  for (auto& [authority, q] : queues) {
    if (q.phase != callback_queue::phase::connecting || q.dial != dial)
      continue;
    q.phase = callback_queue::phase::idle;
    if (!fd) {
      fail(q, true, detail);
      return send_receipts();
    }
    q.connection = self->add_scribe(fd.release());
    q.codec = http::client_connection{reply_limits()};
    self->ack_writes(*q.connection, true);
    self->configure_read(*q.connection, caf::io::receive_policy::at_most(4'096));
    q.since_ms = now_ms();
    return pump(q);
  }
}

void service_callback_state::post(callback_queue& q) {
  q.phase = callback_queue::phase::waiting;
  q.since_ms = now_ms();
  q.touched = false;
  auto& job = q.jobs.front();
  auto text = http::client_connection::encode_request(
    "POST", job.path, q.authority, {{"Content-Type", "application/json"}}, job.body);
  auto& buffer = self->wr_buf(*q.connection);
  buffer.insert(buffer.end(), text.begin(), text.end());
  self->flush(*q.connection);
}

void service_callback_state::transferred(handle h) {
  if (auto q = find(h))
    q->touched = true;
}

void service_callback_state::receive(handle h, const std::vector<char>& bytes) {
  auto q = find(h);
  if (!q)
    return;
  q->codec.receive({bytes.data(), bytes.size()});
  auto response = q->codec.next();
  if (response && q->phase == callback_queue::phase::waiting) {
    if (!response->keep_alive)
      disconnect(*q);
    finish(*q, json_rpc::refusal_in(response->status, response->body));
  } else if (response || q->codec.failure()) {
    fail(*q, false, response ? "an answer nobody asked for" : describe(q->codec.failure()));
  }
  send_receipts();
}

void service_callback_state::closed(handle h) {
  auto q = find(h);
  if (!q)
    return;
  q->codec.transport_closed();
  auto response = q->codec.next();
  q->connection.reset();
  if (response && q->phase == callback_queue::phase::waiting)
    finish(*q, json_rpc::refusal_in(response->status, response->body));
  else
    fail(*q, false, "the service closed the connection");
  send_receipts();
}

/// The service answered the front job.
void service_callback_state::finish(callback_queue& q, std::string refusal) {
  auto& job = q.jobs.front();
  job.end.error = std::move(refusal);
  end(job, job.end.error.empty() ? receipt::status::taken : receipt::status::refused, false);
  q.jobs.pop_front();
  q.phase = callback_queue::phase::idle;
  q.since_ms = now_ms();
  pump(q);
}

/// Ends the front job if it is on its way, or all of them; and the connection with it.
void service_callback_state::fail(callback_queue& q, bool all, const std::string& why) {
  auto waiting = q.phase == callback_queue::phase::waiting;
  if (!q.jobs.empty() && (all || waiting))
    log::info(component, "callback failed", {{"address", q.authority}, {"why", why}});
  disconnect(q);
  for (size_t i = 0; !q.jobs.empty() && (all || (waiting && i == 0)); ++i) {
    end(q.jobs.front(), receipt::status::lost, i > 0 || !waiting || !q.touched);
    q.jobs.pop_front();
  }
  q.phase = callback_queue::phase::idle;
  q.since_ms = now_ms();
  pump(q);
}

/// At once: nothing more of what is buffered may reach the service.
void service_callback_state::disconnect(callback_queue& q) {
  if (!q.connection)
    return;
  ::shutdown(int(q.connection->id()), SHUT_RDWR); // a scribe's handle is its descriptor
  q.connection.reset();
}

void service_callback_state::end(callback_job& job, receipt::status what, bool untouched) {
  job.end.what = what;
  job.end.untouched = what == receipt::status::lost && untouched;
  receipts.push_back(std::move(job.end));
}

void service_callback_state::send_receipts() {
  if (!receipts.empty())
    self->send(config.edge, atom::receipt_v, std::exchange(receipts, {}));
}

void service_callback_state::check_deadlines() {
  for (auto& [authority, q] : queues)
    check_deadline(q);
  std::erase_if(queues, [](const auto& x) {
    return x.second.jobs.empty() && !x.second.connection
           && x.second.phase == callback_queue::phase::idle;
  });
  send_receipts();
  ticking = !queues.empty();
  if (ticking)
    self->delayed_send(self, std::chrono::milliseconds(config.tick_ms), atom::tick_v);
}

void service_callback_state::check_deadline(callback_queue& q) {
  auto now = now_ms();
  // The connector keeps the deadline of connecting.
  if (q.phase == callback_queue::phase::waiting && now - q.since_ms > config.reply_timeout_ms)
    fail(q, false, "no answer in time");
  if (q.phase == callback_queue::phase::idle && q.connection
      && now - q.since_ms > config.reuse_ms_max)
    disconnect(q);
  auto under_way = q.phase == callback_queue::phase::waiting ? 1 : 0;
  while (q.jobs.size() > size_t(under_way)
         && now - q.jobs[size_t(under_way)].queued_ms > config.wait_ms_max) {
    end(q.jobs[size_t(under_way)], receipt::status::lost, true);
    q.jobs.erase(q.jobs.begin() + under_way);
  }
}

struct invocation_job {
  static void fill(const invocation& x, receipt& out) { out.id = x.content->header.id; }
  static caf::error append(std::string& out, uint64_t id, const invocation& x) {
    return json_rpc::append_invoke(out, id, *x.content, x.service_signature);
  }
};

struct outcome_job {
  static void fill(const outcome_delivery& x, receipt& out) {
    out.id = x.notice.id;
    out.outcome = true;
  }
  static caf::error append(std::string& out, uint64_t id, const outcome_delivery& x) {
    return json_rpc::append_reply(out, id, x.notice);
  }
};

caf::behavior service_callback(caf::io::stateful_broker<service_callback_state>* self,
                               const service_callback_config& config) {
  auto& state = self->state;
  state.start(config);
  return {
    [&state](atom::invoke, const std::vector<invocation>& x) { state.take(x, invocation_job{}); },
    [&state](atom::outcome, const std::vector<outcome_delivery>& x) {
      state.take(x, outcome_job{});
    },
    [&state](atom::connected, uint64_t dial, int fd, const std::string& detail) {
      state.connected(dial, socket_fd{fd}, detail);
    },
    [&state](const caf::io::new_data_msg& x) { state.receive(x.handle, x.buf); },
    [&state](const caf::io::data_transferred_msg& x) { state.transferred(x.handle); },
    [&state](const caf::io::connection_closed_msg& x) { state.closed(x.handle); },
    [&state](atom::tick) { state.check_deadlines(); },
    [](atom::respond, const std::vector<call_result>&) {}, // it makes no calls
  };
}

} // namespace

json_rpc_actor start_service_callback(caf::actor_system& system, service_callback_config config) {
  auto broker = system.middleman().spawn_broker(service_callback, std::move(config));
  return caf::actor_cast<json_rpc_actor>(broker);
}

} // namespace rvi
