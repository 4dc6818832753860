// SPDX-License-Identifier: MPL-2.0

#include "actors/links/data_link.hpp"

#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "data-link";
constexpr uint64_t connect_wanted_ms = 60'000; // how long an administrator's `connect` is tried

} // namespace

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
  auto& entry = links[info.link] = {handle, info, now_ms()};
  serve_wishes(entry);
  info.dialled_at = entry.info.dialled_at = entry.dialled.address;
  if (disconnected.count(info.peer.node_address) != 0) {
    self->send(handle, atom::close_v, std::string{"shutdown"},
               std::string{"disconnected by the administrator"});
    return;
  }
  auto& of_node = links_by_uid[info.peer.uid];
  if (auto known = of_node.find(info.kind); known != of_node.end()) {
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
             {"round_trip_us", info.round_trip_us},
             {"services", info.services.size()}});
  of_node[info.kind] = info.link;
  links_by_node[info.peer.node_address].insert(info.link);
  up->set(static_cast<double>(links.size()));
  self->send(config.service_discovery, atom::link_up_v, std::move(handle), std::move(info));
}

void data_link_state::serve_wishes(live_link& x) {
  auto& info = x.info;
  if (auto dialled = dialling.find(info.link); dialled != dialling.end()) {
    x.dialled = std::move(dialled->second);
    dialling.erase(dialled);
    auto i = wishes.find(x.dialled.wish);
    i->second.dialling.erase(x.dialled.kind);
    serve(i->first, i->second, info.link);
    advance(i);
  }
  // A link the peer dialled is as good; a dial under way may still come up and be compared.
  for (auto* key : {&info.peer.node_address, &info.peer.network_address})
    if (auto i = wishes.find(*key); i != wishes.end() && i->second.links.count(info.link) == 0) {
      serve(i->first, i->second, info.link);
      advance(i);
    }
}

void data_link_state::hand_wishes_on(uint64_t lost, uint64_t stays) {
  auto i = served.find(lost);
  if (i == served.end())
    return;
  for (auto& key : std::set<std::string>{i->second}) {
    auto& x = wishes.at(key);
    stop_serving(key, x, lost);
    serve(key, x, stays);
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
  forget(number, ended.info);
  log::info(component, "link down",
            {{"link", number}, {"node", ended.info.peer.node_address}, {"reason", why}});
  release_wishes(ended);
  up->set(static_cast<double>(links.size()));
  self->send(config.service_discovery, atom::link_down_v, number);
}

void data_link_state::forget(uint64_t number, const link_info& info) {
  if (auto of_node = links_by_uid.find(info.peer.uid); of_node != links_by_uid.end()) {
    std::erase_if(of_node->second, [number](auto& x) { return x.second == number; });
    if (of_node->second.empty())
      links_by_uid.erase(of_node);
  }
  if (auto of_node = links_by_node.find(info.peer.node_address); of_node != links_by_node.end()) {
    of_node->second.erase(number);
    if (of_node->second.empty())
      links_by_node.erase(of_node);
  }
}

void data_link_state::measured(uint64_t link, const link_measure& x) {
  auto i = links.find(link);
  if (i == links.end())
    return;
  if (x.round_trip_us != 0) {
    i->second.info.round_trip_us = x.round_trip_us;
    if (!std::exchange(i->second.measured, true))
      self->send(config.service_discovery, atom::status_v, link, x.round_trip_us);
  }
  if (x.bytes_per_s != 0)
    i->second.bytes_per_s = x.bytes_per_s;
}

// -- what administrators ask ----------------------------------------------------------------------

uint64_t data_link_state::disconnect(const std::string& node_address) {
  disconnected.insert(node_address);
  uint64_t result = 0;
  for (auto& [number, x] : links)
    if (x.info.peer.node_address == node_address) {
      self->send(x.handle, atom::close_v, std::string{"shutdown"},
                 std::string{"disconnected by the administrator"});
      ++result;
    }
  log::info(component, "disconnected", {{"node", node_address}, {"links", result}});
  return result;
}

caf::result<atom::done> data_link_state::connect(const std::string& node_address) {
  bool was = disconnected.erase(node_address) > 0;
  setup_request x;
  x.node_address = node_address;
  x.wanted_ms = connect_wanted_ms;
  // Routes are for what lives below a node's address.
  auto to = config.node->routing->load()->resolve("rpc:" + node_address + "/any");
  if (to.to == route::where::remote)
    x.network_addresses = to.network_addresses;
  for (auto i = wishes.begin(); i != wishes.end();) {
    auto next = std::next(i);
    if (i->first == node_address || i->second.node == node_address) {
      was = true;
      for (auto& w : i->second.ways)
        w = {w.address, w.kind};
      advance(i);
    }
    i = next;
  }
  if (x.network_addresses.empty() && !was)
    return caf::make_error(ec::not_found, "no address of " + node_address + " is known");
  log::info(component, "may connect", {{"node", node_address}});
  setup(x);
  return atom::done_v;
}

std::vector<link_status> data_link_state::status() const {
  std::vector<link_status> result;
  for (auto& [number, x] : links)
    result.push_back(
      {number, x.info.kind, x.info.peer.node_address,
       x.info.remote_address.empty() ? x.info.peer.network_address : x.info.remote_address, "up",
       x.info.dialled, x.info.round_trip_us, 0, x.bytes_per_s});
  auto apart = disconnected;
  for (auto& [key, x] : wishes) {
    if (!x.links.empty())
      continue;
    bool off = is_disconnected(key, x);
    auto& node = x.node.empty() ? key : x.node;
    apart.erase(node);
    if (!off && !x.dialling.empty())
      for (auto& [kind, number] : x.dialling) {
        auto& address = dialling.at(number).address;
        result.push_back({number, kind.empty() ? driver_of(address) : kind, node, address,
                          "dialling", true, 0, 0, 0});
      }
    else
      result.push_back({0, driver_of(x.addresses.front()), node, x.addresses.front(),
                        off ? "disconnected" : "waiting", true, 0, 0, 0});
  }
  for (auto& node : apart)
    result.push_back({0, "", node, "", "disconnected", true, 0, 0, 0});
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
  constexpr uint64_t spread = 0x9e3779b97f4a7c15; // small seeds would begin with small numbers
  st.jitter.seed(static_cast<uint32_t>((st.config.node->seed * spread) >> 32));
  auto& m = *st.config.node->metrics;
  st.dials = &m.get_counter("rvi_dials_total", "Connections tried.");
  st.failures = &m.get_counter("rvi_dials_failed_total", "Connections that did not come up.");
  st.up = &m.get_gauge("rvi_links_up", "Links that are authorized and announced.");
  self->set_down_handler([&st](const caf::down_msg& x) {
    auto i = st.sessions.find(x.source);
    if (i != st.sessions.end())
      st.closed(uint64_t{i->second}, describe(x.reason));
  });
  for (auto& address : st.config.connect) {
    setup_request x;
    x.network_addresses = {address};
    st.want(split_kind(address).address, x, 0, true);
  }
  return {
    [&st](atom::setup, const setup_request& x) { st.setup(x); },
    [&st](atom::link_up, link_actor& handle, link_info& info) {
      st.choose_protocol(std::move(handle), std::move(info));
    },
    [&st](atom::closed, uint64_t number, const std::string& why) { st.closed(number, why); },
    [&st](atom::close, const std::string& node_address) { return st.disconnect(node_address); },
    [&st](atom::setup, const std::string& node_address) { return st.connect(node_address); },
    [&st](atom::attach, const std::string& kind, link_driver_actor& driver) {
      st.attach(kind, std::move(driver));
    },
    [&st](atom::available, const std::string& kind) { st.network_up(kind); },
    [&st](atom::link_down, const std::string& kind) { st.network_down(kind); },
    [&st](atom::status) { return st.status(); },
    [&st](atom::status, uint64_t link, const link_measure& x) { st.measured(link, x); },
    [&st](atom::reload) { return st.reload(); },
    [&st](atom::tick) { st.wake(); },
  };
}

} // namespace rvi
