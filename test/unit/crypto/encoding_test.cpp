// SPDX-License-Identifier: MPL-2.0
//
// Hexadecimal and base64: the vectors of RFC 4648, and that only canonical text decodes.

#include "runtime/crypto/crypto.hpp"

#include <doctest/doctest.h>

#include <utility>

using namespace rvi;
using namespace rvi::crypto;

namespace {

constexpr std::pair<const char*, const char*> rfc4648[] = {
  {"", ""},
  {"f", "Zg=="},
  {"fo", "Zm8="},
  {"foo", "Zm9v"},
  {"foob", "Zm9vYg=="},
  {"fooba", "Zm9vYmE="},
  {"foobar", "Zm9vYmFy"},
};

bool refuses_url(std::string_view x) {
  auto result = unbase64url(x);
  return !result && code_of(result.error()) == ec::malformed;
}

bool refuses_padded(std::string_view x) {
  auto result = unbase64(x);
  return !result && code_of(result.error()) == ec::malformed;
}

} // namespace

TEST_CASE("hex goes there and back in either case") {
  CHECK(hex(std::string_view{"\x00\x7f\xff", 3}) == "007fff");
  CHECK(*unhex("007FfF") == std::string("\x00\x7f\xff", 3));
  CHECK(*unhex("") == "");
  for (auto bad : {"0", "0g", "g0", " 00", "0x00", "00 "})
    CHECK_MESSAGE(!unhex(bad), bad);
}

TEST_CASE("base64 matches RFC 4648") {
  for (auto [plain, encoded] : rfc4648) {
    CHECK(base64(plain) == encoded);
    CHECK(*unbase64(encoded) == plain);
    std::string unpadded{encoded};
    unpadded.erase(std::min(unpadded.find('='), unpadded.size()));
    CHECK(base64url(plain) == unpadded);
    CHECK(*unbase64url(unpadded) == plain);
  }
  CHECK(base64("\xfb\xff\xfe") == "+//+");
  CHECK(base64url("\xfb\xff\xfe") == "-__-");
}

TEST_CASE("every length of random bytes survives both encodings") {
  for (size_t n = 0; n < 100; ++n) {
    auto x = random_bytes(n);
    CHECK(*unbase64(base64(x)) == x);
    CHECK(*unbase64url(base64url(x)) == x);
    CHECK(*unhex(hex(x)) == x);
  }
}

TEST_CASE("base64url refuses whatever is not canonical") {
  for (auto bad : {"Zg==", "Zg=", "=", "Zh", "Zm9", "Zm8=", "A", "Zm9vA", "Zm 9v", "Zm9v\n", "+/+/",
                   "Zm9v.", "\xc3\xa4==", "Zm9v=", "AB", "AAB"})
    CHECK_MESSAGE(refuses_url(bad), bad);
  CHECK(refuses_url(std::string_view{"AA\0A", 4}));
}

TEST_CASE("no two texts decode to the same bytes") {
  constexpr std::string_view symbols
    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  int one_byte = 0;
  int two_bytes = 0;
  for (char a : symbols)
    for (char b : symbols) {
      one_byte += bool(unbase64url(std::string{a, b}));
      two_bytes += bool(unbase64url(std::string{'Q', a, b}));
    }
  CHECK(one_byte == 256);
  CHECK(two_bytes == 16 * 64); // 'Q' fixes the first 6 of 16 bits
}

TEST_CASE("base64 with padding refuses whatever is not canonical") {
  for (auto bad : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "=Zg=", "Z===", "====", "Zg==Zg==", "-_-_",
                   "Zm9v\n", "Zm9vZg==\n"})
    CHECK_MESSAGE(refuses_padded(bad), bad);
}
