// SPDX-License-Identifier: MPL-2.0

#include "runtime/error.hpp"

#include <caf/atom.hpp>
#include <caf/deep_to_string.hpp>
#include <caf/message.hpp>

#include <array>

namespace rvi {

namespace {

constexpr std::array names = {
  "none",
  "bad_request",
  "unknown_method",
  "invalid_name",
  "unknown_target",
  "too_large",
  "unauthenticated",
  "unauthorized",
  "credential_invalid",
  "credential_expired",
  "credential_not_yet_valid",
  "unknown_issuer",
  "unknown_credential",
  "signature_invalid",
  "replay",
  "timeout",
  "outcome_unknown",
  "busy",
  "refused",
  "malformed",
  "limit_exceeded",
  "protocol_mismatch",
  "link_down",
  "unreachable",
  "store_failed",
  "store_full",
  "config_invalid",
  "file_unsafe",
  "io_failed",
  "shutting_down",
  "not_found",
  "revoked",
  "quarantined",
  "internal",
};
static_assert(names.size() == static_cast<size_t>(ec::internal) + 1);

std::string context_text(const caf::message& context) {
  if (context.size() == 1 && context.match_element<std::string>(0))
    return context.get_as<std::string>(0);
  return context.empty() ? std::string{} : caf::deep_to_string(context);
}

} // namespace

const char* to_string(ec x) {
  auto i = static_cast<size_t>(x);
  return i < names.size() ? names[i] : "unknown";
}

std::string render(uint8_t code, caf::atom_value, const caf::message& context) {
  std::string result = to_string(static_cast<ec>(code));
  auto text = context_text(context);
  return text.empty() ? result : result + ": " + text;
}

std::string describe(const caf::error& x) {
  if (!x)
    return "none";
  if (x.category() == caf::atom("rvi"))
    return render(x.code(), x.category(), x.context());
  return to_string(x.category()) + " error " + std::to_string(x.code());
}

ec code_of(const caf::error& x) {
  if (!x)
    return ec::none;
  return x.category() == caf::atom("rvi") ? static_cast<ec>(x.code()) : ec::internal;
}

std::string detail_of(const caf::error& x) {
  return x && x.category() == caf::atom("rvi") ? context_text(x.context()) : describe(x);
}

} // namespace rvi
