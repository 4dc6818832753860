// SPDX-License-Identifier: MPL-2.0
//
// Lines as they come out, in both formats.

#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>
#include <unistd.h>

using namespace rvi;

namespace {

/// A log file for one test; afterwards the log is as at the start.
struct log_file {
  ~log_file() {
    CHECK(!log::configure(log::level::info, log::format::text));
    std::filesystem::remove(name);
  }

  void use(log::level level, log::format format) {
    auto error = log::configure(level, format, name);
    INFO(describe(error));
    REQUIRE(!error);
  }

  std::vector<std::string> lines() const {
    std::vector<std::string> result;
    std::ifstream in(name);
    for (std::string line; std::getline(in, line);)
      result.push_back(line);
    return result;
  }

  /// The only line, without its time.
  std::string only() const {
    auto all = lines();
    REQUIRE(all.size() == 1);
    REQUIRE(all[0].size() > 25);
    CHECK(all[0][10] == 'T');
    CHECK(all[0].substr(23, 2) == "Z ");
    return all[0].substr(25);
  }

  std::string name = "/tmp/rvi-log-" + std::to_string(::getpid());
};

} // namespace

TEST_CASE_FIXTURE(log_file, "writes a line with fields") {
  use(log::level::info, log::format::text);
  log::info("service-edge", "registered service",
            {{"name", "jlr.com/vin/1/services/hvac"},
             {"clients", 3},
             {"delta", -5},
             {"seq", uint64_t(18446744073709551615u)},
             {"signed", true},
             {"reason", "two words"},
             {"empty", ""}});
  CHECK(only()
        == "info service-edge registered service name=jlr.com/vin/1/services/hvac clients=3 "
           "delta=-5 seq=18446744073709551615 signed=true reason=\"two words\" empty=\"\"");
}

TEST_CASE_FIXTURE(log_file, "leaves out what is below the level") {
  use(log::level::warning, log::format::text);
  CHECK_FALSE(log::enabled(log::level::info));
  log::debug("a", "no");
  log::info("a", "no");
  log::write(log::level::info, "a", "no");
  log::warning("a", "yes");
  log::error("a", "yes");
  CHECK(lines().size() == 2);
}

TEST_CASE_FIXTURE(log_file, "nothing from outside can forge a line or drive a terminal") {
  use(log::level::info, log::format::text);
  std::string evil = "x\n2026-01-01T00:00:00.000Z error fake fake";
  log::info("a", "bad\r\nmessage", {{"v", evil}});
  CHECK(only() == "info a bad\\r\\nmessage v=\"x\\n2026-01-01T00:00:00.000Z error fake fake\"");
}

TEST_CASE_FIXTURE(log_file, "quotes and escapes where needed") {
  use(log::level::info, log::format::text);
  log::info("a", "m",
            {{"q", "say \"hi\""},
             {"e", "k=v"},
             {"s", "back\\slash"},
             {"esc", "\x1b[31m"},
             {"del", "\x7f"},
             {"c1", "\xc2\x9b"},
             {"bad", "\xff"},
             {"u", "gr\xc3\xbc\xc3\x9f"}});
  CHECK(only()
        == "info a m q=\"say \\\"hi\\\"\" e=\"k=v\" s=\"back\\\\slash\" esc=\"\\u001b[31m\" "
           "del=\"\\u007f\" c1=\"\\u009b\" bad=\"\xef\xbf\xbd\" u=gr\xc3\xbc\xc3\x9f");
}

TEST_CASE_FIXTURE(log_file, "writes JSON that parses, whatever is in it") {
  use(log::level::debug, log::format::json);
  std::string all;
  for (int c = 0; c < 256; ++c)
    all += char(c);
  log::debug("tls-link", "a \"message\"", {{"peer", all}, {"n", -1}, {"up", false}});
  auto out = lines();
  REQUIRE(out.size() == 1);
  auto record = json::parse(out[0]);
  INFO(out[0]);
  REQUIRE(record);
  auto root = record->root();
  CHECK(root["time"].as_string()->size() == 24);
  CHECK(root["level"].as_string() == "debug");
  CHECK(root["component"].as_string() == "tls-link");
  CHECK(root["message"].as_string() == "a \"message\"");
  CHECK(root["peer"].as_string()->substr(0, 128) == all.substr(0, 128));
  CHECK(root["n"].as_int() == -1);
  CHECK(root["up"].as_bool() == false);
}

TEST_CASE_FIXTURE(log_file, "keeps lines whole when threads write at once") {
  use(log::level::info, log::format::json);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([] {
      for (int n = 0; n < 200; ++n)
        log::info("a", "message", {{"n", n}});
    });
  for (auto& x : threads)
    x.join();
  auto out = lines();
  CHECK(out.size() == 800);
  for (auto& x : out)
    CHECK(json::parse(x));
}

TEST_CASE("refuses a file it cannot open, and knows its levels") {
  auto error = log::configure(log::level::info, log::format::text, "/dev/null/x/log");
  CHECK(code_of(error) == ec::io_failed);
  CHECK(log::level_of("warning") == log::level::warning);
  CHECK_FALSE(log::level_of("Warning"));
  CHECK(std::string(log::to_string(log::level::error)) == "error");
}

TEST_CASE_FIXTURE(log_file, "a disabled level costs next to nothing") {
  use(log::level::info, log::format::text);
  constexpr int calls = 1'000'000;
  std::string value = "a value that would not fit into a small string";
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i)
    log::debug("a", "message", {{"value", value}, {"i", i}});
  std::chrono::duration<double, std::nano> off = std::chrono::steady_clock::now() - start;
  start = std::chrono::steady_clock::now();
  for (int i = 0; i < 10'000; ++i)
    log::info("a", "message", {{"value", value}, {"i", i}});
  std::chrono::duration<double, std::nano> on = std::chrono::steady_clock::now() - start;
  MESSAGE("disabled: " << off.count() / calls << " ns, to a file: " << on.count() / 10'000
                       << " ns");
}
