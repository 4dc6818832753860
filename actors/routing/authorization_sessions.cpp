// SPDX-License-Identifier: MPL-2.0
//
// Authorization at the start of a session (HLD 7.6): our Authorize, and whether to believe the
// peer's.

#include "actors/links/link_policy.hpp"
#include "actors/routing/authorization.hpp"
#include "actors/storage/transaction.hpp"
#include "messages/name.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"
#include "rvi.pb.h"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "authorization";
constexpr uint64_t ids_reserved_at_once = 1 << 20;
constexpr const char* authorize_id_key = "authorize_id";
constexpr int issuers_said_max = 64; // the wire's limit
// Before anybody is believed, in all credentials of an Authorize (decisions 4).
constexpr size_t signature_checks_max = 8;

/// The uid of a key in its canonical form.
node_uid uid_of(std::string_view spki) {
  auto hash = crypto::sha256(spki);
  node_uid result;
  std::copy_n(hash.begin(), result.size(), result.begin());
  return result;
}

std::string number_text(uint64_t x) {
  std::string result;
  append_u64(result, x);
  return result;
}

} // namespace

std::string
authorize_signing_input(bool client, std::string_view own_spki, std::string_view peer_spki,
                        std::string_view exporter, std::string_view body) {
  std::string result = "RVI-AUTHORIZE-2";
  result.push_back(client ? 1 : 2);
  result += crypto::view(crypto::sha256(own_spki));
  result += crypto::view(crypto::sha256(peer_spki));
  result += exporter;
  result += crypto::view(crypto::sha256(body));
  return result;
}

namespace {

/// Shape and cheap comparisons; no signature yet.
caf::error check_body(const wire::AuthorizeBody& x) {
  if (x.version() != 2 || x.protocol() != "rvi/2")
    return caf::make_error(ec::protocol_mismatch,
                           "this node speaks rvi/2, the peer " + x.protocol().substr(0, 64));
  auto address = normalise_node_address(x.node_address());
  if (!address || *address != x.node_address())
    return caf::make_error(ec::malformed, std::string{"a bad node address"});
  if (x.credentials_size() == 0 || x.credentials_size() > 4 || x.network_address().size() > 256)
    return caf::make_error(ec::malformed, std::string{"1 to 4 credentials are needed"});
  if (!x.link_kind().empty() && !is_link_kind(x.link_kind()))
    return caf::make_error(ec::malformed, std::string{"a bad kind of link"});
  return {};
}

/// Parses all credentials and compares keys before any signature is checked.
expected<std::vector<credential_ptr>> parse_all(const rights& own, const wire::AuthorizeBody& x,
                                                const session_binding& binding, uint64_t now_ms) {
  std::vector<credential_ptr> result;
  caf::error reason;
  size_t signatures = 0;
  for (auto& text : x.credentials()) {
    auto credential = parse_credential(text);
    if (!credential)
      return std::move(credential.error());
    signatures += (*credential)->chain_length();
    if (signatures > signature_checks_max)
      return caf::make_error(ec::malformed, "credentials with more than "
                                              + std::to_string(signature_checks_max)
                                              + " signatures in all");
    if ((*credential)->key.spki() != binding.peer_spki)
      return caf::make_error(ec::unauthorized,
                             "credential " + (*credential)->id + " belongs to another key");
    if (auto err = own.check_standing(**credential, now_ms))
      reason = std::move(err);
    else
      result.push_back(std::move(*credential));
  }
  if (result.empty())
    return reason;
  return result;
}

} // namespace

expected<admitted>
check_authorize(const rights& own, const session_binding& binding, std::string_view body,
                std::string_view signature, uint64_t now_ms) {
  wire::AuthorizeBody x;
  if (!x.ParseFromArray(body.data(), static_cast<int>(body.size())))
    return caf::make_error(ec::malformed, std::string{"an Authorize that does not parse"});
  if (auto err = check_body(x))
    return err;
  auto credentials = parse_all(own, x, binding, now_ms);
  if (!credentials)
    return std::move(credentials.error());
  auto key = credentials->front()->key;
  if (!key.verify(authorize_signing_input(!binding.client, binding.peer_spki, binding.own_spki,
                                          binding.exporter, body),
                  signature))
    return caf::make_error(ec::signature_invalid,
                           std::string{"the Authorize is not signed for this session"});
  admitted result;
  result.transaction_id = x.transaction_id();
  result.remote_address = binding.remote_address;
  auto& peer = result.peer;
  bool owns_address = false;
  caf::error reason;
  for (auto& credential : *credentials) {
    auto err = verify_credential(*credential, own.anchors);
    // It may be for others: whom this node does not know, or who let its issuer speak there.
    if (code_of(err) == ec::unknown_issuer) {
      reason = std::move(err);
      credential = nullptr;
      continue;
    }
    if (err)
      return err;
    owns_address = owns_address || credential->covers_source(x.node_address());
    peer.credential_hashes.push_back(credential->hash);
    peer.sources.insert(peer.sources.end(), credential->sources.begin(), credential->sources.end());
    peer.destinations.insert(peer.destinations.end(), credential->destinations.begin(),
                             credential->destinations.end());
    peer.relay.insert(peer.relay.end(), credential->relay.begin(), credential->relay.end());
    peer.expires_ms = std::max(peer.expires_ms, credential->expires_s * 1'000);
    for (auto& uid : credential->former)
      peer.former.push_back({credential->issuer, uid});
  }
  result.shown_more = std::erase(*credentials, nullptr) > 0;
  if (credentials->empty())
    return reason;
  if (own.grants)
    for (auto& [hash, grant] : own.grants->given)
      if (grant->holder == key.uid() && !check_validity(*grant, now_ms))
        peer.destinations.insert(peer.destinations.end(), grant->destinations.begin(),
                                 grant->destinations.end());
  if (!owns_address)
    return caf::make_error(ec::unauthorized, "no credential covers " + x.node_address());
  for (auto& credential : *credentials)
    own.known->add(credential);
  peer.uid = key.uid();
  peer.node_address = x.node_address();
  peer.network_address = x.network_address();
  peer.protocol = x.protocol();
  peer.link_kind = x.link_kind();
  peer.frame_bytes_max = std::clamp<uint64_t>(x.frame_bytes_max(), 64 * 1'024, 16 << 20);
  for (auto& list : x.revocation_serials())
    result.lists[list.issuer()] = {std::max<uint64_t>(list.bundle(), 1), list.serial()};
  for (auto& each : x.bundle_sequences())
    result.bundles[each.issuer()] = each.serial();
  result.clone_proof = x.clone_proof();
  result.credentials = std::move(*credentials);
  return result;
}

namespace {

/// What a refused Authorize says of its sender, for the record only.
std::string claimed_address(std::string_view body) {
  wire::AuthorizeBody x;
  if (!x.ParseFromArray(body.data(), static_cast<int>(body.size())))
    return {};
  auto address = normalise_node_address(x.node_address());
  return address ? *address : std::string{};
}

} // namespace

void authorization_state::reserve_ids() {
  auto until = std::make_shared<uint64_t>();
  transaction_step step = [until](transaction& t) -> caf::error {
    t.use_reserve(true);
    auto stored = t.get(table::meta, authorize_id_key);
    if (!stored)
      return std::move(stored.error());
    auto from = *stored && (*stored)->size() == 8 ? read_u64(**stored) : 0;
    *until = from + ids_reserved_at_once;
    return t.put(table::meta, authorize_id_key, number_text(*until));
  };
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then(
      [this, until](atom::committed) {
        reserved_until = *until;
        next_authorize_id = *until - ids_reserved_at_once + 1;
        for (auto& work : std::exchange(waiting_for_ids, {}))
          work();
      },
      [this](const caf::error& err) { self->quit(err); });
}

void authorization_state::introduce(link_actor link, session_binding binding) {
  if (!known) {
    once_known([this, link, binding] { introduce(link, binding); });
    return;
  }
  if (next_authorize_id == 0 || next_authorize_id >= reserved_until) {
    waiting_for_ids.push_back([this, link, binding] { introduce(link, binding); });
    if (waiting_for_ids.size() == 1 && next_authorize_id != 0)
      reserve_ids();
    return;
  }
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  wire::AuthorizeBody body;
  body.set_version(2);
  body.set_protocol("rvi/2");
  body.set_node_address(config.node->node_address);
  body.set_network_address(binding.network_address);
  body.set_link_kind(binding.link_kind);
  body.set_transaction_id(next_authorize_id++);
  body.set_sent_ms(now);
  body.set_frame_bytes_max(config.frame_bytes_max);
  caf::error reason
    = caf::make_error(ec::unauthorized, std::string{"this node has no valid credential"});
  size_t signatures = 0;
  for (auto& x : rights->own) {
    if (auto err = rights->check_standing(*x, now))
      reason = std::move(err);
    else if (body.credentials_size() < 4
             && signatures + x->chain_length() <= signature_checks_max) {
      signatures += x->chain_length();
      body.add_credentials(x->text);
    }
  }
  if (body.credentials_size() == 0) {
    self->send(link, atom::close_v, std::string{to_string(code_of(reason))}, detail_of(reason));
    return;
  }
  for (auto& issuer : rights->anchors.organizations()) {
    if (body.revocation_serials_size() == issuers_said_max)
      break;
    auto& list = *body.add_revocation_serials();
    list.set_issuer(issuer);
    if (!rights->revocations)
      continue;
    if (auto held = rights->revocations->find(issuer); held != rights->revocations->end()) {
      list.set_serial(held->second->version.serial);
      list.set_bundle(held->second->version.bundle);
    }
  }
  for (auto& organization : rights->anchors.organizations())
    if (auto bundle = rights->anchors.bundle(organization);
        bundle && body.bundle_sequences_size() < issuers_said_max) {
      auto& said = *body.add_bundle_sequences();
      said.set_issuer(organization);
      said.set_serial(bundle->sequence);
    }
  body.set_clone_proof(
    guard.prove({config.node->uid, uid_of(binding.peer_spki), binding.client, binding.exporter}));
  audit::record("key_used", {{"for", "session"},
                             {"peer_uid", to_string(uid_of(binding.peer_spki))},
                             {"link_kind", binding.link_kind},
                             {"authorize_id", body.transaction_id()}});
  auto text = body.SerializeAsString();
  auto input = authorize_signing_input(binding.client, binding.own_spki, binding.peer_spki,
                                       binding.exporter, text);
  self->request(config.signer, caf::infinite, atom::sign_v, std::move(input))
    .then(
      [this, link, text](std::string& signature) {
        self->send(link, atom::introduce_v, text, std::move(signature));
      },
      [this, link](const caf::error& err) {
        self->send(link, atom::close_v, std::string{to_string(code_of(err))}, detail_of(err));
      });
}

void authorization_state::admit(link_actor link, session_binding binding, std::string body,
                                std::string signature) {
  if (!known) {
    once_known([=, this] { admit(link, binding, body, signature); });
    return;
  }
  auto rights = config.node->rights->load();
  auto x = check_authorize(*rights, binding, body, signature, config.node->time->wall_ms());
  if (x) {
    // Before its id is looked at: the ids of a copy may be the higher ones.
    if (judge_copy(link, binding, *x, body, signature))
      remember(std::move(link), *x);
    return;
  }
  refuse_peer(link, x.error(),
              {uid_of(binding.peer_spki), claimed_address(body), binding.remote_address});
}

void authorization_state::refuse_peer(const link_actor& link, const caf::error& why,
                                      const refused_peer& who) {
  refusals->add();
  audit::refused(
    "peer", why,
    {{"peer", who.node_address}, {"peer_uid", to_string(who.uid)}, {"address", who.address}});
  log::warning(component, "a peer was not admitted",
               {{"claims", who.node_address}, {"reason", describe(why)}});
  self->send(link, atom::close_v, std::string{to_string(code_of(why))}, detail_of(why));
}

/// HLD 7.6: an id that does not rise is a replay; the highest one is kept durably.
void authorization_state::remember(link_actor link, const admitted& x) {
  auto replayed = std::make_shared<bool>(false);
  auto key = "authorize/" + x.peer.credential_hashes.front();
  // What this peer sends may be judged after a restart, when the peer is gone.
  transaction_step step = [replayed, key, id = x.transaction_id,
                           credentials = x.credentials](transaction& t) -> caf::error {
    t.use_reserve(true); // without its links a full store would not drain
    auto stored = t.get(table::nodes, key);
    if (!stored)
      return std::move(stored.error());
    *replayed = *stored && (*stored)->size() == 8 && read_u64(**stored) >= id;
    if (*replayed)
      return {};
    for (auto& credential : credentials)
      if (auto err = t.put(table::nodes, std::string{credential_prefix} + credential->hash,
                           credential->text))
        return err;
    return t.put(table::nodes, key, number_text(id));
  };
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then(
      [this, link, replayed, x](atom::committed) {
        if (!*replayed)
          return begin_session(link, x);
        // Signed for this very session, so nobody repeats it: two may count with one key.
        note_suspect(x);
        refuse_peer(
          link,
          caf::make_error(ec::replay, std::string{"an Authorize with an id that does not rise"}),
          x.who());
      },
      [this, link](const caf::error& err) {
        self->send(link, atom::close_v, std::string{to_string(code_of(err))}, detail_of(err));
      });
}

void authorization_state::begin_session(const link_actor& link, const admitted& x) {
  // A list may have come while this was on its way to the disk.
  auto rights = config.node->rights->load();
  for (auto& credential : x.credentials)
    if (auto err = rights->check_standing(*credential, config.node->time->wall_ms())) {
      refuse_peer(link, err, x.who());
      return;
    }
  admissions->add();
  auto number = next_session++;
  session_numbers[link->address()] = number;
  auto& begun = sessions[number];
  begun.link = link;
  begun.peer = x;
  self->monitor(link);
  accept_proof(x);
  self->send(link, atom::admit_v, x.peer);
}

authorization_state::session* authorization_state::find_session(const link_actor& link) {
  auto number = session_numbers.find(link->address());
  return number == session_numbers.end() ? nullptr : &sessions.at(number->second);
}

void authorization_state::session_ended(const caf::actor_addr& link) {
  auto number = session_numbers.find(link);
  if (number == session_numbers.end())
    return;
  sessions.erase(number->second);
  session_numbers.erase(number);
}

} // namespace rvi
