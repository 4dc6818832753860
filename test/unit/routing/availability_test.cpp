// SPDX-License-Identifier: MPL-2.0
//
// What a change of a node means to those who watch, who may hear it, and the form in which nodes
// are remembered.

#include "actors/edge/availability.hpp"
#include "actors/routing/known_nodes.hpp"
#include "test/support/authority.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

using names = std::vector<std::string>;

constexpr uint64_t now_ms = 1'795'000'000'000;
constexpr const char* car = "jlr.com/vin/1234";
constexpr const char* hvac = "jlr.com/vin/1234/services/hvac";
constexpr const char* lock = "jlr.com/vin/1234/services/lock";

known_node node(names services, uint64_t link) {
  known_node x;
  x.uid.fill(7);
  x.address = car;
  x.services = std::move(services);
  x.link = link;
  x.link_kind = link != 0 ? "tls" : "";
  return x;
}

/// "reason state services" of each event, with a minus if they are not available.
names told(const known_node* before, const known_node& after) {
  names result;
  for (auto& x : availability_changes(before, after)) {
    std::string text = (x.what.available ? "" : "-") + x.what.reason + " " + x.what.state;
    for (auto& service : x.what.services)
      text += " " + service.substr(service.rfind('/') + 1);
    result.push_back(text);
  }
  return result;
}

struct fixture {
  fixture() {
    own.own_key = key.public_part();
    own.own = {provisioning.issue(provisioning.claims(key.public_part(), {"jlr.com/cloud"},
                                                      {"rpc:jlr.com/vin/+/services/hvac/set"},
                                                      now_ms / 1'000))};
    table.node_address = "jlr.com/cloud";
    table.version = 10;
  }

  availability_view view() const { return {table, own, now_ms}; }

  void know(known_node x) {
    table.nodes.set(x.address, std::make_shared<const known_node>(std::move(x)));
  }

  availability_event event(const known_node* before, const known_node& after, size_t at = 0) {
    auto x = availability_changes(before, after).at(at);
    x.version = ++table.version;
    return x;
  }

  availability::reports changed(const availability_event& x) {
    availability::reports out;
    watched.changed(x, view(), out);
    return out;
  }

  availability::reports subscribe(client_id client, const std::string& pattern) {
    availability::reports out;
    error = watched.subscribe(client, pattern, view(), out);
    return out;
  }

  test::authority provisioning;
  crypto::private_key key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  rights own;
  routing_table table;
  availability watched{{3, 5}};
  caf::error error;
};

} // namespace

TEST_SUITE_BEGIN("availability");

TEST_CASE("each change of a node is one event, with its reason") {
  auto away = node({hvac, lock}, 0);
  auto up = node({hvac, lock}, 3);
  CHECK(told(nullptr, away).empty());
  CHECK(told(nullptr, up) == names{"link_up linked hvac lock"});
  CHECK(told(&away, up) == names{"link_up linked hvac lock"});
  CHECK(told(&up, away) == names{"-link_down away hvac lock"});
  CHECK(told(&up, up).empty());
  auto less = node({hvac}, 3);
  CHECK(told(&up, less) == names{"-withdrawn gone lock"});
  CHECK(told(&less, up) == names{"announced linked lock"});
  auto away_less = node({hvac}, 0);
  CHECK(told(&away, away_less) == names{"-withdrawn gone lock"});
  CHECK(told(&away_less, away).empty()); // until there is a link
  auto other_link = node({hvac, lock}, 4);
  CHECK(told(&up, other_link).empty()); // as good as the one before
  other_link.link_kind = "sms";
  CHECK(told(&up, other_link) == names{"link_up linked hvac lock"});
  auto measured = up;
  measured.round_trip_us = 900;
  CHECK(told(&up, measured) == names{"measured linked hvac lock"});
  CHECK(told(&measured, measured).empty());
  auto fallen = up;
  fallen.fallen = ec::revoked;
  CHECK(told(&up, fallen) == names{"-revoked revoked hvac lock"});
  auto fallen_away = fallen;
  fallen_away.link = 0;
  CHECK(told(&fallen, fallen_away).empty());
  CHECK(told(&fallen_away, up) == names{"link_up linked hvac lock"});
}

TEST_CASE("a remembered node reads as it was written, and no damaged one is taken") {
  auto x = node({hvac, lock}, 0);
  x.network_addresses = {"10.0.0.1:8810", "10.0.0.2:8810"};
  x.last_seen_ms = now_ms;
  x.credentials_end_ms = now_ms + 1;
  x.credential_hashes = {std::string(32, 'h')};
  auto bytes = encode_known_node(x);
  std::string uid(16, 7);
  auto y = decode_known_node(uid, bytes);
  REQUIRE(y);
  CHECK(y->uid == x.uid);
  CHECK(y->address == x.address);
  CHECK(y->services == x.services);
  CHECK(y->network_addresses == x.network_addresses);
  CHECK(y->last_seen_ms == x.last_seen_ms);
  CHECK(y->credentials_end_ms == x.credentials_end_ms);
  CHECK(y->credential_hashes == x.credential_hashes);
  CHECK(y->link == 0);
  CHECK_FALSE(decode_known_node("short", bytes));
  CHECK_FALSE(decode_known_node(uid, "\xff\xff\xff"));
  CHECK_FALSE(decode_known_node(uid, ""));
}

TEST_CASE_FIXTURE(fixture, "a right to something at or below a name lets it be seen") {
  CHECK(may_reach(own, hvac, now_ms));
  CHECK(may_reach(own, car, now_ms));
  CHECK(may_reach(own, "jlr.com/vin/1234/services/hvac/set/high", now_ms));
  CHECK_FALSE(may_reach(own, lock, now_ms));
  CHECK_FALSE(may_reach(own, "jlr.com/cloud/maps", now_ms));
  CHECK_FALSE(may_reach(own, hvac, now_ms + 400ULL * 86'400'000)); // it has expired
}

TEST_CASE_FIXTURE(fixture, "a subscriber hears of what matches and may be reached, and no more") {
  auto away = node({hvac, lock}, 0);
  auto up = node({hvac, lock}, 3);
  subscribe(1, "jlr.com/vin/+/services/hvac");
  subscribe(2, "jlr.com/vin/+/services/lock");
  subscribe(3, "jlr.com/vin/+");
  subscribe(4, "jlr.com/cloud/#");
  auto out = changed(event(&away, up));
  REQUIRE(out.size() == 2);
  CHECK(out[0].client == 1);
  CHECK(out[0].services == names{hvac});
  CHECK(out[0].node == car);
  CHECK(out[0].kind == "tls");
  CHECK(out[1].client == 3);
  CHECK(out[1].pattern == "jlr.com/vin/+");
  CHECK(out[1].services == names{hvac});
  auto empty = node({}, 3);
  auto links_only = changed(event(&away, empty, 1));
  REQUIRE(links_only.size() == 1); // who watches the node hears of its link
  CHECK(links_only[0].client == 3);
  CHECK(links_only[0].services.empty());
  CHECK(changed(event(&up, node({hvac}, 3))).empty()); // the lock, which nobody here may reach
}

TEST_CASE_FIXTURE(fixture, "the current state comes first, and only what is newer after it") {
  table.local.set("jlr.com/cloud/maps", local_service{"jlr.com/cloud/maps", false});
  auto away = node({hvac, lock}, 0);
  auto up = node({hvac, lock}, 3);
  know(up);
  auto late = event(&away, up);
  auto state = subscribe(1, "#");
  REQUIRE(state.size() == 2);
  CHECK(state[0].state == "local");
  CHECK(state[0].services == names{"jlr.com/cloud/maps"});
  CHECK(state[1].available);
  CHECK(state[1].current);
  CHECK(state[1].reason == "subscribed");
  CHECK(state[1].services == names{hvac});
  CHECK(changed(late).empty()); // the snapshot had it
  CHECK(changed(event(&up, away)).size() == 1);
  know(away);
  availability::reports anew;
  watched.tell_anew(1, view(), anew);
  REQUIRE(anew.size() == 3);
  CHECK(anew[0].all);
  CHECK_FALSE(anew[0].available);
  CHECK(anew[2].state == "away");
  CHECK_FALSE(anew[2].available);
}

TEST_CASE_FIXTURE(fixture, "subscriptions are bounded and end with their connection") {
  for (auto pattern : {"a.b/1", "a.b/2", "a.b/3"})
    subscribe(1, pattern);
  CHECK_FALSE(error);
  subscribe(1, "a.b/4");
  CHECK(code_of(error) == ec::limit_exceeded);
  subscribe(1, "a.b/3"); // has it already
  CHECK_FALSE(error);
  CHECK(watched.size() == 3);
  subscribe(2, "a.b/1");
  subscribe(2, "a.b/2");
  subscribe(3, "a.b/1");
  CHECK(code_of(error) == ec::busy);
  CHECK(watched.unsubscribe(2, "a.b/1"));
  CHECK_FALSE(watched.unsubscribe(2, "a.b/1"));
  watched.closed(1);
  watched.closed(1);
  CHECK(watched.size() == 1);
}

TEST_SUITE_END();
