// SPDX-License-Identifier: MPL-2.0
//
// The user level (HLD 3.2.6): which local program may register and invoke what, for whom it may
// speak, and which users the services of this node want behind a request. Pure rules, read from
// files of JSON; part of the `rights` snapshot, so that a change holds at once.

#pragma once

#include "messages/envelope.hpp"
#include "runtime/crypto/crypto.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

/// Whoever stands behind a connection: "uid:1000" (Unix socket) or "token:default".
struct principal {
  std::string name;
  bool administrator = false; // may ask for status, traces and queues; no rule holds it back
  std::string group = {};     // "gid:1000" (Unix socket)
};

/// A user as a local program names it.
struct named_user {
  std::string name;
  std::string role;
  uint64_t authenticated_ms = 0; // Unix time; 0: not known
  std::string method;            // how, such as "pin"; may be empty
};

class access_policy {
public:
  /// Adds the rules of one file:
  ///   {"principals": [{"match": {"uid": N} or {"gid": N} or {"token": NAME},
  ///                    "register": [PATTERN...], "invoke": [PATTERN...],
  ///                    "as": ROLE, "users": [ROLE...]}...],
  ///    "services": [{"names": [PATTERN...], "roles": [ROLE...],
  ///                  "authenticated_within_s": N, "methods": [METHOD...],
  ///                  "revocations_within_s": N}...],
  ///    "keys": [{"names": [PATTERN...], "public_key": JWK}...]}
  /// Patterns as in credentials; whatever is left out allows nothing (principals) or asks for
  /// nothing (services). Error: `malformed`, saying where; nothing is added then.
  caf::error add(std::string_view json);

  /// With any rule for principals in force, what no rule allows is denied (administrators
  /// excepted); with none, all is allowed: the socket's mode and the tokens decide.
  bool may_register(const principal& who, std::string_view service) const;
  /// The same for a target that is invoked or published to.
  bool may_invoke(const principal& who, std::string_view target) const;
  /// The same for all that a subscription's pattern may match.
  bool may_subscribe(const principal& who, std::string_view pattern) const;

  /// Whom a request of this principal is made for: the user it names, if a rule's `users` has that
  /// role; itself in the role of the first rule with `as`, if it names nobody; else nobody. Errors:
  /// `unauthorized`, `bad_request` for a time to come.
  expected<std::optional<named_user>>
  speaks_for(const principal& who, const std::optional<named_user>& named, uint64_t now_ms) const;

  /// What all rules for the target's service ask of the user behind a request, now: that who waits
  /// too long must authenticate again is meant. Error: `unauthorized`.
  caf::error check_user(const request_header& x, uint64_t now_ms) const;

  /// How old the revocation list of the sender's issuer may be for this target (HLD 3.2.3): the
  /// least of all rules for it; 0: no rule says.
  uint64_t list_age_max_s(std::string_view target) const;

  /// HLD 12.1: a service of this name signs its requests, if any rule names it, by a key of such a
  /// rule. `key`: the one it registers with, null: none. Error: `unauthorized`.
  caf::error check_key(std::string_view service, const crypto::public_key* key) const;

private:
  struct principal_rule {
    std::string match; // as in `principal`
    std::vector<std::string> registers;
    std::vector<std::string> invokes;
    std::string role; // as
    std::vector<std::string> users;
  };
  struct service_rule {
    std::vector<std::string> names;
    std::vector<std::string> roles;       // empty: any
    std::vector<std::string> methods;     // empty: any
    uint64_t authenticated_within_ms = 0; // 0: whenever
    uint64_t list_age_max_s = 0;          // 0: any

    bool asks_for_user() const {
      return !roles.empty() || !methods.empty() || authenticated_within_ms != 0;
    }
  };
  struct key_rule {
    std::vector<std::string> names;
    crypto::public_key key;
  };
  class reader;

  template <class Holds>
  bool allows(const principal& who, Holds holds) const;

  std::vector<principal_rule> principals_;
  std::vector<service_rule> services_;
  std::vector<key_rule> keys_;
};

} // namespace rvi
