// SPDX-License-Identifier: MPL-2.0
//
// A session that says nothing: a test sets what it wants to hear of, the rest is taken and dropped.

#pragma once

#include "messages/actors.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace test {

/// What a session is told; an empty one is not listened to.
struct link_listener {
  std::function<void(const rvi::batch&)> transmit;
  std::function<void(const rvi::argument_fragment&)> fragment;
  std::function<void(const rvi::fragment_state&)> state;
  std::function<void(const rvi::custody_report&)> custody;
  std::function<void(bool full, const std::vector<rvi::announce_entry>&)> announce;
  std::function<void(const std::vector<std::string>&)> available;
  std::function<void(const std::string& bytes, const std::string& hash)> verify;
  std::function<void(const rvi::relayed_announcement&)> announce_relayed;
  std::function<void(const rvi::relayed_announcement&, const std::vector<std::string>&)>
    unknown_owners;
  std::function<void(const std::string& code, const std::string& detail)> close;
  std::function<void(const rvi::metric_subscriptions&)> subscribe;
  std::function<void(const std::vector<rvi::metric_value_ptr>&)> publish;
};

inline rvi::link_actor::behavior_type
silent_link(rvi::link_actor::pointer, const link_listener& to) {
  using namespace rvi;
  auto tell = [](auto& heard, auto&... xs) {
    if (heard)
      heard(xs...);
  };
  return {
    [=](atom::transmit, const batch& x) { tell(to.transmit, x); },
    [=](atom::transmit, const argument_fragment& x) { tell(to.fragment, x); },
    [=](atom::custody, const custody_report& x) { tell(to.custody, x); },
    [=](atom::fragment, const fragment_state& x) { tell(to.state, x); },
    [](atom::introduce, const std::string&, const std::string&) {},
    [](atom::admit, const peer_identity&) {},
    [=](atom::announce, bool full, const std::vector<announce_entry>& xs) {
      tell(to.announce, full, xs);
    },
    [=](atom::available, const std::vector<std::string>& xs) { tell(to.available, xs); },
    [](atom::learn, const std::vector<std::string>&) {},
    [=](atom::verify, const std::string& bytes, const std::string& hash) {
      tell(to.verify, bytes, hash);
    },
    [=](atom::announce, const relayed_announcement& x) { tell(to.announce_relayed, x); },
    [=](atom::verify, const relayed_announcement& x, const std::vector<std::string>& hashes) {
      tell(to.unknown_owners, x, hashes);
    },
    [](atom::done) {},
    [](atom::link_up) {},
    [](atom::revoke, const std::vector<std::string>&) {},
    [](atom::rotate, uint64_t, const std::string&) {},
    [](atom::confirm, uint64_t) {},
    [=](atom::subscribe, const metric_subscriptions& x) { tell(to.subscribe, x); },
    [=](atom::publish, const std::vector<metric_value_ptr>& xs) { tell(to.publish, xs); },
    [=](atom::close, const std::string& code, const std::string& detail) {
      tell(to.close, code, detail);
    },
    [](atom::tick) {},
  };
}

} // namespace test
