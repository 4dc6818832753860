// SPDX-License-Identifier: MPL-2.0
//
// A data link that sets up nothing: a test sets what it wants to hear of, the rest is dropped.

#pragma once

#include "messages/actors.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace test {

struct data_link_listener {
  std::function<void(const rvi::setup_request&)> setup;
  std::function<void(uint64_t number)> closed;
};

inline rvi::data_link_actor::behavior_type
silent_data_link(rvi::data_link_actor::pointer, const data_link_listener& to) {
  using namespace rvi;
  return {
    [=](atom::setup, const setup_request& x) {
      if (to.setup)
        to.setup(x);
    },
    [](atom::link_up, const link_actor&, const link_info&) {},
    [=](atom::closed, uint64_t number, const std::string&) {
      if (to.closed)
        to.closed(number);
    },
    [](atom::close, const std::string&) { return uint64_t{0}; },
    [](atom::setup, const std::string&) { return atom::done_v; },
    [](atom::attach, const std::string&, const link_driver_actor&) {},
    [](atom::available, const std::string&) {},
    [](atom::link_down, const std::string&) {},
    [](atom::status) { return std::vector<link_status>{}; },
    [](atom::status, uint64_t, const link_measure&) {},
    [](atom::reload) { return atom::done_v; },
    [](atom::tick) {},
  };
}

} // namespace test
