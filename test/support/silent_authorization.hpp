// SPDX-License-Identifier: MPL-2.0
//
// An authorization that admits nobody and keeps nothing: a test sets what it wants answered.

#pragma once

#include "messages/actors.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace test {

struct authorization_answers {
  /// Signs what a node announces; nothing is announced without it.
  std::function<std::vector<rvi::announce_entry>(const std::vector<std::string>&)> announce;
};

inline rvi::authorization_actor::behavior_type
silent_authorization(rvi::authorization_actor::pointer, const authorization_answers& by) {
  using namespace rvi;
  return {
    [](atom::authorize, const draft_batch&) { return authorized_batch{}; },
    [](atom::introduce, const link_actor&, const session_binding&) {},
    [](atom::admit, const link_actor&, const session_binding&, const std::string&,
       const std::string&) {},
    [=](atom::announce, const std::vector<std::string>& xs) {
      return by.announce ? by.announce(xs) : std::vector<announce_entry>{};
    },
    [](atom::learn, const link_actor&, const std::vector<std::string>&) {},
    [](atom::learn, const std::vector<std::string>&, const link_actor&) {},
    [](atom::read) { return atom::done_v; },
    [](atom::revoke, const std::string&) { return atom::done_v; },
    [](atom::revoke, const link_actor&, const std::vector<std::string>&) {},
    [](atom::link_up, const link_actor&) {},
    [](atom::rotate, const link_actor&, uint64_t, const std::string&) {},
    [](atom::confirm, const link_actor&, uint64_t) {},
    [](atom::provision, const certificate_call&) { return std::string{}; },
    [](atom::grant, const grant_call&) { return grant_answer{}; },
    [](atom::introduce) {},
    [](atom::attach, const store_and_forward_actor&) {},
    [](atom::attach, const rights_listener_actor&) {},
    [](atom::reload) { return atom::done_v; },
    [](atom::status) { return std::string{}; },
  };
}

} // namespace test
