// SPDX-License-Identifier: MPL-2.0
//
// A store and forward that keeps nothing: a test sets what it wants to hear of, the rest is
// dropped.

#pragma once

#include "messages/actors.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace test {

struct store_and_forward_listener {
  std::function<void(uint64_t link, const rvi::batch&, const rvi::custody_report& refused)> received
    = {};
  std::function<void(const rvi::link_info&)> link_up = {};
  std::function<void(uint64_t link)> link_down = {};
};

inline rvi::store_and_forward_actor::behavior_type
silent_store_and_forward(rvi::store_and_forward_actor::pointer,
                         const store_and_forward_listener& to) {
  using namespace rvi;
  auto tell = [](auto& heard, auto&... xs) {
    if (heard)
      heard(xs...);
  };
  return {
    [](atom::schedule, const batch&) { return std::vector<caf::error>{}; },
    [](atom::reply, const batch&) { return std::vector<caf::error>{}; },
    [=](atom::received, const link_actor&, uint64_t link, const batch& x,
        const custody_report& refused) { tell(to.received, link, x, refused); },
    [](atom::custody, uint64_t, const custody_report&) {},
    [](atom::fragment, const link_actor&, uint64_t, const argument_fragment&) {},
    [](atom::fragment, uint64_t, const fragment_state&) {},
    [](atom::credit, uint64_t, const credit_grant&) {},
    [=](atom::link_up, const link_actor&, const link_info& x) { tell(to.link_up, x); },
    [=](atom::link_down, uint64_t link) { tell(to.link_down, link); },
    [](atom::available, const std::string&) {},
    [](atom::available) {},
    [](atom::receipt, const std::vector<receipt>&) {},
    [](atom::invoke, const undelivered&) {},
    [](atom::outcome, const transaction_id&) { return outcome_notice{}; },
    [](atom::queue, const queue_call&) { return queue_answer{}; },
    [](atom::revoke) {},
    [](atom::status) { return std::string{}; },
    [](atom::attach, const service_edge_actor&) {},
    [](atom::attach, const data_link_actor&) {},
    [](atom::tick) {},
  };
}

} // namespace test
