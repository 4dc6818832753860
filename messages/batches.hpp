// SPDX-License-Identifier: MPL-2.0
//
// What actors tell each other, as plain structs; the interfaces that carry them are in actors.hpp.

#pragma once

#include "messages/envelope.hpp"
#include "messages/metric.hpp"
#include "messages/service_api.hpp"

#include <caf/error.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rvi {

class transaction;

/// Work done inside one durable transaction of the store. It may run more than once (when a
/// neighbour in the same commit fails), so it starts by resetting what it answers through its
/// captures.
using transaction_step = std::function<caf::error(transaction&)>;

using draft_batch = std::vector<draft>;

/// One draft's fate (HLD 8.3): an envelope, or why not.
struct authorized {
  envelope_ptr content;
  caf::error error;
};
using authorized_batch = std::vector<authorized>;

/// What was refused on the way in or by a peer.
struct refusal {
  transaction_id id;
  bool reply = false;
  caf::error reason;
  bool permanent = true;
  uint64_t retry_after_ms = 0;
};

struct custody_id {
  transaction_id id;
  bool reply = false;
};

/// Rvi.proto's `Custody`.
struct custody_report {
  std::vector<custody_id> accepted;
  std::vector<refusal> refused;
};

/// Rvi.proto's `Fragment`: one piece of a large argument.
struct argument_fragment {
  transaction_id id;
  bool reply = false;
  uint64_t offset = 0;
  std::string content;
};

/// Rvi.proto's `FragmentState`: this much of a large argument is durable.
struct fragment_state {
  transaction_id id;
  bool reply = false;
  uint64_t offset = 0;
  // To the session only, never on the wire:
  uint64_t settled_bytes = 0; // of fragments, whose credit goes back
  bool told = true;           // false: only the credit goes back
};

/// Rvi.proto's `Credit`.
struct credit_grant {
  uint32_t envelopes = 0;
  uint64_t bytes = 0;
};

/// One service as its owner announced it, verified.
struct remote_service {
  std::string name;
  uint64_t sequence = 0;
  bool available = false;
};

/// Signed bytes of one announcement entry (rvi.proto's `AnnounceEntry`).
struct announce_entry {
  std::string service; // AnnouncedService
  std::string signature;
  std::string credential_hash;
};

/// The same as a relay passes it on (rvi.proto's `RelayedEntry`).
struct relayed_entry {
  announce_entry entry;
  std::vector<node_uid> route; // the relay itself first, then those it heard it from
  bool away = false;           // it keeps requests for the owner, but has no way to it now
};

/// Rvi.proto's `RelayedAnnounce`.
struct relayed_announcement {
  bool full = false;
  std::vector<relayed_entry> entries;
  std::vector<std::string> withdrawn; // services it does not carry for any more
};

/// What ties an Authorize to one session.
struct session_binding {
  bool client = false; // we dialled
  std::string own_spki;
  std::string peer_spki;
  std::string exporter;        // 32 bytes
  std::string network_address; // where we can be dialled, host:port; empty: nowhere
  uint64_t started_ms = 0;     // boot time, before the peer could sign for this session
  std::string link_kind;       // what we call the link; empty: we have no name for it
  std::string remote_address;  // host:port of the other end, as the link sees it
};

/// A key that a node had before, as this organization says (PROV_SVC-2).
struct former_key {
  std::string issuer;
  node_uid uid{};
};

/// What a peer proved about itself (HLD 7.6).
struct peer_identity {
  node_uid uid{};
  std::vector<former_key> former;
  std::string node_address;
  std::string network_address;
  std::string protocol;
  std::vector<std::string> credential_hashes;
  std::vector<std::string> sources;
  std::vector<std::string> destinations;
  std::vector<std::string> relay; // patterns of names it may carry for
  uint64_t expires_ms = 0;        // when the last of its credentials ends
  uint64_t frame_bytes_max = 0;
  std::string link_kind; // what it calls the link; empty: it has no name for it
};

/// HLD 8.9, 8.10: a link to a node came up.
struct link_info {
  uint64_t link = 0; // never used twice
  peer_identity peer;
  std::string kind;     // "wifi", "lte", ...; both ends agree on it; "tls": nobody named it
  bool dialled = false; // by us
  uint64_t round_trip_us = 0;
  uint64_t authorized_us = 0; // boot time, for the trace
  uint64_t up_us = 0;         // boot time, for the trace
  std::vector<std::string> services;
  std::string dialled_at;     // the network address, if we dialled
  std::string own_kind;       // what this node calls it: it goes with that network
  std::string remote_address; // the other end's, host:port; empty: not known
};

/// HLD 8.7, figure 20.
struct setup_request {
  std::string target;
  std::string node_address;
  std::vector<std::string> network_addresses; // host:port, best first
  bool urgent = false;
  uint64_t wanted_ms = 0;         // from now: how long somebody wants this link
  std::vector<std::string> kinds; // of link that will do, best first; empty: any
  // Discovery found somebody at this address: dialled once, unless a link with that host is up.
  bool found = false;
};

/// HLD 10.2, 11.4, 11.6: one change about one node, or about this one's own services.
struct availability_event {
  uint64_t version = 0;     // of the first routing snapshot that has it
  bool everything = false;  // much has changed at once: the snapshot says it, nothing below does
  availability_report what; // without client and pattern; of all services, reachable or not
};

/// What a local service registered (HLD 7.1).
struct local_service {
  std::string name; // full, with type where it has one
  bool idempotent = false;
  durability durability_min = durability::full;
};

/// What the service edge answers to a hand-over: the ids no service could take now.
struct undelivered {
  std::vector<transaction_id> ids;
};

/// HLD 9: what a provisioning service asks of this node's Authorization.
struct certificate_call {
  enum class action {
    add,
    remove,
    revoke,
    list,
    replace_key_pair,
    clone_report, // the next one that nobody was told of, as JSON; waits until there is one
    clone_reported,
  };
  action what = action::list;
  std::string source; // who asks
  std::string issuer; // its organization, as its credential says
  /// add: credentials, as text; remove, revoke: ids of credentials of that organization;
  /// replace_key_pair: credentials for the next key, none to have it made; clone_reported: the uid
  /// of the node that it was about, in hex.
  std::vector<std::string> values;
};

/// A grant that has been made, and where its holder is.
struct grant_answer {
  std::string json; // one JSON object
  std::string text; // make: the grant
  std::string node; // make: the address of who it is for; empty: not known
  uint64_t expires_s = 0;
};

/// What store and forward answers to a queue_call. What else is to be done only the edge can do.
struct queue_answer {
  std::string json;
  envelope_ptr again; // requeue: to be made anew; `json` is empty
  batch refused;      // drop: to be answered as refused
};

struct link_status {
  uint64_t link = 0;
  std::string kind;
  std::string node_address;
  std::string network_address;
  std::string state;
  bool dialled = false;
  uint64_t round_trip_us = 0;
  uint64_t in_flight = 0;
  uint64_t bytes_per_s = 0; // 0: not measured
};

/// What a session found out about its link; 0: not measured yet.
struct link_measure {
  uint64_t round_trip_us = 0;
  uint64_t bytes_per_s = 0; // of what the peer confirmed
};

} // namespace rvi
