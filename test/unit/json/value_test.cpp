// SPDX-License-Identifier: MPL-2.0
//
// Access to a parsed text, and the writer.

#include "runtime/json/json.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace rvi;
using namespace std::literals;

namespace {

json::document parsed(std::string_view text) {
  auto result = json::parse(text);
  REQUIRE(result);
  return std::move(*result);
}

std::string quoted(std::string_view text) {
  std::string out;
  json::append_string(out, text);
  return out;
}

} // namespace

TEST_CASE("keeps the exact bytes of each value") {
  auto doc = parsed(" { \"a\" : [ 1.50 ,\t\"\\u0041b\" , {\"x\" : 1e2 } ] , \"b\":null } \n");
  auto root = doc.root();
  CHECK(root.raw() == "{ \"a\" : [ 1.50 ,\t\"\\u0041b\" , {\"x\" : 1e2 } ] , \"b\":null }");
  auto a = root["a"];
  CHECK(a.raw() == "[ 1.50 ,\t\"\\u0041b\" , {\"x\" : 1e2 } ]");
  CHECK(a.at(0).raw() == "1.50");
  CHECK(a.at(1).raw() == "\"\\u0041b\"");
  CHECK(a.at(1).as_string() == "Ab");
  CHECK(a.at(2).raw() == "{\"x\" : 1e2 }");
  CHECK(a.at(2)["x"].raw() == "1e2");
  CHECK(root["b"].raw() == "null");
  CHECK(parsed(" 12 ").root().raw() == "12");
}

TEST_CASE("finds members and elements in text order") {
  auto doc = parsed(R"({"z":1,"a":[true,false],"\u0062":"x","":{}})");
  auto root = doc.root();
  CHECK(root.kind() == json::kind::object);
  CHECK(root.size() == 4);
  CHECK(root.key_at(0) == "z");
  CHECK(root.key_at(2) == "b");
  CHECK(root.key_at(3).empty());
  CHECK(root["b"].as_string() == "x");
  CHECK(root[""].is_object());
  CHECK(root["a"].is_array());
  CHECK(root["a"].at(1).as_bool() == false);
  auto items = root.items();
  REQUIRE(items.size() == 4);
  CHECK(items[0].as_int() == 1);
  CHECK(items[1].size() == 2);
}

TEST_CASE("answers nothing for what is not there or of another kind") {
  auto doc = parsed(R"({"s":"1","n":1,"b":true,"l":[1],"nil":null})");
  auto root = doc.root();
  CHECK_FALSE(root["absent"]);
  CHECK(root["absent"].kind() == json::kind::missing);
  CHECK_FALSE(root["absent"]["deeper"].at(3)["x"]);
  CHECK(root["absent"].raw().empty());
  CHECK(root["absent"].items().empty());
  CHECK_FALSE(root["s"].as_int());
  CHECK_FALSE(root["n"].as_string());
  CHECK_FALSE(root["n"].as_bool());
  CHECK_FALSE(root["b"].as_double());
  CHECK_FALSE(root["l"]["0"]);
  CHECK_FALSE(root["l"].at(1));
  CHECK(root["l"].key_at(0).empty());
  CHECK(root["nil"].kind() == json::kind::null);
  CHECK(root["nil"].size() == 0);
  CHECK_FALSE(json::value{});
  CHECK_FALSE(json::document{}.root());
}

TEST_CASE("gives numbers only where they fit") {
  auto number = [](const char* text) { return parsed(text); };
  CHECK(number("9223372036854775807").root().as_int() == std::numeric_limits<int64_t>::max());
  CHECK(number("-9223372036854775808").root().as_int() == std::numeric_limits<int64_t>::min());
  CHECK_FALSE(number("9223372036854775808").root().as_int());
  CHECK(number("18446744073709551615").root().as_uint() == std::numeric_limits<uint64_t>::max());
  CHECK_FALSE(number("18446744073709551616").root().as_uint());
  CHECK_FALSE(number("-1").root().as_uint());
  CHECK(number("-0").root().as_int() == 0);
  CHECK_FALSE(number("1.0").root().as_int());
  CHECK_FALSE(number("1e3").root().as_int());
  CHECK(number("1e3").root().as_double() == 1000.0);
  CHECK(number("-2.5").root().as_double() == -2.5);
  CHECK(number("7").root().as_double() == 7.0);
  CHECK_FALSE(number("1e999").root().as_double());
  CHECK(number("1e999").root().raw() == "1e999");
  auto big = number("123456789012345678901234567890");
  CHECK(big.root().kind() == json::kind::number);
  CHECK(big.root().raw() == "123456789012345678901234567890");
  CHECK(big.root().as_double() == 123456789012345678901234567890.0);
}

TEST_CASE("unescapes strings, and they stay while the document moves") {
  auto doc = parsed(R"(["\"\\\/\b\f\n\r\t","\u00e9\u20ac","\ud83d\ude00","plain","\u0000x",)"
                    R"("a\u007ab\u007a"])");
  auto moved = std::move(doc);
  auto list = moved.root().items();
  REQUIRE(list.size() == 6);
  CHECK(list[0].as_string() == "\"\\/\b\f\n\r\t");
  CHECK(list[1].as_string() == "\xc3\xa9\xe2\x82\xac");
  CHECK(list[2].as_string() == "\xf0\x9f\x98\x80");
  CHECK(list[3].as_string() == "plain");
  CHECK(list[4].as_string() == "\0x"sv);
  CHECK(list[5].as_string() == "azbz");
}

TEST_CASE("owns its text") {
  auto text = std::make_unique<std::string>(R"({"a":"b"})");
  auto doc = parsed(*text);
  text.reset();
  CHECK(doc.root()["a"].as_string() == "b");
}

TEST_CASE("writes values with commas between them") {
  json::writer out;
  out.begin_object()
    .member("a", uint64_t(18446744073709551615u))
    .member("b", "x")
    .member("c", true)
    .key("list")
    .begin_array()
    .integer(-5)
    .null()
    .begin_array()
    .end_array()
    .begin_object()
    .end_object()
    .number(0.1)
    .raw(R"({"kept" : 1.0})")
    .end_array()
    .key("d")
    .boolean(false)
    .end_object();
  auto text = out.take();
  CHECK(text
        == R"({"a":18446744073709551615,"b":"x","c":true,)"
           R"("list":[-5,null,[],{},0.1,{"kept" : 1.0}],"d":false})");
  CHECK(json::parse(text));
  CHECK(out.begin_array().end_array().take() == "[]");
}

TEST_CASE("writes no infinities") {
  json::writer out;
  out.begin_array()
    .number(std::numeric_limits<double>::infinity())
    .number(std::nan(""))
    .end_array();
  CHECK(out.take() == "[null,null]");
}

TEST_CASE("escapes what a JSON string must not hold") {
  CHECK(quoted("") == "\"\"");
  CHECK(quoted("a\"b\\c/d") == R"("a\"b\\c/d")");
  CHECK(quoted("\b\f\n\r\t\x01\x1f\x7f") == "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  CHECK(quoted("\0"sv) == R"("\u0000")");
  CHECK(quoted("gr\xc3\xbc\xc3\x9f") == "\"gr\xc3\xbc\xc3\x9f\"");
  CHECK(quoted("a\xff\xed\xa0\x80z") == "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
  for (int c = 0; c < 256; ++c) {
    auto doc = parsed(quoted(std::string(1, char(c))));
    if (c < 128)
      CHECK(doc.root().as_string() == std::string(1, char(c)));
  }
}
