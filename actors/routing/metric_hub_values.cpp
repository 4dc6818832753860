// SPDX-License-Identifier: MPL-2.0
//
// Values of the metric hub: kept by topic and source, and offered to who wants them. The topics of
// a node lie together, so that one node can take no other's room.

#include "actors/routing/metric_hub.hpp"
#include "messages/name.hpp"
#include "messages/wire/metric.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace rvi {

namespace {

constexpr size_t overhead_bytes = 256; // of one topic, besides its texts

size_t size_of(const metric_value& x) {
  return 2 * (x.topic.size() + x.source.size()) + x.value.size() + overhead_bytes;
}

std::string key_of(const metric_value& x) {
  std::string result;
  result.reserve(x.topic.size() + 1 + x.source.size());
  result += x.topic;
  result += '\0';
  result += x.source;
  return result;
}

std::optional<double> number_of(const std::string& json) {
  double result = 0;
  auto* end = json.data() + json.size();
  auto [rest, err] = std::from_chars(json.data(), end, result);
  return err == std::errc{} && rest == end ? std::optional{result} : std::nullopt;
}

bool has_changed(const std::string& before, const std::string& after, double amount) {
  if (before == after)
    return false;
  auto x = number_of(before);
  auto y = number_of(after);
  return !x || !y || (*x != *y && std::abs(*x - *y) >= amount);
}

} // namespace

metric_passage passage_of(const metric_outlet& outlet, const metric_value& x, uint64_t boot_ms) {
  if (!outlet.last)
    return metric_passage::now;
  auto& filter = outlet.to->what.filter;
  if (!is_newer(x, *outlet.last))
    return metric_passage::never;
  if (filter.min_change && !has_changed(outlet.last->value, x.value, *filter.min_change))
    return metric_passage::never;
  return boot_ms - outlet.last_ms < filter.min_interval_ms ? metric_passage::later
                                                           : metric_passage::now;
}

// -- keeping ------------------------------------------------------------------------------------

caf::error metric_hub_state::take_value(const node_uid& origin, metric_value_ptr x, bool retained) {
  auto place = place_for(origin, *x);
  if (!place)
    return std::move(place.error());
  auto& topic = **place;
  topic.retained = topic.retained || retained;
  if (topic.value && !is_newer(*x, *topic.value))
    return {};
  auto& from = origins[origin];
  bool is_new = !topic.value;
  auto bytes = size_of(*x);
  from.bytes += bytes - topic.bytes; // may wrap to and fro
  if (origin != config.node->uid)
    remote_bytes += bytes - topic.bytes;
  topic.bytes = bytes;
  topic.value = std::move(x);
  if (is_new)
    find_outlets(topic);
  offer(topic);
  return {};
}

expected<metric_topic*> metric_hub_state::place_for(const node_uid& origin, const metric_value& x) {
  bool own = origin == config.node->uid;
  auto& from = origins[origin];
  auto key = key_of(x);
  auto known = from.topics.find(key);
  auto before = known == from.topics.end() ? 0 : known->second.bytes;
  auto more = size_of(x) > before ? size_of(x) - before : 0;
  auto fits = [&] {
    if (known == from.topics.end()
        && from.topics.size() >= (own ? config.topics_max : config.peer_topics_max))
      return false;
    return from.bytes + more <= (own ? config.bytes_max : config.peer_bytes_max)
           && (own || remote_bytes + more <= config.remote_bytes_max);
  };
  if (!fits()) {
    drop_expired(origin);
    known = from.topics.find(key);
    before = known == from.topics.end() ? 0 : known->second.bytes;
    more = size_of(x) > before ? size_of(x) - before : 0;
  }
  if (!fits())
    return caf::make_error(ec::busy, std::string{"too many topics, or too large values"});
  if (known != from.topics.end())
    return &known->second;
  auto& topic = from.topics[std::move(key)];
  topic.number = ++last_number;
  topic.origin = origin;
  topics.emplace(topic.number, &topic);
  counts.kept->set(static_cast<double>(topics.size()));
  return &topic;
}

void metric_hub_state::find_outlets(metric_topic& topic) {
  if (!ready)
    return; // who wants it joins later
  auto& name = topic.value->topic;
  for (auto& [pattern, subscribers] : patterns)
    if (matches(pattern, name))
      for (auto& [number, to] : subscribers)
        topic.outlets.push_back({to, nullptr, 0, false});
  if (topic.origin != config.node->uid)
    return;
  for (auto& [number, link] : links)
    for (auto& [pattern, to] : link.wanted)
      if (matches(pattern, name))
        topic.outlets.push_back({to, nullptr, 0, false});
}

metric_hub_state::topic_iterator metric_hub_state::forget(origin_state& from, topic_iterator i) {
  auto& topic = i->second;
  from.bytes -= topic.bytes;
  if (topic.origin != config.node->uid)
    remote_bytes -= topic.bytes;
  topics.erase(topic.number);
  counts.kept->set(static_cast<double>(topics.size()));
  return from.topics.erase(i);
}

void metric_hub_state::drop_expired(const node_uid& origin) {
  auto& from = origins[origin];
  auto now = wall_ms();
  durable_work work;
  for (auto i = from.topics.begin(); i != from.topics.end();) {
    auto& topic = i->second;
    if (topic.value && !has_expired(*topic.value, now)) {
      ++i;
      continue;
    }
    if (topic.value && topic.retained)
      work.steps.push_back(releasing(*topic.value));
    i = forget(from, i);
  }
  if (!work.steps.empty())
    commit(std::move(work), [](const caf::error&) {});
}

/// Values of others are kept only for those who want them.
void metric_hub_state::drop_unwanted(const std::string& pattern) {
  auto wanted_still = [](const metric_topic& topic) {
    return std::any_of(topic.outlets.begin(), topic.outlets.end(),
                       [](auto& x) { return !x.to->ended; });
  };
  for (auto o = origins.begin(); o != origins.end();) {
    auto& [uid, from] = *o;
    bool own = uid == config.node->uid;
    for (auto i = from.topics.begin(); !own && i != from.topics.end();)
      i = matches(pattern, i->second.value->topic) && !wanted_still(i->second) ? forget(from, i)
                                                                               : std::next(i);
    o = !own && from.topics.empty() && !links_by_uid.count(uid) ? origins.erase(o) : std::next(o);
  }
}

// -- offering -----------------------------------------------------------------------------------

metric_hub_state::reader metric_hub_state::reader_of(const metric_subscriber& x) const {
  if (x.link == 0)
    return {0, x.client};
  auto link = links.find(x.link);
  bool reachable
    = link != links.end() && !link->second.closing && serves(x.link, link->second.peer.uid);
  return {reachable ? x.link : 0, 0};
}

bool metric_hub_state::may_be_seen(const metric_topic& topic) const {
  auto& x = *topic.value;
  if (has_expired(x, wall_ms()))
    return false;
  if (topic.origin == config.node->uid)
    return !check_publisher(x);
  auto from = origins.find(topic.origin);
  return from != origins.end() && may_publish(from->second.credentials, x.topic);
}

void metric_hub_state::offer(metric_topic& topic, uint64_t only) {
  auto now = boot_ms();
  std::vector<reader> readers;
  std::erase_if(topic.outlets, [](auto& x) { return x.to->ended; });
  for (auto& x : topic.outlets) {
    if (only != 0 && x.to->number != only)
      continue;
    auto to = reader_of(*x.to);
    if (to == reader{} || !is_allowed(*x.to))
      continue;
    auto passage = passage_of(x, *topic.value, now);
    if (passage == metric_passage::now) {
      readers.push_back(to);
    } else if (passage == metric_passage::later && !std::exchange(x.waiting, true)) {
      due.insert({x.last_ms + x.to->what.filter.min_interval_ms, topic.number, x.to->number});
      arm();
    }
  }
  if (readers.empty())
    return;
  // Whoever has several subscriptions to it gets it once.
  std::sort(readers.begin(), readers.end());
  readers.erase(std::unique(readers.begin(), readers.end()), readers.end());
  for (auto& x : topic.outlets)
    if (std::binary_search(readers.begin(), readers.end(), reader_of(*x.to))) {
      x.last = topic.value;
      x.last_ms = now;
    }
  send(readers, topic.value);
}

void metric_hub_state::interval_over(uint64_t topic, uint64_t subscriber) {
  auto found = topics.find(topic);
  if (found == topics.end())
    return;
  for (auto& x : found->second->outlets)
    if (x.to->number == subscriber)
      x.waiting = false;
  if (may_be_seen(*found->second))
    offer(*found->second, subscriber);
}

void metric_hub_state::join(const metric_subscriber_ptr& to) {
  auto literal = std::string{literal_part(to->what.pattern)};
  for (auto& [uid, from] : origins) {
    if (to->link != 0 && uid != config.node->uid)
      continue;
    for (auto i = from.topics.lower_bound(literal);
         i != from.topics.end() && i->first.starts_with(literal); ++i) {
      auto& topic = i->second;
      if (!matches(to->what.pattern, topic.value->topic))
        continue;
      topic.outlets.push_back({to, nullptr, 0, false});
      if (may_be_seen(topic))
        offer(topic, to->number);
    }
  }
}

template <class Predicate>
void metric_hub_state::offer_again(const Predicate& is_meant) {
  for (auto& [number, topic] : topics) {
    std::vector<uint64_t> meant;
    for (auto& x : topic->outlets)
      if (!x.to->ended && is_meant(*x.to)) {
        x.last = nullptr;
        meant.push_back(x.to->number);
      }
    if (meant.empty() || !may_be_seen(*topic))
      continue;
    for (auto subscriber : meant)
      offer(*topic, subscriber);
  }
}

void metric_hub_state::offer_to_service(const std::string& service) {
  offer_again([&](const metric_subscriber& x) { return x.link == 0 && x.service == service; });
}

void metric_hub_state::offer_to_link(uint64_t link) {
  offer_again([&](const metric_subscriber& x) { return x.link == link; });
}

void metric_hub_state::send(const std::vector<reader>& to, const metric_value_ptr& x) {
  metric_delivery local;
  for (auto& [link, client] : to) {
    if (link == 0) {
      local.clients.push_back(client);
      continue;
    }
    links[link].outgoing.push_back(x);
    outgoing_links.insert(link);
  }
  if (!local.clients.empty()) {
    local.value = x;
    outgoing.push_back(std::move(local));
  }
  flush_soon();
}

/// What has queued up here by then goes in one message for each link.
void metric_hub_state::flush_soon() {
  if (!std::exchange(flushing, true))
    self->send(self, atom::flush_v);
}

void metric_hub_state::flush() {
  flushing = false;
  for (auto number : std::exchange(outgoing_links, {})) {
    auto i = links.find(number);
    if (i == links.end() || i->second.outgoing.empty())
      continue;
    counts.to_peers->add(i->second.outgoing.size());
    self->send(i->second.handle, atom::publish_v, std::exchange(i->second.outgoing, {}));
  }
  if (outgoing.empty())
    return;
  for (auto& x : outgoing)
    counts.to_services->add(x.clients.size());
  if (server)
    self->send(server, atom::publish_v, std::move(outgoing));
  outgoing.clear();
}

} // namespace rvi
