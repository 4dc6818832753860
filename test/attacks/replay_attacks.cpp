// SPDX-License-Identifier: MPL-2.0
//
// What was good once, again: frames, batches, sessions, announcements. A root that has been checked
// is not checked again.

#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::Frame;

namespace {

struct fixture : session_attack {
  bool runs_once(hostile_peer& last_peer) {
    auto count = [&](const char* arguments) {
      auto& xs = at.media_server.invoked;
      return std::count_if(xs.begin(), xs.end(), [&](auto& x) { return x.arguments == arguments; });
    };
    // What comes after it in the same session is there: so would be a second run.
    ++signatures_max;
    auto last = attacker.requests({echo_target}, {"\"honest last\""});
    last_peer.send(last);
    REQUIRE(last_peer.custody_of(last.front()->header.id) == "accepted");
    REQUIRE(wait_for({&at.media_server}, [&] { return count("\"honest last\"") == 1; }));
    return count("\"honest once\"") == 1;
  }

  ::rvi::batch request = attacker.requests({echo_target}, {"\"honest once\""});
  transaction_id id = request.front()->header.id;
};

} // namespace

TEST_SUITE_BEGIN("attacks: replays" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a batch replayed in its session") {
  sends(request);
  CHECK(peer.custody_of(id) == "accepted");
  for (int i = 0; i < 5; ++i) {
    peer.send(request); // costs no further check
    CHECK(peer.custody_of(id) == "accepted");
  }
  CHECK(runs_once(peer));
}

TEST_CASE_FIXTURE(fixture, "a batch replayed in later sessions of its sender") {
  sends(request);
  CHECK(peer.custody_of(id) == "accepted");
  std::unique_ptr<hostile_peer> again;
  for (int i = 0; i < 3; ++i) {
    signatures_max += 2; // of the session; the root was checked before
    again = std::make_unique<hostile_peer>(at.cloud_port);
    again->come_up(attacker);
    again->send(request);
    CHECK(again->custody_of(id) == "accepted");
  }
  CHECK(runs_once(*again));
}

TEST_CASE_FIXTURE(fixture, "a batch replayed by another node") {
  sends(request);
  CHECK(peer.custody_of(id) == "accepted");
  peer_card other{at.world.provisioning, attacker.address + ".b", {"jlr.com/cloud/media_server"}};
  signatures_max += 2;
  hostile_peer thief{at.cloud_port};
  thief.come_up(other);
  thief.send(request);
  refuses_item(thief, id, "unauthorized");
  CHECK(runs_once(peer));
}

TEST_CASE_FIXTURE(fixture, "a batch replayed to another node than its target's") {
  sends(request);
  CHECK(peer.custody_of(id) == "accepted");
  hostile_peer elsewhere{at.vehicle_port};
  elsewhere.come_up(attacker);
  elsewhere.send(request);
  CHECK(elsewhere.custody_of(id) == "unknown_target");
  check_refusal_recorded(at.vehicle, "unknown_target", to_string(id));
  CHECK(runs_once(peer));
}

TEST_CASE_FIXTURE(fixture, "the same request in another tree") {
  sends(request);
  CHECK(peer.custody_of(id) == "accepted");
  sends(attacker.sign({request.front()->header}, {"\"honest once\""}));
  CHECK(peer.custody_of(id) == "accepted");
  CHECK(runs_once(peer));
}

TEST_CASE_FIXTURE(fixture, "an id used again for another request") {
  sends(request);
  CHECK(peer.custody_of(id) == "accepted");
  sends(attacker.sign({request.front()->header}, {"\"attack\""}));
  refuses_item(peer, id, "replay");
  CHECK(runs_once(peer));
}

TEST_CASE_FIXTURE(fixture, "an id used again for another target") {
  sends(request);
  CHECK(peer.custody_of(id) == "accepted");
  auto header = request.front()->header;
  header.target = "rpc:jlr.com/cloud/media_server/other";
  sends(attacker.sign({header}, {"\"attack\""}));
  refuses_item(peer, id, "replay");
  CHECK(runs_once(peer));
}

TEST_CASE_FIXTURE(fixture, "a request under a number that was given up as settled") {
  auto later = attacker.header(echo_target);
  later.settled_below = later.id.seq;
  sends(attacker.sign({later}, {"\"honest once\""}));
  CHECK(peer.custody_of(later.id) == "accepted");
  sends(request); // an earlier number
  // It was never sent before, so that it may be taken or refused; it runs at most once.
  auto told = peer.custody_of(id);
  CHECK((told == "accepted" || told == "replay"));
  peer.send(request);
  CHECK(peer.custody_of(id) == told);
}

TEST_CASE_FIXTURE(attack, "a session replayed: an Authorize with the id of an earlier one") {
  {
    hostile_peer first{at.cloud_port};
    attacker.authorize_id = 10;
    first.authorize(attacker);
  }
  attacker.authorize_id = 10; // the same id again
  refuses_attacker("replay");
  signatures_max = 4;
}

TEST_CASE_FIXTURE(attack, "a session of a copy that is behind: a lower id") {
  {
    hostile_peer first{at.cloud_port};
    attacker.authorize_id = 10;
    first.authorize(attacker);
  }
  attacker.authorize_id = 3;
  refuses_attacker("replay");
  signatures_max = 4;
}

TEST_CASE_FIXTURE(attack, "a batch replayed after the node has started anew") {
  auto request = attacker.requests({echo_target}, {"\"honest once\""});
  auto id = request.front()->header.id;
  {
    hostile_peer peer{at.cloud_port};
    peer.come_up(attacker);
    peer.send(request);
    CHECK(peer.custody_of(id) == "accepted");
    CHECK(wait_for({&at.media_server}, [&] { return at.media_server.invoked.size() == 1; }));
  }
  at.cloud.kill();
  at.cloud.start();
  at.register_services();
  signatures_max = UINT64_MAX; // counted anew
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  peer.send(request);
  CHECK(peer.custody_of(id) == "accepted");
  auto last = attacker.requests({echo_target}, {"\"honest last\""});
  peer.send(last);
  CHECK(wait_for({&at.media_server},
                 [&] { return at.media_server.invoked.back().arguments == "\"honest last\""; }));
  CHECK(at.media_server.invoked.size() == 2);
}

TEST_SUITE_END();
