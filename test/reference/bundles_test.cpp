// SPDX-License-Identifier: MPL-2.0
//
// Trust bundles: each as the next of one that is known, and whole chains as a node reads them.

#include "test/reference/agreement.hpp"
#include "test/reference/federation.hpp"
#include "test/reference/odd_text.hpp"
#include "test/unit/crypto/keys.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;
using namespace test;

namespace {

constexpr uint64_t now_s = now_ms / 1'000;

const std::vector<crypto::private_key>& keys() {
  static const std::vector<crypto::private_key> result
    = {ed25519_key(50), ed25519_key(51), ed25519_key(52),
       ed25519_key(53), ed25519_key(54), crypto::test::p256_key()};
  return result;
}

/// A bundle as both read it.
struct known_bundle {
  trust_bundle_ptr router;
  reference::bundle other;
};

std::optional<known_bundle> read(const std::string& text) {
  auto x = parse_trust_bundle(text);
  std::string why;
  auto y = reference::read_bundle(text, why);
  return x && y ? std::optional{known_bundle{*x, *y}} : std::nullopt;
}

/// What a bundle is to say, before it is written down.
struct plan {
  bool delegates = false;
  std::string organization = "jlr.com";
  uint64_t sequence = 1;
  std::string previous; // bytes
  uint64_t threshold = 1;
  std::vector<size_t> roots; // of keys()
  std::vector<std::vector<std::string>> uses;
  std::vector<size_t> signers;
};

bool trusts(const plan& x, size_t i) {
  return std::find(x.uses[i].begin(), x.uses[i].end(), "trust") != x.uses[i].end();
}

/// Roots for this one: the first of them sign bundles, the others what comes.
void draw_roots(plan& x, dice& roll) {
  std::vector<size_t> order = {0, 1, 2, 3, 4};
  for (auto& at : order)
    std::swap(at, order[roll.below(order.size())]);
  if (roll.below(6) == 0)
    order[roll.below(3)] = 5; // ES256, which is slow
  x.threshold = 1 + (roll.below(3) == 0 ? 1 : 0);
  auto n = x.threshold + roll.below(2);
  for (size_t i = 0; i < n + roll.below(2); ++i) {
    x.roots.push_back(order[i]);
    x.uses.push_back(i < n ? std::vector<std::string>{"cred", "crl", "trust"}
                           : std::vector<std::string>{roll.below(2) == 0 ? "cred" : "crl"});
    if (i < n && roll.below(4) == 0)
      x.uses.back() = {"trust"};
  }
  if (roll.below(25) == 0)
    x.threshold += roll.below(3) - 1;
  if (roll.below(15) == 0) {
    x.roots.clear();
    x.uses.clear();
    x.threshold = 1;
  }
}

/// Enough to be accepted, in most cases.
void draw_signers(plan& x, const reference::bundle* before, dice& roll) {
  auto add = [&](size_t key) {
    if (std::find(x.signers.begin(), x.signers.end(), key) == x.signers.end())
      x.signers.push_back(key);
  };
  size_t own = 0;
  for (size_t i = 0; i < x.roots.size() && own < x.threshold; ++i)
    if (trusts(x, i)) {
      add(x.roots[i]);
      ++own;
    }
  size_t old = 0;
  for (size_t i = 0; before && i < keys().size() && old < before->threshold; ++i) {
    auto root = before->roots.find(crypto::hex(crypto::view(keys()[i].public_part().uid())));
    if (root == before->roots.end() || !root->second.bundles)
      continue;
    add(i);
    ++old;
  }
  if (roll.below(8) == 0 && !x.signers.empty())
    x.signers.erase(x.signers.begin() + static_cast<long>(roll.below(x.signers.size())));
  if (roll.below(8) == 0 || x.signers.empty())
    add(roll.below(keys().size()));
}

/// The next of `before`, or a first one; every `oddity`th is told something wrong.
plan draw_plan(const reference::bundle* before, uint64_t oddity, dice& roll) {
  plan x;
  draw_roots(x, roll);
  x.delegates = roll.below(5) == 0;
  draw_signers(x, before, roll);
  if (before) {
    x.organization = before->organization;
    x.sequence = before->sequence + 1;
    x.previous = before->digest;
  }
  if (roll.below(oddity) == 0)
    x.organization = roll.below(2) == 0 ? "other.com" : "jlr.com/x";
  if (roll.below(oddity) == 0)
    x.sequence += roll.below(4) - 2;
  if (roll.below(oddity) == 0)
    x.previous = x.previous.empty() || roll.below(2) == 0 ? roll.bytes(32) : "";
  if (roll.below(oddity * 2) == 0)
    x.previous = roll.bytes(31 + roll.below(3));
  return x;
}

std::string roots_of(const plan& x, uint64_t oddity, dice& roll) {
  std::vector<std::string> result;
  for (size_t i = 0; i < x.roots.size(); ++i) {
    std::vector<std::string> uses;
    for (auto& use : x.uses[i])
      uses.push_back(quoted(use));
    auto jwk = keys()[x.roots[i]].public_part().jwk();
    if (roll.below(oddity * 4) == 0)
      jwk = R"({"crv":"Ed25519","kty":"OKP","x":")" + odd_point(roll) + "\"}";
    members root = {{"jwk", jwk}, {"use", list_of(uses)}};
    if (roll.below(oddity * 4) == 0)
      make_odd(root, roll);
    result.push_back(text_of(root, roll));
  }
  if (roll.below(oddity * 4) == 0 && !result.empty())
    result.push_back(result.front());
  if (roll.below(oddity * 8) == 0)
    for (auto n = 14 + roll.below(4); result.size() < n;) {
      auto key = ed25519_key(static_cast<char>(60 + result.size())).public_part().jwk();
      result.push_back("{\"jwk\":" + key + ",\"use\":[\"cred\"]}");
    }
  return list_of(result);
}

std::string delegates_of(const std::string& organization, uint64_t oddity, dice& roll) {
  const std::vector<std::string> paths
    = {"", "/vin/+/services", "/cloud/#", "/VIN", "/+44x", "/", "/#/x", "//", "/admin"};
  std::vector<std::string> result;
  for (auto n = 1 + roll.below(3) + (roll.below(oddity) == 0 ? 14 : 0); n > 0; --n) {
    auto to = roll.below(oddity) == 0
                ? roll.pick(std::vector<std::string>{organization, "x y", ""})
                : "org" + std::to_string(roll.below(oddity) + n * 100) + ".com";
    members x = {{"org", quoted(to)}, {"exp", std::to_string(now_s + roll.below(3))}};
    for (auto list : {"sources", "destinations", "relay"}) {
      std::vector<std::string> patterns(roll.below(3));
      if (roll.below(oddity * 4) == 0)
        patterns.resize(30 + roll.below(4));
      for (auto& each : patterns)
        each = quoted((roll.below(oddity * 4) == 0 ? "other.com" : organization)
                      + paths[roll.below(roll.below(oddity) == 0 ? paths.size() : 3)]);
      if (!patterns.empty() || roll.below(oddity * 4) == 0)
        x.emplace_back(list, list_of(patterns));
    }
    if (roll.below(oddity * 4) == 0)
      make_odd(x, roll);
    result.push_back(text_of(x, roll));
  }
  if (roll.below(oddity * 2) == 0)
    result.push_back(result.front());
  return list_of(result);
}

std::string payload_of(const plan& x, uint64_t oddity, dice& roll) {
  members claims
    = {{"ver", "1"}, {"org", quoted(x.organization)}, {"seq", std::to_string(x.sequence)}};
  if (!x.previous.empty())
    claims.emplace_back("prev", quoted(crypto::base64url(x.previous)));
  auto until = roll.below(oddity) == 0 ? now_s + roll.below(3) - 1 : now_s + 86'400;
  claims.emplace_back("iat", std::to_string(now_s));
  claims.emplace_back("exp", std::to_string(until));
  claims.emplace_back("threshold", std::to_string(x.threshold));
  claims.emplace_back("roots", roots_of(x, oddity, roll));
  if (x.delegates)
    claims.emplace_back("delegates", delegates_of(x.organization, oddity, roll));
  if (roll.below(oddity) == 0)
    make_odd(claims, roll);
  return text_of(claims, roll);
}

/// Protected header and signature as they should be.
std::pair<std::string, std::string> plain_signature(const signing& by, const std::string& payload) {
  auto kid = crypto::hex(crypto::view(by.key->public_part().uid()));
  auto text = *crypto::sign_jws(*by.key, by.type, kid, *crypto::unbase64url(payload));
  return {text.substr(0, text.find('.')), text.substr(text.rfind('.') + 1)};
}

std::string signatures_of(const plan& x, const std::string& payload, uint64_t oddity, dice& roll) {
  std::vector<std::string> result;
  for (auto i : x.signers) {
    signing by{&keys()[i], "rvi-bundle+jwt", nullptr};
    if (roll.below(oddity * 4) == 0)
      by.named = &keys()[roll.below(keys().size())];
    // Chains, which are to get far, draw odd ones less often.
    auto [header, signature]
      = roll.below(oddity) < 12 ? odd_signature(by, payload, roll) : plain_signature(by, payload);
    members entry = {{"protected", quoted(header)}, {"signature", quoted(signature)}};
    if (roll.below(oddity * 4) == 0)
      make_odd(entry, roll);
    result.push_back(text_of(entry, roll));
    if (roll.below(oddity * 4) == 0)
      result.push_back(result.front());
  }
  return list_of(result);
}

/// Written down and signed, more or less right.
std::string text_of(const plan& x, uint64_t oddity, dice& roll) {
  auto payload = crypto::base64url(payload_of(x, oddity, roll));
  members outer
    = {{"payload", quoted(payload)}, {"signatures", signatures_of(x, payload, oddity, roll)}};
  if (roll.below(oddity * 2) == 0)
    make_odd(outer, roll);
  auto result = text_of(outer, roll);
  if (roll.below(oddity * 2) == 0)
    damage_symbols(result, roll);
  return result;
}

/// Bundles that a node may hold, made by the router's own functions.
std::vector<known_bundle> make_known() {
  std::vector<known_bundle> result;
  auto make = [&](const known_bundle* before, uint64_t sequence, uint32_t threshold,
                  const std::vector<size_t>& roots, const std::vector<size_t>& signers) {
    bundle_claims x;
    x.organization = "jlr.com";
    x.sequence = sequence;
    if (sequence > 1)
      x.previous = before ? before->router->digest : std::string(32, 'p');
    x.issued_s = now_s;
    x.expires_s = now_s + 1;
    x.threshold = threshold;
    for (auto i : roots)
      x.roots.push_back({keys()[i].public_part(), true, true, i != 4});
    std::vector<const crypto::private_key*> by;
    for (auto i : signers)
      by.push_back(&keys()[i]);
    auto made = issue_trust_bundle(x, by);
    REQUIRE_MESSAGE(made, describe(made.error()));
    auto both = read((*made)->text);
    REQUIRE(both);
    result.push_back(*both);
  };
  make(nullptr, 1, 1, {0, 4}, {0});
  make(nullptr, 1, 2, {0, 1, 2, 4}, {0, 1});
  make(nullptr, 1, 1, {1, 5}, {5});
  make(&result[1], 2, 2, {1, 2, 3}, {0, 1, 2});
  make(nullptr, 7, 1, {3}, {3});
  make(nullptr, UINT64_MAX, 1, {0}, {0});
  make(&result[0], 2, 1, {}, {0}); // has ended itself
  return result;
}

ec code(const caf::error& x) {
  return code_of(x);
}

bool same_delegates(const std::vector<bundle_delegate>& xs,
                    const std::vector<reference::delegate>& ys) {
  return std::equal(xs.begin(), xs.end(), ys.begin(), ys.end(), [](auto& x, auto& y) {
    return x.organization == y.organization && x.sources == y.sources
           && x.destinations == y.destinations && x.relay == y.relay && x.expires_s == y.expires_s;
  });
}

/// The keys that speak for the organization, and for what.
bool same_keys(const trust_anchors& anchors, const reference::bundle& last) {
  for (auto& key : keys()) {
    auto kid = crypto::hex(crypto::view(key.public_part().uid()));
    auto root = last.roots.find(kid);
    bool listed = root != last.roots.end();
    if (!!anchors.find(last.organization, kid, key_use::credentials)
          != (listed && root->second.credentials)
        || !!anchors.find(last.organization, kid, key_use::lists) != (listed && root->second.lists))
      return false;
  }
  return true;
}

} // namespace

TEST_CASE("trust bundles") {
  auto known = make_known();
  agreement first{"pinned bundles", 0};
  agreement both{"bundles", 120};
  for (auto i = both.first(); i < both.last(); ++i) {
    auto roll = both.dice_of(i);
    auto& before = roll.pick(known);
    auto text
      = text_of(draw_plan(roll.below(20) == 0 ? nullptr : &before.other, 15, roll), 15, roll);
    std::string why;
    auto y = reference::read_bundle(text, why);
    auto x = parse_trust_bundle(text);
    if (!x || !y) {
      both.add(i, x ? ec::none : code(x.error()),
               y ? reference::reasons{} : reference::reasons{"malformed"}, text, why);
      continue;
    }
    both.same(i,
              (*x)->organization == y->organization && (*x)->sequence == y->sequence
                && (*x)->digest == y->digest && (*x)->threshold == y->threshold
                && (*x)->previous == y->previous && (*x)->roots.size() == y->roots.size()
                && same_delegates((*x)->delegates, y->delegates),
              text, "what it claims");
    both.add(i, code(verify_step(*before.router, **x)),
             reference::judge_step(before.other, *y, reference::check_signature), text,
             "as a step");
    first.add(i, code(verify_own_roots(**x)),
              reference::judge_pinned(*y, reference::check_signature), text, "as the first");
  }
  both.conclude(
    {ec::malformed, ec::replay, ec::not_found, ec::unauthorized, ec::signature_invalid});
  first.conclude({ec::signature_invalid});
}

TEST_CASE("chains of trust bundles") {
  agreement both{"chains", 40};
  for (auto i = both.first(); i < both.last(); ++i) {
    auto roll = both.dice_of(i);
    std::string lines;
    std::optional<known_bundle> last;
    for (auto n = 1 + roll.below(4); n > 0; --n) {
      auto line = text_of(draw_plan(last ? &last->other : nullptr, 60, roll), 60, roll);
      if (auto next = read(line))
        last = next;
      lines += line + "\n";
    }
    if (roll.below(20) == 0)
      lines.pop_back();
    if (roll.below(20) == 0)
      damage_symbols(lines, roll);
    auto walked = reference::walk(lines, reference::check_signature);
    trust_anchors anchors;
    auto taken = code(anchors.add(lines));
    both.add(i, taken, walked ? reference::reasons{} : reference::reasons{"config_invalid"}, lines,
             "as a file");
    if (taken != ec::none || !walked)
      continue;
    auto bundle = anchors.bundle(walked->organization);
    both.same(i, bundle && bundle->digest == walked->digest && same_keys(anchors, *walked), lines,
              "whom to trust");
  }
  both.conclude({ec::config_invalid});
}
