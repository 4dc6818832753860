// SPDX-License-Identifier: MPL-2.0
//
// Services of third nodes: what a node believes of what a relay passes on.

#include "actors/routing/service_discovery.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/envelopes.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_link.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr const char* lock = "jlr.com/vin/1234/services/lock";

struct heard {
  std::vector<std::string> closed;
  std::vector<std::vector<std::string>> asked; // hashes
  std::vector<relayed_announcement> waits;
};

/// A cloud, told of a vehicle by a phone.
struct fixture : test::world {
  fixture() : cloud(*this, "jlr.com/cloud", "cloud", {"jlr.com/vin"}) {
    (void)log::configure(log::level::off, log::format::text);
    cloud.start();
    owner = provisioning.issue(
      provisioning.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {}, now_s()));
    know(owner);
    phone.uid[0] = 7;
    phone.node_address = "jlr.com/phone/1";
    phone.relay = {"jlr.com/vin"};
    test::link_listener to;
    to.close
      = [x = seen](const std::string& code, const std::string&) { x->closed.push_back(code); };
    to.unknown_owners
      = [x = seen](const relayed_announcement& waits, const std::vector<std::string>& hashes) {
          x->waits.push_back(waits);
          x->asked.push_back(hashes);
        };
    link = spawn(test::silent_link, to);
  }

  void know(const credential_ptr& x) { cloud.context->rights->load()->known->add(x); }

  relayed_entry entry(uint64_t sequence, bool available = true, const std::string& name = lock) {
    return {
      test::announced_by(vehicle, owner->hash, {name, sequence, available}), {phone.uid}, false};
  }

  void hear(std::vector<relayed_entry> entries, bool full = false) {
    self->send(cloud.discovery, atom::announce_v, link, phone,
               relayed_announcement{full, std::move(entries), {}});
    settle();
  }

  size_t ways() {
    return cloud.context->routing->load()->ways_to("rpc:" + std::string{lock}).size();
  }

  test::loopback_node cloud;
  crypto::private_key vehicle = *crypto::private_key::generate(crypto::algorithm::ed25519);
  credential_ptr owner;
  peer_identity phone;
  std::shared_ptr<heard> seen = std::make_shared<heard>();
  link_actor link;
};

} // namespace

TEST_SUITE_BEGIN("relayed announcements");

TEST_CASE_FIXTURE(fixture, "an entry that its owner signed is believed") {
  hear({entry(5)});
  CHECK(ways() == 1);
  CHECK(seen->closed.empty());
  SUBCASE("until the relay no longer says it") {
    hear({}, true);
  }
  SUBCASE("until its owner takes it back") {
    hear({entry(6, false)});
  }
  SUBCASE("until the relay withdraws it") {
    self->send(cloud.discovery, atom::announce_v, link, phone,
               relayed_announcement{false, {}, {lock}});
    settle();
  }
  CHECK(ways() == 0);
}

TEST_CASE_FIXTURE(fixture, "a forged entry ends the relay's session") {
  auto x = entry(5);
  SUBCASE("signed by another") {
    auto thief = *crypto::private_key::generate(crypto::algorithm::ed25519);
    x.entry.signature = *thief.sign("RVI-ANNOUNCE-1" + x.entry.service);
    hear({x});
    CHECK(seen->closed == std::vector<std::string>{"signature_invalid"});
  }
  SUBCASE("under the owner's credential by another") {
    auto thief = *crypto::private_key::generate(crypto::algorithm::ed25519);
    x.entry = test::announced_by(thief, owner->hash, {lock, 5, true});
    hear({x});
    CHECK(seen->closed == std::vector<std::string>{"unauthorized"});
  }
  SUBCASE("outside the owner's rights") {
    hear({entry(5, true, "jlr.com/vin/9/services/lock")});
    CHECK(seen->closed == std::vector<std::string>{"unauthorized"});
  }
  SUBCASE("that the relay may not carry for") {
    phone.relay = {"jlr.com/vin/9"};
    hear({x});
    CHECK(seen->closed == std::vector<std::string>{"unauthorized"});
  }
  SUBCASE("from a node that is no relay") {
    phone.relay = {};
    hear({x});
    CHECK(seen->closed == std::vector<std::string>{"unauthorized"});
  }
  SUBCASE("whose route does not begin with the relay") {
    x.route = {};
    hear({x});
    CHECK(seen->closed == std::vector<std::string>{"malformed"});
  }
  CHECK(ways() == 0);
}

TEST_CASE_FIXTURE(fixture, "an older entry changes nothing") {
  hear({entry(6, false)});
  hear({entry(5)});
  CHECK(ways() == 0);
  CHECK(seen->closed.empty()); // a relay may lag behind
  hear({entry(7)});
  CHECK(ways() == 1);
  phone.uid[0] = 8; // nor from another relay
  hear({entry(6, false)});
  CHECK(ways() == 1);
}

TEST_CASE_FIXTURE(fixture, "what went in a circle or too far is no news") {
  auto x = entry(5);
  SUBCASE("through this node") {
    x.route.push_back(cloud.context->uid);
  }
  SUBCASE("through nine relays") {
    for (uint8_t i = 0; i < 8; ++i)
      x.route.push_back({100, i});
  }
  hear({x});
  CHECK(ways() == 0);
  CHECK(seen->closed.empty());
}

TEST_CASE_FIXTURE(fixture, "a revoked owner's services are no news") {
  auto list = provisioning.revocation_list(
    1,
    {revocation_entry_of("jlr.com", vehicle.public_part().uid(),
                         static_cast<uint32_t>(now_s() + 366 * 86'400))},
    now_s());
  self->send(cloud.authorization, atom::revoke_v, list->text);
  pass(1'000);
  hear({entry(5)});
  CHECK(ways() == 0);
}

TEST_CASE_FIXTURE(fixture, "an owner nobody knows is asked for, and the entry waits") {
  auto claims = provisioning.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {}, now_s());
  owner = provisioning.issue(claims);
  hear({entry(5)});
  CHECK(ways() == 0);
  REQUIRE(seen->asked.size() == 1);
  CHECK(seen->asked[0] == std::vector<std::string>{owner->hash});
  know(owner);
  hear(seen->waits[0].entries);
  CHECK(ways() == 1);
}

TEST_SUITE_END();
