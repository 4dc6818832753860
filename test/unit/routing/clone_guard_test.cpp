// SPDX-License-Identifier: MPL-2.0
//
// Tokens against copies of a key: no crash and no lost message looks like a second holder, and a
// second holder always does.

#include "actors/routing/clone_guard.hpp"
#include "messages/transaction_id.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace rvi;

namespace {

node_uid uid(uint8_t x) {
  node_uid result;
  result.fill(x);
  return result;
}

const node_uid asker = uid(1);
const node_uid prover = uid(2);
const std::string exporter(32, 'e');

clone_session session() {
  return {prover, asker, true, exporter};
}

/// One node with its disk, which keeps what was stored and forgets the rest at a crash.
struct end {
  clone_guard guard = clone_guard{};
  std::map<std::string, std::string> disk;

  void store(std::string_view prefix, const node_uid& peer, std::string record) {
    disk[std::string{prefix} + to_string(peer)] = std::move(record);
  }
  void restart() {
    guard = clone_guard{};
    for (auto& [key, value] : disk)
      REQUIRE_FALSE(guard.restore(key, value));
  }
};

/// Both ends of sessions, and what may stop each one on its way.
struct pair {
  end asks;
  end holds;
  uint64_t now_ms = 1'000;

  clone_verdict show(end& who) {
    now_ms += 10;
    auto result = asks.guard.judge(who.guard.prove(session()), session(), now_ms);
    if (result == clone_verdict::pending)
      promote(asks.guard.asked(prover)->pending.counter);
    return result;
  }

  void promote(uint64_t counter, bool durable = true) {
    now_ms += 10;
    if (asks.guard.promote(prover, counter, now_ms) && durable)
      asks.store(clone_asked_prefix, prover, asks.guard.asked_record(prover));
  }

  /// One session; it ends after `steps` of its five steps.
  clone_verdict meet(end& who, int steps = 5) {
    auto result = show(who);
    auto token = *asks.guard.offer(prover, now_ms);
    if (steps > 0)
      asks.store(clone_asked_prefix, prover, asks.guard.asked_record(prover));
    if (steps <= 1)
      return result;
    auto taken = who.guard.take_offer(asker, token);
    if (steps > 2 && taken == clone_guard::offered::store)
      who.store(clone_held_prefix, asker, clone_guard::held_record(token));
    if (steps > 3 && taken == clone_guard::offered::store)
      who.guard.keep(asker, token);
    if (steps > 4)
      promote(token.counter);
    return result;
  }
};

} // namespace

TEST_SUITE_BEGIN("clone guard");

TEST_CASE("a proof has these bytes for ever, and holds for one session only") {
  clone_token token{7, std::string(32, 't')};
  auto proof = clone_proof(token, session());
  CHECK(crypto::hex(proof)
        == "0000000000000007d39c49f1c9a26acd0f48710e97f24e07cc187be209dabc684c5ae5da86ba2333");
  CHECK(proof.size() == clone_proof_bytes);
  auto other = session();
  other.client = false;
  CHECK(clone_proof(token, other) != proof);
  other = {asker, prover, true, exporter};
  CHECK(clone_proof(token, other) != proof);
  std::string elsewhere(32, 'f');
  other = {prover, asker, true, elsewhere};
  CHECK(clone_proof(token, other) != proof);
  CHECK(clone_proof({8, token.token}, session()) != proof);
  CHECK(clone_proof({}, session()).empty());
}

TEST_CASE("an honest peer shows a new token at every session") {
  pair x;
  CHECK(x.meet(x.holds) == clone_verdict::first);
  for (int i = 0; i < 20; ++i) {
    auto before = x.asks.guard.asked(prover)->current.token;
    CHECK(x.meet(x.holds) == clone_verdict::current);
    CHECK(x.asks.guard.asked(prover)->current.token != before);
  }
  CHECK(x.asks.guard.asked(prover)->retired.size() == clone_tokens_retired_max);
}

TEST_CASE("a session that ends at any step and a crash of either side look like nothing") {
  for (int first = 0; first <= 5; ++first)
    for (int second = 0; second <= 5; ++second)
      for (int crash = 0; crash < 4; ++crash) {
        CAPTURE(first);
        CAPTURE(second);
        CAPTURE(crash);
        pair x;
        for (int steps : {first, second, first, 5, second}) {
          auto verdict = x.meet(x.holds, steps);
          CHECK(verdict != clone_verdict::retired);
          CHECK(verdict != clone_verdict::unknown);
          if (crash & 1)
            x.asks.restart();
          if (crash & 2)
            x.holds.restart();
        }
      }
}

TEST_CASE("random losses and crashes look like nothing; then a copy is found") {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random{seed};
    pair x;
    for (int i = 0; i < 50; ++i) {
      auto verdict = x.meet(x.holds, static_cast<int>(random() % 6));
      REQUIRE(verdict != clone_verdict::retired);
      REQUIRE(verdict != clone_verdict::unknown);
      if (random() % 4 == 0)
        x.asks.restart();
      if (random() % 4 == 0)
        x.holds.restart();
    }
    x.meet(x.holds);
    auto copy = x.holds;
    copy.restart();
    auto& early = random() % 2 ? copy : x.holds;
    auto& late = &early == &copy ? x.holds : copy;
    for (auto n = random() % 6 + 1; n > 0; --n) {
      auto verdict = x.meet(early);
      REQUIRE(verdict != clone_verdict::retired);
    }
    REQUIRE(x.meet(late) == clone_verdict::retired);
  }
}

TEST_CASE("a copy that was idle for long is only suspect, until one of both is found") {
  pair x;
  x.meet(x.holds);
  auto copy = x.holds;
  for (size_t i = 0; i <= clone_tokens_retired_max; ++i)
    x.meet(x.holds);
  CHECK(x.meet(copy) == clone_verdict::unknown);
  x.meet(copy);
  CHECK(x.meet(x.holds) == clone_verdict::retired);
}

TEST_CASE("a peer that has lost its store is suspect; one that has lost ours begins anew") {
  pair x;
  x.meet(x.holds);
  end fresh;
  CHECK(x.meet(fresh) == clone_verdict::unknown);
  CHECK(x.meet(fresh) == clone_verdict::current);
  x.asks = end{};
  CHECK(x.meet(fresh) == clone_verdict::first);
  CHECK(x.meet(fresh) == clone_verdict::current);
}

TEST_CASE("several links of one node are normal") {
  pair x;
  x.meet(x.holds);
  // Two sessions begin, both show the same token; over one of them it is replaced.
  auto started = x.now_ms;
  auto proof = x.holds.guard.prove(session());
  x.now_ms += 100;
  CHECK(x.meet(x.holds) == clone_verdict::current);
  CHECK(x.asks.guard.judge(proof, session(), started) == clone_verdict::late);
  CHECK(x.meet(x.holds) == clone_verdict::current); // replaced once more
  CHECK(x.asks.guard.judge(proof, session(), started) == clone_verdict::late);
  // A session that began later cannot come with the old one.
  CHECK(x.asks.guard.judge(proof, session(), x.now_ms + 1) == clone_verdict::retired);
  // Nor one that began before our restart: that one is over.
  x.asks.restart();
  CHECK(x.asks.guard.judge(proof, session(), 1) == clone_verdict::retired);
}

TEST_CASE("the same token is offered over every link until it is kept; old offers are stale") {
  pair x;
  auto one = *x.asks.guard.offer(prover, 5'000);
  auto two = *x.asks.guard.offer(prover, 6'000);
  CHECK(one.token == two.token);
  CHECK(x.holds.guard.take_offer(asker, one) == clone_guard::offered::store);
  CHECK(x.holds.guard.take_offer(asker, two) == clone_guard::offered::store); // not on disk yet
  x.holds.guard.keep(asker, one);
  CHECK(x.holds.guard.take_offer(asker, two) == clone_guard::offered::kept);
  CHECK(x.asks.guard.promote(prover, one.counter, 1));
  CHECK_FALSE(x.asks.guard.promote(prover, two.counter, 2));
  auto three = *x.asks.guard.offer(prover, 1); // the clock went back
  CHECK(three.counter == one.counter + 1);
  CHECK(x.holds.guard.take_offer(asker, three) == clone_guard::offered::store);
  CHECK(x.holds.guard.take_offer(asker, one) == clone_guard::offered::stale);
  CHECK(x.holds.guard.take_offer(asker, {three.counter, "other"}) == clone_guard::offered::store);
}

TEST_CASE("records of another shape are not taken, and the number of peers is bounded") {
  clone_guard guard{2};
  auto key = std::string{clone_asked_prefix} + to_string(prover);
  CHECK(guard.restore(key, ""));
  CHECK(guard.restore(key, std::string(40, 'x')));
  CHECK(guard.restore(key, std::string(81, 'x')));
  CHECK(guard.restore(key, std::string(11 * 40, 'x')));
  CHECK(guard.restore(std::string{clone_asked_prefix} + "xyz", std::string(80, 'x')));
  CHECK_FALSE(guard.restore(key, std::string(80, 'x')));
  CHECK(guard.offer(uid(7), 1));
  CHECK_FALSE(guard.offer(uid(8), 1));
  CHECK(guard.offer(uid(7), 1));
}

TEST_SUITE_END();
