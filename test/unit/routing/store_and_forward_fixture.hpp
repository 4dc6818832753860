// SPDX-License-Identifier: MPL-2.0
//
// What store and forward keeps, sends, hands over and forgets: a real store on a disk in memory,
// everything around it small typed fakes that record what they hear, on virtual time.

#pragma once

#include "actors/routing/store_and_forward.hpp"
#include "messages/name.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/envelopes.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_data_link.hpp"
#include "test/support/silent_link.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace rvi;

namespace {

constexpr const char* player = "jlr.com/vin/1234/services/media_player";

/// What the neighbours were told.
struct told {
  batch invoked;
  std::vector<outcome_notice> outcomes;
  std::vector<setup_request> wanted;
};
using told_ptr = std::shared_ptr<told>;

service_edge_actor::behavior_type edge(service_edge_actor::pointer, told_ptr to) {
  return {
    [](atom::call, const std::vector<service_call>&) {},
    [](atom::receipt, const std::vector<receipt>&) {},
    [](atom::closed, client_id) {},
    [to](atom::invoke, const batch& xs) {
      to->invoked.insert(to->invoked.end(), xs.begin(), xs.end());
    },
    [to](atom::outcome, const std::vector<outcome_notice>& xs) {
      to->outcomes.insert(to->outcomes.end(), xs.begin(), xs.end());
    },
    [](atom::reply, const batch&) {},
    [](atom::attach, const json_rpc_actor&) {},
    [](atom::attach, const data_link_actor&) {},
    [](atom::attach, const std::string&, const node_service_actor&) { return atom::done_v; },
    [](atom::available, const availability_event&) {},
    [](atom::available, client_id) {},
    [](atom::credit, client_id) {},
    [](atom::tick) {},
  };
}

/// One link and what went over it.
struct session {
  uint64_t number = 0;
  link_actor handle;
  batch sent;
  std::vector<custody_report> custody;
  std::vector<std::string> closed; // why
  std::vector<argument_fragment> fragments;
  std::vector<fragment_state> states;
};
using session_ptr = std::shared_ptr<session>;

test::link_listener told_of(const session_ptr& to) {
  test::link_listener x;
  x.transmit = [to](const batch& xs) { to->sent.insert(to->sent.end(), xs.begin(), xs.end()); };
  x.custody = [to](const custody_report& report) { to->custody.push_back(report); };
  x.fragment = [to](const argument_fragment& f) { to->fragments.push_back(f); };
  x.state = [to](const fragment_state& state) { to->states.push_back(state); };
  x.close = [to](const std::string& reason, const std::string& detail) {
    to->closed.push_back(reason + ": " + detail);
  };
  return x;
}

struct fixture : test::world {
  fixture() {
    (void)log::configure(log::level::error, log::format::text);
    node->node_address = "jlr.com/vin/1234";
    node->uid = vehicle.public_part().uid();
    node->time = time;
    node->metrics = std::make_shared<metrics::registry>();
    node->rights = std::make_shared<rights_snapshot>(std::make_shared<rights>());
    node->trace = std::make_shared<trace_buffer>(time, 1'000);
    table.node_address = node->node_address;
    table.local.set(player, {player, false});
    table.provisioned = {{"+:jlr.com/cloud/#", {"10.0.0.1:8810"}}};
    publish();
  }

  void publish() {
    auto next = std::make_shared<const routing_table>(table);
    if (node->routing)
      node->routing->publish(next);
    else
      node->routing = std::make_shared<routing_snapshot>(next);
  }

  void start() {
    store_config storage;
    storage.disk = *disk->open();
    settings.node = node;
    settings.store = keeper = spawn(store, storage);
    queue = spawn(store_and_forward, settings);
    self->send(queue, atom::attach_v, spawn(edge, seen));
    self->send(
      queue, atom::attach_v,
      spawn(test::silent_data_link,
            test::data_link_listener{[to = seen](auto& x) { to->wanted.push_back(x); }, {}}));
    settle();
  }

  void kill() {
    caf::anon_send_exit(queue, caf::exit_reason::kill);
    caf::anon_send_exit(keeper, caf::exit_reason::kill);
    settle();
    disk->crash();
  }

  session_ptr connect(uint32_t credit = 1'000, const std::string& kind = {}) {
    auto x = std::make_shared<session>();
    x->number = ++links;
    x->handle = spawn(test::silent_link, told_of(x));
    auto known = std::make_shared<known_node>();
    known->uid = cloud.public_part().uid();
    known->address = "jlr.com/cloud";
    known->network_addresses = {"10.0.0.1:8810"};
    known->link = x->number;
    table.nodes.set(known->address, known);
    table.nodes_by_uid.set(known->uid, known);
    publish();
    link_info info;
    info.link = x->number;
    info.kind = kind;
    info.peer.uid = known->uid;
    info.peer.node_address = known->address;
    info.peer.frame_bytes_max = 1 << 20;
    self->send(queue, atom::link_up_v, x->handle, info);
    if (credit > 0)
      grant(x, credit);
    settle();
    return x;
  }

  void grant(const session_ptr& x, uint32_t envelopes) {
    self->send(queue, atom::credit_v, x->number, credit_grant{envelopes, 1 << 20});
    settle();
  }

  void disconnect(const session_ptr& x) {
    self->send(queue, atom::link_down_v, x->number);
    settle();
  }

  /// A request of ours to the cloud.
  envelope_ptr request(uint64_t seq, uint32_t priority = 4, uint64_t ttl_ms = 60'000) {
    auto x = test::header_of(node->uid, seq);
    x.priority = priority;
    x.expires_ms = now_ms() + ttl_ms;
    return test::sign_batch(vehicle, {x}, {std::to_string(seq)}).front();
  }

  /// A request of the cloud to us.
  envelope_ptr
  inbound(uint64_t seq, request_kind kind = request_kind::rpc, const std::string& arguments = "1") {
    auto x = test::header_of(cloud.public_part().uid(), seq);
    x.kind = kind;
    x.source = "jlr.com/cloud/media_server";
    x.target = (kind == request_kind::rpc ? "rpc:" : "message:") + std::string{player} + "/play";
    return test::sign_batch(cloud, {x}, {arguments}).front();
  }

  request_header reply_header(const envelope_ptr& asked) {
    auto x = asked->header;
    x.kind = request_kind::reply;
    x.source = std::string{without_type(asked->header.target)};
    x.target = asked->header.source;
    x.request_hash = crypto::view(crypto::sha256(asked->header_bytes));
    return x;
  }

  ec schedule(const envelope_ptr& x) { return schedule_all({x}).front(); }

  std::vector<ec> schedule_all(const batch& xs) {
    std::vector<ec> result;
    auto errors = ask<std::vector<caf::error>>(queue, atom::schedule_v, xs);
    REQUIRE(errors);
    for (auto& x : *errors)
      result.push_back(x ? code_of(x) : ec::none);
    return result;
  }

  custody_report receive(const session_ptr& over, const batch& xs) {
    auto before = over->custody.size();
    self->send(queue, atom::received_v, over->handle, over->number, xs, custody_report{});
    settle();
    REQUIRE(over->custody.size() == before + 1);
    return over->custody.back();
  }

  custody_report answer(const session_ptr& over, const request_header& x) {
    return receive(over, test::sign_batch(cloud, {x}, {"42"}));
  }

  void custody(const session_ptr& over, const batch& xs) {
    custody_report report;
    for (auto& x : xs)
      report.accepted.push_back({x->header.id, x->header.is_reply()});
    self->send(queue, atom::custody_v, over->number, report);
    pass(50);
  }

  void refuse(const session_ptr& over, const envelope_ptr& x, ec why, bool permanent,
              uint64_t after_ms = 0) {
    custody_report report;
    report.refused.push_back({x->header.id, x->header.is_reply(),
                              caf::make_error(why, std::string{"the peer says so"}), permanent,
                              after_ms});
    self->send(queue, atom::custody_v, over->number, report);
    settle();
  }

  void receipt_of(const envelope_ptr& x, receipt::status what, bool untouched = false) {
    self->send(queue, atom::receipt_v,
               std::vector<receipt>{{x->header.id, false, what, untouched, {}}});
    pass(50);
  }

  void service_back() {
    self->send(queue, atom::available_v, std::string{player});
    pass(50);
  }

  uint64_t count(const char* name) { return node->metrics->get_counter(name, {}).value(); }
  size_t kept(table t) { return disk->content(t).size(); }

  static std::vector<std::string> arguments(const batch& xs) {
    std::vector<std::string> result;
    for (auto& x : xs)
      result.push_back(x->arguments);
    return result;
  }

  crypto::private_key vehicle = *crypto::private_key::generate(crypto::algorithm::ed25519);
  crypto::private_key cloud = *crypto::private_key::generate(crypto::algorithm::ed25519);
  std::shared_ptr<node_context> node = std::make_shared<node_context>();
  routing_table table;
  std::shared_ptr<memory_disk> disk = memory_disk::make();
  told_ptr seen = std::make_shared<told>();
  store_and_forward_config settings;
  store_actor keeper;
  store_and_forward_actor queue;
  uint64_t links = 0;
};

using names = std::vector<std::string>;

} // namespace
