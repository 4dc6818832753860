// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/clone_guard.hpp"

#include "messages/transaction_id.hpp"

#include <algorithm>
#include <utility>

namespace rvi {

namespace {

constexpr std::string_view proof_label = "RVI-CLONE-1";
constexpr size_t token_record_bytes = 8 + clone_token_bytes;
constexpr size_t records_max = 2 + clone_tokens_retired_max;

caf::error damaged() {
  return caf::make_error(ec::malformed, std::string{"a record about tokens against copies"});
}

/// A token that there is not is all zero.
void append_token(std::string& out, const clone_token& x) {
  append_u64(out, x.counter);
  out += x.token.empty() ? std::string(clone_token_bytes, '\0') : x.token;
}

clone_token read_token(std::string_view bytes) {
  clone_token result{read_u64(bytes), std::string{bytes.substr(8, clone_token_bytes)}};
  if (result.counter == 0)
    result.token.clear();
  return result;
}

bool proves(std::string_view proof, const clone_token& x, const clone_session& session) {
  return !x.token.empty() && crypto::equal_constant_time(clone_proof(x, session), proof);
}

std::optional<node_uid> uid_from(std::string_view hex) {
  auto bytes = crypto::unhex(hex);
  if (!bytes || bytes->size() != 16)
    return std::nullopt;
  node_uid result;
  std::copy_n(bytes->begin(), 16, reinterpret_cast<char*>(result.data()));
  return result;
}

} // namespace

std::string clone_proof(const clone_token& x, const clone_session& session) {
  if (x.token.empty())
    return {};
  std::string input{proof_label};
  input.push_back(session.client ? 1 : 2);
  input += crypto::view(session.prover);
  input += crypto::view(session.asker);
  input += session.exporter;
  append_u64(input, x.counter);
  std::string result;
  append_u64(result, x.counter);
  result += crypto::view(crypto::hmac_sha256(x.token, input));
  return result;
}

caf::error clone_guard::restore(std::string_view key, std::string_view value) {
  bool asked = key.starts_with(clone_asked_prefix);
  auto uid = uid_from(key.substr(asked ? clone_asked_prefix.size() : clone_held_prefix.size()));
  auto count = value.size() / token_record_bytes;
  if (!uid || value.size() % token_record_bytes != 0 || count > records_max
      || count < (asked ? 2U : 1U))
    return damaged();
  if (!asked) {
    auto token = read_token(value);
    held_[*uid] = {token, token.counter};
    return {};
  }
  auto& x = asked_[*uid];
  x.current = read_token(value);
  x.pending = read_token(value.substr(token_record_bytes));
  for (size_t i = 2; i < count; ++i)
    x.retired.push_back({read_token(value.substr(i * token_record_bytes)), 0});
  return {};
}

// -- what we ask of others ------------------------------------------------------------------------

clone_verdict clone_guard::judge(std::string_view proof, const clone_session& session,
                                 uint64_t started_ms) const {
  auto i = asked_.find(session.prover);
  if (i == asked_.end())
    return clone_verdict::first;
  auto& x = i->second;
  if (proves(proof, x.pending, session))
    return clone_verdict::pending;
  if (x.current.token.empty())
    return clone_verdict::first;
  if (proves(proof, x.current, session))
    return clone_verdict::current;
  for (auto& old : x.retired)
    if (proves(proof, old, session))
      // The peer may have signed for this session before it kept the token that replaced this one.
      return started_ms <= old.retired_ms ? clone_verdict::late : clone_verdict::retired;
  return clone_verdict::unknown;
}

bool clone_guard::promote(const node_uid& peer, uint64_t counter, uint64_t boot_ms) {
  auto i = asked_.find(peer);
  if (i == asked_.end() || i->second.pending.token.empty() || i->second.pending.counter != counter)
    return false;
  auto& x = i->second;
  if (!x.current.token.empty())
    x.retired.insert(x.retired.begin(), {std::move(x.current), boot_ms});
  if (x.retired.size() > clone_tokens_retired_max)
    x.retired.pop_back();
  x.current = std::exchange(x.pending, {});
  return true;
}

std::optional<clone_token> clone_guard::offer(const node_uid& peer, uint64_t wall_ms) {
  if (!asked_.count(peer) && asked_.size() >= peers_max_)
    return std::nullopt;
  auto& x = asked_[peer];
  // The peer may already prove a pending token: it is never replaced by another.
  if (x.pending.token.empty())
    // By time, so that numbers rise even if our store was lost.
    x.pending = {std::max(x.current.counter + 1, wall_ms), crypto::random_bytes(clone_token_bytes)};
  return x.pending;
}

std::string clone_guard::asked_record(const node_uid& peer) const {
  std::string result;
  auto i = asked_.find(peer);
  if (i == asked_.end())
    return result;
  append_token(result, i->second.current);
  append_token(result, i->second.pending);
  for (auto& x : i->second.retired)
    append_token(result, x);
  return result;
}

const asked_tokens* clone_guard::asked(const node_uid& peer) const {
  auto i = asked_.find(peer);
  return i == asked_.end() ? nullptr : &i->second;
}

// -- what others ask of us ------------------------------------------------------------------------

std::string clone_guard::prove(const clone_session& session) const {
  auto i = held_.find(session.asker);
  return i == held_.end() ? std::string{} : clone_proof(i->second.token, session);
}

clone_guard::offered clone_guard::take_offer(const node_uid& peer, const clone_token& x) {
  if (x.counter == 0 || (!held_.count(peer) && held_.size() >= peers_max_))
    return offered::stale;
  auto& held = held_[peer];
  // Over several links an old offer may come late; to keep it would be to prove a retired token.
  if (x.counter < held.offered)
    return offered::stale;
  held.offered = x.counter;
  if (x.counter == held.token.counter)
    return x.token == held.token.token ? offered::kept : offered::stale;
  return offered::store;
}

void clone_guard::keep(const node_uid& peer, const clone_token& x) {
  auto& held = held_[peer];
  if (x.counter > held.token.counter)
    held.token = x;
}

std::string clone_guard::held_record(const clone_token& x) {
  std::string result;
  append_token(result, x);
  return result;
}

} // namespace rvi
