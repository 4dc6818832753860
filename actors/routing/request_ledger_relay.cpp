// SPDX-License-Identifier: MPL-2.0
//
// The ledger of a relay: what it carries for others, from custody to custody; and what the
// originator notes of a copy that a relay has (HLD 13, decisions 4).

#include "actors/routing/arrival_check.hpp"
#include "actors/routing/ledger_records.hpp"
#include "actors/routing/request_ledger.hpp"
#include "actors/routing/stored_envelope.hpp"

#include <algorithm>

namespace rvi::ledger {

namespace {

constexpr char carried_suffix = 'r';

caf::error forget_carried(transaction& t, std::string_view id, IdRecord& x) {
  return first_of({leave_queue(t, x), drop_content(t, x), drop_outcome(t, x),
                   drop(t, table::due, due_key(x.due_ms(), id)), drop(t, table::ids, id)});
}

/// All is passed on. Who did not hear of it sends the reply again: for a while it is known as one
/// that was here, but does not count as carried. False if that was so before.
expected<bool> finish_carried(transaction& t, std::string_view id, IdRecord& x, uint64_t now_ms) {
  if (x.outcome_record() == 0)
    return false;
  if (auto err = first_of({leave_queue(t, x), drop_outcome(t, x),
                           set_due(t, id, x, std::min(x.due_ms(), now_ms + remember_ms)),
                           put_record(t, id, x)}))
    return err;
  return true;
}

caf::error hold(transaction& t, std::string_view id, IdRecord& record, const envelope& x,
                const queue_ref& queue, uint64_t seq) {
  return first_of({t.append(table::records, seq_key(seq), encode_stored(x)),
                   enqueue(t, queue, seq, id, record, x.size(), entry_kind::request),
                   set_due(t, id, record, due_of(x)), put_record(t, id, record)});
}

} // namespace

std::string carried_key(const transaction_id& x) {
  return to_bytes(x) + carried_suffix;
}

bool is_carrying(const IdRecord& x) {
  return x.state() != storage::DONE || x.outcome_record() != 0;
}

bool is_carried(std::string_view id) {
  return id.back() == carried_suffix;
}

expected<carried> carry(transaction& t, const envelope& x, const node_uid& from,
                        const queue_ref& queue, uint64_t seq) {
  t.use_reserve(false);
  auto id = carried_key(x.header.id);
  auto existing = find(t, id);
  if (!existing)
    return std::move(existing.error());
  auto record = record_for(x, storage::HELD, seq);
  record.set_peer(std::string{crypto::view(from)});
  bool again = existing->has_value();
  if (again) {
    auto& known = **existing;
    if (known.digest() != record.digest())
      return carried::replayed;
    if (known.state() != storage::CUSTODY)
      return carried::duplicate;
    if (known.peer() != record.peer())
      return carried::passed_on; // to come here by another way it went in a circle
    record.set_due_ms(known.due_ms());
  }
  if (auto err = hold(t, id, record, x, queue, seq))
    return err;
  return again ? carried::again : carried::stored;
}

expected<bool>
passed_on(transaction& t, std::string_view id, const node_uid& next, uint64_t now_ms) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() == storage::CUSTODY)
    return false;
  if (x->state() == storage::DONE)
    return finish_carried(t, id, *x, now_ms);
  if (!owes_outcome(*x)) {
    if (auto err = forget_carried(t, id, *x))
      return err;
    return true;
  }
  x->set_state(storage::CUSTODY);
  x->set_carrier(std::string{crypto::view(next)});
  if (auto err
      = first_of({leave_queue(t, *x), drop_content(t, *x),
                  set_due(t, id, *x, x->expires_ms() + remember_ms), put_record(t, id, *x)}))
    return err;
  return false;
}

expected<carried_reply> carry_reply(transaction& t, const envelope& x, const queue_ref& queue,
                                    uint64_t seq, queue_place* left) {
  t.use_reserve(true);
  auto id = carried_key(x.header.id);
  auto found = find(t, id);
  if (!found)
    return std::move(found.error());
  if (!*found || !owes_outcome(**found))
    return carried_reply::unexpected;
  auto& record = **found;
  if (!is_reply_to(record, x.header))
    return carried_reply::unexpected;
  if (record.state() == storage::DONE)
    return carried_reply::duplicate;
  *left = place_of(t, record); // answered by another way, or before its custody came
  record.set_state(storage::DONE);
  record.set_outcome_record(seq);
  if (auto err = first_of({leave_queue(t, record), drop_content(t, record),
                           t.append(table::records, seq_key(seq), encode_stored(x)),
                           enqueue(t, queue, seq, id, record, x.size(), entry_kind::reply),
                           set_due(t, id, record, record.expires_ms() + remember_ms),
                           put_record(t, id, record)}))
    return err;
  return carried_reply::stored;
}

expected<bool> drop_carried(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = find(t, id);
  if (!x)
    return std::move(x.error());
  if (!*x)
    return false;
  bool counted = is_carrying(**x);
  if (auto err = forget_carried(t, id, **x))
    return err;
  return counted;
}

expected<bool>
entrust(transaction& t, std::string_view id, const node_uid& relay, const queue_ref& queue) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::WAITING)
    return false;
  auto waited = place_of(t, *x);
  auto seq = x->record();
  x->set_carrier(std::string{crypto::view(relay)});
  x->set_dispatched(true); // as far as anybody here knows
  if (auto err = first_of({leave_queue(t, *x),
                           enqueue(t, queue, seq, id, *x, waited.bytes, entry_kind::request),
                           put_record(t, id, *x)}))
    return err;
  return true;
}

caf::error keep_credential(transaction& t, const credential& x) {
  auto key = "credential/" + x.hash;
  auto known = t.get(table::nodes, key);
  if (!known)
    return std::move(known.error());
  return *known ? caf::error{} : t.put(table::nodes, key, x.text);
}

expected<expired_item>
expire_carried(transaction& t, std::string_view id, IdRecord& x, uint64_t now_ms) {
  expired_item result{
    std::string{id}, x.source(),     x.target(), static_cast<uint8_t>(x.priority()),
    false,           place_of(t, x), false};
  if (now_ms < x.due_ms())
    return result;
  result.forgotten = is_carrying(x);
  if (auto err = forget_carried(t, id, x))
    return err;
  return result;
}

} // namespace rvi::ledger
