// SPDX-License-Identifier: MPL-2.0
//
// HLD 3.2.7: the issuer of a node is told that two hold its key, for only the issuer can do
// something about it. What Authorization has on disk is sent, one report after the other, until it
// has been taken.

#include "actors/routing/authorization_steps.hpp"
#include "actors/services/provisioning.hpp"
#include "messages/credential.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "provisioning";
constexpr uint64_t again_ms = 3'600'000;
constexpr uint64_t life_ms = 7ULL * 24 * 3'600 * 1'000;

} // namespace

void provisioning_state::await_clone_report() {
  if (config.clone_reports.empty())
    return;
  certificate_call call;
  call.what = certificate_call::action::clone_report;
  self->request(config.authorization, caf::infinite, atom::provision_v, std::move(call))
    .then(
      [this](std::string& report) {
        clone_report = std::move(report);
        send_clone_report();
      },
      [](const caf::error&) {}); // Authorization starts anew, and this with it
}

void provisioning_state::send_clone_report() {
  auto& time = *config.node->time;
  service_call call;
  call.principal = {node_principal, true};
  invoke_call request;
  request.requesting_service = config.node->node_address + std::string{provisioning_level};
  request.target = "message:" + config.clone_reports + "/clone_report";
  request.arguments = clone_report;
  request.delivery_report = true;
  request.timeout_ms
    = time.wall_ms() + std::min(life_ms, config.node->rights->load()->limits.ttl_ms_max);
  auto right = config.node->rights->load()->choose(request.requesting_service, request.target,
                                                   time.wall_ms(), request.timeout_ms);
  if (!right)
    log::warning(component, "nothing lets this node report a copied key",
                 {{"service", config.clone_reports}, {"reason", describe(right.error())}});
  call.request = std::move(request);
  self->send(config.service_edge, atom::call_v, std::vector<service_call>{std::move(call)});
  // One that nothing allows has no outcome.
  clone_report_again_ms = time.boot_ms() + (right ? life_ms : again_ms);
  timer.arm(self, time.boot_ms(), clone_report_again_ms);
}

void provisioning_state::send_clone_report_again() {
  if (clone_report.empty())
    return;
  auto now = config.node->time->boot_ms();
  if (now >= clone_report_again_ms)
    send_clone_report();
  else
    timer.arm(self, now, clone_report_again_ms);
}

void provisioning_state::clone_report_ended(const outcome_notice& x) {
  if (clone_report.empty() || x.target != "message:" + config.clone_reports + "/clone_report")
    return;
  if (x.status != "ok") {
    log::warning(component, "a copied key could not be reported",
                 {{"service", config.clone_reports}, {"status", x.status}, {"error", x.error}});
    clone_report_again_ms = config.node->time->boot_ms() + again_ms;
    return send_clone_report_again();
  }
  auto document = json::parse(clone_report);
  std::string uid{document ? document->root()["node_uid"].as_string().value_or("") : ""};
  clone_report.clear();
  audit::record("clone_reported", {{"uid", uid}, {"to", config.clone_reports}});
  certificate_call call;
  call.what = certificate_call::action::clone_reported;
  call.values = {uid};
  self->request(config.authorization, caf::infinite, atom::provision_v, std::move(call))
    .then([this](const std::string&) { await_clone_report(); },
          [](const caf::error& err) {
            log::error(component, "a report is told again after the next start",
                       {{"error", describe(err)}});
          });
}

} // namespace rvi
