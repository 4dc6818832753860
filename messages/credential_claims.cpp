// SPDX-License-Identifier: MPL-2.0

#include "messages/credential_claims.hpp"

#include "messages/name.hpp"
#include "messages/signed_claims.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/cbor/cbor.hpp"
#include "runtime/crypto/cose.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace rvi {

namespace {

constexpr uint64_t credential_version = 1;
constexpr size_t hash_size = 32;

caf::error invalid(std::string why) {
  return caf::make_error(ec::credential_invalid, std::move(why));
}

// -- the table ------------------------------------------------------------------------------------

/// The map of our own claims in COSE.
constexpr int64_t own_claims = -65'537;

struct claim {
  const char* name; // in a JWS
  int64_t label;    // in COSE
  bool own;         // that label is one of ours
  std::array<const char*, 3> others{};
};

namespace claims {
constexpr claim iss{"iss", 1, false};
constexpr claim exp{"exp", 4, false, {"validity.stop"}};
constexpr claim nbf{"nbf", 5, false, {"validity.start"}};
constexpr claim iat{"iat", 6, false, {"create_timestamp"}};
constexpr claim jti{"jti", 3, true, {"id"}}; // beside cti
constexpr claim cnf{"cnf", 8, false};
constexpr claim ver{"ver", 1, true};
constexpr claim sub{"sub", 2, true};
constexpr claim sources{"sources", 4, true, {"right_to_receive", "right_to_register", "register"}};
constexpr claim destinations{"destinations", 5, true, {"right_to_invoke", "invoke"}};
constexpr claim relay{"relay", 6, true};
constexpr claim usr{"usr", 7, true};
constexpr claim adm{"adm", 8, true};
constexpr claim del{"del", 9, true};
constexpr claim par{"par", 10, true};
constexpr claim former{"former", 11, true};
} // namespace claims

constexpr int64_t cti_label = 7; // RFC 8392 3.1.7
constexpr int64_t sub_label = 2; // RFC 8392 3.1.2
constexpr int64_t cnf_key = 1;   // RFC 8747 3.1

/// Keys in forms of others, that none of ours is.
constexpr std::array foreign_keys = {"public_key", "device_cert"};

// -- a UUID as 16 bytes ---------------------------------------------------------------------------

constexpr std::array<size_t, 4> uuid_dashes = {8, 13, 18, 23};

std::string uuid_text(std::string_view bytes) {
  auto result = crypto::hex(bytes);
  for (auto at : uuid_dashes)
    result.insert(at, 1, '-');
  return result;
}

/// 16 bytes; empty if it is not a UUID as RFC 4122 writes it, in lower case.
std::string uuid_bytes(std::string_view text) {
  std::string digits{text};
  for (auto at = uuid_dashes.rbegin(); at != uuid_dashes.rend(); ++at)
    if (*at < digits.size())
      digits.erase(*at, 1);
  auto bytes = crypto::unhex(digits);
  return bytes && bytes->size() == 16 && uuid_text(*bytes) == text ? *bytes : std::string{};
}

// -- reading --------------------------------------------------------------------------------------

using texts = std::vector<std::string>;

/// The claims of either form, each by its row in the table.
class claim_source {
public:
  virtual ~claim_source() = default;
  virtual bool has(const claim& x) = 0;
  virtual std::optional<uint64_t> number(const claim& x) = 0;
  virtual std::optional<std::string> text(const claim& x) = 0;
  virtual std::optional<bool> flag(const claim& x) = 0;
  /// Nothing if it is no list of texts.
  virtual std::optional<texts> list(const claim& x) = 0;
  /// 16 bytes each, empty where one is not well-formed; nothing if it is no list.
  virtual std::optional<texts> uids(const claim& x) = 0;
  virtual std::optional<std::string> id() = 0;
  virtual std::string holder() = 0; // 16 bytes if it is well-formed
  virtual expected<crypto::public_key> key() = 0;
  virtual std::string derived_from() = 0; // 32 bytes if it is well-formed
  /// What is wrong with the names of all.
  virtual caf::error check_names() = 0;
};

template <class Value, class TextOf>
std::optional<texts> texts_of(const Value& list, TextOf text_of) {
  if (!list.is_array())
    return std::nullopt;
  texts result;
  for (auto& item : list.items()) {
    auto text = text_of(item);
    if (!text)
      return std::nullopt;
    result.emplace_back(*text);
  }
  return result;
}

class jws_claims : public claim_source {
public:
  explicit jws_claims(json::value root) : root_(root) {}

  bool has(const claim& x) override { return bool{find(x)}; }
  std::optional<uint64_t> number(const claim& x) override { return find(x).as_uint(); }
  std::optional<bool> flag(const claim& x) override { return find(x).as_bool(); }
  std::optional<std::string> id() override { return text(claims::jti); }

  std::optional<std::string> text(const claim& x) override {
    auto result = find(x).as_string();
    return result ? std::optional{std::string{*result}} : std::nullopt;
  }

  std::optional<texts> list(const claim& x) override {
    return texts_of(find(x), [](auto& item) { return item.as_string(); });
  }

  std::optional<texts> uids(const claim& x) override {
    auto result = list(x);
    for (auto& each : result ? *result : no_texts_)
      each = uid_of(each);
    return result;
  }

  std::string holder() override { return uid_of(text(claims::sub).value_or("")); }

  expected<crypto::public_key> key() override {
    auto result = key_of_jwk(find(claims::cnf)["jwk"]);
    if (!result)
      return invalid("cnf.jwk: " + detail_of(result.error()));
    return result;
  }

  std::string derived_from() override {
    auto result = crypto::unbase64url(text(claims::par).value_or(""));
    return result ? *result : std::string{};
  }

  caf::error check_names() override {
    for (auto name : foreign_keys)
      if (root_[name])
        return invalid(std::string{name}
                       + " is not accepted: the key of the holder is cnf.jwk, "
                         "Ed25519 or P-256");
    return std::move(twice_);
  }

private:
  /// In lower case, as holder_revocation_id has it.
  static std::string uid_of(const std::string& digits) {
    auto uid = parse_node_uid(digits);
    return uid && to_string(*uid) == digits ? std::string{crypto::view(*uid)} : std::string{};
  }

  json::value find(const claim& x) {
    auto result = root_[x.name];
    for (auto* name : x.others) {
      auto other = name ? at_path(name) : json::value{};
      if (other && result)
        twice_ = invalid(std::string{x.name} + " is given twice, as " + name + " too");
      if (other)
        result = other;
    }
    return result;
  }

  /// A member, or a member of a member.
  json::value at_path(std::string_view path) const {
    auto dot = path.find('.');
    return dot == path.npos ? root_[path] : root_[path.substr(0, dot)][path.substr(dot + 1)];
  }

  json::value root_;
  caf::error twice_;
  texts no_texts_;
};

class cose_claims : public claim_source {
public:
  explicit cose_claims(cbor::value root) : root_(root), own_(root[own_claims]) {}

  bool has(const claim& x) override { return bool{find(x)}; }
  std::optional<uint64_t> number(const claim& x) override { return find(x).as_uint(); }
  std::optional<bool> flag(const claim& x) override { return find(x).as_bool(); }

  std::optional<std::string> text(const claim& x) override {
    auto result = find(x).as_text();
    return result ? std::optional{std::string{*result}} : std::nullopt;
  }

  std::optional<texts> list(const claim& x) override {
    return texts_of(find(x), [](auto& item) { return item.as_text(); });
  }

  std::optional<texts> uids(const claim& x) override {
    return texts_of(find(x), [](auto& item) { return item.as_bytes(); });
  }

  std::optional<std::string> id() override {
    auto cti = root_[cti_label].as_bytes();
    if (!cti)
      return text(claims::jti);
    return cti->size() == 16 ? std::optional{uuid_text(*cti)} : std::nullopt;
  }

  std::string holder() override { return std::string{find(claims::sub).as_bytes().value_or("")}; }

  expected<crypto::public_key> key() override {
    auto cnf = find(claims::cnf);
    auto result = crypto::read_cose_key(cnf[cnf_key]);
    if (!result)
      return invalid("cnf: " + detail_of(result.error()));
    if (cnf.size() != 1)
      return invalid("cnf holds more than a COSE_Key");
    return result;
  }

  std::string derived_from() override {
    return std::string{find(claims::par).as_bytes().value_or("")};
  }

  caf::error check_names() override {
    if (root_[sub_label])
      return invalid("sub is given by label 2; it is one of our own claims, of 16 bytes");
    if (root_[cti_label] && has(claims::jti))
      return invalid("jti is given twice");
    if (!uuid_bytes(text(claims::jti).value_or("")).empty())
      return invalid("a jti that is a UUID stands in cti, as 16 bytes");
    return {};
  }

private:
  cbor::value find(const claim& x) const { return (x.own ? own_ : root_)[x.label]; }

  cbor::value root_;
  cbor::value own_;
};

expected<texts> patterns_of(claim_source& in, const claim& x) {
  texts result;
  if (!in.has(x))
    return result;
  auto list = in.list(x);
  if (!list || list->size() > credential_patterns_max)
    return invalid(std::string{x.name} + " must be a list of at most 256 patterns");
  for (auto& text : *list) {
    auto pattern = normalise_pattern(text);
    if (!pattern)
      return invalid(std::string{x.name} + ": " + detail_of(pattern.error()));
    result.push_back(std::move(*pattern));
  }
  return result;
}

/// Who, by whom and when.
caf::error read_frame(claim_source& in, credential_claims& out) {
  auto issuer = in.text(claims::iss);
  auto id = in.id();
  auto issued = in.number(claims::iat);
  auto not_before = in.number(claims::nbf);
  auto expires = in.number(claims::exp);
  if (!issuer || !id || !issued || !not_before || !expires || id->empty() || id->size() > 128)
    return invalid("iss, jti, iat, nbf and exp are required");
  if (!is_organization(*issuer))
    return invalid("iss is not an organization");
  if (in.number(claims::ver) != credential_version)
    return invalid("unknown credential version");
  if (*expires <= *not_before || *expires - *not_before > credential_validity_days_max * 86'400)
    return invalid("a validity that is empty or over 3660 days");
  out.issuer = std::move(*issuer);
  out.id = std::move(*id);
  out.issued_s = *issued;
  out.not_before_s = *not_before;
  out.expires_s = *expires;
  auto key = in.key();
  if (!key)
    return std::move(key.error());
  out.key = *key;
  if (in.holder() != crypto::view(key->uid()))
    return invalid("sub is not the uid of the key in cnf");
  return {};
}

/// Keys its holder had before.
caf::error read_former(claim_source& in, credential_claims& out) {
  if (!in.has(claims::former))
    return {};
  auto list = in.uids(claims::former);
  if (!list || list->empty() || list->size() > former_keys_max)
    return invalid("former must be a list of 1 to " + std::to_string(former_keys_max) + " uids");
  for (auto& bytes : *list) {
    node_uid uid{};
    if (bytes.size() != uid.size() || bytes == crypto::view(out.key.uid()))
      return invalid("former must hold uids of other keys");
    std::copy_n(bytes.begin(), uid.size(), reinterpret_cast<char*>(uid.data()));
    out.former.push_back(uid);
  }
  return {};
}

/// What its holder may.
caf::error read_rights(claim_source& in, credential_claims& out) {
  out.administrator = in.flag(claims::adm).value_or(false);
  if (in.has(claims::del)) {
    auto number = in.number(claims::del);
    if (!number || *number > delegations_max)
      return invalid("del is a number up to " + std::to_string(delegations_max));
    out.delegations = static_cast<uint32_t>(*number);
  }
  for (auto [list, row] : {std::pair{&out.sources, &claims::sources},
                           std::pair{&out.destinations, &claims::destinations},
                           std::pair{&out.relay, &claims::relay}}) {
    auto patterns = patterns_of(in, *row);
    if (!patterns)
      return std::move(patterns.error());
    *list = std::move(*patterns);
  }
  if (in.has(claims::usr)) {
    out.users = in.list(claims::usr);
    if (!out.users)
      return invalid("usr must be a list of roles");
  }
  return {};
}

expected<read_claims> claims_of(claim_source& in) {
  read_claims result;
  auto err = read_frame(in, result.claims);
  if (!err)
    err = read_rights(in, result.claims);
  if (!err)
    err = read_former(in, result.claims);
  // Each has been looked up now, under all its names. What is wrong there explains the rest.
  if (auto wrong = in.check_names())
    err = std::move(wrong);
  if (err)
    return err;
  if (in.has(claims::par)) {
    result.derived_from = in.derived_from();
    if (result.derived_from.size() != hash_size)
      return invalid("par is not a SHA-256");
  }
  return result;
}

// -- writing --------------------------------------------------------------------------------------

void write_list(json::writer& out, const claim& x, const texts& list) {
  out.key(x.name).begin_array();
  for (auto& text : list)
    out.string(text);
  out.end_array();
}

std::string jws_payload(const credential_claims& x, std::string_view derived_from) {
  json::writer out;
  out.begin_object();
  out.member(claims::ver.name, credential_version);
  out.member(claims::iss.name, x.issuer);
  out.member(claims::sub.name, to_string(x.key.uid()));
  out.member(claims::jti.name, x.id);
  out.member(claims::iat.name, x.issued_s);
  out.member(claims::nbf.name, x.not_before_s);
  out.member(claims::exp.name, x.expires_s);
  out.key(claims::cnf.name).begin_object().key("jwk").raw(x.key.jwk()).end_object();
  write_list(out, claims::sources, x.sources);
  write_list(out, claims::destinations, x.destinations);
  if (!x.relay.empty())
    write_list(out, claims::relay, x.relay);
  if (x.users)
    write_list(out, claims::usr, *x.users);
  if (x.administrator)
    out.member(claims::adm.name, true);
  if (x.delegations != 0)
    out.member(claims::del.name, uint64_t{x.delegations});
  if (!derived_from.empty())
    out.member(claims::par.name, crypto::base64url(derived_from));
  if (!x.former.empty()) {
    texts uids;
    for (auto& uid : x.former)
      uids.push_back(to_string(uid));
    write_list(out, claims::former, uids);
  }
  out.end_object();
  return out.take();
}

void write_list(cbor::writer& out, const claim& x, const texts& list) {
  out.integer(x.label).array(list.size());
  for (auto& text : list)
    out.text(text);
}

/// Those under `own_claims`, in the order of their labels.
void write_own_claims(cbor::writer& out, const credential_claims& x, bool with_id,
                      std::string_view derived_from) {
  std::array lists
    = {std::pair{&claims::sources, &x.sources}, std::pair{&claims::destinations, &x.destinations},
       std::pair{&claims::relay, &x.relay}};
  auto members = size_t{2} + (with_id ? 1 : 0) + (x.users ? 1 : 0) + (x.administrator ? 1 : 0)
                 + (x.delegations != 0 ? 1 : 0) + (derived_from.empty() ? 0 : 1)
                 + (x.former.empty() ? 0 : 1);
  for (auto [row, list] : lists)
    members += list->empty() ? 0 : 1;
  out.integer(own_claims).map(members);
  out.integer(claims::ver.label).unsigned_integer(credential_version);
  out.integer(claims::sub.label).bytes(crypto::view(x.key.uid()));
  if (with_id)
    out.integer(claims::jti.label).text(x.id);
  for (auto [row, list] : lists)
    if (!list->empty())
      write_list(out, *row, *list);
  if (x.users)
    write_list(out, claims::usr, *x.users);
  if (x.administrator)
    out.integer(claims::adm.label).boolean(true);
  if (x.delegations != 0)
    out.integer(claims::del.label).unsigned_integer(x.delegations);
  if (!derived_from.empty())
    out.integer(claims::par.label).bytes(derived_from);
  if (x.former.empty())
    return;
  out.integer(claims::former.label).array(x.former.size());
  for (auto& uid : x.former)
    out.bytes(crypto::view(uid));
}

std::string cose_payload(const credential_claims& x, std::string_view derived_from) {
  auto uuid = uuid_bytes(x.id);
  cbor::writer out;
  out.map(uuid.empty() ? 6 : 7);
  out.integer(claims::iss.label).text(x.issuer);
  out.integer(claims::exp.label).unsigned_integer(x.expires_s);
  out.integer(claims::nbf.label).unsigned_integer(x.not_before_s);
  out.integer(claims::iat.label).unsigned_integer(x.issued_s);
  if (!uuid.empty())
    out.integer(cti_label).bytes(uuid);
  out.integer(claims::cnf.label).map(1).integer(cnf_key);
  crypto::write_cose_key(out, x.key);
  write_own_claims(out, x, uuid.empty(), derived_from);
  return out.take();
}

} // namespace

expected<read_claims> claims_of(credential_format format, std::string_view payload) {
  if (format == credential_format::cose) {
    auto document = cbor::parse(payload);
    if (!document)
      return invalid(detail_of(document.error()));
    cose_claims in{document->root()};
    return claims_of(in);
  }
  auto document = json::parse(payload, {credential_bytes_max, 8, 2'048});
  if (!document)
    return invalid(detail_of(document.error()));
  jws_claims in{document->root()};
  return claims_of(in);
}

std::string
payload_of(credential_format format, const credential_claims& x, std::string_view derived_from) {
  return format == credential_format::cose ? cose_payload(x, derived_from)
                                           : jws_payload(x, derived_from);
}

} // namespace rvi
