// SPDX-License-Identifier: MPL-2.0
//
// Reading and changing records. A change keeps the table's sums in the same transaction.

#include "runtime/lmdb/handles.hpp"

#include <cassert>
#include <cstring>

namespace rvi::lmdb {

namespace detail {

writing::~writing() {
  cursors.clear();
  transaction.reset();
  open.writing = false;
}

int writing::cursor(table_id table, MDB_cursor*& result) {
  assert(transaction);
  auto& kept = cursors[table];
  auto rc = 0;
  if (!kept) {
    MDB_cursor* raw = nullptr;
    rc = mdb_cursor_open(transaction.get(), open.tables[table].dbi, &raw);
    kept.reset(raw);
  }
  result = kept.get();
  return rc;
}

int writing::find(table_id table, std::string_view key, MDB_cursor*& at, MDB_val& stored) {
  auto key_val = to_val(key);
  auto rc = cursor(table, at);
  return rc == 0 ? mdb_cursor_get(at, &key_val, &stored, MDB_SET) : rc;
}

namespace {

caf::error check_key(std::string_view key) {
  if (!key.empty() && key.size() <= key_size_max)
    return {};
  return caf::make_error(ec::too_large, "a key of " + std::to_string(key.size())
                                          + " bytes; 1 to 511 are possible");
}

/// What LMDB found under this key, checked.
expected<std::optional<std::string_view>>
verified_result(int rc, const open_table& table, std::string_view key, const MDB_val& stored) {
  if (rc == MDB_NOTFOUND)
    return std::optional<std::string_view>{};
  if (rc != 0)
    return to_error(rc, "reading from " + table.name);
  auto payload = verified(table.name, key, to_view(stored));
  if (!payload)
    return damaged(table.name, key);
  return payload;
}

expected<cursor_handle> open_cursor(MDB_txn* transaction, const open_table& table) {
  MDB_cursor* raw = nullptr;
  if (auto rc = mdb_cursor_open(transaction, table.dbi, &raw))
    return to_error(rc, "reading from " + table.name);
  return cursor_handle(raw);
}

expected<size_t> scan(MDB_txn* transaction, const open_table& table, const scan_range& range,
                      const record_visitor& record, const damage_visitor& damaged) {
  auto cursor = open_cursor(transaction, table);
  if (!cursor)
    return std::move(cursor.error());
  auto key = to_val(range.from);
  MDB_val stored;
  size_t handed_out = 0;
  auto step = range.from.empty() ? MDB_FIRST : MDB_SET_RANGE;
  while (handed_out < range.limit) {
    auto rc = mdb_cursor_get(cursor->get(), &key, &stored, step);
    if (rc == MDB_NOTFOUND)
      break;
    if (rc != 0)
      return to_error(rc, "reading from " + table.name);
    step = MDB_NEXT;
    auto payload = verified(table.name, to_view(key), to_view(stored));
    if (!payload) {
      damaged(to_view(key));
      continue;
    }
    ++handed_out;
    if (!record(to_view(key), *payload))
      break;
  }
  return handed_out;
}

expected<std::optional<std::string_view>> last_key(MDB_txn* transaction, const open_table& table) {
  auto cursor = open_cursor(transaction, table);
  if (!cursor)
    return std::move(cursor.error());
  MDB_val key, stored;
  auto rc = mdb_cursor_get(cursor->get(), &key, &stored, MDB_LAST);
  if (rc == MDB_NOTFOUND)
    return std::optional<std::string_view>{};
  if (rc != 0)
    return to_error(rc, "reading from " + table.name);
  return std::optional<std::string_view>{to_view(key)};
}

/// Makes room for payload and checksum and fills it.
int put_reserved(MDB_cursor* cursor, unsigned flags, std::string_view key, std::string_view payload,
                 uint32_t crc, MDB_val& stored) {
  auto key_val = to_val(key);
  stored = {payload.size() + crc_size, nullptr};
  auto rc = mdb_cursor_put(cursor, &key_val, &stored, flags | MDB_RESERVE);
  if (rc != 0)
    return rc;
  auto to = static_cast<char*>(stored.mv_data);
  if (!payload.empty())
    std::memcpy(to, payload.data(), payload.size());
  store_crc(to + payload.size(), crc);
  return 0;
}

caf::error remember(writing& x, caf::error error) {
  x.error = error;
  return error;
}

caf::error put_record(writing& x, table_id id, unsigned flags, std::string_view key,
                      std::string_view payload) {
  assert(id < x.open.tables.size());
  if (x.error)
    return x.error;
  assert(x.transaction);
  if (auto error = check_key(key))
    return remember(x, error);
  if (x.full && !x.reserve_allowed)
    return remember(x, caf::make_error(ec::store_full, "the store has no room left"));
  auto& table = x.open.tables[id];
  auto& sums = x.sums[id];
  auto crc = record_crc(table.name, key, payload);
  MDB_cursor* cursor = nullptr;
  MDB_val stored;
  auto rc = x.cursor(id, cursor);
  if (rc == 0)
    rc = put_reserved(cursor, flags, key, payload, crc, stored);
  if (rc == MDB_KEYEXIST && flags == MDB_APPEND)
    rc = put_reserved(cursor, MDB_NOOVERWRITE, key, payload, crc, stored);
  if (rc == MDB_KEYEXIST) {
    sums.remove(key, stored_crc(to_view(stored))); // the record there before
    rc = put_reserved(cursor, 0, key, payload, crc, stored);
  }
  if (rc != 0)
    return remember(x, to_error(rc, "writing to " + table.name));
  sums.add(key, crc);
  return {};
}

caf::error put_sums(writing& x) {
  MDB_cursor* raw = nullptr;
  if (auto rc = mdb_cursor_open(x.transaction.get(), x.open.sums, &raw))
    return to_error(rc, "writing sums");
  cursor_handle cursor(raw);
  for (size_t i = 0; i < x.open.tables.size(); ++i) {
    auto& table = x.open.tables[i];
    if (x.sums[i] == table.sums)
      continue;
    auto payload = encode(x.sums[i]);
    auto crc = record_crc(sums_table, table.name, payload);
    MDB_val stored;
    if (auto rc = put_reserved(raw, 0, table.name, payload, crc, stored))
      return to_error(rc, "writing the sums of " + table.name);
  }
  return {};
}

} // namespace

} // namespace detail

write_transaction::write_transaction(std::unique_ptr<detail::writing> writing)
  : writing_(std::move(writing)) {}
write_transaction::write_transaction(write_transaction&&) noexcept = default;
write_transaction& write_transaction::operator=(write_transaction&&) noexcept = default;
write_transaction::~write_transaction() = default;

caf::error write_transaction::put(table_id table, std::string_view key, std::string_view value) {
  return detail::put_record(*writing_, table, MDB_NOOVERWRITE, key, value);
}

caf::error write_transaction::append(table_id table, std::string_view key, std::string_view value) {
  return detail::put_record(*writing_, table, MDB_APPEND, key, value);
}

void write_transaction::use_reserve(bool allowed) {
  writing_->reserve_allowed = allowed;
}

expected<bool> write_transaction::erase(table_id id, std::string_view key) {
  assert(id < writing_->open.tables.size());
  if (writing_->error)
    return writing_->error;
  assert(writing_->transaction);
  if (auto error = detail::check_key(key))
    return detail::remember(*writing_, error);
  auto& table = writing_->open.tables[id];
  MDB_cursor* cursor = nullptr;
  MDB_val stored;
  auto rc = writing_->find(id, key, cursor, stored);
  if (rc == MDB_NOTFOUND)
    return false;
  auto crc = rc == 0 ? detail::stored_crc(detail::to_view(stored)) : 0;
  if (rc == 0)
    rc = mdb_cursor_del(cursor, 0);
  if (rc != 0)
    return detail::remember(*writing_, detail::to_error(rc, "erasing from " + table.name));
  writing_->sums[id].remove(key, crc);
  return true;
}

expected<std::optional<std::string_view>>
write_transaction::get(table_id table, std::string_view key) const {
  assert(table < writing_->open.tables.size());
  if (writing_->error)
    return writing_->error;
  if (auto error = detail::check_key(key))
    return error;
  MDB_cursor* cursor = nullptr;
  MDB_val stored;
  auto rc = writing_->find(table, key, cursor, stored);
  return detail::verified_result(rc, writing_->open.tables[table], key, stored);
}

expected<size_t> write_transaction::scan(const scan_range& range, const record_visitor& record,
                                         const damage_visitor& damaged) const {
  assert(range.table < writing_->open.tables.size());
  if (writing_->error)
    return writing_->error;
  return detail::scan(writing_->transaction.get(), writing_->open.tables[range.table], range,
                      record, damaged);
}

expected<std::optional<std::string_view>> write_transaction::last_key(table_id table) const {
  assert(table < writing_->open.tables.size());
  if (writing_->error)
    return writing_->error;
  return detail::last_key(writing_->transaction.get(), writing_->open.tables[table]);
}

caf::error write_transaction::commit() {
  auto finished = std::move(writing_); // over in any case
  assert(finished && finished->transaction);
  if (finished->error)
    return finished->error;
  if (auto error = detail::put_sums(*finished))
    return error;
  auto& open = finished->open;
  finished->cursors.clear();
  if (auto rc = mdb_txn_commit(finished->transaction.release())) {
    open.failed = !detail::is_full(rc);
    return detail::to_error(rc, "committing");
  }
  for (size_t i = 0; i < open.tables.size(); ++i)
    open.tables[i].sums = finished->sums[i];
  return {};
}

read_transaction::read_transaction(std::unique_ptr<detail::reading> reading)
  : reading_(std::move(reading)) {}
read_transaction::read_transaction(read_transaction&&) noexcept = default;
read_transaction& read_transaction::operator=(read_transaction&&) noexcept = default;
read_transaction::~read_transaction() = default;

expected<std::optional<std::string_view>>
read_transaction::get(table_id table, std::string_view key) const {
  assert(table < reading_->open.tables.size());
  if (auto error = detail::check_key(key))
    return error;
  auto key_val = detail::to_val(key);
  MDB_val stored;
  auto& from = reading_->open.tables[table];
  auto rc = mdb_get(reading_->transaction.get(), from.dbi, &key_val, &stored);
  return detail::verified_result(rc, from, key, stored);
}

expected<size_t> read_transaction::scan(const scan_range& range, const record_visitor& record,
                                        const damage_visitor& damaged) const {
  assert(range.table < reading_->open.tables.size());
  return detail::scan(reading_->transaction.get(), reading_->open.tables[range.table], range,
                      record, damaged);
}

expected<std::optional<std::string_view>> read_transaction::last_key(table_id table) const {
  assert(table < reading_->open.tables.size());
  return detail::last_key(reading_->transaction.get(), reading_->open.tables[table]);
}

} // namespace rvi::lmdb
