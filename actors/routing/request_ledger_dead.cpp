// SPDX-License-Identifier: MPL-2.0
//
// Dead letters: requests that nobody took or that nobody can say ran. Table `dead` lists them by
// the time they died; their records and contents stay where they were.

#include "actors/routing/ledger_records.hpp"

#include <algorithm>

namespace rvi::ledger {

caf::error
list_dead(transaction& t, std::string_view id, IdRecord& x, std::string_view why, uint64_t now_ms) {
  x.set_state(storage::DEAD);
  x.set_outcome_detail(std::string{why});
  x.set_dead_ms(now_ms);
  // Its id must be remembered as long as somebody may send it again.
  auto until = std::max(now_ms + dead_letter_ms, x.expires_ms() + remember_ms);
  return first_of({t.put(table::dead, due_key(now_ms, id), {}), set_due(t, id, x, until)});
}

expected<uint32_t> refused_again(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  x->set_attempts(x->attempts() + 1);
  if (auto err = put_record(t, id, *x))
    return err;
  return x->attempts();
}

caf::error dead_letter(transaction& t, std::string_view id, std::string_view why, uint64_t now_ms) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::DISPATCHED)
    return {};
  return first_of(
    {drop(t, table::dispatched, id), list_dead(t, id, *x, why, now_ms), put_record(t, id, *x)});
}

expected<bool> end_dead(transaction& t, std::string_view id, std::string_view detail,
                        const queue_ref& queue, uint64_t seq, uint64_t now_ms) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::WAITING && x->state() != storage::CUSTODY)
    return false;
  if (auto err = first_of({leave_queue(t, *x), finish(t, id, *x, "refused", detail, queue, seq),
                           list_dead(t, id, *x, detail, now_ms), put_record(t, id, *x)}))
    return err;
  return true;
}

expected<bool> bury(transaction& t, std::string_view id, uint64_t now_ms) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::DEAD)
    return false;
  auto until = x->expires_ms() + remember_ms;
  // A reply or outcome that is still on its way out goes first.
  if (until <= now_ms && x->queue_seq() == 0) {
    if (auto err = forget(t, id, *x))
      return err;
    return true;
  }
  auto err = drop(t, table::dead, due_key(x->dead_ms(), id));
  x->set_dead_ms(0);
  x->set_state(id.back() == 'o' ? storage::ENDED : storage::DONE);
  err = first_of(
    {err, drop_content(t, *x), set_due(t, id, *x, std::max(until, now_ms)), put_record(t, id, *x)});
  if (err)
    return err;
  return true;
}

caf::error bury_oldest(transaction& t, size_t count, uint64_t now_ms) {
  std::vector<std::string> ids;
  auto err = t.scan(table::dead, {}, count, [&](std::string_view key, std::string_view) {
    ids.emplace_back(key.substr(8));
    return true;
  });
  for (auto& id : ids)
    if (!err)
      if (auto buried = bury(t, id, now_ms); !buried)
        err = std::move(buried.error());
  return err;
}

caf::error revive(transaction& t, std::string_view id, const queue_ref& queue, uint64_t now_ms) {
  t.use_reserve(false);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::DEAD || id.back() != 'i' || x->record() == 0
      || x->outcome_record() != 0)
    return caf::make_error(ec::not_found, std::string{"no dead letter that could run here"});
  auto envelope = content(t, *x);
  if (!envelope)
    return std::move(envelope.error());
  auto& header = (*envelope)->header;
  constexpr uint64_t life_ms_max = 30ULL * 24 * 3'600 * 1'000; // of any request
  auto until
    = std::min(now_ms + header.expires_ms - header.created_ms, header.created_ms + life_ms_max);
  until = std::max(until, x->expires_ms());
  if (until <= now_ms)
    return caf::make_error(ec::timeout, std::string{"it is older than any request may get"});
  if (auto err = drop(t, table::dead, due_key(x->dead_ms(), id)))
    return err;
  x->set_dead_ms(0);
  x->set_attempts(0);
  x->set_outcome_detail({});
  x->set_state(storage::HELD);
  x->set_revived(true);
  x->set_expires_ms(until);
  return first_of({enqueue(t, queue, x->record(), id, *x, (*envelope)->size(), entry_kind::request),
                   set_due(t, id, *x, until), put_record(t, id, *x)});
}

queue_place place(transaction& t, const IdRecord& x) {
  return place_of(t, x);
}

caf::error forget(transaction& t, std::string_view id) {
  auto x = find(t, id);
  if (!x)
    return std::move(x.error());
  return *x ? forget(t, id, **x) : caf::error{};
}

expected<bool> withdraw(transaction& t, std::string_view id) {
  t.use_reserve(true);
  auto x = require(t, id);
  if (!x)
    return std::move(x.error());
  if (x->state() != storage::HELD)
    return false;
  caf::error err = leave_queue(t, *x);
  if (owes_outcome(*x)) {
    x->set_state(storage::DISPATCHED);
    err = first_of({err, t.put(table::dispatched, id, {})});
  } else {
    x->set_state(storage::DONE);
    err = first_of({err, drop_content(t, *x), set_due(t, id, *x, x->expires_ms() + remember_ms)});
  }
  err = first_of({err, put_record(t, id, *x)});
  if (err)
    return err;
  return true;
}

} // namespace rvi::ledger
