// SPDX-License-Identifier: MPL-2.0
//
// Trust bundles that would give an organization's keys to the attacker, who may hold all of its
// roots but one of the two that the threshold asks for.

#include "runtime/json/json.hpp"
#include "test/attacks/attack.hpp"

#include <doctest/doctest.h>

using namespace rvi;
using namespace rvi::test;
using rvi::wire::Frame;

namespace {

struct fixture : attack {
  fixture() {
    next = at.acme.claims(at.acme.bundle->sequence + 1, *at.acme.bundle);
    next.roots.push_back({attacker.key.public_part(), true, true, true});
  }

  std::string signed_text(const std::vector<const crypto::private_key*>& keys) const {
    auto result = issue_trust_bundle(next, keys);
    REQUIRE(result);
    return (*result)->text;
  }

  void refuses_bundle(const std::string& text, const std::string& code) {
    std::string quoted;
    json::append_string(quoted, text);
    CHECK(at.media_server.call("revoke", R"({"list":)" + quoted + "}").code == code);
    check_refusal_recorded(at.cloud, code, "revocation list");
    holds_no_right();
  }

  /// What the bundle would have allowed.
  void holds_no_right() {
    ++signatures_max;
    auto claims
      = at.acme.credential(attacker.key.public_part(), {"acme.com/vin/666"}, {"acme.com/cloud"});
    auto forged = issue_credential(claims, attacker.key);
    REQUIRE(forged);
    auto body = attacker.body();
    body.set_node_address("acme.com/vin/666");
    body.set_credentials(0, (*forged)->text);
    refuses(body.SerializeAsString(), "unknown_issuer");
  }

  bundle_claims next;
};

} // namespace

TEST_SUITE_BEGIN("attacks: trust bundles" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a bundle signed by one root where two are asked for") {
  refuses_bundle(signed_text({&at.acme.trust_1, &attacker.key}), "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "a bundle signed by the new roots alone") {
  next.threshold = 1;
  refuses_bundle(signed_text({&attacker.key}), "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "a bundle signed by roots for credentials and lists") {
  refuses_bundle(signed_text({&at.acme.trust_1, &at.acme.credentials, &at.acme.lists}),
                 "signature_invalid");
}

TEST_CASE_FIXTURE(fixture, "one root's signature counted twice") {
  auto text = signed_text({&at.acme.trust_1});
  auto list = text.find("[{\"protected\"");
  REQUIRE(list != text.npos);
  auto entry = text.substr(list + 1, text.find("}]") - list);
  signatures_max = 0;
  refuses_bundle(text.replace(list, 1, "[" + entry + ","), "malformed");
}

TEST_CASE_FIXTURE(fixture, "a rolled-back bundle: the one in force again") {
  signatures_max = 0;
  refuses_bundle(at.acme.bundle->text, "replay");
}

TEST_CASE_FIXTURE(fixture, "a bundle of another history") {
  signatures_max = 0;
  next.previous = std::string(32, 'p');
  refuses_bundle(signed_text({&at.acme.trust_1, &at.acme.trust_2}), "unauthorized");
}

TEST_CASE_FIXTURE(fixture, "a bundle that leaves out a step") {
  signatures_max = 0;
  next.sequence += 1;
  refuses_bundle(signed_text({&at.acme.trust_1, &at.acme.trust_2}), "not_found");
}

TEST_CASE_FIXTURE(fixture, "a bundle for an organization that was not pinned by one") {
  signatures_max = 0;
  next.organization = "jlr.com";
  next.delegates.clear();
  next.roots = {{attacker.key.public_part(), true, true, true}};
  next.threshold = 1;
  refuses_bundle(signed_text({&attacker.key}), "unknown_issuer");
}

TEST_CASE_FIXTURE(fixture, "a forged bundle over a session") {
  hostile_peer peer{at.cloud_port};
  peer.come_up(attacker);
  Frame x;
  x.mutable_revocations()->add_lists(signed_text({&at.acme.trust_1, &attacker.key}));
  peer.send(x);
  ++signatures_max;
  ends(peer, "signature_invalid");
  ++signatures_max;
  holds_no_right();
}

TEST_CASE_FIXTURE(fixture, "claims given twice in a bundle") {
  auto text = signed_text({&at.acme.trust_1, &attacker.key});
  signatures_max = 0;
  refuses_bundle(replaced(text, "{\"payload\"", R"({"signatures":[],"payload")"), "malformed");
}

TEST_CASE_FIXTURE(fixture, "a rolled-back bundle brings back a root that was given up") {
  // The honest step: the root for credentials changes, because somebody has it.
  auto before = at.acme.bundle;
  auto stolen = at.acme.credentials;
  at.acme.credentials = *crypto::private_key::generate(crypto::algorithm::es256);
  next.roots = before->roots;
  next.roots[2].key = at.acme.credentials.public_part();
  auto step = issue_trust_bundle(next, {&at.acme.trust_1, &at.acme.trust_2});
  REQUIRE(step);
  std::string quoted;
  json::append_string(quoted, (*step)->text);
  REQUIRE(at.media_server.call("revoke", R"({"list":)" + quoted + "}").code == "");
  at.acme.bundle = *step;
  not_counted();
  refuses_bundle(before->text, "replay");
  auto claims
    = at.acme.credential(attacker.key.public_part(), {"acme.com/vin/666"}, {"acme.com/cloud"});
  auto forged = issue_credential(claims, stolen);
  REQUIRE(forged);
  auto body = attacker.body();
  body.set_node_address("acme.com/vin/666");
  body.set_credentials(0, (*forged)->text);
  refuses(body.SerializeAsString(), "unknown_issuer");
}

TEST_SUITE_END();
