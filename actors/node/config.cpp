// SPDX-License-Identifier: MPL-2.0

#include "actors/node/config.hpp"

#include "messages/name.hpp"

#include <filesystem>

namespace rvi {

namespace {

constexpr uint64_t second_ms = 1'000;
constexpr uint64_t day_ms = 86'400 * second_ms;

void read_node(config::file& file, node_config& x) {
  auto t = file.table("node");
  x.name = t.required_text("name");
  x.role = t.choice("role", "vehicle", {"vehicle", "mobile", "cloud"});
  x.key_file = t.text("key", "node.key");
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
}

void read_api(config::file& file, node_config& x) {
  auto t = file.table("api");
  x.api_address = t.text("address", "127.0.0.1");
  x.api_port = static_cast<uint16_t>(t.integer("port", 8801, 0, 65'535));
  x.api_socket = t.text("socket", "rvi.sock");
  x.token_file = t.text("token_file", "token");
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
  x.connect_timeout_ms = t.milliseconds("connect_timeout", 10 * second_ms, 100, day_ms);
  x.authorize_timeout_ms = t.milliseconds("authorize_timeout", 10 * second_ms, 100, day_ms);
  x.keepalive_ms = t.milliseconds("keepalive", 30 * second_ms, 100, day_ms);
  x.idle_timeout_ms = t.milliseconds("idle_timeout", 0, 0, 30 * day_ms);
  x.backoff_ms_min = t.milliseconds("backoff_min", second_ms, 1, day_ms);
  x.backoff_ms_max = t.milliseconds("backoff_max", 300 * second_ms, 1, day_ms);
  if (x.backoff_ms_max < x.backoff_ms_min)
    t.reject("backoff_max", "must not be below backoff_min");
}

void read_limits(config::file& file, node_config& x) {
  auto store = file.table("store");
  x.store_directory = store.text("directory", "store");
  x.store_bytes_max = store.bytes("size_max", uint64_t{16} << 30, 1 << 20);
  auto t = file.table("limits");
  // One frame of 1 MiB carries a request with its proof; larger ones need fragments.
  x.request_bytes_max = t.bytes("request_bytes", 900 * 1'024, 1'024, 1'000 * 1'024);
  x.queue_items_max = static_cast<uint64_t>(t.integer("queue_items", 1'000'000, 1));
  x.queue_bytes_max = t.bytes("queue_bytes", uint64_t{4} << 30, 1'024);
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
  read_limits(**file, x);
  read_log(**file, x);
  read_routes(**file, x);
  if (auto err = (*file)->finish())
    return err;
  result.effective = (*file)->dump();
  return result;
}

} // namespace rvi
