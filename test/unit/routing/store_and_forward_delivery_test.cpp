// SPDX-License-Identifier: MPL-2.0
//
// What lies between the first transmission of a request and its outcome: the order of a channel,
// links lost on the way, replies that come early, late or twice, links that are slow.

#include "test/unit/routing/store_and_forward_fixture.hpp"

namespace {

constexpr uint64_t minute_ms = 60'000;
constexpr uint64_t hour_ms = 60 * minute_ms;

struct delivery_fixture : fixture {
  /// A request of ours on a channel of one of our services.
  request_header channel_header(uint64_t seq, const std::string& channel,
                                const std::string& service = "media_player") {
    auto x = test::header_of(node->uid, seq);
    x.channel = channel;
    x.source = "jlr.com/vin/1234/services/" + service;
    return x;
  }

  envelope_ptr
  in_order(uint64_t seq, const std::string& channel, const std::string& service = "media_player") {
    auto x = channel_header(seq, channel, service);
    return test::sign_batch(vehicle, {x}, {std::to_string(seq)}).front();
  }

  /// The peer takes all it is sent, until nothing more comes.
  void take_all(const session_ptr& over) {
    for (size_t taken = 0; taken < over->sent.size();) {
      auto xs = over->sent;
      custody(over, {xs.begin() + std::ptrdiff_t(std::exchange(taken, xs.size())), xs.end()});
    }
  }

  /// A request of ours with that many bytes of arguments, wanted for an hour.
  envelope_ptr large(uint64_t seq, size_t bytes) {
    auto x = test::header_of(node->uid, seq);
    x.expires_ms = now_ms() + hour_ms;
    return test::sign_batch(vehicle, {x}, {std::string(bytes, '1')}).front();
  }

  request_header asks(uint64_t seq, const std::string& action, const std::string& channel) {
    auto x = test::header_of(cloud.public_part().uid(), seq);
    x.source = "jlr.com/cloud/media_server";
    x.target = "rpc:" + std::string{player} + "/" + action;
    x.channel = channel;
    return x;
  }

  batch from_cloud(const std::vector<request_header>& xs) {
    return test::sign_batch(cloud, xs, names(xs.size(), "1"));
  }

  /// Our service answers the cloud's request.
  void reply_to(const envelope_ptr& asked) {
    auto x = test::sign_batch(vehicle, {reply_header(asked)}, {"42"});
    auto errors = ask<std::vector<caf::error>>(queue, atom::reply_v, x);
    REQUIRE(errors);
    REQUIRE_FALSE(errors->at(0));
  }

  /// The requesting service has what it was told.
  void outcome_taken(const envelope_ptr& asked) {
    receipt x{asked->header.id, true, receipt::status::taken, false, {}};
    self->send(queue, atom::receipt_v, std::vector<receipt>{x});
    pass(50);
  }

  static std::vector<transaction_id> ids_of(const std::vector<refusal>& xs) {
    std::vector<transaction_id> result;
    for (auto& x : xs)
      result.push_back(x.id);
    return result;
  }

  double waiting_items() { return node->metrics->get_gauge("rvi_queue_items", {}).value(); }
  std::string status() { return *ask<std::string>(queue, atom::status_v); }
  bool nothing_waits() { return status().find("\"queues\":[]") != std::string::npos; }
};

} // namespace

TEST_SUITE_BEGIN("store and forward: delivery");

// -- the order of a channel -----------------------------------------------------------------------

TEST_CASE_FIXTURE(delivery_fixture, "a channel's next request waits for custody of those before") {
  start();
  auto over = connect();
  auto together
    = test::sign_batch(vehicle, {channel_header(1, "a"), channel_header(2, "a")}, {"1", "2"});
  schedule_all(together);
  CHECK(arguments(over->sent) == names{"1", "2"}); // in one frame they cannot overtake
  schedule_all({in_order(3, "a"), in_order(4, "a"), in_order(5, "b"), request(6)});
  schedule(in_order(7, "a", "radio")); // another service's channel
  CHECK(arguments(over->sent) == names{"1", "2", "5", "6", "7"});
  custody(over, {together[0]});
  CHECK(over->sent.size() == 5);
  custody(over, {together[1]});
  CHECK(arguments(over->sent) == names{"1", "2", "5", "6", "7", "3"});
  take_all(over);
  CHECK(arguments(over->sent) == names{"1", "2", "5", "6", "7", "3", "4"});
}

TEST_CASE_FIXTURE(delivery_fixture, "no two frames under way carry requests of one channel") {
  start();
  std::vector<request_header> headers;
  SUBCASE("of several trees") {
    schedule_all({in_order(1, "a"), in_order(2, "a"), in_order(3, "a"), in_order(4, "b")});
    auto over = connect();
    CHECK(arguments(over->sent) == names{"1", "4"});
    take_all(over);
    CHECK(arguments(over->sent) == names{"1", "4", "2", "3"});
  }
  SUBCASE("too large for one frame") {
    names large = {std::string(250'000, '1'), std::string(250'000, '2'), std::string(250'000, '3'),
                   std::string(250'000, '4'), std::string(250'000, '5')};
    for (uint64_t i = 1; i <= 5; ++i)
      headers.push_back(channel_header(i, "a"));
    schedule_all(test::sign_batch(vehicle, headers, large));
    auto over = connect(0);
    self->send(queue, atom::credit_v, over->number, credit_grant{100, 1 << 30});
    settle();
    CHECK(over->sent.size() == 4);
    take_all(over);
    CHECK(over->sent.size() == 5);
  }
}

TEST_CASE_FIXTURE(delivery_fixture, "no retry overtakes the earlier ones of its channel") {
  start();
  auto over = connect();
  auto first = in_order(1, "a");
  schedule(first);
  schedule(in_order(2, "a"));
  CHECK(arguments(over->sent) == names{"1"});
  SUBCASE("refused for now") {
    refuse(over, first, ec::busy, false, 2'000);
    schedule(in_order(3, "a"));
    pass(1'900);
    CHECK(over->sent.size() == 1);
    pass(200);
    take_all(over);
    CHECK(arguments(over->sent) == names{"1", "1", "2", "3"});
  }
  SUBCASE("its link was lost") {
    disconnect(over);
    schedule(in_order(3, "a"));
    over = connect();
    take_all(over);
    CHECK(arguments(over->sent) == names{"1", "2", "3"});
  }
  SUBCASE("refused for good") {
    refuse(over, first, ec::unauthorized, true);
    pass(100);
    schedule(in_order(3, "a"));
    CHECK(over->sent.size() == 2);
    take_all(over);
    CHECK(arguments(over->sent) == names{"1", "2", "3"});
  }
  SUBCASE("answered before its custody") {
    answer(over, reply_header(first));
    schedule(in_order(3, "a"));
    CHECK(over->sent.size() == 2);
    take_all(over);
    CHECK(arguments(over->sent) == names{"1", "2", "3"});
  }
  SUBCASE("expired on the way") {
    pass(61'000);
    CHECK(seen->outcomes.size() == 2);
    auto next = test::header_of(node->uid, 3);
    next.channel = "a";
    next.expires_ms = now_ms() + minute_ms;
    schedule(test::sign_batch(vehicle, {next}, {"3"}).front());
    CHECK(over->sent.back()->arguments == "3");
  }
}

TEST_CASE_FIXTURE(delivery_fixture, "a channel of one request in memory goes on from the disk") {
  settings.loaded_items_max = 1;
  start();
  auto over = connect();
  names expected;
  for (uint64_t i = 1; i <= 8; ++i) {
    schedule(in_order(i, "a"));
    expected.push_back(std::to_string(i));
  }
  for (int i = 0; i < 16; ++i) {
    auto sent = over->sent;
    custody(over, sent);
  }
  CHECK(arguments(over->sent) == expected);
}

TEST_CASE_FIXTURE(delivery_fixture, "what has no room takes the later ones of its channel along") {
  settings.items_per_queue_max = 1;
  table.local.erase(player); // they are held
  publish();
  start();
  auto over = connect();
  auto xs = from_cloud({asks(1, "play", ""), asks(2, "play", "a"), asks(3, "stop", "a"),
                        asks(4, "next", "b"), asks(5, "mute", "")});
  auto report = receive(over, xs);
  REQUIRE(report.refused.size() == 2);
  CHECK(ids_of(report.refused) == std::vector{xs[1]->header.id, xs[2]->header.id});
  for (auto& x : report.refused) {
    CHECK(code_of(x.reason) == ec::busy);
    CHECK_FALSE(x.permanent);
  }
  CHECK(report.accepted.size() == 3);
  // Nothing keeps the channel shut.
  CHECK(receive(over, {xs[2]}).accepted.size() == 1);
}

// -- whether a request that timed out may have been run ------------------------------------------

TEST_CASE_FIXTURE(delivery_fixture, "a timeout says whether the request may have left") {
  start();
  auto asked = request(1);
  REQUIRE(schedule(asked) == ec::none);
  std::string dispatched;
  SUBCASE("it was never sent") {
    dispatched = "no";
  }
  SUBCASE("a link came and granted nothing") {
    disconnect(connect(0));
    dispatched = "no";
  }
  SUBCASE("a peer refused it for now") {
    refuse(connect(), asked, ec::busy, false, 90'000);
    dispatched = "no";
  }
  SUBCASE("its link was lost without custody") {
    disconnect(connect());
    dispatched = "unknown";
  }
  SUBCASE("its link was lost, then a peer refused it for now") {
    disconnect(connect());
    refuse(connect(), asked, ec::busy, false, 90'000);
    dispatched = "unknown";
  }
  SUBCASE("it is under way") {
    connect();
    dispatched = "unknown";
  }
  SUBCASE("it was accepted before a restart") {
    kill();
    start();
    dispatched = "unknown";
  }
  SUBCASE("it was sent before a restart") {
    connect();
    kill();
    start();
    dispatched = "unknown";
  }
  pass(59'000);
  CHECK(seen->outcomes.empty());
  pass(2'000);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "timeout");
  CHECK(seen->outcomes[0].dispatched == dispatched);
  CHECK(kept(table::records) == 0);
  outcome_taken(asked);
  CHECK(nothing_waits());
  CHECK(waiting_items() == 0);
}

TEST_CASE_FIXTURE(delivery_fixture, "what is accepted after a restart is known not to have left") {
  start();
  kill();
  start();
  schedule(request(1));
  pass(61'000);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].dispatched == "no");
}

TEST_CASE_FIXTURE(delivery_fixture, "what was sent twice is not ended by a refusal of the second") {
  start();
  auto asked = request(1);
  schedule(asked);
  disconnect(connect());
  auto over = connect();
  CHECK(arguments(over->sent) == names{"1"});
  SUBCASE("no reply comes") {
    refuse(over, asked, ec::timeout, true);
    pass(5'000);
    CHECK(seen->outcomes.empty());
    disconnect(over);
    CHECK(connect()->sent.empty());
    pass(56'000);
    REQUIRE(seen->outcomes.size() == 1);
    CHECK(seen->outcomes[0].status == "timeout");
    CHECK(seen->outcomes[0].dispatched == "unknown");
  }
  SUBCASE("its reply came before") {
    CHECK(answer(over, reply_header(asked)).accepted.size() == 1);
    refuse(over, asked, ec::timeout, true);
    pass(61'000);
    REQUIRE(seen->outcomes.size() == 1);
    CHECK(seen->outcomes[0].status == "ok");
  }
  SUBCASE("its reply comes after") {
    refuse(over, asked, ec::unknown_target, true);
    pass(5'000);
    CHECK(answer(over, reply_header(asked)).accepted.size() == 1);
    pass(61'000);
    REQUIRE(seen->outcomes.size() == 1);
    CHECK(seen->outcomes[0].status == "ok");
  }
  outcome_taken(asked);
  CHECK(nothing_waits());
  CHECK(waiting_items() == 0);
  CHECK(kept(table::queue) == 0);
}

TEST_CASE_FIXTURE(delivery_fixture, "what was sent once is ended by its refusal") {
  start();
  auto asked = request(1);
  schedule(asked);
  auto over = connect();
  refuse(over, asked, ec::timeout, true);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "timeout");
  CHECK(seen->outcomes[0].dispatched == "no");
  pass(61'000);
  CHECK(seen->outcomes.size() == 1);
}

// -- replies that come early ----------------------------------------------------------------------

TEST_CASE_FIXTURE(delivery_fixture, "a reply that comes before custody takes its request along") {
  start();
  auto asked = request(1);
  session_ptr over;
  SUBCASE("under way") {
    over = connect();
    schedule(asked);
  }
  SUBCASE("waiting in memory after a lost link") {
    schedule(asked);
    disconnect(connect());
    over = connect(0);
  }
  SUBCASE("waiting on disk after a restart") {
    over = connect();
    schedule(asked);
    kill();
    start();
  }
  SUBCASE("custody is on its way to the disk") {
    over = connect();
    schedule(asked);
    custody_report report;
    report.accepted.push_back({asked->header.id, false});
    self->send(queue, atom::custody_v, over->number, report);
  }
  CHECK(answer(over, reply_header(asked)).accepted.size() == 1);
  CHECK(seen->outcomes.size() == 1);
  CHECK(waiting_items() == 1); // the outcome
  grant(over, 100);
  auto sent = over->sent.size();
  custody(over, {asked});
  CHECK(waiting_items() == 1);
  outcome_taken(asked);
  CHECK(waiting_items() == 0);
  CHECK(nothing_waits());
  CHECK(kept(table::records) == 0);
  CHECK(kept(table::queue) == 0);
  custody(over, {asked});
  CHECK(over->sent.size() == sent);
  disconnect(over);
  CHECK(connect()->sent.empty());
  pass(61'000);
  CHECK(seen->outcomes.size() == 1);
  CHECK(waiting_items() == 0);
}

TEST_CASE_FIXTURE(delivery_fixture, "a reply nobody takes is forgotten with its request") {
  settings.custody_ms_max = hour_ms;
  start();
  auto over = connect();
  auto asked = inbound(1);
  receive(over, {asked});
  session_ptr to;
  SUBCASE("under way") {
    reply_to(asked);
    CHECK(arguments(over->sent) == names{"42"});
  }
  SUBCASE("waiting in memory") {
    disconnect(over);
    reply_to(asked);
  }
  SUBCASE("waiting after a lost link") {
    reply_to(asked);
    disconnect(over);
  }
  SUBCASE("waiting on disk") {
    disconnect(over);
    reply_to(asked);
    kill();
    start();
  }
  CHECK(waiting_items() == 1);
  pass(655'000, 500);
  CHECK(waiting_items() == 1);
  CHECK(kept(table::ids) == 1);
  pass(10'000, 500);
  CHECK(waiting_items() == 0);
  CHECK(nothing_waits());
  CHECK(kept(table::ids) == 0);
  CHECK(kept(table::records) == 0);
  CHECK(kept(table::queue) == 0);
  custody_report late;
  late.accepted.push_back({asked->header.id, true});
  self->send(queue, atom::custody_v, over->number, late);
  disconnect(over);
  CHECK(connect()->sent.empty());
  CHECK(waiting_items() == 0);
}

// -- slow links -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(delivery_fixture, "a link is given a millisecond for each byte of its largest") {
  start();
  auto over = connect();
  constexpr uint64_t size = 100'000;
  batch xs;
  for (uint64_t i = 1; i <= 4; ++i)
    xs.push_back(large(i, i == 4 ? size : 10));
  auto patience_ms = settings.custody_ms_max + xs.back()->size();
  schedule_all(xs);
  REQUIRE(over->sent.size() == 4);
  SUBCASE("custody trickles in") {
    for (auto& x : xs) {
      pass(patience_ms - 1'000, 500);
      CHECK(over->closed.empty());
      custody(over, {x});
    }
    pass(2 * patience_ms, 500);
    CHECK(over->closed.empty());
    return;
  }
  SUBCASE("none comes") {
    pass(patience_ms - 100, 50);
  }
  SUBCASE("it ceases") {
    pass(90'000);
    custody(over, {xs[0]}); // 50 ms pass
    pass(patience_ms - 150, 50);
  }
  CHECK(over->closed.empty());
  pass(200, 50);
  CHECK(over->closed == names{"timeout: no custody"});
}

TEST_CASE_FIXTURE(delivery_fixture, "what was large once does not make a link slow for ever") {
  start();
  auto over = connect();
  schedule(large(1, 200'000));
  custody(over, over->sent);
  schedule(request(2, 4, hour_ms));
  pass(61'000);
  CHECK(over->closed.size() == 1);
}

TEST_SUITE_END();

TEST_CASE_FIXTURE(delivery_fixture,
                  "a service has its bound in hand, whatever is on its way to the disk") {
  settings.local_in_flight_max = 10;
  start();
  auto link = connect();
  for (uint64_t seq = 1; seq <= 48; seq += 8) {
    std::vector<request_header> headers;
    for (uint64_t i = 0; i < 8; ++i)
      headers.push_back(asks(seq + i, "play", {}));
    self->send(queue, atom::received_v, link->handle, link->number, from_cloud(headers),
               custody_report{});
  }
  settle(); // all were on their way when the first came to its service
  CHECK(seen->invoked.size() == 10);
  for (size_t taken = 0; taken < seen->invoked.size(); ++taken)
    receipt_of(seen->invoked[taken], receipt::status::taken);
  REQUIRE(seen->invoked.size() == 48);
  for (size_t i = 0; i < 48; ++i)
    CHECK(seen->invoked[i]->header.id.seq == i + 1);
}

TEST_CASE_FIXTURE(delivery_fixture, "a service has no more bytes in hand than its bound, and one") {
  settings.local_in_flight_max = 2;
  settings.local_bytes_in_flight_max = 1;
  start();
  auto link = connect();
  std::vector<request_header> headers;
  for (uint64_t seq = 1; seq <= 8; ++seq)
    headers.push_back(asks(seq, "play", {}));
  self->send(queue, atom::received_v, link->handle, link->number, from_cloud(headers),
             custody_report{});
  settle();
  CHECK(seen->invoked.size() == 2); // nothing was in hand when they came
  receipt_of(seen->invoked[0], receipt::status::taken);
  CHECK(seen->invoked.size() == 2);
  receipt_of(seen->invoked[1], receipt::status::taken);
  for (size_t i = 2; i < 8; ++i) {
    REQUIRE(seen->invoked.size() == i + 1);
    receipt_of(seen->invoked[i], receipt::status::taken);
  }
}

TEST_CASE_FIXTURE(delivery_fixture, "a receipt for what is forgotten takes no other one along") {
  start();
  auto link = connect();
  std::vector<request_header> headers{asks(1, "play", {}), asks(2, "play", {})};
  for (auto& x : headers) {
    x.kind = request_kind::message;
    x.target.replace(0, 3, "message");
  }
  self->send(queue, atom::received_v, link->handle, link->number, from_cloud(headers),
             custody_report{});
  settle();
  REQUIRE(seen->invoked.size() == 2);
  std::vector<receipt> receipts;
  std::vector<std::string> keys;
  for (auto& x : seen->invoked) {
    REQUIRE_FALSE(x->header.owes_outcome());
    keys.push_back(ledger::inbound_key(x->header.id));
    receipts.push_back({x->header.id, false, receipt::status::taken, false, {}});
  }
  auto step = [&](auto work) { self->send(keeper, atom::commit_v, transaction_step{work}); };
  step([&](transaction& t) { return ledger::forget(t, keys[0]); });
  settle();
  self->send(queue, atom::receipt_v, receipts);
  pass(1'000);
  auto state = storage::HELD;
  step([&](transaction& t) -> caf::error {
    if (auto x = ledger::find(t, keys[1]); x && *x)
      state = (*x)->state();
    return {};
  });
  settle();
  CHECK(state == storage::DONE);
}
