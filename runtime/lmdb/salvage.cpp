// SPDX-License-Identifier: MPL-2.0
//
// Saves what verifies from a damaged store. Children read; when one crashes, the next one goes on
// with smaller steps, and the last comes from the table's other end.

#include "runtime/json/json.hpp"
#include "runtime/lmdb/handles.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace rvi::lmdb {

namespace {

struct sweep {
  MDB_cursor_op step;
  size_t records_per_commit; // a crash loses what is not committed yet
};
constexpr sweep sweeps[] = {{MDB_NEXT, 256}, {MDB_NEXT, 1}, {MDB_PREV, 1}};

caf::error io_error(const std::string& what) {
  return caf::make_error(ec::io_failed, what + ": " + std::strerror(errno));
}

options target_options(const std::string& path) {
  struct stat file {};
  ::stat((path + detail::data_file).c_str(), &file);
  constexpr uint64_t spare_bytes = 256 << 20;
  return {.path = path + "/salvage", .map_bytes = uint64_t(file.st_size) * 2 + spare_bytes};
}

/// Where the sweep begins: behind what earlier ones saved. Nothing if the cursor shows no record.
bool go_to_start(MDB_cursor* source, const environment& target, const sweep& sweep, MDB_val& key,
                 MDB_val& stored) {
  if (sweep.step == MDB_PREV)
    return mdb_cursor_get(source, &key, &stored, MDB_LAST) == 0;
  auto read = target.begin_read();
  auto last = read ? read->last_key(0) : expected<std::optional<std::string_view>>(read.error());
  if (!last)
    return false;
  if (!*last)
    return mdb_cursor_get(source, &key, &stored, MDB_FIRST) == 0;
  key = detail::to_val(**last);
  return mdb_cursor_get(source, &key, &stored, MDB_SET_RANGE) == 0;
}

/// Whether a sweep comes on: a damaged tree may lead in circles, and each turn would take for ever.
bool comes_on(const sweep& sweep, std::string_view before, std::string_view now) {
  return before.empty() || (sweep.step == MDB_NEXT ? before < now : now < before);
}

/// True if the table was read to its end, or to a record saved before.
bool copy(const std::string& path, const std::string& name, const sweep& sweep) {
  auto source = detail::inspection::open(path);
  auto target = detail::unsynced::open(target_options(path), {name});
  if (!source || !target)
    return false;
  auto cursor = source->open_table(name);
  MDB_val key, stored;
  if (!cursor || !go_to_start(cursor->get(), **target, sweep, key, stored))
    return false;
  std::string before;
  for (auto more = true; more;) {
    auto change = (*target)->begin_write();
    if (!change)
      return false;
    for (size_t n = 0; more && n < sweep.records_per_commit; ++n) {
      if (!comes_on(sweep, before, detail::to_view(key))) {
        static_cast<void>(change->commit());
        return false;
      }
      before = detail::to_view(key);
      auto payload = detail::verified(name, detail::to_view(key), detail::to_view(stored));
      if (payload) {
        auto there = change->get(0, detail::to_view(key));
        if (sweep.step == MDB_PREV && there && *there)
          return true;
        if (change->put(0, detail::to_view(key), *payload))
          return false;
      }
      auto rc = mdb_cursor_get(cursor->get(), &key, &stored, sweep.step);
      more = rc == 0;
      if (rc != 0 && rc != MDB_NOTFOUND) {
        static_cast<void>(change->commit()); // what came before the damage is good
        return false;
      }
    }
    if (change->commit())
      return false;
  }
  return true;
}

std::vector<std::string> table_names(const std::string& path, unsigned seconds_max) {
  auto answer = detail::run_in_child(seconds_max, [&path] {
    json::writer out;
    out.begin_array();
    auto source = detail::inspection::open(path);
    auto names = source ? source->tables() : expected<std::vector<std::string>>(source.error());
    if (names)
      for (auto& name : *names)
        if (!name.empty() && !name.starts_with('$') && json::parse('"' + name + '"'))
          out.string(name); // else the name itself is damaged
    return out.end_array().take();
  });
  std::vector<std::string> result;
  if (!answer || !*answer)
    return result;
  if (auto names = json::parse(**answer))
    for (auto& name : names->root().items())
      result.emplace_back(name.as_string().value_or(""));
  return result;
}

/// Keeps the damaged file under another name.
caf::error keep(const std::string& data) {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  auto kept = data + ".damaged-" + std::to_string(seconds);
  // A start that was killed here may be repeated within the same second.
  constexpr int tries_max = 1000;
  for (int n = 1; n <= tries_max; ++n) {
    auto name = n == 1 ? kept : kept + "-" + std::to_string(n);
    if (::link(data.c_str(), name.c_str()) == 0)
      return {};
    if (errno != EEXIST)
      return io_error(name);
  }
  return io_error(kept);
}

/// Never leaves the directory without a data file.
caf::error replace(const std::string& path, const std::string& saved) {
  auto data = path + detail::data_file;
  if (auto error = detail::sync_path(saved))
    return error;
  if (auto error = keep(data))
    return error;
  if (::rename(saved.c_str(), data.c_str()) != 0)
    return io_error(data);
  return detail::sync_path(path);
}

/// Makes the new file, empty.
caf::error prepare(const options& target) {
  std::error_code error;
  std::filesystem::remove_all(target.path, error); // of a salvage that was interrupted
  if (error)
    return caf::make_error(ec::io_failed, target.path + ": " + error.message());
  auto opened = environment::open(target, {});
  return opened ? caf::error{} : opened.error();
}

} // namespace

expected<uint64_t> salvage(const std::string& path) {
  if (::access((path + detail::data_file).c_str(), F_OK) != 0)
    return io_error(path + detail::data_file);
  auto lock = detail::directory_lock::take(path);
  if (!lock)
    return lock.error();
  auto target = target_options(path);
  if (auto error = prepare(target))
    return error;
  auto seconds_max = detail::seconds_to_read(path);
  for (auto& name : table_names(path, seconds_max))
    for (auto& sweep : sweeps) {
      auto answer = detail::run_in_child(
        seconds_max, [&] { return std::string(copy(path, name, sweep) ? "complete" : "broken"); });
      if (!answer)
        return answer.error();
      if (*answer == "complete")
        break;
    }
  auto report = check(target.path);
  if (!report)
    return report.error();
  if (!report->sound())
    return caf::make_error(ec::store_failed, "the copy is damaged: " + report->describe());
  uint64_t records = 0;
  for (auto& [name, table] : report->tables)
    records += table.records;
  if (auto error = replace(path, target.path + detail::data_file))
    return error;
  std::error_code ignored;
  std::filesystem::remove_all(target.path, ignored);
  return records;
}

} // namespace rvi::lmdb
