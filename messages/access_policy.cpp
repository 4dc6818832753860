// SPDX-License-Identifier: MPL-2.0

#include "messages/access_policy.hpp"

#include "messages/name.hpp"
#include "messages/signed_claims.hpp"
#include "runtime/json/json.hpp"

#include <algorithm>
#include <set>

namespace rvi {

namespace {

constexpr size_t role_bytes_max = 128;
constexpr uint64_t within_s_max = 365ULL * 24 * 3'600;

bool is_in(const std::vector<std::string>& xs, const std::string& x) {
  return std::find(xs.begin(), xs.end(), x) != xs.end();
}

bool covered(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(), [name](auto& x) { return covers(x, name); });
}

caf::error denied(std::string why) {
  return caf::make_error(ec::unauthorized, std::move(why));
}

} // namespace

/// Takes a file apart; the first error stays.
class access_policy::reader {
public:
  caf::error error;

  void read(json::value x, access_policy& out) {
    only(x, "the file", {"principals", "services", "keys"});
    for (auto each : elements(x["principals"], "principals"))
      out.principals_.push_back(principal(each));
    for (auto each : elements(x["services"], "services"))
      out.services_.push_back(service(each));
    for (auto each : elements(x["keys"], "keys"))
      out.keys_.push_back(key(each));
  }

private:
  void fail(std::string why) {
    if (!error)
      error = caf::make_error(ec::malformed, std::move(why));
  }

  void only(json::value x, const std::string& where, const std::set<std::string_view>& known) {
    if (!x.is_object())
      return fail(where + " is no object");
    for (size_t i = 0; i < x.size(); ++i)
      if (!known.contains(x.key_at(i)))
        fail(where + " has an unknown member \"" + std::string{x.key_at(i).substr(0, 64)} + "\"");
  }

  std::vector<json::value> elements(json::value x, const std::string& where) {
    if (x && !x.is_array())
      fail(where + " is no array");
    return x.items();
  }

  std::string text(json::value x, const std::string& where) {
    auto result = x.as_string();
    if (!result || result->empty() || result->size() > role_bytes_max)
      fail(where + " is no text of 1 to " + std::to_string(role_bytes_max) + " bytes");
    return std::string{result.value_or("")};
  }

  std::vector<std::string> texts(json::value x, const std::string& where) {
    std::vector<std::string> result;
    for (auto each : elements(x, where))
      result.push_back(text(each, where));
    return result;
  }

  std::vector<std::string> patterns(json::value x, const std::string& where) {
    std::vector<std::string> result;
    for (auto each : elements(x, where)) {
      auto given = each.as_string();
      auto pattern = normalise_pattern(given.value_or(""));
      if (!pattern)
        fail(where + ": " + detail_of(pattern.error()));
      else
        result.push_back(std::move(*pattern));
    }
    return result;
  }

  /// Absent: 0.
  uint64_t seconds(json::value x, const char* key) {
    auto given = x[key];
    auto result = given.as_uint();
    if (given && (!result || *result == 0 || *result > within_s_max))
      fail(std::string{key} + " is no number from 1 to " + std::to_string(within_s_max));
    return result.value_or(0);
  }

  std::string match(json::value x) {
    only(x, "match", {"uid", "gid", "token"});
    if (x.size() != 1) {
      fail("match names one of uid, gid and token");
      return {};
    }
    if (x["token"])
      return "token:" + text(x["token"], "token");
    std::string key{x.key_at(0)};
    auto number = x.at(0).as_uint();
    if (!number || *number >= UINT32_MAX)
      fail(key + " is no number of a user or group");
    return key + ":" + std::to_string(number.value_or(0));
  }

  principal_rule principal(json::value x) {
    only(x, "a rule for principals", {"match", "register", "invoke", "as", "users"});
    return {match(x["match"]), patterns(x["register"], "register"), patterns(x["invoke"], "invoke"),
            x["as"] ? text(x["as"], "as") : std::string{}, texts(x["users"], "users")};
  }

  service_rule service(json::value x) {
    only(x, "a rule for services",
         {"names", "roles", "methods", "authenticated_within_s", "revocations_within_s"});
    service_rule result{
      patterns(x["names"], "names"), texts(x["roles"], "roles"), texts(x["methods"], "methods"),
      seconds(x, "authenticated_within_s") * 1'000, seconds(x, "revocations_within_s")};
    if (result.names.empty())
      fail("a rule for services without names");
    // Else it would look like protection and be none.
    for (auto list : {"roles", "methods"})
      if (x[list] && x[list].size() == 0)
        fail(std::string{list} + " of a rule for services is empty");
    if (!result.asks_for_user() && result.list_age_max_s == 0)
      fail("a rule for services that asks for nothing");
    return result;
  }

  key_rule key(json::value x) {
    only(x, "a rule for keys", {"names", "public_key"});
    key_rule result{patterns(x["names"], "names"), {}};
    auto given = key_of_jwk(x["public_key"]);
    if (!given)
      fail("public_key: " + detail_of(given.error()));
    else
      result.key = std::move(*given);
    if (result.names.empty())
      fail("a rule for keys without names");
    return result;
  }
};

caf::error access_policy::add(std::string_view json) {
  auto parsed = json::parse(json);
  if (!parsed)
    return std::move(parsed.error());
  access_policy more;
  reader in;
  in.read(parsed->root(), more);
  if (in.error)
    return in.error;
  std::move(more.principals_.begin(), more.principals_.end(), std::back_inserter(principals_));
  std::move(more.services_.begin(), more.services_.end(), std::back_inserter(services_));
  std::move(more.keys_.begin(), more.keys_.end(), std::back_inserter(keys_));
  return {};
}

template <class Holds>
bool access_policy::allows(const principal& who, Holds holds) const {
  if (principals_.empty() || who.administrator)
    return true;
  return std::any_of(principals_.begin(), principals_.end(), [&](auto& x) {
    return (x.match == who.name || x.match == who.group) && holds(x);
  });
}

bool access_policy::may_register(const principal& who, std::string_view service) const {
  return allows(who, [&](auto& x) { return covered(x.registers, service); });
}

bool access_policy::may_invoke(const principal& who, std::string_view target) const {
  return allows(who, [&](auto& x) { return covered(x.invokes, target); });
}

bool access_policy::may_subscribe(const principal& who, std::string_view pattern) const {
  return allows(who, [&](auto& x) {
    return std::any_of(x.invokes.begin(), x.invokes.end(),
                       [&](auto& outer) { return contains(outer, pattern); });
  });
}

expected<std::optional<named_user>>
access_policy::speaks_for(const principal& who, const std::optional<named_user>& named,
                          uint64_t now_ms) const {
  auto is_of = [&](auto& x) { return x.match == who.name || x.match == who.group; };
  if (named) {
    if (named->authenticated_ms > now_ms)
      return caf::make_error(ec::bad_request,
                             std::string{"on_behalf_of.authenticated is a time to come"});
    for (auto& x : principals_)
      if (is_of(x) && is_in(x.users, named->role))
        return named;
    return denied("no rule lets " + who.name + " speak for users in the role \"" + named->role
                  + "\"");
  }
  for (auto& x : principals_)
    if (is_of(x) && !x.role.empty())
      return std::optional{named_user{who.name, x.role, 0, who.name.substr(0, who.name.find(':'))}};
  return std::optional<named_user>{};
}

caf::error access_policy::check_user(const request_header& x, uint64_t now_ms) const {
  for (auto& rule : services_) {
    if (!rule.asks_for_user() || !covered(rule.names, x.target))
      continue;
    if (!x.user)
      return denied(x.target + " takes requests on behalf of a user only");
    if (!rule.roles.empty() && !is_in(rule.roles, x.user->role))
      return denied(x.target + " takes no requests of users in the role \"" + x.user->role + "\"");
    if (!rule.methods.empty() && !is_in(rule.methods, x.user->method))
      return denied(x.target + " takes no users who authenticated by \"" + x.user->method + "\"");
    auto within = rule.authenticated_within_ms;
    auto since = x.user->authenticated_ms;
    if (within != 0 && (since == 0 || since + within < now_ms))
      return denied(x.target + " wants a user who authenticated in the last "
                    + std::to_string(within / 1'000) + " s");
    // What is said to come would hold longer than it may.
    if (within != 0 && since > x.created_ms)
      return denied("a user who authenticated after the request was made");
  }
  return {};
}

uint64_t access_policy::list_age_max_s(std::string_view target) const {
  uint64_t result = 0;
  for (auto& rule : services_)
    if (rule.list_age_max_s != 0 && covered(rule.names, target))
      result = result == 0 ? rule.list_age_max_s : std::min(result, rule.list_age_max_s);
  return result;
}

caf::error access_policy::check_key(std::string_view service, const crypto::public_key* key) const {
  bool asked = false;
  for (auto& rule : keys_) {
    if (!covered(rule.names, service))
      continue;
    asked = true;
    if (key && key->spki() == rule.key.spki())
      return {};
  }
  return asked ? denied(std::string{service}
                        + " registers with the public_key that the node's "
                          "rules name for it, and with no other")
               : caf::error{};
}

} // namespace rvi
