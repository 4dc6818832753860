// SPDX-License-Identifier: MPL-2.0
//
// Connections come, are flushed, and end. What they carry is in json_rpc_traffic.cpp.

#include "actors/edge/json_rpc.hpp"

#include "actors/edge/json_rpc_state.hpp"
#include "runtime/observe/log.hpp"

#include <caf/io/middleman.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <sys/socket.h>

namespace rvi {

namespace {

constexpr const char* component = "json-rpc";
constexpr size_t read_bytes_first = size_t{4} << 10;

/// A scribe's handle is its descriptor.
int descriptor(caf::io::connection_handle h) {
  return int(h.id());
}

json_rpc_state::measures make_measures(metrics::registry& x) {
  json_rpc_state::measures m;
  m.connections = &x.get_gauge("rvi_api_connections", "Connections of services.");
  m.calls = &x.get_counter("rvi_api_calls_total", "Calls passed to the service edge.");
  m.answers = &x.get_counter("rvi_api_answers_total", "Answers to calls.");
  m.errors = &x.get_counter("rvi_api_errors_total", "Answers that are errors.");
  m.deliveries
    = &x.get_counter("rvi_api_deliveries_total", "Requests and outcomes handed to connections.");
  m.refused_requests = &x.get_counter("rvi_api_refused_requests_total",
                                      "HTTP requests refused by the access rules.");
  m.refused_connections
    = &x.get_counter("rvi_api_refused_connections_total", "Connections over the limit.");
  m.slow_consumers
    = &x.get_counter("rvi_api_slow_consumers_total", "Connections closed for not reading.");
  m.reports = &x.get_counter("rvi_api_reports_total", "Availability reports to connections.");
  m.reports_left_out
    = &x.get_counter("rvi_api_reports_left_out_total",
                     "Availability reports replaced by the state at a later time.");
  m.timeouts = &x.get_counter("rvi_api_timeouts_total", "Connections closed for their silence.");
  m.metrics_replaced = &x.get_counter("rvi_metric_values_replaced_total",
                                      "Metrics a slow reader did not get: newer ones came.",
                                      {{"reader", "service"}});
  m.signature_checks = &x.get_counter("rvi_signature_checks_total",
                                      "Signatures of others that this process has checked.");
  return m;
}

} // namespace

void json_rpc_state::start(std::shared_ptr<const json_rpc_config> x,
                           const std::vector<listening_socket_ptr>& on) {
  config = std::move(x);
  registry = config->metrics ? config->metrics : std::make_shared<metrics::registry>();
  counts = make_measures(*registry);
  started = self->clock().now();
  callback = start_service_callback(self->system(), config->callback);
  self->link_to(callback);
  for (auto& socket : on)
    listeners.emplace_back(self->system(), socket, self->address());
}

// The edge outlives its server and must hear of every end. Output nobody reads would keep the
// middleman from stopping, so nothing more is written.
json_rpc_state::~json_rpc_state() {
  for (auto& [h, c] : connections)
    abort(h, *c);
}

void json_rpc_state::take(accepted_socket& x) {
  if (connections.size() >= config->connections_max) {
    counts.refused_connections->add();
    return; // closes with x
  }
  principal who = x.uid ? principal_of(config->access, *x.uid, x.gid) : principal{};
  auto h = self->add_scribe(x.fd.release());
  auto c = std::make_unique<service_connection>(config->connection, std::move(who));
  c->local = x.uid.has_value();
  c->last_event_ms = c->last_bytes_ms = now_ms();
  c->read_size = read_bytes_first;
  self->ack_writes(h, true);
  self->configure_read(h, caf::io::receive_policy::at_most(read_bytes_first));
  watch(h, *c);
  connections[h] = std::move(c);
  counts.connections->set(double(connections.size()));
}

void json_rpc_state::ended(handle h) {
  auto i = connections.find(h);
  if (i == connections.end())
    return;
  auto c = std::move(i->second);
  connections.erase(i);
  due.erase({c->due_ms, h});
  forget(*c, c->transferred);
  counts.connections->set(double(connections.size()));
}

void json_rpc_state::transferred(handle h, uint64_t written) {
  auto i = connections.find(h);
  if (i == connections.end())
    return;
  auto& c = *i->second;
  c.transferred += written;
  if (c.behind && !c.closing && c.appended - c.transferred <= config->report_bytes_max / 2) {
    c.behind = false;
    self->send(config->edge, atom::available_v, *c.lasting);
  }
  if (c.closing && c.transferred == c.appended)
    ::shutdown(descriptor(h), SHUT_WR);
  if (!c.closing && c.send_metrics())
    flush_one(h, c);
}

/// Tells the edge what is lost with a connection; once.
void json_rpc_state::forget(service_connection& c, uint64_t sent) {
  for (auto client : c.clients())
    clients.erase(client);
  if (auto lost = c.lose_deliveries(sent); !lost.empty())
    caf::anon_send(config->edge, atom::receipt_v, std::move(lost));
  if (!std::exchange(c.forgotten, true))
    for (auto client : c.clients())
      caf::anon_send(config->edge, atom::closed_v, client);
}

void json_rpc_state::mark(handle h, service_connection& c) {
  if (!std::exchange(c.dirty, true))
    dirty.push_back(h);
}

void json_rpc_state::flush() {
  for (size_t i = 0; i < dirty.size(); ++i) {
    auto found = connections.find(dirty[i]);
    if (found != connections.end())
      flush_one(found->first, *found->second);
  }
  dirty.clear();
}

void json_rpc_state::flush_one(handle h, service_connection& c) {
  c.dirty = false;
  if (c.closing)
    return;
  auto size = c.pending_output();
  if (size > 0) {
    c.take_output(self->wr_buf(h));
    c.appended += size;
    self->flush(h);
  }
  if (c.appended - c.transferred > config->output_bytes_max) {
    counts.slow_consumers->add();
    log::warning(component, "slow consumer closed",
                 {{"principal", c.who.name}, {"bytes", c.appended - c.transferred}});
    abort(h, c);
  } else if (c.wants_close()) {
    close_orderly(h, c);
  }
  watch(h, c); // what was answered is idle now
}

/// What is in the buffers still leaves, then the peer should close; until then what it sends is
/// read and dropped, because a reset could overtake our last answer. The broker's own `close` is of
/// no use: it closes at once, tells nobody, and waits for ever for a peer that does not read.
void json_rpc_state::close_orderly(handle h, service_connection& c) {
  c.closing = true;
  c.closing_ms = now_ms();
  forget(c, c.appended);
  if (c.transferred == c.appended)
    ::shutdown(descriptor(h), SHUT_WR);
}

/// Ends a connection whose peer cannot be waited for. The broker hears of it as of any other end.
void json_rpc_state::abort(handle h, service_connection& c) {
  c.closing = c.cut = true;
  ::shutdown(descriptor(h), SHUT_RDWR);
  forget(c, c.transferred);
}

uint64_t json_rpc_state::now_ms() const {
  auto passed = self->clock().now() - started;
  return uint64_t(std::chrono::duration_cast<std::chrono::milliseconds>(passed).count());
}

uint64_t json_rpc_state::deadline_ms(const service_connection& c) const {
  if (c.closing)
    return c.cut ? 0 : c.closing_ms + config->linger_ms;
  if (c.frames && c.lasting)
    return 0; // on this machine: its end is always seen
  if (c.lasting)
    return std::min(c.last_bytes_ms + config->pong_timeout_ms,
                    std::max(c.last_bytes_ms, c.last_ping_ms) + config->ping_interval_ms);
  if (c.codec.unanswered() > 0)
    return 0;
  return c.last_event_ms + (c.idle_before ? config->handshake_timeout_ms : config->idle_timeout_ms);
}

void json_rpc_state::watch(handle h, service_connection& c) {
  auto at = deadline_ms(c);
  if (at == 0 || (c.due_ms != 0 && c.due_ms <= at))
    return;
  auto now = now_ms();
  auto grain = std::max<uint64_t>(config->tick_ms, 1);
  at = (std::max(at, now + 1) + grain - 1) / grain * grain;
  if (c.due_ms != 0 && c.due_ms <= at)
    return;
  due.erase({c.due_ms, h});
  c.due_ms = at;
  due.emplace(at, h);
  timer.arm(self, now, due.begin()->first);
}

void json_rpc_state::check_deadlines() {
  timer.fired();
  auto now = now_ms();
  while (!due.empty() && due.begin()->first <= now) {
    auto h = due.begin()->second;
    due.erase(due.begin());
    auto& c = *connections.find(h)->second;
    c.due_ms = 0;
    check_deadline(h, c);
    watch(h, c);
  }
  flush();
  if (!due.empty())
    timer.arm(self, now, due.begin()->first);
}

void json_rpc_state::check_deadline(handle h, service_connection& c) {
  auto now = now_ms();
  auto over = [now](uint64_t since, uint64_t limit) { return now - since >= limit; };
  if (c.closing) {
    if (!c.cut && over(c.closing_ms, config->linger_ms)) {
      c.cut = true;
      ::shutdown(descriptor(h), SHUT_RDWR);
    }
    return;
  }
  auto silent = false;
  if (c.lasting && c.frames)
    return;
  if (c.lasting) {
    silent = over(c.last_bytes_ms, config->pong_timeout_ms);
    if (!silent && over(c.last_bytes_ms, config->ping_interval_ms)
        && over(c.last_ping_ms, config->ping_interval_ms)) {
      c.last_ping_ms = now;
      c.codec.send_ping();
      mark(h, c);
    }
  } else if (c.codec.unanswered() == 0) {
    silent = over(c.last_event_ms,
                  c.idle_before ? config->handshake_timeout_ms : config->idle_timeout_ms);
  }
  if (silent) {
    counts.timeouts->add();
    log::debug(component, "silent connection closed", {{"principal", c.who.name}});
    abort(h, c);
  }
}

namespace {

caf::behavior json_rpc_broker(caf::io::stateful_broker<json_rpc_state>* self,
                              const std::shared_ptr<const json_rpc_config>& config,
                              const std::vector<listening_socket_ptr>& on) {
  auto& state = self->state;
  state.start(config, on);
  return {
    [&state](const caf::io::new_data_msg& x) { state.receive(x.handle, x.buf); },
    [&state](const caf::io::data_transferred_msg& x) { state.transferred(x.handle, x.written); },
    [&state](const caf::io::connection_closed_msg& x) { state.ended(x.handle); },
    [&state](const accepted_socket_ptr& x) { state.take(*x); },
    [&state](atom::respond, const std::vector<call_result>& x) { state.respond(x); },
    [&state](atom::invoke, const std::vector<invocation>& x) { state.invoke(x); },
    [&state](atom::outcome, const std::vector<outcome_delivery>& x) { state.outcome(x); },
    [&state](atom::available, const std::vector<availability_report>& x) { state.available(x); },
    [&state](atom::publish, const std::vector<metric_delivery>& x) { state.publish(x); },
    [&state](atom::tick) { state.check_deadlines(); },
  };
}

/// Services may know us by the address we listen on, unless it stands for all.
void complete_rules(json_rpc_config& config, uint16_t port) {
  config.access.port = port;
  auto& address = config.address;
  if (address != "0.0.0.0" && address != "::" && address != "[::]" && !address.empty()) {
    auto bare_v6 = address.find(':') != address.npos && address.front() != '[';
    config.access.hosts.push_back(bare_v6 ? "[" + address + "]" : address);
  }
  config.callback.own_ports.push_back(port);
  config.callback.edge = config.edge;
  auto& http = config.connection.http;
  config.connection.text.text.bytes_max = std::max(http.body_bytes_max, http.message_bytes_max);
}

} // namespace

void allow_requests_of(json_rpc_config& config, uint64_t request_bytes_max) {
  // The rest is for the call around them, so that what is a little too large is told the limit.
  constexpr uint64_t around = uint64_t{4} << 20;
  auto& http = config.connection.http;
  http.body_bytes_max = std::max(http.body_bytes_max, request_bytes_max + around);
  http.message_bytes_max = std::max(http.message_bytes_max, request_bytes_max + around);
  config.output_bytes_max = std::max(config.output_bytes_max, 2 * request_bytes_max + around);
}

expected<json_rpc_server> start_json_rpc(caf::actor_system& system, json_rpc_config config) {
  json_rpc_server result;
  std::vector<listening_socket_ptr> on;
  if (!config.address.empty()) {
    auto tcp = listen_tcp(config.address, config.port);
    if (!tcp)
      return tcp.error();
    result.port = (*tcp)->port;
    on.push_back(std::move(*tcp));
  }
  if (!config.unix_socket.empty()) {
    auto local = listen_unix(config.unix_socket);
    if (!local)
      return local.error();
    on.push_back(std::move(*local));
  }
  complete_rules(config, result.port);
  auto shared = std::make_shared<const json_rpc_config>(std::move(config));
  auto broker = system.middleman().spawn_broker(json_rpc_broker, shared, on);
  result.actor = caf::actor_cast<json_rpc_actor>(broker);
  log::info(
    component, "serving",
    {{"address", shared->address}, {"port", result.port}, {"unix_socket", shared->unix_socket}});
  return result;
}

} // namespace rvi
