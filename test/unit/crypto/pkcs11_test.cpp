// SPDX-License-Identifier: MPL-2.0
//
// Keys on a token.

#include "runtime/crypto/jws.hpp"
#include "runtime/crypto/pkcs11.hpp"
#include "test/support/soft_token.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <thread>
#include <vector>

using namespace rvi;
using namespace rvi::crypto;
using rvi::test::soft_token;

namespace {

private_key made(const std::string& name, algorithm kind = algorithm::es256) {
  auto result = generate_token_key(soft_token::instance().uri(name), kind);
  REQUIRE_MESSAGE(result, describe(result.error()));
  return *result;
}

ec code_of_load(const std::string& uri) {
  auto result = load_token_key(uri);
  return result ? ec::none : code_of(result.error());
}

ec code_of_uri(const std::string& uri) {
  auto result = parse_token_uri(uri);
  return result ? ec::none : code_of(result.error());
}

} // namespace

TEST_CASE("a token URI names token, key, module and the PIN's file") {
  auto x = parse_token_uri("pkcs11:token=The%20one;object=node-key;id=%01%ff;type=private"
                           "?module-path=/usr/lib/m.so&pin-source=file:/etc/rvi/pin");
  REQUIRE(x);
  CHECK(x->path.at("token") == "The one");
  CHECK(x->path.at("object") == "node-key");
  CHECK(x->path.at("id") == "\x01\xff");
  CHECK(x->module_path == "/usr/lib/m.so");
  CHECK(x->pin_file == "/etc/rvi/pin");
  CHECK(
    x->shown()
    == "pkcs11:id=%01%ff;object=node-key;token=The%20one;type=private?module-path=/usr/lib/m.so");
  CHECK(is_token_uri("pkcs11:object=k"));
  CHECK(!is_token_uri("node.key"));
}

TEST_CASE("a token URI that would be half understood is refused") {
  CHECK(code_of_uri("pkcs11:object=k?module-path=/m.so") == ec::none);
  for (auto uri : {
         "node.key",
         "pkcs11:",
         "pkcs11:object=k",                                       // no module
         "pkcs11:token=t?module-path=/m.so",                      // no key
         "pkcs11:object=k?module-path=m.so",                      // found by a search path
         "pkcs11:object=k?module-path=/m.so&pin-value=1234",      // a secret for all to read
         "pkcs11:object=k?module-path=/m.so&pin-source=pin",      // relative
         "pkcs11:object=k?module-path=/m.so&pin-source=|/bin/ls", // a program
         "pkcs11:object=k?module-path=/m.so&module-name=m",
         "pkcs11:object=k;objekt=k?module-path=/m.so",
         "pkcs11:object=k;object=l?module-path=/m.so",
         "pkcs11:object=k;type=public?module-path=/m.so",
         "pkcs11:object=k;slot-id=x?module-path=/m.so",
         "pkcs11:object=%zz?module-path=/m.so",
         "pkcs11:object=%4?module-path=/m.so",
         "pkcs11:object=a%00b?module-path=/m.so",
         "pkcs11:object?module-path=/m.so",
       })
    CHECK_MESSAGE(code_of_uri(uri) == ec::config_invalid, uri);
  CHECK(code_of_uri("pkcs11:object=" + std::string(5'000, 'k') + "?module-path=/m.so")
        == ec::config_invalid);
}

TEST_CASE("a module that is none is refused by name") {
  for (auto path : {"/does/not/exist.so", "/etc/passwd"}) {
    auto x = load_token_key(std::string{"pkcs11:object=k?module-path="} + path);
    REQUIRE(!x);
    CHECK(code_of(x.error()) == ec::config_invalid);
    CHECK(detail_of(x.error()).find(path) != std::string::npos);
  }
  auto libc = load_token_key("pkcs11:object=k?module-path=/lib/x86_64-linux-gnu/libm.so.6");
  CHECK(!libc);
}

TEST_SUITE_BEGIN("token" * doctest::skip(!rvi::test::has_soft_token()));

TEST_CASE("keys of both kinds sign on the token, strictly and with low s") {
  for (auto kind : {algorithm::es256, algorithm::ed25519}) {
    auto key = made(std::string{"both-"} + to_string(kind), kind);
    REQUIRE(key.external());
    CHECK(key.public_part().algorithm() == kind);
    for (int i = 0; i < 40; ++i) { // half of all s were high
      auto message = "message " + std::to_string(i);
      auto signature = key.sign(message);
      REQUIRE(signature);
      CHECK(key.public_part().verify(message, *signature));
    }
    CHECK(key.external()->location().find("pin") == std::string::npos);
    auto again
      = load_private_key(soft_token::instance().uri(std::string{"both-"} + to_string(kind)));
    REQUIRE(again);
    CHECK(again->public_part().spki() == key.public_part().spki());
  }
}

TEST_CASE("a key on a token makes certificates and JWS") {
  for (auto kind : {algorithm::es256, algorithm::ed25519}) {
    auto key = made(std::string{"jws-"} + to_string(kind), kind);
    auto text = sign_jws(key, "t", "k", "{}");
    REQUIRE(text);
    auto parsed = parse_jws(*text);
    REQUIRE(parsed);
    CHECK(verify(*parsed, key.public_part()));
    auto certificate = key.self_signed_certificate("jlr.com/vin/1234", 1'700'000'000, 30);
    REQUIRE(certificate);
    CHECK(certificate->find(key.public_part().spki()) != std::string::npos);
  }
}

TEST_CASE("threads may sign with one key at once") {
  auto key = made("threads");
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (int j = 0; j < 25; ++j) {
        auto message = std::to_string(i * 100 + j);
        auto signature = key.sign(message);
        good += signature && key.public_part().verify(message, *signature);
      }
    });
  for (auto& x : threads)
    x.join();
  CHECK(good == 100);
}

TEST_CASE("what does not name exactly one key is refused") {
  auto& at = soft_token::instance();
  made("single");
  CHECK(code_of_load(at.uri("single")) == ec::none);
  CHECK(code_of_load(at.uri("nobody")) == ec::not_found);
  auto with_token = [&](const std::string& token) {
    return "pkcs11:token=" + token + ";object=single?module-path=" + rvi::test::soft_token_module
           + "&pin-source=" + at.pin_file();
  };
  CHECK(code_of_load(with_token("three")) == ec::not_found);
  CHECK(code_of_load(with_token("twin")) == ec::config_invalid);
  auto again = generate_token_key(at.uri("single"), algorithm::es256);
  REQUIRE(!again);
  CHECK(code_of(again.error()) == ec::refused);
}

TEST_CASE("the PIN comes from a file that is a secret, and is tried once") {
  auto& at = soft_token::instance();
  made("pin");
  auto with_pin = [&](const std::string& file) {
    return std::string{"pkcs11:token=one;object=pin?module-path="} + rvi::test::soft_token_module
           + (file.empty() ? "" : "&pin-source=" + file);
  };
  auto wrong = at.folder + "/wrong";
  std::ofstream{wrong} << "guess-guess";
  ::chmod(wrong.c_str(), 0644);
  // A login counts for the whole process, so the states before it need one of their own.
  CHECK(code_of_load(with_pin(at.folder + "/missing")) == ec::io_failed);
  CHECK(code_of_load(with_pin(wrong)) == ec::file_unsafe);
  CHECK(code_of_load(with_pin("")) == ec::config_invalid);
  ::chmod(wrong.c_str(), 0600);
  auto refused = load_token_key(with_pin(wrong));
  REQUIRE(!refused);
  CHECK(code_of(refused.error()) == ec::unauthenticated);
  CHECK(detail_of(refused.error()).find("guess") == std::string::npos);
}

TEST_CASE("a token that goes away is an error, and works again when it is back") {
  auto& at = soft_token::instance();
  auto key = made("comes-and-goes");
  REQUIRE(key.sign("before"));
  auto hidden = at.folder + "/hidden";
  std::filesystem::rename(at.tokens(), hidden);
  std::filesystem::create_directory(at.tokens());
  auto failed = key.sign("meanwhile");
  REQUIRE(!failed);
  CHECK(code_of(failed.error()) == ec::busy);
  CHECK(detail_of(failed.error()).find("comes-and-goes") != std::string::npos);
  std::filesystem::remove(at.tokens());
  std::filesystem::rename(hidden, at.tokens());
  expected<std::string> signature = std::move(failed);
  for (int i = 0; i < 400 && !signature; ++i) { // looked for twice a second
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
    signature = key.sign("after");
  }
  REQUIRE_MESSAGE(signature, describe(signature.error()));
  CHECK(key.public_part().verify("after", *signature));
}

TEST_SUITE_END();
