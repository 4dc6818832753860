// SPDX-License-Identifier: MPL-2.0
//
// What every attack is made against and judged by: two real nodes that stay up over all attacks, a
// cloud and a vehicle that use each other. After each attack they still must, nothing that the
// attacker sent may have reached a service, and the price in signature checks is known.

#pragma once

#include "test/integration/node_hostile_peer.hpp"

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rvi::test {

/// An organization besides jlr.com that both nodes have pinned by a trust bundle, with a root for
/// each use, so that an attacker may hold one of them.
struct second_organization {
  second_organization();
  bundle_claims claims(uint64_t sequence, const trust_bundle& before) const;
  credential_claims credential(const crypto::public_key& holder, std::vector<std::string> sources,
                               std::vector<std::string> destinations) const;

  static constexpr const char* name = "acme.com";
  crypto::private_key trust_1;
  crypto::private_key trust_2;
  crypto::private_key credentials; // ES256
  crypto::private_key lists;
  trust_bundle_ptr bundle; // the one in force
};

/// Of a program beside the cloud that may do little (`attacked_nodes::write_rules`).
inline constexpr const char* app_token = "another token, of 32 characters.";

/// The nodes under attack. They start with the first attack and end with the program.
struct attacked_nodes {
  static attacked_nodes& get();

  std::string at(const std::string& file) const { return world.folder + "/" + file; }
  /// One rpc each way; fails unless both are answered.
  void use_each_other();
  void register_services();
  /// Puts the next list of jlr.com in force at the cloud: all that was revoked, and these.
  void revoke(std::vector<revocation_entry> entries);

  node_world world;
  second_organization acme;
  crypto::private_key app_key; // of the program's service `app/safe`, by the cloud's rules
  uint16_t cloud_port = free_port();
  uint16_t vehicle_port = free_port();
  uint16_t api_port = free_port();
  node_process cloud;
  node_process vehicle;
  service_client media_server{cloud.socket()};
  service_client media_player{vehicle.socket()};
  std::vector<revocation_entry> revoked;
  std::vector<revocation_list_ptr> lists; // that were in force
  int honest = 0;                         // requests so far

private:
  attacked_nodes();
  /// What programs and users may at the cloud.
  void write_rules() const;
  node_settings cloud_settings() const;
  node_settings vehicle_settings() const;
};

/// The base of each attack: an attacker with a key, and a good credential for a few things.
struct attack {
  attack();
  ~attack();
  attack(const attack&) = delete;
  attack& operator=(const attack&) = delete;

  // -- at the door ------------------------------------------------------------------------------
  /// The cloud refuses this Authorize, signed well for its session, with this code; its trail names
  /// the attacker's key.
  void refuses(const std::string& body, const std::string& code);
  /// The same for the usual body with this credential.
  void refuses_credential(const std::string& text, const std::string& code);
  void refuses_attacker(const std::string& code);
  /// The node has ended the session for this reason, and says so in its trail.
  void ends(hostile_peer& peer, const std::string& code);
  /// The node has refused this request (or reply) for good, with this code and a record.
  void refuses_item(hostile_peer& peer, const transaction_id& id, const std::string& code,
                    bool reply = false);

  // -- what the attacker has --------------------------------------------------------------------
  /// Gives the attacker another credential of jlr.com.
  void take_credential(const std::function<void(credential_claims&)>& change);
  /// Claims and a JWS of them as nobody's tool would make it, signed by jlr.com's root.
  std::string claims() const;
  std::string signed_by_root(const std::string& header, const std::string& claims) const;
  std::string good_header() const;

  // -- what must hold ---------------------------------------------------------------------------
  /// A record of these since the attack began, in one line of the node's trail.
  bool recorded(const node_process& x, std::initializer_list<std::string> parts) const;
  void check_refusal_recorded(const node_process& x, const std::string& code,
                              const std::string& who) const;
  /// The whole file since the attack began.
  std::string trail(const node_process& x) const;
  bool is_offered(const std::string& name);
  std::string attacker_uid() const;

  attacked_nodes& at;
  peer_card attacker;
  /// Signature checks that the cloud may spend on this attack. A session costs two: one for the
  /// Authorize, one for the credential; then one for each distinct root.
  uint64_t signatures_max = 2;
  /// What was spent up to here was not for the attacker.
  void not_counted() { signatures_before_ = signatures_spent(); }

private:
  uint64_t signatures_spent() const;

  size_t cloud_trail_ = 0; // its length when the attack began
  size_t vehicle_trail_ = 0;
  uint64_t signatures_before_ = 0;
};

/// An attack by a peer with a session.
struct session_attack : attack {
  session_attack() { peer.come_up(attacker); }
  /// Only a request that follows in another session tells that the node goes on.
  void sends(const ::rvi::batch& x) {
    ++signatures_max;
    peer.send(x);
  }
  void ends(const std::string& code) { attack::ends(peer, code); }

  hostile_peer peer{at.cloud_port};
};

/// `text` with its only occurrence of `from` replaced.
std::string replaced(std::string text, std::string_view from, std::string_view to);
/// A compact JWS of these texts.
std::string
forged_jws(const crypto::private_key& key, std::string_view header, std::string_view payload);
/// Part 0, 1 or 2 of a compact JWS, decoded.
std::string part_of(const std::string& compact, int number);

} // namespace rvi::test
