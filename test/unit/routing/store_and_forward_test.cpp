// SPDX-License-Identifier: MPL-2.0

#include "test/unit/routing/store_and_forward_fixture.hpp"

TEST_SUITE_BEGIN("store and forward");

TEST_CASE_FIXTURE(fixture, "a request is accepted after its commit, not before") {
  start();
  auto before = disk->commits();
  auto pending = self->request(queue, caf::infinite, atom::schedule_v, batch{request(1)});
  while (self->mailbox().empty() && sched.try_run_once())
    if (self->mailbox().empty())
      CHECK(seen->invoked.empty());
  CHECK(disk->commits() == before + 1);
  CHECK(kept(table::records) == 1);
  pending.receive([](std::vector<caf::error>& xs) { CHECK_FALSE(xs.at(0)); },
                  [](caf::error& x) { FAIL(describe(x)); });
}

TEST_CASE_FIXTURE(fixture, "a queue at its bound answers busy and keeps what it has") {
  settings.items_per_queue_max = 2;
  start();
  CHECK(schedule(request(1)) == ec::none);
  CHECK(schedule(request(2)) == ec::none);
  CHECK(schedule(request(3)) == ec::busy);
  auto cloud_link = connect();
  CHECK(arguments(cloud_link->sent) == names{"1", "2"});
  custody(cloud_link, cloud_link->sent);
  CHECK(schedule(request(4)) == ec::none);
}

TEST_CASE_FIXTURE(fixture, "one batch does not pass the bound of its queue") {
  settings.items_per_queue_max = 2;
  start();
  CHECK(schedule_all({request(1), request(2), request(3)})
        == std::vector{ec::none, ec::none, ec::busy});
}

TEST_CASE_FIXTURE(fixture, "a duplicate gets custody again and runs once") {
  start();
  auto over = connect();
  auto x = inbound(1);
  for (int i = 0; i < 3; ++i) {
    auto report = receive(over, {x});
    REQUIRE(report.accepted.size() == 1);
    CHECK(report.accepted[0].id == x->header.id);
  }
  CHECK(seen->invoked.size() == 1);
  CHECK(count("rvi_duplicates_total") == 2);
}

TEST_CASE_FIXTURE(fixture, "an id that comes again with other content is a replay") {
  start();
  auto over = connect();
  receive(over, {inbound(1)});
  auto report = receive(over, {inbound(1, request_kind::rpc, "2")});
  CHECK(report.accepted.empty());
  REQUIRE(report.refused.size() == 1);
  CHECK(code_of(report.refused[0].reason) == ec::replay);
  CHECK(report.refused[0].permanent);
  CHECK(seen->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "what was on its way when a link ended goes over the next") {
  start();
  schedule_all({request(1), request(2), request(3)});
  auto first = connect();
  CHECK(arguments(first->sent) == names{"1", "2", "3"});
  custody(first, {first->sent[1]});
  disconnect(first);
  auto second = connect();
  CHECK(arguments(second->sent) == names{"1", "3"});
  custody(second, second->sent);
  CHECK(kept(table::records) == 0);
}

TEST_CASE_FIXTURE(fixture, "no more than the credit is sent, and more when it comes") {
  start();
  for (uint64_t i = 1; i <= 5; ++i)
    schedule(request(i));
  auto over = connect(2);
  CHECK(over->sent.size() == 2);
  pass(5'000);
  CHECK(over->sent.size() == 2);
  grant(over, 2);
  CHECK(over->sent.size() == 4);
  grant(over, 9);
  CHECK(arguments(over->sent) == names{"1", "2", "3", "4", "5"});
}

TEST_CASE_FIXTURE(fixture, "the copy on disk goes with the peer's custody") {
  start();
  schedule(request(1));
  auto over = connect();
  CHECK(kept(table::records) == 1);
  custody(over, over->sent);
  CHECK(kept(table::records) == 0);
  CHECK(kept(table::queue) == 0);
  CHECK(kept(table::ids) == 1);
}

TEST_CASE_FIXTURE(fixture, "a request refused for now is sent again after the delay") {
  start();
  schedule(request(1));
  auto over = connect();
  refuse(over, over->sent.at(0), ec::busy, false, 3'000);
  pass(2'900);
  CHECK(over->sent.size() == 1);
  pass(300);
  CHECK(arguments(over->sent) == names{"1", "1"});
  CHECK(seen->outcomes.empty());
}

TEST_CASE_FIXTURE(fixture, "an rpc refused for good ends as refused, with the peer's code") {
  start();
  schedule(request(1));
  auto over = connect();
  refuse(over, over->sent.at(0), ec::unknown_target, true);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "refused");
  CHECK(seen->outcomes[0].error.find(R"("unknown_target")") != std::string::npos);
  CHECK(kept(table::records) == 0);
}

TEST_CASE_FIXTURE(fixture, "a reply that fits no request of ours is refused") {
  start();
  auto asked = request(1);
  schedule(asked);
  auto over = connect();
  custody(over, over->sent);
  auto x = reply_header(asked);
  SUBCASE("nobody asked") {
    x.id.seq = 99;
  }
  SUBCASE("of another request") {
    x.request_hash = crypto::view(crypto::sha256("another"));
  }
  SUBCASE("from another source") {
    x.source = "jlr.com/cloud/billing/charge";
  }
  SUBCASE("to another service") {
    x.target = "jlr.com/vin/1234/services/radio";
  }
  auto report = answer(over, x);
  CHECK(report.accepted.empty());
  REQUIRE(report.refused.size() == 1);
  CHECK(code_of(report.refused[0].reason) == ec::unauthorized);
  CHECK(report.refused[0].reply);
  CHECK(seen->outcomes.empty());
  CHECK(answer(over, reply_header(asked)).accepted.size() == 1);
  CHECK(seen->outcomes.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a late reply is taken into custody, dropped and counted") {
  start();
  auto asked = request(1);
  schedule(asked);
  auto over = connect();
  custody(over, over->sent);
  pass(61'000);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "timeout");
  CHECK(seen->outcomes[0].dispatched == "unknown");
  CHECK(answer(over, reply_header(asked)).accepted.size() == 1);
  CHECK(count("rvi_late_replies_total") == 1);
  CHECK(seen->outcomes.size() == 1);
  CHECK(kept(table::records) == 0);
}

TEST_CASE_FIXTURE(fixture, "an rpc answered before its custody asks for no more links") {
  start();
  auto asked = request(1);
  schedule(asked);
  disconnect(connect()); // the peer has it, its custody was lost
  auto over = connect();
  CHECK(arguments(over->sent) == names{"1"});
  CHECK(answer(over, reply_header(asked)).accepted.size() == 1);
  custody(over, {asked});
  disconnect(over);
  seen->wanted.clear();
  pass(5'000);
  CHECK(seen->wanted.empty());
}

TEST_CASE_FIXTURE(fixture, "priority 0 overtakes priority 7") {
  start();
  schedule_all({request(1, 7), request(2, 7), request(3, 0), request(4, 4), request(5, 0)});
  CHECK(arguments(connect()->sent) == names{"3", "5", "4", "1", "2"});
}

TEST_CASE_FIXTURE(fixture, "an urgent request that comes while a queue is read is sent") {
  settings.loaded_items_max = 2;
  start();
  for (uint64_t i = 1; i <= 6; ++i)
    schedule(request(i));
  auto over = connect(0);
  self->send(queue, atom::schedule_v, batch{request(7, 0)});
  self->send(queue, atom::credit_v, over->number, credit_grant{2, 1 << 20}); // empties memory
  settle();
  grant(over, 100);
  pass(5'000);
  auto sent = arguments(over->sent);
  CHECK(std::set<std::string>(sent.begin(), sent.end()).count("7") == 1);
  CHECK(sent.size() == 7);
}

TEST_CASE_FIXTURE(fixture, "more than memory holds keeps its order across a restart") {
  settings.loaded_items_max = 4;
  start();
  names expected;
  for (uint64_t i = 1; i <= 30; ++i) {
    REQUIRE(schedule(request(i)) == ec::none);
    expected.push_back(std::to_string(i));
  }
  SUBCASE("without a restart") {}
  SUBCASE("after a kill") {
    kill();
    start();
  }
  auto over = connect(3);
  for (int i = 0; i < 20; ++i) {
    grant(over, 2);
    pass(100);
  }
  CHECK(arguments(over->sent) == expected);
}

TEST_CASE_FIXTURE(fixture, "a held request that expires leaves its id for ten minutes") {
  table.local.erase(player);
  publish();
  start();
  auto over = connect();
  auto x = inbound(1);
  receive(over, {x});
  CHECK(kept(table::records) == 1);
  pass(61'000);
  CHECK(kept(table::records) == 0);
  CHECK(kept(table::queue) == 0);
  CHECK(kept(table::ids) == 1);
  pass(597'000, 500);
  CHECK(kept(table::ids) == 1);
  CHECK(receive(over, {x}).accepted.size() == 1);
  pass(5'000, 500);
  CHECK(kept(table::ids) == 0);
  CHECK(kept(table::due) == 0);
  CHECK(seen->invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "requests that expire give their room in the queue back") {
  start();
  auto stays = request(1, 4, 3'600'000);
  schedule_all({stays, request(2, 4, 5'000)});
  pass(7'000);
  auto status = *ask<std::string>(queue, atom::status_v);
  auto room = "\"items\":1,\"bytes\":" + std::to_string(stays->size()) + ",";
  CHECK_MESSAGE(status.find(room) != std::string::npos, status);
}

TEST_CASE_FIXTURE(fixture, "a queue that is empty again leaves nothing on disk") {
  start();
  auto over = connect();
  for (uint64_t i = 1; i <= 20; ++i) {
    schedule(request(i));
    custody(over, {over->sent.back()});
    answer(over, reply_header(over->sent.back()));
    receipt done{over->sent.back()->header.id, true, receipt::status::taken, false, {}};
    self->send(queue, atom::receipt_v, std::vector<receipt>{done});
    pass(3'000);
  }
  CHECK(kept(table::queue) == 0);
  CHECK(kept(table::records) == 0);
  CHECK(kept(table::names) <= 2);
}

TEST_CASE_FIXTURE(fixture, "a wall clock that jumps ten years expires nothing early or late") {
  constexpr uint64_t ten_years_ms = 10ULL * 365 * 86'400 * 1'000;
  start();
  schedule(request(1));
  pass(1'000);
  SUBCASE("ahead") {
    time->set_wall_ms(time->wall_ms() + ten_years_ms);
  }
  SUBCASE("back") {
    time->set_wall_ms(time->wall_ms() - ten_years_ms);
  }
  pass(58'500);
  CHECK(seen->outcomes.empty());
  pass(1'500);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "timeout");
}

TEST_CASE_FIXTURE(fixture, "what surely never reached its service is held again") {
  start();
  auto over = connect();
  auto x = inbound(1);
  receive(over, {x});
  receipt_of(x, receipt::status::lost, true);
  CHECK(seen->invoked.size() == 1);
  CHECK(kept(table::queue) == 1);
  CHECK(kept(table::dispatched) == 0);
  service_back();
  CHECK(seen->invoked.size() == 2);
}

TEST_CASE_FIXTURE(fixture, "a message that may have reached its service is a dead letter") {
  start();
  auto over = connect();
  auto x = inbound(1, request_kind::message);
  receive(over, {x});
  receipt_of(x, receipt::status::lost);
  service_back();
  CHECK(seen->invoked.size() == 1);
  CHECK(count("rvi_dead_letters_total") == 1);
  CHECK(kept(table::dispatched) == 0);
  CHECK(kept(table::records) == 1); // it stays listed
}

TEST_CASE_FIXTURE(fixture, "a service that is back before its request is held gets it") {
  table.local.set(player, {player, true});
  publish();
  start();
  auto over = connect();
  auto x = inbound(1, request_kind::message);
  receive(over, {x});
  self->send(queue, atom::receipt_v,
             std::vector<receipt>{{x->header.id, false, receipt::status::lost, false, {}}});
  service_back();
  CHECK(seen->invoked.size() == 2);
}

TEST_CASE_FIXTURE(fixture, "an idempotent service that was lost runs its request again") {
  table.local.set(player, {player, true});
  publish();
  start();
  auto over = connect();
  auto x = inbound(1, request_kind::message);
  receive(over, {x});
  receipt_of(x, receipt::status::lost);
  service_back();
  REQUIRE(seen->invoked.size() == 2);
  CHECK(seen->invoked[1]->header.id == x->header.id);
  CHECK(count("rvi_dead_letters_total") == 0);
}

TEST_CASE_FIXTURE(fixture, "a store that fails refuses with its error and loses nothing") {
  start();
  REQUIRE(schedule(request(1)) == ec::none);
  SUBCASE("full") {
    disk->fail_commits(1, ec::store_full);
    CHECK(schedule(request(2)) == ec::store_full);
    CHECK(schedule(request(3)) == ec::none);
    CHECK(arguments(connect()->sent) == names{"1", "3"});
  }
  SUBCASE("broken") {
    disk->fail_commits(1, ec::store_failed);
    CHECK(schedule(request(2)) == ec::store_failed);
    CHECK(schedule(request(3)) == ec::store_failed);
    kill();
    start();
    CHECK(arguments(connect()->sent) == names{"1"});
  }
}

TEST_CASE_FIXTURE(fixture, "a peer keeps what a failing store cannot take") {
  start();
  auto over = connect();
  disk->fail_commits(1, ec::store_full);
  auto report = receive(over, {inbound(1)});
  CHECK(report.accepted.empty());
  REQUIRE(report.refused.size() == 1);
  CHECK_FALSE(report.refused[0].permanent);
  CHECK(seen->invoked.empty());
  CHECK(receive(over, {inbound(1)}).accepted.size() == 1);
  CHECK(seen->invoked.size() == 1);
}

TEST_SUITE_END();
