// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/queue_listing.hpp"

#include "actors/routing/ledger_records.hpp"
#include "messages/name.hpp"
#include "runtime/json/json.hpp"

namespace rvi::queue_listing {

namespace {

using ledger::IdRecord;

constexpr size_t arguments_shown_max = 16 << 10;

const char* state_name(storage::State x) {
  switch (x) {
    case storage::WAITING:
      return "waiting";
    case storage::CUSTODY:
      return "custody";
    case storage::ENDED:
      return "ended";
    case storage::HELD:
      return "held";
    case storage::DISPATCHED:
      return "dispatched";
    case storage::DONE:
      return "done";
    case storage::DEAD:
      return "dead";
    default:
      return "unknown";
  }
}

struct entry {
  std::string id;
  std::string queue;
  const char* what = "request";
  uint64_t bytes = 0;
  bool in_memory = false;
};

void write_item(json::writer& out, const entry& e, const IdRecord& x) {
  out.member("transaction_id", to_string(ledger::id_of(e.id)))
    .member("state", state_name(x.state()))
    .member("what", e.what)
    .member("kind", to_string(static_cast<request_kind>(x.kind())))
    .member("source", x.source())
    .member("target", x.target())
    .member("queue", e.queue)
    .member("priority", uint64_t{x.priority()})
    .member("durability", to_string(e.in_memory ? durability::none : durability::full))
    .member("bytes", e.bytes)
    .member("expires_ms", x.expires_ms())
    .member("attempts", uint64_t{x.attempts()});
  if (x.state() == storage::DEAD)
    out.member("dead_ms", x.dead_ms()).member("why", x.outcome_detail());
}

caf::error add(transaction& t, page& out, const entry& e) {
  auto x = ledger::find(t, e.id);
  if (!x)
    return std::move(x.error());
  if (!*x)
    return {};
  json::writer text;
  text.begin_object();
  write_item(text, e, **x);
  text.end_object();
  out.items.push_back(text.take());
  return {};
}

entry entry_of(const storage::QueueEntry& x, const std::string& queue, bool in_memory) {
  return {x.id(), queue,
          x.outcome() ? "outcome"
          : x.reply() ? "reply"
                      : "request",
          x.bytes(), in_memory};
}

/// The entries of the wanted queues from the page's key on, one more than fit in.
caf::error scan_queues(transaction& t, const page& x, size_t limit,
                       std::vector<std::pair<std::string, entry>>& found) {
  uint32_t first = x.from.size() >= 4 ? read_u32(x.from) : 0;
  for (auto i = x.queues.lower_bound(first); i != x.queues.end() && found.size() < limit; ++i) {
    auto from = ledger::queue_key(i->first, {});
    if (i->first == first && !x.from.empty())
      from = x.from;
    auto err = t.scan(
      table::queue, from, limit - found.size(), [&](std::string_view key, std::string_view value) {
        storage::QueueEntry waiting;
        if (read_u32(key) != i->first)
          return false;
        if (waiting.ParseFromArray(value.data(), static_cast<int>(value.size())))
          found.emplace_back(std::string{key}, entry_of(waiting, i->second, x.in_memory));
        return true;
      });
    if (err)
      return err;
  }
  return {};
}

caf::error read_dead(transaction& t, page& x) {
  std::vector<std::string> keys;
  constexpr size_t looked_at_max = 10'000; // of letters that are not wanted
  auto err
    = t.scan(table::dead, x.from, looked_at_max, [&](std::string_view key, std::string_view) {
        keys.emplace_back(key);
        return true;
      });
  if (err)
    return err;
  for (auto& key : keys) {
    if (x.items.size() >= x.items_max) {
      x.from = key;
      x.more = true;
      return {};
    }
    auto id = key.substr(8);
    auto record = ledger::find(t, id);
    if (!record)
      return std::move(record.error());
    if (!*record || (!x.pattern.empty() && !wanted(x.pattern, (*record)->target())))
      continue;
    auto content = ledger::content(t, **record);
    if (auto failed = add(t, x, {id, {}, "request", content ? (*content)->size() : 0, false}))
      return failed;
  }
  x.more = keys.size() == looked_at_max;
  if (x.more)
    x.from = keys.back() + '\0';
  return {};
}

} // namespace

bool wanted(const std::string& pattern, std::string_view name) {
  return matches(pattern, name) || covers(pattern, name);
}

bool page::start_after(std::string_view cursor) {
  if (cursor.empty())
    return true;
  auto bytes = crypto::unhex(cursor.substr(1));
  if (!bytes || bytes->size() < 4 || bytes->size() > 64)
    return false;
  if (cursor.front() != (dead ? 'l' : 'd') && (dead || cursor.front() != 'm'))
    return false;
  in_memory = cursor.front() == 'm';
  from.assign(bytes->begin(), bytes->end());
  return true;
}

std::string page::to_json() const {
  json::writer out;
  out.begin_object().key("items").begin_array();
  for (auto& item : items)
    out.raw(item);
  out.end_array();
  auto kind = dead ? "l" : in_memory ? "m" : "d";
  out.member("next", more ? kind + crypto::hex(from) : std::string{}).end_object();
  return out.take();
}

caf::error read(transaction& t, page& x) {
  if (x.dead)
    return read_dead(t, x);
  std::vector<std::pair<std::string, entry>> found;
  auto room = x.items_max - x.items.size();
  if (auto err = scan_queues(t, x, room + 1, found))
    return err;
  x.from.clear();
  x.more = found.size() > room;
  if (x.more) {
    x.from = found.back().first;
    found.pop_back();
  }
  for (auto& [key, e] : found)
    if (auto err = add(t, x, e))
      return err;
  return {};
}

caf::error show(transaction& t, const transaction_id& id, std::vector<std::string>& items) {
  for (auto& key : {ledger::originated_key(id), ledger::inbound_key(id), ledger::carried_key(id)}) {
    auto x = ledger::find(t, key);
    if (!x)
      return std::move(x.error());
    if (!*x)
      continue;
    auto content = ledger::content(t, **x);
    json::writer text;
    text.begin_object();
    auto size = content ? (*content)->size() : 0;
    bool in_memory = content && (*content)->header.in_memory();
    write_item(text, {key, (*x)->queue(), "request", size, in_memory}, **x);
    if (content) {
      auto& header = (*content)->header;
      text.member("created_ms", header.created_ms)
        .member("channel", header.channel)
        .member("data_class", header.data_class);
      if (!(*content)->is_opening() && (*content)->arguments.size() <= arguments_shown_max)
        text.key("arguments").raw((*content)->arguments);
    }
    text.end_object();
    items.push_back(text.take());
  }
  return {};
}

std::string as_list(const std::vector<std::string>& items) {
  page x;
  x.items = items;
  return x.to_json();
}

caf::error find(transaction& t, const std::optional<transaction_id>& id, const page& where,
                std::vector<store_and_forward_state::due_request>& found, bool& more) {
  std::vector<std::string> keys;
  if (id) {
    keys = {ledger::originated_key(*id), ledger::inbound_key(*id), ledger::carried_key(*id)};
  } else {
    std::vector<std::pair<std::string, entry>> waiting;
    if (auto err = scan_queues(t, where, where.items_max + 1, waiting))
      return err;
    more = waiting.size() > where.items_max;
    for (auto& [key, e] : waiting)
      if (keys.size() < where.items_max)
        keys.push_back(e.id);
  }
  for (auto& key : keys) {
    auto x = ledger::find(t, key);
    if (!x)
      return std::move(x.error());
    if (*x)
      found.push_back({key, (*x)->source()});
  }
  return {};
}

} // namespace rvi::queue_listing
