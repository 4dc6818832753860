// SPDX-License-Identifier: MPL-2.0

#include "actors/edge/service_signature.hpp"

#include "runtime/crypto/jws.hpp"
#include "runtime/json/json.hpp"

namespace rvi {

namespace {

std::string hash_of(std::string_view x) {
  return crypto::hex(crypto::view(crypto::sha256(x)));
}

json::writer& begin(json::writer& out, const std::string& node_address, const std::string& service,
                    uint64_t now_ms, const char* method) {
  return out.begin_object()
    .member("iss", node_address)
    .member("aud", service)
    .member("iat", now_ms / 1'000)
    .member("method", method);
}

} // namespace

std::string invocation_claims(const envelope& x, const std::string& node_address,
                              const std::string& service, uint64_t now_ms) {
  auto& header = x.header;
  json::writer out;
  begin(out, node_address, service, now_ms, "invoke")
    .member("exp", (header.expires_ms + 999) / 1'000)
    .member("transaction_id", to_string(header.id))
    .member("target", header.target)
    .member("timeout", header.expires_ms)
    .member("source", header.source)
    .member("node", crypto::hex(crypto::view(header.id.origin)))
    .member("arguments_sha256", hash_of(x.arguments));
  if (header.user)
    out.member("role", header.user->role).member("user", crypto::hex(header.user->user));
  out.end_object();
  return out.take();
}

std::string
outcome_claims(const outcome_notice& x, const std::string& node_address, uint64_t now_ms) {
  json::writer out;
  begin(out, node_address, x.requesting_service, now_ms, "reply")
    .member("transaction_id", to_string(x.id))
    .member("target", x.target)
    .member("status", x.status);
  if (!x.dispatched.empty())
    out.member("dispatched", x.dispatched);
  if (!x.arguments.empty())
    out.member("arguments_sha256", hash_of(x.arguments));
  if (!x.error.empty())
    out.member("error_sha256", hash_of(x.error));
  out.end_object();
  return out.take();
}

std::string service_signing_input(const crypto::public_key& key, const std::string& claims) {
  return crypto::jws_signing_input(key.algorithm(), service_signature_type, to_string(key.uid()),
                                   claims);
}

} // namespace rvi
