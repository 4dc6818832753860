// SPDX-License-Identifier: MPL-2.0
//
// Beacons, when they are sent and whom they make a node dial; what the kernel says about
// interfaces.

#include "actors/links/network_monitor.hpp"
#include "actors/links/node_discovery.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_data_link.hpp"

#include <doctest/doctest.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <set>

using namespace rvi;

namespace {

beacon example() {
  beacon x;
  x.tcp_port = 8810;
  for (size_t i = 0; i < x.instance.size(); ++i)
    x.instance[i] = static_cast<uint8_t>(i);
  x.ephemeral.fill(0xee);
  return x;
}

ip_address ip(uint32_t x) {
  ip_address result;
  for (int i = 0; i < 4; ++i)
    result.bytes[i] = static_cast<uint8_t>(x >> (24 - 8 * i));
  return result;
}

// -- the kernel's messages ------------------------------------------------------------------------

template <class T>
std::string raw(const T& x) {
  return {reinterpret_cast<const char*>(&x), sizeof x};
}

std::string attribute(uint16_t type, std::string content) {
  auto result = raw(rtattr{static_cast<uint16_t>(sizeof(rtattr) + content.size()), type}) + content;
  result.resize((result.size() + 3) & ~size_t{3});
  return result;
}

std::string message(uint16_t type, const std::string& body) {
  nlmsghdr head{};
  head.nlmsg_len = static_cast<uint32_t>(sizeof head + body.size());
  head.nlmsg_type = type;
  return raw(head) + body;
}

std::string link_message(int index, const char* name, bool up, uint16_t type = RTM_NEWLINK) {
  ifinfomsg head{};
  head.ifi_index = index;
  head.ifi_flags = IFF_MULTICAST | (up ? IFF_UP | IFF_RUNNING : 0U);
  return message(type, raw(head) + attribute(IFLA_IFNAME, std::string{name} + '\0'));
}

std::string address_message(uint32_t index, uint32_t address, uint8_t bits,
                            uint16_t type = RTM_NEWADDR, uint8_t flags = 0) {
  ifaddrmsg head{};
  head.ifa_family = AF_INET;
  head.ifa_prefixlen = bits;
  head.ifa_index = index;
  head.ifa_flags = flags;
  auto x = ip(address);
  return message(type, raw(head) + attribute(IFA_LOCAL, {x.bytes.begin(), x.bytes.begin() + 4}));
}

constexpr uint32_t wlan_address = 0xc0a80105; // 192.168.1.5

interface_map wlan_map(bool up = true) {
  interface_table table;
  table.take(link_message(3, "wlan0", up) + address_message(3, wlan_address, 24));
  return table.interfaces();
}

// -- the actor -----------------------------------------------------------------------------------

struct sent_beacons {
  std::vector<std::pair<uint32_t, std::string>> sent;
  std::set<uint32_t> joined;
};
sent_beacons* air = nullptr;

struct fake_medium : beacon_medium {
  void join(uint32_t interface) override { air->joined.insert(interface); }
  void send(uint32_t interface, const std::string& x) override {
    air->sent.emplace_back(interface, x);
  }
};

std::unique_ptr<beacon_medium> open_fake(caf::actor_system&, uint16_t, const caf::actor_addr&) {
  return std::make_unique<fake_medium>();
}

using requests = std::shared_ptr<std::vector<setup_request>>;

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::error, log::format::text);
    air = &medium;
    node->time = time;
    node->metrics = std::make_shared<metrics::registry>();
    node->routing = std::make_shared<routing_snapshot>(std::make_shared<routing_table>());
    node->seed = 7;
    settings.node = node;
    settings.tcp_port = 8810;
    settings.settings.enabled = true;
    settings.settings.dial_unknown = true;
    settings.settings.dial_back_port = 8810;
    settings.interfaces = {{"wlan0", "wifi"}};
    settings.open_medium = open_fake;
  }
  ~fixture() { air = nullptr; }

  void start() {
    settings.data_link
      = spawn(test::silent_data_link,
              test::data_link_listener{[to = wanted](auto& x) { to->push_back(x); }, {}});
    discovery = sys.spawn(node_discovery, settings);
    settle();
  }

  void networks(const interface_map& x) {
    self->send(discovery, atom::available_v, std::make_shared<const interface_map>(x));
    settle();
  }

  datagram from(uint32_t address, uint16_t port = 8810) {
    auto x = example();
    x.tcp_port = port;
    return {encode_beacon(x), ip(address), 3, true};
  }

  void hear(std::vector<datagram> xs) {
    auto batch = std::make_shared<datagram_batch>(std::make_shared<std::atomic<int>>(0));
    batch->items = std::move(xs);
    self->send(discovery, batch);
    settle();
  }

  sent_beacons medium;
  std::shared_ptr<node_context> node = std::make_shared<node_context>();
  requests wanted = std::make_shared<std::vector<setup_request>>();
  node_discovery_config settings;
  caf::actor discovery;
};

} // namespace

TEST_SUITE_BEGIN("discovery");

TEST_CASE("a beacon has these bytes for ever") {
  auto bytes = encode_beacon(example());
  CHECK(bytes.size() == beacon_bytes);
  CHECK(crypto::hex(bytes.substr(0, 32))
        == "525649310100226a000102030405060708090a0b0c0d0e0feeeeeeeeeeeeeeee");
  auto x = decode_beacon(bytes);
  REQUIRE(x);
  CHECK(x->tcp_port == 8810);
  CHECK(x->instance == example().instance);
  CHECK(x->ephemeral == example().ephemeral);
  CHECK(decode_beacon(bytes + std::string(30, 'x'))); // later versions may add something
}

TEST_CASE("whatever else comes is no beacon") {
  auto bytes = encode_beacon(example());
  CHECK_FALSE(decode_beacon(""));
  CHECK_FALSE(decode_beacon(bytes.substr(0, 33)));
  CHECK_FALSE(decode_beacon(bytes + std::string(31, 'x')));
  for (size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      CHECK_FALSE(decode_beacon(damaged));
    }
  auto closed = example();
  closed.tcp_port = 0;
  CHECK_FALSE(decode_beacon(encode_beacon(closed)));
}

TEST_CASE("the ephemeral id stays for a quarter of an hour and needs the key") {
  std::string key(32, 'k');
  constexpr uint64_t quarter_ms = 900'000;
  CHECK(ephemeral_id(key, 10 * quarter_ms) == ephemeral_id(key, 11 * quarter_ms - 1));
  CHECK(ephemeral_id(key, 10 * quarter_ms) != ephemeral_id(key, 11 * quarter_ms));
  CHECK(ephemeral_id(key, 0) != ephemeral_id(std::string(32, 'l'), 0));
}

TEST_CASE("three beacons when a network comes up, then after ten seconds, doubling to a minute") {
  beacon_schedule x{7};
  CHECK(x.due_ms() == beacon_schedule::never_ms);
  uint64_t now = 1'000'000;
  x.start(now);
  auto next = [&] {
    auto waited = x.due_ms() - now;
    now = x.due_ms();
    x.sent(now);
    return waited;
  };
  for (int i = 0; i < 3; ++i)
    CHECK(next() <= 1'000);
  for (uint64_t gap : {10'000, 20'000, 40'000, 60'000, 60'000, 60'000}) {
    auto waited = next();
    CHECK(waited >= gap);
    CHECK(waited <= gap + 1'000);
  }
  x.start(now);
  CHECK(x.due_ms() - now <= 1'000);
}

TEST_CASE("a flood of beacons costs a few dials, and known nodes are dialled all the same") {
  dial_budget budget{7};
  uint64_t now = 1'000'000;
  size_t strangers = 0;
  size_t known = 0;
  size_t most_pending = 0;
  std::set<ip_address> sources;
  for (uint32_t second = 0; second < 60; ++second) {
    for (uint32_t i = 0; i < 10'000; ++i)
      budget.offer({ip(0x0a000000 + second * 10'000 + i), "a", 3, ""}, false, now);
    budget.offer({ip(0xc0a80101), "b", 3, ""}, true, now);
    for (auto& x : budget.draw(now)) {
      ++(x.address == "b" ? known : strangers);
      CHECK((x.address == "b" || sources.insert(x.host).second));
    }
    most_pending = std::max(most_pending, budget.pending(now));
    now += 1'000;
  }
  CHECK(known == 2); // once in 30 s
  CHECK(strangers <= 5 * 60);
  CHECK(strangers > 100);
  CHECK(most_pending <= dial_budget::pending_max + 2);
}

TEST_CASE("a flood on one interface leaves room for others") {
  dial_budget budget{7};
  for (uint32_t i = 0; i < 10'000; ++i)
    budget.offer({ip(i), "flood", 3, ""}, false, 0);
  budget.offer({ip(0xc0a80101), "other", 4, ""}, false, 0);
  auto drawn = budget.draw(0);
  CHECK(drawn.size() == dial_budget::dials_per_s);
  CHECK(std::any_of(drawn.begin(), drawn.end(), [](auto& x) { return x.address == "other"; }));
  CHECK_FALSE(budget.waiting());
}

TEST_CASE("networks and addresses are read") {
  auto x = parse_network("10.0.0.0/8");
  REQUIRE(x);
  CHECK(x->contains(*parse_ip("10.255.1.2")));
  CHECK_FALSE(x->contains(*parse_ip("11.0.0.1")));
  CHECK(parse_network("192.168.4.0/22")->contains(*parse_ip("192.168.7.255")));
  CHECK_FALSE(parse_network("192.168.4.0/22")->contains(*parse_ip("192.168.8.0")));
  CHECK(parse_network("fd00::/8")->contains(*parse_ip("[fd12::1]")));
  CHECK_FALSE(parse_network("10.0.0.0/33"));
  CHECK_FALSE(parse_network("10.0.0/8"));
  CHECK_FALSE(parse_network("cloud.jlr.com"));
  CHECK(parse_ip("fe80::1%eth0")->link_local_v6());
  CHECK(host_part("[fe80::1%eth0]:8810") == "fe80::1");
  CHECK(host_part("10.0.0.1:8810") == "10.0.0.1");
}

TEST_CASE("the kernel's messages make a table of interfaces") {
  interface_table table;
  CHECK(table.take(link_message(3, "wlan0", true)).changed);
  CHECK(table.take(address_message(3, wlan_address, 24)).changed);
  CHECK_FALSE(table.take(address_message(3, wlan_address, 24)).changed);
  auto& wlan = table.interfaces().at(3);
  CHECK(wlan.name == "wlan0");
  CHECK(wlan.usable());
  CHECK(wlan.has(ip(wlan_address)));
  CHECK(wlan.is_near(ip(0xc0a801fe)));
  CHECK_FALSE(wlan.is_near(ip(0xc0a80201)));
  CHECK(table.take(link_message(3, "wlan0", false)).changed);
  CHECK_FALSE(wlan.usable());
  CHECK(table.take(address_message(3, wlan_address, 24, RTM_DELADDR)).changed);
  CHECK(wlan.addresses.empty());
  // IPv6's tentative addresses are not there yet.
  table.take(address_message(3, wlan_address, 24, RTM_NEWADDR, IFA_F_TENTATIVE));
  CHECK(wlan.addresses.empty());
  CHECK(table.take(link_message(3, "wlan0", false, RTM_DELLINK)).changed);
  CHECK(table.interfaces().empty());
  CHECK(table.take(message(NLMSG_DONE, "")).done);
  CHECK(table.take(message(NLMSG_ERROR, std::string(20, 'e'))).failed);
}

TEST_CASE("messages that are cut off or damaged do no harm") {
  auto good = link_message(3, "wlan0", true) + address_message(3, wlan_address, 24)
              + message(NLMSG_DONE, "");
  for (size_t size = 0; size < good.size(); ++size) {
    interface_table table;
    table.take(good.substr(0, size));
  }
  for (size_t i = 0; i < good.size(); ++i)
    for (int value = 0; value < 256; ++value) {
      interface_table table;
      auto damaged = good;
      damaged[i] = static_cast<char>(value);
      table.take(damaged);
      CHECK(table.interfaces().size() <= 2);
    }
  interface_table table;
  for (int i = 1; i < 2'000; ++i)
    table.take(link_message(i, "x", true));
  CHECK(table.interfaces().size() == interface_table::interfaces_max);
  for (uint32_t i = 0; i < 1'000; ++i)
    table.take(address_message(3, i, 24));
  CHECK(table.interfaces().at(3).addresses.size() == interface_table::addresses_max);
}

TEST_CASE("a kind is up while an interface of its name is") {
  network_kinds named{{{"wlan0", "wifi"}, {"wwan0", "lte"}}};
  auto first = named.look(wlan_map());
  CHECK(first.up.empty()); // what is there at the start is dialled anyway
  CHECK(first.down == std::vector<std::string>{"lte"});
  auto lost = named.look(wlan_map(false));
  CHECK(lost.down == std::vector<std::string>{"wifi"});
  auto back = named.look(wlan_map());
  CHECK(back.up == std::vector<std::string>{"wifi"});
  CHECK(back.down.empty());
  network_kinds unnamed{{}};
  CHECK(unnamed.look({}).up.empty());
  CHECK(unnamed.look(wlan_map()).up == std::vector<std::string>{"tls"});
  CHECK(unnamed.look(wlan_map(false)).down.empty());
}

TEST_CASE_FIXTURE(fixture, "beacons go out on each network while it is up") {
  start();
  pass(60'000);
  CHECK(medium.sent.empty());
  networks(wlan_map());
  CHECK(medium.joined == std::set<uint32_t>{3});
  pass(5'000);
  CHECK(medium.sent.size() == 3);
  CHECK(medium.sent[0].first == 3);
  CHECK(decode_beacon(medium.sent[0].second)->tcp_port == 8810);
  CHECK(decode_beacon(medium.sent[0].second)->instance
        == decode_beacon(medium.sent[2].second)->instance);
  pass(600'000, 500);
  CHECK(medium.sent.size() >= 11);
  CHECK(medium.sent.size() <= 14);
  networks(wlan_map(false));
  auto before = medium.sent.size();
  pass(600'000, 500);
  CHECK(medium.sent.size() == before);
}

TEST_CASE_FIXTURE(fixture, "a node that takes no links sends no beacons, and dials") {
  settings.tcp_port = 0;
  start();
  networks(wlan_map());
  pass(60'000);
  CHECK(medium.sent.empty());
  hear({from(0xc0a80107)});
  pass(1'100);
  REQUIRE(wanted->size() == 1);
  CHECK(wanted->front().network_addresses == std::vector<std::string>{"192.168.1.7:8810@wifi"});
  CHECK(wanted->front().found);
}

TEST_CASE_FIXTURE(fixture, "only beacons of others, to the group, from the same network count") {
  start();
  networks(wlan_map());
  pass(2'000);
  auto own = from(0xc0a80107);
  own.bytes = medium.sent.at(0).second;
  auto to_us_alone = from(0xc0a80107);
  to_us_alone.to_group = false;
  auto elsewhere = from(0xc0a80107);
  elsewhere.interface = 9;
  auto damaged = from(0xc0a80107);
  damaged.bytes[10] = 'x';
  hear({own, to_us_alone, elsewhere, damaged, from(0x08080808)});
  pass(5'000);
  CHECK(wanted->empty());
}

TEST_CASE_FIXTURE(fixture, "with dial_unknown off only addresses known otherwise are dialled") {
  settings.settings.dial_unknown = false;
  routing_table table;
  table.provisioned = {{"+:jlr.com/cloud/#", {"192.168.1.8:8810@wifi"}}};
  node->routing = std::make_shared<routing_snapshot>(std::make_shared<const routing_table>(table));
  start();
  networks(wlan_map());
  hear({from(0xc0a80107), from(0xc0a80108), from(0xc0a80108, 9999)});
  pass(1'100);
  REQUIRE(wanted->size() == 1);
  CHECK(wanted->front().network_addresses == std::vector<std::string>{"192.168.1.8:8810@wifi"});
}

TEST_CASE_FIXTURE(fixture, "ten thousand beacons cost less than 64 dials") {
  start();
  networks(wlan_map());
  for (uint32_t i = 0; i < 10'000; i += 50) {
    std::vector<datagram> xs;
    for (uint32_t j = 0; j < 50; ++j)
      xs.push_back(from(0xc0a80100 + (i + j) % 256, static_cast<uint16_t>(1 + i + j)));
    hear(xs);
    pass(50);
  }
  CHECK(wanted->size() > 0);
  CHECK(wanted->size() < 64);
}

TEST_CASE_FIXTURE(fixture,
                  "a host of a trusted network that pings is dialled back, others are not") {
  settings.settings.enabled = false;
  settings.dial_back = {*parse_network("10.0.0.0/8")};
  start();
  auto ping = [&](const std::string& host) {
    self->send(discovery, atom::connected_v, host, std::string{});
    pass(1'100);
  };
  ping("11.0.0.1");
  CHECK(wanted->empty());
  ping("10.0.0.1");
  REQUIRE(wanted->size() == 1);
  CHECK(wanted->front().network_addresses == std::vector<std::string>{"10.0.0.1:8810"});
  ping("10.0.0.1"); // not twice in 30 s
  CHECK(wanted->size() == 1);
}

TEST_SUITE_END();
