// SPDX-License-Identifier: MPL-2.0
//
// What a revocation list does to nodes (HLD 3.2.3, 9.5): who is let in, what is sent, what is run,
// and how the list gets about.

#include "runtime/observe/log.hpp"
#include "test/support/silent_link.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace rvi;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";

/// A peer's end that a test holds.
test::link_listener told_of(const std::shared_ptr<std::vector<std::string>>& closed) {
  test::link_listener x;
  x.close = [closed](const std::string& code, const std::string&) { closed->push_back(code); };
  return x;
}

struct fixture : test::vehicle_and_cloud {
  fixture()
    : vehicle_and_cloud({{"jlr.com/cloud/media_server"}, "media_player"},
                        {{"jlr.com/vin/+/services"}, "media_server"}, log::level::off) {}

  void connect(test::loopback_node& from, const test::loopback_node& to) {
    self->send(from.data_link, atom::setup_v,
               setup_request{to.address, to.address, {to.loopback_address}, true, 60'000, {}});
    pass(1'000);
  }

  static bool connected(const test::loopback_node& from, const test::loopback_node& to) {
    auto table = from.context->routing->load();
    auto i = table->nodes.find(to.address);
    return i != table->nodes.end() && i->second->link != 0;
  }

  /// Hands a list to a node, as its administrator would.
  ec import(test::loopback_node& x, const revocation_list_ptr& list) {
    REQUIRE(list);
    auto answer = ask<atom::done>(x.authorization, atom::revoke_v, list->text);
    pass(100);
    return answer ? ec::none : code_of(answer.error());
  }

  revocation_list_ptr list(uint64_t serial, const std::vector<credential_ptr>& revoked,
                           const revocation_set* base = nullptr) {
    std::vector<revocation_entry> entries;
    for (auto& x : revoked)
      entries.push_back(revocation_entry_of(*x));
    return provisioning.revocation_list(serial, std::move(entries), now_s(), base);
  }

  static revocation_set_ptr held(const test::loopback_node& x) {
    auto rights = x.context->rights->load();
    if (!rights->revocations || !rights->revocations->count("jlr.com"))
      return nullptr;
    return rights->revocations->find("jlr.com")->second;
  }

  static uint64_t serial(const test::loopback_node& x) {
    auto set = held(x);
    return set ? set->version.serial : 0;
  }

  ec last_answer(const test::loopback_node& x) {
    REQUIRE_FALSE(x.services->answers.empty());
    auto& error = x.services->answers.back().error;
    return error ? code_of(error) : ec::none;
  }

  transaction_id accepted(const test::loopback_node& x) {
    REQUIRE_FALSE(x.services->answers.empty());
    auto* result = std::get_if<accepted_result>(&x.services->answers.back().answer);
    REQUIRE(result);
    return result->id;
  }

  std::string traced(const test::loopback_node& x, const transaction_id& id, int step) {
    std::string result;
    for (auto& event : x.context->trace->find(to_bytes(id)))
      if (event.step == step && !event.reply)
        result = event.detail;
    return result;
  }

  /// Another credential for the vehicle's key.
  credential_ptr renewed() {
    return provisioning.issue(provisioning.claims(vehicle.key.public_part(), {"jlr.com/vin/1234"},
                                                  {"jlr.com/cloud/media_server"}, now_s()));
  }

  test::loopback_node phone{*this, "jlr.com/mobile/5", "phone", {"jlr.com/vin/+/services"}};
};

} // namespace

TEST_SUITE_BEGIN("revocation of nodes");

TEST_CASE_FIXTURE(fixture, "a revoked peer loses its session and hears why") {
  start_cloud();
  start_vehicle();
  connect(vehicle, cloud);
  REQUIRE(connected(cloud, vehicle));
  CHECK(import(cloud, list(1, {vehicle.credential})) == ec::none);
  pass(2'000);
  CHECK_FALSE(connected(cloud, vehicle));
  CHECK_FALSE(connected(vehicle, cloud));
  CHECK(serial(vehicle) == 1);
  vehicle.invoke("media_player", stream_audio, "{}", 30'000);
  CHECK(last_answer(vehicle) == ec::revoked);
  pass(60'000, 500);
  CHECK_FALSE(connected(cloud, vehicle));
  CHECK(cloud.services->invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "a revoked peer that knows nothing of it is not let in") {
  start_cloud();
  CHECK(import(cloud, list(1, {vehicle.credential})) == ec::none);
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, "{}", 30'000);
  pass(35'000, 500);
  CHECK(cloud.context->metrics->get_counter("rvi_sessions_refused_total", "").value() > 0);
  CHECK(cloud.services->invoked.empty());
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes[0].notice.status == "timeout");
}

TEST_CASE_FIXTURE(fixture, "with another credential of the same key a node stays in") {
  start_cloud();
  CHECK(import(cloud, list(1, {vehicle.credential})) == ec::none);
  vehicle.credential = renewed();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, "{}", 30'000);
  pass(1'000);
  CHECK(cloud.services->invoked.size() == 1);
  // But not if the key itself is revoked.
  auto by_key = provisioning.revocation_list(
    2, {revocation_entry_of("jlr.com", vehicle.key.public_part().uid(), UINT32_MAX)}, now_s());
  CHECK(import(cloud, by_key) == ec::none);
  pass(5'000);
  CHECK_FALSE(connected(cloud, vehicle));
}

TEST_CASE_FIXTURE(fixture, "what waits for its service is not run for a sender revoked meanwhile") {
  cloud.start();
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, "{}", 600'000);
  auto id = accepted(vehicle);
  pass(2'000);
  CHECK(import(cloud, list(1, {vehicle.credential})) == ec::none);
  cloud.register_service("media_server");
  pass(2'000);
  CHECK(cloud.services->invoked.empty());
  CHECK(traced(cloud, id, 16).find("revoked") != std::string::npos);
  SUBCASE("its sender hears of it with its next credential") {
    vehicle.kill();
    vehicle.credential = renewed();
    start_vehicle();
    pass(60'000, 500);
    REQUIRE(vehicle.services->outcomes.size() == 1);
    auto& notice = vehicle.services->outcomes[0].notice;
    CHECK(notice.id == id);
    CHECK(notice.status == "error");
    CHECK(notice.error.find("revoked") != std::string::npos);
  }
  SUBCASE("or at its timeout") {
    pass(700'000, 1'000);
    REQUIRE(vehicle.services->outcomes.size() == 1);
    CHECK(vehicle.services->outcomes[0].notice.status == "timeout");
  }
  CHECK(cloud.services->invoked.empty());
}

TEST_CASE_FIXTURE(fixture, "a message of a revoked sender ends as a dead letter") {
  cloud.start();
  start_vehicle();
  vehicle.invoke("media_player", "message:jlr.com/cloud/media_server/log", "{}", 600'000);
  pass(2'000);
  CHECK(import(cloud, list(1, {vehicle.credential})) == ec::none);
  cloud.register_service("media_server");
  pass(2'000);
  CHECK(cloud.services->invoked.empty());
  CHECK(cloud.context->metrics->get_counter("rvi_dead_letters_total", "").value() == 1);
}

TEST_CASE_FIXTURE(fixture, "what was checked is not run if the list comes before the hand-over") {
  start_cloud();
  start_vehicle();
  connect(vehicle, cloud);
  vehicle.invoke("media_player", stream_audio, "{}", 30'000);
  auto id = accepted(vehicle);
  // Both at once: whichever comes first, nothing runs after the list is in force.
  auto text = list(1, {vehicle.credential})->text;
  auto answer = ask<atom::done>(cloud.authorization, atom::revoke_v, text);
  REQUIRE(answer);
  auto run = cloud.services->invoked.size();
  pass(10'000);
  CHECK(cloud.services->invoked.size() == run);
  (void)id;
}

TEST_CASE_FIXTURE(fixture, "a node that finds itself listed sends nothing more") {
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, "1", 600'000);
  vehicle.invoke("media_player", "message:jlr.com/cloud/media_server/log", "{}", 600'000);
  pass(1'000);
  CHECK(import(vehicle, list(1, {vehicle.credential})) == ec::none);
  pass(1'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  auto& notice = vehicle.services->outcomes[0].notice;
  CHECK(notice.status == "refused");
  CHECK(notice.error.find("revoked") != std::string::npos);
  vehicle.invoke("media_player", stream_audio, "2", 600'000);
  CHECK(last_answer(vehicle) == ec::revoked);
  start_cloud();
  pass(60'000, 500);
  CHECK(cloud.services->invoked.empty());
  CHECK(vehicle.services->outcomes.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "what it signed before a restart ends too") {
  start_vehicle();
  vehicle.invoke("media_player", stream_audio, "1", 600'000);
  pass(1'000);
  // The list becomes durable, and the node ends before it is acted on.
  auto text = list(1, {vehicle.credential})->text;
  self->send(vehicle.authorization, atom::revoke_v, text);
  settle();
  vehicle.kill();
  start_vehicle();
  pass(5'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes[0].notice.status == "refused");
}

TEST_CASE_FIXTURE(fixture, "thousands of stored requests end when their credential is revoked") {
  start_vehicle();
  for (int i = 0; i < 2'500; ++i)
    vehicle.invoke("media_player", stream_audio, "1", 600'000);
  CHECK(import(vehicle, list(1, {vehicle.credential})) == ec::none);
  pass(5'000);
  CHECK(vehicle.services->outcomes.size() == 2'500);
  pass(5'000);
  CHECK(vehicle.disk->content(table::queue).empty());
}

TEST_CASE_FIXTURE(fixture, "a list reaches a vehicle that only meets a phone") {
  cloud.start();
  phone.start();
  vehicle.start();
  auto stranger = provisioning.issue(
    provisioning.claims(cloud.key.public_part(), {"jlr.com/old"}, {}, now_s()));
  auto news = list(1, {stranger});
  SUBCASE("later") {
    CHECK(import(cloud, news) == ec::none);
    connect(phone, cloud);
    CHECK(serial(phone) == 1);
    cloud.kill();
    CHECK(serial(vehicle) == 0);
    connect(vehicle, phone);
  }
  SUBCASE("at once, if the links are up") {
    connect(phone, cloud);
    connect(vehicle, phone);
    CHECK(import(cloud, news) == ec::none);
    pass(1'000);
    CHECK(serial(phone) == 1);
  }
  SUBCASE("through a phone that was off in between") {
    CHECK(import(cloud, news) == ec::none);
    connect(phone, cloud);
    phone.kill();
    cloud.kill();
    phone.start();
    CHECK(serial(phone) == 1);
    connect(phone, vehicle);
  }
  REQUIRE(serial(vehicle) == 1);
  CHECK(held(vehicle)->entries.size() == 1);
  CHECK(vehicle.context->rights->load()->revoked(*stranger));
}

TEST_CASE_FIXTURE(fixture, "deltas go to those who have what they build on, full lists to others") {
  cloud.start();
  phone.start();
  vehicle.start();
  auto old = renewed();
  auto older = renewed();
  CHECK(import(cloud, list(1, {old})) == ec::none);
  connect(phone, cloud);
  CHECK(serial(phone) == 1);
  auto base = held(cloud);
  CHECK(import(cloud, list(4, {older}, base.get())) == ec::none);
  pass(1'000);
  CHECK(serial(phone) == 4);
  CHECK(held(phone)->lists.size() == 2);
  connect(vehicle, cloud);
  CHECK(serial(vehicle) == 4);
  CHECK(vehicle.context->rights->load()->revoked(*old));
  CHECK(vehicle.context->rights->load()->revoked(*older));
  CHECK(import(vehicle, list(7, {}, base.get())) == ec::not_found);
}

TEST_CASE_FIXTURE(fixture, "a list never goes back, also after a restart") {
  start_cloud();
  start_vehicle();
  auto old = list(1, {});
  auto other = renewed();
  CHECK(import(cloud, list(5, {other})) == ec::none);
  CHECK(import(cloud, list(5, {})) == ec::replay);
  CHECK(import(cloud, old) == ec::replay);
  cloud.kill();
  start_cloud();
  CHECK(serial(cloud) == 5);
  CHECK(cloud.context->rights->load()->revoked(*other));
  CHECK(import(cloud, old) == ec::replay);
  // A peer with an old one learns the new one, not the other way round.
  CHECK(import(vehicle, old) == ec::none);
  connect(vehicle, cloud);
  CHECK(serial(vehicle) == 5);
  CHECK(serial(cloud) == 5);
}

TEST_CASE_FIXTURE(fixture, "a node revoked before a restart is not let in after it") {
  start_cloud();
  CHECK(import(cloud, list(1, {vehicle.credential})) == ec::none);
  cloud.kill();
  start_cloud();
  start_vehicle();
  connect(vehicle, cloud);
  CHECK_FALSE(connected(cloud, vehicle));
}

TEST_CASE_FIXTURE(fixture, "an administrator enters a list through the service API") {
  start_cloud();
  start_vehicle();
  connect(vehicle, cloud);
  auto text = list(3, {vehicle.credential})->text;
  auto enter = [&](const std::string& list_text, bool administrator) {
    service_call x;
    x.client = 9;
    x.token = 77;
    x.principal = {"uid:1001", administrator};
    x.request = administration_call{"revoke", list_text};
    self->send(cloud.edge, atom::call_v, std::vector<service_call>{std::move(x)});
    pass(2'000);
    REQUIRE(cloud.services->answers.back().token == 77);
    return last_answer(cloud);
  };
  CHECK(enter(text, false) == ec::unauthorized);
  CHECK(enter("no list", true) == ec::malformed);
  CHECK(enter(test::authority{}.revocation_list(3, {}, now_s())->text, true) == ec::unknown_issuer);
  CHECK(serial(cloud) == 0);
  CHECK(connected(cloud, vehicle));
  CHECK(enter(text, true) == ec::none);
  auto* result = std::get_if<json_result>(&cloud.services->answers.back().answer);
  REQUIRE(result);
  CHECK(result->json == R"({"status":"ok","issuer":"jlr.com","serial":3})");
  CHECK(serial(cloud) == 3);
  CHECK_FALSE(connected(cloud, vehicle));
  CHECK(enter(text, true) == ec::replay);
}

TEST_CASE_FIXTURE(fixture, "a list of somebody else is refused; a false one ends the session") {
  start_cloud();
  test::authority stranger;
  CHECK(import(cloud, stranger.revocation_list(9, {}, now_s())) == ec::unknown_issuer);
  auto closed = std::make_shared<std::vector<std::string>>();
  auto peer = spawn(test::silent_link, told_of(closed));
  auto from_peer = [&](const std::string& text) {
    self->send(cloud.authorization, atom::revoke_v, peer, std::vector<std::string>{text});
    settle();
  };
  from_peer(stranger.revocation_list(9, {}, now_s())->text);
  CHECK(closed->empty()); // perhaps it trusts a key that we do not
  auto text = list(2, {})->text;
  auto dot = text.rfind('.');
  text[dot + 5] = text[dot + 5] == 'A' ? 'B' : 'A';
  from_peer(text);
  CHECK(*closed == std::vector<std::string>{"signature_invalid"});
  from_peer("no list");
  CHECK(closed->size() == 2);
  CHECK(serial(cloud) == 0);
  CHECK(cloud.context->metrics->get_counter("rvi_revocation_lists_refused_total", "").value() == 2);
}

TEST_SUITE_END();
