// SPDX-License-Identifier: MPL-2.0
//
// HLD 3.2.4 between a service and its node: the same request asked for again under the service's
// own id is answered as the first time, and nothing older is taken.

#include "actors/edge/service_edge.hpp"
#include "messages/name.hpp"

namespace rvi {

bool service_edge_state::answered_before(const service_call& from, const invoke_call& x,
                                         const std::string& service, std::string& digest) {
  caller to{from.client, from.token};
  auto refused = [&](caf::error why) {
    refuse(to, std::move(why));
    return true;
  };
  if (!x.service_transaction_id) {
    if (registrations.at(service).ids_required)
      return refused(
        caf::make_error(ec::bad_request, service
                                           + " was registered with service_transaction_ids: "
                                             "each invoke needs a service_transaction_id"));
    return false;
  }
  auto target = normalise_name(x.target);
  if (!target)
    return false; // refused as any other
  digest = digest_of(x, *target);
  auto before = config.ids->find(from.principal.name, service, *x.service_transaction_id, digest);
  if (!before)
    return refused(std::move(before.error()));
  if (!*before)
    return false;
  auto& first = **before;
  if (first.accepted)
    answer_repeated(to, first.first, x.synch);
  else
    repeated.insert({first.first, {to, x.synch}});
  return true;
}

caf::error service_edge_state::claim_id(const service_call& from, const invoke_call& x,
                                        const std::string& digest, pending_draft& draft) {
  service_claim result;
  result.principal = from.principal.name;
  result.service = draft.content.header.source;
  result.id = *x.service_transaction_id;
  result.digest = digest;
  result.first = draft.content.header.id;
  result.now_ms = draft.content.header.created_ms;
  if (auto err = config.ids->take(result))
    return err;
  draft.claim = draft.content.claim = std::make_shared<const service_claim>(std::move(result));
  return {};
}

void service_edge_state::claim_settled(const service_claim& x, const caf::error& why) {
  if (why)
    config.ids->refused(x);
  else
    config.ids->accepted(x);
  auto [first, last] = repeated.equal_range(x.first);
  std::vector<repeated_call> again;
  for (auto i = first; i != last; ++i)
    again.push_back(i->second);
  repeated.erase(first, last);
  for (auto& each : again) {
    if (why)
      refuse(each.from, why);
    else
      answer_repeated(each.from, x.first, each.synch);
  }
}

void service_edge_state::answer_repeated(const caller& to, const transaction_id& first,
                                         bool synch) {
  if (!synch)
    return answer(to, accepted_result{first, true});
  self->request(config.store_and_forward, caf::infinite, atom::outcome_v, first)
    .then(
      [this, to, first](outcome_notice& found) {
        answer_outcome(to, std::move(found));
        flush_answers();
      },
      [this, to, first](const caf::error&) { // it is long over
        answer(to, accepted_result{first, true});
        flush_answers();
      });
}

void service_edge_state::answer_outcome(const caller& to, outcome_notice found) {
  if (found.status == "pending") {
    synchronous.emplace(found.id, to);
  } else if (wants_signature(found.requesting_service)) {
    auto going = std::make_shared<std::vector<outcome_notice>>(1, std::move(found));
    sign_outcomes(going, [this, to, going] {
      answer(to, std::move(going->front()));
      flush_answers();
    });
  } else {
    answer(to, std::move(found));
  }
}

void service_edge_state::settle_ids_under_way(const std::function<void()>& done) {
  auto claims = config.ids->under_way();
  auto open = std::make_shared<size_t>(claims.size());
  if (claims.empty())
    return done();
  auto settled = [open, done] {
    if (--*open == 0)
      done();
  };
  for (auto& x : claims)
    self->request(config.store_and_forward, caf::infinite, atom::outcome_v, x.first)
      .then(
        [this, x, settled](const outcome_notice&) {
          config.ids->accepted(x);
          settled();
        },
        [this, x, settled](const caf::error&) {
          config.ids->refused(x);
          settled();
        });
}

} // namespace rvi
