// SPDX-License-Identifier: MPL-2.0
//
// The ledger and time: what is due, how it ends, when it is forgotten.

#include "actors/routing/ledger_records.hpp"

namespace rvi::ledger {

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

caf::error forget(transaction& t, std::string_view id, IdRecord& x) {
  if (auto err = first_of({leave_queue(t, x), drop_content(t, x), drop(t, table::dispatched, id),
                           drop(t, table::due, due_key(x.due_ms(), id)), drop(t, table::ids, id)}))
    return err;
  if (auto err = drop_outcome(t, x))
    return err;
  return x.dead_ms() != 0 ? drop(t, table::dead, due_key(x.dead_ms(), id)) : caf::error{};
}

namespace {

/// A request to be run here whose time is up (13.2): it fades, its id is remembered.
caf::error fade(transaction& t, std::string_view id, IdRecord& x, uint64_t now_ms) {
  if (auto err = leave_queue(t, x))
    return err;
  if (x.state() == storage::DISPATCHED && !is_rpc(x))
    return dead_letter(t, id, "handed over, never confirmed", now_ms);
  x.set_state(storage::DONE);
  return first_of({drop_content(t, x), drop(t, table::dispatched, id),
                   set_due(t, id, x, x.expires_ms() + remember_ms), put_record(t, id, x)});
}

} // namespace

expected<expired_item> expire(transaction& t, std::string_view id, uint64_t now_ms,
                              const queue_ref& queue, uint64_t seq, uint64_t unsent_from) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (is_carried(id))
    return expire_carried(t, id, *x, now_ms);
  expired_item result{
    std::string{id}, x->source(),     x->target(), static_cast<uint8_t>(x->priority()),
    false,           place_of(t, *x), false};
  bool unsent = !x->dispatched() && result.left.at.seq >= unsent_from;
  caf::error err;
  switch (x->state()) {
    case storage::WAITING:
    case storage::CUSTODY:
      result.notify = owes_outcome(*x);
      if (auto ended = end(t, id, "timeout", unsent ? "no" : "unknown", queue, seq); !ended)
        err = std::move(ended.error());
      break;
    case storage::HELD:
    case storage::DISPATCHED:
      result.died = x->state() == storage::DISPATCHED && !is_rpc(*x);
      err = fade(t, id, *x, now_ms);
      break;
    default:
      if (now_ms >= x->due_ms()) {
        result.buried = x->dead_ms() != 0;
        err = forget(t, id, *x);
      }
  }
  if (err)
    return err;
  return result;
}

} // namespace rvi::ledger
