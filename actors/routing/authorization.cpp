// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/authorization.hpp"

#include "actors/routing/authorization_steps.hpp"
#include "messages/name.hpp"
#include "messages/wire/header.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "authorization";
constexpr std::string_view announce_label = "RVI-ANNOUNCE-1";

/// All values of the table `nodes` under keys that begin so.
caf::error values_below(transaction& t, std::string_view prefix, std::vector<std::string>& result) {
  result.clear();
  return each_below(t, prefix, [&](auto, auto value) { result.emplace_back(value); });
}

} // namespace

// -- local requests (HLD 8.2, 8.3) --------------------------------------------------------------

expected<chosen_right> authorization_state::choose(const draft& x) const {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  auto& header = x.header;
  if (!header.is_reply())
    return rights->choose(header.source, header.target, now, header.expires_ms, header.role());
  auto credential = rights->choose_for_reply(header.source, now);
  if (!credential)
    return std::move(credential.error());
  return chosen_right{std::move(*credential)};
}

caf::result<authorized_batch> authorization_state::authorize(draft_batch x) {
  auto from = std::make_shared<asked>();
  from->promise = self->make_response_promise<authorized_batch>();
  from->results.resize(x.size());
  from->open = x.size();
  auto promise = from->promise;
  once_known([this, from, x = std::move(x)]() mutable { choose_all(from, std::move(x)); });
  return promise;
}

void authorization_state::choose_all(const asked_ptr& from, draft_batch x) {
  for (size_t i = 0; i < x.size(); ++i) {
    auto right = choose(x[i]);
    auto& header = x[i].header;
    config.node->record(header.id, 2, header.is_reply(), "authorize local service");
    if (right && right->grant)
      header.grant_hash = right->grant->hash;
    header.arguments_length = x[i].arguments.size();
    unsigned_item item{std::move(x[i]), right ? right->credential : nullptr, from, i};
    if (right && key_away
        && (unsigned_items >= config.unsigned_items_max
            || unsigned_bytes + item.content.arguments.size() > config.unsigned_bytes_max)) {
      settle(item, {nullptr, caf::make_error(ec::busy, std::string{"the node's key is out of reach "
                                                                   "and too much waits for it"})});
      continue;
    }
    if (right) {
      ++unsigned_items;
      unsigned_bytes += item.content.header.arguments_length;
      queued.push_back(std::move(item));
      continue;
    }
    denied->add();
    audit::refused(
      "local request", right.error(),
      {{"source", item.content.header.source}, {"target", item.content.header.target}});
    settle(item, {nullptr, std::move(right.error())});
  }
  if (x.empty())
    from->promise.deliver(authorized_batch{});
  sign_queued();
}

void authorization_state::settle(unsigned_item& item, authorized result) {
  auto& from = *item.from;
  from.results[item.index] = std::move(result);
  if (--from.open == 0)
    from.promise.deliver(std::move(from.results));
}

void authorization_state::leave_line(unsigned_item& item, authorized result) {
  --unsigned_items;
  unsigned_bytes -= item.content.header.arguments_length;
  settle(item, std::move(result));
}

void authorization_state::sign_later(std::vector<unsigned_item> items, const caf::error& why) {
  key_away = true;
  auto now = config.node->time->wall_ms();
  std::move(queued.begin(), queued.end(), std::back_inserter(items));
  queued.clear();
  for (auto& item : items)
    if (item.content.header.expires_ms > now)
      queued.push_back(std::move(item));
    else
      leave_line(item, {nullptr, caf::make_error(ec::timeout, "the time was up before the node's "
                                                              "key could be used: "
                                                                + detail_of(why))});
}

void authorization_state::sign_queued() {
  if (signing > 0 || queued.empty())
    return;
  auto by_hash = [](const credential_ptr& a, const credential_ptr& b) { return a->hash < b->hash; };
  std::map<credential_ptr, tree_items, decltype(by_hash)> trees{by_hash};
  std::vector<std::pair<credential_ptr, tree_items>> full;
  for (auto& item : std::exchange(queued, {})) {
    auto& tree = trees[item.credential];
    if (tree && tree->size() == crypto::batch_leaves_max)
      full.emplace_back(item.credential, std::exchange(tree, nullptr));
    if (!tree)
      tree = std::make_shared<std::vector<unsigned_item>>();
    tree->push_back(std::move(item));
  }
  full.insert(full.end(), trees.begin(), trees.end());
  for (auto& [credential, items] : full)
    sign_tree(items, credential);
}

/// Each would be too many: at most one record a minute says how many there were.
void authorization_state::note_signature() {
  ++signatures_not_noted;
  auto now = config.node->time->boot_ms();
  if (now < note_signatures_ms)
    return;
  note_signatures_ms = now + 60'000;
  audit::record("key_used", {{"for", "requests and replies"},
                             {"signatures", std::exchange(signatures_not_noted, 0)}});
}

void authorization_state::sign_tree(tree_items items, const credential_ptr& credential) {
  auto encoded = std::make_shared<std::vector<std::string>>();
  std::vector<std::string_view> leaves;
  for (auto& item : *items) {
    auto& header = item.content.header;
    header.credential_hash = credential->hash;
    header.arguments_sha256 = crypto::view(crypto::sha256(item.content.arguments));
    encoded->push_back(wire::encode_header(header));
  }
  leaves.assign(encoded->begin(), encoded->end());
  crypto::digest hash;
  std::copy_n(credential->hash.begin(), hash.size(), reinterpret_cast<char*>(hash.data()));
  auto tree = std::make_shared<crypto::batch_tree>(leaves, hash, config.node->time->wall_ms());
  ++signing;
  signatures->add();
  note_signature();
  self->request(config.signer, caf::infinite, atom::sign_v, tree->to_be_signed())
    .then(
      [this, items, encoded, tree](std::string& signature) {
        key_away = false;
        auto root = std::make_shared<const crypto::batch_root>(
          tree->signed_with(config.algorithm, std::move(signature)));
        for (size_t i = 0; i < items->size(); ++i) {
          auto& item = (*items)[i];
          auto result = std::make_shared<envelope>();
          result->header = std::move(item.content.header);
          result->header_bytes = std::move((*encoded)[i]);
          result->arguments = std::move(item.content.arguments);
          result->claim = std::move(item.content.claim);
          result->root = root;
          result->proof = tree->proof(static_cast<uint32_t>(i));
          config.node->record(result->header.id, 3, result->header.is_reply(), "signed");
          leave_line(item, {std::move(result), {}});
        }
        --signing;
        sign_queued();
      },
      [this, items](const caf::error& err) {
        if (code_of(err) == ec::busy)
          sign_later(std::move(*items), err); // the signer has waited before it said so
        else
          for (auto& item : *items)
            leave_line(item, {nullptr, err});
        --signing;
        sign_queued();
      });
}

// -- announcements and credentials --------------------------------------------------------------

caf::result<std::vector<announce_entry>>
authorization_state::announce(const std::vector<std::string>& services) {
  auto promise = self->make_response_promise<std::vector<announce_entry>>();
  auto result = std::make_shared<std::vector<announce_entry>>(services.size());
  auto open = std::make_shared<size_t>(services.size());
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  if (services.empty())
    promise.deliver(std::move(*result));
  for (size_t i = 0; i < services.size(); ++i) {
    auto named = wire::decode_announced(services[i]);
    auto credential = named ? rights->choose_for_reply(named->service.name, now)
                            : expected<credential_ptr>{std::move(named.error())};
    if (!credential) {
      promise.deliver(std::move(credential.error()));
      return promise;
    }
    self
      ->request(config.signer, caf::infinite, atom::sign_v,
                std::string{announce_label} + services[i])
      .then(
        [result, open, i, promise, service = services[i],
         hash = (*credential)->hash](std::string& signature) mutable {
          (*result)[i] = {service, std::move(signature), hash};
          if (--*open == 0)
            promise.deliver(std::move(*result));
        },
        [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  }
  return promise;
}

void authorization_state::send_credentials(const link_actor& link,
                                           const std::vector<std::string>& hashes) {
  auto rights = config.node->rights->load();
  std::vector<std::string> texts;
  std::vector<std::string> missing;
  for (auto& hash : hashes)
    if (auto x = rights->find_known(hash))
      texts.push_back(x->text);
    else
      missing.push_back(hash);
  if (missing.empty())
    self->send(link, atom::learn_v, std::move(texts));
  else
    send_stored_credentials(link, std::move(texts), missing);
}

namespace {

/// A credential of the peer's own; one of another was looked at before, and its signature is not
/// checked twice.
expected<credential_ptr>
accept_shown(std::string_view text, const rights& own, const node_uid& peer, uint64_t now_ms) {
  auto x = parse_credential(text);
  if (!x)
    return x;
  if ((*x)->key.uid() != peer)
    return caf::make_error(ec::credential_invalid,
                           "the credential " + (*x)->id + " of another node is forged");
  if (auto err = check_validity(**x, now_ms))
    return err;
  if (auto err = verify_credential(**x, own.anchors))
    return err;
  return x;
}

} // namespace

void authorization_state::learn(const std::vector<std::string>& texts, const link_actor& link) {
  auto from = find_session(link);
  if (!from)
    return;
  auto rights = config.node->rights->load();
  for (auto& text : texts) {
    if (learn_of_another(*rights, text, link))
      continue;
    auto now = config.node->time->wall_ms();
    auto x = accept_shown(text, *rights, from->peer.peer.uid, now);
    auto err = x ? rights->check_standing(**x, now) : std::move(x.error());
    if (err) {
      refuse_peer(link, err, from->peer.who());
      return;
    }
    rights->known->add(*x);
  }
  self->send(link, atom::done_v);
}

void authorization_state::load_known() {
  auto texts = std::make_shared<std::vector<std::string>>();
  auto lists = std::make_shared<std::vector<std::string>>();
  auto copies = std::make_shared<std::vector<std::pair<std::string, std::string>>>();
  auto provisioned = std::make_shared<std::vector<std::pair<std::string, std::string>>>();
  auto grants = std::make_shared<std::vector<std::pair<std::string, std::string>>>();
  auto walked = std::make_shared<std::vector<std::string>>();
  transaction_step step
    = [texts, lists, copies, provisioned, grants, walked](transaction& t) -> caf::error {
    grants->clear();
    for (auto prefix : {grant_given_prefix, grant_held_prefix})
      if (auto err = records_below(t, prefix, *grants))
        return err;
    if (auto err = values_below(t, bundle_prefix, *walked))
      return err;
    if (auto err = read_provisioned(t, *provisioned))
      return err;
    copies->clear();
    if (auto err = records_below(t, clone_prefix, *copies))
      return err;
    if (auto err = values_below(t, credential_prefix, *texts))
      return err;
    return values_below(t, revocation_prefix, *lists);
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then(
      [this, texts, lists, copies, provisioned, grants, walked](atom::done) {
        take_bundles(std::move(*walked));
        take_provisioned(*provisioned);
        take_grants(*grants);
        take_clone_records(*copies);
        take_sets(*lists);
        take_known(*texts);
      },
      [this](const caf::error& err) { self->quit(err); });
}

void authorization_state::take_known(const std::vector<std::string>& texts) {
  auto rights = config.node->rights->load();
  std::vector<std::string> over;
  for (auto& text : texts) {
    auto x = accept_credential(text, rights->anchors, config.node->time->wall_ms());
    if (x)
      rights->known->add(*x);
    else if (code_of(x.error()) == ec::credential_expired)
      over.push_back(std::string{credential_prefix}
                     + std::string{crypto::view(crypto::sha256(text))});
  }
  if (!over.empty()) {
    self->request(config.store, caf::infinite, atom::commit_v, erasing(std::move(over)))
      .then([](atom::committed) {});
  }
  known = true;
  for (auto& work : std::exchange(waiting_for_known, {}))
    work();
}

void authorization_state::once_known(std::function<void()> work) {
  if (known)
    work();
  else
    waiting_for_known.push_back(std::move(work));
}

caf::result<atom::done> authorization_state::when_known() {
  if (known)
    return atom::done_v;
  auto promise = self->make_response_promise<atom::done>();
  waiting_for_known.push_back([promise]() mutable { promise.deliver(atom::done_v); });
  return promise;
}

caf::error authorization_state::reread_rights() {
  auto before = config.node->rights->load();
  auto next = config.source ? config.source(bundles)
                            : expected<std::shared_ptr<rights>>{std::make_shared<rights>(*before)};
  if (!next)
    return std::move(next.error());
  auto& x = **next;
  if (!config.source)
    for (auto& text : bundles)
      if (auto bundle = parse_trust_bundle(text))
        (void)x.anchors.walk(*bundle); // those it has taken are behind it
  // Anchors may have gone, and with them what they vouched for.
  x.known->keep_if([&](const credential& each) { return !verify_credential(each, x.anchors); });
  x.revocations = before->revocations;
  x.quarantine = before->quarantine;
  x.grants = before->grants;
  add_provisioned(x);
  std::erase_if(x.own, [&](auto& each) { return bool(verify_credential(*each, x.anchors)); });
  config.node->rights->publish(*next);
  return {};
}

caf::result<atom::done> authorization_state::reload() {
  if (auto err = reread_rights()) {
    log::error(component, "credentials were not read again", {{"error", describe(err)}});
    return err;
  }
  auto count = config.node->rights->load()->own.size();
  log::info(component, "credentials read", {{"credentials", count}});
  audit::record("credentials_read", {{"credentials", count}});
  return atom::done_v;
}

std::string authorization_state::status() const {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  json::writer out;
  out.begin_object()
    .member("node_uid", to_string(config.node->uid))
    .member("key", config.key_location)
    .member("key_state", key_away ? "out of reach" : "ready");
  out.key("credentials").begin_array();
  for (auto& x : rights->own) {
    auto err = rights->check_standing(*x, now);
    out.begin_object()
      .member("id", x->id)
      .member("issuer", x->issuer)
      .member("expires", x->expires_s)
      .member("state", err ? to_string(code_of(err)) : "valid")
      .end_object();
  }
  out.end_array();
  out.key("organizations").begin_array();
  for (auto& x : rights->anchors.organizations())
    out.string(x);
  out.end_array();
  out.key("revocation_lists").begin_array();
  for (auto& [issuer, x] : rights->revocations ? *rights->revocations : revocation_sets{})
    out.begin_object()
      .member("issuer", issuer)
      .member("bundle", x->version.bundle)
      .member("serial", x->version.serial)
      .member("entries", uint64_t{x->entries.size()})
      .member("issued", x->issued_s)
      .member("next", x->next_s)
      .end_object();
  out.end_array();
  out.key("quarantined").begin_array();
  if (rights->quarantine)
    for (auto& [uid, since] : *rights->quarantine)
      out.string(to_string(uid));
  out.end_array();
  out.member("denied", denied->value());
  out.member("batch_signatures", signatures->value());
  out.end_object();
  return out.take();
}

authorization_actor::behavior_type
authorization(authorization_actor::stateful_pointer<authorization_state> self,
              authorization_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  auto& m = *st.config.node->metrics;
  st.denied = &m.get_counter("rvi_local_requests_denied_total", "Requests without a right.");
  st.signatures = &m.get_counter("rvi_batch_signatures_total", "RVI-B1 roots signed.");
  st.admissions = &m.get_counter("rvi_sessions_admitted_total", "Peers authorized.");
  st.refusals = &m.get_counter("rvi_sessions_refused_total", "Peers not authorized.");
  st.lists_taken = &m.get_counter("rvi_revocation_lists_total", "Revocation lists put in force.");
  st.lists_refused = &m.get_counter("rvi_revocation_lists_refused_total",
                                    "Lists from peers that no pinned issuer signed.");
  st.lists_useless
    = &m.get_counter("rvi_revocation_lists_useless_total", "Lists from peers that were not newer.");
  st.revoked_entries = &m.get_gauge("rvi_revoked_credentials", "Entries of all lists in force.");
  st.clone_alarms = &m.get_counter("rvi_clone_alarms_total", "Keys found to be in two places.");
  st.clone_suspects = &m.get_counter("rvi_clone_suspects_total",
                                     "Peers that came without the token they were given.");
  self->set_down_handler([&st](const caf::down_msg& x) { st.session_ended(x.source); });
  st.reserve_ids();
  st.load_known();
  return {
    [&st](atom::authorize, draft_batch& x) { return st.authorize(std::move(x)); },
    [&st](atom::introduce, link_actor& link, session_binding& binding) {
      st.introduce(std::move(link), std::move(binding));
    },
    [&st](atom::admit, link_actor& link, session_binding& binding, std::string& body,
          std::string& signature) {
      st.admit(std::move(link), std::move(binding), std::move(body), std::move(signature));
    },
    [&st](atom::announce, const std::vector<std::string>& x) { return st.announce(x); },
    [&st](atom::learn, const link_actor& link, const std::vector<std::string>& hashes) {
      st.send_credentials(link, hashes);
    },
    [&st](atom::learn, const std::vector<std::string>& texts, const link_actor& link) {
      st.learn(texts, link);
    },
    [&st](atom::read) { return st.when_known(); },
    [&st](atom::revoke, std::string& text) { return st.revoke(std::move(text)); },
    [&st](atom::revoke, const link_actor& link, std::vector<std::string>& texts) {
      st.revoke_from_peer(link, std::move(texts));
    },
    [&st](atom::link_up, const link_actor& link) { st.session_up(link); },
    [&st](atom::rotate, const link_actor& link, uint64_t counter, std::string& token) {
      st.token_offered(link, {counter, std::move(token)});
    },
    [&st](atom::confirm, const link_actor& link, uint64_t counter) {
      st.token_kept(link, counter);
    },
    [&st](atom::provision, const certificate_call& x) { return st.provision(x); },
    [&st](atom::grant, const grant_call& x) { return st.grant_asked(x); },
    [&st](atom::introduce) { st.renew_sessions(); },
    [&st](atom::attach, store_and_forward_actor& x) { st.attach(std::move(x)); },
    [&st](atom::attach, rights_listener_actor& x) { st.rights_listener = std::move(x); },
    [&st](atom::reload) { return st.reload(); },
    [&st](atom::status) { return st.status(); },
  };
}

} // namespace rvi
