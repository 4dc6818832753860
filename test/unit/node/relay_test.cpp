// SPDX-License-Identifier: MPL-2.0
//
// Whole nodes on virtual time, of which some meet only by a relay: a phone that sees the cloud in
// the street and the vehicle in its garage.

#include "messages/wire/header.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

using namespace rvi;

namespace {

constexpr const char* open_door = "rpc:jlr.com/vin/1234/services/lock/open";
constexpr const char* door_log = "message:jlr.com/vin/1234/services/lock/log";
constexpr uint64_t hour_ms = 3'600'000;

using names = std::vector<std::string>;

/// Nodes reach each other only where a test lets them.
struct walls : loopback_hub {
  bool
  answers(const std::string& from, const std::string& to, const std::string& kind) const override {
    return (open || reach.count(std::minmax(from, to)) != 0)
           && loopback_hub::answers(from, to, kind);
  }
  void
  call(const std::string& from, const std::string& to, const std::string& kind,
       const caf::actor& dialling, const std::string& spki, const std::string& exporter) override {
    dialled.emplace(std::minmax(from, to), dialling);
    loopback_hub::call(from, to, kind, dialling, spki, exporter);
  }
  /// Whoever moves away is gone without a word.
  void cut(const std::string& a, const std::string& b) {
    auto [first, last] = dialled.equal_range(std::minmax(a, b));
    for (auto i = first; i != last; ++i)
      caf::anon_send_exit(i->second, caf::exit_reason::kill);
    dialled.erase(first, last);
    reach.erase(std::minmax(a, b));
  }
  bool open = false;
  std::set<std::pair<std::string, std::string>> reach;
  std::multimap<std::pair<std::string, std::string>, caf::actor> dialled;
};

struct fixture : test::world {
  fixture() {
    hub = air;
    (void)log::configure(std::getenv("RVI_LOG") ? log::level::debug : log::level::off,
                         log::format::text);
    cloud.infix = "";
    may_carry(phone, {"jlr.com/vin/1234"});
    may_carry(other, {"jlr.com/vin/1234"});
  }

  void may_carry(test::loopback_node& x, names relay) {
    auto claims = provisioning.claims(x.key.public_part(), {x.address}, {"jlr.com/vin"}, now_s());
    claims.relay = std::move(relay);
    x.credential = provisioning.issue(claims);
  }

  void start_all() {
    for (auto* x : {&cloud, &phone, &vehicle})
      x->start();
    register_all();
  }

  void register_all() {
    cloud.register_service("control");
    vehicle.register_service("lock");
    pass(100);
  }

  void meet(test::loopback_node& a, test::loopback_node& b) {
    air->reach.insert(std::minmax(a.loopback_address, b.loopback_address));
    self->send(a.data_link, atom::setup_v,
               setup_request{b.address, b.address, {b.loopback_address}, true, 1'000, {}});
    for (auto* x : {&a, &b})
      self->send(x->data_link, atom::available_v, std::string{"loopback"});
    pass(3'000);
    REQUIRE(linked(a, b));
  }

  void part(test::loopback_node& a, test::loopback_node& b) {
    air->cut(a.loopback_address, b.loopback_address);
    pass(100);
    REQUIRE_FALSE(linked(a, b));
  }

  static bool linked(test::loopback_node& a, test::loopback_node& b) {
    auto table = a.context->routing->load();
    auto i = table->nodes.find(b.address);
    return i != table->nodes.end() && i->second->link != 0;
  }

  transaction_id ask(const std::string& target = open_door, uint64_t timeout_ms = 24 * hour_ms) {
    cloud.invoke("control", target, "[1]", timeout_ms);
    auto& last = cloud.services->answers.back();
    REQUIRE_MESSAGE(!last.error, describe(last.error));
    pass(1'000);
    return std::get<accepted_result>(last.answer).id;
  }

  /// A message that must not overtake those before it.
  void ordered(const std::string& arguments) {
    invoke_call x;
    x.timeout_ms = now_ms() + 24 * hour_ms;
    x.requesting_service = "control";
    x.target = door_log;
    x.arguments = arguments;
    x.channel = "steps";
    cloud.call(std::move(x));
    pass(500);
  }

  size_t runs() { return vehicle.services->invoked.size(); }
  size_t outcomes() { return cloud.services->outcomes.size(); }
  std::string outcome() { return outcomes() == 1 ? cloud.services->outcomes[0].notice.status : ""; }

  void answer() {
    REQUIRE(runs() >= 1);
    vehicle.reply(vehicle.services->invoked.back().content->header.id, "\"open\"");
    pass(1'000);
  }

  static uint64_t count(test::loopback_node& x, const char* name) {
    return x.context->metrics->get_counter(name, "").value();
  }

  static size_t kept(test::loopback_node& x, table where = table::records) {
    return x.disk->content(where).size();
  }

  std::shared_ptr<walls> air = std::make_shared<walls>();
  test::loopback_node cloud{*this, "jlr.com/cloud", "cloud", {"jlr.com/vin/+/services"}};
  test::loopback_node phone{*this, "jlr.com/phone/1", "phone", {}};
  test::loopback_node other{*this, "jlr.com/phone/2", "other", {}};
  test::loopback_node vehicle{*this, "jlr.com/vin/1234", "vehicle", {"jlr.com/cloud/control"}};
};

} // namespace

TEST_SUITE_BEGIN("relay");

TEST_CASE_FIXTURE(fixture, "an rpc goes with a phone that never sees both sides at once") {
  start_all();
  meet(phone, cloud);
  ask();
  CHECK(count(phone, "rvi_relayed_total") == 1);
  CHECK(count(cloud, "rvi_entrusted_total") == 1);
  part(phone, cloud);
  CHECK(kept(cloud) == 1); // its own copy stays
  meet(phone, vehicle);
  REQUIRE(runs() == 1);
  auto& given = *vehicle.services->invoked[0].content;
  CHECK(given.hops == 1);
  REQUIRE(given.route.size() == 1);
  CHECK(given.route[0] == phone.context->uid);
  CHECK(given.age_ms >= 1'000);
  CHECK(kept(phone) == 0);
  answer();
  CHECK(outcomes() == 0);
  CHECK(kept(phone) == 1); // the reply
  part(phone, vehicle);
  meet(phone, cloud);
  CHECK(outcome() == "ok");
  CHECK(cloud.services->outcomes[0].notice.arguments == "\"open\"");
  CHECK(kept(phone) == 0);
  pass(11 * 60'000, 10'000); // until then it knows what comes twice
  CHECK(kept(phone, table::ids) == 0);
  CHECK(kept(cloud) == 0);
}

TEST_CASE_FIXTURE(fixture, "a message goes with a phone, and is forgotten there") {
  start_all();
  meet(phone, cloud);
  ask(door_log);
  part(phone, cloud);
  meet(phone, vehicle);
  CHECK(runs() == 1);
  CHECK(kept(phone) == 0);
  CHECK(kept(phone, table::ids) == 0);
}

TEST_CASE_FIXTURE(fixture, "two relays one after the other") {
  start_all();
  other.start();
  meet(other, vehicle);
  meet(phone, other);
  meet(phone, cloud);
  ask();
  pass(1'000);
  REQUIRE(runs() == 1);
  auto& route = vehicle.services->invoked[0].content->route;
  REQUIRE(route.size() == 2);
  CHECK(route[0] == phone.context->uid);
  CHECK(route[1] == other.context->uid);
  answer();
  pass(1'000);
  CHECK(outcome() == "ok");
  pass(11 * 60'000, 10'000); // until then it knows what comes twice
  CHECK(kept(phone, table::ids) == 0);
  CHECK(kept(other, table::ids) == 0);
}

TEST_CASE_FIXTURE(fixture, "services are announced by relays, away or not") {
  start_all();
  meet(phone, vehicle);
  meet(phone, cloud);
  auto ways = cloud.context->routing->load()->ways_to(open_door);
  REQUIRE(ways.size() == 1);
  CHECK(ways[0].relay == phone.context->uid);
  CHECK(ways[0].owner == vehicle.context->uid);
  CHECK(ways[0].hops == 1);
  CHECK_FALSE(ways[0].away);
  other.start();
  meet(other, phone);
  part(phone, vehicle);
  auto seen = other.context->routing->load()->ways_to(open_door);
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].away);
  CHECK(cloud.context->routing->load()->ways_to(open_door).size() == 1); // kept for it
  SUBCASE("until the owner takes the service back") {
    meet(phone, vehicle);
    vehicle.call(unregister_service_call{"jlr.com/vin/1234/services/lock"});
    pass(1'000);
    CHECK(cloud.context->routing->load()->ways_to(open_door).empty());
    CHECK(other.context->routing->load()->ways_to(open_door).empty());
  }
}

TEST_CASE_FIXTURE(fixture, "what a relay holds survives its power cut") {
  start_all();
  meet(phone, cloud);
  ask();
  phone.kill();
  phone.start();
  meet(phone, vehicle);
  CHECK(runs() == 1);
  SUBCASE("and it knows where the reply goes") {
    phone.kill();
    phone.start();
    meet(phone, vehicle);
    answer();
    phone.kill();
    phone.start();
    meet(phone, cloud);
    CHECK(outcome() == "ok");
  }
  SUBCASE("also if the vehicle starts anew before it answers") {
    vehicle.kill();
    vehicle.start();
    vehicle.register_service("lock");
    meet(phone, vehicle);
    pass(1'000);
    meet(phone, cloud);
    CHECK(outcome() == "error"); // outcome_unknown, signed by the vehicle
  }
}

TEST_CASE_FIXTURE(fixture, "nothing goes with a node that may not carry for the target") {
  SUBCASE("without the claim") {
    may_carry(phone, {});
  }
  SUBCASE("for another vehicle") {
    may_carry(phone, {"jlr.com/vin/9"});
  }
  start_all();
  meet(phone, vehicle);
  meet(phone, cloud);
  ask();
  pass(10'000);
  CHECK(runs() == 0);
  CHECK(count(phone, "rvi_relayed_total") == 0);
  CHECK(cloud.context->routing->load()->ways_to(open_door).empty());
}

TEST_CASE_FIXTURE(fixture, "two relays do not send a request round") {
  start_all();
  other.start();
  meet(phone, vehicle); // both have met it and say so
  meet(other, vehicle);
  part(phone, vehicle);
  part(other, vehicle);
  meet(phone, other);
  meet(phone, cloud);
  meet(other, cloud);
  ask();
  pass(60'000);
  auto sent = count(phone, "rvi_envelopes_transmitted_total")
              + count(other, "rvi_envelopes_transmitted_total");
  CHECK(sent == 0);
  meet(other, vehicle);
  pass(10'000);
  CHECK(runs() == 1);
  sent = count(phone, "rvi_envelopes_transmitted_total")
         + count(other, "rvi_envelopes_transmitted_total");
  CHECK(sent <= 2);
  answer();
  pass(1'000);
  CHECK(outcome() == "ok");
}

TEST_CASE_FIXTURE(fixture, "the owner comes itself while a relay has a copy: it runs once") {
  start_all();
  meet(phone, cloud);
  ask();
  meet(vehicle, cloud);
  REQUIRE(runs() == 1);
  CHECK(vehicle.services->invoked[0].content->route.empty());
  answer();
  CHECK(outcome() == "ok");
  meet(phone, vehicle);
  pass(5'000);
  CHECK(runs() == 1);
  CHECK(outcomes() == 1);
  CHECK(kept(phone) == 0);
}

TEST_CASE_FIXTURE(fixture, "a copy that a relay lost arrives by the direct link after a restart") {
  start_all();
  meet(phone, cloud);
  ask();
  phone.kill(); // for good
  cloud.kill();
  cloud.start();
  cloud.register_service("control");
  meet(vehicle, cloud);
  REQUIRE(runs() == 1);
  answer();
  CHECK(outcome() == "ok");
}

TEST_CASE_FIXTURE(fixture, "ordered requests keep their order over a relay and a direct link") {
  start_all();
  meet(phone, cloud);
  ordered("1");
  ordered("2");
  part(phone, cloud);
  ordered("3");
  meet(vehicle, cloud);
  meet(phone, vehicle);
  pass(5'000);
  REQUIRE(runs() == 3);
  for (size_t i = 0; i < 3; ++i)
    CHECK(vehicle.services->invoked[i].content->arguments == std::to_string(i + 1));
}

TEST_CASE_FIXTURE(fixture, "ordered requests stay with the relay that has the first of them") {
  start_all();
  other.start();
  meet(phone, cloud);
  ordered("1");
  meet(other, vehicle);
  meet(other, cloud); // has a way, which the phone has not
  ordered("2");
  CHECK(runs() == 0);
  CHECK(count(phone, "rvi_relayed_total") == 2);
  CHECK(count(other, "rvi_relayed_total") == 0);
  meet(phone, vehicle);
  pass(1'000);
  REQUIRE(runs() == 2);
  CHECK(vehicle.services->invoked[0].content->arguments == "1");
}

TEST_CASE_FIXTURE(fixture, "what a revoked originator sent is not carried on") {
  start_all();
  meet(phone, cloud);
  ask();
  part(phone, cloud);
  auto list = provisioning.revocation_list(
    1,
    {revocation_entry_of("jlr.com", cloud.context->uid,
                         static_cast<uint32_t>(now_s() + 366 * 86'400))},
    now_s());
  REQUIRE(list);
  self->send(phone.authorization, atom::revoke_v, list->text);
  pass(2'000);
  meet(phone, vehicle);
  pass(5'000);
  CHECK(runs() == 0);
  CHECK(count(phone, "rvi_relayed_dropped_total") == 1);
  CHECK(kept(phone) == 0);
}

TEST_CASE_FIXTURE(fixture, "its time is up on the way: the originator alone reports it") {
  start_all();
  meet(phone, cloud);
  ask(open_door, 60'000);
  part(phone, cloud);
  pass(62'000);
  CHECK(outcome() == "timeout");
  CHECK(cloud.services->outcomes[0].notice.dispatched == "unknown");
  CHECK(kept(phone, table::ids) == 0);
  meet(phone, vehicle);
  CHECK(runs() == 0);
}

TEST_CASE_FIXTURE(fixture, "a relay bounds what it carries for one originator") {
  phone.relay_items_max = 3;
  start_all();
  meet(phone, cloud);
  for (int i = 0; i < 5; ++i)
    ask();
  CHECK(kept(phone, table::ids) == 3);
  CHECK(kept(cloud) == 5);
  phone.kill(); // what it carries is counted again
  phone.start();
  meet(phone, cloud);
  pass(5'000);
  CHECK(kept(phone, table::ids) == 3);
  meet(phone, vehicle);
  for (int i = 0; i < 5; ++i) {
    pass(70'000);
    for (size_t j = 0; j < runs(); ++j)
      vehicle.reply(vehicle.services->invoked[j].content->header.id, "1");
  }
  CHECK(runs() == 5);
  CHECK(outcomes() == 5);
}

TEST_CASE_FIXTURE(fixture, "a relay that is known is dialled for what waits") {
  start_all();
  meet(phone, vehicle);
  meet(phone, cloud);
  part(phone, cloud);
  part(phone, vehicle);
  air->open = true;
  ask(); // the cloud dials the phone, which dials the vehicle
  pass(10'000);
  CHECK(runs() == 1);
  answer();
  pass(5'000);
  CHECK(outcome() == "ok");
}

TEST_CASE_FIXTURE(fixture, "a configured route to a relay is as good") {
  cloud.routes = {{"jlr.com/vin/#", {"loopback:phone"}}};
  phone.routes = {{"jlr.com/vin/#", {"loopback:vehicle"}}};
  air->open = true;
  start_all();
  ask();
  pass(10'000);
  CHECK(runs() == 1);
  answer();
  pass(5'000);
  CHECK(outcome() == "ok");
}

TEST_CASE_FIXTURE(fixture, "what travels in fragments waits for the owner itself") {
  start_all();
  meet(cloud, phone);
  auto large = '"' + std::string(2 * fragment_bytes_max, 'q') + '"';
  cloud.invoke("control", open_door, large, 24 * hour_ms);
  pass(1'000);
  CHECK(count(phone, "rvi_relayed_total") == 0);
  auto small = ask();
  CHECK(count(phone, "rvi_relayed_total") == 1);
  meet(phone, vehicle);
  REQUIRE(runs() == 1);
  CHECK(vehicle.services->invoked[0].content->header.id == small);
  SUBCASE("a request") {
    answer();
    meet(cloud, vehicle);
    REQUIRE(runs() == 2);
    CHECK(vehicle.services->invoked[1].content->arguments == large);
  }
  SUBCASE("a reply") {
    vehicle.reply(small, large);
    pass(10'000);
    CHECK(outcomes() == 0);
    meet(cloud, vehicle);
    REQUIRE(outcomes() == 1);
    CHECK(cloud.services->outcomes[0].notice.arguments == large);
  }
}

TEST_CASE_FIXTURE(fixture, "a relay brings more than a handful from who the target never met") {
  // Each is signed by itself, and all wait for one credential that only the relay can show.
  start_all();
  meet(cloud, phone);
  std::set<transaction_id> asked;
  for (int i = 0; i < 40; ++i)
    asked.insert(ask());
  part(cloud, phone);
  meet(phone, vehicle);
  pass(5'000);
  std::set<transaction_id> came;
  for (auto& x : vehicle.services->invoked)
    came.insert(x.content->header.id);
  CHECK(came == asked);
  CHECK(vehicle.services->invoked.size() == asked.size());
  CHECK(linked(phone, vehicle));
}

TEST_SUITE_END();
