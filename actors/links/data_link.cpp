// SPDX-License-Identifier: MPL-2.0

#include "actors/links/data_link.hpp"

#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "data-link";
constexpr uint64_t wish_ms = 10'000; // a demand that is not repeated fades

/// "loopback:name" goes to the driver of that name, everything else to TLS.
std::string driver_of(const std::string& address) {
  return address.starts_with("loopback:") ? "loopback" : "tls";
}

} // namespace

void data_link_state::setup(const setup_request& x) {
  auto key = x.node_address.empty() ? x.network_addresses.front() : x.node_address;
  want(key, x.network_addresses, false);
}

void data_link_state::want(const std::string& key, std::vector<std::string> addresses,
                           bool always) {
  auto now = config.node->time->boot_ms();
  auto& x = wishes[key];
  if (x.addresses != addresses) {
    x.addresses = std::move(addresses);
    x.next_address = 0;
  }
  x.always = x.always || always;
  x.wanted_ms = now + wish_ms;
  if (x.link == 0 && x.dialling == 0 && x.dial_ms <= now)
    dial(key, x);
}

void data_link_state::dial(const std::string& key, wish& x) {
  auto& address = x.addresses[x.next_address++ % x.addresses.size()];
  auto driver = drivers.find(driver_of(address));
  if (driver == drivers.end()) {
    back_off(x);
    return;
  }
  x.dialling = config.node->link_numbers->fetch_add(1);
  dials->add();
  log::debug(component, "dialling", {{"node", key}, {"address", address}, {"link", x.dialling}});
  self->send(driver->second, atom::setup_v, x.dialling, address);
}

void data_link_state::dial_due() {
  auto now = config.node->time->boot_ms();
  for (auto i = wishes.begin(); i != wishes.end();) {
    auto& x = i->second;
    bool idle = x.link == 0 && x.dialling == 0;
    bool wanted = x.always || x.wanted_ms >= now;
    if (idle && !wanted && x.dial_ms < now) {
      i = wishes.erase(i);
      continue;
    }
    if (idle && wanted && x.dial_ms <= now)
      dial(i->first, x);
    ++i;
  }
}

/// Full jitter: anything from nothing to the doubled bound, so that a fleet does not come at once.
void data_link_state::back_off(wish& x) {
  auto exponent = std::min<uint32_t>(x.failures, 20);
  auto bound = std::min(config.backoff_ms_max, config.backoff_ms_min << exponent);
  ++x.failures;
  std::uniform_int_distribution<uint64_t> draw{config.backoff_ms_min / 2,
                                               std::max(bound, config.backoff_ms_min)};
  x.dial_ms = config.node->time->boot_ms() + draw(jitter);
}

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
  std::string key;
  for (auto& [name, x] : wishes)
    if (x.dialling == info.link && x.dialling != 0) {
      key = name;
      x.link = info.link;
      x.dialling = 0;
      x.failures = 0;
      x.dial_ms = 0;
    }
  for (auto& [number, old] : links) {
    if (old.info.peer.uid != info.peer.uid)
      continue;
    if (!prefer_new(old, info)) {
      links.emplace(info.link, live_link{handle, info, key});
      hand_wishes_on(info.link, number);
      self->send(handle, atom::close_v, std::string{"duplicate"}, std::string{});
      return;
    }
    hand_wishes_on(number, info.link);
    self->send(old.handle, atom::close_v, std::string{"duplicate"}, std::string{});
    break;
  }
  log::info(component, "link up",
            {{"link", info.link},
             {"node", info.peer.node_address},
             {"kind", info.kind},
             {"dialled", info.dialled},
             {"services", info.services.size()}});
  links.emplace(info.link, live_link{handle, info, key});
  up->set(static_cast<double>(links.size()));
  self->send(config.service_discovery, atom::link_up_v, std::move(handle), std::move(info));
}

void data_link_state::hand_wishes_on(uint64_t lost, uint64_t stays) {
  for (auto& [key, x] : wishes)
    if (x.link == lost)
      x.link = stays;
}

void data_link_state::closed(uint64_t number, const std::string& why) {
  choosing.erase(number);
  std::erase_if(sessions, [number](auto& x) { return x.second == number; });
  for (auto& [key, x] : wishes) {
    if (x.dialling == number) {
      failures->add();
      x.dialling = 0;
      back_off(x);
      log::info(
        component, "dial failed",
        {{"node", key}, {"reason", why}, {"again_ms", x.dial_ms - config.node->time->boot_ms()}});
    } else if (x.link == number) {
      x.link = 0;
      x.dial_ms = config.node->time->boot_ms();
    }
  }
  auto i = links.find(number);
  if (i == links.end())
    return;
  log::info(component, "link down",
            {{"link", number}, {"node", i->second.info.peer.node_address}, {"reason", why}});
  links.erase(i);
  up->set(static_cast<double>(links.size()));
  self->send(config.service_discovery, atom::link_down_v, number);
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
    st.want(address, {address}, true);
  self->delayed_send(self, st.config.tick, atom::tick_v);
  return {
    [&st](atom::setup, const setup_request& x) { st.setup(x); },
    [&st](atom::link_up, link_actor& handle, link_info& info) {
      st.choose_protocol(std::move(handle), std::move(info));
    },
    [&st](atom::closed, uint64_t number, const std::string& why) { st.closed(number, why); },
    [&st](atom::close, const std::string& node_address) { st.disconnect(node_address); },
    [&st](atom::attach, const std::string& kind, link_driver_actor& driver) {
      st.drivers[kind] = std::move(driver);
      for (auto& [key, x] : st.wishes)
        x.dial_ms = 0;
      st.dial_due();
    },
    [&st](atom::status) { return st.status(); },
    [&st](atom::reload) { return st.reload(); },
    [&st](atom::tick) {
      st.dial_due();
      st.self->delayed_send(st.self, st.config.tick, atom::tick_v);
    },
  };
}

} // namespace rvi
