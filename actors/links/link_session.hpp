// SPDX-License-Identifier: MPL-2.0
//
// Runs one native session for an actor that owns a transport: passes its events to the node's
// actors and their answers to the session. The transport (TLS, loopback) moves the bytes.

#pragma once

#include "actors/links/link_meter.hpp"
#include "actors/links/native_session.hpp"
#include "actors/node/context.hpp"
#include "messages/actors.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace rvi {

/// The actors a session talks to.
struct link_services {
  node_context_ptr node;
  authorization_actor authorization;
  service_discovery_actor service_discovery;
  store_and_forward_actor store_and_forward;
  data_link_actor data_link;
  std::vector<verifier_actor> verifiers;
  metric_hub_actor metric_hub{};
};

struct link_session_config {
  link_services services;
  uint64_t number = 0;
  std::string kind;           // what this node calls the link; empty: it has no name for it
  std::string remote_address; // the other end's, host:port; empty: not known
  bool dialled = false;
  native_session_limits limits;
  uint64_t authorize_ms_max = 10'000; // until the session is up
  uint64_t keepalive_ms = 30'000;     // silence before a ping; 0: none
  uint64_t idle_ms = 0;               // without traffic; 0: never torn down
  metric_queue_limits metrics;
};

class link_session {
public:
  link_session(link_session_config config, link_actor self);

  /// The secure channel is there.
  void start(session_binding binding);
  void receive(std::string_view bytes);

  // Messages of link_actor.
  void introduce(std::string body, std::string signature);
  void admit(const peer_identity& peer);
  void announce(bool full, const std::vector<announce_entry>& entries);
  void available(const std::vector<std::string>& services);
  void announce_relayed(const relayed_announcement& x);
  /// The peer relayed this; it waits for the credentials with these hashes.
  void unknown_owners(relayed_announcement x, const std::vector<std::string>& hashes);
  void transmit(const batch& x);
  void transmit(const argument_fragment& x);
  void custody(const custody_report& x);
  void fragment(const fragment_state& x);
  void learn(const std::vector<std::string>& credentials);
  void unknown_credential(std::string batch_bytes, const std::string& hash);
  void credentials_known();
  void revocations(const std::vector<std::string>& lists);
  void clone_token(uint64_t counter, const std::string& token);
  void clone_token_kept(uint64_t counter);
  void known();
  void subscribe(const metric_subscriptions& x);
  void publish(const std::vector<metric_value_ptr>& values);
  /// So many bytes of output have not left; metrics that wait go as far as there is room.
  void unsent(size_t bytes);
  bool has_metrics_waiting() const { return !metrics_.empty(); }
  void close(std::string_view reason, std::string_view detail);
  void tick();
  /// When `tick` has something to do next (boot time). Traffic moves it further away.
  std::optional<uint64_t> next_deadline_ms() const;

  /// Frames to send.
  std::string take_output() { return session_.take_output(); }
  /// The session has ended: send the output, then end the transport.
  bool ended() const { return ended_; }
  const std::string& reason() const { return reason_; }
  const peer_identity& peer() const { return peer_; }
  /// The peer is authorized.
  bool admitted() const { return !peer_.node_address.empty(); }

private:
  void take_events();
  void take(peer_authorize x);
  void take(peer_announce x);
  void take(peer_batch x);
  void take(peer_relayed x);
  /// The peer was asked for it and does not have it: what it signed is refused.
  void refuse_unknown(const std::string& batch_bytes);
  void ask_credential(const std::string& hash);
  void ask_next_credentials();
  void credentials_answered();
  void take(peer_custody x);
  void take(peer_credit x);
  void take(peer_needs x);
  void take(peer_chain x);
  void take(peer_revocations x);
  void take(peer_token x);
  void take(peer_token_kept x);
  void take(peer_subscriptions x);
  void take(peer_values x);
  void take(peer_pong x);
  void take(peer_bye x);
  void take(session_up x);
  void take(peer_fragment x);
  void take(peer_fragment_state x);
  void fail(const caf::error& why);
  void ping();
  void report_measure();
  /// Both ends are up: metrics may go to and fro.
  void may_tell_hub();
  void send_metrics();
  /// Somebody waits for metrics: the link is not idle.
  bool subscribed() const { return !wanted_there_.empty() || !wanted_here_.empty(); }
  const verifier_actor& verifier() const;

  /// Of the key it holds, whoever it says it is; hex.
  std::string peer_uid() const;

  link_session_config config_;
  link_actor self_;
  native_session session_;
  session_binding binding_;
  peer_identity peer_;
  std::vector<std::string> services_;
  // Batches that wait for a credential: no more than the credit, which a relay that comes with much
  // may use up, each request signed by itself.
  struct parked_batch {
    std::string credential_hash;
    std::string bytes;
  };
  std::vector<parked_batch> parked_;
  std::vector<relayed_announcement> parked_relayed_;
  std::set<std::string> wanted_;   // credentials to ask the peer for
  std::set<std::string> asked_;    // asked for in the frame that has no answer yet
  std::set<std::string> not_held_; // the peer was asked for them and does not have them
  bool ended_ = false;
  std::string reason_;
  uint64_t started_ms_ = 0;
  uint64_t heard_ms_ = 0;   // last byte from the peer
  uint64_t traffic_ms_ = 0; // last batch or custody, either way
  uint64_t ping_us_ = 0;    // when the open ping went out; 0: none is open
  uint64_t pinged_ms_ = 0;  // when the last one did
  uint64_t round_trip_us_ = 0;
  link_meter meter_;
  uint64_t authorized_us_ = 0;
  bool known_ = false; // to store and forward
  credit_grant held_back_;
  bool credit_seen_ = false; // the peer is up
  bool hub_told_ = false;
  metric_queue metrics_;
  size_t unsent_ = 0;
  std::set<std::string> wanted_there_; // patterns of ours
  std::set<std::string> wanted_here_;  // patterns of the peer
  metrics::counter* metrics_replaced_ = nullptr;
};

} // namespace rvi
