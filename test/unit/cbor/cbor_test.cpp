// SPDX-License-Identifier: MPL-2.0
//
// CBOR of which each value has one encoding: the examples of RFC 8949, and what is refused of them.

#include "runtime/cbor/cbor.hpp"
#include "runtime/crypto/crypto.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace rvi;

namespace {

std::string bytes(std::string_view hex) {
  auto result = crypto::unhex(hex);
  REQUIRE_MESSAGE(result, hex);
  return *result;
}

expected<cbor::document> parsed(std::string_view hex) {
  return cbor::parse(bytes(hex));
}

/// Why these bytes are refused; empty if they are not.
std::string refusal(std::string_view hex) {
  auto result = parsed(hex);
  return result ? std::string{} : detail_of(result.error());
}

std::string repeated(int n, const std::string& text) {
  std::string result;
  for (int i = 0; i < n; ++i)
    result += text;
  return result;
}

} // namespace

TEST_SUITE_BEGIN("cbor");

TEST_CASE("integers in their shortest form (RFC 8949, appendix A)") {
  struct row {
    int64_t number;
    const char* hex;
  };
  for (auto& x : {row{0, "00"},
                  row{1, "01"},
                  row{10, "0a"},
                  row{23, "17"},
                  row{24, "1818"},
                  row{25, "1819"},
                  row{100, "1864"},
                  row{255, "18ff"},
                  row{256, "190100"},
                  row{1'000, "1903e8"},
                  row{65'535, "19ffff"},
                  row{65'536, "1a00010000"},
                  row{1'000'000, "1a000f4240"},
                  row{4'294'967'295, "1affffffff"},
                  row{1'000'000'000'000, "1b000000e8d4a51000"},
                  row{-1, "20"},
                  row{-10, "29"},
                  row{-24, "37"},
                  row{-25, "3818"},
                  row{-100, "3863"},
                  row{-1'000, "3903e7"},
                  row{-65'537, "3a00010000"},
                  row{std::numeric_limits<int64_t>::max(), "1b7fffffffffffffff"},
                  row{std::numeric_limits<int64_t>::min(), "3b7fffffffffffffff"}}) {
    auto document = parsed(x.hex);
    REQUIRE_MESSAGE(document, x.hex);
    CHECK(document->root().as_int() == x.number);
    CHECK(document->root().as_uint().has_value() == (x.number >= 0));
    CHECK(crypto::hex(cbor::writer{}.integer(x.number).take()) == x.hex);
  }
  CHECK(crypto::hex(cbor::writer{}.unsigned_integer(~uint64_t{0}).take()) == "1bffffffffffffffff");
  auto largest = parsed("1bffffffffffffffff");
  REQUIRE(largest);
  CHECK(largest->root().as_uint() == ~uint64_t{0});
  CHECK_FALSE(largest->root().as_int());
  auto lowest = parsed("3bffffffffffffffff");
  REQUIRE(lowest);
  CHECK_FALSE(lowest->root().as_int());
  CHECK_FALSE(lowest->root().as_uint());
}

TEST_CASE("strings, lists, maps and truth") {
  auto document = parsed("a6010203430102ff0463c3bc410583f4f5810106a0208161623a0001000080");
  CHECK_FALSE(document); // six members are said, seven come
  document = parsed("a7010203430102ff0463c3bc410583f4f5810106a0208161623a0001000080");
  REQUIRE_MESSAGE(document, describe(document.error()));
  auto x = document->root();
  CHECK(x.size() == 7);
  CHECK(x[1].as_uint() == 2);
  CHECK(x[3].as_bytes() == std::string_view{"\1\2\xff"});
  CHECK(x[4].as_text()
        == std::string_view{"\xc3\xbc"
                            "A"});
  CHECK_FALSE(x[4].as_bytes());
  CHECK_FALSE(x[3].as_text());
  auto list = x[5].items();
  REQUIRE(list.size() == 3);
  CHECK(list[0].as_bool() == false);
  CHECK(list[1].as_bool() == true);
  CHECK(list[2].items().front().as_int() == 1);
  CHECK(x[6].is_map());
  CHECK(x[6].size() == 0);
  CHECK(x[-1].items().front().as_text() == std::string_view{"b"});
  CHECK(x[-65'537].is_array());
  CHECK_FALSE(x[2]);
  CHECK_FALSE(x[1][1]);
  CHECK(x.items().empty());
  CHECK_FALSE(cbor::value{}[0]);
  CHECK(cbor::value{}.size() == 0);
}

TEST_CASE("what is written is read") {
  cbor::writer out;
  out.map(3).integer(1).text("\xc3\xbc").integer(24).bytes(std::string(300, 'x'));
  out.integer(-1).array(2).boolean(true).unsigned_integer(65'536);
  auto document = cbor::parse(out.written());
  REQUIRE(document);
  CHECK(document->root()[24].as_bytes() == std::string(300, 'x'));
  CHECK(document->root()[-1].items().size() == 2);
  CHECK(document->size() == out.written().size());
}

TEST_CASE("another encoding of the same value is refused") {
  for (auto* hex : {"1800", "1817", "190000", "1900ff", "1a00000000", "1a0000ffff",
                    "1b0000000000000000", "1b00000000ffffffff", "3817", "3900ff"})
    CHECK_MESSAGE(refusal(hex).find("shortest") != std::string::npos, hex);
  for (auto* hex : {"580101", "59000101", "5b000000000000000101", "780161", "980101", "b8010101"})
    CHECK_MESSAGE(refusal(hex).find("shortest") != std::string::npos, hex);
  for (auto* hex : {"5f4101ff", "7f6161ff", "9f01ff", "bf0101ff", "1f", "ff"})
    CHECK_MESSAGE(!refusal(hex).empty(), hex);
  CHECK(refusal("9f01ff").find("indefinite") != std::string::npos);
}

TEST_CASE("keys out of order, twice, or of another kind") {
  CHECK(refusal("a201010202").empty());
  CHECK(refusal("a202020101").find("order") != std::string::npos);
  CHECK(refusal("a220010101").find("order") != std::string::npos); // -1 before 1
  CHECK(refusal("a21818011701").find("order") != std::string::npos);
  CHECK(refusal("a201010101").find("twice") != std::string::npos);
  for (auto* hex : {"a1616101", "a1410101", "a1f501", "a18001", "a1a001"})
    CHECK_MESSAGE(refusal(hex).find("not an integer") != std::string::npos, hex);
}

TEST_CASE("floats, null, tags and text that is not UTF-8") {
  for (auto* hex : {"f90000", "fa00000000", "fb0000000000000000", "f6", "f7", "f0", "f8ff", "f814"})
    CHECK_MESSAGE(refusal(hex).find("simple value") != std::string::npos, hex);
  for (auto* hex : {"c000", "d28440a04040", "d9d9f700"})
    CHECK_MESSAGE(refusal(hex).find("a tag") != std::string::npos, hex);
  for (auto* hex : {"61ff", "62c0af", "63eda080", "64f5808080"})
    CHECK_MESSAGE(refusal(hex).find("UTF-8") != std::string::npos, hex);
  for (auto* hex : {"1c", "3d", "5e", "fc"})
    CHECK_MESSAGE(!refusal(hex).empty(), hex);
}

TEST_CASE("each prefix of an item is refused, and so is what follows it") {
  auto good = bytes("a3010203430102ff0582f5811901f4");
  REQUIRE(cbor::parse(good));
  for (size_t i = 0; i < good.size(); ++i)
    CHECK_FALSE(cbor::parse(std::string_view{good}.substr(0, i)));
  CHECK_FALSE(cbor::parse(good + '\0'));
  CHECK_FALSE(cbor::parse(good + good));
  auto first = cbor::parse_first(good + good);
  REQUIRE(first);
  CHECK(first->size() == good.size());
  // Lengths that no memory could hold cost nothing.
  for (auto* hex : {"5bffffffffffffffff", "9bffffffffffffffff", "bbffffffffffffffff", "9affffffff"})
    CHECK_MESSAGE(refusal(hex).find("too early") != std::string::npos, hex);
}

TEST_CASE("levels, items and bytes have their limits") {
  CHECK(refusal(repeated(8, "81") + "00").empty());
  CHECK(refusal(repeated(9, "81") + "00").find("8 levels") != std::string::npos);
  CHECK(refusal(repeated(9, "a100") + "00").find("8 levels") != std::string::npos);
  CHECK(code_of(parsed(repeated(9, "81") + "00").error()) == ec::limit_exceeded);
  cbor::limits few;
  few.items_max = 4;
  few.bytes_max = 5;
  CHECK(cbor::parse(bytes("83010203"), few));
  CHECK(code_of(cbor::parse(bytes("8401020304"), few).error()) == ec::limit_exceeded);
  CHECK(code_of(cbor::parse(bytes("45616161616161"), few).error()) == ec::limit_exceeded);
}

TEST_SUITE_END();
