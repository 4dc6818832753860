// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/ledger_records.hpp"

#include "actors/routing/ledger_pieces.hpp"
#include "actors/routing/stored_envelope.hpp"

namespace rvi::ledger {

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
  if (kind == entry_kind::request && x.state() == storage::HELD && x.revived())
    entry.set_expires_ms(x.expires_ms());
  x.set_queue(queue.name == x.target() ? std::string{} : queue.name);
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

queue_place place_of(transaction& t, const IdRecord& x) {
  if (x.queue_seq() == 0)
    return {};
  queue_place result{x.queue().empty() ? x.target() : x.queue(),
                     {static_cast<uint8_t>(x.priority()), x.queue_seq()},
                     0};
  auto entry = t.get(table::queue, queue_key(x.queue_number(), result.at));
  storage::QueueEntry waiting;
  if (entry && *entry && waiting.ParseFromString(**entry))
    result.bytes = waiting.bytes();
  return result;
}

namespace {

/// An envelope of table `records`, if there is one, with its pieces.
caf::error drop_kept(transaction& t, uint64_t seq, bool in_pieces) {
  if (seq == 0)
    return {};
  auto err = drop(t, table::records, seq_key(seq));
  return !err && in_pieces ? drop_pieces(t, seq) : err;
}

} // namespace

caf::error drop_content(transaction& t, IdRecord& x) {
  auto err = drop_kept(t, x.record(), x.record_in_pieces());
  x.set_record(0);
  return err;
}

caf::error drop_outcome(transaction& t, IdRecord& x) {
  auto err = drop_kept(t, x.outcome_record(), x.outcome_record_in_pieces());
  x.set_outcome_record(0);
  return err;
}

bool is_reply_to(const IdRecord& request, const request_header& x) {
  std::string_view asked = request.target();
  asked.remove_prefix(asked.find(':') + 1);
  return request.digest() == x.request_hash && x.source == asked && x.target == request.source();
}

IdRecord record_for(const envelope& x, storage::State state, uint64_t seq) {
  IdRecord result;
  result.set_state(state);
  result.set_digest(std::string{crypto::view(crypto::sha256(x.header_bytes))});
  result.set_expires_ms(x.header.expires_ms);
  result.set_record(seq);
  result.set_record_in_pieces(is_large(x));
  result.set_source(x.header.source);
  result.set_target(x.header.target);
  result.set_kind(static_cast<uint32_t>(x.header.kind));
  result.set_priority(x.header.priority);
  result.set_report(x.header.report);
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

bool owes_outcome(const IdRecord& x) {
  return is_rpc(x) || x.report();
}

/// Makes an outcome durable and queues it for the requesting service.
caf::error finish(transaction& t, std::string_view id, IdRecord& x, std::string_view status,
                  std::string_view detail, const queue_ref& queue, uint64_t seq) {
  x.set_state(storage::ENDED);
  x.set_outcome(std::string{status});
  x.set_outcome_detail(std::string{detail});
  if (owes_outcome(x)) {
    if (auto err = enqueue(t, queue, seq, id, x, 0, entry_kind::outcome))
      return err;
  }
  if (auto err = set_due(t, id, x, x.expires_ms() + remember_ms))
    return err;
  return put_record(t, id, x);
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
  auto result = decode_stored(**value);
  if (result && x.expires_ms() > (*result)->header.expires_ms)
    *result = living_until(**result, x.expires_ms());
  return result;
}

envelope_ptr living_until(envelope x, uint64_t expires_ms) {
  x.header.expires_ms = expires_ms;
  return std::make_shared<const envelope>(std::move(x));
}

} // namespace rvi::ledger
