// SPDX-License-Identifier: MPL-2.0
//
// Texts going out: answers, requests to services, and the table of error numbers. Reading is in
// json_rpc_decode.cpp.

#include "messages/wire/json_rpc.hpp"

#include <array>
#include <charconv>

namespace rvi::json_rpc {

namespace {

// In the order of `ec`; append-only like it.
constexpr std::array numbers = {
  -32603, // none: never sent
  -32602, // bad_request
  -32601, // unknown_method
  -32001, -32002, -32003, -32004, -32005, -32006, -32007, -32008, -32009, -32010,
  -32011, -32012, -32013, -32014, -32015, -32016, -32017, -32018, -32019, -32020,
  -32021, -32022, -32023, -32024, -32025, -32026, -32027, -32028, -32029, -32030,
  -32603, // internal
};
static_assert(numbers.size() == size_t(ec::internal) + 1);

template <class T>
void append_number(std::string& out, T x) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, x).ptr);
}

void append_head(std::string& out, std::string_view id) {
  out += R"({"jsonrpc":"2.0","id":)";
  out += id.empty() ? std::string_view{"null"} : id;
}

void append_method(std::string& out, uint64_t id, std::string_view method) {
  out += R"({"jsonrpc":"2.0","id":)";
  append_number(out, id);
  out += R"(,"method":")";
  out += method;
  out += R"(","params":)";
}

void append_error_object(std::string& out, int number, const caf::error& x,
                         uint64_t retry_after_ms) {
  out += R"({"code":)";
  append_number(out, number);
  out += R"(,"message":)";
  auto code = to_string(code_of(x));
  auto detail = detail_of(x);
  json::append_string(out, detail.empty() ? std::string_view{code} : detail);
  out += R"(,"data":{"code":")";
  out += code;
  out += '"';
  if (retry_after_ms != 0) {
    out += R"(,"retry_after_ms":)";
    append_number(out, retry_after_ms);
  }
  out += "}}";
}

void append_signature(std::string& out, std::string_view x) {
  if (x.empty())
    return;
  out += R"(,"service_signature":)";
  json::append_string(out, x);
}

caf::error append_outcome(std::string& out, const outcome_notice& x) {
  if (!x.arguments.empty() && !is_json(x.arguments))
    return caf::make_error(ec::malformed, "the reply is no JSON");
  out += R"({"transaction_id":")";
  out += to_string(x.id);
  out += R"(","status":)";
  json::append_string(out, x.status);
  out += R"(,"target":)";
  json::append_string(out, x.target);
  if (!x.arguments.empty()) {
    out += R"(,"arguments":)";
    out += x.arguments;
  }
  if (!x.error.empty()) {
    out += R"(,"error":)";
    out += foreign_error(x.error);
  }
  if (!x.dispatched.empty()) {
    out += R"(,"dispatched":)";
    json::append_string(out, x.dispatched);
  }
  append_signature(out, x.service_signature);
  out += '}';
  return {};
}

void append_strings(std::string& out, const std::vector<std::string>& xs) {
  out += '[';
  for (size_t i = 0; i < xs.size(); ++i) {
    if (i > 0)
      out += ',';
    json::append_string(out, xs[i]);
  }
  out += ']';
}

/// Appends what an answer says.
struct result_writer {
  std::string& out;

  caf::error operator()(const done_result&) {
    out += R"({"status":"ok"})";
    return {};
  }
  caf::error operator()(const registered_result& x) {
    out += R"({"status":"ok","service":)";
    json::append_string(out, x.service);
    if (x.last_transaction_id != 0) {
      out += R"(,"service_transaction_id":)";
      append_number(out, x.last_transaction_id);
    }
    if (!x.edge_key.empty()) {
      out += R"(,"service_edge_key":)";
      out += x.edge_key;
    }
    out += '}';
    return {};
  }
  caf::error operator()(const accepted_result& x) {
    out += R"({"status":"accepted","transaction_id":")";
    out += to_string(x.id);
    out += x.repeated ? R"(","repeated":true})" : R"("})";
    return {};
  }
  caf::error operator()(const outcome_notice& x) { return append_outcome(out, x); }
  caf::error operator()(const names_result& x) {
    out += R"({"status":"ok","services":)";
    append_strings(out, x.names);
    out += '}';
    return {};
  }
  caf::error operator()(const json_result& x) {
    out += x.json.empty() ? std::string_view{"null"} : std::string_view{x.json};
    return {};
  }
};

/// Takes back what was appended if the rest cannot be.
caf::error complete(std::string& out, size_t begin, caf::error error) {
  if (error)
    out.resize(begin);
  else
    out += '}';
  return error;
}

} // namespace

bool is_json(std::string_view text) {
  json::limits bounds;
  bounds.bytes_max = text.size();
  bounds.depth_max = limits{}.text.depth_max;
  bounds.nodes_max = limits{}.text.nodes_max;
  return bool(json::parse(text, bounds));
}

int number_of(ec x) {
  auto i = size_t(x);
  return i < numbers.size() ? numbers[i] : numbers[size_t(ec::internal)];
}

void append_answer(std::string& out, std::string_view id, const service_answer& answer) {
  auto begin = out.size();
  append_head(out, id);
  out += R"(,"result":)";
  if (auto error = complete(out, begin, std::visit(result_writer{out}, answer)))
    append_error(out, id, error);
}

void append_error(std::string& out, std::string_view id, const problem& x,
                  uint64_t retry_after_ms) {
  append_head(out, id);
  out += R"(,"error":)";
  append_error_object(out, x.number, x.reason, retry_after_ms);
  out += '}';
}

void append_error(std::string& out, std::string_view id, const caf::error& x,
                  uint64_t retry_after_ms) {
  append_error(out, id, problem{number_of(code_of(x)), x}, retry_after_ms);
}

std::string foreign_error(const std::string& error) {
  return is_json(error) ? error : error_object(caf::make_error(ec::refused, error));
}

std::string error_object(const caf::error& x) {
  std::string result;
  append_error_object(result, number_of(code_of(x)), x, 0);
  return result;
}

namespace {

/// As a service gets it; the user is a pseudonym, in hex.
void append_user(std::string& out, const on_behalf_of& x) {
  out += R"(,"on_behalf_of":{"user":")";
  out += crypto::hex(x.user);
  out += R"(","role":)";
  json::append_string(out, x.role);
  out += R"(,"authenticated":)";
  append_number(out, x.authenticated_ms);
  out += R"(,"method":)";
  json::append_string(out, x.method);
  out += '}';
}

} // namespace

caf::error check_arguments(const envelope& x) {
  auto& type = x.header.content_type;
  if (!type.empty() && type != "application/json")
    return caf::make_error(ec::malformed, "the arguments are " + type);
  if (!is_json(x.arguments))
    return caf::make_error(ec::malformed, std::string{"the arguments are no JSON"});
  return {};
}

caf::error append_invoke(std::string& out, uint64_t id, const envelope& x,
                         std::string_view service_signature) {
  auto begin = out.size();
  auto& header = x.header;
  if (auto error = check_arguments(x))
    return error;
  out.reserve(begin + x.arguments.size() + header.source.size() + header.target.size() + 256);
  append_method(out, id, "invoke");
  out += R"({"timeout":)";
  append_number(out, header.expires_ms);
  out += R"(,"transaction_id":")";
  out += to_string(header.id);
  out += R"(","target":)";
  json::append_string(out, header.target);
  out += R"(,"requesting_service":)";
  json::append_string(out, header.source);
  if (header.user)
    append_user(out, *header.user);
  append_signature(out, service_signature);
  out += R"(,"arguments":)";
  out += x.arguments;
  out += '}';
  return complete(out, begin, {});
}

caf::error append_reply(std::string& out, uint64_t id, const outcome_notice& x) {
  auto begin = out.size();
  append_method(out, id, "reply");
  return complete(out, begin, append_outcome(out, x));
}

void append_availability(std::string& out, const availability_report& x) {
  out += R"({"jsonrpc":"2.0","method":"services_)";
  out
    += x.available ? R"(available","params":{"pattern":)" : R"(unavailable","params":{"pattern":)";
  json::append_string(out, x.pattern);
  out += R"(,"services":)";
  append_strings(out, x.services);
  if (x.all)
    out += R"(,"all":true)";
  auto text = [&out](std::string_view name, const std::string& value) {
    if (value.empty())
      return;
    out += name;
    json::append_string(out, value);
  };
  auto number = [&out](std::string_view name, uint64_t value) {
    if (value == 0)
      return;
    out += name;
    append_number(out, value);
  };
  text(R"(,"node":)", x.node);
  text(R"(,"state":)", x.state);
  text(R"(,"kind":)", x.kind);
  number(R"(,"round_trip_us":)", x.round_trip_us);
  number(R"(,"last_seen_ms":)", x.last_seen_ms);
  text(R"(,"reason":)", x.reason);
  number(R"(,"time_ms":)", x.time_ms);
  out += "}}";
}

void append_metric(std::string& out, const metric_value& x) {
  out += R"({"jsonrpc":"2.0","method":"metric","params":{"target":)";
  json::append_string(out, x.topic);
  out += R"(,"value":)";
  out += x.value;
  out += R"(,"published_ms":)";
  append_number(out, x.published_ms);
  out += R"(,"source":)";
  json::append_string(out, x.source);
  out += "}}";
}

std::string refusal_in(int status, std::string_view body) {
  auto text = json::parse(body);
  auto error = text ? text->root()["error"] : json::value{};
  if (error.is_object())
    return std::string(error.raw());
  if (status >= 200 && status < 300)
    return {};
  return error_object(
    caf::make_error(ec::refused, "the service answered HTTP status " + std::to_string(status)));
}

} // namespace rvi::json_rpc
