// SPDX-License-Identifier: MPL-2.0
//
// What the service edge does with requests and outcomes for local services (HLD 8.14 to 8.20).

#include "actors/edge/service_edge.hpp"
#include "actors/routing/request_ledger.hpp"
#include "messages/name.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "service-edge";
constexpr uint64_t forget_interval_ms = 1'000;

} // namespace

void service_edge_state::dispatch(const batch& requests) {
  hand_over going;
  for (auto& request : requests)
    dispatch_one(request, going);
  if (!going.nobody.ids.empty())
    self->send(config.store_and_forward, atom::invoke_v, std::move(going.nobody));
  if (!going.to_sign.empty())
    hand_over_signed(std::move(going.to_sign));
  if (!going.outside.empty())
    self->send(server, atom::invoke_v, std::move(going.outside));
  for (auto& [name, xs] : going.inside)
    self->send(registrations.at(name).inside, atom::invoke_v, std::move(xs));
  submit_drafts();
}

/// Rights, once more, and what the service takes.
caf::error service_edge_state::check_dispatch(const envelope& x, uint64_t now_ms) const {
  auto& header = x.header;
  if (auto err = config.node->rights->load()->check_remote(header, x.root->signed_at_ms, now_ms))
    return err;
  auto name = config.node->routing->load()->find_local(header.target);
  auto held = registrations.find(std::string{name});
  if (header.in_memory() && held != registrations.end()
      && held->second.durability_min == durability::full)
    return caf::make_error(ec::refused,
                           held->first + " takes durable requests only (durability_min full)");
  return {};
}

void service_edge_state::refuse_dispatch(const envelope_ptr& request, const caf::error& why) {
  auto& header = request->header;
  refused->add();
  audit::refused(
    "dispatch", why,
    {{"id", to_string(header.id)}, {"source", header.source}, {"target", header.target}});
  json::writer text;
  text.begin_object()
    .member("code", to_string(code_of(why)))
    .member("message", detail_of(why))
    .end_object();
  if (header.owes_outcome() && !open.contains(header.id)) // else the receipt does
    answer_error(request, text.text());
  receipts({{header.id, false, receipt::status::refused, false, text.take()}});
}

void service_edge_state::dispatch_one(const envelope_ptr& request, hand_over& going) {
  auto& header = request->header;
  auto& node = *config.node;
  node.record(header.id, 15, false, "authorize remote service");
  auto now = node.time->wall_ms();
  bool told = header.owes_outcome();
  if (auto err = check_dispatch(*request, now)) {
    node.record(header.id, 16, false, describe(err));
    refuse_dispatch(request, err);
    return;
  }
  node.record(header.id, 16, false, "authorized");
  node.record(header.id, 17, false, "resolve local service");
  auto name = node.routing->load()->find_local(header.target);
  auto held = registrations.find(std::string{name});
  bool reachable = held != registrations.end() && held->second.reachable();
  bool too_many = told && open.size() >= config.open_requests_max;
  gave_back = gave_back || too_many;
  if (!reachable || !server || too_many) {
    going.nobody.ids.push_back(header.id);
    return;
  }
  node.record(header.id, 18, false, held->first);
  if (told) {
    // A reply needs the header only; large arguments would stay in memory until it comes.
    open[header.id] = {is_large(*request) ? opening_of(*request) : request, held->second.principal};
    forget_at(header.expires_ms + ledger::remember_ms + 1);
  }
  node.record(header.id, 19, false, "forward to service");
  auto& to = held->second.inside             ? going.inside[held->first]
             : held->second.signature_wanted ? going.to_sign
                                             : going.outside;
  to.push_back({held->second.client, held->second.network_address, request});
}

void service_edge_state::deliver_outcomes(std::vector<outcome_notice> notices) {
  sign_first(notices);
  hand_over_outcomes(std::move(notices));
}

void service_edge_state::hand_over_outcomes(std::vector<outcome_notice> notices) {
  std::vector<outcome_delivery> going;
  std::vector<receipt> taken;
  undelivered nobody;
  for (auto& x : notices) {
    auto [waiting, end] = synchronous.equal_range(x.id);
    auto held = registrations.find(x.requesting_service);
    if (waiting != end) {
      config.node->record(x.id, 20, true, "outcome: " + x.status);
      taken.push_back({x.id, true, receipt::status::taken, false, {}});
      for (auto i = waiting; i != end; ++i)
        answer(i->second, x);
      synchronous.erase(waiting, end);
    } else if (server && held != registrations.end()
               && (held->second.client != 0 || !held->second.network_address.empty())) {
      config.node->record(x.id, 20, true, "outcome: " + x.status);
      going.push_back({held->second.client, held->second.network_address, std::move(x)});
    } else if (held != registrations.end() && held->second.inside) {
      config.node->record(x.id, 20, true, "outcome: " + x.status);
      log::info(component, "a request of the node itself has ended",
                {{"id", to_string(x.id)}, {"source", x.requesting_service}, {"status", x.status}});
      taken.push_back({x.id, true, receipt::status::taken, false, {}});
      self->send(held->second.inside, atom::outcome_v, std::move(x));
    } else {
      nobody.ids.push_back(x.id);
    }
  }
  if (!taken.empty())
    self->send(config.store_and_forward, atom::receipt_v, std::move(taken));
  if (!nobody.ids.empty())
    self->send(config.store_and_forward, atom::invoke_v, std::move(nobody));
  if (!going.empty())
    self->send(server, atom::outcome_v, std::move(going));
  flush_answers();
}

void service_edge_state::receipts(std::vector<receipt> xs) {
  for (auto& x : xs) {
    if (x.outcome)
      continue;
    config.node->record(x.id, 19, false,
                        x.what == receipt::status::taken     ? "taken by service"
                        : x.what == receipt::status::refused ? "refused by service"
                                                             : "connection lost");
    auto i = open.find(x.id);
    if (i == open.end())
      continue;
    if (x.what == receipt::status::refused)
      answer_error(i->second.content, x.error);
    if (x.what == receipt::status::taken && i->second.content->header.report)
      drafts.push_back(
        {reply_to(*i->second.content, request_kind::reply, "null", config.node->time->wall_ms()),
         std::nullopt, false});
    if (x.what == receipt::status::lost && x.untouched)
      close_request(x.id);
  }
  submit_drafts();
  self->send(config.store_and_forward, atom::receipt_v, std::move(xs));
}

void service_edge_state::unknown_outcomes(const batch& requests) {
  for (auto& request : requests)
    answer_error(request, R"({"code":"outcome_unknown","message":"it was handed over and no )"
                          R"(receipt came; whether it ran is not known"})");
  submit_drafts();
}

void service_edge_state::client_closed(client_id client) {
  std::erase_if(synchronous, [client](auto& x) { return x.second.client == client; });
  watched.closed(client);
  if (registering.count(client) != 0)
    closed_meanwhile.insert(client);
  auto names = clients.find(client);
  if (names == clients.end())
    return;
  for (auto& name : names->second) {
    auto held = registrations.find(name);
    if (held == registrations.end() || held->second.client != client)
      continue;
    tell_hub(name, held->second.principal, 0);
    registrations.erase(held);
    self->send(config.service_discovery, atom::unreg_v, name);
    log::info(component, "withdrawn with its connection", {{"service", name}});
  }
  clients.erase(names);
}

void service_edge_state::takes_again(client_id client) {
  if (auto names = clients.find(client); names != clients.end())
    for (auto& name : names->second)
      self->send(config.store_and_forward, atom::available_v, name);
}

void service_edge_state::close_request(const transaction_id& id) {
  open.erase(id);
  ask_again_if_few_open();
}

void service_edge_state::ask_again_if_few_open() {
  if (!gave_back || open.size() >= config.open_requests_max - config.open_requests_max / 8)
    return;
  gave_back = false;
  for (auto& [name, held] : registrations)
    if (held.reachable())
      self->send(config.store_and_forward, atom::available_v, name);
}

void service_edge_state::forget_at(uint64_t wall_ms) {
  auto& time = *config.node->time;
  auto wall = time.wall_ms();
  auto left = wall_ms > wall ? wall_ms - wall : 0;
  // All that is over is looked for at once: no more often than this.
  timer.arm(self, time.boot_ms(), time.boot_ms() + std::max(left, forget_interval_ms));
}

void service_edge_state::forget_old() {
  auto now = config.node->time->wall_ms();
  auto next = UINT64_MAX;
  std::erase_if(open, [&](auto& x) {
    auto until = x.second.content->header.expires_ms + ledger::remember_ms;
    if (until >= now)
      next = std::min(next, until + 1);
    return until < now;
  });
  if (!open.empty())
    forget_at(next);
  ask_again_if_few_open();
}

} // namespace rvi
