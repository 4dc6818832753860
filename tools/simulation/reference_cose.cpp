// SPDX-License-Identifier: MPL-2.0
//
// CBOR is read whatever its lengths are, and written again in the one way that is allowed: the
// bytes must come out.

#include "tools/simulation/reference_cose.hpp"

#include "tools/simulation/reference_names.hpp"
#include "tools/simulation/reference_tree.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace rvi::simulation::reference {

namespace {

using namespace std::string_literals;

constexpr size_t bytes_max = 16 * 1'024; // security design 3.2.5
constexpr size_t levels_max = 8;         // security design 3.2.5

/// RFC 8949 3.1; -1 - number is what major type 1 says.
struct item {
  int major = -1;
  uint64_t number = 0;
  std::string bytes;
  std::vector<item> items; // of a map keys and values in turn

  const item* member(int64_t label) const {
    for (size_t i = 0; major == 5 && i < items.size(); i += 2)
      if (items[i].is(label))
        return &items[i + 1];
    return nullptr;
  }
  bool is(int64_t x) const {
    return x < 0 ? major == 1 && number == static_cast<uint64_t>(-1 - x)
                 : major == 0 && number == static_cast<uint64_t>(x);
  }
};

std::string head_of(int major, uint64_t number) {
  std::string result;
  int length = number < 24 ? 0 : number < 256 ? 1 : number < 65'536 ? 2 : number >> 32 == 0 ? 4 : 8;
  auto additional = length == 0 ? static_cast<int>(number)
                                : 23
                                    + (length == 1   ? 1
                                       : length == 2 ? 2
                                       : length == 4 ? 3
                                                     : 4);
  result += static_cast<char>(major * 32 + additional);
  for (int i = length - 1; i >= 0; --i)
    result += static_cast<char>(number >> (8 * i));
  return result;
}

/// The only encoding (RFC 8949 4.2.1); nothing of a map with one key twice.
std::optional<std::string> encoding_of(const item& x) {
  if (x.major == 2 || x.major == 3)
    return head_of(x.major, x.bytes.size()) + x.bytes;
  if (x.major != 4 && x.major != 5)
    return head_of(x.major, x.number);
  std::vector<std::string> parts;
  std::vector<std::string> keys;
  for (size_t i = 0; i < x.items.size(); ++i) {
    auto part = encoding_of(x.items[i]);
    if (!part)
      return {};
    if (x.major == 5 && i % 2 == 1)
      parts.back() += *part;
    else
      parts.push_back(*part);
    if (x.major == 5 && i % 2 == 0)
      keys.push_back(*part);
  }
  auto result = head_of(x.major, parts.size());
  if (x.major == 5) {
    std::sort(parts.begin(), parts.end());
    std::sort(keys.begin(), keys.end());
    if (std::adjacent_find(keys.begin(), keys.end()) != keys.end())
      return {};
  }
  for (auto& part : parts)
    result += part;
  return result;
}

/// Takes an item off the front; false if there is none of the kinds we have.
bool take(std::string_view& from, item& out, size_t level) {
  if (from.empty())
    return false;
  auto first = static_cast<uint8_t>(from[0]);
  from.remove_prefix(1);
  out.major = first >> 5;
  auto additional = first & 31;
  if (additional > 27)
    return false;
  size_t length = additional < 24 ? 0 : size_t{1} << (additional - 24);
  if (from.size() < length)
    return false;
  out.number = length == 0 ? additional : 0;
  for (size_t i = 0; i < length; ++i)
    out.number = out.number << 8 | static_cast<uint8_t>(from[i]);
  from.remove_prefix(length);
  switch (out.major) {
    case 0:
    case 1:
      return true;
    case 2:
    case 3:
      if (out.number > from.size())
        return false;
      out.bytes = from.substr(0, out.number);
      from.remove_prefix(out.number);
      return out.major == 2 || is_utf8(out.bytes);
    case 4:
    case 5:
      break;
    default: // tags, floats; of simple values false and true alone
      return out.major == 7 && length == 0 && (out.number == 20 || out.number == 21);
  }
  if (level == levels_max || out.number > from.size())
    return false;
  auto count = out.number * (out.major == 5 ? 2 : 1);
  for (uint64_t i = 0; i < count; ++i) {
    item x;
    if (!take(from, x, level + 1))
      return false;
    if (out.major == 5 && i % 2 == 0 && x.major > 1)
      return false;
    out.items.push_back(std::move(x));
  }
  return true;
}

/// The first item if it stands there in its only encoding; `used` are its bytes.
std::optional<item> read_first(std::string_view bytes, size_t& used) {
  auto rest = bytes;
  item result;
  if (!take(rest, result, 0))
    return {};
  used = bytes.size() - rest.size();
  if (encoding_of(result) != bytes.substr(0, used))
    return {};
  return result;
}

std::optional<item> read_all(std::string_view bytes) {
  size_t used = 0;
  auto result = read_first(bytes, used);
  return used == bytes.size() ? result : std::nullopt;
}

// -- as a JWS would say it ------------------------------------------------------------------------

json text_of(std::string x) {
  json result;
  result.what = json::form::text;
  result.text = std::move(x);
  return result;
}

json symbols_of(const std::string& bytes) {
  constexpr auto symbols = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string result;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t x = 0;
    for (size_t j = i; j < i + 3; ++j)
      x = x << 8 | (j < bytes.size() ? static_cast<uint8_t>(bytes[j]) : 0u);
    for (size_t j = 0; j < std::min<size_t>(bytes.size() - i, 3) + 1; ++j)
      result += symbols[x >> (18 - 6 * j) & 63];
  }
  return text_of(result);
}

/// Byte strings and maps are nothing that a claim of text, number or list may be.
json json_of(const item& x) {
  json result;
  if (x.major == 0 || x.major == 1) {
    result.what = json::form::number;
    result.text = x.major == 0 ? std::to_string(x.number) : "-1";
  } else if (x.major == 3) {
    return text_of(x.bytes);
  } else if (x.major == 4) {
    result.what = json::form::list;
    for (auto& y : x.items)
      result.list.push_back(json_of(y));
  } else if (x.major == 7) {
    result.what = json::form::boolean;
    result.boolean = x.number == 21;
  }
  return result;
}

std::string uuid_of(const std::string& bytes) {
  auto x = hex(bytes);
  return x.substr(0, 8) + "-" + x.substr(8, 4) + "-" + x.substr(12, 4) + "-" + x.substr(16, 4) + "-"
         + x.substr(20);
}

bool is_uuid(const std::string& x) {
  std::string pattern = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";
  return x.size() == pattern.size()
         && std::equal(x.begin(), x.end(), pattern.begin(), [](char a, char b) {
              return b == '-' ? a == '-' : (a >= '0' && a <= '9') || (a >= 'a' && a <= 'f');
            });
}

/// RFC 9052 7, RFC 9053 7: kty, crv and coordinates alone.
json jwk_of(const item& x) {
  json result;
  auto coordinate = [&](int64_t label, const char* name) {
    auto bytes = x.member(label);
    if (bytes && bytes->major == 2)
      result.object[name] = symbols_of(bytes->bytes);
  };
  auto says
    = [&](int64_t label, int64_t value) { return x.member(label) && x.member(label)->is(value); };
  result.what = json::form::object;
  coordinate(-2, "x");
  if (says(1, 1) && says(-1, 6) && x.items.size() == 6) {
    result.object["kty"] = text_of("OKP");
    result.object["crv"] = text_of("Ed25519");
  } else if (says(1, 2) && says(-1, 1) && x.items.size() == 8) {
    coordinate(-3, "y");
    result.object["kty"] = text_of("EC");
    result.object["crv"] = text_of("P-256");
  }
  return result;
}

std::optional<json> claims_of(const item& x) {
  auto ours = x.member(-65'537);
  if (!ours || x.member(2) || (x.member(7) && ours->member(3)))
    return {};
  json result;
  result.what = json::form::object;
  using row = std::pair<int64_t, const char*>;
  for (auto& [label, name] : {row{1, "iss"}, row{4, "exp"}, row{5, "nbf"}, row{6, "iat"}})
    if (auto found = x.member(label))
      result.object[name] = json_of(*found);
  for (auto& [label, name] :
       {row{1, "ver"}, row{3, "jti"}, row{4, "sources"}, row{5, "destinations"}, row{6, "relay"},
        row{7, "usr"}, row{8, "adm"}, row{9, "del"}})
    if (auto found = ours->member(label))
      result.object[name] = json_of(*found);
  if (auto id = result.member("jti"); id && is_uuid(id->string().value_or("")))
    return {};
  if (auto cti = x.member(7))
    result.object["jti"]
      = cti->major == 2 && cti->bytes.size() == 16 ? text_of(uuid_of(cti->bytes)) : json{};
  if (auto uid = ours->member(2); uid && uid->major == 2)
    result.object["sub"] = text_of(hex(uid->bytes));
  if (auto hash = ours->member(10))
    result.object["par"] = hash->major == 2 ? symbols_of(hash->bytes) : json{};
  if (auto former = ours->member(11)) {
    auto& list = result.object["former"] = json_of(*former);
    for (size_t i = 0; i < list.list.size(); ++i)
      list.list[i] = former->items[i].major == 2 ? text_of(hex(former->items[i].bytes)) : json{};
  }
  if (auto cnf = x.member(8); cnf && cnf->items.size() == 2 && cnf->member(1)) {
    result.object["cnf"].what = json::form::object;
    result.object["cnf"].object["jwk"] = jwk_of(*cnf->member(1));
  }
  return result;
}

/// messages/revocation.hpp: these and no others.
std::optional<json> list_claims_of(const item& x) {
  auto ours = x.member(-65'537);
  if (!ours || x.items.size() != 6 || ours->items.size() != 12)
    return {};
  json result;
  result.what = json::form::object;
  using row = std::pair<int64_t, const char*>;
  for (auto& [label, name] : {row{1, "iss"}, row{6, "iat"}})
    if (auto found = x.member(label))
      result.object[name] = json_of(*found);
  for (auto& [label, name] :
       {row{1, "ver"}, row{2, "bundle"}, row{3, "serial"}, row{4, "base"}, row{5, "next"}})
    if (auto found = ours->member(label))
      result.object[name] = json_of(*found);
  if (auto hash = ours->member(6); hash && hash->major == 2)
    result.object["sha256"] = text_of(hex(hash->bytes));
  return result;
}

/// alg, kid and typ (RFC 9596) and nothing else.
std::optional<json> header_of(const item& x) {
  auto alg = x.member(1);
  auto kid = x.member(4);
  auto typ = x.member(16);
  if (x.items.size() != 6 || !alg || !kid || !typ || kid->major != 2 || kid->bytes.empty())
    return {};
  json result;
  result.what = json::form::object;
  result.object["alg"] = text_of(alg->is(-8) ? "EdDSA" : alg->is(-7) ? "ES256" : "none");
  result.object["kid"] = text_of(hex(kid->bytes));
  result.object["typ"] = json_of(*typ);
  return result;
}

} // namespace

std::optional<jws> take_cose_apart(std::string_view sequence, size_t& used, cose_claims what) {
  if (sequence.size() > bytes_max || !sequence.starts_with('\xd2'))
    return {};
  auto whole = read_first(sequence.substr(1), used);
  if (!whole || whole->major != 4 || whole->items.size() != 4)
    return {};
  ++used; // the tag
  auto& parts = whole->items;
  if (parts[0].major != 2 || parts[1].major != 5 || !parts[1].items.empty() || parts[2].major != 2
      || parts[3].major != 2 || parts[3].bytes.size() != 64)
    return {};
  auto protected_header = read_all(parts[0].bytes);
  auto payload = read_all(parts[2].bytes);
  auto header = protected_header ? header_of(*protected_header) : std::nullopt;
  if (!payload)
    return {};
  auto claims = what == cose_claims::list ? list_claims_of(*payload) : claims_of(*payload);
  if (!header || !claims)
    return {};
  // Sig_structure (RFC 9052 4.4)
  auto input
    = "\x84\x6a"s + "Signature1" + *encoding_of(parts[0]) + "\x40" + *encoding_of(parts[2]);
  return jws{*header, *claims, input, parts[3].bytes};
}

} // namespace rvi::simulation::reference
