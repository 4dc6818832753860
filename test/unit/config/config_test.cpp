// SPDX-License-Identifier: MPL-2.0
//
// What a configuration may say, and each way it can be wrong.

#include "runtime/config/config.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <unistd.h>

using namespace rvi;
using rvi::config::section;

namespace {

std::shared_ptr<config::file> parsed(std::string_view text) {
  auto result = config::file::parse(text, "node.toml");
  INFO((result ? std::string{} : describe(result.error())));
  REQUIRE(result);
  return *result;
}

/// What `finish` says after asking one question of the table `links.tls`.
template <class Ask>
std::string complaint(std::string_view lines, Ask ask) {
  auto file = parsed("[links.tls]\n" + std::string(lines));
  ask(file->table("links.tls"));
  auto error = file->finish();
  if (!error)
    return "";
  CHECK(code_of(error) == ec::config_invalid);
  return detail_of(error);
}

} // namespace

TEST_CASE("reads every kind of value") {
  auto file = parsed(R"(
name = "top"
[links.tls]
port = 8811
address = "::"
enabled = false
peers = ["a:1", "b:2"]
retry = "300ms"
idle = 1500
frame_max = "64KiB"
body_max = 77
mode = "client"
[[routes]]
pattern = "jlr.com/cloud/+"
[[routes]]
pattern = "jlr.com/vin/+"
hops = 2
)");
  CHECK(file->table("").text("name", "") == "top");
  auto tls = file->table("links.tls");
  CHECK(tls.present());
  CHECK(tls.has("port"));
  CHECK_FALSE(tls.has("ports"));
  CHECK(tls.integer("port", 8810, 1, 65535) == 8811);
  CHECK(tls.required_text("address") == "::");
  CHECK(tls.boolean("enabled", true) == false);
  CHECK(tls.texts("peers") == std::vector<std::string>{"a:1", "b:2"});
  CHECK(tls.milliseconds("retry", 1) == 300);
  CHECK(tls.milliseconds("idle", 1) == 1500);
  CHECK(tls.bytes("frame_max", 1) == 65536);
  CHECK(tls.bytes("body_max", 1) == 77);
  CHECK(tls.choice("mode", "server", {"client", "server"}) == "client");
  auto routes = file->table("").tables("routes");
  REQUIRE(routes.size() == 2);
  CHECK(routes[0].text("pattern", "") == "jlr.com/cloud/+");
  CHECK(routes[0].integer("hops", 8) == 8);
  CHECK(routes[1].text("pattern", "") == "jlr.com/vin/+");
  CHECK(routes[1].integer("hops", 8) == 2);
  auto error = file->finish();
  INFO(describe(error));
  CHECK(!error);
}

TEST_CASE("an absent table gives all defaults") {
  auto file = parsed("");
  auto tls = file->table("links.tls");
  CHECK_FALSE(tls.present());
  CHECK(tls.integer("port", 8810, 1, 65535) == 8810);
  CHECK(tls.text("address", "0.0.0.0") == "0.0.0.0");
  CHECK(tls.boolean("enabled", true));
  CHECK(tls.texts("peers", {"x"}) == std::vector<std::string>{"x"});
  CHECK(tls.milliseconds("retry", 250) == 250);
  CHECK(tls.bytes("frame_max", 1 << 20) == 1 << 20);
  CHECK(file->table("").tables("routes").empty());
  CHECK(!file->finish());
}

TEST_CASE("knows the units of times and sizes") {
  auto file = parsed(R"(
a = "0ms"
b = "5s"
c = "10m"
d = "2h"
e = "30d"
f = "512B"
g = "8MiB"
h = "1GiB"
)");
  auto top = file->table("");
  CHECK(top.milliseconds("a", 1) == 0);
  CHECK(top.milliseconds("b", 1) == 5000);
  CHECK(top.milliseconds("c", 1) == 600'000);
  CHECK(top.milliseconds("d", 1) == 7'200'000);
  CHECK(top.milliseconds("e", 1) == 2'592'000'000);
  CHECK(top.bytes("f", 1) == 512);
  CHECK(top.bytes("g", 1) == 8 << 20);
  CHECK(top.bytes("h", 1) == 1 << 30);
  CHECK(!file->finish());
}

TEST_CASE("names file, line and key of a wrong value") {
  auto port = [](section x) { CHECK(x.integer("port", 8810, 1, 65535) == 8810); };
  auto must = std::string("node.toml:2: links.tls.port: must be an integer from 1 to 65535");
  CHECK(complaint("port = 0", port) == must);
  CHECK(complaint("port = 65536", port) == must);
  CHECK(complaint("port = \"8810\"", port) == must);
  CHECK(complaint("port = 8810.0", port) == must);
  CHECK(complaint("port = {a = 1}", port) == must);
  CHECK(complaint("port = 1", [](section x) { x.integer("port", 1, 1, 65535); }) == "");
  CHECK(complaint("\nn = true", [](section x) { x.integer("n", 1); })
        == "node.toml:3: links.tls.n: must be an integer");
  CHECK(complaint("n = -1", [](section x) { x.integer("n", 1, 0); })
        == "node.toml:2: links.tls.n: must be an integer of at least 0");
  CHECK(complaint("t = 5", [](section x) { CHECK(x.text("t", "d") == "d"); })
        == "node.toml:2: links.tls.t: must be a string");
  CHECK(complaint("b = 1", [](section x) { CHECK(x.boolean("b", true)); })
        == "node.toml:2: links.tls.b: must be true or false");
  CHECK(complaint("b = \"true\"", [](section x) { x.boolean("b", true); })
        == "node.toml:2: links.tls.b: must be true or false");
  auto list = [](section x) { CHECK(x.texts("l", {"d"}) == std::vector<std::string>{"d"}); };
  CHECK(complaint("l = \"a\"", list) == "node.toml:2: links.tls.l: must be an array of strings");
  CHECK(complaint("l = [\"a\", 1]", list)
        == "node.toml:2: links.tls.l: must be an array of strings");
  CHECK(complaint("m = \"x\"",
                  [](section x) {
                    x.choice("m", "a", {"a", "b", "c"});
                  })
        == R"(node.toml:2: links.tls.m: must be "a", "b" or "c")");
  CHECK(complaint("", [](section x) { CHECK(x.required_text("key_file") == ""); })
        == "node.toml: links.tls.key_file: is missing");
  CHECK(complaint("key_file = \"\"", [](section x) { x.required_text("key_file"); })
        == "node.toml:2: links.tls.key_file: must not be empty");
  CHECK(complaint("key_file = 1", [](section x) { x.required_text("key_file"); })
        == "node.toml:2: links.tls.key_file: must be a string");
  CHECK(complaint("address = \"nowhere\"",
                  [](section x) {
                    x.text("address", "");
                    x.reject("address", "is no address");
                  })
        == "node.toml:2: links.tls.address: is no address");
}

TEST_CASE("names what a time or a size must be") {
  auto time = [](section x) { CHECK(x.milliseconds("t", 9000, 1000, 600'000) == 9000); };
  auto must = std::string("node.toml:2: links.tls.t: must be a time such as 300ms, 5s, 10m, 2h or "
                          "30d, from 1s to 10m");
  for (auto value : {"\"5\"", "\"s\"", "\"-5s\"", "\"5 s\"", "\"5sec\"", "\"1.5s\"", "\"\"", "5.0",
                     "-1", "999", "\"11m\"", "true", "\"99999999999999999999d\"",
                     "\"9999999999999999999d\"", "\"5S\"", "\"+5s\""}) {
    CAPTURE(value);
    CHECK(complaint("t = " + std::string(value), time) == must);
  }
  auto size = [](section x) { CHECK(x.bytes("s", 4096, 1024) == 4096); };
  for (auto value : {"\"8MB\"", "\"8mib\"", "\"8\"", "-1", "\"1B\"", "[]"}) {
    CAPTURE(value);
    CHECK(complaint("s = " + std::string(value), size)
          == "node.toml:2: links.tls.s: must be a size such as 512B, 64KiB, 8MiB or 1GiB, at least "
             "1KiB");
  }
}

TEST_CASE("refuses keys and tables nobody asked for, and guesses what was meant") {
  auto ask = [](section x) {
    x.integer("port", 1);
    x.text("address", "");
  };
  CHECK(complaint("prot = 1", ask)
        == "node.toml:2: links.tls.prot: unknown key (did you mean port?)");
  CHECK(complaint("adress = \"\"", ask)
        == "node.toml:2: links.tls.adress: unknown key (did you mean address?)");
  CHECK(complaint("colour = 1", ask) == "node.toml:2: links.tls.colour: unknown key");
  CHECK(complaint("\"a b\\n\" = 1", ask) == R"(node.toml:2: links.tls."a b\n": unknown key)");
  CHECK(complaint("port = 1\n[links.tsl]\nx = 1", ask)
        == "node.toml:3: links.tsl: unknown table (did you mean tls?)");
  CHECK(complaint("[link]", ask) == "node.toml:2: link: unknown table (did you mean links?)");
  CHECK(complaint("[links.tls.more]", ask) == "node.toml:2: links.tls.more: unknown table");
  CHECK(complaint("[[peers]]\na = 1", ask) == "node.toml:2: peers: unknown table");

  auto file = parsed("links = 5\n[[routes]]\nhop = 1\n");
  file->table("links.tls").integer("port", 1);
  for (auto& x : file->table("").tables("routes"))
    x.integer("hops", 1);
  CHECK(file->errors()
        == std::vector<std::string>{
          "node.toml:1: links: must be a table",
          "node.toml:3: routes[0].hop: unknown key (did you mean hops?)",
        });
  CHECK(detail_of(file->finish()) == "node.toml:1: links: must be a table (and 1 more)");
}

TEST_CASE("a key known in one table is unknown in another") {
  auto file = parsed("port = 1\n[links]\nport = 2\n[links.tls]\nport = 3\n");
  CHECK(file->table("links.tls").integer("port", 0) == 3);
  CHECK(file->errors()
        == std::vector<std::string>{"node.toml:1: port: unknown key",
                                    "node.toml:3: links.port: unknown key"});
}

TEST_CASE("an array of tables must be one") {
  auto must = std::string("node.toml:1: routes: must be an array of tables, [[routes]]");
  for (auto text : {"routes = 1", "routes = [1]", "[routes]\n", "routes = \"x\""}) {
    CAPTURE(text);
    auto file = parsed(text);
    CHECK(file->table("").tables("routes").empty());
    CHECK(detail_of(file->finish()) == must);
  }
  auto empty = parsed("routes = []");
  CHECK(empty->table("").tables("routes").empty());
  CHECK(!empty->finish());
}

TEST_CASE("what is missing is reported after what may be misspelt") {
  auto file = parsed("[node]\nadress = \"x\"\n");
  file->table("node").required_text("address");
  CHECK(file->errors()
        == std::vector<std::string>{
          "node.toml:2: node.adress: unknown key (did you mean address?)",
          "node.toml: node.address: is missing",
        });
}

TEST_CASE("a syntax error names its line") {
  for (auto text : {"a = 1\nb = \n", "a = 1\na = 2\n", "a = 1\n[b\n", "a = 1\nb = 01\n",
                    "a = 1\nb = \"\xff\"\n"}) {
    CAPTURE(text);
    auto result = config::file::parse(text, "node.toml");
    REQUIRE_FALSE(result);
    CHECK(code_of(result.error()) == ec::config_invalid);
    CHECK(detail_of(result.error()).starts_with("node.toml:2: "));
  }
}

TEST_CASE("loads from a file and says why it cannot") {
  auto name = "/tmp/rvi-config-" + std::to_string(::getpid()) + ".toml";
  std::ofstream(name) << "[node]\naddress = \"jlr.com/vin/1\"\n";
  auto file = config::file::load(name);
  ::unlink(name.c_str());
  REQUIRE(file);
  CHECK((*file)->table("node").required_text("address") == "jlr.com/vin/1");
  CHECK(!(*file)->finish());
  auto absent = config::file::load(name);
  REQUIRE_FALSE(absent);
  CHECK(code_of(absent.error()) == ec::io_failed);
  CHECK(detail_of(absent.error()) == name + ": No such file or directory");
  CHECK_FALSE(config::file::load("/tmp"));
}

TEST_CASE("dumps what is in force, as TOML that gives the same again") {
  auto ask = [](config::file& file) {
    auto top = file.table("");
    top.text("name", "a \"quoted\"\n\x7f name");
    auto tls = file.table("links.tls");
    tls.integer("port", 8810, 1, 65535);
    tls.milliseconds("retry", 300);
    tls.milliseconds("idle", 0);
    tls.bytes("frame_max", 1 << 20);
    tls.boolean("enabled", true);
    tls.texts("peers", {"a", "b"});
    for (auto& x : top.tables("routes")) {
      x.text("pattern", "");
      x.table("limits").integer("rate", 5);
    }
    file.table("api").integer("port", 8801);
    CHECK(!file.finish());
  };
  auto first = parsed("[links.tls]\nport = 9000\nretry = 120000\n[[routes]]\npattern = \"x\"\n"
                      "[[routes]]\n[routes.limits]\nrate = 7\n");
  ask(*first);
  auto dump = first->dump();
  CHECK(dump == R"(name = "a \"quoted\"\n\u007f name"

[links.tls]
port = 9000
retry = "2m"
idle = "0ms"
frame_max = "1MiB"
enabled = true
peers = ["a", "b"]

[[routes]]
pattern = "x"

[routes.limits]
rate = 5

[[routes]]
pattern = ""

[routes.limits]
rate = 7

[api]
port = 8801
)");
  auto second = parsed(dump);
  ask(*second);
  CHECK(second->dump() == dump);
}
