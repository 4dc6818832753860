// SPDX-License-Identifier: MPL-2.0
//
// Adds credentials and signatures to what leaves, and decides whom to believe (HLD 5.8, 7.6, 8.2,
// 12). What may be decided without it is in the rights snapshot, which it publishes.

#pragma once

#include "actors/node/context.hpp"
#include "actors/routing/clone_guard.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace rvi {

/// Keys in the table `nodes` under which credentials of peers lie, by hash.
inline constexpr std::string_view credential_prefix = "credential/";
/// Credentials of this node that a provisioning service has added ('+' and the text) or deleted
/// ('-' and the text), by hash; others are in its files.
inline constexpr std::string_view own_credential_prefix = "own_credential/";
/// What it has revoked here: revocation ids.
inline constexpr std::string_view blocked_prefix = "blocked/";
/// Grants (HLD 9.6) that this node has given, and those it was given, by hash.
inline constexpr std::string_view grant_given_prefix = "grant_given/";
inline constexpr std::string_view grant_held_prefix = "grant_held/";
/// Trust bundles that came after those of the node's files, by organization and sequence (u64).
inline constexpr std::string_view bundle_prefix = "bundle/";
/// And the signed revocation lists in force, by issuer (wire::Revocations).
inline constexpr std::string_view revocation_prefix = "revocation/";

/// Reads credentials and trust anchors anew (the node's files), and walks on to these bundles.
using rights_source
  = std::function<expected<std::shared_ptr<rights>>(const std::vector<std::string>& bundles)>;

/// How this node gets another key (PROV_SVC-2). Nothing set: its key cannot be replaced.
struct key_replacement {
  /// The next key, made and durable; the same one until it has taken over.
  std::function<expected<crypto::private_key>()> next;
  /// From the next start on it is the node's key, durably, and the one before a former one.
  std::function<caf::error()> take_over;
  /// Starts the node anew, once what is under way has had a moment to leave.
  std::function<void()> restart;
};

struct authorization_config {
  node_context_ptr node;
  store_actor store;
  signer_actor signer;
  crypto::algorithm algorithm = crypto::algorithm::ed25519;
  rights_source source;
  key_replacement keys;
  size_t frame_bytes_max = 1 << 20;
  size_t useless_lists_max = 1'024;                  // not newer, from one session
  size_t waiting_lists_bytes_max = size_t{32} << 20; // from peers, not judged yet
  // Requests and replies not signed yet because the key is out of reach.
  size_t unsigned_items_max = 10'000;
  size_t unsigned_bytes_max = size_t{64} << 20; // of arguments
  std::string key_location = "file";            // for people
};

/// Authorize bodies and the text a session signs (rvi.proto, Authorize).
std::string
authorize_signing_input(bool client, std::string_view own_spki, std::string_view peer_spki,
                        std::string_view exporter, std::string_view body);

/// Who is to be named when a peer is refused.
struct refused_peer {
  node_uid uid{};           // of the key it holds
  std::string node_address; // which may only be claimed
  std::string address;      // host:port where it came from
};

/// Checks a peer's Authorize but for its replay: HLD 7.6 step 4. Adds the credentials it accepts to
/// `known`. Errors: `malformed`, `protocol_mismatch`, `credential_*`, `unknown_issuer`, `revoked`,
/// `quarantined`, `unauthorized`, `signature_invalid`.
struct admitted {
  refused_peer who() const { return {peer.uid, peer.node_address, remote_address}; }

  peer_identity peer;
  std::string remote_address; // as in session_binding
  std::vector<credential_ptr> credentials;
  bool shown_more = false; // also what rests on keys or delegations that are not known here
  uint64_t transaction_id = 0;
  std::map<std::string, revocation_version> lists; // what the peer has of each issuer it cares for
  std::map<std::string, uint64_t> bundles;         // the sequence it has of each organization
  std::string clone_proof;
  clone_verdict clone = clone_verdict::first; // set by whoever knows the tokens
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

  /// An admitted peer, for as long as its session lasts.
  struct session {
    link_actor link;
    admitted peer;
    bool up = false;
    size_t useless_lists = 0;
  };

  /// A revocation list on its way in.
  struct list_import {
    std::string text;
    link_actor from; // null: a local call
    caf::typed_response_promise<atom::done> promise;
  };

  caf::result<authorized_batch> authorize(draft_batch x);
  void choose_all(const asked_ptr& from, draft_batch x);
  expected<chosen_right> choose(const draft& x) const;
  /// Signs all that has queued up while the signer was busy, a tree for each credential.
  void sign_queued();
  void sign_tree(tree_items items, const credential_ptr& credential);
  /// The key is out of reach: what is still in time waits, first in line.
  void sign_later(std::vector<unsigned_item> items, const caf::error& why);
  /// As `settle`, of one that was in line.
  void leave_line(unsigned_item& item, authorized result);
  void note_signature();
  void settle(unsigned_item& item, authorized result);

  void introduce(link_actor link, session_binding binding);
  void admit(link_actor link, session_binding binding, std::string body, std::string signature);
  void remember(link_actor link, const admitted& x);
  /// The peer's Authorize is durable: its session begins.
  void begin_session(const link_actor& link, const admitted& x);
  void refuse_peer(const link_actor& link, const caf::error& why, const refused_peer& who);
  session* find_session(const link_actor& link);
  void session_ended(const caf::actor_addr& link);
  caf::result<std::vector<announce_entry>> announce(const std::vector<std::string>& services);
  void send_credentials(const link_actor& link, const std::vector<std::string>& hashes);
  /// Adds those that only the store has: of nodes this one carries for.
  void send_stored_credentials(const link_actor& link, std::vector<std::string> texts,
                               const std::vector<std::string>& hashes);
  void learn(const std::vector<std::string>& texts, const link_actor& link);
  /// A relay shows a third node's credential. False: it is the peer's own, or none at all.
  bool learn_of_another(const rights& own, const std::string& text, const link_actor& link);
  /// Reads the credentials of peers seen before and the revocation lists from the store.
  void load_known();
  void take_known(const std::vector<std::string>& texts);
  caf::result<atom::done> when_known();
  /// Runs `work` now, or once the store has been read: before that nobody is to be trusted.
  void once_known(std::function<void()> work);

  // -- revocation (HLD 3.2.3, 9.5) --------------------------------------------------------------
  void take_sets(const std::vector<std::string>& stored);
  caf::result<atom::done> revoke(std::string text);
  void revoke_from_peer(const link_actor& link, std::vector<std::string> texts);
  void import_next();
  void refuse_list(list_import& x, caf::error why);
  /// A list is durable: from here on it holds.
  void apply(const revocation_set_ptr& x, const link_actor& from);
  /// Tells a peer what it lacks of this issuer.
  void tell(session& to, const revocation_set& x);
  void session_up(const link_actor& link);
  void attach(store_and_forward_actor x);
  /// Ends the sessions that rest on a credential that does not stand any more; all of them if ours
  /// has just fallen.
  void close_fallen(bool own_fell);
  // -- trust bundles (HLD 3.2.1) ----------------------------------------------------------------
  /// What was walked to before, in order.
  void take_bundles(std::vector<std::string> texts);
  void import_bundle(list_import x);
  /// Reads all rights again on the anchors there are now. Error: of the files.
  caf::error reread_rights();
  /// A bundle is durable: from here on its roots speak.
  void follow(const trust_bundle_ptr& x, const link_actor& from);
  void tell_bundles(session& to);
  // -- provisioning (HLD 9.1 to 9.5) ------------------------------------------------------------
  struct provisioned {
    credential_ptr content;
    bool deleted = false;
  };
  /// Reads what was provisioned before, in the same step as the rest.
  static caf::error
  read_provisioned(transaction& t, std::vector<std::pair<std::string, std::string>>& result);
  void take_provisioned(const std::vector<std::pair<std::string, std::string>>& stored);
  caf::result<std::string> provision(const certificate_call& x);
  caf::result<std::string> add_certificates(const certificate_call& x);
  caf::result<std::string> delete_certificates(const certificate_call& x);
  caf::result<std::string> revoke_certificates(const certificate_call& x);
  std::string list_certificates() const;
  // -- another key pair (PROV_SVC-2) --------------------------------------------------------------
  caf::result<std::string> replace_key_pair(const certificate_call& x);
  /// The next key's public part, signed by both.
  caf::result<std::string> show_next_key(const crypto::private_key& next);
  /// Credentials for the next key that let it take over; `bad_request` if they do not.
  expected<std::vector<credential_ptr>>
  check_for_next_key(const std::vector<std::string>& texts, const crypto::public_key& next) const;
  /// `changed`: this node's credentials are others, and its sessions begin anew in a moment.
  enum class what_peers_saw { changed, stays };
  /// Does the step; then `change` is done to what is remembered of it here, the rights follow, and
  /// whoever asked hears it.
  caf::result<std::string> keep_provisioned(transaction_step step, std::function<void()> change,
                                            std::string answer, what_peers_saw shown);
  /// Adds or deletes these, as `by` asked.
  caf::result<std::string>
  change_own(const std::vector<credential_ptr>& xs, bool deleted, const std::string& by);
  /// What has ended makes room for what comes.
  void drop_ended_provisioned();
  /// Adds to the rights of the node's files what was provisioned.
  void add_provisioned(rights& x) const;
  void renew_sessions();
  // -- grants (HLD 9.6) -------------------------------------------------------------------------
  void take_grants(const std::vector<std::pair<std::string, std::string>>& stored);
  caf::result<grant_answer> grant_asked(const grant_call& x);
  caf::result<grant_answer> make_grant(const grant_call& x);
  caf::result<grant_answer> withdraw_grant(const grant_call& x);
  caf::result<grant_answer> take_grant(const grant_call& x);
  std::string list_grants() const;
  /// Does the step, changes the book of grants, then answers. `peer` sees other services now.
  void keep_grants(transaction_step step, std::function<void(grant_book&)> change,
                   std::function<grant_answer()> answer,
                   caf::typed_response_promise<grant_answer> promise, std::optional<node_uid> peer);
  void give(const grant_ptr& x, caf::typed_response_promise<grant_answer> promise);
  // -- copies of a key (HLD 3.2.7) ----------------------------------------------------------------
  void take_clone_records(const std::vector<std::pair<std::string, std::string>>& stored);
  /// Judges the peer's proof. False: two hold its key, and its session ends.
  bool judge_copy(const link_actor& link, const session_binding& binding, admitted& x,
                  const std::string& body, const std::string& signature);
  void quarantine(const link_actor& link, const admitted& x, std::string report);
  /// Answers with a report that its issuer has not been told of yet, once there is one.
  caf::result<std::string> next_clone_report();
  caf::result<std::string> clone_reported(const std::vector<std::string>& uids);
  /// The session stands: what its proof showed counts.
  void note_suspect(const admitted& x);
  void accept_proof(const admitted& x);
  void offer_token(const session& to);
  void token_offered(const link_actor& link, clone_token x);
  void token_kept(const link_actor& link, uint64_t counter);
  void promote_token(const node_uid& peer, uint64_t counter);

  /// Changes a copy of the rights and publishes it.
  void change_rights(const std::function<void(rights&)>& change);

  caf::result<atom::done> reload();
  void reserve_ids();
  std::string status() const;

  authorization_actor::pointer self;
  authorization_config config;
  std::vector<unsigned_item> queued;
  size_t signing = 0;
  bool key_away = false;             // the last signature was not drawn
  size_t unsigned_items = 0;         // queued, or being signed
  size_t unsigned_bytes = 0;         // of their arguments
  uint64_t signatures_not_noted = 0; // in the audit trail
  uint64_t note_signatures_ms = 0;   // not before, boot time
  uint64_t next_authorize_id = 0;    // 0: not reserved yet
  uint64_t reserved_until = 0;
  std::vector<std::function<void()>> waiting_for_ids;
  bool known = false;
  std::vector<std::function<void()>> waiting_for_known;
  std::map<uint64_t, session> sessions; // by number, in order of admission
  std::map<caf::actor_addr, uint64_t> session_numbers;
  uint64_t next_session = 1;
  std::list<list_import> imports;
  size_t import_bytes = 0;
  std::vector<std::string> bundles; // walked to beyond the node's files, in order
  bool importing = false;
  std::map<std::string, provisioned> own_provisioned; // by hash
  std::set<revocation_id> blocked_here;
  store_and_forward_actor store_and_forward;
  rights_listener_actor rights_listener;
  clone_guard guard;
  std::map<std::string, std::string> unreported; // clone reports, by uid in hex
  std::vector<caf::typed_response_promise<std::string>> report_awaited;
  metrics::counter* denied = nullptr;
  metrics::counter* signatures = nullptr;
  metrics::counter* admissions = nullptr;
  metrics::counter* refusals = nullptr;
  metrics::counter* lists_taken = nullptr;
  metrics::counter* lists_refused = nullptr;
  metrics::counter* lists_useless = nullptr;
  metrics::gauge* revoked_entries = nullptr;
  metrics::counter* clone_alarms = nullptr;
  metrics::counter* clone_suspects = nullptr;
};

authorization_actor::behavior_type
authorization(authorization_actor::stateful_pointer<authorization_state> self,
              authorization_config config);

} // namespace rvi
