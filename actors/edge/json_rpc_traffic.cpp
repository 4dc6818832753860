// SPDX-License-Identifier: MPL-2.0
//
// Requests and messages in, answers and hand-overs out. Whatever one event leads to leaves in one
// message to the edge and one write per connection.

#include "actors/edge/json_rpc_state.hpp"
#include "runtime/crypto/signature_checks.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <atomic>

namespace rvi {

namespace {

constexpr size_t read_bytes_busy = size_t{64} << 10;
constexpr std::string_view text_type = "text/plain; charset=utf-8";

/// Never used twice in this process: the edge outlives a server that is restarted.
client_id next_client() {
  static std::atomic<client_id> last = 0;
  return ++last;
}

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

} // namespace

void json_rpc_state::receive(handle h, const std::vector<char>& bytes) {
  auto i = connections.find(h);
  if (i == connections.end() || i->second->closing)
    return;
  auto& c = *i->second;
  c.last_bytes_ms = now_ms();
  if (bytes.size() == c.read_size && c.read_size < read_bytes_busy) {
    c.read_size = read_bytes_busy;
    self->configure_read(h, caf::io::receive_policy::at_most(read_bytes_busy));
  }
  c.receive({bytes.data(), bytes.size()});
  if (c.frames)
    read_frames(h, c);
  else
    read_events(h, c);
  if (c.pending_output() > 0 || c.wants_close())
    mark(h, c);
  flush();
}

void json_rpc_state::read_events(handle h, service_connection& c) {
  text_effects effects;
  while (auto event = c.codec.next()) {
    c.last_event_ms = c.last_bytes_ms; // they came just now
    c.idle_before = false;
    if (auto x = std::get_if<http::request>(&*event)) {
      serve(h, c, *x, effects);
    } else if (auto message = std::get_if<http::text_message>(&*event); message && c.lasting) {
      c.accept_text(message->text, 0, *c.lasting, config->time->wall_ms(), effects);
    } else if (auto end = std::get_if<http::closed>(&*event)) {
      log::debug("json-rpc", "connection ends",
                 {{"principal", c.who.name}, {"reason", end->reason}});
    }
  }
  send_to_edge(effects);
}

void json_rpc_state::read_frames(handle h, service_connection& c) {
  text_effects effects;
  auto now = config->time->wall_ms();
  while (!c.wants_close()) {
    if (c.local && !c.lasting && c.frames->begun())
      greet(h, c);
    auto bytes = c.frames->next();
    if (!bytes) {
      c.fail(bytes.error());
      break;
    }
    if (!*bytes)
      break;
    c.last_event_ms = c.last_bytes_ms;
    auto x = service_frame::decode(**bytes, now, config->connection.text);
    if (!x)
      c.fail(x.error());
    else if (c.lasting)
      c.accept_frame(std::move(*x), (*bytes)->size(), *c.lasting, now, effects);
    else
      meet(h, c, *x);
  }
  send_to_edge(effects);
}

/// The first frame of somebody who came over TCP.
void json_rpc_state::meet(handle h, service_connection& c, const service_frame::received& first) {
  auto hello = std::get_if<service_frame::hello>(&first);
  auto who = hello ? authenticate(config->access, "Bearer " + hello->token) : std::nullopt;
  if (who) {
    c.who = std::move(*who);
    return greet(h, c);
  }
  http_refusal why{401, "a token is needed"};
  count_refusal(c, why);
  c.fail(caf::make_error(ec::unauthenticated, std::string{why.text}));
}

/// It is known who asks.
void json_rpc_state::greet(handle h, service_connection& c) {
  c.idle_before = false;
  c.lasting = next_client();
  clients.emplace(*c.lasting, h);
  c.frames->output() += service_frame::preface;
}

void json_rpc_state::serve(handle h, service_connection& c, http::request& x,
                           text_effects& effects) {
  auto& rules = config->access;
  if (auto why = check_names(rules, x))
    return refuse(c, x, *why);
  if (!c.local) {
    auto who = authenticate(rules, x.header("authorization"));
    if (!who)
      return refuse(c, x, {401, "a token is needed"});
    c.who = std::move(*who);
  }
  if (x.websocket_upgrade)
    return upgrade(h, c, x);
  if (x.method == "GET" && path_of(x.target) == "/metrics")
    return expose_metrics(c, x);
  if (auto why = check_post(x))
    return refuse(c, x, *why);
  auto client = next_client();
  clients.emplace(client, h);
  c.accept_text(x.body, x.sequence, client, config->time->wall_ms(), effects);
}

void json_rpc_state::expose_metrics(service_connection& c, const http::request& x) {
  auto checks = crypto::signature_checks();
  counts.signature_checks->add(checks - std::min(checks, counts.signature_checks->value()));
  c.codec.respond(x.sequence, 200, "text/plain; version=0.0.4; charset=utf-8", registry->expose());
}

void json_rpc_state::upgrade(handle h, service_connection& c, const http::request& x) {
  c.lasting = next_client();
  clients.emplace(*c.lasting, h);
  c.last_ping_ms = c.last_bytes_ms;
  c.codec.accept_websocket(x.sequence);
}

void json_rpc_state::count_refusal(const service_connection& c, http_refusal why) {
  counts.refused_requests->add();
  if (why.status == 401 || why.status == 403 || why.status == 421)
    audit::record("refused", {{"what", "connection of a service"},
                              {"principal", c.who.name},
                              {"code", std::to_string(why.status)},
                              {"reason", why.text}});
  log::debug("json-rpc", "request refused", {{"status", why.status}, {"why", why.text}});
}

void json_rpc_state::refuse(service_connection& c, const http::request& x, http_refusal why) {
  count_refusal(c, why);
  http::header_list extra;
  if (why.status == 401)
    extra.emplace_back("WWW-Authenticate", "Bearer");
  if (why.status == 405)
    extra.emplace_back("Allow", "POST");
  c.codec.respond(x.sequence, why.status, text_type, std::string(why.text) + "\n", extra);
}

void json_rpc_state::send_to_edge(text_effects& effects) {
  for (auto client : effects.finished)
    clients.erase(client);
  counts.calls->add(effects.calls.size());
  if (!effects.receipts.empty())
    self->send(config->edge, atom::receipt_v, std::move(effects.receipts));
  for (auto client : effects.roomy)
    self->send(config->edge, atom::credit_v, client);
  if (!effects.calls.empty())
    self->send(config->edge, atom::call_v, std::move(effects.calls));
}

service_connection* json_rpc_state::find(client_id client, handle& h) {
  auto i = clients.find(client);
  if (i == clients.end())
    return nullptr;
  h = i->second;
  auto c = connections.find(h);
  return c == connections.end() || c->second->closing ? nullptr : c->second.get();
}

void json_rpc_state::respond(const std::vector<call_result>& results) {
  text_effects effects;
  client_id last = 0;
  service_connection* c = nullptr;
  handle h;
  for (auto& x : results) {
    if (x.client != last || !c)
      c = find(x.client, h);
    last = x.client;
    if (!c)
      continue; // it is gone
    c->answer(x, effects);
    mark(h, *c);
    counts.answers->add();
    if (x.error)
      counts.errors->add();
  }
  send_to_edge(effects);
  flush();
}

/// Hands each to its connection; what has none goes to `by_address`.
template <class Delivery, class Content>
void json_rpc_state::deliver(const std::vector<Delivery>& list, Content content,
                             std::vector<Delivery>& by_address) {
  std::vector<receipt> ended;
  handle h;
  for (auto& x : list) {
    if (x.client == 0) {
      by_address.push_back(x);
      continue;
    }
    auto end = content.receipt_of(x);
    auto c = find(x.client, h);
    if (c && c->deliver(content.of(x), end)) {
      counts.deliveries->add();
      mark(h, *c);
      continue;
    }
    if (!c) {
      end.what = receipt::status::lost;
      end.untouched = true;
    }
    ended.push_back(std::move(end));
  }
  if (!ended.empty())
    self->send(config->edge, atom::receipt_v, std::move(ended));
  flush();
}

namespace {

struct invocation_content {
  static const invocation& of(const invocation& x) { return x; }
  static receipt receipt_of(const invocation& x) {
    receipt result;
    result.id = x.content->header.id;
    return result;
  }
};

struct outcome_content {
  static const outcome_notice& of(const outcome_delivery& x) { return x.notice; }
  static receipt receipt_of(const outcome_delivery& x) {
    receipt result;
    result.id = x.notice.id;
    result.outcome = true;
    return result;
  }
};

} // namespace

void json_rpc_state::invoke(const std::vector<invocation>& requests) {
  std::vector<invocation> by_address;
  deliver(requests, invocation_content{}, by_address);
  if (!by_address.empty())
    self->send(callback, atom::invoke_v, std::move(by_address));
}

void json_rpc_state::outcome(const std::vector<outcome_delivery>& outcomes) {
  std::vector<outcome_delivery> by_address;
  deliver(outcomes, outcome_content{}, by_address);
  if (!by_address.empty())
    self->send(callback, atom::outcome_v, std::move(by_address));
}

void json_rpc_state::available(const std::vector<availability_report>& reports) {
  handle h;
  for (auto& x : reports) {
    auto c = find(x.client, h);
    if (!c || !c->lasting)
      continue;
    // The state as it is always goes out, or who reads slowly would never have all of it.
    auto unread = c->appended - c->transferred + c->pending_output();
    if (!x.current && (c->behind || unread > config->report_bytes_max)) {
      c->behind = true;
      counts.reports_left_out->add();
      continue;
    }
    c->tell(x);
    counts.reports->add();
    mark(h, *c);
  }
  flush();
}

/// Each value is written once, for however many.
void json_rpc_state::publish(const std::vector<metric_delivery>& values) {
  std::string text;
  handle h;
  for (auto& x : values) {
    text.clear();
    json_rpc::append_metric(text, *x.value);
    for (auto client : x.clients) {
      auto c = find(client, h);
      if (!c)
        continue; // it gets the newest when it comes again
      if (auto given_up = c->deliver(x.value, text); given_up > 0)
        counts.metrics_replaced->add(given_up);
      mark(h, *c);
    }
  }
  flush();
}

} // namespace rvi
