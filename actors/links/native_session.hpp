// SPDX-License-Identifier: MPL-2.0
//
// One end of a native session (`rvi/2`) without socket and without actor: frames in, events out.
// It knows the order of things and the limits; whom to believe is decided by its owner.

#pragma once

#include "actors/metric_queue.hpp"
#include "messages/batches.hpp"
#include "messages/wire/frame.hpp"

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rvi {

struct native_session_limits {
  wire::frame_limits frames;
  size_t unauthorized_bytes_max = size_t{64} << 10; // before the peer's Authorize is whole
  uint32_t credit_envelopes = 4'096;                // what a peer may have unconfirmed here
  uint64_t credit_bytes = uint64_t{16} << 20;
};

// What a session tells its owner.
struct peer_authorize {
  std::string body;
  std::string signature;
};
struct peer_announce {
  bool full = false;
  std::vector<announce_entry> entries;
};
struct peer_relayed {
  relayed_announcement announcement;
};
struct peer_batch {
  std::string bytes; // a serialised Batch
};
struct peer_custody {
  custody_report report;
};
struct peer_fragment {
  argument_fragment content;
};
struct peer_fragment_state {
  fragment_state state;
};
struct peer_credit {
  credit_grant grant;
};
struct peer_needs {
  std::vector<std::string> hashes;
};
struct peer_chain {
  std::vector<std::string> credentials;
};
struct peer_revocations {
  std::vector<std::string> lists;
};
/// HLD 3.2.7: what we are to prove to hold next time.
struct peer_token {
  uint64_t counter = 0;
  std::string token; // 32 bytes
};
/// The peer keeps the token with this number.
struct peer_token_kept {
  uint64_t counter = 0;
};
/// HLD 6.1.3: what the peer wants of our metrics.
struct peer_subscriptions {
  metric_subscriptions content;
};
/// Metrics of the peer. Nothing about them is checked but their sizes.
struct peer_values {
  std::vector<metric_value_ptr> values;
};
struct peer_pong {
  uint64_t nonce = 0;
};
struct peer_bye {
  std::string reason;
  std::string detail;
};
/// Both sides are authorized and announced.
struct session_up {};

using session_event
  = std::variant<peer_authorize, peer_announce, peer_batch, peer_custody, peer_credit, peer_needs,
                 peer_chain, peer_revocations, peer_token, peer_token_kept, peer_subscriptions,
                 peer_values, peer_pong, peer_bye, session_up, peer_relayed, peer_fragment,
                 peer_fragment_state>;

class native_session {
public:
  explicit native_session(native_session_limits limits);

  /// Takes decrypted bytes. An error ends the session: say Bye with it.
  /// Errors: `malformed`, `limit_exceeded`, `unauthorized` (something before its time).
  caf::error receive(std::string_view bytes);
  std::optional<session_event> next();

  void introduce(std::string body, std::string signature);
  /// The peer's Authorize is accepted; what it sent since is read now.
  caf::error admitted(uint64_t frame_bytes_max);
  void announce(bool full, const std::vector<announce_entry>& entries);
  /// Services of others that this node carries for.
  void announce_relayed(const relayed_announcement& x);
  /// The peer's first announcement is accepted.
  void announcement_accepted();

  void transmit(const batch& x);
  void transmit(const argument_fragment& x);
  /// Tells the peer what is durable here and gives it the credit back.
  void custody(const custody_report& x);
  /// Tells the peer how far its large arguments are durable here and gives credit back.
  void fragment(const fragment_state& x);
  /// At most 4.
  void need_credentials(const std::vector<std::string>& hashes);
  void credentials(const std::vector<std::string>& texts);
  /// Signed lists, a frame each; those beyond the peer's frames are left out.
  void revocations(const std::vector<std::string>& lists);
  void clone_token(uint64_t counter, const std::string& token);
  void clone_token_kept(uint64_t counter);
  /// What we want of the peer's metrics; to a peer that is up.
  void subscribe(const metric_subscriptions& x);
  /// One frame of what waits in the queue, at most `bytes_max`; to a peer that is up.
  void publish(metric_queue& waiting, size_t bytes_max);
  void ping(uint64_t nonce);
  void bye(std::string_view reason, std::string_view detail);

  std::string take_output();
  size_t output_bytes() const { return output_.size(); }
  bool is_up() const { return up_; }
  bool is_admitted() const { return admitted_; }

private:
  caf::error read_frames();
  caf::error take_frame(std::string_view bytes);
  caf::error take_admitted(wire::Frame& frame);
  caf::error take_announce(const wire::Frame& frame);
  caf::error take_relayed(const wire::Frame& frame);
  caf::error take_batch(std::string_view batch);
  caf::error take_fragment(wire::Frame& frame);
  caf::error take_chain(const wire::Frame& frame);
  caf::error take_metrics(const wire::Frame& frame);
  void check_up();
  void append(const wire::Frame& frame);

  native_session_limits limits_;
  wire::frame_reader reader_;
  std::string output_;
  std::list<session_event> events_; // most sessions are idle, and an empty deque is not small
  uint64_t peer_frame_bytes_max_ = wire::frame_bytes_max_default;
  bool introduced_ = false;     // our Authorize is out
  bool authorize_seen_ = false; // the peer's is in
  bool admitted_ = false;       // and accepted
  bool announced_ = false;      // ours is out
  bool announce_accepted_ = false;
  bool up_ = false;
  bool ended_ = false;                 // Bye in or out
  uint64_t unconfirmed_envelopes_ = 0; // received, custody not told
  uint64_t unconfirmed_bytes_ = 0;
  uint64_t unconfirmed_fragment_bytes_ = 0; // the same credit, given back piece by piece
  std::vector<std::string> asked_for_;      // credential hashes
};

} // namespace rvi
