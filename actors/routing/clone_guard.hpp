// SPDX-License-Identifier: MPL-2.0
//
// Spoofing by a copy of key and store (HLD 3.2.7). Each node gives each peer a random token that
// the peer must prove to hold at its next session, and changes it at every session. Of two holders
// of one key one will come with a token that the other has replaced: that is the evidence.
//
// A token changes in two phases, so that a crash or a lost message at any step looks like nothing:
// the asking side keeps the next token durably as pending, then sends it; the peer keeps it
// durably, then proves only that one and says so; on the word or the first proof the asking side
// retires the old one. Until then both are good, and the same pending token is offered again.
// Nothing here does I/O: the owner stores the records, what is held before it counts, what is asked
// before it is sent.

#pragma once

#include "runtime/crypto/crypto.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

inline constexpr size_t clone_token_bytes = 32;
inline constexpr size_t clone_proof_bytes = 8 + 32;
inline constexpr size_t clone_tokens_retired_max = 8;

// Keys in the table `nodes`, each followed by the peer's uid in hex.
inline constexpr std::string_view clone_prefix = "clone/";
inline constexpr std::string_view clone_asked_prefix = "clone/asked/";
inline constexpr std::string_view clone_held_prefix = "clone/held/";
inline constexpr std::string_view clone_quarantine_prefix = "clone/quarantine/"; // u64 seconds
inline constexpr std::string_view clone_report_prefix = "clone/report/";         // JSON
inline constexpr std::string_view clone_reported_prefix = "clone/reported/";     // empty

/// A token and its number.
struct clone_token {
  uint64_t counter = 0;
  std::string token; // empty: none
};

struct retired_token : clone_token {
  uint64_t retired_ms = 0; // boot time, not stored; sessions that began before may not know of it
};

/// What we ask of one peer.
struct asked_tokens {
  clone_token current;                // kept by the peer, as it has shown or said
  clone_token pending;                // offered; perhaps kept
  std::vector<retired_token> retired; // newest first
};

/// How a proof is bound to its session. `client`: the one who proves has dialled.
struct clone_session {
  node_uid prover{};
  node_uid asker{};
  bool client = false;
  std::string_view exporter;
};

/// counter | HMAC, as `AuthorizeBody.clone_proof`; empty without a token.
std::string clone_proof(const clone_token& x, const clone_session& session);

enum class clone_verdict {
  first,   // the peer keeps no token of ours yet, or we have lost ours: nothing to compare
  current, // the token it keeps
  pending, // the next one: from here on the only one
  late,    // one that was replaced while this session was being set up
  unknown, // none of ours: an old copy, or a lost store. Suspect, no evidence
  retired, // one that its holder has replaced: there are two holders
};

class clone_guard {
public:
  explicit clone_guard(size_t peers_max = 100'000) : peers_max_(peers_max) {}

  /// Takes a record back from the store. Error: `malformed`.
  caf::error restore(std::string_view key, std::string_view value);

  // -- what we ask of others --------------------------------------------------------------------
  /// What a proof says. `started_ms`: when its session began, in boot time: before the peer could
  /// sign for it.
  clone_verdict
  judge(std::string_view proof, const clone_session& session, uint64_t started_ms) const;
  /// The peer holds the token with this number. True if that is news: the record is to be stored.
  bool promote(const node_uid& peer, uint64_t counter, uint64_t boot_ms);
  /// The token to offer, the same one until it is kept; its record is to be stored before it is
  /// sent. Nothing if there are too many peers.
  std::optional<clone_token> offer(const node_uid& peer, uint64_t wall_ms);
  /// The peer begins anew.
  void forget(const node_uid& peer) { asked_.erase(peer); }
  std::string asked_record(const node_uid& peer) const;
  const asked_tokens* asked(const node_uid& peer) const;

  // -- what others ask of us --------------------------------------------------------------------
  std::string prove(const clone_session& session) const;
  enum class offered { store, kept, stale };
  /// `store`: the record is to be stored, then `keep` it and tell the peer; `kept`: tell the peer.
  offered take_offer(const node_uid& peer, const clone_token& x);
  void keep(const node_uid& peer, const clone_token& x);
  static std::string held_record(const clone_token& x);

private:
  struct held_peer {
    clone_token token;
    uint64_t offered = 0; // highest number seen
  };

  size_t peers_max_;
  std::map<node_uid, asked_tokens> asked_;
  std::map<node_uid, held_peer> held_;
};

} // namespace rvi
