// SPDX-License-Identifier: MPL-2.0
//
// Large requests and replies between two whole nodes on virtual time, with links and power lost at
// every fragment on the way.

#include "test/support/vehicle_and_cloud.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr size_t fragments = 4;

std::string large(char fill) {
  return "\"" + std::string(fragment_bytes_max * fragments - 100, fill) + "\"";
}

struct fixture : test::vehicle_and_cloud {
  fixture()
    : vehicle_and_cloud({{"jlr.com/cloud/media_server"}, "media_player"},
                        {{"jlr.com/vin/+/services"}, "media_server"}) {}

  static uint64_t count(test::loopback_node& x, const char* name) {
    return x.context->metrics->get_counter(name, {}).value();
  }

  /// Until this node has begun to keep that many fragments, or nothing happens any more.
  void run_until_kept(test::loopback_node& x, uint64_t n) {
    while (count(x, "rvi_fragments_received_total") < n && sched.try_run_once()) {
    }
  }

  void lose_power(bool of_vehicle) {
    if (of_vehicle) {
      vehicle.kill();
      start_vehicle();
    } else {
      cloud.kill();
      start_cloud();
    }
    pass(120'000, 500);
  }

  void ask(std::string arguments = large('q'), durability kept = durability::full) {
    invoke_call x;
    x.timeout_ms = now_ms() + (kept == durability::full ? 600'000 : 60'000);
    x.requesting_service = "media_player";
    x.target = stream_audio;
    x.arguments = std::move(arguments);
    x.durability = kept;
    service_call call;
    call.client = 1;
    call.token = 77;
    call.deliverable = true;
    call.principal = {"uid:1000", true};
    call.request = std::move(x);
    self->send(vehicle.edge, atom::call_v, std::vector<service_call>{std::move(call)});
  }

  bool is_accepted() const {
    for (auto& x : vehicle.services->answers)
      if (x.token == 77 && !x.error)
        return true;
    return false;
  }

  static bool keeps_nothing(test::loopback_node& x) {
    return x.disk->content(table::pieces).empty() && x.disk->content(table::partials).empty()
           && x.disk->content(table::records).empty();
  }
};

} // namespace

TEST_SUITE_BEGIN("large arguments");

TEST_CASE_FIXTURE(fixture, "a large rpc and its large reply come whole") {
  start_cloud();
  start_vehicle();
  ask();
  pass(1'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  CHECK(cloud.services->invoked[0].content->arguments == large('q'));
  CHECK(count(vehicle, "rvi_fragments_sent_total") == fragments);
  cloud.reply(cloud.services->invoked[0].content->header.id, large('a'));
  pass(1'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes[0].notice.status == "ok");
  CHECK(vehicle.services->outcomes[0].notice.arguments == large('a'));
  CHECK(keeps_nothing(vehicle));
  CHECK(keeps_nothing(cloud));
}

TEST_CASE_FIXTURE(fixture, "a large request for a service of the same node needs no fragments") {
  start_vehicle();
  vehicle.register_service("radio");
  vehicle.invoke("media_player", "message:jlr.com/vin/1234/services/radio/tune", large('q'),
                 60'000);
  pass(1'000);
  if (vehicle.services->answers.back().error)
    return; // the vehicle's credential does not cover itself
  REQUIRE(vehicle.services->invoked.size() == 1);
  CHECK(vehicle.services->invoked[0].content->arguments == large('q'));
}

TEST_CASE("power lost at any fragment of the request loses and doubles nothing") {
  for (uint64_t kept = 1; kept <= fragments; ++kept)
    for (bool of_vehicle : {false, true}) {
      CAPTURE(kept);
      CAPTURE(of_vehicle);
      fixture f;
      f.start_cloud();
      f.start_vehicle();
      f.ask();
      f.run_until_kept(f.cloud, kept);
      REQUIRE(f.is_accepted());
      f.lose_power(of_vehicle);
      REQUIRE(f.cloud.services->invoked.size() == 1);
      CHECK(f.cloud.services->invoked[0].content->arguments == large('q'));
      // It went on where it was: the one under way at the cut may have been lost, no other.
      auto again
        = f.count(of_vehicle ? f.vehicle : f.cloud,
                  of_vehicle ? "rvi_fragments_sent_total" : "rvi_fragments_received_total");
      CHECK(again <= fragments - kept + 1);
    }
}

TEST_CASE("power lost at any fragment of the reply loses and doubles nothing") {
  for (uint64_t kept = 1; kept <= fragments; ++kept)
    for (bool of_vehicle : {false, true}) {
      CAPTURE(kept);
      CAPTURE(of_vehicle);
      fixture f;
      f.start_cloud();
      f.start_vehicle();
      f.vehicle.invoke("media_player", stream_audio, "1", 600'000);
      f.pass(1'000);
      REQUIRE(f.cloud.services->invoked.size() == 1);
      service_call call;
      call.client = 1;
      call.token = 78;
      call.deliverable = true;
      call.principal = {"uid:1000", true};
      call.request = reply_call{f.cloud.services->invoked[0].content->header.id, large('a')};
      f.self->send(f.cloud.edge, atom::call_v, std::vector<service_call>{std::move(call)});
      f.run_until_kept(f.vehicle, kept);
      f.lose_power(of_vehicle);
      REQUIRE(f.vehicle.services->outcomes.size() == 1);
      CHECK(f.vehicle.services->outcomes[0].notice.status == "ok");
      CHECK(f.vehicle.services->outcomes[0].notice.arguments == large('a'));
    }
}

TEST_CASE_FIXTURE(fixture, "what is in memory only goes in one piece") {
  cloud.start();
  register_service_call as;
  as.service = "media_server";
  as.durability_min = durability::none;
  cloud.call(std::move(as));
  start_vehicle();
  ask(large('q'), durability::none);
  pass(1'000);
  REQUIRE_FALSE(vehicle.services->answers.empty());
  CHECK(code_of(vehicle.services->answers.back().error) == ec::too_large);
  auto most = std::string(fragment_bytes_max - 2, 'q');
  ask('"' + most + '"', durability::none);
  pass(1'000);
  REQUIRE(cloud.services->invoked.size() == 1);
  auto id = cloud.services->invoked[0].content->header.id;
  cloud.reply(id, large('a'));
  pass(100);
  REQUIRE_FALSE(cloud.services->answers.empty());
  CHECK(code_of(cloud.services->answers.back().error) == ec::too_large);
  cloud.reply(id, "\"small\"");
  pass(1'000);
  REQUIRE(vehicle.services->outcomes.size() == 1);
  CHECK(vehicle.services->outcomes[0].notice.arguments == "\"small\"");
}
