// SPDX-License-Identifier: MPL-2.0
//
// Two steps: the bytes as a list of fields in canonical protobuf (decisions 3: fields ascending,
// each once, minimal varints, no explicit defaults), then the rules of rvi.proto for each field.

#include "tools/simulation/reference_header.hpp"

#include "tools/simulation/reference_names.hpp"
#include "tools/simulation/reference_verifier.hpp"

#include <map>
#include <utility>

namespace rvi::simulation::reference {

namespace {

constexpr size_t header_bytes_max = size_t{8} << 10; // decisions 3
constexpr size_t text_bytes_max = 128;               // the header test has it for channel

enum class form { u64, u32, bytes, text, message };

using schema = std::map<uint64_t, form>;

const schema header_schema = {
  {1, form::u32},      // kind
  {2, form::bytes},    // transaction_id
  {3, form::text},     // source
  {4, form::text},     // target
  {5, form::u64},      // created_ms
  {6, form::u64},      // expires_ms
  {7, form::bytes},    // credential_hash
  {8, form::bytes},    // arguments_sha256
  {9, form::u64},      // arguments_length
  {10, form::text},    // content_type
  {11, form::u32},     // priority
  {12, form::text},    // channel
  {13, form::u32},     // durability
  {14, form::text},    // data_class
  {15, form::message}, // on_behalf_of
  {16, form::u32},     // flags
  {17, form::u32},     // version
  {18, form::u64},     // settled_below
  {19, form::bytes},   // request_hash
  {20, form::bytes},   // grant_hash
  {21, form::bytes},   // target_uid
};

const schema on_behalf_of_schema = {
  {1, form::bytes}, // user
  {2, form::text},  // role
  {3, form::u64},   // authenticated_ms
  {4, form::text},  // method
};

/// The fields of one message; an absent one is zero or empty.
struct fields {
  std::map<uint64_t, uint64_t> numbers;
  std::map<uint64_t, std::string> texts;

  uint64_t number(uint64_t id) const { return numbers.contains(id) ? numbers.at(id) : 0; }
  std::string text(uint64_t id) const { return texts.contains(id) ? texts.at(id) : ""; }
  bool has(uint64_t id) const { return numbers.contains(id) || texts.contains(id); }
};

/// Takes bytes from the front of a text.
struct cursor {
  std::string_view rest;

  /// A base-128 varint in its shortest form.
  std::optional<uint64_t> varint() {
    uint64_t value = 0;
    for (int i = 0; i < 10; ++i) {
      if (rest.empty())
        return {};
      auto byte = static_cast<uint8_t>(rest.front());
      rest.remove_prefix(1);
      if (i == 9 && byte > 1)
        return {}; // over 64 bits
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (byte < 0x80)
        return i > 0 && byte == 0 ? std::nullopt : std::optional{value};
    }
    return {};
  }

  std::optional<std::string> delimited() {
    auto size = varint();
    if (!size || *size > rest.size())
      return {};
    std::string result{rest.substr(0, *size)};
    rest.remove_prefix(*size);
    return result;
  }
};

std::string at_field(const char* what, uint64_t number) {
  return std::string{what} + " in field " + std::to_string(number) + " (decisions 3)";
}

/// Reads one field's value. Returns what is wrong, or nothing.
std::string read_value(cursor& in, uint64_t number, form as, fields& out) {
  if (as == form::u64 || as == form::u32) {
    auto x = in.varint();
    if (!x)
      return at_field("no minimal varint", number);
    if (*x == 0)
      return at_field("an explicit default", number);
    if (as == form::u32 && *x > UINT32_MAX)
      return at_field("a number over 32 bits", number);
    out.numbers[number] = *x;
    return {};
  }
  auto x = in.delimited();
  if (!x)
    return at_field("a wrong length", number);
  if (as != form::message && x->empty())
    return at_field("an explicit default", number);
  if (as == form::text && !is_utf8(*x))
    return at_field("no UTF-8", number);
  out.texts[number] = std::move(*x);
  return {};
}

std::optional<fields> read_fields(std::string_view bytes, const schema& known, std::string& why) {
  fields result;
  cursor in{bytes};
  uint64_t last = 0;
  while (!in.rest.empty()) {
    auto tag = in.varint();
    if (!tag || *tag > UINT32_MAX) {
      why = "no minimal tag (decisions 3)";
      return {};
    }
    auto number = *tag >> 3;
    auto found = known.find(number);
    if (found == known.end()) {
      why = at_field("unknown number", number);
      return {};
    }
    auto is_number = found->second == form::u64 || found->second == form::u32;
    if ((*tag & 7) != (is_number ? 0u : 2u)) {
      why = at_field("another wire type", number);
      return {};
    }
    if (number <= last) {
      why = at_field("not ascending or twice", number);
      return {};
    }
    last = number;
    why = read_value(in, number, found->second, result);
    if (!why.empty())
      return {};
  }
  return result;
}

/// Rvi.proto's `Kind` and the type prefix of decisions 3, "kind must equal the type prefix".
std::string check_target(const fields& x) {
  auto target = x.text(4);
  if (normalise(target) != target)
    return "target is not normalised (rvi.proto)";
  auto type = parts_of(target).type;
  switch (static_cast<kind>(x.number(1))) {
    case kind::rpc:
      return type == "rpc" ? "" : "an rpc's target has the type rpc (decisions 3)";
    case kind::message:
      return type == "message" ? "" : "a message's target has the type message (decisions 3)";
    case kind::reply:
    case kind::error:
      // rvi.proto: "replies: the requesting service", which has no type (source)
      return type.empty() ? "" : "a reply's target is a source and has no type (rvi.proto)";
    default:
      return type == "metric" ? "" : "a metric's target has the type metric (decisions 3)";
  }
}

std::string check_sizes(const fields& x) {
  if (x.text(2).size() != 28)
    return "transaction_id is not 28 bytes (rvi.proto)";
  for (uint64_t id : {7, 8})
    if (x.text(id).size() != 32)
      return "a hash is not 32 bytes (rvi.proto)";
  for (uint64_t id : {19, 20})
    if (x.has(id) && x.text(id).size() != 32)
      return "a hash is not 32 bytes (rvi.proto)";
  if (x.has(21) && x.text(21).size() != 16)
    return "target_uid is not 16 bytes (rvi.proto)";
  for (uint64_t id : {10, 12, 14}) // content_type, channel, data_class
    if (x.text(id).size() > text_bytes_max)
      return "a text is over 128 bytes";
  return {};
}

std::string check_rules(const fields& x) {
  if (x.number(1) < 1 || x.number(1) > 7)
    return "unknown kind (rvi.proto)";
  if (auto why = check_sizes(x); !why.empty())
    return why;
  auto source = x.text(3);
  if (normalise(source) != source || !parts_of(source).type.empty())
    return "source is not normalised, or has a type (rvi.proto)";
  if (auto why = check_target(x); !why.empty())
    return why;
  if (x.number(5) >= x.number(6))
    return "expires is not after created (B1 3.2 step 2)";
  if (x.number(11) > 7)
    return "priority is over 7 (rvi.proto)";
  if (x.number(13) > 1)
    return "unknown durability (rvi.proto)";
  if (x.number(16) > 1 || (x.number(16) == 1 && x.number(1) == 1))
    return "unknown flags, or a report of an rpc (rvi.proto)";
  if (x.number(17) != 1)
    return "unknown version (rvi.proto)";
  auto kind = static_cast<reference::kind>(x.number(1));
  auto reply = kind == kind::reply || kind == kind::error;
  if (reply != x.has(19))
    return "request_hash goes with REPLY and ERROR, and only with them (rvi.proto)";
  if (reply && x.has(20))
    return "grant_hash goes with requests only (rvi.proto)";
  return {};
}

std::optional<on_behalf_of> read_on_behalf_of(const std::string& bytes, std::string& why) {
  auto x = read_fields(bytes, on_behalf_of_schema, why);
  if (!x)
    return {};
  if (x->text(1).size() != 16) {
    why = "on_behalf_of.user is not 16 bytes (rvi.proto)";
    return {};
  }
  return on_behalf_of{x->text(1), x->text(2), x->number(3), x->text(4)};
}

} // namespace

std::optional<header> read_header(std::string_view bytes, std::string& why) {
  if (bytes.size() > header_bytes_max) {
    why = "a header has at most 8 KiB (decisions 3)";
    return {};
  }
  auto x = read_fields(bytes, header_schema, why);
  if (!x)
    return {};
  why = check_rules(*x);
  if (!why.empty())
    return {};
  header result;
  result.kind = static_cast<kind>(x->number(1));
  result.transaction_id = x->text(2);
  result.source = x->text(3);
  result.target = x->text(4);
  result.created_ms = x->number(5);
  result.expires_ms = x->number(6);
  result.credential_hash = x->text(7);
  result.arguments_sha256 = x->text(8);
  result.arguments_length = x->number(9);
  result.request_hash = x->text(19);
  result.grant_hash = x->text(20);
  result.target_uid = x->text(21);
  if (x->has(15)) {
    result.on_behalf_of = read_on_behalf_of(x->text(15), why);
    if (!result.on_behalf_of)
      return {};
  }
  return result;
}

} // namespace rvi::simulation::reference
