// SPDX-License-Identifier: MPL-2.0
//
// Adds credentials and signatures to what leaves, and decides whom to believe (HLD 5.8, 7.6, 8.2,
// 12). What may be decided without it is in the rights snapshot, which it publishes.

#pragma once

#include "actors/node/context.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace rvi {

/// Keys in the table `nodes` under which credentials of peers lie, by hash.
inline constexpr std::string_view credential_prefix = "credential/";

/// Reads credentials and trust anchors anew (the node's files).
using rights_source = std::function<expected<std::shared_ptr<rights>>()>;

struct authorization_config {
  node_context_ptr node;
  store_actor store;
  signer_actor signer;
  crypto::algorithm algorithm = crypto::algorithm::ed25519;
  rights_source source;
  size_t frame_bytes_max = 1 << 20;
};

/// Authorize bodies and the text a session signs (rvi.proto, Authorize).
std::string
authorize_signing_input(bool client, std::string_view own_spki, std::string_view peer_spki,
                        std::string_view exporter, std::string_view body);

/// Checks a peer's Authorize but for its replay: HLD 7.6 step 4. Adds the credentials it accepts to
/// `known`. Errors: `malformed`, `protocol_mismatch`, `credential_*`, `unknown_issuer`,
/// `unauthorized`, `signature_invalid`.
struct admitted {
  peer_identity peer;
  uint64_t transaction_id = 0;
};
expected<admitted>
check_authorize(const rights& own, const session_binding& binding, std::string_view body,
                std::string_view signature, uint64_t now_ms);

struct authorization_state {
  static constexpr const char* name = "authorization";

  explicit authorization_state(authorization_actor::pointer self) : self(self) {}

  struct asked {
    caf::typed_response_promise<authorized_batch> promise;
    authorized_batch results;
    size_t open = 0;
  };
  using asked_ptr = std::shared_ptr<asked>;

  struct unsigned_item {
    draft content;
    credential_ptr credential;
    asked_ptr from;
    size_t index = 0;
  };
  using tree_items = std::shared_ptr<std::vector<unsigned_item>>;

  caf::result<authorized_batch> authorize(draft_batch x);
  expected<credential_ptr> choose(const draft& x) const;
  /// Signs all that has queued up while the signer was busy, a tree for each credential.
  void sign_queued();
  void sign_tree(tree_items items, const credential_ptr& credential);
  void settle(unsigned_item& item, authorized result);

  void introduce(link_actor link, session_binding binding);
  void admit(link_actor link, session_binding binding, std::string body, std::string signature);
  void remember(link_actor link, const admitted& x);
  caf::result<std::vector<announce_entry>> announce(const std::vector<std::string>& services);
  void send_credentials(const link_actor& link, const std::vector<std::string>& hashes);
  void learn(const std::vector<std::string>& texts, const link_actor& link);
  /// Reads the credentials of peers seen before from the store.
  void load_known();
  void take_known(const std::vector<std::string>& texts);
  caf::result<atom::done> when_known();
  caf::result<atom::done> reload();
  void reserve_ids();
  std::string status() const;

  authorization_actor::pointer self;
  authorization_config config;
  std::vector<unsigned_item> queued;
  size_t signing = 0;
  uint64_t next_authorize_id = 0; // 0: not reserved yet
  uint64_t reserved_until = 0;
  std::vector<std::function<void()>> waiting_for_ids;
  bool known = false;
  std::vector<caf::typed_response_promise<atom::done>> waiting_for_known;
  metrics::counter* denied = nullptr;
  metrics::counter* signatures = nullptr;
  metrics::counter* admissions = nullptr;
  metrics::counter* refusals = nullptr;
};

authorization_actor::behavior_type
authorization(authorization_actor::stateful_pointer<authorization_state> self,
              authorization_config config);

} // namespace rvi
