// SPDX-License-Identifier: MPL-2.0

#include "actors/links/link_session.hpp"

#include "actors/links/link_policy.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/crypto.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace rvi {

namespace {
constexpr const char* component = "link";
constexpr uint64_t silence_periods = 3; // of keepalive, then the peer is given up
} // namespace

link_session::link_session(link_session_config config, link_actor self)
  : config_(std::move(config)),
    self_(std::move(self)),
    session_(config_.limits),
    metrics_(config_.metrics) {
  started_ms_ = heard_ms_ = traffic_ms_ = config_.services.node->time->boot_ms();
}

/// One for each peer: what it sends again over another link is known there.
const verifier_actor& link_session::verifier() const {
  return config_.services.verifiers[peer_.uid.back() % config_.services.verifiers.size()];
}

void link_session::start(session_binding binding) {
  binding_ = std::move(binding);
  binding_.started_ms = started_ms_;
  binding_.link_kind = config_.kind;
  binding_.remote_address = config_.remote_address;
  heard_ms_ = config_.services.node->time->boot_ms();
  // The dialling side shows itself first; the other answers once it has seen who it is.
  if (binding_.client)
    caf::anon_send(config_.services.authorization, atom::introduce_v, self_, binding_);
}

void link_session::receive(std::string_view bytes) {
  heard_ms_ = config_.services.node->time->boot_ms();
  auto err = session_.receive(bytes);
  take_events();
  if (err)
    fail(err);
}

void link_session::take_events() {
  while (auto event = session_.next())
    std::visit([this](auto& x) { take(std::move(x)); }, *event);
}

void link_session::fail(const caf::error& why) {
  log::warning(component, "session ended by us",
               {{"link", config_.number}, {"peer", peer_.node_address}, {"reason", describe(why)}});
  config_.services.node->metrics
    ->get_counter("rvi_session_violations_total", "Sessions ended for what the peer sent.",
                  {{"code", to_string(code_of(why))}})
    .add();
  audit::refused(
    "session", why,
    {{"peer", peer_.node_address}, {"peer_uid", peer_uid()}, {"address", config_.remote_address}});
  close(to_string(code_of(why)), detail_of(why));
}

std::string link_session::peer_uid() const {
  auto key = crypto::public_key::from_spki(binding_.peer_spki);
  return key ? to_string(key->uid()) : std::string{};
}

void link_session::close(std::string_view reason, std::string_view detail) {
  if (ended_)
    return;
  session_.bye(reason, detail);
  ended_ = true;
  reason_ = std::string{reason};
  if (!detail.empty())
    reason_ += ": " + std::string{detail};
}

// -- events of the session ----------------------------------------------------------------------

void link_session::take(peer_authorize x) {
  caf::anon_send(config_.services.authorization, atom::admit_v, self_, binding_, std::move(x.body),
                 std::move(x.signature));
}

void link_session::take(peer_announce x) {
  caf::anon_send(config_.services.service_discovery, atom::announce_v, self_, peer_, x.full,
                 std::move(x.entries));
}

void link_session::take(peer_batch x) {
  traffic_ms_ = config_.services.node->time->boot_ms();
  caf::anon_send(verifier(), atom::verify_v, self_, config_.number, peer_, std::move(x.bytes));
}

void link_session::take(peer_custody x) {
  traffic_ms_ = config_.services.node->time->boot_ms();
  if (meter_.confirmed(x.report, config_.services.node->time->boot_us()))
    report_measure();
  caf::anon_send(config_.services.store_and_forward, atom::custody_v, config_.number,
                 std::move(x.report));
}

void link_session::take(peer_credit x) {
  credit_seen_ = true;
  may_tell_hub();
  if (!known_) {
    held_back_.envelopes += x.grant.envelopes;
    held_back_.bytes += x.grant.bytes;
    return;
  }
  caf::anon_send(config_.services.store_and_forward, atom::credit_v, config_.number, x.grant);
}

void link_session::take(peer_needs x) {
  caf::anon_send(config_.services.authorization, atom::learn_v, self_, std::move(x.hashes));
}

void link_session::take(peer_chain x) {
  caf::anon_send(config_.services.authorization, atom::learn_v, std::move(x.credentials), self_);
}

void link_session::take(peer_revocations x) {
  caf::anon_send(config_.services.authorization, atom::revoke_v, self_, std::move(x.lists));
}

void link_session::take(peer_token x) {
  caf::anon_send(config_.services.authorization, atom::rotate_v, self_, x.counter,
                 std::move(x.token));
}

void link_session::take(peer_token_kept x) {
  caf::anon_send(config_.services.authorization, atom::confirm_v, self_, x.counter);
}

void link_session::take(peer_pong x) {
  if (ping_us_ == 0 || x.nonce != ping_us_)
    return; // an answer to an earlier one says nothing about the way now
  round_trip_us_ = std::max<uint64_t>(config_.services.node->time->boot_us() - ping_us_, 1);
  ping_us_ = 0;
  report_measure();
}

void link_session::report_measure() {
  caf::anon_send(config_.services.data_link, atom::status_v, config_.number,
                 link_measure{round_trip_us_, meter_.bytes_per_s()});
}

void link_session::ping() {
  ping_us_ = std::max<uint64_t>(config_.services.node->time->boot_us(), 1);
  pinged_ms_ = config_.services.node->time->boot_ms();
  session_.ping(ping_us_);
}

void link_session::take(peer_fragment x) {
  traffic_ms_ = config_.services.node->time->boot_ms();
  caf::anon_send(config_.services.store_and_forward, atom::fragment_v, self_, config_.number,
                 std::move(x.content));
}

void link_session::take(peer_fragment_state x) {
  traffic_ms_ = config_.services.node->time->boot_ms();
  caf::anon_send(config_.services.store_and_forward, atom::fragment_v, config_.number,
                 std::move(x.state));
}

void link_session::take(peer_bye x) {
  ended_ = true;
  reason_ = "peer: " + x.reason + (x.detail.empty() ? "" : ": " + x.detail);
}

void link_session::take(session_up) {
  link_info info;
  info.link = config_.number;
  info.peer = peer_;
  info.kind = agreed_kind(config_.dialled, config_.kind, peer_.link_kind);
  info.own_kind = config_.kind;
  info.remote_address = config_.remote_address;
  info.dialled = config_.dialled;
  info.round_trip_us = round_trip_us_;
  info.services = services_;
  info.authorized_us = authorized_us_;
  info.up_us = config_.services.node->time->boot_us();
  caf::anon_send(config_.services.data_link, atom::link_up_v, self_, std::move(info));
  caf::anon_send(config_.services.authorization, atom::link_up_v, self_);
  may_tell_hub();
}

// -- answers of the node ------------------------------------------------------------------------

void link_session::introduce(std::string body, std::string signature) {
  session_.introduce(std::move(body), std::move(signature));
  if (peer_.node_address.empty())
    return;
  // We answered a client that is admitted: now it may know what we have (HLD 7.7).
  caf::anon_send(config_.services.service_discovery, atom::announce_v, self_, peer_);
}

void link_session::admit(const peer_identity& peer) {
  peer_ = peer;
  authorized_us_ = config_.services.node->time->boot_us();
  if (binding_.client)
    caf::anon_send(config_.services.service_discovery, atom::announce_v, self_, peer_);
  else
    caf::anon_send(config_.services.authorization, atom::introduce_v, self_, binding_);
  auto err = session_.admitted(peer.frame_bytes_max);
  take_events();
  if (err)
    fail(err);
}

void link_session::announce(bool full, const std::vector<announce_entry>& entries) {
  session_.announce(full, entries);
  take_events();
}

void link_session::available(const std::vector<std::string>& services) {
  services_ = services;
  session_.announcement_accepted();
  take_events();
}

void link_session::transmit(const batch& x) {
  traffic_ms_ = config_.services.node->time->boot_ms();
  for (auto& item : x)
    config_.services.node->record(item->header.id, 12, item->header.is_reply(), "transmit data");
  meter_.sent(x, config_.services.node->time->boot_us());
  session_.transmit(x);
}

void link_session::custody(const custody_report& x) {
  traffic_ms_ = config_.services.node->time->boot_ms();
  session_.custody(x);
}

void link_session::transmit(const argument_fragment& x) {
  traffic_ms_ = config_.services.node->time->boot_ms();
  session_.transmit(x);
}

void link_session::fragment(const fragment_state& x) {
  traffic_ms_ = config_.services.node->time->boot_ms();
  session_.fragment(x);
}

void link_session::learn(const std::vector<std::string>& credentials) {
  session_.credentials(credentials);
}

void link_session::unknown_credential(std::string batch_bytes, const std::string& hash) {
  if (not_held_.count(hash) != 0) {
    refuse_unknown(batch_bytes);
    return;
  }
  parked_.push_back({hash, std::move(batch_bytes)});
  ask_credential(hash);
}

void link_session::credentials_known() {
  auto answered = asked_;
  credentials_answered();
  for (auto& x : std::exchange(parked_, {}))
    if (answered.count(x.credential_hash) == 0)
      parked_.push_back(std::move(x)); // its own is still to be asked for
    else
      caf::anon_send(verifier(), atom::verify_v, self_, config_.number, peer_, std::move(x.bytes));
}

void link_session::revocations(const std::vector<std::string>& lists) {
  session_.revocations(lists);
}

void link_session::clone_token(uint64_t counter, const std::string& token) {
  session_.clone_token(counter, token);
}

void link_session::clone_token_kept(uint64_t counter) {
  session_.clone_token_kept(counter);
}

void link_session::known() {
  known_ = true;
  caf::anon_send(config_.services.store_and_forward, atom::credit_v, config_.number,
                 std::exchange(held_back_, {}));
  if (!ended_)
    ping(); // who waits for this link wants to know what it is like
}

void link_session::tick() {
  auto now = config_.services.node->time->boot_ms();
  if (ended_)
    return;
  if (!session_.is_up()) {
    if (now - started_ms_ >= config_.authorize_ms_max)
      close("timeout", "not authorized in time");
    return;
  }
  if (peer_.expires_ms <= config_.services.node->time->wall_ms()) {
    close("credential_expired", "the peer's credentials have ended");
    return;
  }
  if (config_.idle_ms != 0 && !subscribed() && now - traffic_ms_ >= config_.idle_ms) {
    close("idle", "");
    return;
  }
  if (config_.keepalive_ms == 0)
    return;
  if (now - heard_ms_ >= silence_periods * config_.keepalive_ms) {
    close("timeout", "the peer is silent");
    return;
  }
  // Again after each period: on some links a ping may get lost.
  if (now - std::max(heard_ms_, pinged_ms_) >= config_.keepalive_ms)
    ping();
}

std::optional<uint64_t> link_session::next_deadline_ms() const {
  if (ended_)
    return std::nullopt;
  if (!session_.is_up())
    return started_ms_ + config_.authorize_ms_max;
  auto now = config_.services.node->time->boot_ms();
  auto wall = config_.services.node->time->wall_ms();
  auto left = peer_.expires_ms > wall ? peer_.expires_ms - wall : 0;
  auto result = now + std::min<uint64_t>(left, UINT64_MAX - now);
  if (config_.idle_ms != 0 && !subscribed())
    result = std::min(result, traffic_ms_ + config_.idle_ms);
  if (config_.keepalive_ms != 0)
    result = std::min({result, heard_ms_ + silence_periods * config_.keepalive_ms,
                       std::max(heard_ms_, pinged_ms_) + config_.keepalive_ms});
  return result;
}

} // namespace rvi
