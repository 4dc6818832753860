// SPDX-License-Identifier: MPL-2.0
//
// What every session is told (link_actor), whatever carries it: passed to its `link_session`, and
// what that has to say goes out after each message.

#pragma once

#include "actors/links/link_session.hpp"
#include "messages/actors.hpp"

#include <caf/message_handler.hpp>

#include <string>
#include <utility>
#include <vector>

namespace rvi {

/// All of link_actor but `tick`. State: `link`, an optional link_session, and `flush()`.
template <class State>
caf::message_handler link_session_handlers(State& st) {
  auto then_flush = [&st](auto&& work) {
    work(*st.link);
    st.flush();
  };
  return {
    [=](atom::transmit, const batch& content) {
      then_flush([&](link_session& x) { x.transmit(content); });
    },
    [=](atom::transmit, const argument_fragment& piece) {
      then_flush([&](link_session& x) { x.transmit(piece); });
    },
    [=](atom::custody, const custody_report& report) {
      then_flush([&](link_session& x) { x.custody(report); });
    },
    [=](atom::fragment, const fragment_state& state) {
      then_flush([&](link_session& x) { x.fragment(state); });
    },
    [=](atom::introduce, std::string& body, std::string& signature) {
      then_flush([&](link_session& x) { x.introduce(std::move(body), std::move(signature)); });
    },
    [=](atom::admit, const peer_identity& peer) {
      then_flush([&](link_session& x) { x.admit(peer); });
    },
    [=](atom::announce, bool full, const std::vector<announce_entry>& entries) {
      then_flush([&](link_session& x) { x.announce(full, entries); });
    },
    [=](atom::available, const std::vector<std::string>& services) {
      then_flush([&](link_session& x) { x.available(services); });
    },
    [=](atom::learn, const std::vector<std::string>& credentials) {
      then_flush([&](link_session& x) { x.learn(credentials); });
    },
    [=](atom::verify, std::string& bytes, const std::string& hash) {
      then_flush([&](link_session& x) { x.unknown_credential(std::move(bytes), hash); });
    },
    [=](atom::announce, const relayed_announcement& x) {
      then_flush([&](link_session& to) { to.announce_relayed(x); });
    },
    [=](atom::verify, relayed_announcement& x, const std::vector<std::string>& hashes) {
      then_flush([&](link_session& to) { to.unknown_owners(std::move(x), hashes); });
    },
    [=](atom::done) { then_flush([](link_session& x) { x.credentials_known(); }); },
    [=](atom::link_up) { then_flush([](link_session& x) { x.known(); }); },
    [=](atom::revoke, const std::vector<std::string>& lists) {
      then_flush([&](link_session& x) { x.revocations(lists); });
    },
    [=](atom::rotate, uint64_t counter, const std::string& token) {
      then_flush([&](link_session& x) { x.clone_token(counter, token); });
    },
    [=](atom::confirm, uint64_t counter) {
      then_flush([&](link_session& x) { x.clone_token_kept(counter); });
    },
    [=](atom::subscribe, const metric_subscriptions& content) {
      then_flush([&](link_session& x) { x.subscribe(content); });
    },
    [=](atom::publish, const std::vector<metric_value_ptr>& values) {
      then_flush([&](link_session& x) { x.publish(values); });
    },
    [=](atom::close, const std::string& reason, const std::string& detail) {
      then_flush([&](link_session& x) { x.close(reason, detail); });
    },
  };
}

} // namespace rvi
