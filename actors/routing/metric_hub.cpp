// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/metric_hub.hpp"

#include "messages/name.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {
constexpr const char* component = "metric-hub";
} // namespace

// -- calls of local services --------------------------------------------------------------------

caf::result<std::vector<caf::error>> metric_hub_state::call(std::vector<metric_call> xs) {
  auto promise = self->make_response_promise<std::vector<caf::error>>();
  when_ready([this, promise, xs = std::move(xs)]() mutable { take_all(xs, promise); });
  return promise;
}

void metric_hub_state::take_all(
  std::vector<metric_call>& xs,
  const caf::typed_response_promise<std::vector<caf::error>>& promise) {
  durable_work work;
  std::vector<caf::error> results;
  results.reserve(xs.size());
  for (auto& x : xs)
    results.push_back(std::visit([&](auto& call) { return take(call, work); }, x));
  auto answer = promise;
  if (work.steps.empty()) {
    answer.deliver(std::move(results));
    return;
  }
  commit(std::move(work), [answer, results = std::move(results)](const caf::error& err) mutable {
    if (err)
      for (auto& x : results)
        x = x ? x : err;
    answer.deliver(std::move(results));
  });
}

caf::error metric_hub_state::take(subscribe_metric& x, durable_work& work) {
  metric_subscriber asked;
  asked.what = x.what;
  asked.service = x.service;
  uint64_t until_ms = 0;
  if (auto err = check_subscriber(asked, until_ms)) {
    counts.refused->add();
    return err;
  }
  auto held = services.find(x.service);
  auto of_service = held == services.end() ? 0 : held->second.size();
  bool known = of_service > 0 && held->second.count(x.what.pattern) > 0;
  if (!known && of_service >= config.subscriptions_per_service_max)
    return caf::make_error(ec::busy,
                           x.service + " has " + std::to_string(of_service) + " subscriptions");
  if (!known && subscriptions >= config.subscriptions_max)
    return caf::make_error(ec::busy, std::string{"too many subscriptions on this node"});
  subscribe(x);
  work.steps.push_back(storing(x));
  if (!known)
    work.undo.push_back(
      [this, service = x.service, pattern = x.what.pattern] { unsubscribe(service, pattern); });
  return {};
}

caf::error metric_hub_state::take(unsubscribe_metric& x, durable_work& work) {
  auto held = services.find(x.service);
  if (held == services.end() || !held->second.count(x.pattern))
    return caf::make_error(ec::not_found, x.service + " has no subscription to " + x.pattern);
  unsubscribe(x.service, x.pattern);
  work.steps.push_back(erasing(x.service, x.pattern));
  return {};
}

caf::error metric_hub_state::take(publish_metric& x, durable_work& work) {
  if (auto err = check_publisher(x.content)) {
    counts.refused->add();
    return err;
  }
  x.content.seq = ++last_seq;
  auto value = std::make_shared<const metric_value>(std::move(x.content));
  if (auto err = take_value(config.node->uid, value, x.retain))
    return err;
  counts.published->add();
  if (x.retain)
    work.steps.push_back(retaining(*value));
  return {};
}

void metric_hub_state::subscribe(const subscribe_metric& x) {
  auto& slot = services[x.service][x.what.pattern];
  if (slot) {
    slot->ended = true; // its outlets go when they are next looked at
    patterns[x.what.pattern].erase(slot->number);
    --subscriptions;
  }
  slot = std::make_shared<metric_subscriber>();
  slot->number = ++last_number;
  slot->what = x.what;
  slot->service = x.service;
  slot->principal = x.principal;
  auto at = connected.find(x.service);
  if (at != connected.end() && at->second.principal == x.principal)
    slot->client = at->second.client;
  patterns[x.what.pattern][slot->number] = slot;
  counts.subscribed->set(static_cast<double>(++subscriptions));
  join(slot);
  tell_peers(x.what.pattern);
  demand_soon();
}

void metric_hub_state::unsubscribe(const std::string& service, const std::string& pattern) {
  auto held = services.find(service);
  if (held == services.end())
    return;
  auto i = held->second.find(pattern);
  if (i == held->second.end())
    return;
  i->second->ended = true;
  auto of_pattern = patterns.find(pattern);
  of_pattern->second.erase(i->second->number);
  if (of_pattern->second.empty())
    patterns.erase(of_pattern);
  held->second.erase(i);
  if (held->second.empty())
    services.erase(held);
  counts.subscribed->set(static_cast<double>(--subscriptions));
  tell_peers(pattern);
  drop_unwanted(pattern);
}

void metric_hub_state::service_available(const std::string& service, const std::string& principal,
                                         client_id at) {
  if (at == 0)
    connected.erase(service);
  else
    connected[service] = {principal, at};
  auto held = services.find(service);
  if (held == services.end())
    return;
  for (auto& [pattern, x] : held->second)
    x->client = x->principal == principal ? at : 0;
  if (at != 0)
    offer_to_service(service);
}

void metric_hub_state::service_gone(const std::string& service) {
  connected.erase(service);
  auto held = services.find(service);
  if (held == services.end())
    return;
  durable_work work;
  std::vector<std::string> ended;
  for (auto& [pattern, x] : held->second)
    ended.push_back(pattern);
  for (auto& pattern : ended) {
    work.steps.push_back(erasing(service, pattern));
    unsubscribe(service, pattern);
  }
  commit(std::move(work), [service](const caf::error& err) {
    if (err)
      log::error(component, "subscriptions of a service that has gone stay in the store",
                 {{"service", service}, {"error", describe(err)}});
  });
}

// -- time and state -----------------------------------------------------------------------------

void metric_hub_state::arm() {
  auto next = due.empty() ? UINT64_MAX : due.begin()->at_ms;
  if (demand_at_ms != 0)
    next = std::min(next, demand_at_ms);
  if (next != UINT64_MAX)
    timer.arm(self, boot_ms(), next);
}

void metric_hub_state::wake() {
  timer.fired();
  auto now = boot_ms();
  while (!due.empty() && due.begin()->at_ms <= now) {
    auto x = *due.begin();
    due.erase(due.begin());
    interval_over(x.topic, x.subscriber);
  }
  if (demand_at_ms != 0 && demand_at_ms <= now)
    demand_links();
  arm();
}

std::string metric_hub_state::status() const {
  json::writer out;
  out.begin_object()
    .member("subscriptions", uint64_t{subscriptions})
    .member("peer_subscriptions", uint64_t{remote_subscriptions})
    .member("topics", uint64_t{topics.size()})
    .end_object();
  return out.take();
}

namespace {

void make_counts(metric_hub_state& st, metrics::registry& m) {
  auto& c = st.counts;
  c.published = &m.get_counter("rvi_metric_published_total", "Metrics published here.");
  c.received = &m.get_counter("rvi_metric_received_total", "Metrics taken from peers.");
  c.dropped = &m.get_counter("rvi_metric_dropped_total",
                             "Metrics of peers dropped: not wanted, no right, or no room.");
  c.refused = &m.get_counter("rvi_metric_refused_total",
                             "Subscriptions and metrics refused for want of a right or room.");
  c.to_services
    = &m.get_counter("rvi_metric_to_services_total", "Metrics handed to local services.");
  c.to_peers = &m.get_counter("rvi_metric_to_peers_total", "Metrics handed to links.");
  c.kept = &m.get_gauge("rvi_metric_topics", "Topics whose newest value is kept.");
  c.subscribed
    = &m.get_gauge("rvi_metric_subscriptions", "Subscriptions of local services to metrics.");
}

} // namespace

metric_hub_actor::behavior_type
metric_hub(metric_hub_actor::stateful_pointer<metric_hub_state> self, metric_hub_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  make_counts(st, *st.config.node->metrics);
  self->set_down_handler([&st](const caf::down_msg& x) { st.link_down(x.source); });
  st.recover();
  return {
    [&st](atom::call, std::vector<metric_call>& xs) { return st.call(std::move(xs)); },
    [&st](atom::available, const std::string& service, const std::string& principal, client_id at) {
      st.when_ready(
        [&st, service, principal, at] { st.service_available(service, principal, at); });
    },
    [&st](atom::unreg, const std::string& service) {
      st.when_ready([&st, service] { st.service_gone(service); });
    },
    [&st](atom::link_up, link_actor& handle, link_info& info) {
      st.link_up(std::move(handle), std::move(info));
    },
    [&st](atom::subscribe, uint64_t link, metric_subscriptions& x) {
      st.peer_wants(link, std::move(x));
    },
    [&st](atom::publish, uint64_t link, std::vector<metric_value_ptr>& xs) {
      st.peer_sent(link, std::move(xs));
    },
    [&st](atom::status) { return st.status(); },
    [&st](atom::attach, json_rpc_actor& server) { st.server = std::move(server); },
    [&st](atom::attach, data_link_actor& data_link) {
      st.data_link = std::move(data_link);
      st.demand_soon();
    },
    [&st](atom::flush) { st.flush(); },
    [&st](atom::tick) { st.wake(); },
  };
}

} // namespace rvi
