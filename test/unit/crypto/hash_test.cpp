// SPDX-License-Identifier: MPL-2.0
//
// SHA-256 (FIPS 180-4), HMAC (RFC 4231) and random bytes.

#include "runtime/crypto/crypto.hpp"

#include <doctest/doctest.h>

#include <set>
#include <thread>
#include <vector>

using namespace rvi;
using namespace rvi::crypto;

TEST_CASE("SHA-256 matches the published vectors") {
  CHECK(hex(view(sha256("")))
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(view(sha256("abc")))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex(view(sha256(std::string(1'000'000, 'a'))))
        == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a stream hashes its parts as one text and starts anew") {
  sha256_stream stream;
  CHECK(stream.update("a").update(uint8_t{'b'}).update("").update("c").finish() == sha256("abc"));
  CHECK(stream.finish() == sha256(""));
  sha256_stream other; // two streams at once do not mix
  stream.update("ab");
  other.update("x");
  CHECK(sha256("y") == sha256(std::string{"y"}));
  CHECK(stream.update("c").finish() == sha256("abc"));
  CHECK(other.finish() == sha256("x"));
}

TEST_CASE("a stream left unfinished leaves nothing to the next") {
  for (int i = 0; i < 20; ++i) {
    sha256_stream abandoned;
    abandoned.update("left over");
  }
  CHECK(sha256_stream{}.update("abc").finish() == sha256("abc"));
}

TEST_CASE("HMAC matches RFC 4231") {
  CHECK(hex(view(hmac_sha256(std::string(20, '\x0b'), "Hi There")))
        == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(hex(view(hmac_sha256("Jefe", "what do ya want for nothing?")))
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(hex(view(hmac_sha256(std::string(131, '\xaa'),
                             "Test Using Larger Than Block-Size Key - Hash Key First")))
        == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  CHECK(hex(view(hmac_sha256("", "")))
        == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  CHECK(hmac_sha256(std::string(1 << 20, 'k'), "x")
        == hmac_sha256(view(sha256(std::string(1 << 20, 'k'))), "x"));
}

TEST_CASE("random bytes do not repeat, in any thread") {
  std::vector<std::set<std::string>> drawn(4);
  std::vector<std::thread> threads;
  for (auto& x : drawn)
    threads.emplace_back([&x] {
      for (int i = 0; i < 3'000; ++i)
        x.insert(random_bytes(16));
    });
  for (auto& x : threads)
    x.join();
  std::set<std::string> all;
  for (auto& x : drawn)
    all.insert(x.begin(), x.end());
  CHECK(all.size() == 4 * 3'000);
  CHECK(random_bytes(0).empty());
  CHECK(random_bytes(1'000'000).size() == 1'000'000);
}

TEST_CASE("constant-time comparison compares") {
  CHECK(equal_constant_time("", ""));
  CHECK(equal_constant_time("abc", "abc"));
  CHECK(!equal_constant_time("abc", "abd"));
  CHECK(!equal_constant_time("abc", "bbc"));
  CHECK(!equal_constant_time("abc", "ab"));
}
