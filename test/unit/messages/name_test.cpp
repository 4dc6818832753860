// SPDX-License-Identifier: MPL-2.0
//
// Names and patterns: what is taken, what a pattern covers, and containment against enumeration.

#include "messages/name.hpp"

#include <doctest/doctest.h>

#include <cctype>
#include <string>
#include <vector>

using namespace rvi;
using namespace std::string_literals;

namespace {

std::string name_or_error(std::string_view x) {
  auto result = normalise_name(x);
  return result ? *result : describe(result.error());
}

std::string pattern_or_error(std::string_view x) {
  auto result = normalise_pattern(x);
  return result ? *result : describe(result.error());
}

bool is_name(std::string_view x) {
  auto result = normalise_name(x);
  if (!result)
    CHECK(result.error() == ec::invalid_name);
  // What comes folded is read in one pass; the same must come of it in the other case.
  std::string loud{x};
  for (auto& c : loud)
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  auto folded = normalise_name(loud);
  CHECK(bool(folded) == bool(result));
  if (folded && result)
    CHECK(*folded == *result);
  return static_cast<bool>(result);
}

bool is_pattern(std::string_view x) {
  auto result = normalise_pattern(x);
  if (!result)
    CHECK(result.error() == ec::invalid_name);
  return static_cast<bool>(result);
}

/// All sequences of 1 to `levels_max` of the given levels, joined by slashes.
std::vector<std::string> all_paths(const std::vector<std::string>& alphabet, size_t levels_max) {
  std::vector<std::string> result = alphabet;
  size_t begin = 0;
  for (size_t levels = 2; levels <= levels_max; ++levels) {
    auto end = result.size();
    for (auto i = begin; i < end; ++i)
      for (auto& level : alphabet)
        result.push_back(result[i] + "/" + level);
    begin = end;
  }
  return result;
}

/// All patterns of 1 to `levels_max` levels, a trailing # counting as a level.
std::vector<std::string> all_patterns(const std::vector<std::string>& alphabet, size_t levels_max) {
  auto result = all_paths(alphabet, levels_max);
  auto shorter = all_paths(alphabet, levels_max - 1);
  for (auto& x : shorter)
    result.push_back(x + "/#");
  result.push_back("#");
  return result;
}

using bits = std::vector<uint64_t>;

bits covered_names(std::string_view pattern, const std::vector<std::string>& names) {
  bits result((names.size() + 63) / 64);
  for (size_t i = 0; i < names.size(); ++i)
    if (covers(pattern, names[i]))
      result[i / 64] |= uint64_t(1) << (i % 64);
  return result;
}

bool is_subset(const bits& inner, const bits& outer) {
  for (size_t i = 0; i < inner.size(); ++i)
    if (inner[i] & ~outer[i])
      return false;
  return true;
}

/// Compares `contains` with enumeration; returns the number of disagreements.
size_t
disagreements(const std::vector<std::string>& patterns, const std::vector<std::string>& names) {
  std::vector<bits> covered;
  for (auto& x : patterns)
    covered.push_back(covered_names(x, names));
  size_t result = 0;
  for (size_t outer = 0; outer < patterns.size(); ++outer)
    for (size_t inner = 0; inner < patterns.size(); ++inner)
      if (contains(patterns[outer], patterns[inner]) != is_subset(covered[inner], covered[outer])) {
        if (result++ < 10)
          MESSAGE("contains(", patterns[outer], ", ", patterns[inner], ") is wrong");
      }
  return result;
}

} // namespace

TEST_SUITE_BEGIN("name");

TEST_CASE("takes names and folds upper case") {
  CHECK(name_or_error("jlr.com/vin/SAJWA71B37SH1839") == "jlr.com/vin/sajwa71b37sh1839");
  CHECK(name_or_error("RPC:JLR.com/Vin/1/Services/x") == "rpc:jlr.com/vin/1/services/x");
  CHECK(name_or_error("message:a/b/c") == "message:a/b/c");
  CHECK(name_or_error("metric:a/b/c") == "metric:a/b/c");
  CHECK(name_or_error("a.b-c.d1/~x_y/me@host:80/-.") == "a.b-c.d1/~x_y/me@host:80/-.");
  CHECK(name_or_error("jlr.com/backend/+447412123123/sms") == "jlr.com/backend/+447412123123/sms");
}

TEST_CASE("a name needs three levels, none of them empty") {
  CHECK_FALSE(is_name(""));
  CHECK_FALSE(is_name("/"));
  CHECK_FALSE(is_name("rpc:"));
  CHECK_FALSE(is_name("jlr.com"));
  CHECK_FALSE(is_name("jlr.com/a"));
  CHECK(is_name("jlr.com/a/b"));
  CHECK_FALSE(is_name("/jlr.com/a/b"));
  CHECK_FALSE(is_name("jlr.com//a/b"));
  CHECK_FALSE(is_name("jlr.com/a/b/"));
  CHECK(name_or_error("jlr.com/a//b") == "invalid_name: level 3 is empty");
}

TEST_CASE("a name has 2048 bytes at most") {
  auto prefix = "jlr.com/a/"s;
  CHECK(is_name(prefix + std::string(name_bytes_max - prefix.size(), 'x')));
  CHECK_FALSE(is_name(prefix + std::string(name_bytes_max - prefix.size() + 1, 'x')));
  CHECK_FALSE(is_name(prefix + std::string(3'000, 'x')));
  CHECK_FALSE(is_pattern(prefix + std::string(3'000, 'x')));
  // The # that a trailing slash stands for counts.
  CHECK_FALSE(is_pattern(prefix + std::string(name_bytes_max - prefix.size() - 1, 'x') + "/"));
  CHECK(is_pattern(prefix + std::string(name_bytes_max - prefix.size() - 2, 'x') + "/"));
}

TEST_CASE("bytes outside the alphabet are refused in names and patterns") {
  for (int c = 0; c < 256; ++c) {
    auto text = "jlr.com/a/x"s + static_cast<char>(c) + "y";
    auto allowed = std::isalnum(c) || (c != 0 && std::string_view{"._~@:-/"}.find(char(c)) < 8);
    if (c > 127)
      allowed = false;
    CAPTURE(c);
    CHECK(is_name(text) == allowed);
    CHECK(is_pattern(text) == allowed);
  }
  CHECK(name_or_error("jlr.com/a/\0"s)
        == "invalid_name: level 3 has the byte 0x00, which is not allowed");
  CHECK_FALSE(is_name("jlr.com/$internal/x"));
  CHECK_FALSE(is_name("$/edge/x"));
}

TEST_CASE("a name has no wildcards; a plus begins phone numbers only") {
  CHECK_FALSE(is_name("jlr.com/+/x"));
  CHECK_FALSE(is_name("jlr.com/a/#"));
  CHECK_FALSE(is_name("jlr.com/a/x#"));
  CHECK_FALSE(is_name("+:jlr.com/a/x"));
  CHECK_FALSE(is_name("jlr.com/a/+x"));
  CHECK_FALSE(is_name("jlr.com/a/1+2"));
  CHECK_FALSE(is_name("jlr.com/a/+12+3"));
  CHECK_FALSE(is_name("jlr.com/a/+1234567890123456"));
  CHECK(is_name("jlr.com/a/+123456789012345"));
  CHECK_FALSE(is_name("+44/a/x"));
}

TEST_CASE("the organization is a domain and the type is known") {
  CHECK(is_name("a/b/c"));
  CHECK(is_name("a-1.b2.c/b/c"));
  for (auto x :
       {"1a.com", "-a.com", "a-.com", "a..com", ".a.com", "a.com.", "a_b.com", "a~b", "a@b"})
    CHECK_FALSE(is_name(std::string{x} + "/b/c"));
  CHECK(is_name(std::string(63, 'a') + "/b/c"));
  CHECK_FALSE(is_name(std::string(64, 'a') + "/b/c"));
  auto label = std::string(62, 'a') + ".";
  CHECK(is_name(label + label + label + label + "a/b/c"));
  CHECK_FALSE(is_name(label + label + label + label + "aa/b/c"));
  CHECK_FALSE(is_name("alert:jlr.com/a/b"));
  CHECK_FALSE(is_name("rpc:rpc:jlr.com/a/b"));
  CHECK_FALSE(is_name(":jlr.com/a/b"));
}

TEST_CASE("takes patterns and writes a trailing slash as /#") {
  CHECK(pattern_or_error("JLR.com") == "jlr.com");
  CHECK(pattern_or_error("jlr.com/") == "jlr.com/#");
  CHECK(pattern_or_error("jlr.com/#") == "jlr.com/#");
  CHECK(pattern_or_error("+:jlr.com/cloud/+") == "+:jlr.com/cloud/+");
  CHECK(pattern_or_error("rpc:+/vin/+/services/") == "rpc:+/vin/+/services/#");
  CHECK(pattern_or_error("jlr.com/+447412123123") == "jlr.com/+447412123123");
  for (auto x : {"", "/", "//", "jlr.com//", "#", "rpc:#", "jlr.com/#/", "jlr.com/#/a",
                 "jlr.com/a#", "jlr.com/a+", "jlr.com/++", "jlr.com/##", "+x/a", "#:jlr.com",
                 "alert:jlr.com", "jlr.com/$x", "a b/c"})
    CHECK_FALSE(is_pattern(x));
}

TEST_CASE("normalising is idempotent") {
  for (auto x : {"rpc:JLR.com/A/B", "a/b/c", "message:x.y/+1/z"})
    CHECK(name_or_error(name_or_error(x)) == name_or_error(x));
  for (auto x : {"RPC:JLR.com/A/", "a", "+:x.y/+1/+/#"})
    CHECK(pattern_or_error(pattern_or_error(x)) == pattern_or_error(x));
}

TEST_CASE("takes names apart") {
  CHECK(type_of("rpc:a/b/c") == name_type::rpc);
  CHECK(type_of("message:a/b/c") == name_type::message);
  CHECK(type_of("metric:a/b/c") == name_type::metric);
  CHECK_FALSE(type_of("a/b/c"));
  CHECK_FALSE(type_of("a/rpc:b/c"));
  CHECK_FALSE(type_of("+:a/b"));
  CHECK(to_string(name_type::metric) == "metric"s);
  CHECK(without_type("rpc:a/b/c:d") == "a/b/c:d");
  CHECK(without_type("a/b/c:d") == "a/b/c:d");
  CHECK(without_type("+:a/+") == "a/+");
  CHECK(organization_of("rpc:jlr.com/b") == "jlr.com");
  CHECK(organization_of("jlr.com") == "jlr.com");
}

TEST_CASE("below means on level boundaries, whatever the types") {
  CHECK(is_below("rpc:jlr.com/vin/1/x", "jlr.com/vin/1"));
  CHECK(is_below("jlr.com/vin/1", "rpc:jlr.com/vin/1"));
  CHECK_FALSE(is_below("jlr.com/vin/12", "jlr.com/vin/1"));
  CHECK_FALSE(is_below("jlr.com/vin", "jlr.com/vin/1"));
  CHECK_FALSE(is_below("jlr.com/vin", ""));
}

TEST_CASE("a pattern covers its names and all below them") {
  CHECK(covers("jlr.com/vin/1", "jlr.com/vin/1"));
  CHECK(covers("jlr.com/vin/1", "jlr.com/vin/1/services/x"));
  CHECK_FALSE(covers("jlr.com/vin/1", "jlr.com/vin/12"));
  CHECK_FALSE(covers("jlr.com/vin/1", "jlr.com/vin"));
  CHECK(covers("jlr.com/vin/+", "jlr.com/vin/12/a"));
  CHECK_FALSE(covers("jlr.com/vin/+", "jlr.com/vin"));
  CHECK_FALSE(covers("jlr.com/vin/#", "jlr.com/vin"));
  CHECK(covers("jlr.com/vin/#", "jlr.com/vin/1/a"));
  CHECK_FALSE(covers("", "jlr.com/vin/1"));
  CHECK_FALSE(covers("jlr.com", ""));
}

TEST_CASE("a pattern without a type covers every type") {
  CHECK(covers("jlr.com/a", "rpc:jlr.com/a/b"));
  CHECK(covers("+:jlr.com/a", "rpc:jlr.com/a/b"));
  CHECK(covers("+:jlr.com/a", "jlr.com/a/b"));
  CHECK(covers("rpc:jlr.com/a", "rpc:jlr.com/a/b"));
  CHECK_FALSE(covers("rpc:jlr.com/a", "message:jlr.com/a/b"));
  CHECK_FALSE(covers("rpc:jlr.com/a", "jlr.com/a/b"));
}

TEST_CASE("reserved and internal levels are covered by their literals only") {
  for (auto level : {"provisioning", "trust", "sota", "admin"}) {
    auto name = "jlr.com/vin/1/"s + level + "/x";
    CHECK_FALSE(covers("jlr.com", name));
    CHECK_FALSE(covers("jlr.com/vin/1/+", name));
    CHECK_FALSE(covers("jlr.com/vin/1/+/x", name));
    CHECK_FALSE(covers("jlr.com/vin/1/#", name));
    CHECK(covers("jlr.com/vin/1/"s + level, name));
    CHECK(covers("jlr.com/+/+/"s + level + "/#", name));
    CHECK_FALSE(matches("jlr.com/#", name));
    CHECK(matches("jlr.com/+/+/"s + level + "/#", name));
    CHECK(is_reserved("rpc:" + name));
    CHECK_FALSE(is_reserved("jlr.com/"s + level + "x/y"));
  }
  CHECK_FALSE(covers("jlr.com", "jlr.com/$edge/x"));
  CHECK_FALSE(covers("jlr.com/+", "jlr.com/$edge/x"));
  CHECK_FALSE(matches("+/+/x", "jlr.com/$edge/x"));
}

TEST_CASE("a name with wildcards is never covered and never matched") {
  for (auto name :
       {"jlr.com/+", "jlr.com/+/x", "jlr.com/#", "jlr.com/x#y", "+:jlr.com/a/b", "#", "+"})
    for (auto pattern : {"jlr.com", "jlr.com/+", "jlr.com/#", "+/#", "#", "+", "jlr.com/+/x"}) {
      CHECK_FALSE(covers(pattern, name));
      CHECK_FALSE(matches(pattern, name));
    }
  CHECK(covers("jlr.com/backend", "jlr.com/backend/+447412123123/x"));
  CHECK(covers("jlr.com/+/+", "jlr.com/backend/+447412123123/x"));
}

TEST_CASE("a subscription matches whole names") {
  CHECK(matches("jlr.com/a/b", "jlr.com/a/b"));
  CHECK_FALSE(matches("jlr.com/a", "jlr.com/a/b"));
  CHECK(matches("jlr.com/a/+", "jlr.com/a/b"));
  CHECK_FALSE(matches("jlr.com/+", "jlr.com/a/b"));
  CHECK(matches("jlr.com/a/#", "jlr.com/a/b/c"));
  CHECK(matches("jlr.com/a/b/#", "jlr.com/a/b"));
  CHECK_FALSE(matches("jlr.com/a/b/c/#", "jlr.com/a/b"));
  CHECK(matches("metric:jlr.com/#", "metric:jlr.com/a/b"));
  CHECK_FALSE(matches("metric:jlr.com/#", "rpc:jlr.com/a/b"));
  CHECK(matches("jlr.com/#", "rpc:jlr.com/a/b"));
}

TEST_CASE("containment agrees with enumeration") {
  // Two open levels are enough: a wildcard is then never the same as one literal.
  auto patterns = all_patterns({"a", "b", "admin", "+"}, 4);
  auto names = all_paths({"a", "b", "admin"}, 5);
  CHECK(names.size() == 363);
  CHECK(patterns.size() > 400);
  CHECK(disagreements(patterns, names) == 0);
}

TEST_CASE("containment agrees with enumeration for types and internal levels") {
  std::vector<std::string> patterns;
  std::vector<std::string> names;
  for (auto type : {"", "rpc:", "metric:", "+:"})
    for (auto& x : all_patterns({"a", "$i", "trust", "+"}, 2))
      patterns.push_back(type + x);
  for (auto type : {"", "rpc:", "metric:", "message:"})
    for (auto& x : all_paths({"a", "b", "$i", "trust"}, 3))
      names.push_back(type + x);
  CHECK(disagreements(patterns, names) == 0);
}

TEST_CASE("nothing contains or is contained in what is no pattern") {
  for (auto x : {"", "a//b", "a/", "a/#/b", "/a"}) {
    CHECK_FALSE(contains("a", x));
    CHECK_FALSE(contains(x, "a/b/c"));
    CHECK_FALSE(contains(x, x));
  }
}

TEST_CASE("an organization is a domain in lower case") {
  for (auto* good : {"jlr.com", "a", "a-b.c1"})
    CHECK(is_organization(good));
  for (auto* bad : {"", "JLR.com", "jlr.com ", " jlr.com", "jlr.com.", "jlr..com", "1lr.com", "+",
                    "#", "jlr.com/vin", "rpc:jlr.com", "jlr-.com", "j\xc3\xa4.com"})
    CHECK_FALSE_MESSAGE(is_organization(bad), bad);
  auto label = std::string(63, 'a');
  auto longest = label + "." + label + "." + label + "." + std::string(61, 'a');
  CHECK(is_organization(longest));
  CHECK_FALSE(is_organization(longest + "a"));
}

TEST_SUITE_END();
