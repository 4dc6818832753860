// SPDX-License-Identifier: MPL-2.0
//
// What is JSON and what is not, in the manner of JSONTestSuite: names begin with y or n. simdjson's
// DOM, which checks everything, serves as a second opinion on texts that were damaged at random.

#include "runtime/json/json.hpp"

#include <doctest/doctest.h>
#include <simdjson.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

using namespace rvi;
using namespace std::literals;

namespace {

bool accepts(std::string_view text) {
  auto result = json::parse(text);
  if (!result)
    CHECK(code_of(result.error()) == ec::malformed);
  return bool(result);
}

std::string nested(size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

constexpr std::string_view request
  = R"({"jsonrpc":"2.0","id":4711,"method":"invoke","params":{"service_name":"jlr.com/vin/L405)"
    R"(PB6B1ZK000123/services/hvac/set_temperature","timeout":1795802400123,"synch":true,"para)"
    R"(meters":[{"zone":"front_left","celsius":21.5,"ramp":[18,19,20,21],"reason":"preconditio)"
    R"(n \u00b0C"}],"trace":"0123456789abcdef012345"}})";
static_assert(request.size() == 308);

} // namespace

TEST_CASE("accepts every form RFC 8259 allows") {
  for (auto text :
       {// arrays
        "[[]   ]", "[\"\"]", "[]", "[\"a\"]", "[false]", "[null, 1, \"1\", {}]", "[null]", "[1\n]",
        " [1]", "[1,null,null,null,2]", "[2] ", "\t[\r\n]\n",
        // numbers
        "[123e65]", "[0e+1]", "[0e1]", "[ 4]", "[-0.000000000000000000000000000000000001]",
        "[20e1]", "[-0]", "[-123]", "[-1]", "[1E22]", "[1E-2]", "[1E+2]", "[123e45]",
        "[123.456e78]", "[1e-2]", "[1e+2]", "[123]", "[123.456789]", "0", "-0.0", "[1e999]",
        "[-1e999]", "[1e-999]", "[123456789012345678901234567890]",
        // objects
        R"({"asd":"sdf", "dfg":"fgh"})", R"({"asd":"sdf"})", "{}", R"({"":0})",
        R"({"foo\u0000bar": 42})", R"({ "min": -1.0e+28, "max": 1.0e+28 })", R"({"a":[]})",
        "{\n\"a\": \"b\"\n}", R"({"a":1,"A":2})",
        // strings
        R"(["\u0060\u012a\u12AB"])", R"(["\uD801\udc37"])", R"(["\ud83d\ude39\ud83d\udc8d"])",
        R"(["\"\\\/\b\f\n\r\t"])", R"(["\\u0000"])", R"(["\""])", R"(["a/*b*/c/*d//e"])",
        R"(["\\a"])", R"(["\\n"])", R"(["\u0012"])", R"(["\uFFFF"])", "[\"\xf4\x8f\xbf\xbf\"]",
        "[\"\xef\xbf\xbf\"]", "[\"\x7f\"]", "[\"\xcf\x80\"]", R"(["\uDBFF\uDFFF"])",
        "[\"\xe2\x80\xa8\"]", R"(["\u0000"])", "\"\"", "\"\xef\xbb\xbf\"",
        // single values
        "false", "42", "-0.1", "null", "\"asd\"", "true", " true "}) {
    CAPTURE(text);
    CHECK(accepts(text));
  }
}

TEST_CASE("refuses broken arrays, objects and single values") {
  for (auto text :
       {"", " ", "[1 true]", "[a\xe5]", "[\"\": 1]", "[\"\"],", "[,1]", "[1,,2]", "[\"x\",,]",
        "[\"x\"]]", "[\"\",]", "[\"x\"", "[x", "[3[4]]", "[\xff]", "[1:2]", "[,]", "[-]",
        "[   , \"\"]", "[\"a\",\n4\n,1,", "[1,]", "[1,,]", "[\"\va\"\\f]", "[*]", "[1,", "[{}",
        "[fals]", "[nul]", "[tru]", "[falsee]", "[nullx]", "[truefalse]", "tru", "nul",
        // objects
        R"(["x", truth])", R"({[: "x"})", R"({"x", null})", R"({"x"::"b"})", R"({key: "v"})",
        R"({"a":"a" 123})", R"({"a" b})", R"({:"b"})", R"({"a" "b"})", R"({"a":)", R"({"a")",
        R"({1:1})", R"({9999E9999:1})", R"({null:null,null:null})", R"({"id":0,,,,,})",
        R"({'a':0})", R"({"id":0,})", R"({"a":"b"}/**/)", R"({"a":"b"}#)", R"({"a":"b",,"c":"d"})",
        R"({a: "b"})", R"({"a":"a)", R"({ "foo" : "bar", "a" })", R"({"a":"b"}#{})", R"({"a":1)",
        "{", "{]", "[}", "{\"a\":1]", "[1}", "{,}", R"({"a":})", R"({"a":1 "b":2})",
        // after and around
        "<.>", "[<null>]", "[1]x", "[1][2]", "1 2", "[\"asd]", "aA", "1]", "{\"x\": true,", "[][]",
        "]", "\xef\xbb\xbf{}", "\xef\xbb\xbf", "\xef\xbb", "[\xe2\x81\xa0]", "'x'", "*", "[\f]",
        "\xc2\xa0", "//\n1", "/**/1", "[1]\v", "True", "TRUE", "undefined"}) {
    CAPTURE(text);
    CHECK_FALSE(accepts(text));
  }
  CHECK_FALSE(accepts("123\0"sv));
  CHECK_FALSE(accepts("\0"sv));
  CHECK_FALSE(accepts("[\0]"sv));
}

TEST_CASE("refuses broken numbers") {
  for (auto text :
       {"++1234",    "+1",     "+Inf",     "-01",   "-1.0.",        "-2.",
        "-NaN",      ".-1",    ".2e-3",    "0.1.2", "0.3e+",        "0.3e",
        "0.e1",      "0E+",    "0E",       "0e+",   "0e",           "1.0e+",
        "1.0e-",     "1.0e",   "1 000.0",  "1eE2",  "2.e+3",        "2.e-3",
        "2.e3",      "9.e+",   "Inf",      "NaN",   "\xef\xbc\x91", "1+2",
        "0x1",       "0x42",   "Infinity", "0e+-1", "-123.123foo",  "123a",
        "-Infinity", "-foo",   "- 1",      "-012",  "-.123",        "-1x",
        "1ea",       "1e\xe5", "1.",       ".123",  "1.2a-3",       "1.8011670033376514H-308",
        "012",       "-",      "00",       "--1",   "1e1.5",        "1_000",
        "-0x1"}) {
    CAPTURE(text);
    CHECK_FALSE(accepts(text));
    CHECK_FALSE(accepts("[" + std::string(text) + "]"));
    CHECK_FALSE(accepts("{\"a\":" + std::string(text) + "}"));
  }
}

TEST_CASE("refuses broken strings") {
  for (auto text :
       {R"("\uD800\")", R"("\uD800\u")", R"("\uD800\u1")", R"("\uD800\u1x")", "[\xc3\xa9]",
        R"("\x00")", R"("\\\")", R"("\)", "\"\\\t\"", "\"\\\xf0\x9f\x8c\x80\"", R"("\")",
        R"("\u00A")", R"("\uD834\uDd")", R"("\uD800\uD800\x")", "\"\\u\xe5\"", R"("\a")",
        R"("\uqqqq")", "\"\\\xe5\"", "\\u0020\"asd\"", "\"", "'single quote'", "abc", "\"a",
        "\"new\nline\"", "\"\t\"", "\"\x1f\"", "\"12345678\x01\"", R"("\UA66D")", R"("\u 123")",
        R"("\u+123")", R"("\u-123")", R"("\u0x12")",
        // surrogates that are alone, twice high, or in the wrong order
        R"("\uDADA")", R"("\ud800")", R"("\udc00")", R"("\uDd1e\uD834")", R"("\uD888\u1234")",
        R"("\uD800\uD800\n")", R"("\uD800abc")", R"("\ud800\udbff")", R"("\uDFAA")",
        // bytes that are not UTF-8
        "\"\xed\xa0\x80\"", "\"\xed\xbf\xbf\"", "\"\x80\"", "\"\x81\"", "\"\xff\"", "\"\xe9\"",
        "\"\xc0\xaf\"", "\"\xe0\x80\xaf\"", "\"\xf0\x80\x80\xaf\"", "\"\xf4\x90\x80\x80\"",
        "\"\xfc\x83\xbf\xbf\xbf\xbf\"", "\"\xe6\x97\xa5\xd1\x88\xfa\"", "\"\xf0\x9f\x98\"",
        "\"\xc1\xbf\"", "\"\xf8\x88\x80\x80\x80\""}) {
    CAPTURE(text);
    CHECK_FALSE(accepts(text));
  }
  CHECK_FALSE(accepts("\"a\0a\""sv));
  CHECK_FALSE(accepts("\"\\\0\""sv));
  CHECK_FALSE(accepts("\xff\xfe[\0\"\0\xe9\0\"\0]\0"sv)); // UTF-16
}

TEST_CASE("refuses duplicate member names, however they are written") {
  CHECK_FALSE(accepts(R"({"a":1,"a":1})"));
  CHECK_FALSE(accepts(R"({"a":1,"b":2,"a":3})"));
  CHECK_FALSE(accepts(R"({"a":1,"\u0061":2})"));
  CHECK_FALSE(accepts(R"({"":1,"":2})"));
  CHECK_FALSE(accepts(R"([{"x":{"q":0,"q":0}}])"));
  CHECK(accepts(R"({"a":{"a":1},"b":{"a":1}})"));
  CHECK(accepts(R"([{"a":1},{"a":2}])"));

  std::string many = "{";
  for (int i = 0; i < 1000; ++i)
    many += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  CHECK(accepts(many + "\"last\":0}"));
  CHECK_FALSE(accepts(many + "\"k500\":0}"));
  auto doc = json::parse(many + "\"last\":0}");
  REQUIRE(doc);
  CHECK(doc->root()["k999"].as_int() == 999);
}

TEST_CASE("says what is wrong and where") {
  auto error = [](std::string_view text) {
    auto result = json::parse(text);
    REQUIRE_FALSE(result);
    return detail_of(result.error());
  };
  CHECK(error("") == "the text ends where a value should be at byte 0");
  CHECK(error("[1 2]") == "expected , or ] at byte 3");
  CHECK(error("{\"a\" 1}") == "expected : at byte 5");
  CHECK(error("[1] x") == "text after the value at byte 4");
  CHECK(error("[01]") == "a number with a leading zero at byte 2");
  CHECK(error("[\"\\ud800\"]") == "a lone surrogate at byte 2");
  CHECK(error("[\"a\x01\"]") == "a control character in a string at byte 3");
  CHECK(error("[\"a\xff\"]") == "not UTF-8 at byte 3");
  CHECK(error(R"({"a":1,"a":2})") == "a duplicate member name, with the value at byte 11");
}

TEST_CASE("holds the limits of size, depth and number of values") {
  json::limits bounds;
  bounds.depth_max = 3;
  CHECK(json::parse(nested(3), bounds));
  auto deep = json::parse(nested(4), bounds);
  REQUIRE_FALSE(deep);
  CHECK(code_of(deep.error()) == ec::limit_exceeded);
  CHECK(code_of(json::parse(std::string(100'000, '[')).error()) == ec::limit_exceeded);
  CHECK(code_of(json::parse(std::string(100'000, '[') + "\"").error()) == ec::limit_exceeded);

  bounds = {};
  bounds.nodes_max = 4;
  CHECK(json::parse("[1,2,3]", bounds));
  CHECK(code_of(json::parse("[1,2,3,4]", bounds).error()) == ec::limit_exceeded);

  bounds = {};
  bounds.bytes_max = 5;
  CHECK(json::parse("[1,2]", bounds));
  CHECK(code_of(json::parse("[1,2] ", bounds).error()) == ec::limit_exceeded);

  bounds = {};
  bounds.depth_max = 1'000'000;
  bounds.nodes_max = 1'000'000;
  CHECK(json::parse(nested(200'000), bounds));
}

TEST_CASE("agrees with simdjson's DOM about damaged texts") {
  std::mt19937_64 rng(17);
  simdjson::dom::parser oracle;
  const std::string alphabet = "{}[]:,\"\\u0019-+.eEtrufalsn d8c\x80\xc3\xa9\n\x01";
  int accepted = 0;
  for (int i = 0; i < 40'000; ++i) {
    std::string text(request);
    text.resize(i % 3 == 0 ? 40 + rng() % 60 : text.size());
    for (auto n = rng() % 3 + (i % 3 == 0); n > 0; --n) {
      auto c = alphabet[rng() % alphabet.size()];
      auto at = rng() % text.size();
      if (rng() % 2)
        text[at] = c;
      else
        text.insert(at, 1, c);
    }
    auto ours = bool(json::parse(text));
    simdjson::dom::element element;
    auto code = oracle.parse(text).get(element);
    if (ours) {
      ++accepted;
      CAPTURE(text);
      CHECK((code == simdjson::SUCCESS || code == simdjson::NUMBER_ERROR)); // big numbers
    } else if (code == simdjson::SUCCESS) {
      // It takes duplicate names.
      CAPTURE(text);
      CHECK(detail_of(json::parse(text).error()).find("duplicate") != std::string::npos);
    }
  }
  CHECK(accepted > 10'000);
}

TEST_CASE("parses in several threads at once") {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 500; ++n) {
        auto doc = json::parse(request);
        if (doc && doc->root()["id"].as_int() == 4711)
          ++good;
      }
    });
  for (auto& x : threads)
    x.join();
  CHECK(good == 2000);
}

TEST_CASE("is quick enough for a request") {
  using clock = std::chrono::steady_clock;
  auto best = clock::duration::max();
  for (int round = 0; round < 20; ++round) {
    auto start = clock::now();
    for (int i = 0; i < 500; ++i)
      REQUIRE(json::parse(request));
    best = std::min(best, (clock::now() - start) / 500);
  }
  auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(best).count();
  MESSAGE("parse of a 308-byte request: " << ns << " ns");
}
