// SPDX-License-Identifier: MPL-2.0
//
// Which services live where: what is announced to whom, what is believed, where names lead.

#include "actors/routing/known_nodes.hpp"
#include "actors/routing/service_discovery.hpp"
#include "actors/storage/memory_store.hpp"
#include "actors/storage/store.hpp"
#include "messages/wire/header.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/envelopes.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_authorization.hpp"
#include "test/support/silent_link.hpp"
#include "test/support/silent_store_and_forward.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

using names = std::vector<std::string>;

constexpr const char* player = "jlr.com/vin/1234/services/media_player";

/// What store and forward heard, and whether the snapshot knew it by then.
struct told {
  std::vector<uint64_t> ups;
  std::vector<uint64_t> downs;
  std::vector<bool> published;
};
using told_ptr = std::shared_ptr<told>;

test::store_and_forward_listener told_of(const told_ptr& to, const node_context_ptr& node) {
  test::store_and_forward_listener result;
  result.link_up = [to, node](const link_info& x) {
    auto table = node->routing->load();
    auto known = table->nodes.find(x.peer.node_address);
    to->ups.push_back(x.link);
    to->published.push_back(known != table->nodes.end() && known->second->link == x.link
                            && known->second->uid == x.peer.uid);
  };
  result.link_down = [to](uint64_t link) { to->downs.push_back(link); };
  return result;
}

/// Signs whatever it is given.
std::vector<announce_entry> sign_all(const std::vector<std::string>& xs) {
  std::vector<announce_entry> result;
  for (auto& x : xs)
    result.push_back({x, "signature", "hash"});
  return result;
}

/// What a link was told.
struct session {
  std::vector<std::pair<bool, std::vector<announce_entry>>> announced; // full, entries
  std::vector<names> available;
  names closed;
};

test::link_listener told_of(const std::shared_ptr<session>& to) {
  test::link_listener x;
  x.announce = [to](bool full, const std::vector<announce_entry>& xs) {
    to->announced.emplace_back(full, xs);
  };
  x.available = [to](const names& xs) { to->available.push_back(xs); };
  x.close = [to](const std::string& code, const std::string&) { to->closed.push_back(code); };
  return x;
}

struct peer {
  crypto::private_key key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  credential_ptr credential;
  peer_identity identity;
  std::shared_ptr<session> seen = std::make_shared<session>();
  link_actor handle;
};

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::error, log::format::text);
    start("jlr.com/cloud");
  }

  void start(const std::string& address) {
    auto own = std::make_shared<rights>();
    own->own_key = key.public_part();
    own->node_address = address;
    own->own = {provisioning.issue(provisioning.claims(key.public_part(), {address}, {}, now_s()))};
    own->known = known;
    auto context = std::make_shared<node_context>();
    context->node_address = address;
    context->uid = key.public_part().uid();
    context->time = time;
    context->rights = std::make_shared<rights_snapshot>(own);
    context->routing = std::make_shared<routing_snapshot>(std::make_shared<routing_table>());
    context->metrics = std::make_shared<metrics::registry>();
    node = context;
    store_config kept;
    kept.disk = *disk->open();
    service_discovery_config config;
    config.node = node;
    config.store = spawn(store, std::move(kept));
    config.nodes_remembered_max = nodes_remembered_max;
    config.authorization = spawn(test::silent_authorization, test::authorization_answers{sign_all});
    config.store_and_forward = spawn(test::silent_store_and_forward, told_of(seen, node));
    config.provisioned = {{"+:jlr.com/vin/#", {"10.0.0.7:8810"}}, {"+:jlr.com/vin/+", {"never"}}};
    discovery = spawn(service_discovery, config);
    settle();
  }

  peer make_peer(const std::string& address = "jlr.com/vin/1234", names sources = {},
                 names destinations = {}) {
    peer x;
    if (sources.empty())
      sources = {address};
    x.credential = provisioning.issue(
      provisioning.claims(x.key.public_part(), sources, destinations, now_s()));
    known->add(x.credential);
    x.identity.uid = x.key.public_part().uid();
    x.identity.node_address = address;
    x.identity.network_address = "10.0.0.1:8810";
    x.identity.credential_hashes = {x.credential->hash};
    x.identity.destinations = destinations;
    x.handle = spawn(test::silent_link, told_of(x.seen));
    return x;
  }

  announce_entry entry(const peer& x, const std::string& service, bool available = true) {
    return test::announced_by(x.key, x.credential->hash, {service, ++sequence, available});
  }

  void announce(const peer& x, bool full, const std::vector<announce_entry>& entries) {
    self->send(discovery, atom::announce_v, x.handle, x.identity, full, entries);
    settle();
  }

  /// Power off and on again.
  void restart() {
    pass(100); // what nobody waits for is on disk by now
    caf::anon_send_exit(discovery, caf::exit_reason::kill);
    settle();
    disk->crash();
    start("jlr.com/cloud");
  }

  /// Comes, announces a service and goes again.
  void visit(const peer& x, uint64_t link) {
    announce(x, true, {entry(x, x.identity.node_address + "/services/hvac")});
    link_up(x, link);
    link_down(link);
    pass(10);
  }

  void ask_for_announcement(const peer& x) {
    self->send(discovery, atom::announce_v, x.handle, x.identity);
    settle();
  }

  void link_up(const peer& x, uint64_t number) {
    link_info info;
    info.link = number;
    info.peer = x.identity;
    self->send(discovery, atom::link_up_v, x.handle, info);
    settle();
  }

  void link_down(uint64_t number) {
    self->send(discovery, atom::link_down_v, number);
    settle();
  }

  ec register_service(const std::string& name) {
    auto result = ask<atom::done>(discovery, atom::reg_v, local_service{name, false});
    return result ? ec::none : code_of(result.error());
  }

  static names names_of(const std::vector<announce_entry>& xs) {
    names result;
    for (auto& x : xs)
      result.push_back(wire::decode_announced(x.service)->service.name);
    return result;
  }

  std::shared_ptr<const routing_table> table() const { return node->routing->load(); }

  crypto::private_key key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  std::shared_ptr<credential_cache> known = std::make_shared<credential_cache>(100);
  node_context_ptr node;
  told_ptr seen = std::make_shared<told>();
  std::shared_ptr<memory_disk> disk = memory_disk::make();
  size_t nodes_remembered_max = 10'000;
  service_discovery_actor discovery;
  uint64_t sequence = 0;
};

} // namespace

TEST_SUITE_BEGIN("service discovery");

TEST_CASE_FIXTURE(fixture, "a local service outside the node's credential is refused") {
  CHECK(register_service("jlr.com/cloud/media_server") == ec::none);
  CHECK(register_service("jlr.com/other/media_server") == ec::unauthorized);
  CHECK(table()->local.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a peer is told of what it may reach, then and later") {
  register_service("jlr.com/cloud/media_server");
  register_service("jlr.com/cloud/billing");
  auto x = make_peer("jlr.com/vin/1234", {},
                     {"rpc:jlr.com/cloud/media_server/stream_audio", "jlr.com/cloud/maps"});
  ask_for_announcement(x);
  REQUIRE(x.seen->announced.size() == 1);
  CHECK(x.seen->announced[0].first);
  CHECK(names_of(x.seen->announced[0].second) == names{"jlr.com/cloud/media_server"});
  link_up(x, 1);
  register_service("jlr.com/cloud/payroll");
  CHECK(x.seen->announced.size() == 1);
  register_service("jlr.com/cloud/maps");
  self->send(discovery, atom::unreg_v, std::string{"jlr.com/cloud/media_server"});
  self->send(discovery, atom::unreg_v, std::string{"jlr.com/cloud/billing"});
  settle();
  REQUIRE(x.seen->announced.size() == 3);
  CHECK_FALSE(x.seen->announced[1].first);
  CHECK(names_of(x.seen->announced[1].second) == names{"jlr.com/cloud/maps"});
  CHECK(names_of(x.seen->announced[2].second) == names{"jlr.com/cloud/media_server"});
}

TEST_CASE_FIXTURE(fixture, "a service that comes while a link comes up is announced to it") {
  auto x = make_peer("jlr.com/vin/1234", {}, {"jlr.com/cloud"});
  ask_for_announcement(x);
  register_service("jlr.com/cloud/maps");
  link_up(x, 1);
  REQUIRE(x.seen->announced.size() == 2);
  CHECK(names_of(x.seen->announced[1].second) == names{"jlr.com/cloud/maps"});
}

TEST_CASE_FIXTURE(fixture, "an announcement that is not the peer's to make closes its link") {
  auto x = make_peer("jlr.com/vin/1234", {player, "jlr.com/vin/9999"});
  auto bad = entry(x, player);
  std::string code = "unauthorized";
  SUBCASE("outside its credential") {
    bad = entry(x, "jlr.com/vin/1234/services/radio");
  }
  SUBCASE("below another node's address") {
    bad = entry(x, "jlr.com/vin/9999/services/media_player");
  }
  SUBCASE("owned by somebody else") {
    auto other = make_peer();
    bad.service = wire::encode_announced({player, 1, true}, other.identity.uid);
    bad.signature = *x.key.sign("RVI-ANNOUNCE-1" + bad.service);
  }
  SUBCASE("a flipped bit in the signature") {
    bad.signature[9] ^= 1;
    code = "signature_invalid";
  }
  SUBCASE("a credential it did not show") {
    auto other = provisioning.issue(
      provisioning.claims(x.key.public_part(), {"jlr.com/vin/1234"}, {}, now_s()));
    known->add(other);
    bad.credential_hash = other->hash;
  }
  SUBCASE("bytes that do not decode") {
    bad.service = "\xff";
    code = "malformed";
  }
  SUBCASE("below this node's address") {
    start("jlr.com/vin/1234/services");
  }
  announce(x, true, {bad});
  CHECK(x.seen->closed == names{code});
  CHECK(x.seen->available.empty());
  CHECK(table()->nodes.empty());
}

TEST_CASE_FIXTURE(fixture, "a full announcement replaces, a delta adds and withdraws") {
  auto x = make_peer();
  auto at = [](const std::string& name) { return "jlr.com/vin/1234/services/" + name; };
  announce(x, true, {entry(x, at("a")), entry(x, at("b"))});
  CHECK(table()->nodes.at("jlr.com/vin/1234")->services == names{at("a"), at("b")});
  link_up(x, 1);
  announce(x, false, {entry(x, at("c")), entry(x, at("a"), false)});
  CHECK(table()->nodes.at("jlr.com/vin/1234")->services == names{at("b"), at("c")});
  announce(x, true, {entry(x, at("d"))});
  CHECK(table()->nodes.at("jlr.com/vin/1234")->services == names{at("d")});
  CHECK(x.seen->available == std::vector{names{at("a"), at("b")}, {at("b"), at("c")}, {at("d")}});
  CHECK(table()->nodes.at("jlr.com/vin/1234")->link == 1);
}

TEST_CASE_FIXTURE(fixture, "an address is its holder's while the holder is connected") {
  auto first = make_peer();
  auto second = make_peer();
  announce(first, true, {});
  link_up(first, 1);
  announce(second, true, {});
  CHECK(second.seen->closed == names{"unauthorized"});
  CHECK(table()->nodes.at("jlr.com/vin/1234")->uid == first.identity.uid);
  link_down(1);
  announce(second, true, {});
  link_up(second, 2);
  CHECK(second.seen->closed.size() == 1);
  CHECK(table()->nodes.at("jlr.com/vin/1234")->uid == second.identity.uid);
  CHECK_FALSE(table()->nodes_by_uid.contains(first.identity.uid));
}

TEST_CASE_FIXTURE(fixture, "of two nodes that come with one address the first holds it") {
  auto first = make_peer();
  auto second = make_peer();
  announce(first, true, {});
  announce(second, true, {}); // neither is up yet
  link_up(first, 1);
  link_up(second, 2);
  CHECK(table()->nodes.at("jlr.com/vin/1234")->uid == first.identity.uid);
  CHECK(second.seen->closed == names{"unauthorized"});
}

TEST_CASE_FIXTURE(fixture, "a node that moved is found by its uid where it is now") {
  auto x = make_peer("jlr.com/vin/1234");
  announce(x, true, {});
  link_up(x, 1);
  auto moved = x;
  moved.identity.node_address = "jlr.com/vin/5678";
  moved.handle = spawn(test::silent_link, told_of(moved.seen));
  announce(moved, true, {});
  auto where = [&] { return table()->nodes_by_uid.at(x.identity.uid)->address; };
  CHECK(where() == "jlr.com/vin/1234");
  link_up(moved, 2);
  CHECK(where() == "jlr.com/vin/5678");
  link_down(1); // the old link is found dead only now
  CHECK(where() == "jlr.com/vin/5678");
  auto other = make_peer("jlr.com/vin/1234");
  announce(other, true, {});
  link_up(other, 3);
  CHECK(where() == "jlr.com/vin/5678");
  CHECK(table()->nodes_by_uid.at(other.identity.uid)->address == "jlr.com/vin/1234");
  CHECK(table()->nodes.size() == 2);
}

TEST_CASE_FIXTURE(fixture, "a link that dies unasked is down, and hears of nothing more") {
  auto x = make_peer("jlr.com/vin/1234", {}, {"jlr.com/cloud"});
  ask_for_announcement(x);
  link_up(x, 1);
  caf::anon_send_exit(x.handle, caf::exit_reason::kill);
  settle();
  CHECK(seen->downs == std::vector<uint64_t>{1});
  CHECK(table()->nodes.at("jlr.com/vin/1234")->link == 0);
  register_service("jlr.com/cloud/maps");
  CHECK(x.seen->announced.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "nobody comes with this node's own address") {
  auto x = make_peer("jlr.com/cloud");
  announce(x, true, {});
  CHECK(x.seen->closed == names{"unauthorized"});
}

TEST_CASE_FIXTURE(fixture, "the snapshot has a link before store and forward hears of it") {
  auto x = make_peer();
  announce(x, true, {entry(x, player)});
  CHECK(table()->nodes.at("jlr.com/vin/1234")->link == 0);
  link_up(x, 7);
  CHECK(seen->ups == std::vector<uint64_t>{7});
  CHECK(seen->published == std::vector{true});
  link_down(7);
  link_down(7);
  CHECK(seen->downs == std::vector<uint64_t>{7});
  CHECK(table()->nodes.at("jlr.com/vin/1234")->link == 0);
  CHECK(table()->nodes.at("jlr.com/vin/1234")->services == names{player});
}

TEST_CASE_FIXTURE(fixture, "names lead to the longest prefix, to provisioned addresses, or home") {
  auto outer = make_peer("jlr.com/vin");
  auto inner = make_peer("jlr.com/vin/1234");
  outer.identity.network_address = "10.0.0.2:8810";
  link_up(outer, 1);
  link_up(inner, 2);
  register_service("jlr.com/cloud/media_server");
  auto to = table()->resolve("rpc:jlr.com/vin/1234/services/media_player/play");
  REQUIRE(to.node);
  CHECK(to.to == route::where::remote);
  CHECK(to.node->uid == inner.identity.uid);
  CHECK(to.network_addresses == names{"10.0.0.1:8810", "10.0.0.7:8810"});
  CHECK(table()->resolve("rpc:jlr.com/vin/5678/x").node->uid == outer.identity.uid);
  CHECK(table()->resolve("rpc:jlr.com/else/where/x").to == route::where::unknown);
  auto home = table()->resolve("rpc:jlr.com/cloud/media_server/stream_audio");
  CHECK(home.to == route::where::local);
  CHECK(home.service == "jlr.com/cloud/media_server");
  CHECK(table()->resolve("rpc:jlr.com/cloud/nobody/x").to == route::where::local);
  CHECK(table()->resolve("rpc:jlr.com/cloud/nobody/x").service.empty());
}

TEST_CASE_FIXTURE(fixture, "a node met before is known after a restart, and where to dial it") {
  auto x = make_peer();
  announce(x, true, {entry(x, player)});
  link_up(x, 1);
  restart(); // with its link up
  auto to = table()->resolve("rpc:jlr.com/vin/1234/services/media_player/play");
  REQUIRE(to.node);
  CHECK(to.node->uid == x.identity.uid);
  CHECK(to.node->link == 0);
  CHECK(to.node->services == names{player});
  CHECK(to.node->last_seen_ms != 0);
  CHECK(to.network_addresses == names{"10.0.0.1:8810", "10.0.0.7:8810"});
  CHECK(table()->resolve_node(x.identity.uid, "x").node == to.node);
  link_up(x, 2);
  CHECK(table()->nodes.at("jlr.com/vin/1234")->link == 2);
  CHECK(table()->nodes.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "what was not on disk when the power went is as it was before") {
  auto x = make_peer();
  announce(x, true, {entry(x, player)});
  link_up(x, 1);
  pass(100);
  announce(x, true, {});
  link_down(1); // the deferred write waits for company
  disk->crash();
  restart();
  CHECK(table()->nodes.at("jlr.com/vin/1234")->services == names{player});
}

TEST_CASE_FIXTURE(fixture, "of two keys that had one address the later one is remembered") {
  auto x = make_peer();
  visit(x, 1);
  auto other = make_peer();
  visit(other, 2); // another key under the same address
  restart();
  CHECK(table()->nodes.at("jlr.com/vin/1234")->uid == other.identity.uid);
  CHECK(disk->content(table::known_nodes).size() == 1);
}

TEST_CASE_FIXTURE(fixture, "as many nodes are remembered as configured, the oldest go first") {
  nodes_remembered_max = 3;
  restart();
  std::vector<peer> peers;
  for (auto number : {"1", "2", "3", "4"})
    peers.push_back(make_peer(std::string{"jlr.com/vin/"} + number));
  for (auto& x : peers)
    visit(x, ++sequence);
  CHECK(table()->nodes.size() == 3);
  CHECK_FALSE(table()->nodes.contains("jlr.com/vin/1"));
  CHECK_FALSE(table()->nodes_by_uid.contains(peers[0].identity.uid));
  pass(100);
  CHECK(disk->content(table::known_nodes).size() == 3);
  link_up(peers[0], ++sequence); // who is linked counts for nothing
  CHECK(table()->nodes.size() == 4);
  nodes_remembered_max = 2;
  restart();
  CHECK(table()->nodes.size() == 2);
  CHECK(table()->nodes.contains("jlr.com/vin/1"));
  pass(100);
  CHECK(disk->content(table::known_nodes).size() == 2);
}

TEST_CASE_FIXTURE(fixture, "ten thousand nodes are known again soon after a start") {
  {
    auto opened = *disk->open();
    auto t = std::move(*opened->begin_write());
    for (uint32_t i = 0; i < 10'000; ++i) {
      known_node x;
      auto number = std::to_string(i);
      x.address = "jlr.com/vin/" + number;
      x.last_seen_ms = 1 + i;
      x.network_addresses = {"10.0.0.1:8810"};
      for (auto* service : {"hvac", "lock", "media_player", "sota"})
        x.services.push_back(x.address + "/services/" + service);
      x.credential_hashes = {std::string(32, 'h')};
      number.resize(16, '.');
      REQUIRE_FALSE(t->put(table::known_nodes, number, encode_known_node(x)));
    }
    REQUIRE_FALSE(t->commit());
  }
  auto begun = std::chrono::steady_clock::now();
  start("jlr.com/cloud");
  auto took = std::chrono::steady_clock::now() - begun;
  CHECK(table()->nodes.size() == 10'000);
  MESSAGE("10,000 nodes in " << std::chrono::duration_cast<std::chrono::milliseconds>(took).count()
                             << " ms");
}

TEST_CASE_FIXTURE(fixture, "a node that was never seen is dialled where it was provisioned") {
  auto to = table()->resolve("rpc:jlr.com/vin/1234/services/media_player/play");
  CHECK(to.to == route::where::remote);
  CHECK_FALSE(to.node);
  CHECK(to.network_addresses == names{"10.0.0.7:8810"});
}

TEST_SUITE_END();
