// SPDX-License-Identifier: MPL-2.0
//
// The library as services outside get it: its header alone, the shared object alone.

#include <doctest/doctest.h>

#include <rvi/client.hpp>
#include <utility>

TEST_CASE("a service needs the header and the shared library only") {
  rvi::client node;
  auto why = node.connect({.socket_path = "/nowhere/rvi.sock"}, std::chrono::milliseconds{100});
  CHECK(why.code == "unreachable");
  CHECK_FALSE(why.message.empty());
  CHECK_FALSE(node.connected());
  auto moved = std::move(node);
  CHECK(moved.outstanding() == 0);
  CHECK(moved.flush().code == "link_down");
  CHECK(moved.receive().code == "link_down");
  CHECK(moved.wait(std::chrono::milliseconds{1}).code == "link_down");
  CHECK(moved.fd() == -1);
  moved.close();
}

TEST_CASE("what is asked without a connection hears so") {
  rvi::client node;
  rvi::client::error heard;
  node.call("get_node_address", "{}",
            [&](const rvi::client::error& x, std::string_view) { heard = x; });
  CHECK(heard.code == "link_down");
}
