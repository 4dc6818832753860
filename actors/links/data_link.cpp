// SPDX-License-Identifier: MPL-2.0

#include "actors/links/data_link.hpp"

#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "data-link";
// A link that ends sooner has helped nobody: it counts as a failed dial, and who asked for it still
// wants one.
constexpr uint64_t settled_ms = 1'000;
constexpr uint64_t never_ms = UINT64_MAX;

} // namespace

// -- wishes -------------------------------------------------------------------------------------

std::string data_link_state::driver_of(const std::string& address) const {
  auto colon = address.find(':');
  if (colon != std::string::npos && colon + 1 < address.size()
      && (address[colon + 1] < '0' || address[colon + 1] > '9'))
    if (auto scheme = address.substr(0, colon); drivers.count(scheme))
      return scheme;
  return "tls";
}

void data_link_state::setup(const setup_request& x) {
  if (x.network_addresses.empty())
    return;
  auto key = x.node_address.empty() ? x.network_addresses.front() : x.node_address;
  want(key, x.network_addresses, now_ms() + x.wanted_ms, false);
}

data_link_state::wish_iterator
data_link_state::find_wish(const std::string& key, const std::vector<std::string>& addresses) {
  auto i = wishes.find(key);
  for (size_t n = 0; i == wishes.end() && n < addresses.size(); ++n)
    i = wishes.find(addresses[n]);
  return i;
}

void data_link_state::want(const std::string& key, const std::vector<std::string>& addresses,
                           uint64_t until_ms, bool always) {
  auto i = find_wish(key, addresses);
  if (i == wishes.end())
    i = wishes.emplace(key, wish{}).first;
  auto& x = i->second;
  if (x.addresses != addresses) {
    x.addresses = addresses;
    x.next_address = 0;
  }
  x.always = x.always || always;
  x.wanted_until_ms = std::max(x.wanted_until_ms, until_ms);
  x.asked_ms = now_ms();
  if (x.dial_ms == never_ms)
    x.dial_ms = 0; // the addresses may be others now
  auto up = links_by_node.find(key);
  if (x.link == 0 && up != links_by_node.end())
    serve(i->first, x, up->second);
  advance(i);
}

void data_link_state::advance(wish_iterator i) {
  auto& [key, x] = *i;
  auto now = now_ms();
  if (auto before = std::exchange(x.due_ms, 0); before != 0)
    due.erase({before, key});
  if (x.link != 0 || x.dialling != 0)
    return; // both end with `closed`
  if (wanted(x) && x.dial_ms <= now)
    dial(key, x);
  if (x.dialling != 0)
    return;
  if (!wanted(x)) {
    wishes.erase(i);
    return;
  }
  auto next = x.always ? x.dial_ms : std::min(x.dial_ms, x.wanted_until_ms);
  if (next == never_ms)
    return;
  x.due_ms = next;
  due.emplace(next, key);
  timer.arm(self, now, next);
}

void data_link_state::dial(const std::string& key, wish& x) {
  auto driver = drivers.end();
  std::string address;
  for (size_t n = 0; n < x.addresses.size() && driver == drivers.end(); ++n) {
    address = x.addresses[x.next_address++ % x.addresses.size()];
    driver = drivers.find(driver_of(address));
  }
  if (driver == drivers.end()) {
    x.dial_ms = never_ms; // until one is attached
    return;
  }
  x.dialled_at = address;
  x.dialling = config.node->link_numbers->fetch_add(1);
  dialling.emplace(x.dialling, key);
  dials->add();
  log::debug(component, "dialling", {{"node", key}, {"address", address}, {"link", x.dialling}});
  self->send(driver->second, atom::setup_v, x.dialling, address);
}

/// Full jitter: anything from nothing to the doubled bound, so that a fleet does not come at once.
void data_link_state::back_off(wish& x) {
  auto exponent = std::min<uint32_t>(x.failures, 20);
  auto bound = std::min(config.backoff_ms_max, config.backoff_ms_min << exponent);
  ++x.failures;
  std::uniform_int_distribution<uint64_t> draw{config.backoff_ms_min / 2,
                                               std::max(bound, config.backoff_ms_min)};
  x.dial_ms = now_ms() + draw(jitter);
}

void data_link_state::serve(const std::string& key, wish& x, uint64_t link) {
  if (auto before = served.find(x.link); before != served.end()) {
    before->second.erase(key);
    if (before->second.empty())
      served.erase(before);
  }
  x.link = link;
  if (link != 0)
    served[link].insert(key);
}

void data_link_state::wake() {
  timer.fired();
  auto now = now_ms();
  while (!due.empty() && due.begin()->first <= now) {
    auto i = wishes.find(due.begin()->second);
    advance(i);
  }
  if (!due.empty())
    timer.arm(self, now, due.begin()->first);
}

void data_link_state::network_up(const std::string& kind) {
  std::uniform_int_distribution<uint64_t> draw{0, config.backoff_ms_min};
  for (auto i = wishes.begin(); i != wishes.end();) {
    auto next = std::next(i);
    auto& x = i->second;
    bool of_kind = std::any_of(x.addresses.begin(), x.addresses.end(),
                               [&](auto& address) { return driver_of(address) == kind; });
    if (of_kind && x.link == 0) {
      x.failures = 0;
      x.dial_ms = now_ms() + draw(jitter);
      advance(i);
    }
    i = next;
  }
}

void data_link_state::attach(const std::string& kind, link_driver_actor driver) {
  // Nobody reports how the dials of a driver that has ended went.
  auto& known = drivers[kind];
  bool replaced = known && known != driver;
  known = std::move(driver);
  for (auto i = wishes.begin(); i != wishes.end();) {
    auto next = std::next(i);
    auto& x = i->second;
    x.dial_ms = 0;
    if (replaced && x.dialling != 0 && choosing.count(x.dialling) == 0) {
      dialling.erase(x.dialling);
      x.dialling = 0;
    }
    advance(i);
    i = next;
  }
}

// -- links --------------------------------------------------------------------------------------

bool data_link_state::prefer_new(const live_link& old, const link_info& fresh) const {
  if (old.info.dialled == fresh.dialled)
    return true; // the peer came again: it knows the old one is dead
  // Both dialled: the connection made by the lower uid stays, and both sides see it so.
  bool ours_wins = config.node->uid < fresh.peer.uid;
  return fresh.dialled == ours_wins;
}

void data_link_state::choose_protocol(link_actor handle, link_info info) {
  std::vector<std::string> offered{info.peer.protocol};
  sessions[handle->address()] = info.link;
  sessions_by_link[info.link] = handle->address();
  choosing.insert(info.link);
  self->monitor(handle);
  self->request(config.protocol, caf::infinite, atom::setup_v, std::move(offered))
    .then(
      [this, handle, info](const std::string&) {
        if (choosing.erase(info.link) > 0) // it may have ended meanwhile
          link_up(handle, info);
      },
      [this, handle](const caf::error& err) {
        self->send(handle, atom::close_v, std::string{to_string(code_of(err))}, detail_of(err));
      });
}

void data_link_state::link_up(link_actor handle, link_info info) {
  if (auto dialled = dialling.find(info.link); dialled != dialling.end())
    info.dialled_at = wishes.at(dialled->second).dialled_at;
  serve_wishes(info);
  auto& entry = links[info.link] = {handle, info, now_ms()};
  auto known = links_by_uid.find(info.peer.uid);
  if (known != links_by_uid.end()) {
    auto& old = links.at(known->second);
    if (!prefer_new(old, info)) {
      hand_wishes_on(info.link, known->second);
      self->send(entry.handle, atom::close_v, std::string{"duplicate"}, std::string{});
      return;
    }
    hand_wishes_on(known->second, info.link);
    self->send(old.handle, atom::close_v, std::string{"duplicate"}, std::string{});
  }
  log::info(component, "link up",
            {{"link", info.link},
             {"node", info.peer.node_address},
             {"kind", info.kind},
             {"dialled", info.dialled},
             {"services", info.services.size()}});
  links_by_uid[info.peer.uid] = info.link;
  links_by_node[info.peer.node_address] = info.link;
  up->set(static_cast<double>(links.size()));
  self->send(config.service_discovery, atom::link_up_v, std::move(handle), std::move(info));
}

void data_link_state::serve_wishes(const link_info& info) {
  if (auto dialled = dialling.find(info.link); dialled != dialling.end()) {
    auto i = wishes.find(dialled->second);
    dialling.erase(dialled);
    i->second.dialling = 0;
    serve(i->first, i->second, info.link);
    advance(i);
  }
  // A link the peer dialled is as good; a dial under way may still come up and be compared.
  for (auto* key : {&info.peer.node_address, &info.peer.network_address})
    if (auto i = wishes.find(*key); i != wishes.end() && i->second.link == 0) {
      serve(i->first, i->second, info.link);
      advance(i);
    }
}

void data_link_state::hand_wishes_on(uint64_t lost, uint64_t stays) {
  auto i = served.find(lost);
  if (i == served.end())
    return;
  for (auto& key : std::set<std::string>{i->second})
    serve(key, wishes.at(key), stays);
}

void data_link_state::dial_failed(uint64_t number, const std::string& why) {
  auto failed = dialling.find(number);
  if (failed == dialling.end())
    return;
  auto i = wishes.find(failed->second);
  dialling.erase(failed);
  failures->add();
  auto& x = i->second;
  x.dialling = 0;
  back_off(x);
  log::info(component, "dial failed",
            {{"node", i->first}, {"reason", why}, {"again_ms", x.dial_ms - now_ms()}});
  advance(i);
}

void data_link_state::release_wishes(uint64_t link, uint64_t up_ms) {
  auto i = served.find(link);
  if (i == served.end())
    return;
  auto now = now_ms();
  for (auto& key : std::set<std::string>{i->second}) {
    auto w = wishes.find(key);
    auto& x = w->second;
    serve(key, x, 0);
    if (now - up_ms < settled_ms) {
      back_off(x);
    } else {
      x.failures = 0;
      x.dial_ms = now;
      // The link came: that was the wish. Who asks while it is up knows already that it has ended.
      if (x.asked_ms < up_ms + settled_ms)
        x.wanted_until_ms = 0;
    }
    advance(w);
  }
}

void data_link_state::closed(uint64_t number, const std::string& why) {
  choosing.erase(number);
  if (auto session = sessions_by_link.find(number); session != sessions_by_link.end()) {
    sessions.erase(session->second);
    sessions_by_link.erase(session);
  }
  dial_failed(number, why);
  auto i = links.find(number);
  if (i == links.end())
    return;
  auto ended = std::move(i->second);
  links.erase(i);
  auto& peer = ended.info.peer;
  log::info(component, "link down",
            {{"link", number}, {"node", peer.node_address}, {"reason", why}});
  if (auto known = links_by_uid.find(peer.uid);
      known != links_by_uid.end() && known->second == number)
    links_by_uid.erase(known);
  if (auto known = links_by_node.find(peer.node_address);
      known != links_by_node.end() && known->second == number)
    links_by_node.erase(known);
  release_wishes(number, ended.up_ms);
  up->set(static_cast<double>(links.size()));
  self->send(config.service_discovery, atom::link_down_v, number);
}

void data_link_state::measured(uint64_t link, uint64_t round_trip_us) {
  auto i = links.find(link);
  if (i == links.end())
    return;
  if (i->second.info.round_trip_us == 0)
    self->send(config.service_discovery, atom::status_v, link, round_trip_us);
  i->second.info.round_trip_us = round_trip_us;
}

void data_link_state::disconnect(const std::string& node_address) {
  for (auto& [number, x] : links)
    if (x.info.peer.node_address == node_address)
      self->send(x.handle, atom::close_v, std::string{"shutdown"}, std::string{"disconnect"});
}

std::vector<link_status> data_link_state::status() const {
  std::vector<link_status> result;
  for (auto& [number, x] : links)
    result.push_back({number, x.info.kind, x.info.peer.node_address, x.info.peer.network_address,
                      "up", x.info.dialled, x.info.round_trip_us, 0});
  for (auto& [key, x] : wishes)
    if (x.link == 0)
      result.push_back({x.dialling, driver_of(x.addresses.front()), key, x.addresses.front(),
                        x.dialling != 0 ? "dialling" : "waiting", true, 0, 0});
  return result;
}

caf::result<atom::done> data_link_state::reload() {
  auto promise = self->make_response_promise<atom::done>();
  auto open = std::make_shared<size_t>(drivers.size());
  if (drivers.empty())
    promise.deliver(atom::done_v);
  for (auto& [name, driver] : drivers)
    self->request(driver, caf::infinite, atom::reload_v)
      .then(
        [open, promise](atom::done) mutable {
          if (--*open == 0)
            promise.deliver(atom::done_v);
        },
        [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

data_link_actor::behavior_type
data_link(data_link_actor::stateful_pointer<data_link_state> self, data_link_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  st.jitter.seed(st.config.node->seed);
  auto& m = *st.config.node->metrics;
  st.dials = &m.get_counter("rvi_dials_total", "Connections tried.");
  st.failures = &m.get_counter("rvi_dials_failed_total", "Connections that did not come up.");
  st.up = &m.get_gauge("rvi_links_up", "Links that are authorized and announced.");
  self->set_down_handler([&st](const caf::down_msg& x) {
    auto i = st.sessions.find(x.source);
    if (i != st.sessions.end())
      st.closed(uint64_t{i->second}, describe(x.reason));
  });
  for (auto& address : st.config.connect)
    st.want(address, {address}, 0, true);
  return {
    [&st](atom::setup, const setup_request& x) { st.setup(x); },
    [&st](atom::link_up, link_actor& handle, link_info& info) {
      st.choose_protocol(std::move(handle), std::move(info));
    },
    [&st](atom::closed, uint64_t number, const std::string& why) { st.closed(number, why); },
    [&st](atom::close, const std::string& node_address) { st.disconnect(node_address); },
    [&st](atom::attach, const std::string& kind, link_driver_actor& driver) {
      st.attach(kind, std::move(driver));
    },
    [&st](atom::available, const std::string& kind) { st.network_up(kind); },
    [&st](atom::status) { return st.status(); },
    [&st](atom::status, uint64_t link, uint64_t round_trip_us) {
      st.measured(link, round_trip_us);
    },
    [&st](atom::reload) { return st.reload(); },
    [&st](atom::tick) { st.wake(); },
  };
}

} // namespace rvi
