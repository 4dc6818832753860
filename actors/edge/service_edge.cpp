// SPDX-License-Identifier: MPL-2.0

#include "actors/edge/service_edge.hpp"

#include "actors/routing/memory_requests.hpp"
#include "actors/routing/request_ledger.hpp"
#include "messages/name.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "service-edge";

template <class... Fs>
struct overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
overloaded(Fs...) -> overloaded<Fs...>;

/// The value of this key of table `meta`: the first that was ever kept.
caf::error keep_first(transaction& t, std::string_view key, std::string& value) {
  auto kept = t.get(table::meta, key);
  if (!kept)
    return std::move(kept.error());
  if (!*kept)
    return t.put(table::meta, key, value);
  value = std::move(**kept);
  return {};
}

caf::error bad_request(std::string why) {
  return caf::make_error(ec::bad_request, std::move(why));
}

} // namespace

// -- answers ------------------------------------------------------------------------------------

void service_edge_state::answer(const caller& to, service_answer x) {
  answers.push_back({to.client, to.token, {}, 0, std::move(x)});
}

void service_edge_state::refuse(const caller& to, caf::error why) {
  refused->add();
  auto code = code_of(why);
  if (calling && (code == ec::unauthorized || code == ec::replay || code == ec::signature_invalid))
    audit::refused("call of a service", why, {{"principal", calling->name}});
  uint64_t retry_ms = code_of(why) == ec::busy || code_of(why) == ec::store_full ? 1'000 : 0;
  answers.push_back({to.client, to.token, std::move(why), retry_ms, {}});
}

void service_edge_state::flush_answers() {
  if (!answers.empty())
    self->send(server, atom::respond_v, std::exchange(answers, {}));
}

// -- calls --------------------------------------------------------------------------------------

void service_edge_state::take(std::vector<service_call> xs) {
  // Connections are taken before the server is known here: an answer would go nowhere.
  if (epoch == 0 || !server) {
    waiting_for_epoch.push_back(std::move(xs));
    return;
  }
  calls->add(xs.size());
  for (auto& from : xs) {
    calling = &from.principal;
    std::visit(overloaded{
                 [&](register_service_call& x) { do_register(from, x); },
                 [&](unregister_service_call& x) { do_unregister(from, x); },
                 [&](invoke_call& x) { do_invoke(from, x); },
                 [&](reply_call& x) { do_reply(from, x); },
                 [&](get_outcome_call& x) { do_get_outcome(from, x); },
                 [&](get_available_services_call& x) { do_get_services(from, x); },
                 [&](get_node_address_call&) { do_get_address(from); },
                 [&](queue_call& x) { do_queue(from, x); },
                 [&](administration_call& x) { do_administration(from, x); },
                 [&](grant_call& x) { do_grant(from, x); },
                 [&](subscribe_availability_call& x) { do_subscribe(from, x); },
                 [&](unsubscribe_availability_call& x) { do_unsubscribe(from, x); },
                 [&](get_data_channels_call& x) { do_get_channels(from, x); },
                 [&](subscribe_call& x) { do_subscribe(from, x); },
                 [&](unsubscribe_call& x) { do_unsubscribe(from, x); },
                 [&](publish_call& x) { do_publish(from, x); },
               },
               from.request);
  }
  calling = nullptr;
  submit_drafts();
  submit_metrics();
  flush_answers();
}

/// What this node knows of it: the owner of a remote target answers `refused` itself.
caf::error service_edge_state::check_in_memory(const std::string& target, uint64_t life_ms,
                                               size_t arguments_bytes) const {
  if (arguments_bytes > fragment_bytes_max)
    return caf::make_error(ec::too_large, "with durability none the arguments have at most "
                                            + std::to_string(fragment_bytes_max) + " bytes");
  if (life_ms > memory_ttl_ms_max)
    return bad_request("with durability none the timeout is at most "
                       + std::to_string(memory_ttl_ms_max / 1'000) + " s ahead");
  auto name = config.node->routing->load()->find_local(target);
  auto held = registrations.find(std::string{name});
  if (held != registrations.end() && held->second.durability_min == durability::full)
    return caf::make_error(ec::refused,
                           held->first + " takes durable requests only (durability_min full)");
  return {};
}

caf::error service_edge_state::check_invoke(const principal& who, const std::string& target) const {
  auto rights = config.node->rights->load();
  if (!rights->policy || rights->policy->may_invoke(who, target))
    return {};
  return caf::make_error(ec::unauthorized, "no rule lets " + who.name + " invoke " + target);
}

expected<std::shared_ptr<const on_behalf_of>>
service_edge_state::user_of(const principal& who, const std::optional<named_user>& named,
                            uint64_t now_ms) const {
  static const access_policy no_rules;
  auto rights = config.node->rights->load();
  auto& policy = rights->policy ? *rights->policy : no_rules;
  auto user = policy.speaks_for(who, named, now_ms);
  if (!user)
    return std::move(user.error());
  if (!*user)
    return nullptr;
  auto& x = **user;
  auto pseudonym = crypto::hmac_sha256(user_secret, x.name);
  return std::make_shared<const on_behalf_of>(
    on_behalf_of{std::string{crypto::view(pseudonym).substr(0, 16)}, std::move(x.role),
                 x.authenticated_ms, std::move(x.method)});
}

expected<draft>
service_edge_state::draft_of(const service_call& from, invoke_call& x, std::string source) {
  auto now = config.node->time->wall_ms();
  auto target = normalise_name(x.target);
  if (!target)
    return std::move(target.error());
  auto type = type_of(*target);
  if (!type && x.untyped_allowed) {
    target = "message:" + *target;
    type = name_type::message;
  }
  if (!type || *type == name_type::metric)
    return caf::make_error(ec::invalid_name,
                           x.target + " needs the prefix rpc: or message: to be invoked");
  if (auto err = check_invoke(from.principal, *target))
    return err;
  auto user = user_of(from.principal, x.user, now);
  if (!user)
    return std::move(user.error());
  if (x.timeout_ms <= now)
    return caf::make_error(ec::timeout, std::string{"the timeout has passed"});
  if (x.timeout_ms - now > config.timeout_ms_max)
    return bad_request("the timeout is too far ahead; at most "
                       + std::to_string(config.timeout_ms_max / 1'000) + " s");
  if (x.arguments.size() > config.request_bytes_max)
    return caf::make_error(
      ec::too_large, "arguments of " + std::to_string(x.arguments.size()) + " bytes, at most "
                       + std::to_string(config.request_bytes_max) + " ([limits] request_bytes)");
  if (x.delivery_report && *type != name_type::message)
    return bad_request("delivery_report goes with message: targets only; an rpc always has an "
                       "outcome");
  if (x.durability == durability::none)
    if (auto err = check_in_memory(*target, x.timeout_ms - now, x.arguments.size()))
      return err;
  draft result;
  auto& header = result.header;
  header.kind = *type == name_type::rpc ? request_kind::rpc : request_kind::message;
  header.id = {config.node->uid, epoch, next_seq++};
  header.source = std::move(source);
  header.target = std::move(*target);
  header.created_ms = now;
  header.expires_ms = x.timeout_ms;
  header.priority = x.priority;
  header.channel = std::move(x.channel);
  header.durability = x.durability;
  header.data_class = std::move(x.data_class);
  header.report = x.delivery_report;
  header.user = std::move(*user);
  result.arguments = std::move(x.arguments);
  return result;
}

void service_edge_state::do_invoke(const service_call& from, invoke_call& x) {
  caller to{from.client, from.token};
  bool synch = x.synch;
  auto source = held_name(from, x.requesting_service);
  if (!source)
    return refuse(to, std::move(source.error()));
  if (auto err = check_proof(*source, x))
    return refuse(to, std::move(err));
  std::string digest; // of a request with an id of the service's own
  if (answered_before(from, x, *source, digest))
    return;
  auto content = draft_of(from, x, std::move(*source));
  if (!content)
    return refuse(to, std::move(content.error()));
  if (synch && !content->header.owes_outcome())
    return refuse(to, bad_request("synch goes with rpc: targets, and with messages that ask for a "
                                  "delivery_report; other messages have no outcome"));
  pending_draft draft{std::move(*content), to, synch};
  if (x.service_transaction_id)
    if (auto err = claim_id(from, x, digest, draft))
      return refuse(to, std::move(err));
  auto& header = draft.content.header;
  if (synch)
    synchronous.emplace(header.id, to);
  config.node->record(header.id, 1, false, header.target);
  drafts.push_back(std::move(draft));
}

draft service_edge_state::reply_to(const envelope& request, request_kind kind,
                                   std::string arguments, uint64_t now_ms) {
  draft result;
  auto& header = result.header;
  header.kind = kind;
  header.id = request.header.id;
  header.source = std::string{without_type(request.header.target)};
  header.target = request.header.source;
  header.created_ms = std::min(now_ms, request.header.expires_ms - 1);
  header.expires_ms = request.header.expires_ms;
  header.priority = request.header.priority;
  header.durability = request.header.durability;
  header.data_class = request.header.data_class;
  header.report = request.header.report;
  header.request_hash = crypto::view(crypto::sha256(request.header_bytes));
  result.arguments = std::move(arguments);
  return result;
}

void service_edge_state::do_reply(const service_call& from, reply_call& x) {
  caller to{from.client, from.token};
  auto i = open.find(x.id);
  if (i == open.end() || i->second.content->header.kind != request_kind::rpc)
    return refuse(to, caf::make_error(ec::not_found, std::string{"no rpc with this id is open"}));
  if (i->second.principal != from.principal.name)
    return refuse(
      to, caf::make_error(ec::unauthorized, std::string{"this rpc was given to somebody else"}));
  auto reply_bytes_max = i->second.content->header.in_memory()
                           ? std::min<uint64_t>(config.request_bytes_max, fragment_bytes_max)
                           : config.request_bytes_max;
  if (x.arguments.size() > reply_bytes_max)
    return refuse(to, caf::make_error(ec::too_large, "a reply of at most "
                                                       + std::to_string(reply_bytes_max)
                                                       + " bytes ([limits] request_bytes; 256 KiB "
                                                         "where durability is none)"));
  config.node->record(x.id, 1, true, "reply");
  drafts.push_back({reply_to(*i->second.content, request_kind::reply, std::move(x.arguments),
                             config.node->time->wall_ms()),
                    to, false});
}

void service_edge_state::answer_error(const envelope_ptr& request,
                                      const std::string& error_object) {
  drafts.push_back(
    {reply_to(*request, request_kind::error, error_object, config.node->time->wall_ms()),
     std::nullopt, false});
}

// -- requests and replies on their way out ------------------------------------------------------

void service_edge_state::submit_drafts() {
  if (drafts.empty())
    return;
  auto sent = std::make_shared<std::vector<pending_draft>>(std::exchange(drafts, {}));
  draft_batch contents;
  contents.reserve(sent->size());
  for (auto& x : *sent)
    contents.push_back(std::move(x.content));
  self->request(config.authorization, caf::infinite, atom::authorize_v, std::move(contents))
    .then([this, sent](authorized_batch& xs) { schedule(sent, std::move(xs)); },
          [this, sent](const caf::error& err) {
            for (auto& x : *sent)
              draft_refused(x, err);
            flush_answers();
          });
}

void service_edge_state::schedule(std::shared_ptr<std::vector<pending_draft>> sent,
                                  authorized_batch signed_ones) {
  struct part {
    batch envelopes;
    std::vector<size_t> from;
  };
  // By durability, because what is kept in memory does not wait for the disk.
  std::shared_ptr<part> requests[] = {std::make_shared<part>(), std::make_shared<part>()};
  std::shared_ptr<part> replies[] = {std::make_shared<part>(), std::make_shared<part>()};
  auto table = config.node->routing->load();
  for (size_t i = 0; i < signed_ones.size(); ++i) {
    auto& x = signed_ones[i];
    if (!x.content) {
      draft_refused((*sent)[i], std::move(x.error));
      continue;
    }
    auto kept = x.content->header.in_memory() ? 1 : 0;
    auto& to = x.content->header.is_reply() ? *replies[kept] : *requests[kept];
    to.envelopes.push_back(x.content);
    to.from.push_back(i);
    auto& header = x.content->header;
    config.node->record(header.id, 4, header.is_reply(), "resolve network address");
    auto found = header.is_reply() ? table->resolve_node(header.id.origin, header.target)
                                   : table->resolve(header.target);
    config.node->record(header.id, 5, header.is_reply(),
                        found.to == route::where::local    ? "this node"
                        : !found.network_addresses.empty() ? found.network_addresses.front()
                        : found.node && found.node->link != 0
                          ? "the link that is up"
                          : "unknown yet; kept until it is met");
  }
  auto submit = [this, sent](auto what, std::shared_ptr<part> x) {
    if (x->envelopes.empty())
      return;
    self->request(config.store_and_forward, caf::infinite, what, x->envelopes)
      .then(
        [this, sent, x](std::vector<caf::error>& errors) {
          for (size_t i = 0; i < errors.size(); ++i) {
            auto& draft = (*sent)[x->from[i]];
            auto& header = x->envelopes[i]->header;
            if (header.is_reply() && code_of(errors[i]) != ec::busy)
              close_request(header.id);
            if (errors[i])
              synchronous.erase(header.id);
            if (!draft.from)
              continue;
            if (!errors[i] && draft.claim)
              claim_settled(*draft.claim, {});
            if (!errors[i] && draft.again)
              bury(*draft.again);
            if (errors[i])
              draft_refused(draft, std::move(errors[i]));
            else if (header.is_reply())
              answer(*draft.from, done_result{});
            else if (!draft.synch)
              draft_accepted(draft, header.id);
          }
          flush_answers();
        },
        [this, sent, x](const caf::error& err) {
          for (auto i : x->from)
            draft_refused((*sent)[i], err);
          flush_answers();
        });
  };
  for (auto& x : requests)
    submit(atom::schedule_v, x);
  for (auto& x : replies)
    submit(atom::reply_v, x);
  flush_answers();
}

namespace {

/// What the node must know of its past before a service may call: its epoch, its secret, and the
/// ids of services.
void learn_past(service_edge_state& st, const std::function<void()>& then) {
  if (!st.config.ids)
    st.config.ids = std::make_shared<service_ids>();
  auto raised = std::make_shared<uint32_t>();
  auto secret = std::make_shared<std::string>(crypto::random_bytes(32));
  auto ids = std::make_shared<std::vector<storage::ServiceIds>>();
  transaction_step step
    = [raised, secret, ids, now = st.config.node->time->wall_ms()](transaction& t) -> caf::error {
    auto x = ledger::raise_epoch(t, now);
    if (!x)
      return std::move(x.error());
    *raised = *x;
    auto kept = ledger::service_ids(t);
    if (!kept)
      return std::move(kept.error());
    *ids = std::move(*kept);
    return keep_first(t, "user-secret", *secret);
  };
  st.self->request(st.config.store, caf::infinite, atom::commit_v, std::move(step))
    .then(
      [&st, raised, secret, ids, then](atom::committed) {
        st.user_secret = *secret;
        for (auto& x : *ids)
          st.config.ids->load(x);
        st.settle_ids_under_way([&st, raised, then] {
          st.epoch = *raised;
          then();
        });
      },
      [&st](const caf::error& err) { st.self->quit(err); });
}

} // namespace

service_edge_actor::behavior_type
service_edge(service_edge_actor::stateful_pointer<service_edge_state> self,
             service_edge_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  auto& m = *st.config.node->metrics;
  st.calls = &m.get_counter("rvi_service_calls_total", "Calls of local services.");
  st.refused = &m.get_counter("rvi_service_calls_refused_total", "Calls answered with an error.");
  auto take_waiting = [&st] {
    for (auto& calls : std::exchange(st.waiting_for_epoch, {}))
      st.take(std::move(calls)); // or they wait on
  };
  learn_past(st, take_waiting);
  // Nothing is dispatched before the senders' credentials are known again.
  self->request(st.config.authorization, caf::infinite, atom::read_v).then([&st](atom::done) {
    st.self->send(st.config.store_and_forward, atom::attach_v, service_edge_actor{st.self});
  });
  self->send(st.config.service_discovery, atom::attach_v,
             availability_listener_actor{service_edge_actor{self}});
  return {
    [&st](atom::call, std::vector<service_call>& xs) { st.take(std::move(xs)); },
    [&st](atom::receipt, std::vector<receipt>& xs) { st.receipts(std::move(xs)); },
    [&st](atom::closed, client_id client) { st.client_closed(client); },
    [&st](atom::invoke, const batch& requests) { st.dispatch(requests); },
    [&st](atom::outcome, std::vector<outcome_notice>& xs) { st.deliver_outcomes(std::move(xs)); },
    [&st](atom::reply, const batch& requests) { st.unknown_outcomes(requests); },
    [&st, take_waiting](atom::attach, json_rpc_actor& server) {
      st.server = std::move(server);
      take_waiting();
    },
    [&st](atom::attach, data_link_actor& data_link) { st.data_link = std::move(data_link); },
    [&st](atom::attach, const std::string& name, node_service_actor& x) {
      return st.attach(name, std::move(x));
    },
    [&st](atom::available, const availability_event& x) { st.availability_changed(x); },
    [&st](atom::available, client_id client) { st.has_room(client); },
    [&st](atom::credit, client_id client) { st.takes_again(client); },
    [&st](atom::tick) {
      st.timer.fired();
      st.forget_old();
    },
  };
}

} // namespace rvi
