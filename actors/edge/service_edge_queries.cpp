// SPDX-License-Identifier: MPL-2.0
//
// What services and administrators may ask the service edge about the node.

#include "actors/edge/service_edge.hpp"
#include "messages/name.hpp"
#include "messages/revocation.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "service-edge";

/// HLD 9.5, 3.2.1. Who has entered which list or trust bundle stays in the log, whether or not it
/// was taken.
struct entered_list {
  service_edge_state& edge;
  service_edge_state::caller to;
  std::string principal;
  std::string issuer;
  uint64_t serial = 0;
  std::string what = "revocation list";

  void taken() const {
    log::info(component, what + " entered",
              {{"principal", principal}, {"issuer", issuer}, {"serial", serial}});
    json::writer out;
    out.begin_object()
      .member("status", "ok")
      .member("issuer", issuer)
      .member("serial", serial)
      .end_object();
    edge.answer(to, json_result{out.take()});
    edge.flush_answers();
  }

  void refused(caf::error why) const {
    log::warning(component, what + " refused",
                 {{"principal", principal},
                  {"issuer", issuer},
                  {"serial", serial},
                  {"reason", describe(why)}});
    edge.refuse(to, std::move(why));
    edge.flush_answers();
  }

  /// Not even one: nobody else has seen it.
  void malformed(caf::error why) const {
    audit::refused("revocation list", why, {{"principal", principal}});
    refused(std::move(why));
  }
};

void enter_list(service_edge_state& edge, const service_call& from, const std::string& written) {
  entered_list x{edge, {from.client, from.token}, from.principal.name, {}};
  auto carried = carried_list(written);
  if (!carried)
    return x.malformed(std::move(carried.error()));
  auto& text = *carried;
  if (is_trust_bundle(text)) {
    x.what = "trust bundle";
    auto bundle = parse_trust_bundle(text);
    if (!bundle)
      return x.malformed(std::move(bundle.error()));
    x.issuer = (*bundle)->organization;
    x.serial = (*bundle)->sequence;
  } else {
    auto list = parse_revocation_list(text);
    if (!list)
      return x.malformed(std::move(list.error()));
    x.issuer = (*list)->issuer;
    x.serial = (*list)->version.serial;
  }
  edge.self->request(edge.config.authorization, caf::infinite, atom::revoke_v, std::move(text))
    .then([x](atom::done) { x.taken(); }, [x](caf::error& why) { x.refused(std::move(why)); });
}

/// HLD 15.2. Who did it stays in the log.
void steer_links(service_edge_state& edge, const service_call& from, const administration_call& x) {
  service_edge_state::caller to{from.client, from.token};
  auto node = normalise_node_address(x.argument);
  if (!node)
    return edge.refuse(to, std::move(node.error()));
  if (!edge.data_link)
    return edge.refuse(to, caf::make_error(ec::busy, std::string{"links are not there yet"}));
  log::info(component, x.method, {{"principal", from.principal.name}, {"node", *node}});
  auto refused = [&edge, to](caf::error& why) {
    edge.refuse(to, std::move(why));
    edge.flush_answers();
  };
  if (x.method == "connect") {
    edge.self->request(edge.data_link, caf::infinite, atom::setup_v, *node)
      .then(
        [&edge, to](atom::done) {
          edge.answer(to, json_result{R"({"status":"ok"})"});
          edge.flush_answers();
        },
        refused);
    return;
  }
  edge.self->request(edge.data_link, caf::infinite, atom::close_v, *node)
    .then(
      [&edge, to](uint64_t closed) {
        json::writer out;
        out.begin_object().member("status", "ok").member("links", closed).end_object();
        edge.answer(to, json_result{out.take()});
        edge.flush_answers();
      },
      refused);
}

} // namespace

void service_edge_state::do_get_address(const service_call& from) {
  json::writer out;
  out.begin_object()
    .member("status", "ok")
    .member("node_address", config.node->node_address)
    .end_object();
  answer({from.client, from.token}, json_result{out.take()});
}

void service_edge_state::do_get_outcome(const service_call& from, const get_outcome_call& x) {
  caller to{from.client, from.token};
  self->request(config.store_and_forward, caf::infinite, atom::outcome_v, x.id)
    .then(
      [this, to, principal = from.principal](outcome_notice& found) {
        auto held = registrations.find(found.requesting_service);
        if (!principal.administrator
            && (held == registrations.end() || held->second.principal != principal.name))
          refuse(to, caf::make_error(ec::not_found, std::string{"no such transaction id"}));
        else
          answer(to, std::move(found));
        flush_answers();
      },
      [this, to](caf::error& err) {
        refuse(to, std::move(err));
        flush_answers();
      });
}

/// Local services, and remote ones this node has a right to reach.
void service_edge_state::do_get_services(const service_call& from,
                                         const get_available_services_call& x) {
  caller to{from.client, from.token};
  std::string pattern = "#";
  if (!x.pattern.empty()) {
    auto normal = normalise_pattern(x.pattern);
    if (!normal)
      return refuse(to, std::move(normal.error()));
    pattern = std::move(*normal);
  }
  auto wanted = [&](const std::string& name) { return takes_in(pattern, name); };
  auto table = config.node->routing->load();
  auto rights = config.node->rights->load();
  names_result result;
  for (auto& [name, service] : table->local)
    if (wanted(name))
      result.names.push_back(name);
  auto now = config.node->time->wall_ms();
  auto linked = [&](const node_uid& uid) {
    auto i = table->nodes_by_uid.find(uid);
    return i != table->nodes_by_uid.end() && i->second->link != 0;
  };
  for (auto& [address, node] : table->nodes)
    for (auto& name : node->services)
      if (node->available() && wanted(name) && may_reach(*rights, name, now))
        result.names.push_back(name);
  for (auto& [name, ways] : table->relayed)
    if (wanted(name) && may_reach(*rights, name, now)
        && std::any_of(ways->begin(), ways->end(),
                       [&](auto& way) { return linked(way.relay) && !linked(way.owner); }))
      result.names.push_back(name);
  answer(to, std::move(result));
}

// -- queues --------------------------------------------------------------------------------------

void service_edge_state::do_queue(const service_call& from, queue_call& x) {
  caller to{from.client, from.token};
  if (!from.principal.administrator)
    return refuse(to, caf::make_error(ec::unauthorized,
                                      std::string{"queues are for the node's administrator"}));
  if (!x.pattern.empty()) {
    auto normal = normalise_pattern(x.pattern);
    if (!normal)
      return refuse(to, std::move(normal.error()));
    x.pattern = std::move(*normal);
  }
  if (x.what == queue_call::action::drop || x.what == queue_call::action::requeue)
    log::info(component,
              x.what == queue_call::action::drop ? "drop asked for" : "requeue asked for",
              {{"principal", from.principal.name},
               {"id", x.id ? to_string(*x.id) : std::string{}},
               {"pattern", x.pattern}});
  self->request(config.store_and_forward, caf::infinite, atom::queue_v, x)
    .then(
      [this, to, x](queue_answer& answer) {
        finish_queue_call(to, x, answer);
        submit_drafts();
        flush_answers();
      },
      [this, to](caf::error& err) {
        refuse(to, std::move(err));
        flush_answers();
      });
}

void service_edge_state::finish_queue_call(const caller& to, const queue_call& asked,
                                           queue_answer& x) {
  for (auto& request : x.refused)
    answer_error(request, R"({"code":"refused","message":"dropped by an administrator"})");
  if (x.again)
    return make_again(to, *asked.id, *x.again);
  answer(to, json_result{std::move(x.json)});
}

void service_edge_state::bury(const transaction_id& dead) {
  queue_call x;
  x.what = queue_call::action::drop;
  x.id = dead;
  self->request(config.store_and_forward, caf::infinite, atom::queue_v, x)
    .then([](const queue_answer&) {},
          [](const caf::error& err) {
            log::warning(component, "a dead letter stays listed", {{"error", describe(err)}});
          });
}

/// The same request under a new id: the old one's signature and time cannot be made longer.
void service_edge_state::make_again(const caller& to, const transaction_id& dead,
                                    const envelope& x) {
  auto now = config.node->time->wall_ms();
  pending_draft again;
  again.from = to;
  again.again = dead;
  auto& header = again.content.header;
  header.kind = x.header.kind;
  header.id = {config.node->uid, epoch, next_seq++};
  header.source = x.header.source;
  header.target = x.header.target;
  header.created_ms = now;
  header.expires_ms = now + (x.header.expires_ms - x.header.created_ms);
  header.priority = x.header.priority;
  header.channel = x.header.channel;
  header.data_class = x.header.data_class;
  header.report = x.header.report;
  header.user = x.header.user; // who proved it then, and no later
  again.content.arguments = x.arguments;
  config.node->record(header.id, 1, false, header.target);
  drafts.push_back(std::move(again));
}

void service_edge_state::do_administration(const service_call& from, const administration_call& x) {
  caller to{from.client, from.token};
  if (!from.principal.administrator)
    return refuse(to,
                  caf::make_error(ec::unauthorized, x.method + " is for the node's administrator"));
  if (x.method == "get_trace")
    return trace_of(to, x.argument);
  if (x.method == "get_links")
    return links_of(to);
  if (x.method == "get_status")
    return status_of(to);
  if (x.method == "disconnect" || x.method == "connect")
    return steer_links(*this, from, x);
  if (x.method == "revoke")
    return enter_list(*this, from, x.argument);
  self->request(config.service_discovery, caf::infinite, atom::status_v)
    .then([this, to](std::string& text) {
      answer(to, json_result{std::move(text)});
      flush_answers();
    });
}

void service_edge_state::trace_of(const caller& to, const std::string& id) {
  std::string bytes;
  if (!id.empty()) {
    auto parsed = parse_transaction_id(id);
    if (!parsed)
      return refuse(to, std::move(parsed.error()));
    bytes = to_bytes(*parsed);
  }
  json::writer out;
  out.begin_array();
  for (auto& x : config.node->trace->find(bytes)) {
    out.begin_object()
      .member("transaction_id", crypto::hex(x.id))
      .member("step", uint64_t{x.step})
      .member("reply", x.reply)
      .member("boot_us", x.boot_us)
      .member("time_ms", x.wall_ms)
      .member("node", config.node->node_address)
      .member("what", x.detail)
      .end_object();
  }
  out.end_array();
  answer(to, json_result{out.take()});
}

void service_edge_state::links_of(const caller& to) {
  if (!data_link)
    return answer(to, json_result{"[]"});
  self->request(data_link, caf::infinite, atom::status_v)
    .then([this, to](const std::vector<link_status>& xs) {
      json::writer out;
      out.begin_array();
      for (auto& x : xs)
        out.begin_object()
          .member("link", x.link)
          .member("kind", x.kind)
          .member("node", x.node_address)
          .member("network_address", x.network_address)
          .member("state", x.state)
          .member("dialled", x.dialled)
          .member("round_trip_us", x.round_trip_us)
          .member("bytes_per_s", x.bytes_per_s)
          .end_object();
      out.end_array();
      answer(to, json_result{out.take()});
      flush_answers();
    });
}

void service_edge_state::status_of(const caller& to) {
  auto text = std::make_shared<json::writer>();
  text->begin_object()
    .member("node", config.node->node_address)
    .member("epoch", uint64_t{epoch})
    .member("services", uint64_t{registrations.size()})
    .member("open_rpcs", uint64_t{open.size()})
    .member("availability_subscriptions", uint64_t{watched.size()})
    .member("nodes_known", uint64_t{config.node->routing->load()->nodes.size()});
  auto fail = [this, to](caf::error& err) {
    refuse(to, std::move(err));
    flush_answers();
  };
  self->request(config.authorization, caf::infinite, atom::status_v)
    .then(
      [this, to, text, fail](const std::string& authorization) {
        text->key("authorization").raw(authorization);
        self->request(config.store_and_forward, caf::infinite, atom::status_v)
          .then(
            [this, to, text](const std::string& queues) {
              text->key("store_and_forward").raw(queues);
              text->end_object();
              answer(to, json_result{text->take()});
              flush_answers();
            },
            fail);
      },
      fail);
}

} // namespace rvi
