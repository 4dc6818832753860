// SPDX-License-Identifier: MPL-2.0
//
// When store and forward wakes, and which links it asks for meanwhile.

#include "test/unit/routing/store_and_forward_fixture.hpp"

namespace {

constexpr uint64_t minute_ms = 60'000;
constexpr uint64_t hour_ms = 60 * minute_ms;
constexpr uint64_t day_ms = 24 * hour_ms;

struct timed_fixture : fixture {
  /// Messages the actors have sent themselves for later.
  size_t waiting() { return sched.clock().schedule().size(); }
};

} // namespace

TEST_SUITE_BEGIN("store and forward: time");

TEST_CASE_FIXTURE(timed_fixture, "with nothing to do it never wakes, for a day") {
  start();
  CHECK(waiting() == 0);
  SUBCASE("nothing was ever asked") {}
  SUBCASE("all is done and forgotten") {
    auto over = connect();
    auto asked = request(1);
    schedule(asked);
    custody(over, over->sent);
    answer(over, reply_header(asked));
    receipt done{asked->header.id, true, receipt::status::taken, false, {}};
    self->send(queue, atom::receipt_v, std::vector<receipt>{done});
    pass(12 * minute_ms, 1'000);
    CHECK(kept(table::ids) == 0);
  }
  for (int hour = 0; hour < 24; ++hour) {
    CHECK(waiting() == 0);
    pass(hour_ms, hour_ms);
  }
}

TEST_CASE_FIXTURE(timed_fixture,
                  "a request that waits long wakes it rarely and asks for one link") {
  start();
  schedule(request(1, 4, day_ms));
  pass(2'000);
  uint64_t wakes = 0;
  for (uint64_t ms = 0; ms < day_ms - 10'000; ms += 1'000) {
    CHECK(waiting() == 1);
    auto next = sched.clock().schedule().begin()->first;
    pass(1'000, 1'000);
    wakes += sched.clock().schedule().begin()->first != next ? 1 : 0;
  }
  CHECK(wakes <= day_ms / minute_ms);
  REQUIRE(seen->wanted.size() == 1);
  CHECK(seen->wanted[0].wanted_ms >= day_ms);
  CHECK(seen->wanted[0].wanted_ms <= day_ms + 1'000);
  pass(11'000);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "timeout");
}

TEST_CASE_FIXTURE(timed_fixture, "a request times out at its very millisecond") {
  start();
  schedule(request(1, 4, 10'007));
  schedule(request(2, 4, 10'008));
  schedule(request(3, 4, 90'500));
  pass(10'006, 1);
  CHECK(seen->outcomes.empty());
  pass(1, 1);
  CHECK(seen->outcomes.size() == 1);
  pass(1, 1);
  CHECK(seen->outcomes.size() == 2);
  pass(80'491, 1);
  CHECK(seen->outcomes.size() == 2);
  pass(1, 1);
  CHECK(seen->outcomes.size() == 3);
}

TEST_CASE_FIXTURE(timed_fixture, "a small correction of the wall clock is followed") {
  start();
  schedule(request(1, 4, 10 * minute_ms));
  pass(100'000);
  SUBCASE("ahead") {
    time->set_wall_ms(time->wall_ms() + 2 * minute_ms);
    pass(379'950);
    CHECK(seen->outcomes.empty());
    pass(1'000);
  }
  SUBCASE("back") {
    time->set_wall_ms(time->wall_ms() - 2 * minute_ms);
    pass(619'950);
    CHECK(seen->outcomes.empty());
    pass(1'000);
    CHECK(seen->wanted.size() > 1); // its link is wanted for longer
  }
  CHECK(seen->outcomes.size() == 1);
}

TEST_CASE_FIXTURE(timed_fixture, "a machine that slept is up to date with the first message") {
  start();
  schedule(request(1, 4, 50'000));
  time->elapse_ms(hour_ms); // nobody's timer has run
  schedule(request(2, 4, 50'000));
  pass(50);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "timeout");
}

TEST_CASE_FIXTURE(timed_fixture,
                  "a link is asked for when it goes, once, as long as it is needed") {
  start();
  schedule(request(1, 4, hour_ms));
  CHECK(seen->wanted.size() == 1);
  auto over = connect();
  SUBCASE("something waits") {
    disconnect(over);
    REQUIRE(seen->wanted.size() == 2);
    CHECK(seen->wanted[1].urgent);
    CHECK(seen->wanted[1].node_address == "jlr.com/cloud");
  }
  SUBCASE("a reply is awaited") {
    custody(over, over->sent);
    disconnect(over);
    REQUIRE(seen->wanted.size() == 2);
    CHECK_FALSE(seen->wanted[1].urgent);
  }
  SUBCASE("it went before the custody was noted") {
    custody_report report;
    report.accepted.push_back({over->sent.at(0)->header.id, false});
    self->send(queue, atom::custody_v, over->number, report);
    self->send(queue, atom::link_down_v, over->number);
    pass(100);
    REQUIRE(seen->wanted.size() == 2);
  }
  CHECK(seen->wanted.back().wanted_ms > hour_ms - 5'000);
  CHECK(seen->wanted.back().wanted_ms <= hour_ms + 1'000);
  pass(30 * minute_ms, 1'000);
  CHECK(seen->wanted.size() == 2);
}

TEST_CASE_FIXTURE(timed_fixture, "nothing asks for a link that nobody needs") {
  start();
  auto over = connect();
  disconnect(over);
  pass(minute_ms, 1'000);
  CHECK(seen->wanted.empty());
  CHECK(waiting() == 0);
}

TEST_CASE_FIXTURE(timed_fixture, "a later request wants the link for longer") {
  start();
  schedule(request(1, 4, minute_ms));
  schedule(request(2, 4, hour_ms));
  schedule(request(3, 4, minute_ms));
  REQUIRE(seen->wanted.size() == 2);
  CHECK(seen->wanted[1].wanted_ms >= hour_ms);
}

TEST_CASE_FIXTURE(timed_fixture, "a new route asks for the link that something waited for") {
  table.provisioned.clear();
  publish();
  start();
  schedule(request(1, 4, hour_ms));
  pass(5'000);
  CHECK(seen->wanted.empty());
  table.provisioned = {{"+:jlr.com/cloud/#", {"10.0.0.7:8810"}}};
  publish();
  self->send(queue, atom::available_v);
  settle();
  REQUIRE(seen->wanted.size() == 1);
  CHECK(seen->wanted[0].network_addresses == names{"10.0.0.7:8810"});
}

TEST_CASE_FIXTURE(timed_fixture, "after a restart all links that are needed are asked for") {
  start();
  auto over = connect();
  schedule(request(1, 4, hour_ms));
  SUBCASE("something waits") {}
  SUBCASE("a reply is awaited") {
    custody(over, over->sent);
  }
  kill();
  seen->wanted.clear();
  start();
  REQUIRE(seen->wanted.size() == 1);
  CHECK(seen->wanted[0].wanted_ms >= hour_ms - 1'000);
  CHECK(seen->wanted[0].wanted_ms <= 31 * day_ms);
}

TEST_CASE_FIXTURE(timed_fixture, "a peer that gives no custody loses its link, not the request") {
  start();
  auto over = connect();
  schedule(request(1, 4, hour_ms));
  pass(30'000);
  schedule(request(2, 4, hour_ms));
  auto largest = std::max(over->sent.at(0)->size(), over->sent.at(1)->size()); // 1 ms a byte
  SUBCASE("none at all") {
    pass(29'950 + largest);
  }
  SUBCASE("for one of two") {
    custody(over, {over->sent.at(0)});
    pass(59'850 + largest);
  }
  CHECK(over->closed.empty());
  pass(150);
  CHECK(over->closed == names{"timeout: no custody"});
  CHECK(count("rvi_custody_timeouts_total") == 1);
  auto sent = over->sent.size();
  schedule(request(3, 4, hour_ms));
  CHECK(over->sent.size() == sent);
  pass(5 * minute_ms, 1'000);
  CHECK(over->closed.size() == 1);
  disconnect(over);
  auto again = arguments(connect()->sent);
  CHECK(std::count(again.begin(), again.end(), "2") == 1);
  CHECK(std::count(again.begin(), again.end(), "3") == 1);
}

TEST_CASE_FIXTURE(timed_fixture, "a peer that gives no credit loses its link, not the request") {
  start();
  auto over = connect(0);
  SUBCASE("never any") {}
  SUBCASE("too little, by damage on its way") {
    self->send(queue, atom::credit_v, over->number, credit_grant{4'096, 1});
  }
  SUBCASE("more than can be counted, and then none back") {
    self->send(queue, atom::credit_v, over->number, credit_grant{0, UINT64_MAX});
    self->send(queue, atom::credit_v, over->number, credit_grant{0, UINT64_MAX});
  }
  pass(5 * minute_ms, 1'000);
  CHECK(over->closed.empty()); // nothing waits for it
  schedule(request(1, 4, hour_ms));
  pass(59'000, 1'000);
  CHECK(over->closed.empty());
  pass(2'000, 1'000);
  CHECK(over->closed == names{"timeout: no credit"});
  CHECK(over->sent.empty());
  disconnect(over);
  CHECK(arguments(connect()->sent) == names{"1"});
}

TEST_CASE_FIXTURE(timed_fixture, "a peer whose credit comes late keeps its link") {
  start();
  auto over = connect(0);
  schedule(request(1, 4, hour_ms));
  pass(59'000, 1'000);
  grant(over, 1);
  CHECK(over->sent.size() == 1);
  custody(over, over->sent);
  pass(5 * minute_ms, 1'000);
  CHECK(over->closed.empty());
}

TEST_CASE_FIXTURE(timed_fixture, "a peer that gives custody keeps its link") {
  start();
  auto over = connect();
  for (uint64_t i = 1; i <= 10; ++i) {
    schedule(request(i, 4, hour_ms));
    pass(30'000, 1'000);
    custody(over, {over->sent.back()});
  }
  pass(5 * minute_ms, 1'000);
  CHECK(over->closed.empty());
}

TEST_SUITE_END();
