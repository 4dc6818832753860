// SPDX-License-Identifier: MPL-2.0
//
// The interface of every actor of a node, in one place, in the HLD's words. Chapter 8's steps are
// marked where they happen; steps 4, 5, 17 and 18 (resolving) are answered from the routing
// snapshot (messages/routing_table.hpp) and cost no message.

#pragma once

#include "messages/batches.hpp"
#include "runtime/error.hpp"

#include <caf/actor.hpp>
#include <caf/replies_to.hpp>
#include <caf/type_id.hpp>
#include <caf/typed_actor.hpp>

CAF_BEGIN_TYPE_ID_BLOCK(rvi, caf::first_custom_type_id)

  // At most ten letters, digits or underscores: CAF 0.17 packs them in 64 bits.
  CAF_ADD_ATOM(rvi, rvi::atom, admit, "admit")
  CAF_ADD_ATOM(rvi, rvi::atom, announce, "announce")
  CAF_ADD_ATOM(rvi, rvi::atom, attach, "attach")
  CAF_ADD_ATOM(rvi, rvi::atom, authorize, "authorize")
  CAF_ADD_ATOM(rvi, rvi::atom, available, "available")
  CAF_ADD_ATOM(rvi, rvi::atom, call, "call")
  CAF_ADD_ATOM(rvi, rvi::atom, close, "close")
  CAF_ADD_ATOM(rvi, rvi::atom, closed, "closed")
  CAF_ADD_ATOM(rvi, rvi::atom, commit, "commit")
  CAF_ADD_ATOM(rvi, rvi::atom, committed, "committed")
  CAF_ADD_ATOM(rvi, rvi::atom, confirm, "confirm")
  CAF_ADD_ATOM(rvi, rvi::atom, connected, "connected")
  CAF_ADD_ATOM(rvi, rvi::atom, credit, "credit")
  CAF_ADD_ATOM(rvi, rvi::atom, custody, "custody")
  CAF_ADD_ATOM(rvi, rvi::atom, defer, "defer")
  CAF_ADD_ATOM(rvi, rvi::atom, done, "done")
  CAF_ADD_ATOM(rvi, rvi::atom, flush, "flush")
  CAF_ADD_ATOM(rvi, rvi::atom, fragment, "fragment")
  CAF_ADD_ATOM(rvi, rvi::atom, grant, "grant")
  CAF_ADD_ATOM(rvi, rvi::atom, introduce, "introduce")
  CAF_ADD_ATOM(rvi, rvi::atom, invoke, "invoke")
  CAF_ADD_ATOM(rvi, rvi::atom, learn, "learn")
  CAF_ADD_ATOM(rvi, rvi::atom, link_down, "link_down")
  CAF_ADD_ATOM(rvi, rvi::atom, link_up, "link_up")
  CAF_ADD_ATOM(rvi, rvi::atom, outcome, "outcome")
  CAF_ADD_ATOM(rvi, rvi::atom, provision, "provision")
  CAF_ADD_ATOM(rvi, rvi::atom, publish, "publish")
  CAF_ADD_ATOM(rvi, rvi::atom, queue, "queue")
  CAF_ADD_ATOM(rvi, rvi::atom, read, "read")
  CAF_ADD_ATOM(rvi, rvi::atom, receipt, "receipt")
  CAF_ADD_ATOM(rvi, rvi::atom, received, "received")
  CAF_ADD_ATOM(rvi, rvi::atom, reg, "register")
  CAF_ADD_ATOM(rvi, rvi::atom, reload, "reload")
  CAF_ADD_ATOM(rvi, rvi::atom, reply, "reply")
  CAF_ADD_ATOM(rvi, rvi::atom, respond, "respond")
  CAF_ADD_ATOM(rvi, rvi::atom, restart, "restart")
  CAF_ADD_ATOM(rvi, rvi::atom, revoke, "revoke")
  CAF_ADD_ATOM(rvi, rvi::atom, rotate, "rotate")
  CAF_ADD_ATOM(rvi, rvi::atom, schedule, "schedule")
  CAF_ADD_ATOM(rvi, rvi::atom, setup, "setup")
  CAF_ADD_ATOM(rvi, rvi::atom, sign, "sign")
  CAF_ADD_ATOM(rvi, rvi::atom, status, "status")
  CAF_ADD_ATOM(rvi, rvi::atom, stop, "stop")
  CAF_ADD_ATOM(rvi, rvi::atom, stopped, "stopped")
  CAF_ADD_ATOM(rvi, rvi::atom, subscribe, "subscribe")
  CAF_ADD_ATOM(rvi, rvi::atom, tick, "tick")
  CAF_ADD_ATOM(rvi, rvi::atom, transmit, "transmit")
  CAF_ADD_ATOM(rvi, rvi::atom, unreg, "unregister")
  CAF_ADD_ATOM(rvi, rvi::atom, verify, "verify")
  CAF_ADD_ATOM(rvi, rvi::atom, withdraw, "withdraw")

CAF_END_TYPE_ID_BLOCK(rvi)

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::transaction_step)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::transaction_id)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::draft_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::authorized_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::argument_fragment)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::fragment_state)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::custody_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::credit_grant)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::peer_identity)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::session_binding)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::link_info)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::link_measure)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::setup_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::local_service)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::undelivered)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::outcome_notice)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::certificate_call)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::grant_call)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::grant_answer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::queue_call)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::queue_answer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::outcome_notice>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::service_call>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::call_result>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::invocation>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::outcome_delivery>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::receipt>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::announce_entry>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::link_status>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::availability_event)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::availability_report>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::metric_subscriptions)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::metric_call>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::metric_delivery>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<rvi::metric_value_ptr>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(rvi::relayed_announcement)

namespace rvi {

/// The STORE actor: the only owner of the disk.
using store_actor = caf::typed_actor<
  // Runs the step; answers once it is on disk (group commit), or with the step's own error.
  caf::replies_to<atom::commit, transaction_step>::with<atom::committed>,
  // The same for what nobody waits for: it goes with the next commit, or alone after a moment.
  caf::replies_to<atom::defer, transaction_step>::with<atom::committed>,
  // Runs a step that only reads; sees everything sent before it.
  caf::replies_to<atom::read, transaction_step>::with<atom::done>,
  // INTERNAL: commits what has queued up.
  caf::reacts_to<atom::flush>>;

/// Hears what changes about services and the links to their nodes (HLD 10.2, 11.4, 11.6).
using availability_listener_actor
  = caf::typed_actor<caf::reacts_to<atom::available, availability_event>>;

/// Hears that credentials were revoked or a copied key was found.
using rights_listener_actor = caf::typed_actor<caf::reacts_to<atom::revoke>>;

/// The JSON RPC server: where services connect.
using json_rpc_actor = caf::typed_actor<
  // Answers to calls.
  caf::reacts_to<atom::respond, std::vector<call_result>>,
  // HLD 8.19: hands requests to services; each ends in a receipt.
  caf::reacts_to<atom::invoke, std::vector<invocation>>,
  // HLD 8.20: hands outcomes to requesting services; each ends in a receipt.
  caf::reacts_to<atom::outcome, std::vector<outcome_delivery>>,
  // HLD 10.2: tells services what came and went. Nobody answers; a connection that does not read
  // is left out, and its state asked for anew (`available` at the edge) once it does.
  caf::reacts_to<atom::available, std::vector<availability_report>>,
  // HLD 6.1.3: hands metrics to subscribers; a slow one gets the newest of each topic.
  caf::reacts_to<atom::publish, std::vector<metric_delivery>>>;

/// A service of the node itself, such as Authorization's provisioning (HLD 9): it is part of the
/// node and needs no connection.
using node_service_actor = caf::typed_actor<
  // HLD 8.19, figure 35: hands it requests; each ends in a receipt to the edge.
  caf::reacts_to<atom::invoke, std::vector<invocation>>,
  // HLD 8.20: how a request ended that it made itself. Nobody answers.
  caf::reacts_to<atom::outcome, outcome_notice>>;

/// One session with a peer, over any kind of link. Everything it is told is a fact.
using link_actor = caf::typed_actor<
  // HLD 8.12: sends the batch. Custody comes back through store_and_forward.
  caf::reacts_to<atom::transmit, batch>,
  // The next piece of a large argument.
  caf::reacts_to<atom::transmit, argument_fragment>,
  // Tells the peer what is durable here.
  caf::reacts_to<atom::custody, custody_report>,
  // Tells the peer how far one of its large arguments is durable here.
  caf::reacts_to<atom::fragment, fragment_state>,
  // Our own signed Authorize (body, signature), or why there is none.
  caf::reacts_to<atom::introduce, std::string, std::string>,
  // The peer's Authorize was accepted.
  caf::reacts_to<atom::admit, peer_identity>,
  // What we announce: everything (true) or what changed.
  caf::reacts_to<atom::announce, bool, std::vector<announce_entry>>,
  // The peer's announcement was accepted; these of its services are available.
  caf::reacts_to<atom::available, std::vector<std::string>>,
  // HLD 11: services of others that this node carries for: everything or what changed.
  caf::reacts_to<atom::announce, relayed_announcement>,
  // What the peer relayed names credentials (hashes) nobody here knows: the peer is asked, the
  // announcement waits.
  caf::reacts_to<atom::verify, relayed_announcement, std::vector<std::string>>,
  // Credentials the peer asked for.
  caf::reacts_to<atom::learn, std::vector<std::string>>,
  // A batch whose credential (hash) nobody here knows: the peer is asked, the batch waits.
  caf::reacts_to<atom::verify, std::string, std::string>,
  // Credentials asked for have come: batches that wait are checked again.
  caf::reacts_to<atom::done>,
  // Store and forward knows this link now: what the peer grants has somebody to use it.
  caf::reacts_to<atom::link_up>,
  // HLD 9.5: signed revocation lists that the peer lacks.
  caf::reacts_to<atom::revoke, std::vector<std::string>>,
  // HLD 3.2.7: the peer's next token (its number and the token), and that its own is kept here.
  caf::reacts_to<atom::rotate, uint64_t, std::string>, caf::reacts_to<atom::confirm, uint64_t>,
  // HLD 6.1.3: what we want from the peer, and values it wants from us.
  caf::reacts_to<atom::subscribe, metric_subscriptions>,
  caf::reacts_to<atom::publish, std::vector<metric_value_ptr>>,
  // Bye with this reason, then the end.
  caf::reacts_to<atom::close, std::string, std::string>,
  // INTERNAL: deadlines, keepalive, idle teardown.
  caf::reacts_to<atom::tick>>;

/// One kind of link (TLS, loopback, ...): dials, listens, and owns the sessions on it.
using link_driver_actor = caf::typed_actor<
  // Dials an address; `number` names the attempt and, if it succeeds, the link. Over this kind of
  // link; empty: over any.
  caf::reacts_to<atom::setup, uint64_t, std::string, std::string>,
  // Takes new certificates for new sessions.
  caf::replies_to<atom::reload>::with<atom::done>>;

/// The DATA LINK actor: which link to which node, and when (HLD 5.6, 15).
using data_link_actor = caf::typed_actor<
  // HLD 8.7: somebody has something for this node.
  caf::reacts_to<atom::setup, setup_request>,
  // A session is authorized and announced both ways.
  caf::reacts_to<atom::link_up, link_actor, link_info>,
  // A dial failed or a session ended: its number and why.
  caf::reacts_to<atom::closed, uint64_t, std::string>,
  // HLD 15.2: disconnects from this node address and does not dial it until it is told to; answers
  // how many links it closes.
  caf::replies_to<atom::close, std::string>::with<uint64_t>,
  // Ends that: what is wanted of this node address is dialled again, and a node known is dialled
  // now. Error: `not_found` if there is nothing to dial.
  caf::replies_to<atom::setup, std::string>::with<atom::done>,
  // A kind of link that can be used: its name and who dials it.
  caf::reacts_to<atom::attach, std::string, link_driver_actor>,
  // This kind of link can be used again (its network came up): what is wanted is dialled now.
  caf::reacts_to<atom::available, std::string>,
  // This kind's network went: links over it are given up, none is dialled until it comes back.
  caf::reacts_to<atom::link_down, std::string>,
  // The sessions and dials under way.
  caf::replies_to<atom::status>::with<std::vector<link_status>>,
  // A link was measured: its number and what was found.
  caf::reacts_to<atom::status, uint64_t, link_measure>,
  // Takes new certificates for new sessions.
  caf::replies_to<atom::reload>::with<atom::done>,
  // INTERNAL: a dial is due, or a wish ends.
  caf::reacts_to<atom::tick>>;

/// The SERVICE EDGE actor coordinates all traffic of local services (HLD 5.3, 10).
using service_edge_actor = caf::typed_actor<
  // HLD 8.1 and all other methods of the service API.
  caf::reacts_to<atom::call, std::vector<service_call>>,
  // What services made of the requests and outcomes handed to them.
  caf::reacts_to<atom::receipt, std::vector<receipt>>,
  // A service's connection ended: its services go with it.
  caf::reacts_to<atom::closed, client_id>,
  // HLD 8.14: requests for local services, each durably marked as dispatched. Those no service can
  // take now come back as `undelivered`.
  caf::reacts_to<atom::invoke, batch>,
  // Durable outcomes of requests made here.
  caf::reacts_to<atom::outcome, std::vector<outcome_notice>>,
  // Handed over before a crash, and no outcome will be known: these rpcs are answered so.
  caf::reacts_to<atom::reply, batch>,
  // The server to answer through.
  caf::reacts_to<atom::attach, json_rpc_actor>,
  // Who knows about links.
  caf::reacts_to<atom::attach, data_link_actor>,
  // HLD 9: a service of the node itself under this full name, which may be reserved. It may be
  // given a request again. Error: `unauthorized` if no credential of the node covers the name.
  caf::replies_to<atom::attach, std::string, node_service_actor>::with<atom::done>,
  // HLD 11.6: what changed about a node; goes to whoever has subscribed to it.
  caf::reacts_to<atom::available, availability_event>,
  // Reports to this connection were left out; it has room again for the current state.
  caf::reacts_to<atom::available, client_id>,
  // Requests were given back because this connection had too many in hand; it takes them again.
  caf::reacts_to<atom::credit, client_id>,
  // INTERNAL: forgets requests whose time is long up.
  caf::reacts_to<atom::tick>>;

/// Draws signatures; holds the node's private key, or knows where it is.
using signer_actor = caf::typed_actor<
  // Error: `busy` if the key was out of reach for some seconds; it may be asked again at once.
  caf::replies_to<atom::sign, std::string>::with<std::string>,
  // INTERNAL: tries again.
  caf::reacts_to<atom::tick>>;

/// The STORE AND FORWARD actor keeps requests until they can be delivered (HLD 5.4, 13).
using store_and_forward_actor = caf::typed_actor<
  // HLD 8.6: keeps requests of local services; answers, one by one, once they are durable. All of a
  // batch have the same durability, here and in the next.
  caf::replies_to<atom::schedule, batch>::with<std::vector<caf::error>>,
  // HLD 8.20: keeps replies of local services and marks their requests done, in one transaction.
  caf::replies_to<atom::reply, batch>::with<std::vector<caf::error>>,
  // HLD 8.13, 13.2: verified requests and replies from a peer, and what was refused of its batch.
  caf::reacts_to<atom::received, link_actor, uint64_t, batch, custody_report>,
  // The peer's custody of what was transmitted on this link.
  caf::reacts_to<atom::custody, uint64_t, custody_report>,
  // A piece of a large argument that a peer has announced before.
  caf::reacts_to<atom::fragment, link_actor, uint64_t, argument_fragment>,
  // How far the peer on this link has one of our large arguments.
  caf::reacts_to<atom::fragment, uint64_t, fragment_state>,
  // The peer takes more on this link.
  caf::reacts_to<atom::credit, uint64_t, credit_grant>,
  // HLD 8.9-8.10, 13.3.
  caf::reacts_to<atom::link_up, link_actor, link_info>, caf::reacts_to<atom::link_down, uint64_t>,
  // HLD 13.4: a local service came or went.
  caf::reacts_to<atom::available, std::string>,
  // Routes changed without a link: what had no way may have one to ask for now.
  caf::reacts_to<atom::available>,
  // What services made of requests and outcomes.
  caf::reacts_to<atom::receipt, std::vector<receipt>>,
  // These were never handed over: no service could take them.
  caf::reacts_to<atom::invoke, undelivered>,
  // How a request made here ended, `pending` if it has not.
  caf::replies_to<atom::outcome, transaction_id>::with<outcome_notice>,
  // What waits or is dead, for administrators. Errors: `not_found`, `bad_request`, `timeout`.
  caf::replies_to<atom::queue, queue_call>::with<queue_answer>,
  // Rights have shrunk: what is stored under a revoked credential of this node ends as refused.
  caf::reacts_to<atom::revoke>, caf::replies_to<atom::status>::with<std::string>,
  // Upward handles: where requests are dispatched, and who sets up links.
  caf::reacts_to<atom::attach, service_edge_actor>, caf::reacts_to<atom::attach, data_link_actor>,
  // INTERNAL: deadlines.
  caf::reacts_to<atom::tick>>;

/// The AUTHORIZATION actor holds credentials, pinned roots and the signing queue (HLD 5.8, 12).
using authorization_actor = caf::typed_actor<
  // HLD 8.2-8.3, authorize_local_service: chooses the credential and signs, one by one.
  caf::replies_to<atom::authorize, draft_batch>::with<authorized_batch>,
  // HLD 7.6: makes our Authorize for this session; answers the link with `introduce`.
  caf::reacts_to<atom::introduce, link_actor, session_binding>,
  // HLD 7.6: checks the peer's Authorize (body, signature); answers the link with `admit`, or
  // closes it.
  caf::reacts_to<atom::admit, link_actor, session_binding, std::string, std::string>,
  // HLD 7.7 step 1: signs announcement entries (AnnouncedService bytes).
  caf::replies_to<atom::announce, std::vector<std::string>>::with<std::vector<announce_entry>>,
  // The peer asks for credentials by hash; answers the link with `learn`.
  caf::reacts_to<atom::learn, link_actor, std::vector<std::string>>,
  // The peer sent credentials it was asked for; answers the link with `done`, or closes it.
  caf::reacts_to<atom::learn, std::vector<std::string>, link_actor>,
  // Answers once the credentials of peers seen before are known again: what they sent before a
  // restart can be judged then.
  caf::replies_to<atom::read>::with<atom::done>,
  // HLD 9.5: takes a signed revocation list; answers once it is durable and in force. Errors:
  // `malformed`, `unknown_issuer`, `signature_invalid`, `replay` (not newer), `not_found` (a delta
  // on a list that is not here).
  caf::replies_to<atom::revoke, std::string>::with<atom::done>,
  // The same from a peer, who is closed if one is not signed by its issuer.
  caf::reacts_to<atom::revoke, link_actor, std::vector<std::string>>,
  // The session of an admitted peer is up: it can be told what it lacks.
  caf::reacts_to<atom::link_up, link_actor>,
  // HLD 3.2.7: the token that the peer wants to see next time, and that it keeps ours.
  caf::reacts_to<atom::rotate, link_actor, uint64_t, std::string>,
  caf::reacts_to<atom::confirm, link_actor, uint64_t>,
  // HLD 9.1, 9.4, 9.5: what a provisioning service asks; answers its reply, one JSON value, once it
  // is durable and in force.
  caf::replies_to<atom::provision, certificate_call>::with<std::string>,
  // HLD 9.6: what the administrator asks, or another node brings; answers once it is durable and in
  // force. Errors: `bad_request`, `not_found`, `credential_*`, `unauthorized`, `busy`.
  caf::replies_to<atom::grant, grant_call>::with<grant_answer>,
  // INTERNAL: sessions are made anew, with the credentials there are now.
  caf::reacts_to<atom::introduce>,
  // Who must hear when rights shrink.
  caf::reacts_to<atom::attach, store_and_forward_actor>,
  caf::reacts_to<atom::attach, rights_listener_actor>,
  // Reads credentials and roots again.
  caf::replies_to<atom::reload>::with<atom::done>,
  caf::replies_to<atom::status>::with<std::string>>;

/// Checks signatures of incoming batches; stateless but for its cache. Several run side by side.
using verifier_actor = caf::typed_actor<
  // HLD 8.15: a Batch frame (serialised) from a link with this id and peer. Hands the result to
  // store_and_forward as `received`.
  caf::reacts_to<atom::verify, link_actor, uint64_t, peer_identity, std::string>>;

/// The SERVICE DISCOVERY actor knows which services live where (HLD 5.7, 11). It publishes the
/// routing snapshot.
using service_discovery_actor = caf::typed_actor<
  // HLD 7.1.2, 11.1: a local service; answers once the snapshot has it.
  caf::replies_to<atom::reg, local_service>::with<atom::done>,
  caf::reacts_to<atom::unreg, std::string>,
  // HLD 7.7, 11.5: the link wants our services for this peer; answers it with `announce`.
  caf::reacts_to<atom::announce, link_actor, peer_identity>,
  // HLD 7.7, 11.4: what the peer announced, all (true) or a delta. Answers the link with
  // `available`, or closes it if an entry is outside the peer's rights.
  caf::reacts_to<atom::announce, link_actor, peer_identity, bool, std::vector<announce_entry>>,
  // What the peer says of others' services, which it carries for (RVI-SVC_DISC-4 to 8).
  caf::reacts_to<atom::announce, link_actor, peer_identity, relayed_announcement>,
  // HLD 11.2, 11.6.
  caf::reacts_to<atom::link_up, link_actor, link_info>, caf::reacts_to<atom::link_down, uint64_t>,
  // The first round trip of a link: its number, us.
  caf::reacts_to<atom::status, uint64_t, uint64_t>,
  // HLD 11.2: who hears of every change from now on; one at a time. What was registered through
  // the one before is withdrawn.
  caf::reacts_to<atom::attach, availability_listener_actor>,
  // Rights have shrunk: nodes that rest on what is revoked are not used.
  caf::reacts_to<atom::revoke>, caf::replies_to<atom::status>::with<std::string>>;

/// The METRIC HUB actor: who gets which published value (HLD 6.1.3).
using metric_hub_actor = caf::typed_actor<
  // What local services ask; answers one by one: no error, `unauthorized`, `busy`, `too_large`,
  // `not_found` (no such subscription), `store_failed`.
  caf::replies_to<atom::call, std::vector<metric_call>>::with<std::vector<caf::error>>,
  // A local service (its name and its principal) receives over this connection; 0: over none.
  caf::reacts_to<atom::available, std::string, std::string, client_id>,
  // A local service has gone for good: its subscriptions end.
  caf::reacts_to<atom::unreg, std::string>,
  // The peer of this session can be told; it is monitored.
  caf::reacts_to<atom::link_up, link_actor, link_info>,
  // What the peer on the link with this number wants, and values from it.
  caf::reacts_to<atom::subscribe, uint64_t, metric_subscriptions>,
  caf::reacts_to<atom::publish, uint64_t, std::vector<metric_value_ptr>>,
  caf::replies_to<atom::status>::with<std::string>,
  // Upward handles: where values are delivered, and who sets up links.
  caf::reacts_to<atom::attach, json_rpc_actor>, caf::reacts_to<atom::attach, data_link_actor>,
  // INTERNAL: sends what has come together; a value's interval has passed, or a link is asked for.
  caf::reacts_to<atom::flush>, caf::reacts_to<atom::tick>>;

/// The PROTOCOL actor chooses how a node is spoken to (HLD 5.5, 14): one answer per link, no hop
/// per batch.
using protocol_actor = caf::typed_actor<
  // The protocols a peer offers; answers the one to use, or `protocol_mismatch`.
  caf::replies_to<atom::setup, std::vector<std::string>>::with<std::string>>;

} // namespace rvi
