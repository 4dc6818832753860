// SPDX-License-Identifier: MPL-2.0

#include "runtime/crypto/cose.hpp"

#include <cassert>

namespace rvi::crypto {

namespace {

constexpr size_t cose_bytes_max = 16 * 1024;
constexpr size_t signature_size = 64;
constexpr size_t coordinate_size = 32;

// RFC 9052 3.1, RFC 9596 2
constexpr int64_t alg_label = 1;
constexpr int64_t kid_label = 4;
constexpr int64_t typ_label = 16;
// RFC 9053 2
constexpr int64_t eddsa = -8;
constexpr int64_t es256 = -7;
// RFC 9052 7.1, RFC 9053 7
constexpr int64_t kty_label = 1;
constexpr int64_t crv_label = -1;
constexpr int64_t x_label = -2;
constexpr int64_t y_label = -3;
constexpr uint64_t okp_type = 1;
constexpr uint64_t ec2_type = 2;
constexpr uint64_t p256_curve = 1;
constexpr uint64_t ed25519_curve = 6;

caf::error refuse(std::string why) {
  return caf::make_error(ec::malformed, "COSE: " + std::move(why));
}

/// Sig_structure (RFC 9052 4.4), with no external data.
std::string signing_input_of(std::string_view protected_header, std::string_view payload) {
  cbor::writer out;
  out.array(4).text("Signature1").bytes(protected_header).bytes("").bytes(payload);
  return out.take();
}

/// Fills in type, key id and algorithm.
caf::error read_header(std::string_view bytes, cose& out) {
  auto document = cbor::parse(bytes);
  if (!document)
    return refuse("header: " + detail_of(document.error()));
  auto header = document->root();
  auto alg = header[alg_label].as_int();
  auto kid = header[kid_label].as_bytes();
  auto typ = header[typ_label].as_text();
  if (alg != eddsa && alg != es256)
    return refuse("alg is neither EdDSA nor ES256");
  if (!kid || kid->empty())
    return refuse("no kid");
  if (!typ || typ->empty())
    return refuse("no typ");
  if (header.size() != 3)
    return refuse("a protected header parameter besides alg, kid and typ");
  out.algorithm = to_string(alg == eddsa ? algorithm::ed25519 : algorithm::es256);
  out.key_id = *kid;
  out.type = *typ;
  return {};
}

} // namespace

expected<std::string> sign_cose(const private_key& key, std::string_view type,
                                std::string_view key_id, std::string_view payload) {
  assert(key);
  cbor::writer header;
  header.map(3)
    .integer(alg_label)
    .integer(key.public_part().algorithm() == algorithm::ed25519 ? eddsa : es256)
    .integer(kid_label)
    .bytes(key_id)
    .integer(typ_label)
    .text(type);
  auto signature = key.sign(signing_input_of(header.written(), payload));
  if (!signature)
    return std::move(signature.error());
  cbor::writer out;
  out.array(4).bytes(header.written()).map(0).bytes(payload).bytes(*signature);
  return cose_tag + out.take();
}

expected<cose> parse_cose(std::string_view bytes) {
  if (bytes.size() > cose_bytes_max)
    return refuse("over 16 KiB");
  if (bytes.empty() || bytes.front() != cose_tag)
    return refuse("not tag 18");
  auto document = cbor::parse(bytes.substr(1));
  if (!document)
    return refuse(detail_of(document.error()));
  auto parts = document->root().items();
  if (parts.size() != 4)
    return refuse("not four parts");
  auto header = parts[0].as_bytes();
  auto payload = parts[2].as_bytes();
  auto signature = parts[3].as_bytes();
  if (!header || !payload || !signature)
    return refuse("a part is not a byte string");
  if (!parts[1].is_map() || parts[1].size() != 0)
    return refuse("an unprotected header parameter");
  if (signature->size() != signature_size)
    return refuse("a signature has 64 bytes");
  cose result;
  if (auto error = read_header(*header, result))
    return error;
  result.payload = *payload;
  result.signing_input = signing_input_of(*header, *payload);
  result.signature = *signature;
  return result;
}

expected<size_t> first_cose_size(std::string_view sequence) {
  if (sequence.size() > cose_bytes_max)
    return refuse("over 16 KiB");
  if (sequence.empty() || sequence.front() != cose_tag)
    return refuse("not tag 18");
  auto document = cbor::parse_first(sequence.substr(1));
  if (!document)
    return refuse(detail_of(document.error()));
  return 1 + document->size();
}

void write_cose_key(cbor::writer& out, const public_key& key) {
  bool okp = key.algorithm() == algorithm::ed25519;
  // The coordinates end an SPKI of either kind (RFC 8410 4, RFC 5480 2.2).
  std::string_view spki = key.spki();
  auto coordinates = spki.substr(spki.size() - (okp ? 1 : 2) * coordinate_size);
  out.map(okp ? 3 : 4).integer(kty_label).unsigned_integer(okp ? okp_type : ec2_type);
  out.integer(crv_label).unsigned_integer(okp ? ed25519_curve : p256_curve);
  out.integer(x_label).bytes(coordinates.substr(0, coordinate_size));
  if (!okp)
    out.integer(y_label).bytes(coordinates.substr(coordinate_size));
}

expected<public_key> read_cose_key(cbor::value x) {
  auto kty = x[kty_label].as_uint();
  auto crv = x[crv_label].as_uint();
  auto first = base64url(x[x_label].as_bytes().value_or(""));
  if (kty == okp_type && crv == ed25519_curve && x.size() == 3)
    return public_key::from_jwk("OKP", "Ed25519", first, "");
  if (kty == ec2_type && crv == p256_curve && x.size() == 4)
    return public_key::from_jwk("EC", "P-256", first,
                                base64url(x[y_label].as_bytes().value_or("")));
  return refuse("a key is OKP with Ed25519 and x, or EC2 with P-256, x and y");
}

} // namespace rvi::crypto
