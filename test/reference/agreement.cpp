// SPDX-License-Identifier: MPL-2.0

#include "test/reference/agreement.hpp"

#include "runtime/crypto/crypto.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <iostream>

namespace test {

namespace {

constexpr uint64_t told_max = 5;

std::string joined(const reference::reasons& xs) {
  std::string result;
  for (auto& x : xs)
    result += (result.empty() ? "" : " or ") + x;
  return xs.empty() ? "none" : result;
}

} // namespace

agreement_options asked_for;

agreement::agreement(std::string subject, uint64_t share)
  : subject_(std::move(subject)),
    share_(share) {}

uint64_t agreement::first() const {
  return asked_for.index == UINT64_MAX ? 0 : asked_for.index;
}

uint64_t agreement::last() const {
  return asked_for.index == UINT64_MAX ? asked_for.count * share_ / 1'000 : asked_for.index + 1;
}

dice agreement::dice_of(uint64_t index) const {
  // FNV-1a of the subject: no other one draws the same.
  uint64_t mixed = 0xcbf29ce484222325;
  for (auto c : subject_)
    mixed = (mixed ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return dice{(mixed ^ asked_for.seed) * 0x9e3779b97f4a7c15 + index};
}

void agreement::tell(uint64_t index, const std::string& what, const std::string& input) {
  if (++disagreed_ > told_max)
    return;
  MESSAGE(subject_, " --seed ", asked_for.seed, " --index ", index, ": ", what, "\n  ",
          rvi::crypto::base64(input));
}

void agreement::add(uint64_t index, rvi::ec router, const reference::reasons& other,
                    const std::string& input, const std::string& why) {
  ++asked_;
  std::string code = rvi::to_string(router);
  ++verdicts_[code];
  bool agree = router == rvi::ec::none ? other.empty() : other.contains(code);
  if (!agree)
    tell(index, "the router says " + code + ", the reference " + joined(other) + " " + why, input);
}

void agreement::same(uint64_t index, bool equal, const std::string& input,
                     const std::string& what) {
  if (!equal)
    tell(index, "both accept, but " + what + " is not the same", input);
}

void agreement::conclude(const std::vector<rvi::ec>& codes) const {
  std::string line = subject_ + ": " + std::to_string(asked_);
  for (auto& [code, count] : verdicts_)
    line += ", " + (code == "none" ? "accepted" : code) + " " + std::to_string(count);
  std::cout << line << std::endl;
  CHECK(disagreed_ == 0);
  if (asked_for.index != UINT64_MAX || asked_for.count < agreement_options{}.count)
    return; // too few to have met everything
  auto met = [&](rvi::ec x) {
    auto found = verdicts_.find(rvi::to_string(x));
    return found == verdicts_.end() ? 0 : found->second;
  };
  CHECK_MESSAGE(met(rvi::ec::none) * 10 >= asked_, subject_);
  for (auto x : codes)
    CHECK_MESSAGE(met(x) > 0, subject_, " never met ", rvi::to_string(x));
}

} // namespace test
