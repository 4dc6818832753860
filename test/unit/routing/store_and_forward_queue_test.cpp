// SPDX-License-Identifier: MPL-2.0
//
// Durability none, quotas, priorities over several queues, dead letters, and what administrators do
// with them.

#include "runtime/json/json.hpp"
#include "test/unit/routing/store_and_forward_fixture.hpp"

namespace {

struct queues : fixture {
  envelope_ptr signed_by(const crypto::private_key& key, const request_header& x) {
    return test::sign_batch(key, {x}, {"1"}).front();
  }

  /// A request of ours to the cloud with what the test changes.
  envelope_ptr request_with(uint64_t seq, const std::function<void(request_header&)>& change) {
    auto x = test::header_of(node->uid, seq);
    x.expires_ms = now_ms() + 30'000;
    x.created_ms = now_ms();
    change(x);
    return signed_by(vehicle, x);
  }

  envelope_ptr in_memory(uint64_t seq, uint32_t priority = 4) {
    return request_with(seq, [&](request_header& x) {
      x.durability = durability::none;
      x.priority = priority;
    });
  }

  envelope_ptr inbound_with(uint64_t seq, const std::function<void(request_header&)>& change) {
    auto x = inbound(seq, request_kind::message)->header;
    x.created_ms = now_ms();
    x.expires_ms = now_ms() + 30'000;
    change(x);
    return signed_by(cloud, x);
  }

  envelope_ptr inbound_in_memory(uint64_t seq) {
    return inbound_with(seq, [](request_header& x) { x.durability = durability::none; });
  }

  void serve(bool idempotent, durability min) {
    table.local.set(player, {player, idempotent, min});
    publish();
  }

  expected<queue_answer> administer(queue_call::action what, std::optional<transaction_id> id) {
    queue_call x;
    x.what = what;
    x.id = id;
    return ask<queue_answer>(queue, atom::queue_v, x);
  }

  /// The page's items, and the cursor of the next one.
  std::vector<std::string> list(bool dead, std::string* after = nullptr, uint64_t limit = 100) {
    queue_call x;
    x.dead = dead;
    x.limit = limit;
    x.after = after ? *after : "";
    auto answer = ask<queue_answer>(queue, atom::queue_v, x);
    REQUIRE(answer);
    auto text = json::parse(answer->json);
    REQUIRE(text);
    std::vector<std::string> result;
    for (auto item : text->root()["items"].items())
      result.emplace_back(*item["transaction_id"].as_string());
    if (after)
      *after = std::string{*text->root()["next"].as_string()};
    return result;
  }
};

} // namespace

// -- durability none ------------------------------------------------------------------------------

TEST_CASE_FIXTURE(queues, "a request in memory goes and ends without a commit") {
  start();
  auto over = connect();
  pass(1'000);
  auto commits = disk->commits();
  auto x = in_memory(1);
  CHECK(schedule(x) == ec::none);
  REQUIRE(over->sent.size() == 1);
  custody(over, {x});
  auto reply = reply_header(x);
  REQUIRE(reply.in_memory());
  answer(over, reply);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "ok");
  CHECK(disk->commits() == commits);
}

TEST_CASE_FIXTURE(queues, "requests in memory wait for their link in one order with durable ones") {
  start();
  auto low = request_with(1, [](request_header& x) { x.priority = 5; });
  auto none = in_memory(2);
  auto full = request_with(3, [](request_header&) {});
  auto urgent = in_memory(4, 1);
  for (auto& x : {low, none, full, urgent})
    CHECK(schedule(x) == ec::none);
  auto over = connect();
  REQUIRE(over->sent.size() == 4);
  std::vector<uint64_t> order;
  for (auto& x : over->sent)
    order.push_back(x->header.id.seq);
  CHECK(order == std::vector<uint64_t>{4, 2, 3, 1});
}

TEST_CASE_FIXTURE(queues, "a request in memory that nobody takes ends as timeout") {
  start();
  CHECK(schedule(in_memory(1)) == ec::none);
  pass(29'900);
  CHECK(seen->outcomes.empty());
  pass(1'000);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "timeout");
  CHECK(seen->outcomes[0].dispatched == "no");
}

TEST_CASE_FIXTURE(queues, "a request in memory runs once, however often it comes") {
  serve(false, durability::none);
  start();
  auto over = connect();
  auto x = inbound_in_memory(1);
  CHECK(receive(over, {x}).accepted.size() == 1);
  CHECK(receive(over, {x}).accepted.size() == 1);
  receipt_of(x, receipt::status::taken);
  CHECK(receive(over, {x}).accepted.size() == 1);
  CHECK(seen->invoked.size() == 1);
  CHECK(count("rvi_duplicates_total") == 2);
  CHECK(kept(table::ids) == 0);
}

TEST_CASE_FIXTURE(queues, "a service that wants durable requests refuses others") {
  start();
  auto report = receive(connect(), {inbound_in_memory(1)});
  REQUIRE(report.refused.size() == 1);
  CHECK(code_of(report.refused[0].reason) == ec::refused);
  CHECK(report.refused[0].permanent);
  CHECK(seen->invoked.empty());
}

TEST_CASE_FIXTURE(queues, "what was made before the node's start is refused in memory") {
  serve(false, durability::none);
  auto before = inbound_in_memory(1);
  pass(1'000);
  start();
  auto report = receive(connect(), {before});
  REQUIRE(report.refused.size() == 1);
  CHECK(seen->invoked.empty());
}

TEST_CASE_FIXTURE(queues, "memory is bounded") {
  settings.memory = std::make_shared<memory_requests>(now_ms(), memory_limits{2, 1 << 20, 100});
  start();
  CHECK(schedule(in_memory(1)) == ec::none);
  CHECK(schedule(in_memory(2)) == ec::none);
  CHECK(schedule(in_memory(3)) == ec::busy);
  CHECK(schedule(request(4)) == ec::none); // the disk has room
}

TEST_CASE_FIXTURE(queues, "requests in memory outlive an actor that fails") {
  settings.memory = std::make_shared<memory_requests>(now_ms(), memory_limits{});
  start();
  CHECK(schedule(in_memory(1)) == ec::none);
  caf::anon_send_exit(queue, caf::exit_reason::kill);
  settle();
  queue = spawn(store_and_forward, settings);
  self->send(queue, atom::attach_v, spawn(edge, seen));
  settle();
  CHECK(connect()->sent.size() == 1);
}

// -- quotas and priorities ------------------------------------------------------------------------

TEST_CASE_FIXTURE(queues, "what waits for one node is bounded over all its services") {
  settings.quotas.node = {2, 1 << 20};
  start();
  auto to = [&](uint64_t seq, const std::string& target) {
    return schedule(request_with(seq, [&](request_header& x) { x.target = target; }));
  };
  CHECK(to(1, "rpc:jlr.com/cloud/a") == ec::none);
  CHECK(to(2, "rpc:jlr.com/cloud/b") == ec::none);
  CHECK(to(3, "rpc:jlr.com/cloud/c") == ec::busy);
  CHECK(to(4, "rpc:jlr.com/vin/9/services/c") == ec::none);
  auto over = connect();
  custody(over, over->sent);
  CHECK(to(5, "rpc:jlr.com/cloud/c") == ec::none);
}

TEST_CASE_FIXTURE(queues, "one service's backlog does not keep others' requests out") {
  settings.quotas.service = {1, 1 << 20};
  node->service_infix = "services";
  table.local = {};
  publish();
  start();
  auto to = [&](uint64_t seq, const std::string& service) {
    return inbound_with(
      seq, [&](request_header& x) { x.target = "message:jlr.com/vin/1234/services/" + service; });
  };
  auto report = receive(connect(), {to(1, "a/x"), to(2, "a/y"), to(3, "b")});
  CHECK(report.accepted.size() == 2);
  REQUIRE(report.refused.size() == 1);
  CHECK(report.refused[0].id.seq == 2);
  CHECK(code_of(report.refused[0].reason) == ec::busy);
  CHECK_FALSE(report.refused[0].permanent);
}

TEST_CASE_FIXTURE(queues, "the most urgent of all queues to a node goes first") {
  start();
  auto to = [&](uint64_t seq, const std::string& target, uint32_t priority) {
    return request_with(seq, [&](request_header& x) {
      x.target = target;
      x.priority = priority;
    });
  };
  for (auto& x : {to(1, "rpc:jlr.com/cloud/a", 6), to(2, "rpc:jlr.com/cloud/a", 2),
                  to(3, "rpc:jlr.com/cloud/b", 4), to(4, "rpc:jlr.com/cloud/b", 0)})
    REQUIRE(schedule(x) == ec::none);
  auto over = connect();
  std::vector<uint64_t> order;
  for (auto& x : over->sent)
    order.push_back(x->header.id.seq);
  CHECK(order == std::vector<uint64_t>{4, 2, 3, 1});
}

// -- reports -------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(queues, "a message that asks for a report ends with one") {
  start();
  auto over = connect();
  auto x = request_with(1, [](request_header& h) {
    h.kind = request_kind::message;
    h.target = "message:jlr.com/cloud/media_server";
    h.report = true;
  });
  REQUIRE(schedule(x) == ec::none);
  custody(over, {x});
  CHECK(seen->outcomes.empty());
  auto reply = reply_header(x);
  SUBCASE("taken") {
    answer(over, reply);
    REQUIRE(seen->outcomes.size() == 1);
    CHECK(seen->outcomes[0].status == "ok");
  }
  SUBCASE("nobody knows") {
    reply.kind = request_kind::error;
    receive(over, test::sign_batch(cloud, {reply}, {R"({"code":"outcome_unknown"})"}));
    REQUIRE(seen->outcomes.size() == 1);
    CHECK(seen->outcomes[0].status == "outcome_unknown");
  }
  SUBCASE("refused by its service") {
    reply.kind = request_kind::error;
    receive(over, test::sign_batch(cloud, {reply}, {R"({"code":"refused"})"}));
    REQUIRE(seen->outcomes.size() == 1);
    CHECK(seen->outcomes[0].status == "refused");
  }
  CHECK(seen->outcomes[0].target == x->header.target);
}

// -- dead letters --------------------------------------------------------------------------------

TEST_CASE_FIXTURE(queues, "a message nobody takes is listed where it was made, and made again") {
  start();
  auto over = connect();
  auto x = request_with(1, [](request_header& h) {
    h.kind = request_kind::message;
    h.target = "message:jlr.com/cloud/media_server";
  });
  REQUIRE(schedule(x) == ec::none);
  refuse(over, x, ec::unauthorized, true);
  CHECK(list(true) == names{to_string(x->header.id)});
  CHECK(list(false).empty());
  kill();
  start();
  CHECK(list(true) == names{to_string(x->header.id)});
  auto again = administer(queue_call::action::requeue, x->header.id);
  REQUIRE(again);
  REQUIRE(again->again);
  CHECK(again->again->arguments == x->arguments);
  REQUIRE(administer(queue_call::action::drop, x->header.id));
  CHECK(list(true).empty());
  CHECK_FALSE(administer(queue_call::action::requeue, x->header.id));
}

TEST_CASE_FIXTURE(queues, "a dead letter runs again under its id, also when its time was up") {
  start();
  auto over = connect();
  auto x = inbound(1, request_kind::message);
  receive(over, {x});
  receipt_of(x, receipt::status::lost);
  CHECK(list(true) == names{to_string(x->header.id)});
  pass(3'600'000, 60'000);
  CHECK(seen->invoked.size() == 1);
  REQUIRE(administer(queue_call::action::requeue, x->header.id));
  pass(100);
  REQUIRE(seen->invoked.size() == 2);
  CHECK(seen->invoked[1]->header.id == x->header.id);
  CHECK(seen->invoked[1]->header.expires_ms > now_ms());
  CHECK(list(true).empty());
  receipt_of(x, receipt::status::taken);
  CHECK(kept(table::records) == 0);
}

TEST_CASE_FIXTURE(queues, "the oldest dead letter goes at the bound, and its id is remembered") {
  settings.dead_letters_max = 1;
  start();
  auto over = connect();
  auto first = inbound(1, request_kind::message);
  auto second = inbound(2, request_kind::message);
  for (auto& x : {first, second}) {
    receive(over, {x});
    receipt_of(x, receipt::status::lost);
    pass(100);
  }
  CHECK(list(true) == names{to_string(second->header.id)});
  CHECK(count("rvi_dead_letters_dropped_total") == 1);
  receive(over, {first});
  CHECK(seen->invoked.size() == 2); // not a third time
}

TEST_CASE_FIXTURE(queues, "a request that its service never survives is given up") {
  serve(true, durability::full);
  settings.delivery_attempts_max = 3;
  start();
  auto over = connect();
  auto x = inbound(1, request_kind::message);
  receive(over, {x});
  for (int i = 0; i < 5; ++i) {
    receipt_of(x, receipt::status::lost);
    service_back();
  }
  CHECK(seen->invoked.size() == 3);
  CHECK(list(true).size() == 1);
}

TEST_CASE_FIXTURE(queues, "link failures never count against a request") {
  settings.delivery_attempts_max = 2;
  start();
  auto x = request(1);
  REQUIRE(schedule(x) == ec::none);
  for (int i = 0; i < 5; ++i)
    disconnect(connect());
  auto over = connect();
  REQUIRE(over->sent.size() == 1);
  refuse(over, x, ec::busy, false);
  pass(1'100);
  CHECK(over->sent.size() == 2);
}

// -- administrators -------------------------------------------------------------------------------

TEST_CASE_FIXTURE(queues, "what waits is listed in pages") {
  start();
  names all;
  for (uint64_t seq = 1; seq <= 5; ++seq) {
    auto x = seq == 5 ? in_memory(seq) : request(seq);
    REQUIRE(schedule(x) == ec::none);
    all.push_back(to_string(x->header.id));
  }
  names found;
  std::string after;
  int pages = 0;
  do {
    for (auto& id : list(false, &after, 2))
      found.push_back(id);
    ++pages;
  } while (!after.empty() && pages < 10);
  CHECK(found == all);
  CHECK(pages == 3);
}

TEST_CASE_FIXTURE(queues, "what is dropped ends as refused, once") {
  start();
  auto x = request(1);
  SUBCASE("on disk") {}
  SUBCASE("in memory") {
    x = in_memory(1);
  }
  REQUIRE(schedule(x) == ec::none);
  REQUIRE(administer(queue_call::action::drop, x->header.id));
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "refused");
  CHECK_FALSE(administer(queue_call::action::drop, x->header.id));
  CHECK(connect()->sent.empty());
  pass(61'000);
  CHECK(seen->outcomes.size() == 1);
}
