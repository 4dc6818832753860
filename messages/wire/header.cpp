// SPDX-License-Identifier: MPL-2.0

#include "messages/wire/header.hpp"

#include "messages/name.hpp"
#include "messages/wire/scan.hpp"
#include "rvi.pb.h"

#include <algorithm>
#include <cstdio>
#include <google/protobuf/stubs/logging.h>

namespace rvi::wire {

namespace {

caf::error malformed(const char* why) {
  return caf::make_error(ec::malformed, std::string{why});
}

/// Protobuf would write a line to stderr for each text that is no UTF-8, so peers could fill the
/// log. What it returns says so as well.
void log_fatal_only(google::protobuf::LogLevel level, const char* file, int line,
                    const std::string& text) {
  if (level == google::protobuf::LOGLEVEL_FATAL)
    std::fprintf(stderr, "%s:%d: %s\n", file, line, text.c_str());
}
// Before main, because the handler may not change once threads parse.
[[maybe_unused]] const auto previous_log_handler = google::protobuf::SetLogHandler(log_fatal_only);

constexpr uint32_t header_version = 1;
constexpr uint32_t flag_report = 1;
constexpr uint32_t on_behalf_of_field = 15;
// See ascending_and_known.
constexpr std::string_view header_wire_types = "022200220202022000222";
constexpr std::string_view on_behalf_of_wire_types = "2202";
constexpr std::string_view announced_wire_types = "2200";

bool only_known_fields(std::string_view x) {
  if (!ascending_and_known(x, header_wire_types))
    return false;
  field_scanner scanner{x};
  while (auto f = scanner.next())
    if (f->number == on_behalf_of_field
        && !ascending_and_known(f->content, on_behalf_of_wire_types))
      return false;
  return true;
}

bool size_is(const std::string& x, size_t n) {
  return x.size() == n;
}
bool absent_or_size(const std::string& x, size_t n) {
  return x.empty() || x.size() == n;
}

/// Field by field what rvi.proto says; everything but the encoding.
const char* broken_rule(const RequestHeader& x) {
  if (x.version() != header_version)
    return "unknown header version";
  if (x.kind() < RPC || x.kind() > ERROR)
    return "unknown request kind";
  if (x.flags() > flag_report || (x.flags() != 0 && x.kind() == RPC))
    return "unknown flag";
  if (x.durability() != FULL && x.durability() != NONE)
    return "unknown durability";
  if (x.priority() > 7)
    return "priority above 7";
  if (!size_is(x.transaction_id(), transaction_id_bytes) || !size_is(x.credential_hash(), 32)
      || !size_is(x.arguments_sha256(), 32) || !absent_or_size(x.request_hash(), 32)
      || !absent_or_size(x.grant_hash(), 32) || !absent_or_size(x.target_uid(), 16))
    return "a field of the wrong length";
  if (x.channel().size() > 128 || x.content_type().size() > 128 || x.data_class().size() > 128)
    return "a text over 128 bytes";
  if (x.has_on_behalf_of() && !size_is(x.on_behalf_of().user(), 16))
    return "a user that has not 16 bytes";
  bool reply = x.kind() == REPLY || x.kind() == ERROR;
  if (reply == x.request_hash().empty())
    return "request_hash goes with replies only";
  if (reply && !x.grant_hash().empty())
    return "grant_hash goes with requests only";
  if (x.expires_ms() <= x.created_ms())
    return "expires before it was created";
  if (!is_normal_name(x.source()) || !is_normal_name(x.target()))
    return "a name that is not normalised";
  auto type = type_of(x.target());
  if (type_of(x.source()) || (reply && type))
    return "a source with a type prefix";
  if (x.kind() == RPC && type != name_type::rpc)
    return "kind and type prefix differ";
  if (x.kind() == MESSAGE && type != name_type::message)
    return "kind and type prefix differ";
  return nullptr;
}

} // namespace

std::string encode_header(const request_header& x) {
  RequestHeader y;
  y.set_kind(static_cast<Kind>(x.kind));
  y.set_transaction_id(to_bytes(x.id));
  y.set_source(x.source);
  y.set_target(x.target);
  y.set_created_ms(x.created_ms);
  y.set_expires_ms(x.expires_ms);
  y.set_credential_hash(x.credential_hash);
  y.set_arguments_sha256(x.arguments_sha256);
  y.set_arguments_length(x.arguments_length);
  y.set_content_type(x.content_type);
  y.set_priority(x.priority);
  y.set_channel(x.channel);
  y.set_durability(static_cast<Durability>(x.durability));
  y.set_data_class(x.data_class);
  y.set_flags(x.report ? flag_report : 0);
  y.set_version(header_version);
  y.set_settled_below(x.settled_below);
  y.set_request_hash(x.request_hash);
  y.set_grant_hash(x.grant_hash);
  y.set_target_uid(x.target_uid);
  if (x.user) {
    auto& z = *y.mutable_on_behalf_of();
    z.set_user(x.user->user);
    z.set_role(x.user->role);
    z.set_authenticated_ms(x.user->authenticated_ms);
    z.set_method(x.user->method);
  }
  return y.SerializeAsString(); // no map fields: one encoding
}

namespace {

request_header header_of(RequestHeader& y) {
  request_header result;
  result.kind = static_cast<request_kind>(y.kind());
  result.id = *transaction_id_from_bytes(y.transaction_id());
  result.source = std::move(*y.mutable_source());
  result.target = std::move(*y.mutable_target());
  result.created_ms = y.created_ms();
  result.expires_ms = y.expires_ms();
  result.credential_hash = std::move(*y.mutable_credential_hash());
  result.arguments_sha256 = std::move(*y.mutable_arguments_sha256());
  result.arguments_length = y.arguments_length();
  result.content_type = std::move(*y.mutable_content_type());
  result.priority = y.priority();
  result.channel = std::move(*y.mutable_channel());
  result.durability = static_cast<durability>(y.durability());
  result.data_class = std::move(*y.mutable_data_class());
  result.report = (y.flags() & flag_report) != 0;
  result.settled_below = y.settled_below();
  result.request_hash = std::move(*y.mutable_request_hash());
  result.grant_hash = std::move(*y.mutable_grant_hash());
  result.target_uid = std::move(*y.mutable_target_uid());
  if (y.has_on_behalf_of()) {
    auto& z = *y.mutable_on_behalf_of();
    result.user = std::make_shared<const on_behalf_of>(
      on_behalf_of{std::move(*z.mutable_user()), std::move(*z.mutable_role()), z.authenticated_ms(),
                   std::move(*z.mutable_method())});
  }
  return result;
}

} // namespace

expected<request_header> decode_header(std::string_view x) {
  if (x.size() > header_bytes_max)
    return malformed("a header over 8 KiB");
  if (!only_known_fields(x))
    return malformed("header fields out of order or unknown");
  RequestHeader y;
  if (!y.ParseFromArray(x.data(), static_cast<int>(x.size())))
    return malformed("a header that does not parse");
  if (auto why = broken_rule(y))
    return malformed(why);
  if (y.SerializeAsString() != x)
    return malformed("a header that is not canonical");
  return header_of(y);
}

expected<request_header> decode_kept_header(std::string_view x) {
  RequestHeader y;
  if (!y.ParseFromArray(x.data(), static_cast<int>(x.size()))
      || !size_is(y.transaction_id(), transaction_id_bytes))
    return malformed("a header that does not parse");
  return header_of(y);
}

std::string encode_announced(const remote_service& x, const node_uid& owner) {
  AnnouncedService y;
  y.set_name(x.name);
  y.set_owner(std::string{crypto::view(owner)});
  y.set_sequence(x.sequence);
  y.set_available(x.available);
  return y.SerializeAsString();
}

expected<announced> decode_announced(std::string_view x) {
  AnnouncedService y;
  if (x.size() > header_bytes_max || !ascending_and_known(x, announced_wire_types)
      || !y.ParseFromArray(x.data(), static_cast<int>(x.size())) || y.SerializeAsString() != x)
    return malformed("an announced service that is not canonical");
  auto name = normalise_name(y.name());
  if (!name || *name != y.name() || y.owner().size() != 16)
    return malformed("an announced service with a bad name or owner");
  announced result{{y.name(), y.sequence(), y.available()}, {}};
  std::copy_n(y.owner().begin(), 16, reinterpret_cast<char*>(result.owner.data()));
  return result;
}

} // namespace rvi::wire
