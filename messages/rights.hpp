// SPDX-License-Identifier: MPL-2.0
//
// What a node may do and whom it believes, as one immutable snapshot: steps 15 and 16 of HLD
// chapter 8 are answered from it without a message. Authorization publishes a new one at each
// change.

#pragma once

#include "messages/access_policy.hpp"
#include "messages/credential.hpp"
#include "messages/envelope.hpp"
#include "messages/grant.hpp"
#include "messages/revocation.hpp"

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace rvi {

/// Holds the latest version of a snapshot; read from any thread.
template <class T>
class snapshot {
public:
  explicit snapshot(std::shared_ptr<const T> first) : current_(std::move(first)) {}
  std::shared_ptr<const T> load() const { return current_.load(); }
  void publish(std::shared_ptr<const T> next) { current_.store(std::move(next)); }

private:
  std::atomic<std::shared_ptr<const T>> current_;
};

/// Verified credentials of others, by hash; the least recently used goes first. Thread-safe.
class credential_cache {
public:
  explicit credential_cache(size_t credentials_max) : credentials_max_(credentials_max) {}
  credential_ptr find(const std::string& hash);
  void add(const credential_ptr& x);
  /// Drops those that the predicate does not hold for.
  void keep_if(const std::function<bool(const credential&)>& holds);
  size_t size() const;

private:
  mutable std::mutex mutex_;
  size_t credentials_max_;
  std::list<credential_ptr> order_; // most recent first
  std::unordered_map<std::string, std::list<credential_ptr>::iterator> entries_;
};

struct rights_limits {
  uint64_t clock_skew_ms = uint64_t{5} * 60 * 1'000;
  uint64_t ttl_ms_max = 30ULL * 24 * 3'600 * 1'000;
};

/// What a request rests on.
struct chosen_right {
  credential_ptr credential;
  grant_ptr grant = nullptr; // null: the credential covers the target itself
};

struct rights {
  crypto::public_key own_key;
  std::vector<node_uid> former_keys; // uids of keys this node had before (PROV_SVC-2)
  std::string node_address;
  std::vector<credential_ptr> own; // newest first
  trust_anchors anchors;
  rights_limits limits;
  std::shared_ptr<credential_cache> known;
  std::shared_ptr<const revocation_sets> revocations; // null: none
  /// Nodes whose key two hold (HLD 3.2.7), and since when (Unix seconds). Null: none.
  std::shared_ptr<const std::map<node_uid, uint64_t>> quarantine;

  /// HLD 9.4, 9.5: credentials that provisioning services have deleted or revoked here. Null: none.
  std::shared_ptr<const std::set<revocation_id>> blocked;

  /// HLD 9.6: what this node has granted, and was granted. Null: nothing.
  std::shared_ptr<const grant_book> grants;

  /// HLD 3.2.6: what programs and users may. Null: no rule.
  std::shared_ptr<const access_policy> policy;

  /// This node, by its key or by one it had before.
  bool is_own(const node_uid& x) const;

  /// HLD 9.5: its issuer has taken the credential back, or one that it was derived from.
  bool revoked(const credential& x) const;
  /// Two hold its key, or the key it was derived with, and its issuer has given no new credential
  /// since.
  bool quarantined(const credential& x) const;
  /// Validity now, revocation and quarantine. Errors: `credential_*`, `revoked`, `quarantined`.
  caf::error check_standing(const credential& x, uint64_t now_ms) const;

  /// HLD 8.2: what lets `source` reach `target` for a user in this role (empty: nobody) and is
  /// valid until `expires_ms`, a grant only if no credential does. Error: `unauthorized`, or
  /// `credential_expired` or `revoked` if only that stands against it.
  expected<chosen_right> choose(std::string_view source, std::string_view target, uint64_t now_ms,
                                uint64_t expires_ms, std::string_view role = {}) const;

  /// A credential that lets this node answer as `source`.
  expected<credential_ptr> choose_for_reply(std::string_view source, uint64_t now_ms) const;

  /// True if a credential of this node has `name` in its sources (HLD 7.2), also before and after
  /// its time: a service may register before the credential begins or is renewed.
  bool may_receive(std::string_view name) const;
  /// The same by a credential that stands now.
  bool may_receive(std::string_view name, uint64_t now_ms) const;

  /// HLD 8.15, steps 2 to 5 of RVI-B1's verification: times, credential, patterns, user, origin,
  /// and the rules of this node for users. A request must be for a name of this node, and for this
  /// node if it names one; a reply must come from who may answer as its source. Errors: `timeout`,
  /// `credential_*`, `unknown_credential`, `revoked`, `quarantined`, `unauthorized`,
  /// `unknown_target`.
  caf::error check_remote(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const;

  /// The part of it that holds for whoever takes the request, its target or a relay.
  caf::error check_sender(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const;

  /// HLD 3.2.3: what is known of revocations by the sender's issuer is as fresh as the rules of
  /// this node want it for the target. Error: `unauthorized`.
  caf::error
  check_freshness(const request_header& x, const credential& sender, uint64_t now_ms) const;

  /// HLD 9.6: the request rests on a grant that this node has given to its sender.
  caf::error check_grant(const request_header& x, uint64_t now_ms) const;

  /// The part of that which each request has for itself, whoever sent it.
  caf::error check_times(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const;

  /// True if a credential of this node that stands now lets it carry for this name.
  bool may_relay(std::string_view name, uint64_t now_ms) const;
  /// The same for any name: this node is a relay.
  bool is_relay(uint64_t now_ms) const;
  /// May this node carry it now (decisions 4)? Its own claim, then the sender as `check_sender`.
  caf::error check_carried(const request_header& x, uint64_t signed_at_ms, uint64_t now_ms) const;

  /// The credential with this hash, ours or one a peer has sent, if it is not revoked: nothing can
  /// be derived from one that is.
  credential_ptr find(const std::string& hash) const;
  /// The same, revoked or not. What it signed is refused for the right reason that way.
  credential_ptr find_known(const std::string& hash) const;
};

/// Whom a relay carries this for, as its claim must cover it: a request's target, or the service
/// that a reply comes from.
std::string carried_name(const request_header& x);

/// True if one of a relay's patterns covers the name.
bool covers_any(const std::vector<std::string>& patterns, std::string_view name);

using rights_snapshot = snapshot<rights>;

} // namespace rvi
