// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/request_ledger.hpp"

#include "actors/routing/arrival_check.hpp"
#include "actors/routing/ledger_pieces.hpp"
#include "actors/routing/ledger_records.hpp"

#include <cassert>

namespace rvi::ledger {

namespace {

constexpr size_t id_key_bytes = transaction_id_bytes + 1;

} // namespace

std::string originated_key(const transaction_id& x) {
  return to_bytes(x) + 'o';
}
std::string inbound_key(const transaction_id& x) {
  return to_bytes(x) + 'i';
}

transaction_id id_of(std::string_view key) {
  assert(key.size() == id_key_bytes);
  return *transaction_id_from_bytes(key.substr(0, transaction_id_bytes));
}

caf::error accept(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq) {
  t.use_reserve(false);
  auto id = originated_key(x.header.id);
  auto existing = find(t, id);
  if (!existing)
    return std::move(existing.error());
  if (*existing)
    return caf::make_error(ec::replay, std::string{"this id is taken"});
  auto record = record_for(x, storage::WAITING, seq);
  return first_of({put_content(t, seq, x),
                   enqueue(t, queue, seq, id, record, x.size(), entry_kind::request),
                   set_due(t, id, record, x.header.expires_ms), put_record(t, id, record)});
}

caf::error accept_local(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq,
                        bool dispatch) {
  t.use_reserve(false);
  auto id = originated_key(x.header.id);
  auto record = record_for(x, storage::CUSTODY, 0);
  if (!owes_outcome(record)) {
    record.set_state(storage::ENDED);
    record.set_outcome("ok");
  }
  if (auto err = first_of({set_due(t, id, record, x.header.expires_ms), put_record(t, id, record)}))
    return err;
  auto result = receive(t, x, x.header.id.origin, queue, seq, dispatch);
  return result ? caf::error{} : std::move(result.error());
}

expected<received> receive(transaction& t, const envelope& x, const node_uid& peer,
                           const queue_ref& queue, uint64_t seq, bool dispatch) {
  t.use_reserve(false);
  auto id = inbound_key(x.header.id);
  auto existing = find(t, id);
  if (!existing)
    return std::move(existing.error());
  if (*existing) {
    auto digest = crypto::sha256(x.header_bytes);
    return crypto::view(digest) == (*existing)->digest() ? received::duplicate : received::replayed;
  }
  auto record = record_for(x, dispatch ? storage::DISPATCHED : storage::HELD, seq);
  record.set_peer(std::string{crypto::view(peer)});
  record.set_idempotent(dispatch && queue.idempotent);
  auto err = put_content(t, seq, x);
  if (!err)
    err = dispatch ? t.put(table::dispatched, id, {})
                   : enqueue(t, queue, seq, id, record, x.size(), entry_kind::request);
  if (!err)
    err = set_due(t, id, record, due_of(x));
  if (!err)
    err = put_record(t, id, record);
  if (err)
    return err;
  return dispatch ? received::dispatched : received::stored;
}

expected<bool> dispatch(transaction& t, std::string_view id, bool idempotent) {
  t.use_reserve(true);
  auto x = find(t, id);
  if (!x)
    return std::move(x.error());
  if (!*x || (*x)->state() != storage::HELD)
    return false;
  auto& record = **x;
  record.set_state(storage::DISPATCHED);
  record.set_idempotent(idempotent);
  if (auto err = first_of(
        {leave_queue(t, record), t.put(table::dispatched, id, {}), put_record(t, id, record)}))
    return err;
  return true;
}

caf::error hold_again(transaction& t, std::string_view id, const queue_ref& queue) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::DISPATCHED || x->record() == 0)
    return {};
  x->set_state(storage::HELD);
  auto envelope = content(t, *x);
  if (!envelope)
    return std::move(envelope.error());
  return first_of({drop(t, table::dispatched, id),
                   enqueue(t, queue, x->record(), id, *x, (*envelope)->size(), entry_kind::request),
                   put_record(t, id, *x)});
}

caf::error taken(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::DISPATCHED || owes_outcome(*x))
    return {};
  x->set_state(storage::DONE);
  return first_of({drop_content(t, *x), drop(t, table::dispatched, id),
                   set_due(t, id, *x, x->expires_ms() + remember_ms), put_record(t, id, *x)});
}

namespace {

/// The record of a request that may be answered now.
expected<IdRecord> require_open(transaction& t, std::string_view id) {
  auto record = require(t, id);
  if (!record)
    return record;
  if (record->state() == storage::DEAD && record->report() && record->outcome_record() == 0)
    return record; // its sender is told of it
  if (record->state() == storage::DONE)
    return caf::make_error(ec::replay, std::string{"this request has ended"});
  if (record->state() != storage::DISPATCHED)
    return caf::make_error(ec::not_found, std::string{"this request was not handed over"});
  record->set_state(storage::DONE);
  return record;
}

/// It is answered: what the record still holds goes, unless it is listed as a dead letter.
caf::error close(transaction& t, std::string_view id, IdRecord& x) {
  if (x.state() == storage::DEAD)
    return {};
  return first_of({drop_content(t, x), drop(t, table::dispatched, id),
                   set_due(t, id, x, x.expires_ms() + remember_ms)});
}

} // namespace

caf::error reply_local(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq) {
  t.use_reserve(true);
  auto id = inbound_key(x.header.id);
  auto record = require_open(t, id);
  if (!record)
    return std::move(record.error());
  if (auto err = first_of({close(t, id, *record), put_record(t, id, *record)}))
    return err;
  auto result = receive_reply(t, x, queue, seq);
  if (!result)
    return std::move(result.error());
  return *result == replied::ended
           ? caf::error{}
           : caf::make_error(ec::timeout, std::string{"the request has ended meanwhile"});
}

caf::error reply(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq) {
  t.use_reserve(true);
  auto id = inbound_key(x.header.id);
  auto record = require_open(t, id);
  if (!record)
    return std::move(record.error());
  record->set_outcome_record(seq);
  record->set_outcome_record_in_pieces(is_large(x));
  return first_of({close(t, id, *record), put_content(t, seq, x),
                   enqueue(t, queue, seq, id, *record, x.size(), entry_kind::reply),
                   put_record(t, id, *record)});
}

namespace {

replied judge_reply(const std::optional<IdRecord>& request, const envelope& x) {
  if (!request || !owes_outcome(*request) || !is_reply_to(*request, x.header))
    return replied::unexpected;
  return request->state() == storage::ENDED ? replied::late : replied::ended;
}

} // namespace

expected<replied> expects(transaction& t, const envelope& x) {
  auto request = find(t, originated_key(x.header.id));
  if (!request)
    return std::move(request.error());
  return judge_reply(*request, x);
}

expected<replied> receive_reply(transaction& t, const envelope& x, const queue_ref& queue,
                                uint64_t seq, queue_place* left) {
  t.use_reserve(true);
  auto id = originated_key(x.header.id);
  auto record = find(t, id);
  if (!record)
    return std::move(record.error());
  if (auto before = judge_reply(*record, x); before != replied::ended)
    return before;
  auto& found = **record;
  if (left)
    *left = place_of(t, found);
  if (auto err = leave_queue(t, found)) // answered before its custody arrived
    return err;
  found.set_outcome_record(seq);
  found.set_outcome_record_in_pieces(is_large(x));
  auto status = notice_of_reply(x).status;
  if (auto err = first_of({drop_content(t, found), put_content(t, seq, x),
                           finish(t, id, found, status, {}, queue, seq)}))
    return err;
  return replied::ended;
}

expected<bool> custody(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  caf::error err;
  bool owed = false;
  if (x->state() == storage::WAITING) {
    owed = owes_outcome(*x);
    x->set_state(owed ? storage::CUSTODY : storage::ENDED);
    x->set_dispatched(true);
    if (!owed)
      x->set_outcome("ok");
    err = first_of({leave_queue(t, *x), drop_content(t, *x), put_record(t, id, *x)});
  } else if ((x->state() == storage::DONE || x->state() == storage::DEAD)
             && x->outcome_record() != 0) {
    err = first_of({leave_queue(t, *x), drop_outcome(t, *x), put_record(t, id, *x)});
  }
  if (err)
    return err;
  return owed;
}

expected<bool> end(transaction& t, std::string_view id, std::string_view status,
                   std::string_view detail, const queue_ref& queue, uint64_t seq) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::WAITING && x->state() != storage::CUSTODY)
    return false;
  if (auto err = first_of(
        {leave_queue(t, *x), drop_content(t, *x), finish(t, id, *x, status, detail, queue, seq)}))
    return err;
  return true;
}

caf::error delivered(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = find(t, id);
  if (!x || !*x)
    return x ? caf::error{} : std::move(x.error());
  // The requesting service has the content; the record keeps how it ended.
  return first_of({drop_outcome(t, **x), leave_queue(t, **x), put_record(t, id, **x)});
}

} // namespace rvi::ledger
