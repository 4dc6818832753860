// SPDX-License-Identifier: MPL-2.0
//
// Several kinds of link to one node: which is dialled, which stays, and what happens when one goes.

#include "actors/links/link_meter.hpp"
#include "test/support/envelopes.hpp"
#include "test/unit/links/data_link_fixture.hpp"

namespace {

using kinds = std::vector<std::string>;
using reasons = std::vector<std::string>;

constexpr uint64_t day_ms = 86'400'000;

struct two_kinds : fixture {
  two_kinds() {
    settings.kinds.order = {"wifi", "lte"};
    settings.own_kinds = {"lte", "wifi"};
  }

  uint64_t last_dial() { return seen->dials.back().number; }

  size_t up() {
    auto xs = status();
    return static_cast<size_t>(
      std::count_if(xs.begin(), xs.end(), [](auto& x) { return x.state == "up"; }));
  }
};

} // namespace

TEST_SUITE_BEGIN("kinds of link");

TEST_CASE("what a link is called") {
  CHECK(is_link_kind("wifi"));
  CHECK(is_link_kind("lte-2_b"));
  CHECK_FALSE(is_link_kind(""));
  CHECK_FALSE(is_link_kind("WiFi"));
  CHECK_FALSE(is_link_kind(std::string(33, 'a')));
  // Both ends come to the same name.
  for (std::string dialler : {"", "wifi"})
    for (std::string other : {"", "ethernet"})
      CHECK(agreed_kind(true, dialler, other) == agreed_kind(false, other, dialler));
  CHECK(agreed_kind(true, "wifi", "ethernet") == "wifi");
  CHECK(agreed_kind(true, "", "ethernet") == "ethernet");
  CHECK(agreed_kind(true, "", "") == "tls");
}

TEST_CASE("a data class allows some kinds, in its own order") {
  link_policy x;
  x.order = {"wifi", "lte"};
  x.classes = {{"bulk", {"wifi"}}, {"alarm", {"lte", "wifi"}}};
  CHECK(x.kinds_of("bulk") == kinds{"wifi"});
  CHECK(x.kinds_of("unheard of").empty());
  CHECK_FALSE(x.place(x.kinds_of("bulk"), "lte"));
  CHECK(x.better(x.kinds_of("alarm"), "lte", "wifi"));
  CHECK(x.better({}, "wifi", "lte"));
  CHECK(x.better({}, "lte", "zigbee")); // not in the order: after those that are
  CHECK(x.better({}, "bluetooth", "zigbee"));
  x.classes["default"] = {"ethernet"};
  CHECK(x.kinds_of("unheard of") == kinds{"ethernet"});
}

TEST_CASE("a queue's name holds its target and class") {
  auto x = split_queue_name(queue_name("rpc:jlr.com/cloud/a", "bulk"));
  CHECK(x.target == "rpc:jlr.com/cloud/a");
  CHECK(x.data_class == "bulk");
  CHECK(queue_name("rpc:jlr.com/cloud/a", "") == "rpc:jlr.com/cloud/a");
  CHECK(split_queue_name("rpc:jlr.com/cloud/a").data_class.empty());
}

TEST_CASE("a link's rate is what was confirmed while something was under way") {
  constexpr uint64_t second_us = 1'000'000;
  auto key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  link_meter meter;
  auto send = [&](uint64_t seq, size_t bytes, uint64_t at_us) {
    auto x = test::header_of(key.public_part().uid(), seq);
    meter.sent(test::sign_batch(key, {x}, {std::string(bytes, '1')}), at_us);
    return custody_report{{{x.id, false}}, {}};
  };
  CHECK_FALSE(meter.confirmed(send(1, 100, 0), second_us)); // too little to tell
  CHECK(meter.bytes_per_s() == 0);
  auto first = send(2, 60'000, 10 * second_us);
  auto second = send(3, 60'000, 10 * second_us);
  CHECK_FALSE(meter.confirmed(first, 11 * second_us));
  CHECK(meter.confirmed(second, 12 * second_us)); // the pause before does not count
  CHECK(meter.bytes_per_s() > 59'000);
  CHECK(meter.bytes_per_s() < 61'000);
  auto unknown = send(4, 10, 20 * second_us);
  unknown.accepted[0].id.seq = 77;
  CHECK_FALSE(meter.confirmed(unknown, 21 * second_us));
}

TEST_CASE_FIXTURE(two_kinds, "the best kind is dialled first, the next once it has failed") {
  start();
  demand();
  CHECK(kinds_dialled() == kinds{"wifi"});
  fail(last_dial());
  CHECK(kinds_dialled() == kinds{"wifi", "lte"});
}

TEST_CASE_FIXTURE(two_kinds, "a demand for one kind is not served by another") {
  start();
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", day_ms, {"lte"});
  CHECK(kinds_dialled() == kinds{"lte"});
  bring_up_kind(last_dial(), true, "lte");
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", day_ms, {"wifi"});
  CHECK(kinds_dialled() == kinds{"lte", "wifi"});
  fail(last_dial());
  pass(10'000);
  CHECK(seen->dials.size() > 2); // still asked for
  bring_up_kind(last_dial(), true, "wifi");
  CHECK(up() == 2);
  CHECK(seen->closes.empty());
}

TEST_CASE_FIXTURE(two_kinds, "a better network that comes up is dialled beside the worse link") {
  start();
  network("wifi", false);
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", day_ms);
  CHECK(kinds_dialled() == kinds{"lte"});
  bring_up_kind(last_dial(), true, "lte");
  pass(60'000);
  CHECK(seen->dials.size() == 1);
  CHECK(waiting() == 0);
  network("wifi", true);
  CHECK(kinds_dialled() == kinds{"lte", "wifi"});
  SUBCASE("it comes up") {
    bring_up_kind(last_dial(), true, "wifi");
    CHECK(up() == 2);
    CHECK(seen->ups.size() == 2);
  }
  SUBCASE("it does not, and is left in peace after some tries") {
    for (int i = 0; i < 200; ++i) {
      auto last = last_dial();
      fail(last);
      pass(1'000);
    }
    CHECK(seen->dials.size() == 4);
    CHECK(waiting() == 0);
  }
}

TEST_CASE_FIXTURE(two_kinds, "a worse network that comes up is not dialled") {
  start();
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", day_ms);
  bring_up_kind(last_dial(), true, "wifi");
  network("lte", true);
  CHECK(kinds_dialled() == kinds{"wifi"});
}

TEST_CASE_FIXTURE(two_kinds,
                  "links go with their network, and it is not dialled until it is back") {
  start();
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", day_ms);
  auto first = last_dial();
  bring_up_kind(first, true, "wifi");
  pass(5'000);
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", day_ms);
  network("wifi", false);
  CHECK(seen->closes[first] == reasons{"link_down"});
  CHECK(seen->downs == std::vector{first});
  CHECK(kinds_dialled() == kinds{"wifi", "lte"}); // the other has to do
  for (int i = 0; i < 20; ++i) {
    auto last = last_dial();
    fail(last);
    pass(60'000, 1'000);
  }
  CHECK(
    std::count_if(seen->dials.begin(), seen->dials.end(), [](auto& x) { return x.kind == "wifi"; })
    == 1);
  network("wifi", true);
  CHECK(seen->dials.back().kind == "wifi");
}

TEST_CASE_FIXTURE(two_kinds, "when one of two links goes, nothing is dialled that is not lacking") {
  start();
  bring_up_kind(inbound, false, "lte");
  bring_up_kind(inbound + 1, false, "wifi");
  CHECK(up() == 2);
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", day_ms);
  pass(5'000);
  fail(inbound + 1);
  pass(60'000);
  CHECK(up() == 1);
  CHECK(std::all_of(seen->dials.begin(), seen->dials.end(),
                    [](auto& x) { return x.kind == "wifi"; })); // lte is there
}

TEST_CASE_FIXTURE(two_kinds, "of each kind one link stays") {
  start();
  bring_up_kind(inbound, false, "lte");
  bring_up_kind(inbound + 1, false, "wifi");
  bring_up_kind(inbound + 2, false, "wifi");
  CHECK(seen->closes[inbound].empty());
  CHECK(seen->closes[inbound + 1] == reasons{"duplicate"});
  CHECK(seen->closes[inbound + 2].empty());
  CHECK(up() == 2);
}

TEST_CASE_FIXTURE(two_kinds, "an address may be kept to one kind") {
  start();
  demand({"192.168.1.5:8810@wifi", "cloud.jlr.com:8810@lte"});
  REQUIRE(seen->dials.size() == 1);
  CHECK(seen->dials[0].address == "192.168.1.5:8810");
  CHECK(seen->dials[0].kind == "wifi");
  fail(last_dial());
  REQUIRE(seen->dials.size() == 2);
  CHECK(seen->dials[1].address == "cloud.jlr.com:8810");
  CHECK(seen->dials[1].kind == "lte");
}

TEST_CASE_FIXTURE(fixture,
                  "a node that an administrator disconnects stays so until told otherwise") {
  settings.connect = {"10.0.0.1:8810"};
  start();
  auto first = seen->dials.back().number;
  bring_up(first, true);
  pass(5'000);
  CHECK(*ask<uint64_t>(links, atom::close_v, std::string{"jlr.com/cloud"}) == 1);
  settle();
  CHECK(seen->downs == std::vector{first});
  demand();
  find("10.0.0.1:8810");
  pass(day_ms / 24, 1'000);
  CHECK(seen->dials.size() == 1);
  REQUIRE(status().size() >= 1);
  CHECK(status()[0].state == "disconnected");
  bring_up(inbound, false); // the peer cannot either
  CHECK(seen->closes[inbound] == reasons{"shutdown"});
  CHECK(seen->ups == std::vector{first});
  CHECK(ask<atom::done>(links, atom::setup_v, std::string{"jlr.com/cloud"}));
  settle();
  CHECK(seen->dials.size() == 2);
  bring_up(seen->dials.back().number, true);
  CHECK(seen->ups.size() == 2);
}

TEST_CASE_FIXTURE(fixture, "an administrator connects a node that routes know, and no other") {
  table.node_address = "jlr.com/vin/1234";
  table.provisioned = {{"+:jlr.com/cloud/#", {"10.0.0.7:8810"}}};
  start();
  CHECK_FALSE(ask<atom::done>(links, atom::setup_v, std::string{"jlr.com/nowhere"}));
  CHECK(ask<atom::done>(links, atom::setup_v, std::string{"jlr.com/cloud"}));
  settle();
  REQUIRE(seen->dials.size() == 1);
  CHECK(seen->dials[0].address == "10.0.0.7:8810");
}

TEST_CASE_FIXTURE(fixture, "who is found is dialled once, and not if a link with it is up") {
  start();
  find("10.0.0.9:8810");
  REQUIRE(seen->dials.size() == 1);
  fail(seen->dials[0].number);
  pass(60'000);
  CHECK(seen->dials.size() == 1);
  CHECK(status().empty());
  CHECK(waiting() == 0);
  remote = "10.0.0.9:53122";
  say_up(inbound, false);
  settle();
  find("10.0.0.9:8810"); // the peer says it can be dialled at 10.0.0.1: another one
  CHECK(seen->dials.size() == 2);
  find("10.0.0.1:8810");
  CHECK(seen->dials.size() == 2);
}

TEST_SUITE_END();
