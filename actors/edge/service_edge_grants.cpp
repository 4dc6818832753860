// SPDX-License-Identifier: MPL-2.0
//
// Grants between nodes (HLD 9.6) as administrators ask for them: made by authorization, brought to
// their holder like any request.

#include "actors/edge/service_edge.hpp"
#include "actors/routing/authorization_steps.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "service-edge";

/// What was made, and how it went on.
std::string with(const grant_answer& made, const char* member, const std::string& text) {
  json::writer out;
  out.begin_object().member(member, text).end_object();
  return made.json.substr(0, made.json.size() - 1) + ',' + out.take().substr(1);
}

} // namespace

void service_edge_state::do_grant(const service_call& from, const grant_call& x) {
  caller to{from.client, from.token};
  if (!from.principal.administrator)
    return refuse(to, caf::make_error(ec::unauthorized,
                                      std::string{"grants are for the node's administrator"}));
  if (x.what != grant_call::action::list)
    log::info(component, "a grant is asked for",
              {{"principal", from.principal.name},
               {"node", x.node},
               {"grant_id", x.id},
               {"what", x.what == grant_call::action::make       ? "make"
                        : x.what == grant_call::action::withdraw ? "withdraw"
                                                                 : "take"}});
  self->request(config.authorization, caf::infinite, atom::grant_v, x)
    .then(
      [this, to](grant_answer& made) {
        if (made.text.empty())
          answer(to, json_result{std::move(made.json)});
        else
          send_grant(to, std::move(made));
        submit_drafts();
        flush_answers();
      },
      [this, to](caf::error& err) {
        refuse(to, std::move(err));
        flush_answers();
      });
}

void service_edge_state::send_grant(const caller& to, grant_answer made) {
  if (made.node.empty())
    return answer(to, json_result{with(made, "not_sent", "the node has not been met yet")});
  auto now = config.node->time->wall_ms();
  pending_draft x;
  x.from = to;
  auto& header = x.content.header;
  header.kind = request_kind::rpc;
  header.id = {config.node->uid, epoch, next_seq++};
  header.source = config.node->node_address + std::string{grants_level};
  header.target = "rpc:" + made.node + std::string{grants_level} + "/add_grant";
  header.created_ms = now;
  header.expires_ms = std::min(made.expires_s * 1'000, now + config.timeout_ms_max);
  json::writer out;
  out.begin_array().begin_object().member("grant", made.text).end_object().end_array();
  x.content.arguments = out.take();
  x.brings = std::move(made);
  config.node->record(header.id, 1, false, header.target);
  drafts.push_back(std::move(x));
}

void service_edge_state::draft_refused(const pending_draft& x, caf::error why) {
  if (x.claim)
    claim_settled(*x.claim, why);
  if (x.brings)
    answer(*x.from, json_result{with(*x.brings, "not_sent", describe(why))});
  else if (x.from)
    refuse(*x.from, std::move(why));
}

void service_edge_state::draft_accepted(const pending_draft& x, const transaction_id& id) {
  if (x.brings)
    answer(*x.from, json_result{with(*x.brings, "transaction_id", to_string(id))});
  else
    answer(*x.from, accepted_result{id});
}

} // namespace rvi
