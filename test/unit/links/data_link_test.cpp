// SPDX-License-Identifier: MPL-2.0
//
// Which link to which node, and when: dials, failures and links that cross, on virtual time.

#include "actors/links/data_link.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_link.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

using namespace rvi;

namespace {

struct dial {
  uint64_t number = 0;
  std::string address;
};

/// What the neighbours were told.
struct told {
  std::vector<dial> dials;
  std::vector<uint64_t> ups;
  std::vector<uint64_t> downs;
  std::vector<std::pair<uint64_t, uint64_t>> measured; // link, us
  std::map<uint64_t, std::vector<std::string>> closes; // by link: the reasons
};
using told_ptr = std::shared_ptr<told>;

link_driver_actor::behavior_type driver(link_driver_actor::pointer, told_ptr to) {
  return {
    [to](atom::setup, uint64_t number, const std::string& address) {
      to->dials.push_back({number, address});
    },
    [](atom::reload) { return atom::done_v; },
  };
}

service_discovery_actor::behavior_type discovery(service_discovery_actor::pointer, told_ptr to) {
  return {
    [](atom::reg, const local_service&) { return atom::done_v; },
    [](atom::unreg, const std::string&) {},
    [](atom::announce, const link_actor&, const peer_identity&) {},
    [](atom::announce, const link_actor&, const peer_identity&, bool,
       const std::vector<announce_entry>&) {},
    [to](atom::link_up, const link_actor&, const link_info& x) { to->ups.push_back(x.link); },
    [to](atom::link_down, uint64_t link) { to->downs.push_back(link); },
    [to](atom::status, uint64_t link, uint64_t us) { to->measured.emplace_back(link, us); },
    [](atom::attach, const availability_listener_actor&) {},
    [](atom::revoke) {},
    [](atom::status) { return std::string{}; },
  };
}

/// Ends when it is closed, as a session does.
test::link_listener told_of(told_ptr to, uint64_t number, const data_link_actor& owner) {
  test::link_listener x;
  x.close = [=](const std::string& reason, const std::string&) {
    to->closes[number].push_back(reason);
    caf::anon_send(owner, atom::closed_v, number, reason);
  };
  return x;
}

protocol_actor::behavior_type protocol(protocol_actor::pointer, std::string spoken) {
  return {
    [spoken](atom::setup, const std::vector<std::string>& offered) -> caf::result<std::string> {
      if (offered.front() == spoken)
        return spoken;
      return caf::make_error(ec::protocol_mismatch, std::string{"another"});
    },
  };
}

node_uid uid_of(uint8_t x) {
  node_uid result;
  result.fill(x);
  return result;
}

struct fixture : test::world {
  fixture() { (void)log::configure(log::level::error, log::format::text); }

  void start() {
    auto node = std::make_shared<node_context>();
    node->time = time;
    node->metrics = std::make_shared<metrics::registry>();
    node->uid = own;
    node->seed = seed;
    settings.node = node;
    settings.service_discovery = spawn(discovery, seen);
    settings.protocol = spawn(protocol, std::string{"rvi/2"});
    links = spawn(data_link, settings);
    self->send(links, atom::attach_v, std::string{"tls"}, spawn(driver, seen));
    settle();
  }

  void demand(std::vector<std::string> addresses = {"10.0.0.1:8810"},
              const std::string& node = "jlr.com/cloud", uint64_t wanted_ms = 60'000) {
    self->send(links, atom::setup_v,
               setup_request{"rpc:" + node + "/x", node, addresses, true, wanted_ms});
    settle();
  }

  void fail(uint64_t number) {
    self->send(links, atom::closed_v, number, std::string{"unreachable"});
    settle();
  }

  /// The session is authorized and announced; nothing has run yet.
  void say_up(uint64_t number, bool dialled, const std::string& speaks = "rvi/2") {
    link_info x;
    x.link = number;
    x.peer.uid = peer;
    x.peer.node_address = "jlr.com/cloud";
    x.peer.network_address = "10.0.0.1:8810";
    x.peer.protocol = speaks;
    x.kind = "tls";
    x.dialled = dialled;
    self->send(links, atom::link_up_v, spawn(test::silent_link, told_of(seen, number, links)), x);
  }

  void bring_up(uint64_t number, bool dialled, const std::string& speaks = "rvi/2") {
    say_up(number, dialled, speaks);
    settle();
  }

  /// Messages the actors have sent themselves for later.
  size_t waiting() { return sched.clock().schedule().size(); }

  std::vector<link_status> status() {
    return *ask<std::vector<link_status>>(links, atom::status_v);
  }

  uint64_t seed = 7;
  node_uid own = uid_of(0x50);
  node_uid peer = uid_of(0x90);
  data_link_config settings;
  told_ptr seen = std::make_shared<told>();
  data_link_actor links;
};

constexpr uint64_t inbound = 1'000; // a number no dial has

} // namespace

TEST_SUITE_BEGIN("data link");

TEST_CASE_FIXTURE(fixture, "a demand is dialled at once, and once") {
  start();
  demand();
  REQUIRE(seen->dials.size() == 1);
  CHECK(seen->dials[0].address == "10.0.0.1:8810");
  for (int i = 0; i < 20; ++i) {
    demand();
    pass(1'000);
  }
  CHECK(seen->dials.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a failed dial is repeated within a bound that doubles") {
  settings.backoff_ms_min = 1'000;
  settings.backoff_ms_max = 8'000;
  const std::vector<uint64_t> bounds = {1'000, 2'000, 4'000, 8'000, 8'000, 8'000};
  std::vector<uint64_t> longest(bounds.size());
  for (seed = 1; seed <= 40; ++seed) {
    seen = std::make_shared<told>();
    start();
    demand();
    for (size_t i = 0; i < bounds.size(); ++i) {
      fail(seen->dials.back().number);
      auto failed_ms = time->boot_ms();
      while (seen->dials.size() == i + 1 && time->boot_ms() < failed_ms + 20'000) {
        pass(100, 100);
        demand();
      }
      auto waited = time->boot_ms() - failed_ms;
      REQUIRE(waited >= 500);
      REQUIRE(waited <= bounds[i] + 200);
      longest[i] = std::max(longest[i], waited);
    }
    caf::anon_send_exit(links, caf::exit_reason::kill);
  }
  for (size_t i = 0; i < bounds.size(); ++i)
    CHECK_MESSAGE(longest[i] > bounds[i] / 2, "failure ", i + 1);
}

TEST_CASE_FIXTURE(fixture, "several addresses are dialled in turn") {
  settings.backoff_ms_max = 1'000;
  start();
  std::vector<std::string> addresses = {"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"};
  demand(addresses);
  for (size_t i = 0; i < 6; ++i) {
    REQUIRE(seen->dials.size() == i + 1);
    CHECK(seen->dials[i].address == addresses[i % 3]);
    fail(seen->dials[i].number);
    pass(2'000);
    demand(addresses);
  }
}

TEST_CASE_FIXTURE(fixture, "a wish ends with the time somebody wants it") {
  settings.backoff_ms_max = 1'000;
  start();
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", 12'000);
  auto fail_for = [&](uint64_t ms) {
    for (auto end = time->boot_ms() + ms; time->boot_ms() < end; pass(100)) {
      auto last = seen->dials.back().number;
      fail(last);
    }
  };
  fail_for(12'000);
  auto dials = seen->dials.size();
  CHECK(dials > 5);
  fail_for(60'000);
  CHECK(seen->dials.size() == dials);
  CHECK(status().empty());
  CHECK(waiting() == 0);
}

TEST_CASE_FIXTURE(fixture, "with nothing wanted it never wakes, for a day") {
  start();
  CHECK(waiting() == 0);
  demand();
  bring_up(seen->dials[0].number, true);
  bring_up(inbound, false);
  for (int hour = 0; hour < 24; ++hour) {
    CHECK(waiting() == 0);
    pass(3'600'000, 3'600'000);
  }
}

TEST_CASE_FIXTURE(fixture, "a link that came and went is not dialled again unasked") {
  start();
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", 86'400'000);
  auto first = seen->dials[0].number;
  bring_up(first, true);
  SUBCASE("it lasted") {
    pass(5'000);
    fail(first);
    pass(600'000, 1'000);
    CHECK(seen->dials.size() == 1);
    CHECK(waiting() == 0);
  }
  SUBCASE("it ended at once") {
    pass(500);
    fail(first);
    CHECK(seen->dials.size() == 1);
    pass(1'000);
    CHECK(seen->dials.size() == 2);
  }
  SUBCASE("somebody knew first that it had ended, and asked") {
    pass(5'000);
    demand();
    CHECK(seen->dials.size() == 1);
    fail(first);
    CHECK(seen->dials.size() == 2);
  }
}

TEST_CASE_FIXTURE(fixture, "a link the peer dialled is what was wanted") {
  start();
  demand({"10.0.0.1:8810"}, "jlr.com/cloud", 86'400'000);
  bring_up(inbound, false);
  fail(seen->dials[0].number);
  pass(600'000, 1'000);
  CHECK(seen->dials.size() == 1);
  fail(inbound);
  pass(600'000, 1'000);
  CHECK(seen->dials.size() == 1);
  CHECK(waiting() == 0);
}

TEST_CASE_FIXTURE(fixture, "a network that comes up dials what is wanted, at different moments") {
  start();
  std::set<uint64_t> moments;
  for (int i = 0; i < 20; ++i)
    demand({"10.0.0." + std::to_string(i) + ":1"}, "jlr.com/" + std::to_string(i), 86'400'000);
  auto failed = [&] {
    for (size_t i = 0; i < seen->dials.size(); ++i)
      fail(seen->dials[i].number);
  };
  for (int i = 0; i < 40; ++i) {
    failed();
    pass(60'000, 1'000);
  }
  failed();
  seen->dials.clear();
  self->send(links, atom::available_v, std::string{"loopback"});
  pass(1'000, 1);
  auto before = seen->dials.size();
  CHECK(before < 10);
  failed();
  seen->dials.clear();
  self->send(links, atom::available_v, std::string{"tls"});
  for (int ms = 0; ms < 1'000; ++ms) {
    auto known = seen->dials.size();
    pass(1, 1);
    if (seen->dials.size() > known)
      moments.insert(static_cast<uint64_t>(ms));
  }
  CHECK(seen->dials.size() == 20);
  CHECK(moments.size() > 10);
}

TEST_CASE_FIXTURE(fixture, "a scheme names the driver that dials") {
  start();
  auto sms = std::make_shared<told>();
  self->send(links, atom::attach_v, std::string{"sms"}, spawn(driver, sms));
  demand({"sms:+4712345"}, "jlr.com/a");
  demand({"cloud.jlr.com:8810"}, "jlr.com/b");
  demand({"[2001:db8::1]:8810"}, "jlr.com/c");
  demand({"unknown:x"}, "jlr.com/d");
  CHECK(sms->dials.size() == 1);
  CHECK(seen->dials.size() == 3);
}

TEST_CASE_FIXTURE(fixture, "the status shows the round trip that was measured") {
  start();
  bring_up(inbound, false);
  self->send(links, atom::status_v, uint64_t{inbound}, uint64_t{1'234});
  self->send(links, atom::status_v, uint64_t{77}, uint64_t{1}); // ended meanwhile
  settle();
  REQUIRE(status().size() == 1);
  CHECK(status()[0].round_trip_us == 1'234);
}

TEST_CASE_FIXTURE(fixture, "addresses to connect to are dialled for ever") {
  settings.connect = {"10.0.0.9:8810"};
  settings.backoff_ms_max = 10'000;
  start();
  for (int minute = 0; minute < 60; ++minute) {
    auto before = seen->dials.size();
    for (int i = 0; i < 60; ++i) {
      fail(seen->dials.back().number);
      pass(1'000);
    }
    REQUIRE(seen->dials.size() > before);
  }
  pass(20'000); // the dial after the last failure
  auto last = seen->dials.back().number;
  bring_up(last, true);
  pass(60'000);
  CHECK(seen->dials.back().number == last);
  fail(last);
  pass(1'000);
  CHECK(seen->dials.back().number != last);
}

TEST_CASE_FIXTURE(fixture, "discovery hears once that a link came and once that it went") {
  start();
  demand();
  auto number = seen->dials[0].number;
  bring_up(number, true);
  pass(5'000);
  CHECK(seen->ups == std::vector{number});
  CHECK(seen->downs.empty());
  fail(number);
  fail(number);
  CHECK(seen->ups == std::vector{number});
  CHECK(seen->downs == std::vector{number});
}

TEST_CASE_FIXTURE(fixture, "of two links that crossed the one dialled by the lower uid stays") {
  for (bool ours_lower : {true, false})
    for (bool ours_first : {true, false}) {
      CAPTURE(ours_lower);
      CAPTURE(ours_first);
      peer = uid_of(ours_lower ? 0x90 : 0x10);
      seen = std::make_shared<told>();
      start();
      demand();
      auto dialled = seen->dials[0].number;
      bring_up(ours_first ? dialled : inbound, ours_first);
      bring_up(ours_first ? inbound : dialled, !ours_first);
      auto winner = ours_lower ? dialled : inbound;
      auto loser = ours_lower ? inbound : dialled;
      CHECK(seen->closes[winner].empty());
      CHECK(seen->closes[loser] == std::vector<std::string>{"duplicate"});
      CHECK(seen->ups.back() == winner);
      CHECK(std::count(seen->downs.begin(), seen->downs.end(), winner) == 0);
      auto up = status();
      CHECK(std::count_if(up.begin(), up.end(), [](auto& x) { return x.state == "up"; }) == 1);
    }
}

TEST_CASE_FIXTURE(fixture, "whoever lost a crossing does not dial while the other link is up") {
  peer = uid_of(0x10); // its dial wins
  settings.connect = {"10.0.0.1:8810"};
  start();
  auto dialled = seen->dials.back().number;
  SUBCASE("our dial came up last") {
    bring_up(inbound, false);
    bring_up(dialled, true);
  }
  SUBCASE("our dial came up first") {
    bring_up(dialled, true);
    bring_up(inbound, false);
  }
  for (int i = 0; i < 100; ++i) {
    pass(100);
    auto number = seen->dials.back().number;
    if (number != dialled && seen->closes[number].empty())
      bring_up(number, true); // it loses again
  }
  CHECK(seen->dials.back().number == dialled);
  fail(inbound);
  pass(1'000);
  CHECK(seen->dials.back().number != dialled);
}

TEST_CASE_FIXTURE(fixture, "a reconnect from the same side replaces the old link") {
  start();
  bring_up(inbound, false);
  bring_up(inbound + 1, false);
  CHECK(seen->closes[inbound] == std::vector<std::string>{"duplicate"});
  CHECK(seen->closes[inbound + 1].empty());
  CHECK(seen->ups == std::vector{inbound, inbound + 1});
  CHECK(seen->downs == std::vector{inbound});
}

TEST_CASE_FIXTURE(fixture, "a link is closed by its node's address") {
  start();
  bring_up(inbound, false);
  self->send(links, atom::close_v, std::string{"jlr.com/vin/1234"});
  settle();
  CHECK(seen->closes[inbound].empty());
  self->send(links, atom::close_v, std::string{"jlr.com/cloud"});
  settle();
  CHECK(seen->closes[inbound].size() == 1);
  CHECK(seen->downs == std::vector{inbound});
}

TEST_CASE_FIXTURE(fixture, "a link without a protocol in common is closed and never up") {
  start();
  demand();
  auto number = seen->dials[0].number;
  bring_up(number, true, "rvi/9");
  CHECK(seen->closes[number] == std::vector<std::string>{"protocol_mismatch"});
  CHECK(seen->ups.empty());
  CHECK(status()[0].state == "waiting");
}

TEST_CASE_FIXTURE(fixture, "a link that ends while its protocol is chosen never comes up") {
  start();
  say_up(inbound, false);
  self->send(links, atom::closed_v, inbound, std::string{"reset"});
  settle();
  CHECK(status().empty());
  CHECK(seen->ups.size() == seen->downs.size());
}

TEST_CASE_FIXTURE(fixture, "the status lists links, dials and what waits for one") {
  start();
  bring_up(inbound, false);
  demand({"10.0.0.2:1"}, "jlr.com/b");
  demand({"10.0.0.3:1"}, "jlr.com/c");
  fail(seen->dials[1].number);
  auto xs = status();
  REQUIRE(xs.size() == 3);
  CHECK(xs[0].link == inbound);
  CHECK(xs[0].state == "up");
  CHECK(xs[0].node_address == "jlr.com/cloud");
  CHECK_FALSE(xs[0].dialled);
  CHECK(xs[1].node_address == "jlr.com/b");
  CHECK(xs[1].state == "dialling");
  CHECK(xs[2].network_address == "10.0.0.3:1");
  CHECK(xs[2].state == "waiting");
}

TEST_SUITE_END();
