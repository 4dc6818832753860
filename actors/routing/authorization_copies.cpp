// SPDX-License-Identifier: MPL-2.0
//
// Copies of a key (HLD 3.2.7): keeps the records of the clone guard durable in its order, and draws
// the consequence of an alarm. A node whose key two hold is refused until its issuer gives it a new
// credential, which it will for a new key; what its own signature proves is kept as a report.

#include "actors/routing/authorization.hpp"
#include "actors/storage/transaction.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "authorization";

std::string key_of(std::string_view prefix, const node_uid& peer) {
  return std::string{prefix} + to_string(peer);
}

transaction_step write(std::string key, std::string value) {
  return [key = std::move(key), value = std::move(value)](transaction& t) {
    t.use_reserve(true);
    return t.put(table::nodes, key, value);
  };
}

/// All that a third party needs to see that the accused key signed for this session. That its token
/// had been replaced is our word.
std::string report_of(const node_context& node, const session_binding& binding, const admitted& x,
                      const std::string& body, const std::string& signature) {
  json::writer out;
  out.begin_object()
    .member("reporter", to_string(node.uid))
    .member("node_uid", to_string(x.peer.uid))
    .member("node_address", x.peer.node_address)
    .member("detected_ms", node.time->wall_ms())
    .member("token_counter", read_u64(x.clone_proof))
    .member("accused_dialled", !binding.client)
    .member("accused_spki", crypto::base64url(binding.peer_spki))
    .member("reporter_spki", crypto::base64url(binding.own_spki))
    .member("exporter", crypto::base64url(binding.exporter))
    .member("authorize_body", crypto::base64url(body))
    .member("authorize_signature", crypto::base64url(signature))
    .end_object();
  return out.take();
}

} // namespace

void authorization_state::take_clone_records(
  const std::vector<std::pair<std::string, std::string>>& stored) {
  auto shut_out = std::make_shared<std::map<node_uid, uint64_t>>();
  unreported.clear();
  for (auto& [key, value] : stored) { // in the order of their keys: reports come before `reported`
    if (key.starts_with(clone_report_prefix)) {
      unreported[key.substr(clone_report_prefix.size())] = value;
      continue;
    }
    if (key.starts_with(clone_reported_prefix)) {
      unreported.erase(key.substr(clone_reported_prefix.size()));
      continue;
    }
    if (!key.starts_with(clone_quarantine_prefix)) {
      if (auto err = guard.restore(key, value))
        log::error(component, "a record was not read", {{"key", key}, {"error", describe(err)}});
      continue;
    }
    auto uid = crypto::unhex(std::string_view{key}.substr(clone_quarantine_prefix.size()));
    if (!uid || uid->size() != 16 || value.size() != 8)
      continue;
    node_uid peer;
    std::copy_n(uid->begin(), 16, reinterpret_cast<char*>(peer.data()));
    (*shut_out)[peer] = read_u64(value);
  }
  change_rights([&](rights& x) { x.quarantine = shut_out; });
}

// -- what we ask of others ------------------------------------------------------------------------

bool authorization_state::judge_copy(const link_actor& link, const session_binding& binding,
                                     admitted& x, const std::string& body,
                                     const std::string& signature) {
  clone_session proven{x.peer.uid, config.node->uid, !binding.client, binding.exporter};
  x.clone = guard.judge(x.clone_proof, proven, binding.started_ms);
  if (x.clone != clone_verdict::retired)
    return true;
  quarantine(link, x, report_of(*config.node, binding, x, body, signature));
  return false;
}

void authorization_state::quarantine(const link_actor& link, const admitted& x,
                                     std::string report) {
  auto peer = x.peer.uid;
  clone_alarms->add();
  audit::record("clone_alarm", {{"peer", x.peer.node_address}, {"uid", to_string(peer)}});
  log::error(component, "the key of a peer is in two places; it is refused from now on",
             {{"peer", x.peer.node_address}, {"uid", to_string(peer)}});
  auto since_s = config.node->time->wall_ms() / 1'000;
  transaction_step step = [peer, since_s, report](transaction& t) -> caf::error {
    t.use_reserve(true);
    std::string since;
    append_u64(since, since_s);
    if (auto err = t.put(table::nodes, key_of(clone_quarantine_prefix, peer), since))
      return err;
    if (auto err = t.put(table::nodes, key_of(clone_report_prefix, peer), report))
      return err;
    for (auto prefix : {clone_asked_prefix, clone_reported_prefix})
      if (auto erased = t.erase(table::nodes, key_of(prefix, peer)); !erased)
        return std::move(erased.error());
    return {};
  };
  // In force at once; the disk makes it last.
  guard.forget(peer);
  change_rights([&](rights& next) {
    auto all = next.quarantine ? std::make_shared<std::map<node_uid, uint64_t>>(*next.quarantine)
                               : std::make_shared<std::map<node_uid, uint64_t>>();
    (*all)[peer] = since_s;
    next.quarantine = std::move(all);
  });
  refuse_peer(link,
              caf::make_error(ec::quarantined, "the key of " + x.peer.node_address
                                                 + " is in two places; it needs a new one"),
              x.who());
  close_fallen(false);
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then([](atom::committed) {},
          [](const caf::error& err) {
            log::error(component, "a quarantine will not outlast this start",
                       {{"error", describe(err)}});
          });
  unreported[to_string(peer)] = report;
  for (auto& waiting : std::exchange(report_awaited, {}))
    waiting.deliver(report);
}

// Who asks hears of one until he says that its issuer knows; a start anew forgets who asked.
caf::result<std::string> authorization_state::next_clone_report() {
  if (!unreported.empty())
    return unreported.begin()->second;
  report_awaited.push_back(self->make_response_promise<std::string>());
  return report_awaited.back();
}

caf::result<std::string> authorization_state::clone_reported(const std::vector<std::string>& uids) {
  auto promise = self->make_response_promise<std::string>();
  transaction_step step = [uids](transaction& t) -> caf::error {
    for (auto& uid : uids)
      if (auto err = t.put(table::nodes, std::string{clone_reported_prefix} + uid, ""))
        return err;
    return {};
  };
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then(
      [this, promise, uids](atom::committed) mutable {
        for (auto& uid : uids)
          unreported.erase(uid);
        promise.deliver(std::string{});
      },
      [promise](const caf::error& err) mutable { promise.deliver(err); });
  return promise;
}

void authorization_state::accept_proof(const admitted& x) {
  if (x.clone == clone_verdict::pending)
    promote_token(x.peer.uid, read_u64(x.clone_proof));
  note_suspect(x);
}

void authorization_state::note_suspect(const admitted& x) {
  if (x.clone != clone_verdict::unknown)
    return;
  clone_suspects->add();
  log::warning(component,
               "a peer came without the token it was given: a restored backup, or a copy",
               {{"peer", x.peer.node_address}, {"uid", to_string(x.peer.uid)}});
  audit::record("clone_suspect", {{"peer", x.peer.node_address}, {"uid", to_string(x.peer.uid)}});
}

void authorization_state::promote_token(const node_uid& peer, uint64_t counter) {
  if (!guard.promote(peer, counter, config.node->time->boot_ms()))
    return;
  // Nobody waits: before it is on disk both tokens are good.
  self
    ->request(config.store, caf::infinite, atom::defer_v,
              write(key_of(clone_asked_prefix, peer), guard.asked_record(peer)))
    .then([](atom::committed) {}, [](const caf::error&) {});
}

void authorization_state::offer_token(const session& to) {
  auto peer = to.peer.peer.uid;
  auto token = guard.offer(peer, config.node->time->wall_ms());
  if (!token)
    return;
  self
    ->request(config.store, caf::infinite, atom::commit_v,
              write(key_of(clone_asked_prefix, peer), guard.asked_record(peer)))
    .then([this, link = to.link,
           x = *token](atom::committed) { self->send(link, atom::rotate_v, x.counter, x.token); },
          [](const caf::error&) {}); // the next session offers it again
}

void authorization_state::token_kept(const link_actor& link, uint64_t counter) {
  if (auto from = find_session(link))
    promote_token(from->peer.peer.uid, counter);
}

// -- what others ask of us ------------------------------------------------------------------------

void authorization_state::token_offered(const link_actor& link, clone_token x) {
  auto from = find_session(link);
  if (!from)
    return;
  auto peer = from->peer.peer.uid;
  switch (guard.take_offer(peer, x)) {
    case clone_guard::offered::stale:
      return;
    case clone_guard::offered::kept:
      self->send(link, atom::confirm_v, x.counter);
      return;
    case clone_guard::offered::store:
      break;
  }
  // Proven only once it cannot be lost any more.
  self
    ->request(config.store, caf::infinite, atom::commit_v,
              write(key_of(clone_held_prefix, peer), clone_guard::held_record(x)))
    .then(
      [this, link, peer, x](atom::committed) {
        guard.keep(peer, x);
        self->send(link, atom::confirm_v, x.counter);
      },
      [](const caf::error&) {});
}

} // namespace rvi
