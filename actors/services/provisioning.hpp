// SPDX-License-Identifier: MPL-2.0
//
// Authorization as a service of its own node (HLD 9): below `NODE/provisioning` the rpcs
//
//   add_certificate     [{"certificate": C}], C a credential's text or a list of them
//   delete_certificate  [{"certificate_id": [ID…]}]
//   revoke_certificate  [{"certificate_id": [ID…]}] and [{"revocation_list": [TEXT…]}]
//   migrate_root_key    [{"bundle": [TEXT…]}], the next trust bundles of an organization
//   get_certificates    []
//   replace_key_pair    [], and [{"certificate": C}] once there are credentials for the next key
//
// as in figures 33 to 37; the arguments may also be the object alone, and one text stands for a
// list of one. The level `provisioning` is reserved: only a credential that names it and has the
// claim `adm` reaches it, and only a node whose credential names it as a source answers. Replies:
// {"status":"ok","certificate_id":[ID…]}, or {"status":"ok","node_uid":…,"certificates":[{
// certificate_id, issuer, expires, state, certificate}…]}, or, to the first replace_key_pair,
// {"status":"ok","node_uid":UID,"key_pair":TEXT,"public_key":JWK} (messages/key_pair.hpp): the next
// key, the same one until it has taken over, which it does after the second.
//
// At half of a credential's life the node asks the service that renews (`[trust] renewal`) for
// the next one: the rpc renew_certificate [{"certificate": C}], answered by {"certificate": C'}.
//
// A report that two hold a node's key (HLD 3.2.7) goes to the service that `[trust] clone_reports`
// names, until that has taken it: message:SERVICE/clone_report, its arguments one object:
// {"reporter":UID,"node_uid":UID,"node_address":NAME,"detected_ms":MS,"token_counter":N,
// "accused_dialled":BOOL,"accused_spki","reporter_spki","exporter","authorize_body",
// "authorize_signature": base64url}: all that shows that the accused key signed for this session
// (rvi.proto, Authorize). That its token had been replaced is the reporter's word.
//
// And below `NODE/grants`, which is not reserved, the rpc by which another node brings a grant of
// its own (HLD 9.6): add_grant [{"grant": TEXT}], {"status":"ok","grant_id":ID}.

#pragma once

#include "actors/node/context.hpp"
#include "actors/wake_timer.hpp"
#include "messages/actors.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

/// What may happen to the service: as a service of the node, and when credentials were read anew.
using provisioning_actor = node_service_actor::extend<
  // Asks for its name again, if no credential covered it before.
  caf::replies_to<atom::reload>::with<atom::done>,
  // Looks whether a credential is to be renewed.
  caf::reacts_to<atom::tick>>;

struct provisioning_config {
  node_context_ptr node;
  authorization_actor authorization;
  service_edge_actor service_edge;
  std::string renewal;       // the service that renews credentials; empty: none does
  std::string clone_reports; // the service that is told of copied keys; empty: none
};

struct provisioning_state {
  static constexpr const char* name = "provisioning";
  explicit provisioning_state(provisioning_actor::pointer self) : self(self) {}

  /// Goes on once authorization has read what was provisioned before.
  void open();
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

  // -- renewal (renewal.cpp) --------------------------------------------------------------------
  /// Asks for what is past the half of its life, and sees to it that it is called for the next.
  void renew();
  void ask_for_next(const credential& x, uint64_t now_ms);
  /// How a request to renew has ended.
  void renewed(const outcome_notice& x);

  // -- copied keys (clone_reports.cpp) ------------------------------------------------------------
  /// Waits for the next report of this node's Authorization, and sends it.
  void await_clone_report();
  void send_clone_report();
  void send_clone_report_again();
  /// How telling of one has ended.
  void clone_report_ended(const outcome_notice& x);

  provisioning_actor::pointer self;
  provisioning_config config;
  wake_timer timer;
  std::map<std::string, uint64_t>
    asked_again_ms;                   // by hash of the credential, wall time: not before
  std::string clone_report;           // on its way; empty: none
  uint64_t clone_report_again_ms = 0; // boot time
};

provisioning_actor::behavior_type
provisioning(provisioning_actor::stateful_pointer<provisioning_state> self,
             provisioning_config config);

} // namespace rvi
