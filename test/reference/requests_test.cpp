// SPDX-License-Identifier: MPL-2.0
//
// Requests and replies in signed batches, their headers, and bare signatures.

#include "messages/wire/header.hpp"
#include "test/reference/agreement.hpp"
#include "test/reference/odd_text.hpp"
#include "test/unit/crypto/keys.hpp"
#include "test/unit/crypto/speccheck.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace test;

namespace {

/// The codes of rights::check_remote, and of what comes before and after it.
reference::reasons reasons_of(const reference::judgement& x) {
  using reference::verdict;
  switch (x.what) {
    case verdict::valid:
      return {};
    case verdict::malformed:
    case verdict::wrong_arguments:
      return {"malformed"};
    case verdict::expired:
      return {"timeout"};
    case verdict::unknown_credential:
    case verdict::bad_credential: // a node keeps none that does not verify
    case verdict::unknown_issuer:
      return {"unknown_credential"};
    case verdict::early_credential:
      return {"credential_not_yet_valid"};
    case verdict::ended_credential:
      return {"credential_expired"};
    case verdict::revoked:
      return {"revoked"};
    case verdict::wrong_target: // the owner meant and the name are one step, in either order
      return {"unknown_target", "unauthorized"};
    case verdict::bad_signature:
      return {"signature_invalid"};
    default:
      return {"unauthorized"};
  }
}

std::string replay_of(const reference::raw_request& x) {
  auto result = x.header + "|" + x.arguments + "|" + x.batch_id + "|" + x.signature + "|" + x.salt;
  for (auto& hash : x.path)
    result += "|" + hash;
  return result;
}

/// The proof of another good item, or the signature in another form.
void damage_more(reference::raw_request& x, const reference::raw_request& another, dice& roll) {
  switch (roll.below(5)) {
    case 0:
      x.path = another.path;
      break;
    case 1:
      x.leaf_index = another.leaf_index;
      x.salt = another.salt;
      break;
    case 2:
      x.arguments = another.arguments;
      break;
    case 3:
      x.header = another.header;
      break;
    default:
      if (x.signature.size() == 64)
        make_signature_odd(x.signature,
                           x.algorithm == 2 ? crypto::algorithm::es256 : crypto::algorithm::ed25519,
                           roll);
  }
}

} // namespace

TEST_CASE("requests") {
  world w;
  w.senders.push_back(w.restricted_sender(R"("usr":["owner",""])"));
  agreement both{"requests", 330};
  auto check = w.check();
  constexpr uint64_t per_tree = 4;
  for (auto i = both.first(); i < both.last(); ++i) {
    auto tree = both.dice_of(i / per_tree);
    auto good = w.signed_requests(tree.pick(w.senders), tree);
    dice roll{tree.engine() + i};
    auto x = roll.pick(good);
    if (roll.below(3) == 0)
      damage(x, roll, w);
    if (roll.below(8) == 0)
      damage_more(x, roll.pick(good), roll);
    auto judged = reference::judge_request(x, w.cloud_belief, check);
    both.add(i, w.router_says(x), reasons_of(judged), replay_of(x), judged.why);
  }
  both.conclude({ec::malformed, ec::timeout, ec::unknown_credential, ec::credential_not_yet_valid,
                 ec::credential_expired, ec::revoked, ec::unknown_target, ec::unauthorized,
                 ec::signature_invalid});
}

TEST_CASE("replies") {
  world w;
  agreement both{"replies", 60};
  auto check = w.check();
  for (auto i = both.first(); i < both.last(); ++i) {
    auto roll = both.dice_of(i);
    auto asked = w.own_request(roll);
    auto other = w.own_request(roll);
    auto x = roll.pick(w.signed_replies(asked, roll.pick(w.answerers), roll));
    if (roll.below(3) == 0)
      damage(x, roll, w);
    auto& request = roll.below(12) == 0 ? other : asked;
    auto judged = reference::judge_reply(x, request, w.vehicle_belief, check);
    // The ledger drops what answers nothing, whatever is wrong with it.
    both.add(i, w.router_takes_reply(x, request) ? ec::none : ec::refused,
             judged ? reference::reasons{} : reference::reasons{"refused"}, replay_of(x),
             judged.why);
  }
  both.conclude({ec::refused});
}

TEST_CASE("headers") {
  agreement both{"headers", 90};
  for (auto i = both.first(); i < both.last(); ++i) {
    auto roll = both.dice_of(i);
    auto bytes = odd_header(roll, roll.below(3), roll.below(3));
    auto judged = reference::judge_header(bytes);
    auto x = wire::decode_header(bytes);
    both.add(i, x ? ec::none : code_of(x.error()), reasons_of(judged), bytes, judged.why);
  }
  both.conclude({ec::malformed});
}

TEST_CASE("signatures") {
  agreement both{"signatures", 20};
  auto answer = [](bool x) { return x ? ec::none : ec::signature_invalid; };
  auto reasons
    = [](bool x) { return x ? reference::reasons{} : reference::reasons{"signature_invalid"}; };
  for (auto i = both.first(); i < both.last(); ++i) {
    auto roll = both.dice_of(i);
    auto key = roll.below(4) == 0 ? crypto::test::p256_key() : ed25519_key(char(1 + roll.below(3)));
    auto message = roll.bytes(roll.below(40));
    auto signature = *key.sign(message);
    auto spki = key.public_part().spki();
    auto how = roll.below(5);
    if (how == 0)
      make_signature_odd(signature, key.public_part().algorithm(), roll);
    else if (how == 1)
      flip(spki, roll);
    else if (how == 2)
      spki.replace(12, 32, *crypto::unbase64url(odd_point(roll)));
    auto x = crypto::public_key::from_spki(spki);
    both.add(i, answer(x && x->verify(message, signature)),
             reasons(reference::check_signature(spki, message, signature)),
             spki + message + signature, "");
  }
  for (auto& x : crypto::test::speccheck) {
    auto spki = *crypto::unhex(std::string{crypto::test::ed25519_spki_prefix} + x.key);
    CHECK_MESSAGE(
      reference::check_signature(spki, *crypto::unhex(x.message), *crypto::unhex(x.signature))
        == x.answer,
      x.why);
  }
  both.conclude({ec::signature_invalid});
}
