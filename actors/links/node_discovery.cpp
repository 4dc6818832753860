// SPDX-License-Identifier: MPL-2.0

#include "actors/links/node_discovery.hpp"

#include "actors/links/data_link.hpp"
#include "runtime/crypto/crypto.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "node-discovery";
constexpr uint64_t draw_every_ms = 1'000;
constexpr uint64_t collect_every_ms = 1'000;
constexpr size_t key_bytes = 32;

class real_medium : public beacon_medium {
public:
  real_medium(caf::actor_system& system, uint16_t port, const caf::actor_addr& receiver)
    : port_(port) {
    for (auto& x : groups_) {
      auto opened = open_multicast(x.address, port);
      if (!opened) {
        log::warning(component, "no beacons here",
                     {{"group", x.address}, {"reason", describe(opened.error())}});
        continue;
      }
      x.socket = *opened;
      x.reader = datagram_reader{system, x.socket, beacon_bytes_max, true, receiver};
    }
  }

  void join(uint32_t interface) override {
    for (auto& x : groups_)
      if (x.socket)
        if (auto err = join_group(*x.socket, x.address, interface))
          log::debug(component, "no beacons on this interface",
                     {{"interface", interface}, {"group", x.address}, {"reason", describe(err)}});
  }

  void send(uint32_t interface, const std::string& beacon) override {
    for (auto& x : groups_)
      if (x.socket)
        if (auto err = send_to_group(*x.socket, x.address, port_, interface, beacon))
          log::debug(component, "a beacon was not sent",
                     {{"interface", interface}, {"group", x.address}, {"reason", describe(err)}});
  }

private:
  struct group {
    const char* address;
    shared_socket socket = nullptr;
    datagram_reader reader = {};
  };
  uint16_t port_;
  group groups_[2] = {{beacon_group_v4}, {beacon_group_v6}};
};

/// host:port, with the interface where the host alone does not say which.
std::string dial_address(const ip_address& host, const std::string& interface_name, uint16_t port) {
  auto text = to_string(host);
  if (host.link_local_v6())
    text += "%" + interface_name;
  return (host.v6 ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

} // namespace

std::unique_ptr<beacon_medium>
open_beacon_medium(caf::actor_system& system, uint16_t port, const caf::actor_addr& receiver) {
  return std::make_unique<real_medium>(system, port, receiver);
}

void node_discovery_state::start() {
  key = crypto::random_bytes(key_bytes);
  auto random = crypto::random_bytes(instance.size());
  std::copy_n(random.begin(), instance.size(), instance.begin());
  budget = dial_budget{config.node->seed};
  if (config.settings.enabled)
    medium = config.open_medium(self->system(), config.settings.port, self->address());
}

std::string node_discovery_state::kind_of(const network_interface& x) const {
  for (auto& name : config.interfaces)
    if (name.device == x.name)
      return name.kind;
  return {};
}

void node_discovery_state::networks_changed(interface_map_ptr x) {
  auto before = std::exchange(networks, std::move(x));
  if (!medium)
    return;
  for (auto& [index, interface] : *networks) {
    bool wanted = interface.usable() && (interface.multicast || interface.loopback)
                  && (interface.loopback == config.settings.loopback);
    auto known = before ? before->find(index) : interface_map::const_iterator{};
    bool was = before && known != before->end() && known->second.usable();
    auto more = was && interface.addresses.size() > known->second.addresses.size();
    if (!wanted) {
      schedules.erase(index);
      continue;
    }
    if (was && !more && schedules.count(index) != 0)
      continue;
    medium->join(index); // also again: a group is left when its interface goes
    auto& schedule
      = schedules.emplace(index, beacon_schedule{config.node->seed + index}).first->second;
    schedule.start(now_ms());
  }
  std::erase_if(schedules, [this](auto& s) { return networks->count(s.first) == 0; });
  arm();
}

void node_discovery_state::send_beacons() {
  if (config.tcp_port == 0 || !medium)
    return;
  auto now = now_ms();
  for (auto& [index, schedule] : schedules) {
    if (schedule.due_ms() > now)
      continue;
    beacon x;
    x.tcp_port = config.tcp_port;
    x.instance = instance;
    x.ephemeral = ephemeral_id(key, config.node->time->wall_ms());
    medium->send(index, encode_beacon(x));
    beacons_sent->add();
    schedule.sent(now);
  }
}

// -- others --------------------------------------------------------------------------------------

bool node_discovery_state::is_known(const std::string& address) {
  auto table = config.node->routing->load();
  // Collected anew at most once a second: beacons may come faster than that.
  if (known_version != table->version && now_ms() >= known_again_ms) {
    known_version = table->version;
    known_again_ms = now_ms() + collect_every_ms;
    known.clear();
    auto add = [&](const std::vector<std::string>& xs) {
      for (auto& x : xs)
        known.insert(split_kind(x).address);
    };
    add(config.connect);
    for (auto& x : table->provisioned)
      add(x.network_addresses);
    for (auto& [name, node] : table->nodes)
      add(node->network_addresses);
  }
  return known.count(address) != 0;
}

void node_discovery_state::heard(const datagram_batch& x) {
  for (auto& each : x.items)
    heard_one(each);
  arm();
}

void node_discovery_state::heard_one(const datagram& x) {
  auto decoded = x.to_group ? decode_beacon(x.bytes) : std::nullopt;
  if (decoded && decoded->instance == instance)
    return;
  auto interface = networks ? networks->find(x.interface) : interface_map::const_iterator{};
  // Only from the network it came in from: whoever is further away has no business here.
  if (!decoded || !networks || interface == networks->end() || !interface->second.is_near(x.from)) {
    beacons_refused->add();
    return;
  }
  beacons_heard->add();
  auto& [index, network] = *interface;
  if (budget.pauses(x.from, now_ms()))
    return;
  auto address = dial_address(x.from, network.name, decoded->tcp_port);
  bool is_ours = is_known(address);
  if (!is_ours && !config.settings.dial_unknown)
    return;
  budget.offer({x.from, address, index, kind_of(network)}, is_ours, now_ms());
}

void node_discovery_state::pinged(const std::string& host, const std::string& kind) {
  auto from = parse_ip(host);
  if (!from || std::none_of(config.dial_back.begin(), config.dial_back.end(), [&](auto& x) {
        return x.contains(*from);
      }))
    return;
  auto address = host + ":" + std::to_string(config.settings.dial_back_port);
  budget.offer({*from, address, 0, kind}, true, now_ms());
  arm();
}

void node_discovery_state::dial_found() {
  if (draw_ms == 0 || draw_ms > now_ms())
    return;
  draw_ms = 0;
  for (auto& x : budget.draw(now_ms())) {
    log::info(component, "somebody is there", {{"address", x.address}, {"kind", x.kind}});
    found->add();
    setup_request wish;
    wish.network_addresses = {x.kind.empty() ? x.address : x.address + "@" + x.kind};
    wish.found = true;
    self->send(config.data_link, atom::setup_v, std::move(wish));
  }
}

void node_discovery_state::wake() {
  timer.fired();
  send_beacons();
  dial_found();
  arm();
}

void node_discovery_state::arm() {
  auto now = now_ms();
  if (budget.waiting() && draw_ms == 0)
    draw_ms = now + draw_every_ms;
  auto next = draw_ms == 0 ? UINT64_MAX : draw_ms;
  if (config.tcp_port != 0)
    for (auto& [index, schedule] : schedules)
      next = std::min(next, schedule.due_ms());
  if (next != UINT64_MAX)
    timer.arm(self, now, next);
}

caf::behavior
node_discovery(caf::stateful_actor<node_discovery_state>* self, node_discovery_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  auto& m = *st.config.node->metrics;
  st.beacons_sent = &m.get_counter("rvi_beacons_sent_total", "Beacons sent.");
  st.beacons_heard = &m.get_counter("rvi_beacons_heard_total", "Beacons of others.");
  st.beacons_refused
    = &m.get_counter("rvi_beacons_refused_total", "Datagrams that are no beacon, or from afar.");
  st.found = &m.get_counter("rvi_nodes_found_total", "Dials because of a beacon or a ping.");
  st.start();
  return {
    [&st](atom::available, const interface_map_ptr& x) { st.networks_changed(x); },
    [&st](const datagram_batch_ptr& x) { st.heard(*x); },
    [&st](atom::connected, const std::string& host, const std::string& kind) {
      st.pinged(host, kind);
    },
    [&st](atom::tick) { st.wake(); },
  };
}

} // namespace rvi
