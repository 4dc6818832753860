// SPDX-License-Identifier: MPL-2.0
//
// Which link to which node, and when: dials, failures and links that cross, on virtual time.

#include "test/unit/links/data_link_fixture.hpp"

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

TEST_CASE_FIXTURE(fixture, "of several addresses each is tried and backs off by itself") {
  settings.backoff_ms_max = 1'000;
  start();
  std::vector<std::string> addresses = {"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"};
  demand(addresses);
  for (size_t i = 0; i < 3; ++i) {
    REQUIRE(seen->dials.size() == i + 1);
    CHECK(seen->dials[i].address == addresses[i]);
    fail(seen->dials[i].number); // the next one at once
  }
  CHECK(seen->dials.size() == 3);
  std::map<std::string, size_t> tries;
  for (int i = 0; i < 100; ++i) {
    pass(500);
    auto last = seen->dials.back().number;
    fail(last);
  }
  for (auto& x : seen->dials)
    ++tries[x.address];
  for (auto& address : addresses)
    CHECK_MESSAGE(tries[address] > 10, address);
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

TEST_CASE_FIXTURE(fixture, "the status shows what was measured") {
  start();
  bring_up(inbound, false);
  self->send(links, atom::status_v, uint64_t{inbound}, link_measure{1'234, 5'000});
  self->send(links, atom::status_v, uint64_t{77}, link_measure{1, 1}); // ended meanwhile
  self->send(links, atom::status_v, uint64_t{inbound}, link_measure{1'234, 0});
  settle();
  REQUIRE(status().size() == 1);
  CHECK(status()[0].round_trip_us == 1'234);
  CHECK(status()[0].bytes_per_s == 5'000);
  CHECK(seen->measured == std::vector{std::pair{uint64_t{inbound}, uint64_t{1'234}}}); // told once
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
