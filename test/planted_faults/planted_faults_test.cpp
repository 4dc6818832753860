// SPDX-License-Identifier: MPL-2.0
//
// The simulator finds planted bugs: each patch of this folder puts a fault into the product, and
// within 500 seeds an invariant breaks. What is planted stands at the head of each patch.

#include "test/planted_faults/hunt.hpp"

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <map>

namespace {

using namespace rvi::planted_faults;

constexpr size_t processes = 2;
constexpr uint64_t sound_seeds_min = 3;

struct fault {
  int number = 0;
  const char* name = "";
  const char* scenario = "";
  const char* invariants = ""; // any of these is what it breaks first
};

// number, name, scenario, invariants
#define PLANTED_FAULTS(FAULT)                                                                      \
  FAULT(1, "duplicate-accepted", "radio", "I2 I3")                                                 \
  FAULT(2, "custody-before-commit", "radio", "I1 I4")                                              \
  FAULT(3, "answer-before-commit", "radio", "I7")                                                  \
  FAULT(4, "dispatch-not-durable", "radio", "I2 I4")                                               \
  FAULT(5, "handed-over-run-again", "radio", "I2")                                                 \
  FAULT(6, "revocation-ignored-at-dispatch", "theft", "I10")                                       \
  FAULT(7, "revocations-forgotten-at-start", "theft", "I10")                                       \
  FAULT(8, "expiry-ignored", "narrow", "I5")                                                       \
  FAULT(9, "ttl-grows", "narrow", "I5")                                                            \
  FAULT(10, "timeout-early", "desk", "I4")                                                         \
  FAULT(11, "timeout-wake-up-lost", "desk", "I4")                                                  \
  FAULT(12, "reply-to-another-request", "desk", "I4 I6")                                           \
  FAULT(13, "reply-to-the-wrong-node", "desk", "I4")                                               \
  FAULT(14, "in-flight-forgotten", "radio", "I1 I4 I9")                                            \
  FAULT(15, "link-up-wakes-nobody", "radio", "I1 I4")                                              \
  FAULT(16, "copy-dropped-before-custody", "radio", "I1 I4 I9")                                    \
  FAULT(17, "queue-forgotten-at-start", "radio", "I1 I4 I9")                                       \
  FAULT(18, "handed-over-forgotten-at-start", "radio", "I1 I4")                                    \
  FAULT(19, "outcome-delivered-twice", "desk", "I4")                                               \
  FAULT(20, "ids-used-again", "narrow", "I2")                                                      \
  FAULT(21, "epoch-from-the-clock", "clocks", "I11")                                               \
  FAULT(22, "channel-order-ignored", "radio", "I9")                                                \
  FAULT(23, "service-return-unnoticed", "away", "I1 I4")                                           \
  FAULT(24, "message-done-before-hand-over", "radio", "I1")                                        \
  FAULT(25, "dead-letter-dropped", "radio", "I1")                                                  \
  FAULT(26, "busy-peer-loses-request", "away", "I1")                                               \
  FAULT(27, "late-reply-accepted", "desk", "I4")                                                   \
  FAULT(28, "queue-bound-ignored", "narrow", "I8")                                                 \
  FAULT(29, "destination-not-checked", "narrow", "I3")                                             \
  FAULT(30, "failed-dial-not-tried-again", "road", "I1 I4")                                        \
  FAULT(31, "lost-link-not-asked-for", "road", "I1 I4")                                            \
  FAULT(32, "id-never-forgotten", "narrow", "I8")

#define ROW(number, name, scenario, invariants) {number, name, scenario, invariants},
const std::vector<fault> faults{PLANTED_FAULTS(ROW)};
#undef ROW

void print(int number, const std::string& name, const std::string& scenario,
           const catch_report& x) {
  std::printf("%2d %-31s | %-8s | %14s | %-9s | %4lu | %6lu\n", number, name.c_str(),
              scenario.c_str(), x.caught ? std::to_string(x.seed).c_str() : "-",
              x.caught ? x.invariant.c_str() : "-", x.runs, x.cpu_ms);
}

void print_head() {
  std::printf("%-34s | %-8s | %14s | %-9s | %4s | %6s\n", "fault", "scenario", "caught at seed",
              "invariant", "runs", "CPU ms");
}

/// Of all faults, by number; looked for once.
const std::map<int, catch_report>& reports() {
  static const auto all = [] {
    std::vector<hunt> hunts;
    for (auto& x : faults)
      hunts.push_back({x.number, x.scenario});
    auto found = run_all(hunts, processes);
    print_head();
    std::map<int, catch_report> result;
    for (size_t i = 0; i < faults.size(); ++i) {
      print(faults[i].number, faults[i].name, faults[i].scenario, found[i]);
      result[faults[i].number] = found[i];
    }
    return result;
  }();
  return all;
}

void check_caught(const fault& x) {
  auto& report = reports().at(x.number);
  INFO("seed " << report.seed << ": " << report.invariant << ": " << report.what);
  CHECK_FALSE(report.died);
  REQUIRE(report.caught);
  auto known = " " + std::string{x.invariants} + " ";
  bool expected = known.find(" " + report.invariant + " ") != std::string::npos;
  CHECK(expected);
}

} // namespace

#define CAUGHT(number, name, scenario, invariants)                                                 \
  TEST_CASE("a planted fault is caught: " name) {                                                  \
    check_caught({number, name, scenario, invariants});                                            \
  }
PLANTED_FAULTS(CAUGHT)
#undef CAUGHT

// Else an invariant that breaks would say nothing about the fault.
TEST_CASE("without a planted fault the same seeds of the same scenarios are sound") {
  std::map<std::string, uint64_t> seeds;
  for (auto& x : faults) {
    auto& needed = seeds[x.scenario];
    needed = std::max({needed, sound_seeds_min, reports().at(x.number).seed});
  }
  std::vector<hunt> hunts;
  for (auto& [scenario, needed] : seeds)
    hunts.push_back({0, scenario, needed});
  auto found = run_all(hunts, processes);
  for (size_t i = 0; i < hunts.size(); ++i) {
    auto& x = found[i];
    print(0, "none", hunts[i].scenario, x);
    INFO(hunts[i].scenario << ", seed " << x.seed << ": " << x.invariant << ": " << x.what);
    CHECK_FALSE(x.died);
    CHECK_FALSE(x.caught);
    CHECK(x.runs == hunts[i].seeds_max);
  }
}
