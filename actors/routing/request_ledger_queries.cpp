// SPDX-License-Identifier: MPL-2.0
//
// What the ledger tells: outcomes, the front of a queue, and all that is open after a start.

#include "actors/routing/ledger_pieces.hpp"
#include "actors/routing/ledger_records.hpp"
#include "actors/routing/stored_envelope.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <map>

namespace rvi::ledger {

namespace {

outcome_notice notice_of(const transaction_id& id, const IdRecord& x) {
  outcome_notice result;
  result.id = id;
  result.requesting_service = x.source();
  result.target = x.target();
  bool ended = x.state() == storage::ENDED || x.state() == storage::DEAD;
  result.status = ended ? x.outcome() : "pending";
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
  if (content)
    content = with_arguments(t, x.outcome_record(), *content);
  if (!content)
    return std::move(content.error());
  if ((*content)->header.kind == request_kind::error)
    notice.error = (*content)->arguments;
  else
    notice.arguments = (*content)->arguments;
  return {};
}

} // namespace

namespace {

/// What an ERROR says: of an rpc an answer of its service, of a message that nobody took it.
std::string status_of_error(const envelope& x) {
  if (!x.header.report)
    return "error";
  auto text = json::parse(x.arguments);
  bool unknown = text && text->root()["code"].as_string() == to_string(ec::outcome_unknown);
  return unknown ? "outcome_unknown" : "refused";
}

} // namespace

outcome_notice notice_of_reply(const envelope& x) {
  outcome_notice result;
  result.id = x.header.id;
  result.requesting_service = x.header.target;
  result.target = (x.header.report ? "message:" : "rpc:") + x.header.source;
  if (x.header.kind == request_kind::error) {
    result.status = status_of_error(x);
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

expected<std::vector<loaded_entry>> scan_queue(transaction& t, uint32_t queue, const position& from,
                                               size_t items_max, size_t bytes_max) {
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

namespace {

/// How large the reply of an outcome is if it stays in the store until it is told; else 0.
expected<uint64_t> large_outcome(transaction& t, std::string_view id) {
  auto record = find(t, id);
  if (!record)
    return std::move(record.error());
  if (!*record || (*record)->outcome_record() == 0 || !(*record)->outcome_record_in_pieces())
    return uint64_t{0};
  auto value = t.get(table::records, seq_key((*record)->outcome_record()));
  if (!value)
    return std::move(value.error());
  auto reply = *value ? decode_stored(**value) : expected<envelope_ptr>{envelope_ptr{}};
  if (!reply)
    return std::move(reply.error());
  return *reply ? (*reply)->header.arguments_length : uint64_t{0};
}

} // namespace

expected<std::vector<waiting_item>>
load(transaction& t, uint32_t queue, const position& from, size_t items_max, size_t bytes_max) {
  auto entries = scan_queue(t, queue, from, items_max, bytes_max);
  if (!entries)
    return std::move(entries.error());
  std::vector<waiting_item> result;
  for (auto& [at, entry] : *entries) {
    waiting_item item{at, entry.id(), nullptr, std::nullopt, entry.bytes()};
    if (entry.outcome()) {
      auto large = large_outcome(t, entry.id());
      if (!large)
        return std::move(large.error());
      if (item.large_bytes = *large; item.large_bytes > 0) {
        result.push_back(std::move(item));
        continue;
      }
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
      item = item_of(at, std::move(item.id), *envelope);
      item.bytes = entry.bytes();
      if (entry.expires_ms() != 0)
        item.content = living_until(*item.content, entry.expires_ms());
    }
    result.push_back(std::move(item));
  }
  return result;
}

caf::error forget_queues(transaction& t, const std::vector<uint32_t>& numbers) {
  for (auto number : numbers) {
    std::string key;
    append_u32(key, number);
    if (auto err = drop(t, table::names, key))
      return err;
  }
  return {};
}

namespace {

/// An rpc that a relay brought, and that is open.
void note_way_back(recovered& result, const transaction_id& id, const IdRecord& x) {
  bool open = x.state() == storage::HELD || x.state() == storage::DISPATCHED;
  if (!open || !owes_outcome(x) || x.peer().size() != id.origin.size())
    return;
  node_uid peer;
  std::copy_n(x.peer().begin(), peer.size(), reinterpret_cast<char*>(peer.data()));
  if (peer != id.origin)
    result.relayed.emplace_back(id, peer);
}

} // namespace

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
                   if (!x.ParseFromArray(value.data(), static_cast<int>(value.size())))
                     return true;
                   if (is_carried(key) && is_carrying(x))
                     ++result.carried[id_of(key).origin];
                   if (key.back() == 'o' && x.state() == storage::CUSTODY)
                     result.awaiting.emplace_back(id_of(key), x.target());
                   else if (key.back() == 'i')
                     note_way_back(result, id_of(key), x);
                   return true;
                 });
  if (err)
    return err;
  err = t.scan(table::dead, {}, transaction::no_limit, [&](std::string_view, std::string_view) {
    ++result.dead;
    return true;
  });
  if (err)
    return err;
  auto partials = recover_partials(t);
  if (!partials)
    return std::move(partials.error());
  result.partials = std::move(*partials);
  for (auto& x : result.partials)
    result.next_seq = std::max(result.next_seq, x.record + 1);
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
