// SPDX-License-Identifier: MPL-2.0
//
// The full check of a store: its pages, every record's checksum, every table's count and hash.

#include "runtime/json/json.hpp"
#include "runtime/lmdb/handles.hpp"
#include "runtime/lmdb/pages.hpp"

#include <cerrno>
#include <cstring>
#include <sys/stat.h>

namespace rvi::lmdb {

namespace detail {

expected<inspection> inspection::open(const std::string& path) {
  constexpr MDB_dbi tables_max = 1024;
  struct stat file {};
  if (::stat((path + data_file).c_str(), &file) != 0)
    return caf::make_error(ec::io_failed, path + data_file + ": " + std::strerror(errno));
  if (file.st_size == 0)
    return caf::make_error(ec::store_failed, "the file is empty");
  MDB_env* handle = nullptr;
  if (auto rc = mdb_env_create(&handle))
    return to_error(rc, "opening");
  inspection result;
  result.handle.reset(handle);
  mdb_env_set_maxdbs(handle, tables_max);
  // Of the file's own, not of the size the file claims.
  auto rc = mdb_env_set_mapsize(handle, size_t(file.st_size));
  if (rc == 0)
    rc = mdb_env_open(handle, path.c_str(), MDB_RDONLY | MDB_NOTLS, 0600);
  MDB_txn* raw = nullptr;
  if (rc == 0)
    rc = mdb_txn_begin(handle, nullptr, MDB_RDONLY, &raw);
  if (rc != 0)
    return to_error(rc, "opening");
  result.transaction.reset(raw);
  return result;
}

expected<std::vector<std::string>> inspection::tables() const {
  MDB_dbi main = 0;
  MDB_cursor* raw = nullptr;
  auto rc = mdb_dbi_open(transaction.get(), nullptr, 0, &main);
  if (rc == 0)
    rc = mdb_cursor_open(transaction.get(), main, &raw);
  if (rc != 0)
    return to_error(rc, "reading the list of tables");
  cursor_handle cursor(raw);
  std::vector<std::string> result;
  MDB_val key, record;
  while ((rc = mdb_cursor_get(raw, &key, &record, MDB_NEXT)) == 0) {
    if (!result.empty() && to_view(key) <= result.back())
      break; // a damaged tree leads in circles
    result.emplace_back(to_view(key));
  }
  if (rc == 0)
    return result;
  if (rc != MDB_NOTFOUND)
    return to_error(rc, "reading the list of tables");
  return result;
}

expected<cursor_handle> inspection::open_table(const std::string& name) const {
  MDB_dbi dbi = 0;
  MDB_cursor* raw = nullptr;
  auto rc = mdb_dbi_open(transaction.get(), name.c_str(), 0, &dbi);
  if (rc == 0)
    rc = mdb_cursor_open(transaction.get(), dbi, &raw);
  if (rc != 0)
    return to_error(rc, "opening table " + name);
  return cursor_handle(raw);
}

namespace {

constexpr size_t damaged_keys_max = 100;

/// Reads a table to its end. What verifies goes to `record`.
table_sums read_table(const inspection& source, const std::string& name, table_report& report,
                      const std::function<void(std::string_view, std::string_view)>& record) {
  table_sums sums;
  auto cursor = source.open_table(name);
  if (!cursor) {
    report.problem = detail_of(cursor.error());
    return sums;
  }
  MDB_val key, stored;
  int rc;
  while ((rc = mdb_cursor_get(cursor->get(), &key, &stored, MDB_NEXT)) == 0) {
    sums.add(to_view(key), stored_crc(to_view(stored)));
    if (auto payload = verified(name, to_view(key), to_view(stored))) {
      ++report.records;
      record(to_view(key), *payload);
    } else {
      ++report.damaged;
      if (report.damaged_keys.size() < damaged_keys_max)
        report.damaged_keys.push_back(to_hex(to_view(key)));
    }
  }
  if (rc != MDB_NOTFOUND)
    report.problem = mdb_strerror(rc);
  return sums;
}

std::string encode_report(const check_report& report) {
  json::writer out;
  out.begin_object().member("problem", report.problem).key("tables").begin_object();
  for (auto& [name, table] : report.tables) {
    out.key(to_hex(name)).begin_object();
    out.member("records", table.records).member("damaged", table.damaged);
    out.member("count_matches", table.count_matches).member("hash_matches", table.hash_matches);
    out.member("problem", table.problem).key("damaged_keys").begin_array();
    for (auto& key : table.damaged_keys)
      out.string(key);
    out.end_array().end_object();
  }
  out.end_object().end_object();
  return out.take();
}

std::string from_hex(std::string_view hex) {
  auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string result;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    result += char(digit(hex[i]) << 4 | digit(hex[i + 1]));
  return result;
}

std::optional<check_report> decode_report(std::string_view text) {
  auto bounds = json::limits{.bytes_max = 64 << 20, .nodes_max = 1'000'000};
  auto document = json::parse(text, bounds);
  if (!document)
    return std::nullopt;
  check_report report;
  report.problem = document->root()["problem"].as_string().value_or("");
  auto tables = document->root()["tables"];
  for (size_t i = 0; i < tables.size(); ++i) {
    auto from = tables.at(i);
    auto& table = report.tables[from_hex(tables.key_at(i))];
    table.records = from["records"].as_uint().value_or(0);
    table.damaged = from["damaged"].as_uint().value_or(0);
    table.count_matches = from["count_matches"].as_bool().value_or(false);
    table.hash_matches = from["hash_matches"].as_bool().value_or(false);
    table.problem = from["problem"].as_string().value_or("");
    for (auto& key : from["damaged_keys"].items())
      table.damaged_keys.emplace_back(key.as_string().value_or(""));
  }
  return report;
}

bool absent(const std::string& path) {
  struct stat file {};
  return ::stat((path + data_file).c_str(), &file) != 0 && errno == ENOENT;
}

} // namespace

} // namespace detail

bool check_report::sound() const {
  if (crashed || !problem.empty())
    return false;
  for (auto& [name, table] : tables)
    if (!table.sound())
      return false;
  return true;
}

std::string check_report::describe() const {
  if (crashed)
    return "the file is damaged so that reading it fails";
  if (!problem.empty())
    return problem;
  std::string result;
  for (auto& [name, table] : tables) {
    result
      += (result.empty() ? "" : "; ") + name + ": " + std::to_string(table.records) + " records";
    if (table.damaged > 0)
      result += ", " + std::to_string(table.damaged) + " damaged";
    if (!table.count_matches)
      result += ", wrong count";
    if (!table.hash_matches)
      result += ", wrong hash";
    if (!table.problem.empty())
      result += ", " + table.problem;
  }
  return result.empty() ? "no tables" : result;
}

expected<check_report> check(const std::string& path) {
  check_report report;
  if (detail::absent(path))
    return report;
  auto broken = detail::broken_structure(path + detail::data_file);
  if (!broken)
    return broken.error();
  if (!broken->empty()) {
    report.problem = *broken;
    return report;
  }
  auto source = detail::inspection::open(path);
  auto names = source ? source->tables() : expected<std::vector<std::string>>(source.error());
  if (!names) {
    if (code_of(names.error()) == ec::io_failed)
      return names.error();
    report.problem = detail_of(names.error());
    return report;
  }
  std::map<std::string, detail::table_sums> found, wanted;
  const std::string sums_table(detail::sums_table);
  table_report sums_report;
  detail::read_table(*source, sums_table, sums_report, [&](auto key, auto payload) {
    if (auto sums = detail::decode_sums(payload))
      wanted[std::string(key)] = *sums;
  });
  if (!sums_report.sound())
    report.tables[sums_table] = sums_report;
  for (auto& name : *names)
    if (name != sums_table)
      found[name] = detail::read_table(*source, name, report.tables[name], [](auto, auto) {});
  for (auto& [name, sums] : wanted)
    found.try_emplace(name); // a table that is gone
  for (auto& [name, sums] : found) {
    auto& table = report.tables[name];
    table.count_matches = sums.count == wanted[name].count;
    table.hash_matches = sums.hash == wanted[name].hash;
  }
  return report;
}

expected<check_report> check_in_child(const std::string& path) {
  auto answer = detail::run_in_child(detail::seconds_to_read(path), [&path] {
    auto report = check(path);
    if (report)
      return "+" + detail::encode_report(*report);
    return "-" + detail_of(report.error());
  });
  if (!answer)
    return answer.error();
  check_report crashed;
  crashed.crashed = true;
  if (!*answer || (*answer)->empty())
    return crashed;
  std::string_view text = **answer;
  if (text[0] == '-')
    return caf::make_error(ec::io_failed, std::string(text.substr(1)));
  return detail::decode_report(text.substr(1)).value_or(crashed);
}

} // namespace rvi::lmdb
