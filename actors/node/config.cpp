// SPDX-License-Identifier: MPL-2.0

#include "actors/node/config.hpp"

#include "actors/links/beacon.hpp"
#include "messages/name.hpp"

#include <algorithm>
#include <filesystem>

namespace rvi {

namespace {

constexpr uint64_t second_ms = 1'000;
constexpr uint64_t day_ms = 86'400 * second_ms;
constexpr size_t interface_name_max = 16; // IFNAMSIZ
constexpr size_t data_class_bytes_max = 128;

void read_node(config::file& file, node_config& x) {
  auto t = file.table("node");
  x.name = t.required_text("name");
  x.role = t.choice("role", "vehicle", {"vehicle", "mobile", "cloud"});
  x.signer_socket = t.text("signer", "");
  x.key_file = t.text("key", x.signer_socket.empty() ? "node.key" : "");
  if (!x.signer_socket.empty() && !x.key_file.empty())
    t.reject("signer", "has the key; leave out key");
  x.credentials_directory = t.text("credentials", "credentials");
  x.service_infix = t.text("service_infix", x.role == "cloud" ? "" : "services");
  x.seed = static_cast<uint64_t>(t.integer("seed", 0, 0));
  auto name = normalise_node_address(x.name);
  if (!name)
    t.reject("name", detail_of(name.error()));
  else
    x.name = *name;
  if (!x.service_infix.empty() && !normalise_name("a.b/c/" + x.service_infix))
    t.reject("service_infix", "must be levels of a name, or empty");
}

void read_trust(config::file& file, node_config& x) {
  auto t = file.table("trust");
  x.anchors = t.texts("anchors");
  x.clock_skew_ms = t.milliseconds("clock_skew", 300 * second_ms, 0, day_ms);
  for (auto [key, service] :
       {std::pair{"renewal", &x.renewal}, std::pair{"clone_reports", &x.clone_reports}}) {
    *service = t.text(key, "");
    if (service->empty())
      continue;
    auto name = normalise_name(*service);
    if (!name || type_of(*name))
      t.reject(key, "must be the name of a service, such as jlr.com/cloud/provisioner");
    else
      *service = *name;
  }
}

void read_api(config::file& file, node_config& x) {
  auto t = file.table("api");
  x.api_address = t.text("address", "127.0.0.1");
  x.api_port = static_cast<uint16_t>(t.integer("port", 8801, 0, 65'535));
  x.api_socket = t.text("socket", "rvi.sock");
  x.token_file = t.text("token_file", "token");
  x.access_directory = t.text("access", "access.d");
  for (auto& each : t.tables("tokens")) {
    named_token token{each.required_text("name"), each.required_text("file"),
                      each.boolean("administrator", false)};
    auto plain = [](char c) { return c > ' ' && c <= '~'; };
    if (token.name.empty() || token.name == "default" || token.name.size() > 64
        || !std::all_of(token.name.begin(), token.name.end(), plain))
      each.reject("name", "must be 1 to 64 visible characters, and not \"default\"");
    x.api_tokens.push_back(std::move(token));
  }
  x.api_hosts = t.texts("hosts", {"127.0.0.1", "localhost", "[::1]"});
  x.api_origins = t.texts("origins");
  x.callback_hosts = t.texts("callback_hosts");
}

void read_links(config::file& file, node_config& x) {
  auto t = file.table("links.tls");
  x.tls_address = t.text("address", x.role == "cloud" ? "0.0.0.0" : "");
  x.tls_port = static_cast<uint16_t>(t.integer("port", 8810, 0, 65'535));
  x.tls_advertise = t.text("advertise", "");
  x.tls_connect = t.texts("connect");
  x.tls_ca_file = t.text("ca_file", "");
  for (auto& text : t.texts("dial_back")) {
    if (auto network = parse_network(text))
      x.dial_back.push_back(*network);
    else
      t.reject("dial_back", "is no network: '" + text + "'");
  }
  x.connect_timeout_ms = t.milliseconds("connect_timeout", 10 * second_ms, 100, day_ms);
  x.authorize_timeout_ms = t.milliseconds("authorize_timeout", 10 * second_ms, 100, day_ms);
  x.keepalive_ms = t.milliseconds("keepalive", 30 * second_ms, 100, day_ms);
  x.idle_timeout_ms = t.milliseconds("idle_timeout", 0, 0, 30 * day_ms);
  x.backoff_ms_min = t.milliseconds("backoff_min", second_ms, 1, day_ms);
  x.backoff_ms_max = t.milliseconds("backoff_max", 300 * second_ms, 1, day_ms);
  if (x.backoff_ms_max < x.backoff_ms_min)
    t.reject("backoff_max", "must not be below backoff_min");
}

void read_discovery(config::file& file, node_config& x) {
  auto t = file.table("discovery");
  x.discovery.enabled = t.boolean("enabled", false);
  x.discovery.dial_unknown = t.boolean("dial_unknown", x.role != "vehicle");
  x.discovery.loopback = t.boolean("loopback", false);
  x.discovery.port = static_cast<uint16_t>(t.integer("port", beacon_port, 1, 65'535));
  x.discovery.dial_back_port = static_cast<uint16_t>(
    t.integer("dial_back_port", x.tls_port == 0 ? 8810 : x.tls_port, 1, 65'535));
}

void read_kinds(config::file& file, node_config& x) {
  auto check = [](config::section& t, const char* key, const std::vector<std::string>& kinds) {
    for (auto& kind : kinds)
      if (!is_link_kind(kind))
        t.reject(key, "a kind of link is 1 to 32 of a-z, 0-9, _ and -: '" + kind + "'");
  };
  auto t = file.table("links");
  x.kinds.order = t.texts("order", {"ethernet", "wifi", "tls", "lte"});
  check(t, "order", x.kinds.order);
  for (auto& each : t.tables("interface")) {
    named_interface y{each.required_text("device"), each.required_text("kind")};
    check(each, "kind", {y.kind});
    if (y.device.empty() || y.device.size() >= interface_name_max)
      each.reject("device", "is no name of a network device");
    x.interfaces.push_back(std::move(y));
  }
  for (auto& each : file.table("").tables("data_classes")) {
    auto name = each.required_text("name");
    auto kinds = each.texts("kinds");
    check(each, "kinds", kinds);
    if (name.empty() || name.size() > data_class_bytes_max || name.find('/') != std::string::npos)
      each.reject("name", "a data class has 1 to 128 bytes without /");
    if (kinds.empty())
      each.reject("kinds", "needs at least one kind of link");
    if (!x.kinds.classes.emplace(name, kinds).second)
      each.reject("name", "is given twice");
  }
}

void read_limits(config::file& file, node_config& x) {
  auto store = file.table("store");
  x.store_directory = store.text("directory", "store");
  x.store_bytes_max = store.bytes("size_max", uint64_t{16} << 30, 1 << 20);
  auto t = file.table("limits");
  x.request_bytes_max = t.bytes("request_bytes", 8 << 20, 1'024, 64 << 20);
  x.queue_items_max = static_cast<uint64_t>(t.integer("queue_items", 1'000'000, 1));
  x.queue_bytes_max = t.bytes("queue_bytes", uint64_t{4} << 30, 1'024);
  auto quota = [&t](const char* items, const char* bytes, queue_quota& out) {
    out.items_max = static_cast<uint64_t>(t.integer(items, int64_t(out.items_max), 1));
    out.bytes_max = t.bytes(bytes, out.bytes_max, 1'024);
  };
  quota("node_items", "node_bytes", x.quotas.node);
  quota("service_items", "service_bytes", x.quotas.service);
  x.memory.items_max = static_cast<uint64_t>(t.integer("memory_items", 100'000, 1, 10'000'000));
  x.memory.bytes_max = t.bytes("memory_bytes", uint64_t{64} << 20, 64 * 1'024, uint64_t{16} << 30);
  x.delivery_attempts_max = static_cast<uint64_t>(t.integer("delivery_attempts", 20, 1, 1'000'000));
  x.dead_letters_max = static_cast<uint64_t>(t.integer("dead_letters", 10'000, 0, 10'000'000));
  x.relay_items_max = static_cast<uint64_t>(t.integer("relay_items", 10'000, 1));
  x.relay_bytes_max = t.bytes("relay_bytes", uint64_t{64} << 20, 1'024);
  x.connections_max = static_cast<uint64_t>(t.integer("connections", 10'000, 1, 1'000'000));
  x.sessions_max = static_cast<uint64_t>(t.integer("sessions", 10'000, 1, 1'000'000));
  x.nodes_remembered_max
    = static_cast<uint64_t>(t.integer("nodes_remembered", 10'000, 1, 1'000'000));
  x.trace_events_max = static_cast<uint64_t>(t.integer("trace_events", 65'536, 0, 100'000'000));
}

void read_log(config::file& file, node_config& x) {
  auto t = file.table("log");
  auto level = t.choice("level", "info", {"debug", "info", "warning", "error"});
  x.log_level = log::level_of(level).value_or(log::level::info);
  x.log_format = t.choice("format", "text", {"text", "json"}) == "json" ? log::format::json
                                                                        : log::format::text;
}

void read_audit(config::file& file, node_config& x) {
  auto t = file.table("audit");
  x.audit_file = t.text("file", "audit.log");
  x.audit_bytes_max = t.bytes("file_bytes", 16 << 20, 64 * 1'024);
  x.audit_files_max = static_cast<uint32_t>(t.integer("files", 8, 1, 1'000));
}

void read_routes(config::file& file, node_config& x) {
  for (auto& t : file.table("").tables("routes")) {
    provisioned_address route;
    auto pattern = normalise_pattern(t.required_text("pattern"));
    if (!pattern)
      t.reject("pattern", detail_of(pattern.error()));
    else
      route.pattern = *pattern;
    route.network_addresses = t.texts("addresses");
    if (route.network_addresses.empty())
      t.reject("addresses", "needs at least one host:port");
    x.routes.push_back(std::move(route));
  }
}

void read_quotas(config::file& file, node_config& x) {
  for (auto& t : file.table("").tables("quotas")) {
    quota_rule rule;
    auto pattern = normalise_pattern(t.required_text("pattern"));
    if (!pattern)
      t.reject("pattern", detail_of(pattern.error()));
    else
      rule.pattern = *pattern;
    rule.quota.items_max
      = static_cast<uint64_t>(t.integer("items", int64_t(x.quotas.node.items_max), 1));
    rule.quota.bytes_max = t.bytes("bytes", x.quotas.node.bytes_max, 1'024);
    x.quotas.rules.push_back(std::move(rule));
  }
}

} // namespace

std::string resolve_path(const node_config& config, const std::string& path) {
  std::filesystem::path x{path};
  return x.is_absolute() ? path : (std::filesystem::path{config.directory} / x).string();
}

expected<loaded_config> load_config(const std::string& path) {
  auto file = config::file::load(path);
  if (!file)
    return std::move(file.error());
  loaded_config result;
  auto& x = result.config;
  std::error_code ignored;
  auto whole = std::filesystem::absolute(path, ignored);
  x.directory = whole.parent_path().string();
  read_node(**file, x);
  read_trust(**file, x);
  read_api(**file, x);
  read_links(**file, x);
  read_kinds(**file, x);
  read_discovery(**file, x);
  read_limits(**file, x);
  read_log(**file, x);
  read_audit(**file, x);
  read_routes(**file, x);
  read_quotas(**file, x);
  if (auto err = (*file)->finish())
    return err;
  result.effective = (*file)->dump();
  return result;
}

} // namespace rvi
