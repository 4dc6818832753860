// SPDX-License-Identifier: MPL-2.0
//
// Metrics: values of others' topics, and looking at what one has no right to see.

#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::Frame;

namespace {

struct fixture : session_attack {
  fixture() { // metrics go to and from peers that give credit
    Frame x;
    x.mutable_credit()->set_envelopes(100);
    x.mutable_credit()->set_bytes(1'000'000);
    peer.send(x);
  }

  void publishes(const std::string& topic, const std::string& code) {
    Frame x;
    auto& value = *x.mutable_metric_values()->add_values();
    value.set_topic(topic);
    value.set_source(attacker.address + "/services/attacker");
    value.set_epoch(UINT32_MAX);
    value.set_seq(UINT64_MAX);
    value.set_published_ms(wall_ms());
    value.set_value("\"attack\"");
    peer.send(x);
    ends(code);
    for (auto& text : at.media_server.texts)
      CHECK_MESSAGE(text.find("attack") == text.npos, text);
  }

  void subscribes(const std::string& pattern) {
    Frame x;
    x.mutable_metric_subscriptions()->set_full(true);
    x.mutable_metric_subscriptions()->add_added()->set_pattern(pattern);
    peer.send(x);
  }

  /// True if the node sends values before it answers a ping that comes after the subscription.
  bool gets_values() {
    Frame ping;
    ping.mutable_ping()->set_nonce(4'711);
    peer.send(ping);
    while (auto x = peer.read()) {
      if (x->has_metric_values())
        return true;
      if (x->has_ping() && x->ping().nonce() == 4'711)
        return false;
    }
    return false;
  }
};

} // namespace

TEST_SUITE_BEGIN("attacks: metrics" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "publish a topic of the honest vehicle") {
  publishes("metric:jlr.com/vin/1234/services/speed", "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "publish a topic of the attacked node") {
  publishes("metric:jlr.com/cloud/load", "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "publish under a pattern, for all topics at once") {
  publishes("metric:" + attacker.address + "/+", "malformed");
}

TEST_CASE_FIXTURE(fixture, "subscribe without a right") {
  subscribes("metric:jlr.com/cloud/#");
  // Something to see.
  REQUIRE(at.media_server
            .call("publish", R"({"source":"media_server","target":"metric:jlr.com/cloud/load",)"
                             R"("value":"secret","retain":true})")
            .code.empty());
  auto refusal = [&] { return recorded(at.cloud, {"subscription of a peer", attacker_uid()}); };
  CHECK_MESSAGE(wait_for({&at.media_server}, refusal), trail(at.cloud));
  check_refusal_recorded(at.cloud, "unauthorized", "metric:jlr.com/cloud/#");
  CHECK_FALSE(gets_values());
}

TEST_CASE_FIXTURE(fixture, "subscribe to all names of all organizations") {
  subscribes("#");
  ends("malformed");
}

TEST_CASE_FIXTURE(attack, "a service subscribes to topics its node has no right to") {
  signatures_max = 0;
  auto answer = at.media_player.call("subscribe", R"({"requesting_service":"media_player",)"
                                                  R"("target":"metric:jlr.com/cloud/#"})");
  CHECK(answer.code == "unauthorized");
}

TEST_CASE_FIXTURE(attack, "a service publishes a topic of another node") {
  signatures_max = 0;
  auto answer = at.media_player.call("publish", R"({"source":"media_player","target":)"
                                                R"("metric:jlr.com/cloud/load","value":1})");
  CHECK(answer.code == "unauthorized");
}

TEST_SUITE_END();
