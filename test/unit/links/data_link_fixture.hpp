// SPDX-License-Identifier: MPL-2.0
//
// data_link with drivers, sessions and neighbours that only record what they are told, on virtual
// time.

#pragma once

#include "actors/links/data_link.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_link.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

using namespace rvi;

namespace {

struct dial {
  uint64_t number = 0;
  std::string address;
  std::string kind;
};

/// What the neighbours were told.
struct told {
  std::vector<dial> dials;
  std::vector<uint64_t> ups;
  std::vector<uint64_t> downs;
  std::vector<std::pair<uint64_t, uint64_t>> measured; // link, us
  std::map<uint64_t, std::vector<std::string>> closes; // by link: the reasons
};
using told_ptr = std::shared_ptr<told>;

link_driver_actor::behavior_type driver(link_driver_actor::pointer, told_ptr to) {
  return {
    [to](atom::setup, uint64_t number, const std::string& address, const std::string& kind) {
      to->dials.push_back({number, address, kind});
    },
    [](atom::reload) { return atom::done_v; },
  };
}

service_discovery_actor::behavior_type discovery(service_discovery_actor::pointer, told_ptr to) {
  return {
    [](atom::reg, const local_service&) { return atom::done_v; },
    [](atom::unreg, const std::string&) {},
    [](atom::announce, const link_actor&, const peer_identity&) {},
    [](atom::announce, const link_actor&, const peer_identity&, bool,
       const std::vector<announce_entry>&) {},
    [](atom::announce, const link_actor&, const peer_identity&, const relayed_announcement&) {},
    [to](atom::link_up, const link_actor&, const link_info& x) { to->ups.push_back(x.link); },
    [to](atom::link_down, uint64_t link) { to->downs.push_back(link); },
    [to](atom::status, uint64_t link, uint64_t us) { to->measured.emplace_back(link, us); },
    [](atom::attach, const availability_listener_actor&) {},
    [](atom::revoke) {},
    [](atom::status) { return std::string{}; },
  };
}

/// Ends when it is closed, as a session does.
test::link_listener told_of(told_ptr to, uint64_t number, const data_link_actor& owner) {
  test::link_listener x;
  x.close = [=](const std::string& reason, const std::string&) {
    to->closes[number].push_back(reason);
    caf::anon_send(owner, atom::closed_v, number, reason);
  };
  return x;
}

protocol_actor::behavior_type protocol(protocol_actor::pointer, std::string spoken) {
  return {
    [spoken](atom::setup, const std::vector<std::string>& offered) -> caf::result<std::string> {
      if (offered.front() == spoken)
        return spoken;
      return caf::make_error(ec::protocol_mismatch, std::string{"another"});
    },
  };
}

node_uid uid_of(uint8_t x) {
  node_uid result;
  result.fill(x);
  return result;
}

struct fixture : test::world {
  fixture() { (void)log::configure(log::level::error, log::format::text); }

  void start() {
    auto node = std::make_shared<node_context>();
    node->time = time;
    node->metrics = std::make_shared<metrics::registry>();
    node->uid = own;
    node->seed = seed;
    node->routing
      = std::make_shared<routing_snapshot>(std::make_shared<const routing_table>(table));
    settings.node = node;
    settings.service_discovery = spawn(discovery, seen);
    settings.protocol = spawn(protocol, std::string{"rvi/2"});
    links = spawn(data_link, settings);
    self->send(links, atom::attach_v, std::string{"tls"}, spawn(driver, seen));
    settle();
  }

  void demand(std::vector<std::string> addresses = {"10.0.0.1:8810"},
              const std::string& node = "jlr.com/cloud", uint64_t wanted_ms = 60'000,
              std::vector<std::string> kinds = {}) {
    self->send(links, atom::setup_v,
               setup_request{"rpc:" + node + "/x", node, addresses, true, wanted_ms, kinds});
    settle();
  }

  /// A beacon told of somebody there.
  void find(const std::string& address) {
    setup_request x;
    x.network_addresses = {address};
    x.found = true;
    self->send(links, atom::setup_v, x);
    settle();
  }

  void fail(uint64_t number) {
    self->send(links, atom::closed_v, number, std::string{"unreachable"});
    settle();
  }

  /// The session is authorized and announced; nothing has run yet.
  void say_up(uint64_t number, bool dialled, const std::string& speaks = "rvi/2",
              const std::string& kind = "tls", const std::string& own_kind = {}) {
    link_info x;
    x.link = number;
    x.peer.uid = peer;
    x.peer.node_address = "jlr.com/cloud";
    x.peer.network_address = "10.0.0.1:8810";
    x.peer.protocol = speaks;
    x.kind = kind;
    x.own_kind = own_kind;
    x.remote_address = remote;
    x.dialled = dialled;
    self->send(links, atom::link_up_v, spawn(test::silent_link, told_of(seen, number, links)), x);
  }

  void bring_up(uint64_t number, bool dialled, const std::string& speaks = "rvi/2") {
    say_up(number, dialled, speaks);
    settle();
  }

  /// Over a network of ours with this name.
  void bring_up_kind(uint64_t number, bool dialled, const std::string& kind) {
    say_up(number, dialled, "rvi/2", kind, kind);
    settle();
  }

  void network(const std::string& kind, bool up) {
    if (up)
      self->send(links, atom::available_v, kind);
    else
      self->send(links, atom::link_down_v, kind);
    pass(1'100);
  }

  std::vector<std::string> kinds_dialled() const {
    std::vector<std::string> result;
    for (auto& x : seen->dials)
      result.push_back(x.kind);
    return result;
  }

  /// Messages the actors have sent themselves for later.
  size_t waiting() { return sched.clock().schedule().size(); }

  std::vector<link_status> status() {
    return *ask<std::vector<link_status>>(links, atom::status_v);
  }

  uint64_t seed = 7;
  node_uid own = uid_of(0x50);
  node_uid peer = uid_of(0x90);
  std::string remote; // the other end's address, as the next session says
  routing_table table;
  data_link_config settings;
  told_ptr seen = std::make_shared<told>();
  data_link_actor links;
};

constexpr uint64_t inbound = 1'000; // a number no dial has

} // namespace
