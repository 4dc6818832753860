// SPDX-License-Identifier: MPL-2.0
//
// HLD 8.19, figure 32: what a service wants signed goes through the signer on its way to it. All of
// one service goes this way, so that its order holds; nobody else waits.

#include "actors/edge/service_edge.hpp"
#include "actors/edge/service_signature.hpp"
#include "messages/name.hpp"
#include "messages/wire/json_rpc.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "service-edge";

} // namespace

bool service_edge_state::wants_signature(const std::string& service) const {
  auto held = registrations.find(service);
  return held != registrations.end() && held->second.signature_wanted;
}

void service_edge_state::sign(std::vector<std::string> claims, signatures_drawn then) {
  if (!signer)
    signer = config.start_signer();
  auto key = config.node->rights->load()->own_key;
  auto work = std::make_shared<signing>();
  work->open = claims.size();
  work->then = std::move(then);
  for (auto& x : claims)
    work->texts.push_back(service_signing_input(key, x));
  for (size_t i = 0; i < claims.size(); ++i)
    draw(work, i);
}

void service_edge_state::draw(const std::shared_ptr<signing>& work, size_t index) {
  self->request(signer, caf::infinite, atom::sign_v, work->texts[index])
    .then(
      [work, index](const std::string& signature) {
        work->texts[index] += "." + crypto::base64url(signature);
        work->finished();
      },
      [this, work, index](const caf::error& err) {
        if (code_of(err) == ec::busy) // the signer has waited before it said so
          return draw(work, index);
        work->why = err;
        work->finished();
      });
}

void service_edge_state::signing::finished() {
  if (--open > 0)
    return;
  if (why)
    log::error(component, "no signature for a service", {{"error", describe(why)}});
  then(std::move(texts), why);
}

void service_edge_state::hand_over_signed(std::vector<invocation> xs) {
  auto& node = *config.node;
  auto table = node.routing->load();
  std::vector<std::string> claims;
  for (auto& x : xs) {
    std::string service{table->find_local(x.content->header.target)};
    claims.push_back(
      invocation_claims(*x.content, node.node_address, service, node.time->wall_ms()));
  }
  auto going = std::make_shared<std::vector<invocation>>(std::move(xs));
  sign(std::move(claims), [this, going](std::vector<std::string> texts, const caf::error& why) {
    if (why) {
      for (auto& x : *going)
        refuse_dispatch(x.content, why);
      return submit_drafts();
    }
    for (size_t i = 0; i < going->size(); ++i)
      (*going)[i].service_signature = std::move(texts[i]);
    self->send(server, atom::invoke_v, std::move(*going));
  });
}

void service_edge_state::sign_outcomes(std::shared_ptr<std::vector<outcome_notice>> notices,
                                       std::function<void()> then) {
  std::vector<std::string> claims;
  for (auto& x : *notices) {
    if (!x.error.empty())
      x.error = json_rpc::foreign_error(x.error);
    claims.push_back(outcome_claims(x, config.node->node_address, config.node->time->wall_ms()));
  }
  sign(std::move(claims), [notices, then](std::vector<std::string> texts, const caf::error& why) {
    // What has happened is told all the same; the service sees that nobody vouches for it.
    for (size_t i = 0; i < notices->size() && !why; ++i)
      (*notices)[i].service_signature = std::move(texts[i]);
    then();
  });
}

void service_edge_state::sign_first(std::vector<outcome_notice>& notices) {
  auto going = std::make_shared<std::vector<outcome_notice>>();
  std::erase_if(notices, [&](outcome_notice& x) {
    if (!wants_signature(x.requesting_service))
      return false;
    going->push_back(std::move(x));
    return true;
  });
  if (!going->empty())
    sign_outcomes(going, [this, going] { hand_over_outcomes(std::move(*going)); });
}

} // namespace rvi
