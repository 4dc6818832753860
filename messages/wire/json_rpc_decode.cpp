// SPDX-License-Identifier: MPL-2.0
//
// Texts coming in. Fields are asked for by name; what nobody asked for is an error, so that a
// misspelt field is never silently ignored.

#include "messages/credential.hpp"
#include "messages/grant.hpp"
#include "messages/revocation.hpp"
#include "messages/wire/json_rpc.hpp"
#include "messages/wire/service_limits.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace rvi::json_rpc {

namespace {

constexpr size_t id_bytes_max = 256;
constexpr size_t fields_max = 32;
constexpr uint64_t queue_page_max = 1'000;

using namespace service_limits;

using names = std::initializer_list<std::string_view>;

/// The members of one `params` object. The first error stays.
class fields {
public:
  explicit fields(json::value object) : object_(object) {
    if (object_ && !object_.is_object())
      fail("params must be an object");
    else if (object_.size() > fields_max)
      fail("params has too many fields");
  }

  /// The value under one of the names; `missing` if there is none.
  json::value take(names wanted) {
    json::value result;
    for (auto name : wanted) {
      asked_[asked_count_++ % asked_.size()] = name;
      auto x = object_[name];
      if (x && result)
        fail(std::string(name) + " is given twice, under two names");
      if (x)
        result = x;
    }
    return result;
  }

  std::string text(names wanted, bool required, size_t bytes_max = text_bytes_max) {
    auto x = take(wanted);
    if (!x) {
      if (required)
        fail("missing field " + std::string(*wanted.begin()));
      return {};
    }
    return text_of(x, *wanted.begin(), bytes_max);
  }

  std::string text_of(json::value x, std::string_view name, size_t bytes_max = text_bytes_max) {
    auto result = x.as_string();
    if (!result)
      fail(std::string(name) + " must be a string");
    else if (result->size() > bytes_max)
      fail(std::string(name) + " is longer than " + std::to_string(bytes_max) + " bytes");
    else
      return std::string(*result);
    return {};
  }

  bool flag(std::string_view name) {
    auto x = take({name});
    if (x && !x.as_bool())
      fail(std::string(name) + " must be true or false");
    return x.as_bool().value_or(false);
  }

  transaction_id id() {
    auto text = this->text({"transaction_id"}, true);
    if (error_)
      return {};
    auto result = parse_transaction_id(text);
    if (!result) {
      fail("transaction_id must be 56 hex digits");
      return {};
    }
    return *result;
  }

  /// Any JSON value, byte by byte as written.
  std::string raw(names wanted) {
    auto x = take(wanted);
    return x ? std::string(x.raw()) : std::string{"{}"};
  }

  void fail(std::string detail) {
    if (!error_)
      error_ = caf::make_error(ec::bad_request, std::move(detail));
  }

  /// The first error, unknown fields included.
  caf::error finish() {
    for (size_t i = 0; !error_ && i < object_.size(); ++i)
      if (!asked_for(object_.key_at(i)))
        fail("unknown field " + std::string(object_.key_at(i).substr(0, 64)));
    return error_;
  }

private:
  bool asked_for(std::string_view name) const {
    for (size_t i = 0; i < asked_count_; ++i)
      if (asked_[i] == name)
        return true;
    return false;
  }

  json::value object_;
  std::array<std::string_view, 24> asked_;
  size_t asked_count_ = 0;
  caf::error error_;
};

struct context {
  json::value request; // the whole call
  json::value params;
  uint64_t now_ms;
  const limits& bounds;
};

using result = std::variant<service_request, problem>;

result finished(fields& in, service_request&& request) {
  if (auto error = in.finish())
    return problem{number_of(ec::bad_request), std::move(error)};
  return std::move(request);
}

/// "rpc:stream_audio", or figure 6's {"type":"rpc","name":"stream_audio"}.
std::string method_name(fields& in, json::value x) {
  if (!x.is_object())
    return in.text_of(x, "methods");
  fields method{x};
  auto type = method.text({"type"}, true);
  auto name = method.text({"name"}, true);
  if (method.finish())
    in.fail("methods must hold strings or objects of type and name");
  return type + ":" + name;
}

void read_methods(fields& in, const limits& bounds, register_service_call& out) {
  auto list = in.take({"methods"});
  if (!list)
    return;
  if (!list.is_array())
    return in.fail("methods must be an array");
  if (list.size() > bounds.methods_max)
    return in.fail("methods has more than " + std::to_string(bounds.methods_max) + " entries");
  for (auto x : list.items())
    out.methods.push_back(method_name(in, x));
}

/// "full" or "none"; full if it is not given.
durability read_durability(fields& in, std::string_view name) {
  auto x = in.take({name});
  if (!x)
    return durability::full;
  auto text = in.text_of(x, name);
  if (text == to_string(durability::none))
    return durability::none;
  if (text != to_string(durability::full))
    in.fail(std::string(name) + " must be \"full\" or \"none\"");
  return durability::full;
}

/// A JWK's text; what it says is judged elsewhere.
std::string read_key(fields& in) {
  auto x = in.take({"public_key"});
  if (x && (!x.is_object() || x.raw().size() > signature_bytes_max))
    in.fail("public_key must be a JWK");
  return x ? std::string{x.raw()} : std::string{};
}

/// Figure 6: {"service":{"name","methods","address"}}.
result register_nested(const context& at, json::value service) {
  register_service_call x;
  fields inner{service};
  x.service = inner.text({"name"}, true);
  x.network_address = inner.text({"address", "network_address"}, false);
  read_methods(inner, at.bounds, x);
  x.idempotent = inner.flag("idempotent");
  x.durability_min = read_durability(inner, "durability_min");
  x.transaction_ids_required = inner.flag("service_transaction_ids");
  x.signature_wanted = inner.flag("signed");
  x.public_key = read_key(inner);
  return finished(inner, std::move(x));
}

result read_register(const context& at) {
  if (!at.params && at.request["service"].is_object())
    return register_nested(at, at.request["service"]);
  fields in{at.params};
  auto service = in.take({"service", "service_name"});
  if (service.is_object()) {
    if (auto error = in.finish())
      return problem{number_of(ec::bad_request), std::move(error)};
    return register_nested(at, service);
  }
  register_service_call x;
  if (service)
    x.service = in.text_of(service, "service");
  else
    in.fail("missing field service");
  x.network_address = in.text({"network_address"}, false);
  read_methods(in, at.bounds, x);
  x.idempotent = in.flag("idempotent");
  x.durability_min = read_durability(in, "durability_min");
  x.transaction_ids_required = in.flag("service_transaction_ids");
  x.signature_wanted = in.flag("signed");
  x.public_key = read_key(in);
  return finished(in, std::move(x));
}

result read_unregister(const context& at) {
  fields in{at.params};
  unregister_service_call x{in.text({"service", "service_name"}, true)};
  return finished(in, std::move(x));
}

/// Absolute; whole or fractional; seconds or milliseconds by size. `otherwise` if it is not given.
uint64_t read_time(fields& in, std::string_view name, uint64_t otherwise) {
  auto x = in.take({name});
  if (!x)
    return otherwise;
  if (auto whole = x.as_uint(); whole && *whole <= milliseconds_max)
    return *whole < seconds_below ? *whole * 1'000 : *whole;
  auto number = x.as_double();
  if (!number || !(*number >= 0) || *number > double(milliseconds_max)) {
    in.fail(std::string{name} + " must be a number: Unix time in seconds or milliseconds");
    return 0;
  }
  return uint64_t(*number < double(seconds_below) ? *number * 1'000 : *number);
}

/// Printable ASCII.
std::string read_data_class(fields& in) {
  auto result = in.text({"data_class"}, false, data_class_bytes_max);
  if (!is_data_class(result))
    in.fail("data_class must be printable ASCII");
  return result;
}

void read_priority(fields& in, invoke_call& out) {
  auto x = in.take({"priority"});
  if (!x)
    return;
  auto number = x.as_uint();
  if (!number || *number > priority_max)
    return in.fail("priority must be a whole number from 0 to 7");
  out.priority = uint32_t(*number);
}

/// HLD 3.2.4: a whole number from 1 on.
std::optional<uint64_t> read_service_id(fields& in) {
  auto x = in.take({"service_transaction_id"});
  if (!x)
    return std::nullopt;
  auto number = x.as_uint();
  if (!number || *number == 0)
    in.fail("service_transaction_id must be a whole number, 1 or more");
  return number;
}

/// HLD 3.2.6: {"user","role","authenticated","method"}; all but the user may be left out.
std::optional<named_user> read_user(fields& in) {
  auto x = in.take({"on_behalf_of"});
  if (!x)
    return std::nullopt;
  if (!x.is_object()) {
    in.fail("on_behalf_of must be an object");
    return std::nullopt;
  }
  fields user{x};
  named_user result;
  result.name = user.text({"user"}, true);
  result.role = user.text({"role"}, false, role_bytes_max);
  result.authenticated_ms = read_time(user, "authenticated", 0);
  result.method = user.text({"method"}, false, role_bytes_max);
  if (auto error = user.finish())
    in.fail("on_behalf_of: " + detail_of(error));
  return result;
}

result read_invoke(const context& at, bool alias) {
  fields in{at.params};
  invoke_call x;
  x.timeout_ms = read_time(in, "timeout", at.now_ms + at.bounds.timeout_ms);
  x.timeout_given = bool(at.params["timeout"]);
  x.service_transaction_id = read_service_id(in);
  x.service_signature = in.text({"service_signature"}, false, signature_bytes_max);
  x.requesting_service = in.text({"requesting_service"}, false);
  x.target = alias ? in.text({"service_name", "target"}, true) : in.text({"target"}, true);
  x.synch = in.flag("synch");
  read_priority(in, x);
  x.channel = in.text({"channel"}, false, channel_bytes_max);
  x.durability = read_durability(in, "durability");
  x.data_class = read_data_class(in);
  x.delivery_report = in.flag("delivery_report");
  x.user = read_user(in);
  x.untyped_allowed = alias;
  x.arguments = alias ? in.raw({"parameters", "arguments"}) : in.raw({"arguments"});
  return finished(in, std::move(x));
}

result read_reply(const context& at) {
  fields in{at.params};
  reply_call x;
  x.id = in.id();
  x.arguments = in.raw({"arguments"});
  return finished(in, std::move(x));
}

result read_get_outcome(const context& at) {
  fields in{at.params};
  get_outcome_call x{in.id()};
  return finished(in, std::move(x));
}

/// rvi_core's clients send the dummy parameter [1].
result read_available(const context& at) {
  fields in{at.params.kind() == json::kind::number ? json::value{} : at.params};
  get_available_services_call x{in.text({"pattern"}, false)};
  return finished(in, std::move(x));
}

result read_node_address(const context& at) {
  fields in{at.params};
  return finished(in, get_node_address_call{});
}

result read_subscribe_availability(const context& at) {
  fields in{at.params};
  subscribe_availability_call x;
  x.requesting_service = in.text({"requesting_service"}, false);
  x.pattern = in.text({"pattern"}, true);
  return finished(in, std::move(x));
}

/// HLD 6.1.3.
result read_subscribe(const context& at) {
  fields in{at.params};
  subscribe_call x;
  x.requesting_service = in.text({"requesting_service"}, true);
  x.target = in.text({"target"}, true);
  if (auto interval = in.take({"min_interval_ms"})) {
    auto ms = interval.as_uint();
    if (!ms || *ms > metric_interval_ms_max)
      in.fail("min_interval_ms must be a whole number of milliseconds, at most a day");
    x.filter.min_interval_ms = ms.value_or(0);
  }
  if (auto change = in.take({"min_change"})) {
    auto amount = change.as_double();
    if (!amount || !std::isfinite(*amount) || *amount < 0)
      in.fail("min_change must be a number, 0 or more");
    x.filter.min_change = amount.value_or(0);
  }
  return finished(in, std::move(x));
}

result read_unsubscribe_availability(const context& at) {
  fields in{at.params};
  unsubscribe_availability_call x{in.text({"pattern"}, true)};
  return finished(in, std::move(x));
}

result read_data_channels(const context& at) {
  fields in{at.params};
  get_data_channels_call x{in.text({"pattern"}, false)};
  return finished(in, std::move(x));
}

result read_unsubscribe(const context& at) {
  fields in{at.params};
  unsubscribe_call x{in.text({"requesting_service"}, true), in.text({"target"}, true)};
  return finished(in, std::move(x));
}

result read_publish(const context& at) {
  fields in{at.params};
  publish_call x;
  x.source = in.text({"source"}, true);
  x.target = in.text({"target"}, true);
  auto value = in.take({"value"});
  if (!value)
    in.fail("missing field value");
  x.value = std::string(value.raw());
  auto timeout = read_time(in, "timeout", at.now_ms + at.bounds.timeout_ms);
  x.timeout_ms = at.params["timeout"] ? timeout : 0;
  x.retain = in.flag("retain");
  return finished(in, std::move(x));
}

result read_administration(const context& at, std::string_view method, std::string_view field) {
  fields in{at.params};
  administration_call x{std::string(method), in.text({field, "argument"}, false)};
  return finished(in, std::move(x));
}

result read_get_queue(const context& at) {
  fields in{at.params};
  queue_call x;
  x.pattern = in.text({"pattern"}, false);
  x.dead = in.flag("dead");
  x.after = in.text({"after"}, false);
  if (auto limit = in.take({"limit"})) {
    x.limit = limit.as_uint().value_or(0);
    if (x.limit == 0 || x.limit > queue_page_max)
      in.fail("limit must be a whole number from 1 to " + std::to_string(queue_page_max));
  }
  return finished(in, std::move(x));
}

/// get_queued, drop_queued and requeue; a pattern instead of the id goes with the second only.
result read_queued(const context& at, queue_call::action what) {
  fields in{at.params};
  queue_call x;
  x.what = what;
  if (what == queue_call::action::drop) {
    x.pattern = in.text({"pattern"}, false);
    x.limit = queue_page_max;
  }
  if (x.pattern.empty())
    x.id = in.id();
  return finished(in, std::move(x));
}

/// HLD 9.5: a signed list, as its issuer made it.
result read_revoke(const context& at) {
  fields in{at.params};
  administration_call x{"revoke", in.text({"list"}, true, revocation_list_bytes_max)};
  return finished(in, std::move(x));
}

/// HLD 9.6. `expires` in Unix seconds, as in the grant.
result read_make_grant(const context& at) {
  fields in{at.params};
  grant_call x;
  x.what = grant_call::action::make;
  x.node = in.text({"node"}, true);
  x.id = in.text({"grant_id"}, false);
  auto patterns = in.take({"destinations"});
  if (!patterns.is_array() || patterns.size() == 0 || patterns.size() > grant_patterns_max)
    in.fail("destinations must be a list of 1 to " + std::to_string(grant_patterns_max)
            + " patterns");
  else
    for (auto& each : patterns.items())
      x.destinations.push_back(in.text_of(each, "destinations"));
  auto expires = in.take({"expires"});
  if (!expires.as_uint())
    in.fail("expires must be a time in Unix seconds");
  x.expires_s = expires.as_uint().value_or(0);
  return finished(in, std::move(x));
}

result read_grant(const context& at, grant_call::action what) {
  fields in{at.params};
  grant_call x;
  x.what = what;
  if (what == grant_call::action::withdraw)
    x.id = in.text({"grant_id"}, true);
  if (what == grant_call::action::take)
    x.text = in.text({"grant"}, true, credential_bytes_max);
  return finished(in, std::move(x));
}

result read_method(std::string_view method, const context& at) {
  if (method == "invoke" || method == "message")
    return read_invoke(at, method == "message");
  if (method == "reply")
    return read_reply(at);
  if (method == "register_service")
    return read_register(at);
  if (method == "unregister_service")
    return read_unregister(at);
  if (method == "get_outcome")
    return read_get_outcome(at);
  if (method == "get_available_services")
    return read_available(at);
  if (method == "get_node_address")
    return read_node_address(at);
  if (method == "subscribe_availability")
    return read_subscribe_availability(at);
  if (method == "unsubscribe_availability")
    return read_unsubscribe_availability(at);
  if (method == "get_data_channels")
    return read_data_channels(at);
  if (method == "publish")
    return read_publish(at);
  if (method == "subscribe")
    return read_subscribe(at);
  if (method == "unsubscribe")
    return read_unsubscribe(at);
  if (method == "get_trace")
    return read_administration(at, method, "transaction_id");
  if (method == "get_status")
    return read_administration(at, method, "section");
  if (method == "get_nodes" || method == "get_links")
    return read_administration(at, method, "pattern");
  if (method == "disconnect" || method == "connect")
    return read_administration(at, method, "node");
  if (method == "get_queue")
    return read_get_queue(at);
  if (method == "get_queued")
    return read_queued(at, queue_call::action::show);
  if (method == "drop_queued")
    return read_queued(at, queue_call::action::drop);
  if (method == "requeue")
    return read_queued(at, queue_call::action::requeue);
  if (method == "revoke")
    return read_revoke(at);
  if (method == "make_grant")
    return read_make_grant(at);
  if (method == "get_grants")
    return read_grant(at, grant_call::action::list);
  if (method == "withdraw_grant")
    return read_grant(at, grant_call::action::withdraw);
  if (method == "add_grant")
    return read_grant(at, grant_call::action::take);
  return problem{number_of(ec::unknown_method),
                 caf::make_error(ec::unknown_method, std::string(method.substr(0, 128)))};
}

call unusable(int number, caf::error reason, std::string id = "null") {
  return {std::move(id), problem{number, std::move(reason)}};
}

call unusable(const char* detail, std::string id = "null") {
  return unusable(invalid_request, caf::make_error(ec::bad_request, detail), std::move(id));
}

bool is_id(json::value x) {
  auto kind = x.kind();
  return (kind == json::kind::string || kind == json::kind::number || kind == json::kind::null)
         && x.raw().size() <= id_bytes_max;
}

/// `params` itself, or the one element of it that rvi_core's clients wrap.
json::value unwrapped(json::value params) {
  if (params.is_array() && params.size() == 1)
    return params.at(0);
  return params.is_array() && params.size() == 0 ? json::value{} : params;
}

call read_call(json::value request, uint64_t now_ms, const limits& bounds) {
  auto id = request["id"];
  if (id && !is_id(id))
    return unusable("id must be a string, a number or null, of at most 256 bytes");
  auto id_text = std::string(id.raw());
  auto method = request["method"].as_string();
  auto version = request["jsonrpc"];
  if (!method || (version && version.as_string() != "2.0")) {
    auto detail = method ? "jsonrpc must be \"2.0\"" : "method must be a string";
    return unusable(detail, id ? id_text : "null");
  }
  context at{request, unwrapped(request["params"]), now_ms, bounds};
  return {std::move(id_text), read_method(*method, at)};
}

response read_response(json::value x) {
  response result{x["id"].as_uint().value_or(0), {}};
  auto error = x["error"];
  if (!error || error.kind() == json::kind::null)
    return result;
  if (error.raw().size() <= error_bytes_max)
    result.error = error.raw();
  else
    result.error = error_object(caf::make_error(ec::refused, "the service's error is too long"));
  return result;
}

std::variant<call, response> read_element(json::value x, uint64_t now_ms, const limits& bounds) {
  if (!x.is_object())
    return unusable("a request must be an object");
  if (x["method"])
    return read_call(x, now_ms, bounds);
  if (x["result"] || x["error"])
    return read_response(x);
  return unusable("missing field method");
}

} // namespace

decoded decode(std::string_view text, uint64_t now_ms, const limits& bounds) {
  decoded out;
  auto document = json::parse(text, bounds.text);
  if (!document) {
    auto code = code_of(document.error());
    auto number = code == ec::malformed ? parse_error : number_of(code);
    out.elements.emplace_back(unusable(number, std::move(document.error())));
    return out;
  }
  auto root = document->root();
  if (!root.is_array()) {
    out.elements.push_back(read_element(root, now_ms, bounds));
    return out;
  }
  if (root.size() == 0 || root.size() > bounds.batch_max) {
    auto detail = "a batch holds 1 to " + std::to_string(bounds.batch_max) + " calls";
    out.elements.emplace_back(
      unusable(invalid_request, caf::make_error(ec::bad_request, std::move(detail))));
    return out;
  }
  out.batch = true;
  out.elements.reserve(root.size());
  for (auto x : root.items())
    out.elements.push_back(read_element(x, now_ms, bounds));
  return out;
}

} // namespace rvi::json_rpc
