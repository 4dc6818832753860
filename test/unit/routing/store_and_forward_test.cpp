// SPDX-License-Identifier: MPL-2.0
//
// What store and forward keeps, sends, hands over and forgets: a real store on a disk in memory,
// everything around it fakes, on virtual time.

#include "actors/routing/store_and_forward.hpp"
#include "messages/name.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/envelopes.hpp"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace rvi;

namespace {

constexpr const char* player = "jlr.com/vin/1234/services/media_player";

/// What the neighbours were told.
struct told {
  batch invoked;
  std::vector<outcome_notice> outcomes;
  std::vector<setup_request> wanted;
};
using told_ptr = std::shared_ptr<told>;

service_edge_actor::behavior_type edge(service_edge_actor::pointer, told_ptr to) {
  return {
    [](atom::call, const std::vector<service_call>&) {},
    [](atom::receipt, const std::vector<receipt>&) {},
    [](atom::closed, client_id) {},
    [to](atom::invoke, const batch& xs) {
      to->invoked.insert(to->invoked.end(), xs.begin(), xs.end());
    },
    [to](atom::outcome, const std::vector<outcome_notice>& xs) {
      to->outcomes.insert(to->outcomes.end(), xs.begin(), xs.end());
    },
    [](atom::reply, const batch&) {},
    [](atom::attach, const json_rpc_actor&) {},
    [](atom::attach, const data_link_actor&) {},
    [](atom::tick) {},
  };
}

data_link_actor::behavior_type dialler(data_link_actor::pointer, told_ptr to) {
  return {
    [to](atom::setup, const setup_request& x) { to->wanted.push_back(x); },
    [](atom::link_up, const link_actor&, const link_info&) {},
    [](atom::closed, uint64_t, const std::string&) {},
    [](atom::close, const std::string&) {},
    [](atom::attach, const std::string&, const link_driver_actor&) {},
    [](atom::status) { return std::vector<link_status>{}; },
    [](atom::reload) { return atom::done_v; },
    [](atom::tick) {},
  };
}

/// One link and what went over it.
struct session {
  uint64_t number = 0;
  link_actor handle;
  batch sent;
  std::vector<custody_report> custody;
};
using session_ptr = std::shared_ptr<session>;

link_actor::behavior_type link(link_actor::pointer, session_ptr to) {
  return {
    [to](atom::transmit, const batch& xs) {
      to->sent.insert(to->sent.end(), xs.begin(), xs.end());
    },
    [to](atom::custody, const custody_report& x) { to->custody.push_back(x); },
    [](atom::introduce, const std::string&, const std::string&) {},
    [](atom::admit, const peer_identity&) {},
    [](atom::announce, bool, const std::vector<announce_entry>&) {},
    [](atom::available, const std::vector<std::string>&) {},
    [](atom::learn, const std::vector<std::string>&) {},
    [](atom::verify, const std::string&, const std::string&) {},
    [](atom::done) {},
    [](atom::link_up) {},
    [](atom::close, const std::string&, const std::string&) {},
    [](atom::tick) {},
  };
}

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::error, log::format::text);
    node->node_address = "jlr.com/vin/1234";
    node->uid = vehicle.public_part().uid();
    node->time = time;
    node->metrics = std::make_shared<metrics::registry>();
    node->trace = std::make_shared<trace_buffer>(time, 1'000);
    table.node_address = node->node_address;
    table.local[player] = {player, false};
    table.provisioned = {{"+:jlr.com/cloud/#", {"10.0.0.1:8810"}}};
    publish();
  }

  void publish() {
    auto next = std::make_shared<const routing_table>(table);
    if (node->routing)
      node->routing->publish(next);
    else
      node->routing = std::make_shared<routing_snapshot>(next);
  }

  void start() {
    store_config storage;
    storage.disk = *disk->open();
    settings.node = node;
    settings.store = keeper = spawn(store, storage);
    queue = spawn(store_and_forward, settings);
    self->send(queue, atom::attach_v, spawn(edge, seen));
    self->send(queue, atom::attach_v, spawn(dialler, seen));
    settle();
  }

  void kill() {
    caf::anon_send_exit(queue, caf::exit_reason::kill);
    caf::anon_send_exit(keeper, caf::exit_reason::kill);
    settle();
    disk->crash();
  }

  session_ptr connect(uint32_t credit = 1'000) {
    auto x = std::make_shared<session>();
    x->number = ++links;
    x->handle = spawn(link, x);
    auto known = std::make_shared<known_node>();
    known->uid = cloud.public_part().uid();
    known->address = "jlr.com/cloud";
    known->network_addresses = {"10.0.0.1:8810"};
    known->link = x->number;
    table.nodes[known->address] = table.nodes_by_uid[known->uid] = known;
    publish();
    link_info info;
    info.link = x->number;
    info.peer.uid = known->uid;
    info.peer.node_address = known->address;
    self->send(queue, atom::link_up_v, x->handle, info);
    grant(x, credit);
    return x;
  }

  void grant(const session_ptr& x, uint32_t envelopes) {
    self->send(queue, atom::credit_v, x->number, credit_grant{envelopes, 1 << 20});
    settle();
  }

  void disconnect(const session_ptr& x) {
    self->send(queue, atom::link_down_v, x->number);
    settle();
  }

  /// A request of ours to the cloud.
  envelope_ptr request(uint64_t seq, uint32_t priority = 4, uint64_t ttl_ms = 60'000) {
    auto x = test::header_of(node->uid, seq);
    x.priority = priority;
    x.expires_ms = now_ms() + ttl_ms;
    return test::sign_batch(vehicle, {x}, {std::to_string(seq)}).front();
  }

  /// A request of the cloud to us.
  envelope_ptr inbound(uint64_t seq, request_kind kind = request_kind::rpc,
                       const std::string& arguments = "1") {
    auto x = test::header_of(cloud.public_part().uid(), seq);
    x.kind = kind;
    x.source = "jlr.com/cloud/media_server";
    x.target = (kind == request_kind::rpc ? "rpc:" : "message:") + std::string{player} + "/play";
    return test::sign_batch(cloud, {x}, {arguments}).front();
  }

  request_header reply_header(const envelope_ptr& asked) {
    auto x = asked->header;
    x.kind = request_kind::reply;
    x.source = std::string{without_type(asked->header.target)};
    x.target = asked->header.source;
    x.request_hash = crypto::view(crypto::sha256(asked->header_bytes));
    return x;
  }

  ec schedule(const envelope_ptr& x) { return schedule_all({x}).front(); }

  std::vector<ec> schedule_all(const batch& xs) {
    std::vector<ec> result;
    for (auto& x : *ask<std::vector<caf::error>>(queue, atom::schedule_v, xs))
      result.push_back(x ? code_of(x) : ec::none);
    return result;
  }

  custody_report receive(const session_ptr& over, const batch& xs) {
    auto before = over->custody.size();
    self->send(queue, atom::received_v, over->handle, over->number, xs, custody_report{});
    settle();
    REQUIRE(over->custody.size() == before + 1);
    return over->custody.back();
  }

  custody_report answer(const session_ptr& over, const request_header& x) {
    return receive(over, test::sign_batch(cloud, {x}, {"42"}));
  }

  void custody(const session_ptr& over, const batch& xs) {
    custody_report report;
    for (auto& x : xs)
      report.accepted.push_back({x->header.id, x->header.is_reply()});
    self->send(queue, atom::custody_v, over->number, report);
    pass(50);
  }

  void refuse(const session_ptr& over, const envelope_ptr& x, ec why, bool permanent,
              uint64_t after_ms = 0) {
    custody_report report;
    report.refused.push_back({x->header.id, x->header.is_reply(),
                              caf::make_error(why, std::string{"the peer says so"}), permanent,
                              after_ms});
    self->send(queue, atom::custody_v, over->number, report);
    settle();
  }

  void receipt_of(const envelope_ptr& x, receipt::status what, bool untouched = false) {
    self->send(queue, atom::receipt_v,
               std::vector<receipt>{{x->header.id, false, what, untouched, {}}});
    pass(50);
  }

  void service_back() {
    self->send(queue, atom::available_v, std::string{player});
    pass(50);
  }

  uint64_t count(const char* name) { return node->metrics->get_counter(name, {}).value(); }
  size_t kept(table t) { return disk->content(t).size(); }

  static std::vector<std::string> arguments(const batch& xs) {
    std::vector<std::string> result;
    for (auto& x : xs)
      result.push_back(x->arguments);
    return result;
  }

  crypto::private_key vehicle = *crypto::private_key::generate(crypto::algorithm::ed25519);
  crypto::private_key cloud = *crypto::private_key::generate(crypto::algorithm::ed25519);
  std::shared_ptr<node_context> node = std::make_shared<node_context>();
  routing_table table;
  std::shared_ptr<memory_disk> disk = memory_disk::make();
  told_ptr seen = std::make_shared<told>();
  store_and_forward_config settings;
  store_actor keeper;
  store_and_forward_actor queue;
  uint64_t links = 0;
};

using names = std::vector<std::string>;

} // namespace

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
  auto over = connect();
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
  table.local.clear();
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
  schedule(request(1, 4, 3'600'000));
  auto one = request(2, 4, 5'000);
  schedule(one);
  pass(7'000);
  CHECK(ask<std::string>(queue, atom::status_v)->find("\"items\":1,") != std::string::npos);
  auto bytes = "\"bytes\":" + std::to_string(one->size()) + ",";
  CHECK_MESSAGE(ask<std::string>(queue, atom::status_v)->find(bytes) != std::string::npos,
                *ask<std::string>(queue, atom::status_v));
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

TEST_CASE_FIXTURE(fixture, "an idempotent service that was lost runs its request again") {
  table.local[player].idempotent = true;
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
