// SPDX-License-Identifier: MPL-2.0
//
// What the router and the reference verifier are asked about: a small organization with good and
// bad senders, and ways to damage what they send. Everything comes from fixed seeds.

#pragma once

#include "messages/rights.hpp"
#include "test/support/authority.hpp"
#include "test/unit/crypto/keys.hpp"
#include "tools/simulation/reference_tree.hpp"
#include "tools/simulation/reference_verifier.hpp"

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace test {

namespace reference = rvi::simulation::reference;

inline constexpr uint64_t now_ms = 1'795'000'001'000;

/// Seeded choices; the same on every machine.
struct dice {
  explicit dice(uint64_t seed) : engine(seed) {}
  uint64_t below(uint64_t n) { return engine() % n; }
  std::string bytes(size_t n) {
    std::string result;
    while (result.size() < n)
      result += static_cast<char>(engine());
    return result;
  }
  template <class T>
  const T& pick(const std::vector<T>& xs) {
    return xs[below(xs.size())];
  }
  std::mt19937_64 engine;
};

/// Counts answers and says the first disagreements.
class tally {
public:
  void add(bool router, bool other, const std::string& what);
  /// Enough was asked, both answers were seen, no disagreement.
  void conclude(size_t asked_min) const;

private:
  size_t asked_ = 0;
  size_t accepted_ = 0;
  size_t disagreed_ = 0;
  std::set<std::string> said_;
};

rvi::crypto::private_key ed25519_key(char seed);

void flip(std::string& x, dice& roll);
void damage_text(std::string& x, dice& roll);

reference::raw_request
raw_of(const rvi::crypto::batch_root& root, const rvi::crypto::leaf_proof& proof,
       std::string header, std::string arguments);

/// A header after `meanings` changes of fields and `encodings` changes of bytes.
std::string odd_header(dice& roll, uint64_t meanings, uint64_t encodings);

/// A node that sends: its key and one of its credentials.
struct sender {
  rvi::crypto::private_key key;
  rvi::credential_ptr credential;
};

/// A cloud that gets requests and a vehicle that gets replies.
class world {
public:
  world();

  /// One tree of requests of this sender; some of them are wrong before they are signed.
  std::vector<reference::raw_request> signed_requests(const sender& from, dice& roll) const;
  /// One good rpc, but for `target_uid` perhaps.
  reference::raw_request
  signed_request(const sender& from, const std::string& target_uid, dice& roll) const;
  /// A known sender whose credential has one more claim, `"name":value`.
  sender restricted_sender(const std::string& claim);
  /// The cloud's own credential was valid until a second ago.
  void end_own_credential();
  /// An rpc that the vehicle made.
  reference::raw_request own_request(dice& roll) const;
  std::vector<reference::raw_request>
  signed_replies(const reference::raw_request& request, const sender& from, dice& roll) const;

  /// What the router's own functions say, in the order in which they are used.
  rvi::ec router_says(const reference::raw_request& x) const;
  bool router_takes_request(const reference::raw_request& x) const;
  bool
  router_takes_reply(const reference::raw_request& x, const reference::raw_request& request) const;

  /// The reference's own signature check, each question computed once.
  reference::signature_check check();

  authority root;
  authority stranger;
  authority other{"other.com"};
  rvi::crypto::private_key vehicle = ed25519_key(4);
  std::vector<sender> senders;
  std::vector<sender> answerers;
  rvi::rights cloud_rights;
  rvi::rights vehicle_rights;
  reference::belief cloud_belief;
  reference::belief vehicle_belief;

private:
  sender
  add(const rvi::crypto::private_key& key, rvi::credential_claims claims, const authority& issuer);
  void add_senders();
  void add_answerers();
  void settle_rights();
  void teach(rvi::rights& x, reference::belief& y) const;

  std::map<std::string, bool> answers_;
  uint64_t credentials_ = 0;
};

/// Damages what travels; some damage leaves it good.
void damage(reference::raw_request& x, dice& roll, const world& w);

/// A credential with odd claims, header or text; about every third is good.
std::string odd_credential(const world& w, dice& roll);

} // namespace test
