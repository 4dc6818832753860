// SPDX-License-Identifier: MPL-2.0

#include "test/unit/simulation/reference_world.hpp"

#include "messages/name.hpp"
#include "messages/wire/batch.hpp"
#include "messages/wire/header.hpp"
#include "rvi.pb.h"
#include "test/unit/simulation/reference_damage.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rvi;

namespace test {

namespace {

constexpr uint64_t now_s = now_ms / 1'000;

const std::vector<std::string> targets = {
  "rpc:jlr.com/cloud/media_server/stream_audio",
  "rpc:jlr.com/cloud/media_server/stream_audio",
  "rpc:jlr.com/cloud/media_server/stream_audio",
  "rpc:jlr.com/cloud/media_server",
  "message:jlr.com/cloud/log/x",
  "message:jlr.com/cloud/log/x/y",
  "message:jlr.com/cloud/log",
  "message:jlr.com/cloud/media_server/x",
  "rpc:jlr.com/cloud/log/x",
  "rpc:jlr.com/cloud/admin/x",
  "rpc:jlr.com/cloud/admin",
  "rpc:jlr.com/cloud/a/sota/update",
  "rpc:jlr.com/cloud/a/sota",
  "rpc:jlr.com/cloud/trust/y",
  "rpc:jlr.com/cloudy/media_server/x",
  "rpc:jlr.com/vin/1234/media_server/x",
  "rpc:jlr.com/Cloud/media_server/x",
  "jlr.com/cloud/media_server/x",
  "metric:jlr.com/cloud/log/x",
  "rpc:other.com/cloud/x",
  "rpc:jlr.com/cloud/+447412123123/x",
  "rpc:jlr.com/cloud/+/x",
};
const std::vector<std::string> sources = {
  "jlr.com/vin/1234/services/player",
  "jlr.com/vin/1234/services/player",
  "jlr.com/vin/1234/services/player",
  "jlr.com/vin/1234/services",
  "jlr.com/vin/1234",
  "jlr.com/vin/12345/services/player",
  "jlr.com/vin/1234/services/admin/x",
  "jlr.com/vin/1234/Services/player",
  "jlr.com/vin/1234/+/player",
  "other.com/vin/1234/services/player",
};

/// Mostly `usual`, now and then one of the others.
uint64_t time_of(dice& roll, uint64_t usual, const std::vector<uint64_t>& others) {
  return roll.below(8) == 0 ? roll.pick(others) : usual;
}

wire::RequestHeader request_header_of(const sender& from, dice& roll) {
  wire::RequestHeader x;
  x.set_version(1);
  auto odd = roll.below(3) == 0;
  x.set_target(odd ? roll.pick(targets) : targets[roll.below(5)]);
  x.set_source(odd ? roll.pick(sources) : sources[roll.below(3)]);
  x.set_kind(x.target().starts_with("message:") ? wire::MESSAGE : wire::RPC);
  auto origin = roll.below(30) == 0 ? roll.bytes(16)
                                    : std::string{crypto::view(from.key.public_part().uid())};
  x.set_transaction_id(origin + roll.bytes(12));
  constexpr uint64_t minute = 60'000;
  constexpr uint64_t ttl = uint64_t{30} * 24 * 60 * minute;
  x.set_created_ms(time_of(
    roll, now_ms - 1'000,
    {now_ms + 5 * minute, now_ms + 5 * minute + 1, now_ms - 1 - ttl, now_ms - ttl, now_ms - 1}));
  x.set_expires_ms(
    time_of(roll, now_ms + minute,
            {now_ms, now_ms + 1, x.created_ms() + ttl, x.created_ms() + ttl + 1, now_ms - 1}));
  x.set_priority(4);
  x.set_credential_hash(from.credential->hash);
  return x;
}

/// Around the 10 minutes from the usual creation.
uint64_t signing_time(dice& roll) {
  return time_of(roll, now_ms - 900,
                 {now_ms - 1'000 + 600'000, now_ms - 1'000 + 600'001, now_ms - 1'000 - 600'000,
                  now_ms - 1'000 - 600'001});
}

/// One tree over these headers, signed by `key`.
std::vector<reference::raw_request>
sign_tree(const crypto::private_key& key, const std::string& credential_hash,
          const std::vector<std::string>& headers, const std::vector<std::string>& arguments,
          uint64_t signed_at, dice& roll) {
  crypto::digest hash;
  std::copy_n(credential_hash.begin(), 32, hash.begin());
  crypto::batch_tree tree{
    {headers.begin(), headers.end()}, hash, signed_at, roll.bytes(16), roll.bytes(32)};
  auto root = tree.signed_with(key.public_part().algorithm(), *key.sign(tree.to_be_signed()));
  std::vector<reference::raw_request> result;
  for (size_t i = 0; i < headers.size(); ++i)
    result.push_back(raw_of(root, tree.proof(static_cast<uint32_t>(i)), headers[i], arguments[i]));
  return result;
}

/// Now and then the sender itself signs what is no good header.
std::string perhaps_odd(const wire::RequestHeader& x, dice& roll) {
  auto result = x.SerializeAsString();
  if (roll.below(5) == 0)
    change_meaning(result, roll);
  if (roll.below(15) == 0)
    change_encoding(result, roll);
  return result;
}

std::vector<std::string> draw_arguments(dice& roll) {
  std::vector<std::string> result(std::vector<size_t>{1, 2, 3, 5, 8, 13}[roll.below(6)]);
  for (auto& x : result)
    x = roll.bytes(roll.below(50));
  return result;
}

void set_arguments(wire::RequestHeader& x, const std::string& arguments) {
  x.set_arguments_length(arguments.size());
  x.set_arguments_sha256(std::string{crypto::view(crypto::sha256(arguments))});
}

/// The item alone in its Batch, as it would travel.
std::string frame_of(const reference::raw_request& x) {
  wire::Batch message;
  message.set_batch_id(x.batch_id);
  message.set_size(x.batch_size);
  message.set_signed_at_ms(x.signed_at_ms);
  message.set_algorithm(static_cast<wire::SignatureAlgorithm>(x.algorithm));
  message.set_signature(x.signature);
  message.set_credential_hash(x.credential_hash);
  auto& item = *message.add_items();
  item.set_header(x.header);
  item.set_arguments(x.arguments);
  item.set_leaf_index(x.leaf_index);
  item.set_salt(x.salt);
  for (auto& hash : x.path)
    item.add_path(hash);
  return message.SerializeAsString();
}

/// The verifier's and the service edge's steps.
expected<envelope_ptr> taken(const rights& node, const reference::raw_request& raw) {
  auto decoded = wire::decode_batch(frame_of(raw), 1 << 20);
  if (!decoded)
    return decoded.error();
  if (decoded->items.size() != 1)
    return caf::make_error(ec::malformed, std::string{"another number of items"});
  auto root = wire::root_of(*decoded);
  if (!root)
    return root.error();
  auto x = decoded->items.front();
  if (x->is_opening())
    return caf::make_error(ec::malformed, std::string{"here all arguments come at once"});
  if (auto err = node.check_remote(x->header, decoded->root->signed_at_ms, now_ms))
    return err;
  auto credential = node.find(x->header.credential_hash);
  crypto::verified_root_cache none{0};
  if (!credential || !none.verify(*decoded->root, *root, credential->key))
    return caf::make_error(ec::signature_invalid, std::string{"the root's"});
  return x;
}

} // namespace

void tally::add(bool router, bool other, const std::string& what) {
  ++asked_;
  accepted_ += router && other;
  if (router == other)
    return;
  ++disagreed_;
  if (said_.size() < 12 && said_.insert(what).second)
    MESSAGE("the router says ", router, ", the reference ", other, ": ", what);
}

void tally::conclude(size_t asked_min) const {
  MESSAGE("asked ", asked_, ", accepted ", accepted_, ", disagreed ", disagreed_);
  CHECK(asked_ >= asked_min);
  CHECK(accepted_ > asked_ / 20);
  CHECK(accepted_ < asked_);
  CHECK(disagreed_ == 0);
}

crypto::private_key ed25519_key(char seed) {
  auto der = *crypto::unhex("302e020100300506032b657004220420") + std::string(32, seed);
  return *crypto::private_key::from_pem("-----BEGIN PRIVATE KEY-----\n" + crypto::base64(der)
                                        + "\n-----END PRIVATE KEY-----\n");
}

reference::raw_request raw_of(const crypto::batch_root& root, const crypto::leaf_proof& proof,
                              std::string header, std::string arguments) {
  return {std::move(header), std::move(arguments), root.batch_id,
          root.size,         root.signed_at_ms,    static_cast<int>(root.algorithm),
          root.signature,    proof.index,          proof.salt,
          proof.path,        root.credential_hash, {}};
}

world::world() {
  root.key = ed25519_key(10);
  stranger.key = ed25519_key(11);
  other.key = ed25519_key(12);
  cloud_rights.node_address = "jlr.com/cloud";
  vehicle_rights.node_address = "jlr.com/vin/1234";
  for (auto node : {&cloud_rights, &vehicle_rights})
    node->known = std::make_shared<credential_cache>(100);
  add_senders();
  add_answerers();
  settle_rights();
}

sender
world::add(const crypto::private_key& key, credential_claims claims, const authority& issuer) {
  claims.id = "credential " + std::to_string(++credentials_);
  return {key, issuer.issue(std::move(claims))};
}

void world::add_senders() {
  auto p256 = crypto::test::p256_key();
  auto claims = [&](const crypto::private_key& key, std::vector<std::string> destinations) {
    return root.claims(key.public_part(), {"jlr.com/vin/1234"}, std::move(destinations), now_s);
  };
  const std::vector<std::string> usual
    = {"rpc:jlr.com/cloud/media_server", "message:jlr.com/cloud/log/+"};
  auto one = ed25519_key(1);
  auto two = ed25519_key(2);
  std::vector<sender> good = {add(one, claims(one, usual), root)};
  auto x = claims(p256, {"jlr.com/cloud/#"});
  x.sources = {"jlr.com/vin/+/services/"};
  good.push_back(add(p256, x, root));
  x = claims(two, {"+:jlr.com/cloud", "jlr.com/+/admin/#", "jlr.com/cloud/+/sota"});
  x.sources = {"jlr.com", "jlr.com/vin/1234/services/admin"};
  good.push_back(add(two, x, root)); // has the patterns, but not adm
  x.administrator = true;
  good.push_back(add(two, x, root));
  x = claims(one, {"jlr.com/cloud/media_server/", "jlr.com/+/log/+/"});
  good.push_back(add(one, x, root));
  for (int i = 0; i < 4; ++i)
    senders.insert(senders.end(), good.begin(), good.end());
  for (auto [from, until] : {std::pair{now_s - 9, now_s}, std::pair{now_s - 9, now_s + 1},
                             std::pair{now_s + 1, now_s + 9}, std::pair{now_s, now_s + 9}}) {
    x = claims(one, usual);
    x.not_before_s = from;
    x.expires_s = until;
    senders.push_back(add(one, x, root));
  }
  senders.push_back(add(one, claims(one, usual), stranger));
  x = claims(one, {"rpc:other.com/cloud"});
  x.sources = {"other.com/vin/1234"};
  x.issuer = "other.com";
  senders.push_back(add(one, x, other));
  senders.push_back(add(one, claims(one, usual), root)); // to be revoked by its id
  auto five = ed25519_key(5);
  senders.push_back(add(five, claims(five, usual), root)); // to be revoked by its key
  senders.push_back(add(one, claims(one, usual), root));   // not known
}

void world::add_answerers() {
  auto cloud = ed25519_key(3);
  auto p256 = crypto::test::p256_key();
  auto claims = [&](const crypto::private_key& key, const char* pattern) {
    return root.claims(key.public_part(), {pattern}, {}, now_s);
  };
  answerers = {add(cloud, claims(cloud, "jlr.com/cloud"), root),
               add(p256, claims(p256, "jlr.com/+/media_server"), root),
               add(cloud, claims(cloud, "jlr.com/cloudy"), root),
               add(cloud, claims(cloud, "+:jlr.com/cloud/#"), root),
               add(cloud, claims(cloud, "rpc:jlr.com/cloud"), root)};
}

void world::settle_rights() {
  auto cloud = ed25519_key(3).public_part();
  auto own = root.claims(cloud, {"jlr.com/cloud", "rpc:jlr.com/cloud/admin/#"}, {}, now_s);
  own.id = "cloud";
  cloud_rights.own_key = cloud;
  cloud_rights.own = {root.issue(own)};
  own = root.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {"jlr.com/cloud"}, now_s);
  own.id = "vehicle";
  vehicle_rights.own_key = vehicle.public_part();
  vehicle_rights.own = {root.issue(own)};
  auto list = std::make_shared<revocation_set>();
  list->issuer = "jlr.com";
  auto n = senders.size();
  list->entries = {revocation_entry_of(*senders[n - 3].credential),
                   revocation_entry_of("jlr.com", senders[n - 2].key.public_part().uid(), 1 << 31)};
  std::sort(list->entries.begin(), list->entries.end());
  auto lists = std::make_shared<const revocation_sets>(revocation_sets{{"jlr.com", list}});
  for (auto node : {&cloud_rights, &vehicle_rights}) {
    node->revocations = lists;
    REQUIRE_FALSE(node->anchors.add(root.anchor()));
  }
  teach(cloud_rights, cloud_belief);
  teach(vehicle_rights, vehicle_belief);
}

void world::teach(rights& x, reference::belief& y) const {
  auto unknown = senders.back().credential;
  for (auto list : {&senders, &answerers})
    for (auto& known : *list) {
      if (known.credential == unknown)
        continue;
      if (!verify_credential(*known.credential, x.anchors)) // the router keeps no others
        x.known->add(known.credential);
      y.known_credentials.push_back(known.credential->text);
    }
  y.now_ms = now_ms;
  y.own_address = x.node_address;
  y.own_uid = crypto::view(x.own_key.uid());
  y.own_credentials = {x.own.front()->text};
  y.anchors["jlr.com"] = {root.key.public_part().jwk()};
  // "also by sub" and by jti, hashed here by hand
  auto n = senders.size();
  auto entry = [](const std::string& text) { return reference::sha256(text).substr(0, 16); };
  y.revocation_entries
    = {entry("rvi-cred-idjlr.com" + senders[n - 3].credential->id),
       entry("rvi-cred-subjlr.com"
             + crypto::hex(crypto::view(senders[n - 2].key.public_part().uid())))};
}

std::vector<reference::raw_request> world::signed_requests(const sender& from, dice& roll) const {
  auto arguments = draw_arguments(roll);
  std::vector<std::string> headers;
  for (auto& text : arguments) {
    auto x = request_header_of(from, roll);
    set_arguments(x, text);
    headers.push_back(perhaps_odd(x, roll));
  }
  return sign_tree(from.key, from.credential->hash, headers, arguments, signing_time(roll), roll);
}

reference::raw_request
world::signed_request(const sender& from, const std::string& target_uid, dice& roll) const {
  wire::RequestHeader x;
  x.set_version(1);
  x.set_kind(wire::RPC);
  x.set_transaction_id(std::string{crypto::view(from.key.public_part().uid())} + roll.bytes(12));
  x.set_source(sources[0]);
  x.set_target(targets[0]);
  x.set_created_ms(now_ms - 1'000);
  x.set_expires_ms(now_ms + 60'000);
  x.set_credential_hash(from.credential->hash);
  x.set_target_uid(target_uid);
  set_arguments(x, "{}");
  return sign_tree(from.key, from.credential->hash, {x.SerializeAsString()}, {"{}"}, now_ms, roll)
    .front();
}

sender world::restricted_sender(const std::string& claim) {
  auto key = ed25519_key(6);
  auto plain = add(
    key,
    root.claims(key.public_part(), {"jlr.com/vin/1234"}, {"rpc:jlr.com/cloud/media_server"}, now_s),
    root);
  auto payload = crypto::parse_jws(plain.credential->text)->payload;
  payload.insert(payload.size() - 1, "," + claim);
  auto text = *crypto::sign_jws(root.key, "rvi-cred+jwt",
                                crypto::hex(crypto::view(root.key.public_part().uid())), payload);
  sender result{key, *accept_credential(text, cloud_rights.anchors, now_ms)};
  cloud_rights.known->add(result.credential);
  cloud_belief.known_credentials.push_back(text);
  return result;
}

void world::end_own_credential() {
  auto own = root.claims(cloud_rights.own_key, {"jlr.com/cloud"}, {}, now_s);
  own.id = "ended";
  own.expires_s = now_s;
  cloud_rights.own = {root.issue(own)};
  cloud_belief.own_credentials = {cloud_rights.own.front()->text};
}

reference::raw_request world::own_request(dice& roll) const {
  auto x = request_header_of({vehicle, vehicle_rights.own.front()}, roll);
  x.set_target(roll.below(9) == 0 ? "message:jlr.com/cloud/log/x" : targets[0]);
  x.set_kind(x.target()[0] == 'm' ? wire::MESSAGE : wire::RPC);
  x.set_source(sources[0]);
  x.set_transaction_id(std::string{crypto::view(vehicle.public_part().uid())} + roll.bytes(12));
  set_arguments(x, "{}");
  return sign_tree(vehicle, vehicle_rights.own.front()->hash, {x.SerializeAsString()}, {"{}"},
                   signing_time(roll), roll)
    .front();
}

std::vector<reference::raw_request>
world::signed_replies(const reference::raw_request& request, const sender& from, dice& roll) const {
  auto arguments = draw_arguments(roll);
  wire::RequestHeader asked;
  REQUIRE(asked.ParseFromString(request.header));
  std::vector<std::string> headers;
  for (auto& text : arguments) {
    auto x = request_header_of(from, roll);
    x.set_kind(roll.below(5) == 0 ? wire::ERROR : wire::REPLY);
    auto odd = roll.below(4) == 0;
    x.set_transaction_id(odd && roll.below(4) == 0 ? roll.bytes(28) : asked.transaction_id());
    x.set_source(odd ? roll.pick(sources) : asked.target().substr(asked.target().find(':') + 1));
    x.set_target(odd && roll.below(2) == 0 ? roll.pick(targets) : asked.source());
    x.set_request_hash(odd && roll.below(4) == 0 ? roll.bytes(32)
                                                 : reference::sha256(request.header));
    set_arguments(x, text);
    headers.push_back(perhaps_odd(x, roll));
  }
  return sign_tree(from.key, from.credential->hash, headers, arguments, signing_time(roll), roll);
}

ec world::router_says(const reference::raw_request& raw) const {
  auto x = taken(cloud_rights, raw);
  if (!x)
    return code_of(x.error());
  return (*x)->header.is_reply() ? ec::malformed : ec::none; // replies go to the ledger
}

bool world::router_takes_request(const reference::raw_request& raw) const {
  return router_says(raw) == ec::none;
}

bool world::router_takes_reply(const reference::raw_request& raw,
                               const reference::raw_request& request) const {
  auto asked = wire::decode_header(request.header);
  auto taken_here = taken(vehicle_rights, raw);
  if (!taken_here || !asked || !(*taken_here)->header.is_reply())
    return false;
  auto& x = *taken_here;
  // The ledger's rule, which needs a store around it: request_ledger::receive_reply.
  return asked->kind == request_kind::rpc && x->header.id == asked->id
         && x->header.request_hash == reference::sha256(request.header)
         && x->header.source == asked->target.substr(asked->target.find(':') + 1)
         && x->header.target == asked->source;
}

reference::signature_check world::check() {
  return [this](const std::string& spki, std::string_view message, std::string_view signature) {
    auto question = reference::sha256(spki + std::string{message}) + std::string{signature};
    auto found = answers_.find(question);
    if (found == answers_.end())
      found
        = answers_.emplace(question, reference::check_signature(spki, message, signature)).first;
    return found->second;
  };
}

} // namespace test
