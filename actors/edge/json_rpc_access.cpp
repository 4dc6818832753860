// SPDX-License-Identifier: MPL-2.0
//
// The rules, in the order a request meets them.

#include "actors/edge/json_rpc_access.hpp"

#include <algorithm>
#include <unistd.h>

namespace rvi {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
}

bool equal_folded(std::string_view x, std::string_view y) {
  return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

size_t count(const http::request& x, std::string_view name) {
  return size_t(std::count_if(x.headers.begin(), x.headers.end(),
                              [name](const auto& header) { return header.first == name; }));
}

std::string_view trimmed(std::string_view x) {
  while (!x.empty() && (x.front() == ' ' || x.front() == '\t'))
    x.remove_prefix(1);
  while (!x.empty() && (x.back() == ' ' || x.back() == '\t'))
    x.remove_suffix(1);
  return x;
}

bool host_allowed(const access_rules& rules, std::string_view host) {
  auto suffix = ":" + std::to_string(rules.port);
  for (auto& allowed : rules.hosts) {
    if (equal_folded(host, allowed))
      return true;
    if (rules.port != 0 && equal_folded(host, allowed + suffix))
      return true;
  }
  return false;
}

} // namespace

expected<access_token> token_of(std::string name, std::string_view file_text, bool administrator) {
  constexpr std::string_view hashed = "sha256:";
  constexpr size_t bytes_min = 16;
  auto text = trimmed(file_text.substr(0, file_text.find_last_not_of("\r\n") + 1));
  if (!text.starts_with(hashed)) {
    if (text.size() < bytes_min)
      return caf::make_error(ec::malformed, "a token of less than " + std::to_string(bytes_min)
                                              + " bytes can be guessed");
    return access_token{std::move(name), crypto::sha256(text), administrator};
  }
  auto bytes = crypto::unhex(text.substr(hashed.size()));
  access_token result{std::move(name), {}, administrator};
  if (!bytes || bytes->size() != result.sha256.size())
    return caf::make_error(ec::malformed, std::string{"sha256: and 64 hex digits are wanted"});
  std::copy(bytes->begin(), bytes->end(), reinterpret_cast<char*>(result.sha256.data()));
  return result;
}

principal principal_of(const access_rules& rules, uint32_t uid, uint32_t gid) {
  auto& admins = rules.admin_uids;
  auto listed = std::find(admins.begin(), admins.end(), uid) != admins.end();
  return {"uid:" + std::to_string(uid), uid == 0 || uid == ::geteuid() || listed,
          "gid:" + std::to_string(gid)};
}

std::optional<principal> authenticate(const access_rules& rules, std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() <= scheme.size()
      || !equal_folded(authorization.substr(0, scheme.size()), scheme))
    return std::nullopt;
  auto given = trimmed(authorization.substr(scheme.size()));
  auto hash = crypto::sha256(given);
  const access_token* found = nullptr;
  for (auto& token : rules.tokens) // all of them: which one fits must not show in the time
    if (crypto::equal_constant_time(crypto::view(hash), crypto::view(token.sha256)))
      found = &token;
  if (!found)
    return std::nullopt;
  return principal{"token:" + found->name, found->administrator};
}

std::optional<http_refusal> check_names(const access_rules& rules, const http::request& x) {
  if (count(x, "host") > 1 || count(x, "origin") > 1 || count(x, "authorization") > 1)
    return http_refusal{400, "a header is given twice"};
  if (!host_allowed(rules, x.header("host")))
    return http_refusal{421, "not our name: see api.hosts"};
  auto& origins = rules.origins;
  if (count(x, "origin") > 0
      && std::find(origins.begin(), origins.end(), x.header("origin")) == origins.end())
    return http_refusal{403, "origin not allowed: see api.origins"};
  return std::nullopt;
}

std::optional<http_refusal> check_post(const http::request& x) {
  if (x.method != "POST")
    return http_refusal{405, "calls are POST requests"};
  auto type = x.header("content-type");
  if (count(x, "content-type") > 1
      || !equal_folded(trimmed(type.substr(0, type.find(';'))), "application/json"))
    return http_refusal{415, "content-type must be application/json"};
  if (count(x, "content-encoding") > 0)
    return http_refusal{415, "no content-encoding is understood"};
  return std::nullopt;
}

} // namespace rvi
