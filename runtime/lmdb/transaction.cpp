// SPDX-License-Identifier: MPL-2.0
//
// Reading and changing records. A change keeps the table's sums in the same transaction.

#include "runtime/lmdb/handles.hpp"

#include <cassert>
#include <cstring>

namespace rvi::lmdb {

namespace detail {

writing::~writing() {
  transaction.reset();
  open.writing = false;
}

namespace {

caf::error check_key(std::string_view key) {
  if (!key.empty() && key.size() <= key_size_max)
    return {};
  return caf::make_error(ec::too_large, "a key of " + std::to_string(key.size())
                                          + " bytes; 1 to 511 are possible");
}

expected<std::optional<std::string_view>>
get_verified(MDB_txn* transaction, const open_table& table, std::string_view key) {
  if (auto error = check_key(key))
    return error;
  auto key_val = to_val(key);
  MDB_val stored;
  auto rc = mdb_get(transaction, table.dbi, &key_val, &stored);
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
int put_reserved(MDB_txn* transaction, MDB_dbi dbi, unsigned flags, std::string_view key,
                 std::string_view payload, uint32_t crc, MDB_val& stored) {
  auto key_val = to_val(key);
  stored = {payload.size() + crc_size, nullptr};
  auto rc = mdb_put(transaction, dbi, &key_val, &stored, flags | MDB_RESERVE);
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
  auto raw = x.transaction.get();
  auto crc = record_crc(table.name, key, payload);
  MDB_val stored;
  auto rc = put_reserved(raw, table.dbi, flags, key, payload, crc, stored);
  if (rc == MDB_KEYEXIST && flags == MDB_APPEND)
    rc = put_reserved(raw, table.dbi, MDB_NOOVERWRITE, key, payload, crc, stored);
  if (rc == MDB_KEYEXIST) {
    sums.remove(key, stored_crc(to_view(stored))); // the record there before
    rc = put_reserved(raw, table.dbi, 0, key, payload, crc, stored);
  }
  if (rc != 0)
    return remember(x, to_error(rc, "writing to " + table.name));
  sums.add(key, crc);
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
  auto raw = writing_->transaction.get();
  auto key_val = detail::to_val(key);
  MDB_val stored;
  auto rc = mdb_get(raw, table.dbi, &key_val, &stored);
  if (rc == MDB_NOTFOUND)
    return false;
  auto crc = rc == 0 ? detail::stored_crc(detail::to_view(stored)) : 0;
  if (rc == 0)
    rc = mdb_del(raw, table.dbi, &key_val, nullptr);
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
  assert(writing_->transaction);
  return detail::get_verified(writing_->transaction.get(), writing_->open.tables[table], key);
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
  auto& open = finished->open;
  for (size_t i = 0; i < open.tables.size(); ++i) {
    auto& table = open.tables[i];
    if (finished->sums[i] == table.sums)
      continue;
    auto payload = detail::encode(finished->sums[i]);
    auto crc = detail::record_crc(detail::sums_table, table.name, payload);
    MDB_val stored;
    if (auto rc = detail::put_reserved(finished->transaction.get(), open.sums, 0, table.name,
                                       payload, crc, stored))
      return detail::to_error(rc, "writing the sums of " + table.name);
  }
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
  return detail::get_verified(reading_->transaction.get(), reading_->open.tables[table], key);
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
