// SPDX-License-Identifier: MPL-2.0
//
// What passes from a link to store and forward, what is refused, and what ends the link.

#include "actors/routing/verifier.hpp"
#include "messages/wire/batch.hpp"
#include "rvi.pb.h"
#include "test/support/envelopes.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_link.hpp"
#include "test/support/silent_store_and_forward.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

struct handed {
  uint64_t link = 0;
  batch good;
  custody_report refused;
};

/// What the neighbours were told.
struct told {
  std::vector<handed> received;
  std::vector<std::string> closed;                          // codes
  std::vector<std::pair<std::string, std::string>> unknown; // bytes, hash
};
using told_ptr = std::shared_ptr<told>;

test::link_listener told_of(const told_ptr& to) {
  test::link_listener x;
  x.verify = [to](const std::string& bytes, const std::string& hash) {
    to->unknown.emplace_back(bytes, hash);
  };
  x.close = [to](const std::string& code, const std::string&) { to->closed.push_back(code); };
  return x;
}

struct fixture : test::world {
  fixture() {
    auto own = std::make_shared<rights>();
    own->own_key = cloud.public_part();
    own->node_address = "jlr.com/cloud";
    own->own = {
      provisioning.issue(provisioning.claims(cloud.public_part(), {"jlr.com/cloud"}, {}, now_s()))};
    own->known = known;
    auto node = std::make_shared<node_context>();
    node->time = time;
    node->rights = std::make_shared<rights_snapshot>(own);
    node->metrics = metrics;
    verifier_config config;
    config.node = node;
    config.store_and_forward
      = spawn(test::silent_store_and_forward,
              test::store_and_forward_listener{
                [to = seen](uint64_t number, const batch& x, const custody_report& refused) {
                  to->received.push_back({number, x, refused});
                }});
    checker = spawn(verifier, config);
    over = spawn(test::silent_link, told_of(seen));
    credential = credential_of(vehicle);
    known->add(credential);
    peer.uid = vehicle.public_part().uid();
    peer.node_address = "jlr.com/vin/1234";
  }

  credential_ptr credential_of(const crypto::private_key& key) {
    return provisioning.issue(provisioning.claims(key.public_part(), {"jlr.com/vin/1234"},
                                                  {"rpc:jlr.com/cloud/media_server"}, now_s()));
  }

  request_header header(uint64_t seq) {
    auto x = test::header_of(vehicle.public_part().uid(), seq);
    x.credential_hash = credential->hash;
    return x;
  }

  /// Requests of the vehicle, signed together, as one Batch message.
  wire::Batch message(std::vector<request_header> headers) {
    std::vector<std::string> arguments;
    for (size_t i = 1; i <= headers.size(); ++i)
      arguments.push_back(std::to_string(i));
    return frame_of(test::sign_batch(vehicle, std::move(headers), arguments));
  }

  static wire::Batch frame_of(const batch& xs) {
    std::string stream;
    wire::append_batch_frames(stream, xs, 1 << 20);
    wire::Frame frame;
    REQUIRE(frame.ParseFromString(stream.substr(4)));
    return frame.batch();
  }

  void verify(const std::string& bytes) {
    self->send(checker, atom::verify_v, over, uint64_t{5}, peer, bytes);
    settle();
  }
  void verify(const wire::Batch& x) { verify(x.SerializeAsString()); }

  uint64_t invalid() { return metrics->get_counter("rvi_batches_invalid_total", {}).value(); }

  crypto::private_key cloud = *crypto::private_key::generate(crypto::algorithm::ed25519);
  crypto::private_key vehicle = *crypto::private_key::generate(crypto::algorithm::ed25519);
  std::shared_ptr<credential_cache> known = std::make_shared<credential_cache>(10);
  std::shared_ptr<metrics::registry> metrics = std::make_shared<rvi::metrics::registry>();
  told_ptr seen = std::make_shared<told>();
  credential_ptr credential;
  peer_identity peer;
  verifier_actor checker;
  link_actor over;
};

} // namespace

TEST_SUITE_BEGIN("verifier");

TEST_CASE_FIXTURE(fixture, "a good batch reaches store and forward whole") {
  verify(message({header(1), header(2), header(3)}));
  REQUIRE(seen->received.size() == 1);
  auto& x = seen->received[0];
  CHECK(x.link == 5);
  REQUIRE(x.good.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(x.good[i]->header.id.seq == i + 1);
    CHECK(x.good[i]->arguments == std::to_string(i + 1));
  }
  CHECK(x.refused.refused.empty());
  CHECK(seen->closed.empty());
}

TEST_CASE_FIXTURE(fixture, "parts of one tree pass one by one, with their missing nodes") {
  std::vector<request_header> headers;
  std::vector<std::string> arguments;
  for (uint64_t i = 1; i <= 7; ++i) {
    headers.push_back(header(i));
    arguments.push_back(std::to_string(i));
  }
  auto all = test::sign_batch(vehicle, headers, arguments);
  verify(frame_of({all[0], all[1], all[2]}));
  verify(frame_of({all[3]}));
  verify(frame_of({all[4], all[5], all[6]}));
  REQUIRE(seen->received.size() == 3);
  CHECK(seen->received[0].good.size() == 3);
  CHECK(seen->received[1].good.size() == 1);
  CHECK(seen->received[2].good.size() == 3);
  CHECK(seen->closed.empty());
}

TEST_CASE_FIXTURE(fixture, "a tentative batch is refused for now") {
  auto x = message({header(1), header(2)});
  x.set_tentative(true);
  verify(x);
  REQUIRE(seen->received.size() == 1);
  CHECK(seen->received[0].good.empty());
  auto& refused = seen->received[0].refused.refused;
  REQUIRE(refused.size() == 2);
  for (auto& item : refused) {
    CHECK(code_of(item.reason) == ec::refused);
    CHECK_FALSE(item.permanent);
  }
  CHECK(seen->closed.empty());
}

TEST_CASE_FIXTURE(fixture, "an unknown credential is asked for and the batch verified after") {
  credential = credential_of(vehicle);
  verify(message({header(1)}));
  CHECK(seen->received.empty());
  CHECK(seen->closed.empty());
  REQUIRE(seen->unknown.size() == 1);
  CHECK(seen->unknown[0].second == credential->hash);
  known->add(credential);
  verify(seen->unknown[0].first);
  REQUIRE(seen->received.size() == 1);
  CHECK(seen->received[0].good.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a batch that another node signed is refused") {
  peer.uid = cloud.public_part().uid();
  verify(message({header(1), header(2)}));
  REQUIRE(seen->received.size() == 1);
  CHECK(seen->received[0].good.empty());
  auto& refused = seen->received[0].refused.refused;
  REQUIRE(refused.size() == 2);
  CHECK(code_of(refused[0].reason) == ec::unauthorized);
  CHECK(refused[0].permanent);
}

TEST_CASE_FIXTURE(fixture, "a signature that does not hold ends the link") {
  auto x = message({header(1), header(2), header(3)});
  SUBCASE("a flipped bit in the signature") {
    (*x.mutable_signature())[20] ^= 1;
  }
  SUBCASE("another salt") {
    (*x.mutable_items(1)->mutable_salt())[3] ^= 1;
  }
  SUBCASE("another batch id") {
    (*x.mutable_batch_id())[0] ^= 1;
  }
  SUBCASE("another signing time") {
    x.set_signed_at_ms(x.signed_at_ms() + 1);
  }
  SUBCASE("arguments and header changed together") {
    auto other = message({header(9)});
    *x.mutable_items(0)->mutable_header() = other.items(0).header();
  }
  SUBCASE("a wrong path") {
    auto all = test::sign_batch(vehicle, {header(1), header(2), header(3)}, {"1", "2", "3"});
    x = frame_of({all[0]});
    REQUIRE(x.items(0).path_size() == 2);
    (*x.mutable_items(0)->mutable_path(1))[0] ^= 1;
  }
  SUBCASE("a wrong missing node") {
    auto all = test::sign_batch(vehicle, {header(1), header(2), header(3)}, {"1", "2", "3"});
    x = frame_of({all[0], all[1]});
    REQUIRE(x.missing_nodes_size() == 1);
    (*x.mutable_missing_nodes(0))[0] ^= 1;
  }
  verify(x);
  CHECK(seen->received.empty());
  CHECK(seen->closed == std::vector<std::string>{"signature_invalid"});
  CHECK(invalid() == 1);
}

TEST_CASE_FIXTURE(fixture, "bytes that are no batch end the link") {
  auto x = message({header(1), header(2)});
  auto bytes = x.SerializeAsString();
  SUBCASE("not a message") {
    bytes = "\xff\xff\xff";
  }
  SUBCASE("cut short") {
    bytes.resize(bytes.size() - 1);
  }
  SUBCASE("empty") {
    bytes.clear();
  }
  SUBCASE("arguments that do not match their hash") {
    x.mutable_items(0)->set_arguments("9");
    bytes = x.SerializeAsString();
  }
  SUBCASE("another credential than the headers name") {
    x.set_credential_hash(std::string(32, 'z'));
    bytes = x.SerializeAsString();
  }
  SUBCASE("a path that is too short") {
    auto all = test::sign_batch(vehicle, {header(1), header(2), header(3)}, {"1", "2", "3"});
    x = frame_of({all[0]});
    x.mutable_items(0)->mutable_path()->RemoveLast();
    bytes = x.SerializeAsString();
  }
  verify(bytes);
  CHECK(seen->received.empty());
  CHECK(seen->closed == std::vector<std::string>{"malformed"});
  CHECK(invalid() == 1);
}

TEST_CASE_FIXTURE(fixture, "an item outside the rights is refused alone") {
  auto bad = header(2);
  ec expected = ec::unauthorized;
  SUBCASE("a target it may not reach") {
    bad.target = "rpc:jlr.com/cloud/billing/charge";
  }
  SUBCASE("a source it may not speak for") {
    bad.source = "jlr.com/vin/9999/services/media_player";
  }
  SUBCASE("an id of another node") {
    bad.id.origin = cloud.public_part().uid();
  }
  SUBCASE("its time is up") {
    bad.created_ms = now_ms() - 1'000;
    bad.expires_ms = now_ms();
    expected = ec::timeout;
  }
  SUBCASE("created in the future") {
    bad.created_ms = now_ms() + 3'600'000;
    bad.expires_ms = now_ms() + 3'660'000;
  }
  verify(message({header(1), bad, header(3)}));
  REQUIRE(seen->received.size() == 1);
  auto& x = seen->received[0];
  REQUIRE(x.good.size() == 2);
  CHECK(x.good[0]->header.id.seq == 1);
  CHECK(x.good[1]->header.id.seq == 3);
  REQUIRE(x.refused.refused.size() == 1);
  CHECK(x.refused.refused[0].id == bad.id);
  CHECK(code_of(x.refused.refused[0].reason) == expected);
  CHECK(x.refused.refused[0].permanent);
  CHECK(seen->closed.empty());
}

TEST_SUITE_END();
