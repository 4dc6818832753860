// SPDX-License-Identifier: MPL-2.0
//
// The audit trail: what it says, that it goes on, and that a change shows.

#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

using namespace rvi;

namespace {

struct fixture {
  fixture() : folder("/tmp/rvi-audit-" + std::to_string(::getpid())) {
    std::filesystem::create_directory(folder);
    settings.path = folder + "/audit.log";
  }
  ~fixture() {
    audit::close();
    std::filesystem::remove_all(folder);
  }

  void open() {
    auto err = audit::open(settings);
    INFO(describe(err));
    REQUIRE_FALSE(err);
  }

  /// All lines of all files, oldest first.
  std::vector<std::string> lines() {
    std::vector<std::string> result;
    auto found = audit::read(settings.path, [&](auto line) { result.emplace_back(line); });
    REQUIRE(found);
    verdict = *found;
    return result;
  }

  std::string text(const std::string& file) {
    std::ifstream in{file};
    return {std::istreambuf_iterator<char>{in}, {}};
  }

  void write(const std::string& file, const std::string& text) { std::ofstream{file} << text; }

  /// Why the chain breaks if the trail's file is this.
  std::string broken(const std::string& text) {
    write(settings.path, text);
    lines();
    return verdict.broken;
  }

  static std::string event(const std::string& line) {
    auto document = json::parse(line);
    REQUIRE(document);
    return std::string{*document->root()["event"].as_string()};
  }

  std::string folder;
  audit::settings settings;
  audit::verdict verdict;
};

} // namespace

TEST_SUITE_BEGIN("audit");

TEST_CASE_FIXTURE(fixture, "says what was recorded, in order, and only its owner may read it") {
  open();
  audit::record("refused", {{"source", "jlr.com/\"x\""}, {"count", uint64_t{7}}});
  audit::record("bytes", {{"raw", std::string_view{"\xff\x01", 2}}});
  auto all = lines();
  REQUIRE(all.size() == 3);
  CHECK(event(all[0]) == "opened");
  auto document = json::parse(all[1]);
  REQUIRE(document);
  auto x = document->root();
  CHECK(x["seq"].as_uint() == 2);
  CHECK(x["event"].as_string() == "refused");
  CHECK(x["source"].as_string() == "jlr.com/\"x\"");
  CHECK(x["count"].as_uint() == 7);
  CHECK(all[2].find(R"("raw":"hex:ff01")") != std::string::npos);
  CHECK(verdict.broken.empty());
  CHECK(verdict.records == 3);
  CHECK(verdict.last_seq == 3);
  struct stat found {};
  REQUIRE(::stat(settings.path.c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0600);
}

TEST_CASE_FIXTURE(fixture, "a name that stands twice does not make a line unreadable") {
  open();
  audit::record("bundle", {{"seq", uint64_t{7}}, {"event", "x"}, {"a", "1"}, {"a", "2"}});
  auto all = lines();
  REQUIRE(all.size() == 2);
  CHECK(verdict.broken.empty());
  CHECK(verdict.last_seq == 2);
  auto document = json::parse(all[1]);
  REQUIRE(document);
  auto x = document->root();
  CHECK(x["event"].as_string() == "bundle");
  CHECK(x["seq_"].as_uint() == 7);
  CHECK(x["event_"].as_string() == "x");
  CHECK(x["a_"].as_string() == "2");
}

TEST_CASE_FIXTURE(fixture, "goes on after a restart, and after a line that a crash cut short") {
  open();
  audit::record("first");
  audit::close();
  audit::record("nobody hears this");
  std::ofstream{settings.path, std::ios::app} << R"({"seq":3,"time_ms":1)";
  open();
  audit::record("second");
  auto all = lines();
  CHECK(verdict.broken.empty());
  REQUIRE(all.size() == 4);
  CHECK(event(all[2]) == "opened");
  CHECK(all[2].find(R"("torn_bytes":20)") != std::string::npos);
  CHECK(event(all[3]) == "second");
  CHECK(verdict.last_seq == 4);
}

TEST_CASE_FIXTURE(fixture, "a record changed, taken out, put in or moved shows") {
  open();
  for (auto* x : {"a", "b", "c"})
    audit::record(x);
  audit::close();
  auto whole = text(settings.path);
  auto all = lines();
  REQUIRE(all.size() == 4);
  CHECK(verdict.broken.empty());
  auto changed = whole;
  changed[changed.find(R"("event":"b")") + 9] = 'x';
  CHECK(broken(changed)
        == settings.path
             + ", line 4: the record before it was changed, or records "
               "are missing");
  auto without = whole;
  without.erase(without.find(all[2]), all[2].size() + 1);
  CHECK(broken(without).find("line 3: ") != std::string::npos);
  CHECK(broken(all[0] + "\n" + all[1] + "\n" + all[1] + "\n").find("line 3") != std::string::npos);
  CHECK(broken(all[0] + "\n" + all[2] + "\n" + all[1] + "\n").find("line 2") != std::string::npos);
  CHECK(broken("nonsense\n" + whole).find("no record") != std::string::npos);
  auto renumbered = all[1];
  renumbered.replace(renumbered.find("\"seq\":2"), 7, "\"seq\":1");
  CHECK_FALSE(broken(renumbered + "\n").empty());
  CHECK(broken(whole).empty());
}

TEST_CASE_FIXTURE(fixture, "goes on in another file when one is full, and the oldest goes") {
  settings.bytes_max = 1'000;
  settings.files_max = 3;
  settings.records_per_s_max = 1'000;
  open();
  for (int i = 0; i < 40; ++i)
    audit::record("event", {{"text", std::string(100, 'x')}});
  auto all = lines();
  CHECK(verdict.broken.empty());
  CHECK(verdict.last_seq == 41);
  CHECK(verdict.first_seq > 1);
  CHECK(all.size() == verdict.last_seq - verdict.first_seq + 1);
  CHECK(std::filesystem::exists(settings.path + ".2"));
  CHECK_FALSE(std::filesystem::exists(settings.path + ".3"));
  CHECK(std::filesystem::file_size(settings.path + ".1") <= 1'000);
  // A whole file taken out of the middle shows, too.
  std::filesystem::remove(settings.path + ".1");
  std::filesystem::rename(settings.path + ".2", settings.path + ".1");
  lines();
  CHECK(verdict.broken.find("line 1: ") != std::string::npos);
  // The newest file is empty, as after a crash between the two renames.
  audit::close();
  std::filesystem::remove(settings.path);
  open();
  lines();
  CHECK(verdict.broken.empty());
}

TEST_CASE_FIXTURE(fixture, "a flood is counted, not written") {
  settings.records_per_s_max = 5;
  open();
  auto before = lines().size();
  for (int i = 0; i < 10'000; ++i)
    audit::record("refused");
  auto all = lines();
  CHECK(all.size() <= before + 3 * 6); // should a second or two begin meanwhile
  CHECK(verdict.broken.empty());
}

TEST_CASE_FIXTURE(fixture, "a file others could write and a folder that is not there are refused") {
  write(settings.path, "");
  REQUIRE(::chmod(settings.path.c_str(), 0666) == 0);
  CHECK(code_of(audit::open(settings)) == ec::file_unsafe);
  settings.path = folder + "/nowhere/audit.log";
  CHECK(code_of(audit::open(settings)) == ec::io_failed);
  CHECK(code_of(audit::read(settings.path, [](auto) {}).error()) == ec::not_found);
}

TEST_SUITE_END();
