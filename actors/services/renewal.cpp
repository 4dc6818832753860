// SPDX-License-Identifier: MPL-2.0
//
// Credentials are renewed at half of their life, so that a node that is away for long still has one
// when it comes back. The request waits like any other until the service that renews is met.

#include "actors/routing/authorization_steps.hpp"
#include "actors/services/provisioning.hpp"
#include "messages/name.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "provisioning";
constexpr uint64_t ask_again_ms_min = 60'000;
constexpr uint64_t ask_again_ms_max = 86'400'000;

/// When the next one is asked for: at half of its life, and by up to a tenth of it later, so that
/// not all that were issued together ask together.
uint64_t renewal_ms(const credential& x, const node_uid& node) {
  auto life_ms = (x.expires_s - x.not_before_s) * 1'000;
  auto share = uint64_t{node[0]} << 8 | node[1];
  return x.not_before_s * 1'000 + life_ms / 2 + life_ms / 10 * share / 65'536;
}

/// The same rights for longer.
bool renews(const credential& fresh, const credential& x) {
  return fresh.issuer == x.issuer && fresh.expires_s > x.expires_s && fresh.sources == x.sources
         && fresh.destinations == x.destinations && fresh.relay == x.relay
         && fresh.administrator == x.administrator && fresh.users == x.users
         && fresh.delegations == x.delegations && !fresh.parent;
}

} // namespace

void provisioning_state::renew() {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  std::optional<uint64_t> next;
  std::map<std::string, uint64_t> waiting;
  for (auto& x : rights->own) {
    // Who delegated one has to delegate the next.
    if (x->parent || rights->check_standing(*x, now)
        || std::any_of(rights->own.begin(), rights->own.end(),
                       [&](auto& other) { return renews(*other, *x); }))
      continue;
    auto due = renewal_ms(*x, config.node->uid);
    if (auto asked = asked_again_ms.find(x->hash); asked != asked_again_ms.end())
      due = std::max(due, asked->second);
    if (due <= now) {
      ask_for_next(*x, now);
      due = now + std::clamp((x->expires_s * 1'000 - now) / 8, ask_again_ms_min, ask_again_ms_max);
    }
    waiting[x->hash] = due;
    next = std::min(next.value_or(due), due);
  }
  asked_again_ms = std::move(waiting);
  auto& time = *config.node->time;
  if (next)
    timer.arm(self, time.boot_ms(), time.boot_ms() + (*next - now));
}

void provisioning_state::ask_for_next(const credential& x, uint64_t now_ms) {
  json::writer arguments;
  arguments.begin_array()
    .begin_object()
    .member("certificate", written_form(x))
    .end_object()
    .end_array();
  service_call call;
  call.principal = {node_principal, true};
  invoke_call request;
  request.requesting_service = config.node->node_address + std::string{provisioning_level};
  request.target = "rpc:" + config.renewal + "/renew_certificate";
  request.arguments = arguments.take();
  // One that waits longer would be asked for again meanwhile.
  request.timeout_ms = now_ms + std::min(x.expires_s * 1'000 - now_ms, ask_again_ms_max) - 1;
  log::info(component, "a credential is to be renewed",
            {{"id", x.id}, {"service", config.renewal}, {"expires", x.expires_s}});
  auto right = config.node->rights->load()->choose(request.requesting_service, request.target,
                                                   now_ms, request.timeout_ms);
  if (!right)
    log::warning(component, "nothing lets this node ask for it",
                 {{"reason", describe(right.error())}});
  call.request = std::move(request);
  self->send(config.service_edge, atom::call_v, std::vector<service_call>{std::move(call)});
}

void provisioning_state::renewed(const outcome_notice& x) {
  if (x.target != "rpc:" + config.renewal + "/renew_certificate")
    return;
  auto answer = json::parse(x.arguments);
  auto text = answer ? answer->root()["certificate"].as_string() : std::nullopt;
  if (x.status != "ok" || !text) {
    log::warning(component, "a credential was not renewed",
                 {{"status", x.status}, {"error", x.error}, {"service", config.renewal}});
    return;
  }
  certificate_call call;
  call.what = certificate_call::action::add;
  call.source = config.renewal;
  call.values = {std::string{*text}};
  self->request(config.authorization, caf::infinite, atom::provision_v, std::move(call))
    .then(
      [this](const std::string& added) {
        log::info(component, "a credential was renewed", {{"answer", added}});
        renew();
      },
      [](const caf::error& err) {
        log::warning(component, "what was to renew a credential is of no use",
                     {{"reason", describe(err)}});
      });
}

} // namespace rvi
