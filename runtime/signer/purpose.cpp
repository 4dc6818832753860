// SPDX-License-Identifier: MPL-2.0

#include "runtime/signer/purpose.hpp"

#include "runtime/crypto/batch_signature.hpp"
#include "runtime/crypto/jws.hpp"

#include <optional>
#include <string>
#include <utility>

namespace rvi::signer {

namespace {

constexpr std::string_view batch_label{"RVI-BATCH-ROOT-1", 17}; // with its 0x00
constexpr std::string_view authorize_label = "RVI-AUTHORIZE-2";
constexpr std::string_view announce_label = "RVI-ANNOUNCE-1";
constexpr std::pair<std::string_view, purpose> jws_types[]
  = {{"rvi-grant+jwt", purpose::grant}, {"rvi-service+jwt", purpose::service}};
constexpr size_t announcement_bytes_max = 8 * 1'024;
constexpr size_t tls_padding = 64;
constexpr std::string_view tls_server_context{"TLS 1.3, server CertificateVerify", 34};
constexpr std::string_view tls_client_context{"TLS 1.3, client CertificateVerify", 34};
constexpr char der_sequence = 0x30;
constexpr char der_version = '\xa0'; // [0]

caf::error refuse(const std::string& why) {
  return caf::make_error(ec::bad_request, "not to be signed: " + why);
}

expected<purpose> batch_root(std::string_view x) {
  constexpr size_t size_at = 17 + 32 + 16;
  constexpr size_t whole = size_at + 4 + 8 + 32;
  if (x.size() != whole)
    return refuse("a batch root has another length");
  uint32_t leaves = 0;
  for (char c : x.substr(size_at, 4))
    leaves = leaves << 8 | static_cast<uint8_t>(c);
  if (leaves < 1 || leaves > crypto::batch_leaves_max)
    return refuse("a batch has 1 to 1024 items");
  return purpose::batch_root;
}

expected<purpose> authorize(std::string_view x, const crypto::public_key& own) {
  constexpr size_t head = 15 + 1;
  if (x.size() != head + 4 * 32 || x[15] < 1 || x[15] > 2)
    return refuse("an Authorize has another form");
  auto key = crypto::sha256(own.spki());
  if (x.substr(head, 32) != crypto::view(key))
    return refuse("an Authorize of another key");
  return purpose::authorize;
}

expected<purpose> announcement(std::string_view x, const crypto::public_key& own) {
  if (x.size() > announcement_bytes_max)
    return refuse("an announcement over 8 KiB");
  if (x.find(crypto::view(own.uid())) == x.npos)
    return refuse("an announcement of another node");
  return purpose::announcement;
}

expected<purpose> certificate_verify(std::string_view x) {
  if (x.find_first_not_of(' ') != tls_padding)
    return refuse("a CertificateVerify begins with 64 spaces");
  x.remove_prefix(tls_padding);
  auto server = x.starts_with(tls_server_context);
  if (!server && !x.starts_with(tls_client_context))
    return refuse("the context is not that of a TLS 1.3 CertificateVerify");
  auto hash = x.size() - tls_server_context.size();
  if (hash != 32 && hash != 48)
    return refuse("no transcript hash of SHA-256 or SHA-384");
  return server ? purpose::tls_server : purpose::tls_client;
}

/// The next DER element with its head, taken off the front. Empty: it has another tag or does not
/// fit. Lengths in the shortest form only.
std::string_view take(std::string_view& x, char tag, std::string_view* content = nullptr) {
  if (x.size() < 2 || x[0] != tag)
    return {};
  size_t length = static_cast<uint8_t>(x[1]);
  size_t head = 2;
  if (length >= 0x80) {
    auto bytes = length - 0x80;
    if (bytes < 1 || bytes > 2 || x.size() < 2 + bytes)
      return {};
    length = 0;
    for (char c : x.substr(2, bytes))
      length = length << 8 | static_cast<uint8_t>(c);
    if (length < (bytes == 1 ? 0x80u : 0x100u))
      return {};
    head += bytes;
  }
  if (x.size() - head < length)
    return {};
  if (content != nullptr)
    *content = x.substr(head, length);
  auto result = x.substr(0, head + length);
  x.remove_prefix(head + length);
  return result;
}

expected<purpose> certificate(std::string_view x, const crypto::public_key& own) {
  std::string_view fields;
  if (take(x, der_sequence, &fields).empty() || !x.empty())
    return refuse("no TBSCertificate");
  auto version = take(fields, der_version);
  auto serial = take(fields, 2);
  auto scheme = take(fields, der_sequence);
  auto issuer = take(fields, der_sequence);
  auto validity = take(fields, der_sequence);
  auto subject = take(fields, der_sequence);
  auto key = take(fields, der_sequence);
  if (version.empty() || serial.empty() || scheme.empty() || validity.empty() || subject.empty())
    return refuse("no TBSCertificate");
  if (key != own.spki())
    return refuse("a certificate of another key");
  if (issuer != subject)
    return refuse("a certificate for somebody else");
  return purpose::certificate;
}

expected<purpose> jws(std::string_view x, const crypto::public_key& own) {
  auto dot = x.find('.');
  auto payload
    = dot == x.npos ? std::nullopt : std::optional{crypto::unbase64url(x.substr(dot + 1))};
  if (!payload || !*payload)
    return refuse("no JWS signing input");
  auto key_id = crypto::hex(crypto::view(own.uid()));
  for (auto& [type, what] : jws_types)
    if (x == crypto::jws_signing_input(own.algorithm(), type, key_id, **payload))
      return what;
  return refuse("a JWS of this key for no purpose of a node");
}

} // namespace

const char* to_string(purpose x) {
  switch (x) {
    case purpose::batch_root:
      return "batch_root";
    case purpose::authorize:
      return "authorize";
    case purpose::announcement:
      return "announcement";
    case purpose::tls_server:
      return "tls_server";
    case purpose::tls_client:
      return "tls_client";
    case purpose::certificate:
      return "certificate";
    case purpose::grant:
      return "grant";
    case purpose::service:
      return "service";
  }
  return "unknown";
}

expected<purpose> purpose_of(std::string_view input, const crypto::public_key& own) {
  if (input.size() > input_bytes_max)
    return refuse("over 20 KiB");
  if (input.starts_with(batch_label))
    return batch_root(input);
  if (input.starts_with(authorize_label))
    return authorize(input, own);
  if (input.starts_with(announce_label))
    return announcement(input, own);
  if (input.starts_with(' '))
    return certificate_verify(input);
  if (input.starts_with(der_sequence))
    return certificate(input, own);
  if (input.starts_with("ey")) // {" in base64url
    return jws(input, own);
  return refuse("it has no form that a node signs");
}

} // namespace rvi::signer
