// SPDX-License-Identifier: MPL-2.0

#include "actors/edge/service_proof.hpp"

#include "messages/transaction_id.hpp"
#include "runtime/crypto/jws.hpp"
#include "runtime/json/json.hpp"

namespace rvi {

namespace {

caf::error wrong(const std::string& why) {
  return caf::make_error(ec::signature_invalid, "service_signature: " + why);
}

/// The same members with the same values, in any order. Neither has nested ones.
bool same_claims(json::value said, json::value due) {
  if (!said.is_object() || said.size() != due.size())
    return false;
  for (size_t i = 0; i < due.size(); ++i) {
    auto theirs = said[due.key_at(i)];
    auto ours = due.at(i);
    if (ours.as_uint() ? theirs.as_uint() != ours.as_uint()
                       : !theirs.as_string() || theirs.as_string() != ours.as_string())
      return false;
  }
  return true;
}

} // namespace

std::string service_proof_claims(const invoke_call& x, const std::string& service,
                                 const std::string& node_address) {
  json::writer out;
  out.begin_object()
    .member("iss", service)
    .member("aud", node_address)
    .member("method", "invoke")
    .member("service_transaction_id", x.service_transaction_id.value_or(0))
    .member("target", x.target)
    .member("timeout", x.timeout_ms)
    .member("arguments_sha256", crypto::hex(crypto::view(crypto::sha256(x.arguments))));
  if (x.user) {
    out.member("user", x.user->name);
    if (!x.user->role.empty())
      out.member("role", x.user->role);
    if (x.user->authenticated_ms != 0)
      out.member("authenticated", x.user->authenticated_ms);
    if (!x.user->method.empty())
      out.member("authentication", x.user->method);
  }
  out.end_object();
  return out.take();
}

caf::error check_service_proof(const invoke_call& x, const std::string& service,
                               const std::string& node_address, const crypto::public_key& key) {
  if (x.service_signature.empty())
    return wrong(service + " was registered with a key; each invoke needs one");
  if (!x.service_transaction_id || !x.timeout_given)
    return caf::make_error(ec::bad_request, std::string{"a signed invoke has a timeout and a "
                                                        "service_transaction_id"});
  auto jws = crypto::parse_jws(x.service_signature);
  if (!jws)
    return wrong(detail_of(jws.error()));
  if (jws->type != service_proof_type)
    return wrong("its typ is not " + std::string{service_proof_type});
  auto said = json::parse(jws->payload);
  auto due = json::parse(service_proof_claims(x, service, node_address));
  if (!said || !same_claims(said->root(), due->root()))
    return wrong("its claims are not those of this invoke");
  if (jws->key_id != to_string(key.uid()) || !crypto::verify(*jws, key))
    return wrong("it is not by the key of " + service);
  return {};
}

} // namespace rvi
