// SPDX-License-Identifier: MPL-2.0
//
// A native peer that does what it likes: TLS and frames over a blocking socket, and the bytes a
// good peer would send, for tests to change. It signs by the rules of rvi.proto on its own.

#pragma once

#include "messages/batches.hpp"
#include "messages/credential.hpp"
#include "messages/wire/frame.hpp"
#include "runtime/tls/tls.hpp"
#include "rvi.pb.h"
#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace rvi::test {

/// A node that exists only as a key and a credential.
struct peer_card {
  /// The credential is good; its holder is `address` and may reach `destinations`.
  peer_card(const ::test::authority& root, std::string address,
            std::vector<std::string> destinations);

  ::rvi::wire::AuthorizeBody body();
  /// A request of ours, one tree over all, valid for a minute.
  ::rvi::batch
  requests(const std::vector<std::string>& targets, const std::vector<std::string>& arguments,
           request_kind kind = request_kind::rpc);
  request_header header(const std::string& target);
  ::rvi::batch sign(std::vector<request_header> headers, const std::vector<std::string>& arguments);
  ::rvi::wire::AnnounceEntry entry(const std::string& service, bool available = true);

  std::string address;
  crypto::private_key key;
  credential_ptr credential;
  uint64_t authorize_id = 0; // the last one used
  uint64_t seq = 0;
};

/// How the node ended a session.
struct ending {
  bool closed = false;
  std::string reason; // of its Bye; empty: none came
  std::string detail;
};

class hostile_peer {
public:
  /// Connects to 127.0.0.1; TLS comes with `handshake`.
  explicit hostile_peer(uint16_t port);
  ~hostile_peer();
  hostile_peer(const hostile_peer&) = delete;
  hostile_peer& operator=(const hostile_peer&) = delete;

  void send_raw(std::string_view bytes);
  bool handshake(const crypto::private_key& key);

  /// In the TLS session.
  void send(std::string_view plaintext);
  void send(const ::rvi::wire::Frame& x);
  void send(const ::rvi::batch& x);
  void send_authorize(const std::string& body, const std::string& signature);
  /// What a client must sign in this session.
  std::string
  sign(const std::string& body, const crypto::private_key& key, bool client = true) const;
  /// What only this session has, and who is at its other end.
  std::string exporter() const;
  std::string peer_spki() const { return tls_->peer_spki(); }
  void announce(bool full, const std::vector<::rvi::wire::AnnounceEntry>& entries);

  /// Handshake and a good Authorize; the node's own is checked.
  void authorize(peer_card& x);
  /// All of that and empty announcements; returns when the node has given credit.
  void come_up(peer_card& x);

  /// The next frame, or nothing if the session ended or none came in time.
  std::optional<::rvi::wire::Frame> read(milliseconds time = node_patience);
  /// Skips other frames.
  std::optional<::rvi::wire::Frame> read_until(::rvi::wire::Frame::ContentCase what);
  /// What the node said of these ids: "accepted", a refusal's code, or "nothing".
  std::string custody_of(const transaction_id& id, bool reply = false);
  /// Reads until the node closes.
  ending end(milliseconds time = node_patience);
  /// What came in plain before the end of the connection.
  std::string read_raw_until_end(milliseconds time = node_patience);
  void close();

private:
  bool receive(milliseconds time);
  void flush();

  int fd_ = -1;
  bool over_ = false;
  crypto::private_key key_;
  std::optional<tls::session> tls_;
  ::rvi::wire::frame_reader reader_{size_t{2} << 20};
};

inline constexpr const char* echo_target = "rpc:jlr.com/cloud/media_server/echo";

/// A real cloud node with an echo service, and a peer with a good credential and bad manners. At
/// the end of each test the node must still serve a good peer.
struct hostile_fixture {
  explicit hostile_fixture(const std::string& links = {});
  ~hostile_fixture();

  /// Why an Authorize with this body, signed well for its session, is not accepted.
  std::string refused(const crypto::private_key& tls_key, const std::string& body);
  std::string refused(peer_card& x) { return refused(x.key, x.body().SerializeAsString()); }
  /// The attacker's credential with other claims.
  credential_ptr changed(const std::function<void(credential_claims&)>& change);
  /// How often the service was given a request with these arguments.
  size_t invoked(const std::string& arguments) const;
  /// Waits until it was at least once.
  bool invokes(const std::string& arguments);
  void check_still_serving();

  node_world world;
  uint16_t port = free_port();
  node_process cloud;
  service_client media_server{cloud.socket()};
  peer_card attacker{world.provisioning, "jlr.com/vin/666", {"jlr.com/cloud/media_server"}};
};

/// Cuts one frame out of what append_batch_frames makes.
::rvi::wire::Frame frame_of(const ::rvi::batch& x);
/// A batch of one item whose header is any bytes, signed well.
::rvi::wire::Frame
signed_frame(const peer_card& from, const std::string& header, const std::string& arguments);

} // namespace rvi::test
