// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/request_ledger.hpp"

#include "actors/routing/stored_envelope.hpp"

#include <algorithm>
#include <cassert>
#include <map>

namespace rvi::ledger {

namespace {

using storage::IdRecord;

constexpr size_t id_key_bytes = transaction_id_bytes + 1;

std::string seq_key(uint64_t seq) {
  std::string result;
  append_u64(result, seq);
  return result;
}

std::string queue_key(uint32_t queue, const position& at) {
  std::string result;
  append_u32(result, queue);
  result.push_back(static_cast<char>(at.priority));
  append_u64(result, at.seq);
  return result;
}

position position_of(std::string_view key) {
  return {static_cast<uint8_t>(key[4]), read_u64(key.substr(5))};
}

std::string due_key(uint64_t ms, std::string_view id) {
  std::string result;
  append_u64(result, ms);
  result += id;
  return result;
}

caf::error first_of(std::initializer_list<caf::error> errors) {
  for (auto& x : errors)
    if (x)
      return x;
  return {};
}

caf::error put_record(transaction& t, std::string_view id, const IdRecord& x) {
  return t.put(table::ids, id, x.SerializeAsString());
}

caf::error set_due(transaction& t, std::string_view id, IdRecord& x, uint64_t ms) {
  if (x.due_ms() != 0 && x.due_ms() != ms)
    if (auto erased = t.erase(table::due, due_key(x.due_ms(), id)); !erased)
      return std::move(erased.error());
  x.set_due_ms(ms);
  return t.put(table::due, due_key(ms, id), {});
}

enum class entry_kind { request, reply, outcome };

/// Puts an id into a queue; its record remembers where.
caf::error enqueue(transaction& t, const queue_ref& queue, uint64_t seq, std::string_view id,
                   IdRecord& x, size_t bytes, entry_kind kind) {
  if (queue.is_new) {
    std::string number;
    append_u32(number, queue.number);
    if (auto err = t.put(table::names, number, queue.name))
      return err;
  }
  storage::QueueEntry entry;
  entry.set_id(std::string{id});
  entry.set_outcome(kind == entry_kind::outcome);
  entry.set_reply(kind == entry_kind::reply);
  entry.set_bytes(bytes);
  x.set_queue(queue.name);
  x.set_queue_number(queue.number);
  x.set_queue_seq(seq);
  position at{static_cast<uint8_t>(x.priority()), seq};
  return t.put(table::queue, queue_key(queue.number, at), entry.SerializeAsString());
}

caf::error drop(transaction& t, table where, std::string_view key) {
  auto erased = t.erase(where, key);
  return erased ? caf::error{} : std::move(erased.error());
}

caf::error leave_queue(transaction& t, IdRecord& x) {
  if (x.queue_seq() == 0)
    return {};
  position at{static_cast<uint8_t>(x.priority()), x.queue_seq()};
  x.set_queue_seq(0);
  return drop(t, table::queue, queue_key(x.queue_number(), at));
}

caf::error drop_content(transaction& t, IdRecord& x) {
  if (x.record() == 0)
    return {};
  auto err = drop(t, table::records, seq_key(x.record()));
  x.set_record(0);
  return err;
}

IdRecord record_for(const envelope& x, storage::State state, uint64_t seq) {
  IdRecord result;
  result.set_state(state);
  result.set_digest(std::string{crypto::view(crypto::sha256(x.header_bytes))});
  result.set_expires_ms(x.header.expires_ms);
  result.set_record(seq);
  result.set_source(x.header.source);
  result.set_target(x.header.target);
  result.set_kind(static_cast<uint32_t>(x.header.kind));
  result.set_priority(x.header.priority);
  return result;
}

/// Loads a record that must be there.
expected<IdRecord> require(transaction& t, std::string_view id) {
  auto x = find(t, id);
  if (!x)
    return std::move(x.error());
  if (!*x)
    return caf::make_error(ec::not_found, std::string{"no such request"});
  return std::move(**x);
}

bool is_rpc(const IdRecord& x) {
  return x.kind() == static_cast<uint32_t>(request_kind::rpc);
}

/// Makes an outcome durable and queues it for the requesting service.
caf::error finish(transaction& t, std::string_view id, IdRecord& x, std::string_view status,
                  std::string_view detail, const queue_ref& queue, uint64_t seq) {
  x.set_state(storage::ENDED);
  x.set_outcome(std::string{status});
  x.set_outcome_detail(std::string{detail});
  if (is_rpc(x)) {
    if (auto err = enqueue(t, queue, seq, id, x, 0, entry_kind::outcome))
      return err;
  }
  if (auto err = set_due(t, id, x, x.expires_ms() + remember_ms))
    return err;
  return put_record(t, id, x);
}

outcome_notice notice_of(const transaction_id& id, const IdRecord& x) {
  outcome_notice result;
  result.id = id;
  result.requesting_service = x.source();
  result.target = x.target();
  result.status = x.state() == storage::ENDED ? x.outcome() : "pending";
  if (result.status == "timeout")
    result.dispatched = x.outcome_detail();
  else
    result.error = x.outcome_detail();
  return result;
}

/// Fills in what the reply said.
caf::error add_reply(transaction& t, const IdRecord& x, outcome_notice& notice) {
  if (x.outcome_record() == 0)
    return {};
  auto value = t.get(table::records, seq_key(x.outcome_record()));
  if (!value)
    return std::move(value.error());
  if (!*value)
    return {};
  auto content = decode_stored(**value);
  if (!content)
    return std::move(content.error());
  if ((*content)->header.kind == request_kind::error)
    notice.error = (*content)->arguments;
  else
    notice.arguments = (*content)->arguments;
  return {};
}

} // namespace

std::string originated_key(const transaction_id& x) { return to_bytes(x) + 'o'; }
std::string inbound_key(const transaction_id& x) { return to_bytes(x) + 'i'; }

transaction_id id_of(std::string_view key) {
  assert(key.size() == id_key_bytes);
  return *transaction_id_from_bytes(key.substr(0, transaction_id_bytes));
}

expected<std::optional<IdRecord>> find(transaction& t, std::string_view id) {
  auto value = t.get(table::ids, id);
  if (!value)
    return std::move(value.error());
  if (!*value)
    return std::optional<IdRecord>{};
  IdRecord result;
  if (!result.ParseFromString(**value))
    return caf::make_error(ec::malformed, std::string{"a damaged id record"});
  return std::optional{std::move(result)};
}

expected<envelope_ptr> content(transaction& t, const IdRecord& x) {
  if (x.record() == 0)
    return caf::make_error(ec::not_found, std::string{"its content is gone"});
  auto value = t.get(table::records, seq_key(x.record()));
  if (!value)
    return std::move(value.error());
  if (!*value)
    return caf::make_error(ec::not_found, std::string{"its content is gone"});
  return decode_stored(**value);
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
  return first_of({t.append(table::records, seq_key(seq), encode_stored(x)),
                   enqueue(t, queue, seq, id, record, x.size(), entry_kind::request),
                   set_due(t, id, record, x.header.expires_ms), put_record(t, id, record)});
}

caf::error accept_local(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq,
                        bool dispatch) {
  t.use_reserve(false);
  auto id = originated_key(x.header.id);
  auto record = record_for(x, storage::CUSTODY, 0);
  if (!is_rpc(record)) {
    record.set_state(storage::ENDED);
    record.set_outcome("ok");
  }
  if (auto err = first_of({set_due(t, id, record, x.header.expires_ms),
                           put_record(t, id, record)}))
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
    return crypto::view(digest) == (*existing)->digest() ? received::duplicate
                                                         : received::replayed;
  }
  auto record = record_for(x, dispatch ? storage::DISPATCHED : storage::HELD, seq);
  record.set_peer(std::string{crypto::view(peer)});
  record.set_idempotent(dispatch && queue.idempotent);
  auto err = t.append(table::records, seq_key(seq), encode_stored(x));
  if (!err)
    err = dispatch ? t.put(table::dispatched, id, {})
                   : enqueue(t, queue, seq, id, record, x.size(), entry_kind::request);
  if (!err)
    err = set_due(t, id, record, x.header.expires_ms);
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
  if (auto err = first_of({leave_queue(t, record), t.put(table::dispatched, id, {}), put_record(t, id, record)}))
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
                   enqueue(t, queue, x->record(), id, *x, (*envelope)->size(),
                           entry_kind::request),
                   put_record(t, id, *x)});
}

caf::error taken(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::DISPATCHED || is_rpc(*x))
    return {};
  x->set_state(storage::DONE);
  return first_of({drop_content(t, *x), drop(t, table::dispatched, id),
                   set_due(t, id, *x, x->expires_ms() + remember_ms), put_record(t, id, *x)});
}

caf::error dead_letter(transaction& t, std::string_view id, std::string_view why) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  x->set_state(storage::DEAD);
  x->set_outcome_detail(std::string{why});
  return first_of({drop(t, table::dispatched, id),
                   set_due(t, id, *x, x->expires_ms() + dead_letter_ms), put_record(t, id, *x)});
}

namespace {

/// The record of a request that may be answered now.
expected<IdRecord> require_open(transaction& t, std::string_view id) {
  auto record = require(t, id);
  if (!record)
    return record;
  if (record->state() == storage::DONE)
    return caf::make_error(ec::replay, std::string{"this request has ended"});
  if (record->state() != storage::DISPATCHED)
    return caf::make_error(ec::not_found, std::string{"this request was not handed over"});
  record->set_state(storage::DONE);
  return record;
}

} // namespace

caf::error reply_local(transaction& t, const envelope& x, const queue_ref& queue, uint64_t seq) {
  t.use_reserve(true);
  auto id = inbound_key(x.header.id);
  auto record = require_open(t, id);
  if (!record)
    return std::move(record.error());
  if (auto err = first_of({drop_content(t, *record), drop(t, table::dispatched, id),
                           set_due(t, id, *record, record->expires_ms() + remember_ms),
                           put_record(t, id, *record)}))
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
  return first_of({drop_content(t, *record), drop(t, table::dispatched, id),
                   t.append(table::records, seq_key(seq), encode_stored(x)),
                   enqueue(t, queue, seq, id, *record, x.size(), entry_kind::reply),
                   set_due(t, id, *record, record->expires_ms() + remember_ms),
                   put_record(t, id, *record)});
}

expected<replied> receive_reply(transaction& t, const envelope& x, const queue_ref& queue,
                                uint64_t seq) {
  t.use_reserve(true);
  auto id = originated_key(x.header.id);
  auto record = find(t, id);
  if (!record)
    return std::move(record.error());
  if (!*record || !is_rpc(**record))
    return replied::unexpected;
  auto& found = **record;
  std::string_view asked = found.target();
  asked.remove_prefix(asked.find(':') + 1);
  if (found.digest() != x.header.request_hash || x.header.source != asked
      || x.header.target != found.source())
    return replied::unexpected;
  if (found.state() == storage::ENDED)
    return replied::late;
  if (auto err = leave_queue(t, found)) // answered before its custody arrived
    return err;
  found.set_outcome_record(seq);
  auto status = x.header.kind == request_kind::error ? "error" : "ok";
  if (auto err = first_of({drop_content(t, found),
                           t.append(table::records, seq_key(seq), encode_stored(x)),
                           finish(t, id, found, status, {}, queue, seq)}))
    return err;
  return replied::ended;
}

caf::error custody(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() == storage::WAITING) {
    x->set_state(is_rpc(*x) ? storage::CUSTODY : storage::ENDED);
    x->set_dispatched(true);
    if (!is_rpc(*x))
      x->set_outcome("ok");
    return first_of({leave_queue(t, *x), drop_content(t, *x), put_record(t, id, *x)});
  }
  if (x->state() == storage::DONE && x->outcome_record() != 0) {
    auto key = seq_key(x->outcome_record());
    x->set_outcome_record(0);
    return first_of({leave_queue(t, *x), drop(t, table::records, key), put_record(t, id, *x)});
  }
  return {};
}

caf::error end(transaction& t, std::string_view id, std::string_view status,
               std::string_view detail, const queue_ref& queue, uint64_t seq) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::WAITING && x->state() != storage::CUSTODY)
    return {};
  return first_of({leave_queue(t, *x), drop_content(t, *x), finish(t, id, *x, status, detail, queue, seq)});
}

caf::error delivered(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = find(t, id);
  if (!x || !*x)
    return x ? caf::error{} : std::move(x.error());
  // The requesting service has the content; the record keeps how it ended.
  caf::error err;
  if ((*x)->outcome_record() != 0)
    err = drop(t, table::records, seq_key((*x)->outcome_record()));
  (*x)->set_outcome_record(0);
  return first_of({err, leave_queue(t, **x), put_record(t, id, **x)});
}

expected<std::vector<std::string>> due(transaction& t, uint64_t now_ms, size_t limit) {
  std::vector<std::string> result;
  auto err = t.scan(table::due, {}, limit, [&](std::string_view key, std::string_view) {
    if (read_u64(key) > now_ms)
      return false;
    result.emplace_back(key.substr(8));
    return true;
  });
  if (err)
    return err;
  return result;
}

expected<std::optional<uint64_t>> next_due(transaction& t) {
  std::optional<uint64_t> result;
  auto err = t.scan(table::due, {}, 1, [&](std::string_view key, std::string_view) {
    result = read_u64(key);
    return false;
  });
  if (err)
    return err;
  return result;
}

namespace {

/// Forgets an id and whatever it still holds.
caf::error forget(transaction& t, std::string_view id, IdRecord& x) {
  if (auto err = first_of({leave_queue(t, x), drop_content(t, x), drop(t, table::dispatched, id),
                           drop(t, table::due, due_key(x.due_ms(), id)),
                           drop(t, table::ids, id)}))
    return err;
  if (x.outcome_record() != 0)
    if (auto err = drop(t, table::records, seq_key(x.outcome_record())))
      return err;
  return {};
}

/// A request to be run here whose time is up (13.2): it fades, its id is remembered.
caf::error fade(transaction& t, std::string_view id, IdRecord& x) {
  if (auto err = leave_queue(t, x))
    return err;
  if (x.state() == storage::DISPATCHED && !is_rpc(x))
    return dead_letter(t, id, "handed over, never confirmed");
  x.set_state(storage::DONE);
  return first_of({drop_content(t, x), drop(t, table::dispatched, id),
                   set_due(t, id, x, x.expires_ms() + remember_ms), put_record(t, id, x)});
}

} // namespace

expected<expired_item> expire(transaction& t, std::string_view id, uint64_t now_ms,
                              const queue_ref& queue, uint64_t seq) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  expired_item result{std::string{id}, x->source(), x->target(), x->queue(), false,
                      {static_cast<uint8_t>(x->priority()), x->queue_seq()}};
  if (x->queue_seq() == 0)
    result.queue.clear();
  caf::error err;
  switch (x->state()) {
    case storage::WAITING:
    case storage::CUSTODY:
      result.notify = is_rpc(*x);
      err = end(t, id, "timeout", x->dispatched() ? "unknown" : "no", queue, seq);
      break;
    case storage::HELD:
    case storage::DISPATCHED:
      err = fade(t, id, *x);
      break;
    default:
      if (now_ms >= x->due_ms())
        err = forget(t, id, *x);
  }
  if (err)
    return err;
  return result;
}

outcome_notice notice_of_reply(const envelope& x) {
  outcome_notice result;
  result.id = x.header.id;
  result.requesting_service = x.header.target;
  result.target = "rpc:" + x.header.source;
  if (x.header.kind == request_kind::error) {
    result.status = "error";
    result.error = x.arguments;
  } else {
    result.status = "ok";
    result.arguments = x.arguments;
  }
  return result;
}

expected<std::optional<outcome_notice>> outcome(transaction& t, const transaction_id& x) {
  auto record = find(t, originated_key(x));
  if (!record)
    return std::move(record.error());
  if (!*record)
    return std::optional<outcome_notice>{};
  auto result = notice_of(x, **record);
  if (auto err = add_reply(t, **record, result))
    return err;
  return std::optional{std::move(result)};
}

namespace {

struct loaded_entry {
  position at;
  storage::QueueEntry entry;
};

expected<std::vector<loaded_entry>> scan_queue(transaction& t, uint32_t queue,
                                               const position& from, size_t items_max,
                                               size_t bytes_max) {
  std::vector<loaded_entry> result;
  size_t bytes = 0;
  auto err = t.scan(table::queue, queue_key(queue, from), items_max,
                    [&](std::string_view key, std::string_view value) {
                      if (read_u32(key) != queue)
                        return false;
                      loaded_entry x{position_of(key), {}};
                      if (!x.entry.ParseFromArray(value.data(), static_cast<int>(value.size())))
                        return true;
                      bytes += x.entry.bytes();
                      result.push_back(std::move(x));
                      return bytes < bytes_max;
                    });
  if (err)
    return err;
  return result;
}

} // namespace

expected<std::vector<waiting_item>> load(transaction& t, uint32_t queue, const position& from,
                                         size_t items_max, size_t bytes_max) {
  auto entries = scan_queue(t, queue, from, items_max, bytes_max);
  if (!entries)
    return std::move(entries.error());
  std::vector<waiting_item> result;
  for (auto& [at, entry] : *entries) {
    waiting_item item{at, entry.id(), nullptr, std::nullopt, entry.bytes()};
    if (entry.outcome()) {
      auto notice = outcome(t, id_of(entry.id()));
      if (!notice)
        return std::move(notice.error());
      if (!*notice)
        continue; // forgotten meanwhile
      item.notice = std::move(**notice);
    } else {
      auto value = t.get(table::records, seq_key(at.seq));
      if (!value)
        return std::move(value.error());
      if (!*value)
        continue;
      auto envelope = decode_stored(**value);
      if (!envelope)
        return std::move(envelope.error());
      item.content = std::move(*envelope);
    }
    result.push_back(std::move(item));
  }
  return result;
}

expected<recovered> recover(transaction& t) {
  recovered result;
  std::map<uint32_t, recovered_queue> queues;
  auto err = t.scan(table::names, {}, transaction::no_limit,
                    [&](std::string_view key, std::string_view value) {
                      auto number = read_u32(key);
                      queues[number] = {number, std::string{value}, 0, 0};
                      result.next_queue = std::max(result.next_queue, number + 1);
                      return true;
                    });
  if (!err)
    err = t.scan(table::queue, {}, transaction::no_limit,
                 [&](std::string_view key, std::string_view value) {
                   storage::QueueEntry entry;
                   (void)entry.ParseFromArray(value.data(), static_cast<int>(value.size()));
                   auto& queue = queues[read_u32(key)];
                   ++queue.items;
                   queue.bytes += entry.bytes();
                   result.next_seq = std::max(result.next_seq, position_of(key).seq + 1);
                   return true;
                 });
  if (!err)
    err = t.scan(table::dispatched, {}, transaction::no_limit,
                 [&](std::string_view key, std::string_view) {
                   result.dispatched.emplace_back(key);
                   return true;
                 });
  if (!err)
    err = t.scan(table::ids, {}, transaction::no_limit,
                 [&](std::string_view key, std::string_view value) {
                   IdRecord x;
                   if (key.back() == 'o'
                       && x.ParseFromArray(value.data(), static_cast<int>(value.size()))
                       && x.state() == storage::CUSTODY)
                     result.awaiting.emplace_back(id_of(key), x.target());
                   return true;
                 });
  if (err)
    return err;
  auto last = t.last_key(table::records);
  if (!last)
    return std::move(last.error());
  if (*last)
    result.next_seq = std::max(result.next_seq, read_u64(**last) + 1);
  for (auto& [number, queue] : queues) {
    if (queue.items > 0) {
      result.queues.push_back(std::move(queue));
      continue;
    }
    std::string key;
    append_u32(key, number);
    if (auto failed = drop(t, table::names, key))
      return failed;
  }
  return result;
}

expected<uint32_t> raise_epoch(transaction& t, uint64_t now_ms) {
  t.use_reserve(true);
  auto stored = t.get(table::meta, "epoch");
  if (!stored)
    return std::move(stored.error());
  auto result = static_cast<uint32_t>(now_ms / 1'000);
  if (*stored && (*stored)->size() == 4)
    result = std::max(result, read_u32(**stored) + 1);
  std::string value;
  append_u32(value, result);
  if (auto err = t.put(table::meta, "epoch", value))
    return err;
  return result;
}

} // namespace rvi::ledger
