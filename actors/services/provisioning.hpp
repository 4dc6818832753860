// SPDX-License-Identifier: MPL-2.0
//
// Authorization as a service of its own node (HLD 9): below `NODE/provisioning` the rpcs
//
//   add_certificate     [{"certificate": C}], C a credential's text or a list of them
//   delete_certificate  [{"certificate_id": [ID…]}]
//   revoke_certificate  [{"certificate_id": [ID…]}] and [{"revocation_list": [TEXT…]}]
//   migrate_root_key    [{"bundle": [TEXT…]}], the next trust bundles of an organization
//   get_certificates    []
//
// as in figures 33 to 37; the arguments may also be the object alone, and one text stands for a
// list of one. The level `provisioning` is reserved: only a credential that names it and has the
// claim `adm` reaches it, and only a node whose credential names it as a source answers. Replies:
// {"status":"ok","certificate_id":[ID…]}, or {"status":"ok","node_uid":…,"certificates":[{
// certificate_id, issuer, expires, state, certificate}…]}.
//
// And below `NODE/grants`, which is not reserved, the rpc by which another node brings a grant of
// its own (HLD 9.6): add_grant [{"grant": TEXT}], {"status":"ok","grant_id":ID}.

#pragma once

#include "actors/node/context.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

/// What may happen to the service: as a service of the node, and when credentials were read anew.
using provisioning_actor = node_service_actor::extend<
  // Asks for its name again, if no credential covered it before.
  caf::replies_to<atom::reload>::with<atom::done>>;

struct provisioning_config {
  node_context_ptr node;
  authorization_actor authorization;
  service_edge_actor service_edge;
};

struct provisioning_state {
  static constexpr const char* name = "provisioning";
  explicit provisioning_state(provisioning_actor::pointer self) : self(self) {}

  /// Asks for its names; `done` whether it got them or not.
  void attach(std::function<void()> done);
  void attach(std::string_view level, std::function<void()> done);
  void take(const envelope_ptr& request);
  /// Passes the call on and replies with what comes back.
  void ask(const envelope_ptr& request, certificate_call x);
  void add_grant(const envelope_ptr& request);
  void follow_lists(const envelope_ptr& request, std::vector<std::string> texts);
  void reply(const envelope_ptr& request, std::string arguments);
  void refuse(const envelope_ptr& request, const caf::error& why);

  provisioning_actor::pointer self;
  provisioning_config config;
};

provisioning_actor::behavior_type
provisioning(provisioning_actor::stateful_pointer<provisioning_state> self,
             provisioning_config config);

} // namespace rvi
