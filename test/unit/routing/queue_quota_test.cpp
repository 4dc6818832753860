// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/queue_quota.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

using owner = quota_account::owner;

const owner cloud{"jlr.com/cloud", false};
const owner player{"jlr.com/vin/1234/services/media_player", true};

} // namespace

TEST_CASE("records of one owner are counted up to its quota and freed again") {
  quota_account x{{{2, 1'000}, {1, 1'000}, {}}};
  CHECK(x.enter(cloud, 10));
  CHECK(x.enter(cloud, 10));
  CHECK_FALSE(x.enter(cloud, 10));
  CHECK(x.enter(player, 10)); // another owner
  CHECK_FALSE(x.enter(player, 10));
  x.leave(cloud, 10);
  CHECK(x.enter(cloud, 10));
  CHECK(x.used(cloud).items_max == 2);
  CHECK(x.used(cloud).bytes_max == 20);
}

TEST_CASE("bytes are bounded, but one record may always pass") {
  quota_account x{{{10, 100}, {10, 100}, {}}};
  CHECK(x.enter(cloud, 5'000));
  CHECK_FALSE(x.enter(cloud, 1));
  x.leave(cloud, 5'000);
  CHECK(x.enter(cloud, 1));
}

TEST_CASE("the first rule that matches an owner holds") {
  quota_account x{{{10, 100},
                   {10, 100},
                   {{"jlr.com/vin/+/services/media_player", {1, 100}}, {"jlr.com/#", {3, 100}}}}};
  CHECK(x.quota_of(player).items_max == 1);
  CHECK(x.quota_of(cloud).items_max == 3);
  CHECK(x.quota_of({"other.com/cloud", false}).items_max == 10);
}

TEST_CASE("names count against their service or their node") {
  auto node = "jlr.com/vin/1234";
  CHECK(service_of_name("rpc:jlr.com/vin/1234/services/media_player/play", node, "services")
        == "jlr.com/vin/1234/services/media_player");
  CHECK(service_of_name("rpc:jlr.com/vin/1234/services/lock", node, "services")
        == "jlr.com/vin/1234/services/lock");
  CHECK(service_of_name("rpc:jlr.com/vin/1234/other/x", node, "services")
        == "jlr.com/vin/1234/other");
  CHECK(service_of_name("message:jlr.com/cloud/media_server/a/b", "jlr.com/cloud", "")
        == "jlr.com/cloud/media_server");
  CHECK(node_of_name("rpc:jlr.com/vin/1234/services/lock/open", "services") == "jlr.com/vin/1234");
  CHECK(node_of_name("rpc:jlr.com/cloud/media_server", "services") == "jlr.com/cloud");
}
