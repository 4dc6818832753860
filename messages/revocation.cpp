// SPDX-License-Identifier: MPL-2.0

#include "messages/revocation.hpp"

#include "messages/name.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/cose.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <limits>

namespace rvi {

namespace {

constexpr std::string_view jws_type = "rvi-crl+jwt";
constexpr std::string_view cose_type = "application/rvi-crl+cwt";
constexpr std::string_view cose_prefix = "cose:";
constexpr uint64_t list_version = 1;
constexpr char separator = '~';
constexpr size_t claims_bytes_max = 2'048;

// Labels of COSE; the last six stand in the map of ours.
constexpr int64_t iss_label = 1;
constexpr int64_t iat_label = 6;
constexpr int64_t own_claims = -65'537;
constexpr int64_t ver_label = 1;
constexpr int64_t bundle_label = 2;
constexpr int64_t serial_label = 3;
constexpr int64_t base_label = 4;
constexpr int64_t next_label = 5;
constexpr int64_t sha256_label = 6;

caf::error malformed(std::string why) {
  return caf::make_error(ec::malformed, "revocation list: " + why);
}

std::string bytes_of(const std::vector<revocation_entry>& entries) {
  std::string result;
  result.reserve(entries.size() * revocation_entry_bytes);
  for (auto& x : entries) {
    result += crypto::view(x.id);
    append_u32(result, x.expires_s);
  }
  return result;
}

std::string hash_of(const std::vector<revocation_entry>& entries) {
  return std::string{crypto::view(crypto::sha256(bytes_of(entries)))};
}

expected<std::vector<revocation_entry>> entries_of(std::string_view bytes, uint64_t issued_s) {
  if (bytes.size() % revocation_entry_bytes != 0)
    return malformed("an entry is cut");
  if (bytes.size() / revocation_entry_bytes > revocation_entries_max)
    return malformed("over 32768 entries");
  std::vector<revocation_entry> result(bytes.size() / revocation_entry_bytes);
  for (size_t i = 0; i < result.size(); ++i) {
    auto entry = bytes.substr(i * revocation_entry_bytes, revocation_entry_bytes);
    auto& x = result[i];
    std::copy_n(entry.begin(), x.id.size(), reinterpret_cast<char*>(x.id.data()));
    x.expires_s = read_u32(entry.substr(x.id.size()));
    if (i > 0 && result[i - 1].id >= x.id)
      return malformed("entries are not in order");
    if (x.expires_s <= issued_s)
      return malformed("an entry that was over when the list was signed");
  }
  return result;
}

/// By hash; of one hash the later end first.
bool is_before(const revocation_entry& x, const revocation_entry& y) {
  return x.id != y.id ? x.id < y.id : x.expires_s > y.expires_s;
}

/// Of entries in order: one for each hash, none that is over.
void tidy(std::vector<revocation_entry>& entries, uint64_t now_s) {
  std::erase_if(entries, [now_s](auto& x) { return x.expires_s <= now_s; });
  auto same = [](auto& x, auto& y) { return x.id == y.id; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
}

void normalise(std::vector<revocation_entry>& entries, uint64_t now_s) {
  std::sort(entries.begin(), entries.end(), is_before);
  tidy(entries, now_s);
}

/// The entries in force once those of a delta are added. Both are in order.
std::vector<revocation_entry> sum_of(const std::vector<revocation_entry>& base,
                                     const std::vector<revocation_entry>& added, uint64_t now_s) {
  std::vector<revocation_entry> result(base.size() + added.size());
  std::merge(base.begin(), base.end(), added.begin(), added.end(), result.begin(), is_before);
  tidy(result, now_s);
  return result;
}

std::string jws_payload(const revocation_claims& x) {
  json::writer out;
  out.begin_object();
  out.member("ver", list_version);
  out.member("iss", x.issuer);
  out.member("bundle", x.version.bundle);
  out.member("serial", x.version.serial);
  out.member("base", x.base);
  out.member("iat", x.issued_s);
  out.member("next", x.next_s);
  out.member("sha256", crypto::hex(x.result_sha256));
  out.end_object();
  return out.take();
}

std::string cose_payload(const revocation_claims& x) {
  cbor::writer out;
  out.map(3);
  out.integer(iss_label).text(x.issuer);
  out.integer(iat_label).unsigned_integer(x.issued_s);
  out.integer(own_claims).map(6);
  out.integer(ver_label).unsigned_integer(list_version);
  out.integer(bundle_label).unsigned_integer(x.version.bundle);
  out.integer(serial_label).unsigned_integer(x.version.serial);
  out.integer(base_label).unsigned_integer(x.base);
  out.integer(next_label).unsigned_integer(x.next_s);
  out.integer(sha256_label).bytes(x.result_sha256);
  return out.take();
}

/// What a payload says, before anything of it is judged.
struct said_claims {
  std::optional<std::string_view> issuer;
  std::optional<uint64_t> version, bundle, serial, base, issued, next;
  std::optional<std::string> sha256; // 32 bytes
  bool nothing_else = false;
};

said_claims claims_in(json::value x) {
  said_claims result{
    x["iss"].as_string(), x["ver"].as_uint(), x["bundle"].as_uint(), x["serial"].as_uint(),
    x["base"].as_uint(),  x["iat"].as_uint(), x["next"].as_uint(),   {},
    x.size() == 8};
  auto digits = x["sha256"].as_string();
  if (auto hash = crypto::unhex(digits.value_or("")); hash && crypto::hex(*hash) == digits)
    result.sha256 = std::move(*hash);
  return result;
}

said_claims claims_in(cbor::value x) {
  auto own = x[own_claims];
  said_claims result{x[iss_label].as_text(),          own[ver_label].as_uint(),
                     own[bundle_label].as_uint(),     own[serial_label].as_uint(),
                     own[base_label].as_uint(),       x[iat_label].as_uint(),
                     own[next_label].as_uint(),       {},
                     x.size() == 3 && own.size() == 6};
  if (auto hash = own[sha256_label].as_bytes())
    result.sha256 = *hash;
  return result;
}

caf::error read_claims(const said_claims& x, revocation_claims& out) {
  if (x.version != list_version)
    return malformed("unknown version");
  if (!x.issuer || !x.bundle || !x.serial || !x.base || !x.issued || !x.next || !x.nothing_else)
    return malformed("exactly ver, iss, bundle, serial, base, iat, next and sha256 are required");
  if (!is_organization(*x.issuer))
    return malformed("iss is not an organization");
  if (*x.bundle == 0 || *x.serial == 0 || *x.base >= *x.serial || *x.next <= *x.issued)
    return malformed("numbers or times out of order");
  if (!x.sha256 || x.sha256->size() != 32)
    return malformed("sha256 is not a hash of 32 bytes, in JSON 64 lowercase hex digits");
  out.issuer = *x.issuer;
  out.version = {*x.bundle, *x.serial};
  out.base = *x.base;
  out.issued_s = *x.issued;
  out.next_s = *x.next;
  out.result_sha256 = *x.sha256;
  return {};
}

/// The signed part and the entries' bytes.
struct list_parts {
  crypto::signed_payload signed_part;
  std::string entries;
};

expected<list_parts> cose_parts(std::string_view text) {
  // Only so much of it is looked at: the entries may be many.
  auto size = crypto::first_cose_size(text.substr(0, 2 * claims_bytes_max));
  if (!size)
    return malformed(detail_of(size.error()));
  auto cose = crypto::parse_cose(text.substr(0, *size));
  if (!cose)
    return malformed(detail_of(cose.error()));
  if (cose->type != cose_type)
    return malformed("typ is not " + std::string{cose_type});
  list_parts result{std::move(*cose), std::string{text.substr(*size)}};
  result.signed_part.key_id = crypto::hex(result.signed_part.key_id);
  return result;
}

expected<list_parts> jws_parts(std::string_view text) {
  auto end = text.find(separator);
  if (end == text.npos)
    return malformed("no entries");
  auto jws = crypto::parse_jws(text.substr(0, end));
  if (!jws)
    return malformed(detail_of(jws.error()));
  if (jws->type != jws_type)
    return malformed("typ is not " + std::string{jws_type});
  auto entries = crypto::unbase64url(text.substr(end + 1));
  if (!entries)
    return malformed("the entries are not canonical base64url");
  return list_parts{std::move(*jws), std::move(*entries)};
}

caf::error
read_payload(credential_format format, std::string_view payload, revocation_claims& out) {
  if (payload.size() > claims_bytes_max)
    return malformed("over 2 KiB of claims");
  if (format == credential_format::cose) {
    auto document = cbor::parse(payload);
    return document ? read_claims(claims_in(document->root()), out)
                    : malformed(detail_of(document.error()));
  }
  auto document = json::parse(payload, {claims_bytes_max, 4, 64});
  return document ? read_claims(claims_in(document->root()), out)
                  : malformed(detail_of(document.error()));
}

} // namespace

// -- entries ------------------------------------------------------------------------------------

revocation_entry revocation_entry_of(const credential_claims& x) {
  auto end = std::min<uint64_t>(x.expires_s, std::numeric_limits<uint32_t>::max());
  return {credential_revocation_id(x.issuer, x.id), static_cast<uint32_t>(end)};
}

revocation_entry
revocation_entry_of(std::string_view issuer, const node_uid& holder, uint32_t expires_s) {
  return {holder_revocation_id(issuer, holder), expires_s};
}

bool revocation_set::holds(const revocation_id& id) const {
  auto i = std::lower_bound(entries.begin(), entries.end(), id,
                            [](auto& x, auto& y) { return x.id < y; });
  return i != entries.end() && i->id == id;
}

std::vector<std::string> revocation_set::lists_after(const revocation_version& known) const {
  if (known >= version)
    return {};
  // A delta helps only whoever has exactly what it builds on.
  for (size_t i = 0; i + 1 < versions.size(); ++i)
    if (versions[i] == known)
      return {lists.begin() + static_cast<ptrdiff_t>(i) + 1, lists.end()};
  return lists;
}

bool is_revoked(const credential& x, const revocation_sets& sets) {
  auto i = sets.find(x.issuer); // the issuer of a whole chain
  if (i == sets.end())
    return false;
  for (auto* each = &x; each; each = each->parent.get())
    if (i->second->holds(each->revocation) || i->second->holds(each->holder_revocation))
      return true;
  return false;
}

// -- lists --------------------------------------------------------------------------------------

expected<revocation_list_ptr>
issue_revocation_list(revocation_claims claims, const crypto::private_key& key,
                      const revocation_set* base, credential_format format) {
  normalise(claims.entries, claims.issued_s);
  claims.base = base ? base->version.serial : 0;
  if (base && (base->issuer != claims.issuer || base->version.bundle != claims.version.bundle))
    return caf::make_error(ec::bad_request, std::string{"a delta on a list of another line"});
  auto all = base ? sum_of(base->entries, claims.entries, claims.issued_s) : claims.entries;
  if (all.size() > revocation_entries_max)
    return caf::make_error(ec::bad_request, std::string{"over 32768 entries"});
  claims.result_sha256 = hash_of(all);
  auto entries = bytes_of(claims.entries);
  auto uid = key.public_part().uid();
  bool cose = format == credential_format::cose;
  auto text = cose ? crypto::sign_cose(key, cose_type, crypto::view(uid), cose_payload(claims))
                   : crypto::sign_jws(key, jws_type, to_string(uid), jws_payload(claims));
  if (!text)
    return std::move(text.error());
  auto result
    = parse_revocation_list(*text + (cose ? entries : separator + crypto::base64url(entries)));
  if (!result)
    return caf::make_error(ec::bad_request, detail_of(result.error()));
  return result;
}

expected<revocation_list_ptr> parse_revocation_list(std::string_view text) {
  if (text.size() > revocation_list_bytes_max)
    return malformed("too long");
  auto result = std::make_shared<revocation_list>();
  bool cose = text.starts_with(crypto::cose_tag);
  result->format = cose ? credential_format::cose : credential_format::jws;
  auto parts = cose ? cose_parts(text) : jws_parts(text);
  if (!parts)
    return std::move(parts.error());
  if (auto err = read_payload(result->format, parts->signed_part.payload, *result))
    return err;
  auto entries = entries_of(parts->entries, result->issued_s);
  if (!entries)
    return std::move(entries.error());
  if (result->base == 0 && crypto::view(crypto::sha256(parts->entries)) != result->result_sha256)
    return malformed("the entries are not those the issuer signed");
  result->entries = std::move(*entries);
  result->text = text;
  result->signed_part = std::move(parts->signed_part);
  return revocation_list_ptr{std::move(result)};
}

std::string written_form(const revocation_list& x) {
  if (x.format == credential_format::jws)
    return x.text;
  auto entries = x.entries.size() * revocation_entry_bytes;
  std::string_view text = x.text;
  return std::string{cose_prefix} + crypto::base64url(text.substr(0, text.size() - entries))
         + separator + crypto::base64url(text.substr(text.size() - entries));
}

expected<std::string> carried_list(std::string_view written) {
  if (!written.starts_with(cose_prefix))
    return std::string{written};
  auto end = written.find(separator);
  if (end == written.npos)
    return malformed("no entries");
  auto part = crypto::unbase64url(written.substr(cose_prefix.size(), end - cose_prefix.size()));
  auto entries = crypto::unbase64url(written.substr(end + 1));
  if (!part || !entries)
    return malformed("after `cose:` there is no canonical base64url");
  if (!part->starts_with(crypto::cose_tag))
    return malformed("after `cose:` there is no COSE");
  return *part + *entries;
}

caf::error verify_revocation_list(const revocation_list& x, const trust_anchors& anchors) {
  auto key = anchors.find(x.issuer, x.signed_part.key_id, key_use::lists);
  if (!key)
    return caf::make_error(ec::unknown_issuer, "no pinned key " + x.signed_part.key_id.substr(0, 64)
                                                 + " of " + x.issuer);
  if (!crypto::verify(x.signed_part, *key))
    return caf::make_error(ec::signature_invalid, "the revocation list of " + x.issuer);
  return {};
}

expected<revocation_set_ptr>
apply_revocation_list(const revocation_set* known, const revocation_list& x) {
  auto held = known ? known->version : revocation_version{0, 0};
  if (x.version <= held)
    return caf::make_error(ec::replay, "list " + std::to_string(x.version.serial) + " of "
                                         + x.issuer + " is not newer than "
                                         + std::to_string(held.serial));
  auto result = std::make_shared<revocation_set>();
  if (x.base == 0) {
    result->entries = x.entries;
  } else {
    if (held != revocation_version{x.version.bundle, x.base})
      return caf::make_error(ec::not_found, "the list builds on " + std::to_string(x.base)
                                              + ", here is " + std::to_string(held.serial));
    if (known->lists.size() > revocation_deltas_max)
      return caf::make_error(ec::limit_exceeded, std::string{"too many deltas: needs a full list"});
    result->entries = sum_of(known->entries, x.entries, x.issued_s);
    if (result->entries.size() > revocation_entries_max)
      return caf::make_error(ec::limit_exceeded, std::string{"over 32768 entries"});
    if (hash_of(result->entries) != x.result_sha256)
      return malformed("the sum is not the one the issuer signed");
    result->lists = known->lists;
    result->versions = known->versions;
  }
  result->issuer = x.issuer;
  result->version = x.version;
  result->issued_s = x.issued_s;
  result->next_s = x.next_s;
  result->lists.push_back(x.text);
  result->versions.push_back(x.version);
  return revocation_set_ptr{std::move(result)};
}

expected<revocation_set_ptr>
accept_revocation_list(std::string_view text, const revocation_sets& known,
                       const trust_anchors& anchors) {
  auto list = parse_revocation_list(text);
  if (!list)
    return std::move(list.error());
  auto held = known.find((*list)->issuer);
  auto before = held == known.end() ? nullptr : held->second.get();
  // An old list is refused before its signature costs anything.
  if (before && (*list)->version <= before->version)
    return apply_revocation_list(before, **list);
  if (auto err = verify_revocation_list(**list, anchors))
    return err;
  return apply_revocation_list(before, **list);
}

} // namespace rvi
