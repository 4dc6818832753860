// SPDX-License-Identifier: MPL-2.0

#include "actors/services/provisioning.hpp"

#include "actors/routing/authorization_steps.hpp"
#include "messages/name.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "provisioning";
constexpr size_t values_max = 64;

/// The texts in a member: one, or a list of them.
expected<std::vector<std::string>> texts_of(json::value x, const char* member) {
  std::vector<std::string> result;
  auto take = [&](json::value text) {
    auto found = text.as_string();
    if (found)
      result.emplace_back(*found);
    return found.has_value();
  };
  auto value = x[member];
  bool sound = value.is_array() && value.size() <= values_max ? true : take(value);
  if (sound && value.is_array())
    for (auto& each : value.items())
      sound = take(each) && sound;
  if (!sound || result.empty())
    return caf::make_error(ec::bad_request, std::string{member} + ": a text or a list of up to "
                                              + std::to_string(values_max) + " is needed");
  return result;
}

/// What is below the node's address.
std::string_view below(const request_header& x, const std::string& node_address) {
  return without_type(x.target).substr(node_address.size());
}

/// The arguments' object, also in a list of one.
json::value given_in(const json::document& x) {
  auto given = x.root();
  return given.is_array() && given.size() > 0 ? given.at(0) : given;
}

} // namespace

void provisioning_state::open() {
  // The credential that lets it have its names may be one that was provisioned.
  self->request(config.authorization, caf::infinite, atom::read_v)
    .then(
      [this](atom::done) {
        attach([this] {
          renew();
          await_clone_report();
        });
      },
      [this](const caf::error& err) { self->quit(err); });
}

void provisioning_state::attach(std::function<void()> done) {
  attach(provisioning_level, [this, done] { attach(grants_level, done); });
}

void provisioning_state::attach(std::string_view level, std::function<void()> done) {
  auto name = config.node->node_address + std::string{level};
  self->request(config.service_edge, caf::infinite, atom::attach_v, name, node_service_actor{self})
    .then([done](atom::done) { done(); },
          [done, name](const caf::error& err) {
            log::info(component, "this node does not answer there",
                      {{"service", name}, {"reason", describe(err)}});
            done();
          });
}

void provisioning_state::take(const envelope_ptr& request) {
  auto name = below(request->header, config.node->node_address);
  if (name == std::string{grants_level} + "/add_grant")
    return add_grant(request);
  std::string method{name.starts_with(provisioning_level)
                       ? name.substr(std::min(provisioning_level.size() + 1, name.size()))
                       : name};
  auto document = json::parse(request->arguments);
  if (!document)
    return refuse(request, document.error());
  auto given = given_in(*document);
  certificate_call call;
  const char* member = "certificate_id";
  if (method == "add_certificate") {
    call.what = certificate_call::action::add;
    member = "certificate";
  } else if (method == "delete_certificate") {
    call.what = certificate_call::action::remove;
  } else if (method == "revoke_certificate") {
    call.what = certificate_call::action::revoke;
    if (given["revocation_list"])
      member = "revocation_list";
  } else if (method == "migrate_root_key") {
    member = "bundle";
  } else if (method == "replace_key_pair") {
    call.what = certificate_call::action::replace_key_pair;
    if (!given["certificate"])
      return ask(request, std::move(call));
    member = "certificate";
  } else if (method == "get_certificates") {
    return ask(request, std::move(call));
  } else {
    return refuse(request, caf::make_error(ec::unknown_method, "no such method: " + method));
  }
  auto texts = texts_of(given, member);
  if (!texts)
    return refuse(request, texts.error());
  if (std::string_view{member} == "revocation_list" || std::string_view{member} == "bundle")
    return follow_lists(request, std::move(*texts));
  call.values = std::move(*texts);
  ask(request, std::move(call));
}

void provisioning_state::ask(const envelope_ptr& request, certificate_call x) {
  auto credential = config.node->rights->load()->find_known(request->header.credential_hash);
  if (!credential) // the edge has just judged the request by it
    return refuse(request, caf::make_error(ec::unknown_credential, std::string{"never seen"}));
  x.source = request->header.source;
  x.issuer = credential->issuer;
  self->request(config.authorization, caf::infinite, atom::provision_v, std::move(x))
    .then([this, request](std::string& answer) { reply(request, std::move(answer)); },
          [this, request](const caf::error& err) { refuse(request, err); });
}

void provisioning_state::add_grant(const envelope_ptr& request) {
  auto document = json::parse(request->arguments);
  if (!document)
    return refuse(request, document.error());
  auto text = given_in(*document)["grant"].as_string();
  if (!text)
    return refuse(request,
                  caf::make_error(ec::bad_request, std::string{"grant: a text is needed"}));
  grant_call call;
  call.what = grant_call::action::take;
  call.text = *text;
  call.from = request->header.id.origin;
  self->request(config.authorization, caf::infinite, atom::grant_v, std::move(call))
    .then([this, request](grant_answer& answer) { reply(request, std::move(answer.json)); },
          [this, request](const caf::error& err) { refuse(request, err); });
}

/// One after the other: a delta needs the list before it, a trust bundle the one before it.
void provisioning_state::follow_lists(const envelope_ptr& request, std::vector<std::string> texts) {
  if (texts.empty())
    return reply(request, R"({"status":"ok"})");
  auto first = carried_list(texts.front());
  if (!first)
    return refuse(request, first.error());
  texts.erase(texts.begin());
  self->request(config.authorization, caf::infinite, atom::revoke_v, std::move(*first))
    .then([this, request, texts](atom::done) { follow_lists(request, texts); },
          [this, request](const caf::error& err) { refuse(request, err); });
}

void provisioning_state::reply(const envelope_ptr& request, std::string arguments) {
  auto& id = request->header.id;
  self->send(config.service_edge, atom::receipt_v,
             std::vector<receipt>{{id, false, receipt::status::taken, false, {}}});
  if (request->header.kind != request_kind::rpc)
    return;
  service_call call;
  call.principal = {node_principal, true};
  call.request = reply_call{id, std::move(arguments)};
  self->send(config.service_edge, atom::call_v, std::vector<service_call>{std::move(call)});
}

void provisioning_state::refuse(const envelope_ptr& request, const caf::error& why) {
  audit::refused("provisioning", why,
                 {{"id", to_string(request->header.id)},
                  {"source", request->header.source},
                  {"target", request->header.target}});
  log::warning(component, "refused",
               {{"target", request->header.target}, {"reason", describe(why)}});
  json::writer error;
  error.begin_object()
    .member("code", to_string(code_of(why)))
    .member("message", detail_of(why))
    .end_object();
  self->send(config.service_edge, atom::receipt_v,
             std::vector<receipt>{
               {request->header.id, false, receipt::status::refused, false, error.take()}});
}

provisioning_actor::behavior_type
provisioning(provisioning_actor::stateful_pointer<provisioning_state> self,
             provisioning_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  st.open();
  return {
    [&st](atom::invoke, const std::vector<invocation>& xs) {
      for (auto& x : xs)
        st.take(x.content);
    },
    [&st](atom::reload) -> caf::result<atom::done> {
      auto promise = st.self->make_response_promise<atom::done>();
      st.attach([&st, promise]() mutable {
        st.renew();
        promise.deliver(atom::done_v);
      });
      return promise;
    },
    [&st](atom::outcome, const outcome_notice& x) {
      st.renewed(x);
      st.clone_report_ended(x);
    },
    [&st](atom::tick) {
      st.timer.fired();
      st.renew();
      st.send_clone_report_again();
    },
  };
}

} // namespace rvi
