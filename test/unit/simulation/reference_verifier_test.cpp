// SPDX-License-Identifier: MPL-2.0
//
// The router against the reference verifier: both are asked about the same good and damaged names,
// signatures, headers, requests, replies and credentials, and must accept the same. A disagreement
// is a fault in one of them; the documents say in which.

#include "messages/name.hpp"
#include "messages/wire/header.hpp"
#include "test/unit/simulation/reference_damage.hpp"
#include "tools/simulation/reference_verifier.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace test;
namespace reference = rvi::simulation::reference;

namespace {

request_header plain_request() {
  request_header x;
  x.source = "jlr.com/vin/1234/services/player";
  x.target = "rpc:jlr.com/cloud/media_server/x";
  x.created_ms = now_ms;
  x.expires_ms = now_ms + 1;
  x.credential_hash = std::string(32, 'c');
  x.arguments_sha256 = std::string(32, 'a');
  return x;
}

} // namespace

TEST_SUITE_BEGIN("reference");

TEST_CASE("roots have the golden bytes of the crypto tests") {
  // The tree over "message 0", …: batch_id 00..0f, credential c8..e7, salt key 64..83.
  auto counting = [](size_t n, int first) {
    std::string result;
    for (size_t i = 0; i < n; ++i)
      result += static_cast<char>(first + static_cast<int>(i));
    return result;
  };
  crypto::digest credential;
  std::copy_n(counting(32, 200).begin(), 32, credential.begin());
  for (auto [n, golden] :
       {std::pair{1u, "40256438bb25c1403d3e9879efa392be6908614150e5e14cc62ea47bb90b330c"},
        std::pair{3u, "2cfd6ecea728c8a9bf91b62bc7c302a632e7d971510582545546042cd98c14ed"},
        std::pair{5u, "3df88889ddce6c89edbc3bf7bc44c0303f91a933a12bea3b1aacf7f66e28c9af"}}) {
    std::vector<std::string> texts;
    for (uint32_t i = 0; i < n; ++i)
      texts.push_back("message " + std::to_string(i));
    crypto::batch_tree tree{
      {texts.begin(), texts.end()}, credential, 1, counting(16, 0), counting(32, 100)};
    for (uint32_t i = 0; i < n; ++i) {
      auto root = tree.signed_with(crypto::algorithm::ed25519, std::string(64, 's'));
      auto x = raw_of(root, tree.proof(i), texts[i], "");
      CHECK(reference::shape_of_proof(x).empty());
      CHECK(reference::hex(reference::root_of(x)) == golden);
    }
  }
}

TEST_CASE("frames of several items give the paths that each has alone") {
  dice roll{11};
  tally seen;
  for (int i = 0; i < 2'000; ++i) {
    auto n = static_cast<uint32_t>(1 + roll.below(20));
    std::vector<std::string> texts(n, "text");
    crypto::batch_tree tree{
      {texts.begin(), texts.end()}, crypto::digest{}, 1, roll.bytes(16), roll.bytes(32)};
    auto root = tree.signed_with(crypto::algorithm::ed25519, std::string(64, 's'));
    std::vector<crypto::leaf_proof> proofs;
    for (uint32_t k = 0; k < n; ++k)
      if (roll.below(3) > 0 || (k + 1 == n && proofs.empty()))
        proofs.push_back(tree.proof(k));
    std::vector<const crypto::leaf_proof*> chosen;
    std::vector<crypto::leaf> leaves;
    std::vector<reference::raw_request> items;
    for (auto& x : proofs) {
      chosen.push_back(&x);
      leaves.push_back({x.index, x.salt, "text"});
      items.push_back(raw_of(root, x, "text", ""));
      items.back().path.clear();
    }
    auto missing = crypto::missing_nodes(
      n, chosen, std::vector<std::string_view>(proofs.size(), "text"), root.batch_id);
    auto damaged = roll.below(4);
    if (damaged == 1 && !missing.empty())
      missing.erase(missing.begin() + static_cast<long>(roll.below(missing.size())));
    else if (damaged == 2)
      missing.push_back(roll.bytes(32));
    else if (damaged == 3 && !missing.empty())
      missing.front().pop_back();
    auto whole = reference::with_paths(items, missing);
    seen.add(!!crypto::root_from_leaves(root, leaves, missing), !!whole, "a frame");
    for (size_t k = 0; whole && k < proofs.size(); ++k)
      CHECK((*whole)[k].path == proofs[k].path);
  }
  seen.conclude(2'000);
}

TEST_CASE("names and patterns are normalised alike") {
  dice roll{1};
  tally seen;
  const std::vector<std::string> seeds = {"rpc:JLR.com/vin/1234/services/player",
                                          "message:jlr.com/cloud/log",
                                          "metric:a/b/c",
                                          "jlr.com/backend/+447412123123/sms",
                                          "a.b-c.d1/~x_y/me@host:80/-.",
                                          "+:jlr.com/cloud/+",
                                          "rpc:+/vin/+/services/#",
                                          "jlr.com/vin/+/",
                                          "jlr.com",
                                          "a/b:c/d",
                                          "x/+1234567890123456/y",
                                          "jlr.com/sota/+12+3",
                                          std::string(63, 'a') + ".b/c/d"};
  for (int i = 0; i < 30'000; ++i) {
    auto text = roll.pick(seeds);
    for (auto n = roll.below(4); n > 0; --n)
      damage_text(text, roll);
    auto name = normalise_name(text);
    auto other = reference::normalise(text);
    seen.add(name && other ? *name == *other : !!name, !!other, "name " + text);
    auto pattern = normalise_pattern(text);
    auto other_pattern = reference::normalise_pattern(text);
    seen.add(pattern && other_pattern ? *pattern == *other_pattern : !!pattern, !!other_pattern,
             "pattern " + text);
  }
  for (size_t size = 2'040; size < 2'056; ++size)
    for (std::string prefix : {"a/b/", "rpc:a/b/", "a/b//", "+:a/+/"})
      for (std::string end : {"", "/", "/#"}) {
        auto text = prefix + std::string(size - prefix.size() - end.size(), 'x') + end;
        seen.add(!!normalise_name(text), !!reference::normalise(text), "name " + prefix);
        seen.add(!!normalise_pattern(text), !!reference::normalise_pattern(text),
                 "pattern " + prefix + end);
      }
  seen.conclude(60'000);
}

TEST_CASE("patterns cover the same names") {
  dice roll{2};
  tally seen;
  const std::vector<std::string> levels
    = {"a", "b", "a", "b", "+", "#", "sota", "admin", "$i", "+49", "a+", "", "x:y", "adminx"};
  const std::vector<std::string> types = {"", "", "rpc:", "message:", "+:", "metric:"};
  auto draw = [&] {
    auto result = roll.pick(types) + roll.pick(levels);
    for (auto n = roll.below(5); n > 0; --n)
      result += "/" + roll.pick(levels);
    return result;
  };
  // A name that is near the pattern: wildcards filled in, levels added or taken.
  auto near = [&](std::string pattern) {
    if (pattern.starts_with("+:"))
      pattern.erase(0, roll.below(2) == 0 ? 1 : 2);
    if (pattern.starts_with(":"))
      pattern.insert(0, "rpc");
    if (auto at = pattern.find_first_of("+#"); at != std::string::npos && at + 3 > pattern.size())
      pattern.replace(at, 1, roll.pick(levels));
    for (auto n = roll.below(3); n > 0; --n)
      pattern += "/" + roll.pick(levels);
    if (roll.below(8) == 0)
      damage_text(pattern, roll);
    return pattern;
  };
  for (int i = 0; i < 60'000; ++i) {
    auto pattern = normalise_pattern(draw());
    if (!pattern)
      continue;
    for (auto& name : {draw(), near(*pattern), near(*pattern)})
      seen.add(covers(*pattern, name), reference::covers(*pattern, name),
               *pattern + " covers " + name);
  }
  seen.conclude(15'000);
}

TEST_CASE("signatures hold alike, strictly") {
  dice roll{3};
  tally seen;
  auto ask
    = [&](const std::string& spki, const std::string& message, const std::string& signature) {
        auto key = crypto::public_key::from_spki(spki);
        seen.add(key && key->verify(message, signature),
                 reference::check_signature(spki, message, signature), crypto::hex(signature));
      };
  for (auto& key : {ed25519_key(1), ed25519_key(2), crypto::test::p256_key()})
    for (int i = 0; i < 300; ++i) {
      auto message = roll.bytes(roll.below(40));
      auto signature = *key.sign(message);
      auto spki = key.public_part().spki();
      auto damaged = roll.below(4);
      if (damaged == 1)
        flip(signature, roll);
      else if (damaged == 2)
        flip(spki, roll);
      else if (damaged == 3 && !message.empty())
        flip(message, roll);
      ask(spki, message, signature);
    }
  // Points of small order and y from p on, as key and as R.
  auto key = ed25519_key(1);
  auto prefix = key.public_part().spki().substr(0, 12);
  const std::string f(60, 'f');
  const std::string o(60, '0');
  for (auto& text :
       {"0000" + o, "0100" + o, "ecff" + f.substr(2) + "7f", "ecff" + f,
        "edff" + f.substr(2) + "7f", "eeff" + f, "0200" + o, "0300" + o,
        std::string{"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
        std::string{"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"}}) {
    auto point = *crypto::unhex(text);
    ask(prefix + point, "m", point + std::string(32, '\0'));
    ask(prefix + point, "m", *key.sign("m"));
    ask(key.public_part().spki(), "m", point + key.sign("m")->substr(32));
  }
  seen.conclude(900);
}

TEST_CASE("headers are read alike, whoever damaged them") {
  dice roll{4};
  tally seen;
  for (int i = 0; i < 60'000; ++i) {
    auto bytes = odd_header(roll, roll.below(3), roll.below(3));
    auto judged = reference::judge_header(bytes);
    seen.add(!!wire::decode_header(bytes), !!judged, crypto::hex(bytes) + " " + judged.why);
  }
  seen.conclude(60'000);
}

TEST_CASE("requests are judged alike") {
  world w;
  dice roll{5};
  tally seen;
  for (int i = 0; i < 1'000; ++i) {
    auto& sender = roll.pick(w.senders);
    auto good = w.signed_requests(sender, roll);
    for (int k = 0; k < 40; ++k) {
      auto x = roll.pick(good);
      for (auto n = roll.below(3); n > 0; --n)
        damage(x, roll, w);
      auto judged = reference::judge_request(x, w.cloud_belief, w.check());
      seen.add(w.router_takes_request(x), !!judged, judged.why);
    }
  }
  seen.conclude(40'000);
}

TEST_CASE("replies are judged alike") {
  world w;
  dice roll{6};
  tally seen;
  for (int i = 0; i < 400; ++i) {
    auto asked = w.own_request(roll);
    auto other = w.own_request(roll);
    auto good = w.signed_replies(asked, roll.pick(w.answerers), roll);
    for (int k = 0; k < 30; ++k) {
      auto x = roll.pick(good);
      for (auto n = roll.below(3); n > 0; --n)
        damage(x, roll, w);
      auto& request = roll.below(12) == 0 ? other : asked;
      auto judged = reference::judge_reply(x, request, w.vehicle_belief, w.check());
      seen.add(w.router_takes_reply(x, request), !!judged, judged.why);
    }
  }
  seen.conclude(12'000);
}

TEST_CASE("credentials are judged alike") {
  world w;
  dice roll{7};
  tally seen;
  for (int i = 0; i < 4'000; ++i) {
    auto text = odd_credential(w, roll);
    auto judged = reference::judge_credential(text, w.cloud_belief, w.check());
    auto x = accept_credential(text, w.cloud_rights.anchors, now_ms);
    auto taken = x && !w.cloud_rights.check_standing(**x, now_ms);
    seen.add(taken, !!judged, text + " " + judged.why);
  }
  seen.conclude(4'000);
}

// Below: where the router once accepted what the documents refuse.

TEST_CASE("no unknown field passes, nor a known number in another wire type") {
  auto header = wire::encode_header(plain_request());
  REQUIRE(wire::decode_header(header));
  CHECK_FALSE(wire::decode_header(header + "\xa8\x01\x06")); // target_uid = 6, as a varint
  auto entry = wire::encode_announced({"jlr.com/cloud/media_server", 5, false}, node_uid{1});
  REQUIRE(wire::decode_announced(entry));
  CHECK_FALSE(wire::decode_announced(entry + "\x25\1\1\1\1")); // available, as a fixed32
}

TEST_CASE("the user of on_behalf_of has 16 bytes (rvi.proto)") {
  auto header = with_field(wire::encode_header(plain_request()), 15, "\x0a\x01u");
  CHECK_FALSE(reference::judge_header(header));
  CHECK_FALSE(wire::decode_header(header));
}

TEST_CASE("a source has no type (rvi.proto)") {
  auto x = plain_request();
  x.source = "rpc:jlr.com/vin/1234/services/player";
  CHECK_FALSE(wire::decode_header(wire::encode_header(x)));
}

TEST_CASE("a request for another owner is not run here (decisions 3)") {
  world w;
  dice roll{8};
  auto& from = w.senders.front();
  auto own = std::string{crypto::view(w.cloud_rights.own_key.uid())};
  CHECK(w.router_takes_request(w.signed_request(from, own, roll)));
  CHECK(reference::judge_request(w.signed_request(from, own, roll), w.cloud_belief, w.check()));
  CHECK_FALSE(w.router_takes_request(w.signed_request(from, std::string(16, 'x'), roll)));
}

TEST_CASE("usr restricts who may ask (security design 3.2.6)") {
  world w;
  dice roll{9};
  auto from = w.restricted_sender("\"usr\":[\"owner\"]");
  auto x = w.signed_request(from, "", roll);
  CHECK(reference::judge_request(x, w.cloud_belief, w.check()).what
        == reference::verdict::no_right);
  CHECK_FALSE(w.router_takes_request(x));
}

TEST_CASE("a node whose own credential has ended takes no requests (HLD 7.2)") {
  world w;
  dice roll{10};
  w.end_own_credential();
  auto x = w.signed_request(w.senders.front(), "", roll);
  CHECK(reference::judge_request(x, w.cloud_belief, w.check()).what
        == reference::verdict::wrong_target);
  CHECK_FALSE(w.router_takes_request(x));
}

TEST_CASE("whoever carried it has the claim for its target (decisions 4)") {
  world w;
  dice roll{11};
  auto x = w.signed_request(w.senders.front(), "", roll);
  auto relay = w.restricted_sender("\"relay\":[\"jlr.com/cloud\"]");
  auto elsewhere = w.restricted_sender("\"relay\":[\"jlr.com/vin\"]");
  auto uid = relay.key.public_part().uid();
  auto judge = [&] { return reference::judge_request(x, w.cloud_belief, w.check()).what; };
  CHECK(judge() == reference::verdict::valid);
  x.route = {std::string{crypto::view(uid)}};
  CHECK(judge() == reference::verdict::no_right);
  w.cloud_belief.relay_credentials = {elsewhere.credential->text};
  CHECK(judge() == reference::verdict::no_right);
  w.cloud_belief.relay_credentials.push_back(relay.credential->text);
  CHECK(judge() == reference::verdict::valid);
  x.route.push_back(x.route.front());
  CHECK(judge() == reference::verdict::no_right);
  x.route = {w.cloud_belief.own_uid};
  CHECK(judge() == reference::verdict::no_right);
}

TEST_SUITE_END();
