// SPDX-License-Identifier: MPL-2.0
//
// Grants between nodes (HLD 9.6): what this node gives others below its own address, and what it
// was given. Both lie in the store; a grant that is not there does not count here, whoever shows
// it.

#include "actors/routing/authorization.hpp"
#include "actors/routing/authorization_steps.hpp"
#include "actors/storage/transaction.hpp"
#include "messages/name.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "authorization";
constexpr size_t given_max = 4'096;
constexpr size_t held_max = 1'024;

std::string key_of(std::string_view prefix, const grant& x) {
  return std::string{prefix} + x.hash;
}

bool is_over(const grant& x, uint64_t now_ms) {
  return code_of(check_validity(x, now_ms)) == ec::credential_expired;
}

/// The same grant, given anew.
bool replaces(const grant& x, const grant& before) {
  return x.id == before.id && x.granter.spki() == before.granter.spki()
         && x.issued_s >= before.issued_s;
}

void insert_held(grant_book& to, const grant_ptr& x) {
  if (std::any_of(to.held.begin(), to.held.end(), [&](auto& each) { return replaces(*each, *x); }))
    return;
  std::erase_if(to.held, [&](auto& each) { return replaces(*x, *each); });
  to.held.push_back(x);
  std::stable_sort(to.held.begin(), to.held.end(),
                   [](auto& a, auto& b) { return a->issued_s > b->issued_s; });
}

std::string id_json(const std::string& id) {
  json::writer out;
  out.begin_object().member("status", "ok").member("grant_id", id).end_object();
  return out.take();
}

/// Whom it is for, by address or uid.
expected<node_uid> holder_of(const std::string& text, const routing_table& table) {
  if (auto uid = parse_node_uid(text))
    return uid;
  auto address = normalise_node_address(text);
  if (!address)
    return std::move(address.error());
  auto known = table.nodes.find(*address);
  if (known == table.nodes.end())
    return caf::make_error(ec::not_found, *address + " has not been met yet: give its uid instead");
  return known->second->uid;
}

void write(json::writer& out, const grant& x, bool given, uint64_t now_ms) {
  auto err = check_validity(x, now_ms);
  out.begin_object().member("grant_id", x.id);
  if (given)
    out.member("node_uid", to_string(x.holder));
  else
    out.member("node_uid", to_string(x.granter.uid())).member("node", x.granter_address);
  out.member("expires", x.expires_s);
  out.member("state", err ? to_string(code_of(err)) : "valid");
  out.key("destinations").begin_array();
  for (auto& pattern : x.destinations)
    out.string(pattern);
  out.end_array().member("grant", x.text).end_object();
}

} // namespace

void authorization_state::take_grants(
  const std::vector<std::pair<std::string, std::string>>& stored) {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  auto book = std::make_shared<grant_book>();
  std::vector<std::string> over;
  for (auto& [key, text] : stored) {
    bool given = key.starts_with(grant_given_prefix);
    auto x = parse_grant(text);
    bool mine = x
                && (given ? (*x)->granter.spki() == rights->own_key.spki()
                              && (*x)->granter_address == rights->node_address
                          : (*x)->holder == config.node->uid);
    if (!mine) {
      log::warning(component, "a stored grant is not used",
                   {{"reason", x ? "it is for another key or address" : describe(x.error())}});
    } else if (is_over(**x, now)) {
      over.push_back(key);
    } else if (given) {
      book->given[(*x)->hash] = *x;
    } else {
      insert_held(*book, *x);
    }
  }
  if (!over.empty())
    self->request(config.store, caf::infinite, atom::defer_v, erasing(std::move(over)))
      .then([](atom::committed) {});
  if (!book->given.empty() || !book->held.empty())
    change_rights([&](auto& next) { next.grants = book; });
}

caf::result<grant_answer> authorization_state::grant_asked(const grant_call& x) {
  if (!known)
    return caf::make_error(ec::busy, std::string{"the node has just started"});
  switch (x.what) {
    case grant_call::action::make:
      return make_grant(x);
    case grant_call::action::withdraw:
      return withdraw_grant(x);
    case grant_call::action::take:
      return take_grant(x);
    case grant_call::action::list:
      return grant_answer{list_grants(), {}, {}, 0};
  }
  return caf::make_error(ec::internal);
}

void authorization_state::keep_grants(transaction_step step,
                                      std::function<void(grant_book&)> change,
                                      std::function<grant_answer()> answer,
                                      caf::typed_response_promise<grant_answer> promise,
                                      std::optional<node_uid> peer) {
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then(
      [this, change = std::move(change), answer = std::move(answer), promise,
       peer](atom::committed) mutable {
        change_rights([&](rights& x) {
          auto book
            = x.grants ? std::make_shared<grant_book>(*x.grants) : std::make_shared<grant_book>();
          auto now = config.node->time->wall_ms();
          std::erase_if(book->given, [&](auto& each) { return is_over(*each.second, now); });
          std::erase_if(book->held, [&](auto& each) { return is_over(*each, now); });
          change(*book);
          x.grants = std::move(book);
        });
        // What it is shown depends on the rights it had when its session began.
        for (auto& [number, each] : sessions)
          if (peer && each.peer.peer.uid == *peer)
            self->send(each.link, atom::close_v, std::string{to_string(ec::link_down)},
                       std::string{"what this node grants the peer has changed"});
        if (store_and_forward)
          self->send(store_and_forward, atom::revoke_v);
        promise.deliver(answer());
      },
      [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
}

caf::result<grant_answer> authorization_state::make_grant(const grant_call& x) {
  auto table = config.node->routing->load();
  auto holder = holder_of(x.node, *table);
  if (!holder)
    return std::move(holder.error());
  if (*holder == config.node->uid)
    return caf::make_error(ec::bad_request, std::string{"a node needs no grant of its own"});
  auto rights = config.node->rights->load();
  if (rights->grants && rights->grants->given.size() >= given_max)
    return caf::make_error(ec::busy, "a node gives at most " + std::to_string(given_max)
                                       + " grants; withdraw some first");
  grant_claims claims;
  claims.granter_address = config.node->node_address;
  claims.granter = rights->own_key;
  claims.holder = *holder;
  claims.id = x.id.empty() ? crypto::hex(crypto::random_bytes(8)) : x.id;
  claims.issued_s = claims.not_before_s = config.node->time->wall_ms() / 1'000;
  claims.expires_s = x.expires_s;
  claims.destinations = x.destinations;
  if (rights->grants)
    for (auto& [hash, given] : rights->grants->given)
      if (given->id == claims.id && !is_over(*given, config.node->time->wall_ms()))
        return caf::make_error(ec::bad_request, "there is a grant " + claims.id + " already");
  auto input = grant_signing_input(claims);
  if (!input)
    return std::move(input.error());
  auto promise = self->make_response_promise<grant_answer>();
  self->request(config.signer, caf::infinite, atom::sign_v, *input)
    .then(
      [this, promise, input = *input](const std::string& signature) mutable {
        auto made = parse_grant(signed_grant(input, signature));
        if (made)
          give(*made, promise);
        else
          promise.deliver(std::move(made.error()));
      },
      [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

void authorization_state::give(const grant_ptr& x,
                               caf::typed_response_promise<grant_answer> promise) {
  auto step
    = [x](transaction& t) { return t.put(table::nodes, key_of(grant_given_prefix, *x), x->text); };
  auto change = [x](grant_book& book) { book.given[x->hash] = x; };
  auto answer = [this, x] {
    log::info(component, "granted", {{"grant_id", x->id}, {"node_uid", to_string(x->holder)}});
    audit::record(
      "grant_given",
      {{"grant_id", x->id}, {"node_uid", to_string(x->holder)}, {"expires", x->expires_s}});
    auto table = config.node->routing->load();
    auto node = table->nodes_by_uid.find(x->holder);
    json::writer out;
    out.begin_object()
      .member("status", "ok")
      .member("grant_id", x->id)
      .member("node_uid", to_string(x->holder))
      .member("expires", x->expires_s)
      .member("grant", x->text)
      .end_object();
    return grant_answer{out.take(), x->text,
                        node == table->nodes_by_uid.end() ? "" : node->second->address,
                        x->expires_s};
  };
  keep_grants(std::move(step), change, answer, promise, x->holder);
}

caf::result<grant_answer> authorization_state::withdraw_grant(const grant_call& x) {
  auto rights = config.node->rights->load();
  grant_ptr found;
  if (rights->grants)
    for (auto& [hash, given] : rights->grants->given)
      if (given->id == x.id)
        found = given;
  if (!found)
    return caf::make_error(ec::not_found, "this node has given no grant " + x.id);
  auto promise = self->make_response_promise<grant_answer>();
  auto answer = [found] {
    log::info(component, "grant withdrawn",
              {{"grant_id", found->id}, {"node_uid", to_string(found->holder)}});
    audit::record("grant_withdrawn",
                  {{"grant_id", found->id}, {"node_uid", to_string(found->holder)}});
    return grant_answer{id_json(found->id), {}, {}, 0};
  };
  auto step = [key = key_of(grant_given_prefix, *found)](transaction& t) -> caf::error {
    t.use_reserve(true); // a full store must not keep a right in force that was taken back
    auto erased = t.erase(table::nodes, key);
    return erased ? caf::error{} : std::move(erased.error());
  };
  keep_grants(
    std::move(step), [found](grant_book& book) { book.given.erase(found->hash); }, answer, promise,
    found->holder);
  return promise;
}

caf::result<grant_answer> authorization_state::take_grant(const grant_call& x) {
  auto parsed = parse_grant(x.text);
  if (!parsed)
    return std::move(parsed.error());
  auto& taken = *parsed;
  if (taken->holder != config.node->uid)
    return caf::make_error(ec::unauthorized, std::string{"the grant is for another node"});
  if (x.from && taken->granter.uid() != *x.from)
    return caf::make_error(ec::unauthorized,
                           std::string{"only the granting node may bring its grant"});
  auto now = config.node->time->wall_ms();
  if (is_over(*taken, now))
    return check_validity(*taken, now);
  auto rights = config.node->rights->load();
  if (rights->grants && rights->grants->held.size() >= held_max)
    return caf::make_error(ec::busy,
                           "a node holds at most " + std::to_string(held_max) + " grants");
  auto promise = self->make_response_promise<grant_answer>();
  auto answer = [taken] {
    log::info(component, "grant taken",
              {{"grant_id", taken->id}, {"node", taken->granter_address}});
    audit::record("grant_taken",
                  {{"grant_id", taken->id}, {"node_uid", to_string(taken->granter.uid())}});
    return grant_answer{id_json(taken->id), {}, {}, 0};
  };
  std::vector<std::string> replaced;
  for (auto& held : rights->grants ? rights->grants->held : std::vector<grant_ptr>{})
    if (held->hash != taken->hash && replaces(*taken, *held))
      replaced.push_back(key_of(grant_held_prefix, *held));
  keep_grants(
    [taken, drop = erasing(std::move(replaced))](transaction& t) {
      auto err = drop(t);
      return err ? err : t.put(table::nodes, key_of(grant_held_prefix, *taken), taken->text);
    },
    [taken](grant_book& book) { insert_held(book, taken); }, answer, promise, std::nullopt);
  return promise;
}

std::string authorization_state::list_grants() const {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  json::writer out;
  out.begin_object().member("status", "ok").key("given").begin_array();
  if (rights->grants)
    for (auto& [hash, x] : rights->grants->given)
      write(out, *x, true, now);
  out.end_array().key("held").begin_array();
  if (rights->grants)
    for (auto& x : rights->grants->held)
      write(out, *x, false, now);
  out.end_array().end_object();
  return out.take();
}

} // namespace rvi
