// SPDX-License-Identifier: MPL-2.0
//
// Store and forward with several kinds of link to one node: what goes over which.

#include "test/unit/routing/store_and_forward_fixture.hpp"

namespace {

struct kinds_fixture : fixture {
  kinds_fixture() {
    settings.kinds.order = {"wifi", "lte"};
    settings.kinds.classes = {{"wifi_only", {"wifi"}}, {"alarm", {"lte", "wifi"}}};
  }

  envelope_ptr of_class(uint64_t seq, const std::string& data_class) {
    auto x = test::header_of(node->uid, seq);
    x.data_class = data_class;
    return test::sign_batch(vehicle, {x}, {std::to_string(seq)}).front();
  }

  /// The kinds of the last link asked for; "none" if none was.
  std::vector<std::string> asked_for() const {
    return seen->wanted.empty() ? names{"none"} : seen->wanted.back().kinds;
  }
};

} // namespace

TEST_SUITE_BEGIN("store and forward: kinds of link");

TEST_CASE_FIXTURE(kinds_fixture, "a request goes over the best link that is up") {
  start();
  auto lte = connect(1'000, "lte");
  schedule(of_class(1, ""));
  auto wifi = connect(1'000, "wifi");
  schedule(of_class(2, ""));
  schedule(of_class(3, "not configured"));
  schedule(of_class(4, "alarm"));
  CHECK(arguments(lte->sent) == names{"1", "4"});
  CHECK(arguments(wifi->sent) == names{"2", "3"});
  CHECK(lte->closed.empty());
}

TEST_CASE_FIXTURE(kinds_fixture, "a class waits for a link it may use, and for nobody else") {
  start();
  auto lte = connect(1'000, "lte");
  for (uint64_t i = 1; i <= 3'000; ++i) // more than are kept in memory
    schedule(of_class(i, "wifi_only"));
  CHECK(lte->sent.empty());
  CHECK(asked_for() == names{"wifi"});
  schedule(of_class(5'000, ""));
  CHECK(arguments(lte->sent) == names{"5000"});
  auto wifi = connect(1'000, "wifi");
  pass(100);
  CHECK(wifi->sent.size() == 1'000); // its credit
  CHECK(lte->sent.size() == 1);
}

TEST_CASE_FIXTURE(kinds_fixture, "what was under way on a lost link goes over the other") {
  start();
  auto lte = connect(1'000, "lte");
  auto wifi = connect(1'000, "wifi");
  schedule(of_class(1, ""));
  schedule(of_class(2, "wifi_only"));
  CHECK(arguments(wifi->sent) == names{"1", "2"});
  seen->wanted.clear();
  disconnect(wifi);
  CHECK(arguments(lte->sent) == names{"1"});
  CHECK(asked_for() == names{"wifi"});
  custody(lte, lte->sent);
  auto again = connect(1'000, "wifi");
  CHECK(arguments(again->sent) == names{"2"});
}

TEST_CASE_FIXTURE(kinds_fixture, "a class keeps to its links over a restart") {
  start();
  schedule(of_class(1, "wifi_only"));
  kill();
  start();
  pass(100);
  auto lte = connect(1'000, "lte");
  pass(100);
  CHECK(lte->sent.empty());
  auto wifi = connect(1'000, "wifi");
  pass(100);
  CHECK(arguments(wifi->sent) == names{"1"});
  custody(wifi, wifi->sent);
}

TEST_CASE_FIXTURE(kinds_fixture, "replies keep to their class as well") {
  start();
  auto lte = connect(1'000, "lte");
  auto asked = inbound(7);
  receive(lte, {asked});
  auto x = reply_header(asked);
  x.data_class = "wifi_only";
  auto errors
    = ask<std::vector<caf::error>>(queue, atom::reply_v, test::sign_batch(vehicle, {x}, {"42"}));
  REQUIRE(errors);
  REQUIRE_FALSE(errors->at(0));
  pass(50);
  CHECK(lte->sent.empty());
  auto wifi = connect(1'000, "wifi");
  CHECK(arguments(wifi->sent) == names{"42"});
}

TEST_SUITE_END();
