// SPDX-License-Identifier: MPL-2.0
//
// Another key pair for this node (PROV_SVC-2), in two calls: the first has the next key made and
// shows it, signed by both; the second brings credentials for it, after which it takes over and the
// node starts anew. What the key before has signed is still sent and answered: the credentials say
// which keys the node had.

#include "actors/routing/authorization.hpp"
#include "actors/routing/authorization_steps.hpp"
#include "actors/storage/transaction.hpp"
#include "messages/key_pair.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "authorization";

caf::error bad_request(std::string why) {
  return caf::make_error(ec::bad_request, std::move(why));
}

} // namespace

caf::result<std::string> authorization_state::replace_key_pair(const certificate_call& x) {
  if (!config.keys.next)
    return caf::make_error(ec::refused,
                           std::string{"this node's key is kept where it cannot be replaced"});
  auto next = config.keys.next();
  if (!next)
    return std::move(next.error());
  if (x.values.empty())
    return show_next_key(*next);
  auto rights = config.node->rights->load();
  auto fresh = check_for_next_key(x.values, next->public_part());
  if (!fresh)
    return std::move(fresh.error());
  // Those of the present key stay known: what was signed with them is judged by them.
  transaction_step step = [fresh = *fresh, own = rights->own](transaction& t) -> caf::error {
    for (auto& each : fresh)
      if (auto err
          = t.put(table::nodes, std::string{own_credential_prefix} + each->hash, '+' + each->text))
        return err;
    // What this node and its peers ask of each other by tokens was agreed with the present key.
    stored_records tokens;
    for (auto prefix : {clone_asked_prefix, clone_held_prefix})
      if (auto err = records_below(t, prefix, tokens))
        return err;
    for (auto& [key, value] : tokens)
      if (auto erased = t.erase(table::nodes, key); !erased)
        return std::move(erased.error());
    for (auto& each : own)
      if (auto err = t.put(table::nodes, std::string{credential_prefix} + each->hash, each->text))
        return err;
    return {};
  };
  auto promise = self->make_response_promise<std::string>();
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then(
      [this, promise, uid = next->public_part().uid(), by = x.source](atom::committed) mutable {
        if (auto err = config.keys.take_over()) {
          log::error(component, "the next key did not take over", {{"error", describe(err)}});
          promise.deliver(std::move(err));
          return;
        }
        log::info(component, "another key takes over; this node starts anew",
                  {{"uid", to_string(config.node->uid)}, {"next_uid", to_string(uid)}});
        audit::record(
          "key_pair_replaced",
          {{"peer_uid", to_string(config.node->uid)}, {"next_uid", to_string(uid)}, {"by", by}});
        json::writer out;
        out.begin_object().member("status", "ok").member("node_uid", to_string(uid)).end_object();
        promise.deliver(out.take());
        if (config.keys.restart)
          config.keys.restart();
      },
      [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

caf::result<std::string> authorization_state::show_next_key(const crypto::private_key& next) {
  auto rights = config.node->rights->load();
  auto input = key_pair_signing_input(config.node->node_address,
                                      config.node->time->wall_ms() / 1'000, rights->own_key, next);
  if (!input)
    return std::move(input.error());
  audit::record("key_used",
                {{"for", "key pair"}, {"next_uid", to_string(next.public_part().uid())}});
  auto promise = self->make_response_promise<std::string>();
  self->request(config.signer, caf::infinite, atom::sign_v, *input)
    .then(
      [promise, input = *input, key = next.public_part()](const std::string& signature) mutable {
        json::writer out;
        out.begin_object()
          .member("status", "ok")
          .member("node_uid", to_string(key.uid()))
          .member("key_pair", signed_key_pair(input, signature))
          .key("public_key")
          .raw(key.jwk())
          .end_object();
        promise.deliver(out.take());
      },
      [promise](caf::error& err) mutable { promise.deliver(std::move(err)); });
  return promise;
}

expected<std::vector<credential_ptr>>
authorization_state::check_for_next_key(const std::vector<std::string>& texts,
                                        const crypto::public_key& next) const {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  auto provisioning = config.node->node_address + std::string{provisioning_level};
  std::vector<credential_ptr> result;
  bool reachable = false;
  bool owns_address = false;
  bool follows = false;
  for (auto& text : texts) {
    auto credential = parse_written_credential(text);
    if (!credential)
      return std::move(credential.error());
    auto& x = **credential;
    if (auto err = verify_credential(x, rights->anchors))
      return err;
    if (x.key.spki() != next.spki())
      return bad_request(x.id + " was issued for another key than the next one of this node");
    if (auto err = rights->check_standing(x, now))
      return err;
    reachable = reachable || x.covers_source(provisioning);
    owns_address = owns_address || x.covers_source(config.node->node_address);
    follows
      = follows || std::find(x.former.begin(), x.former.end(), config.node->uid) != x.former.end();
    result.push_back(std::move(*credential));
  }
  if (!owns_address || !reachable)
    return caf::make_error(
      ec::refused, "without the sources " + config.node->node_address + " and " + provisioning
                     + " among its credentials the next key could not be provisioned any more");
  if (!follows)
    return bad_request("none of them names the present key as a former one: see rvi credential "
                       "renew --key-pair");
  return result;
}

} // namespace rvi
