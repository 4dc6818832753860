// SPDX-License-Identifier: MPL-2.0
//
// Finding the node: the first place that is named or exists; errors say all that were tried.

#include "tools/node_endpoint.hpp"

#include "actors/node/config.hpp"
#include "runtime/crypto/crypto.hpp"
#include "tools/text_files.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdlib>
#include <filesystem>

namespace rvi {

namespace {

constexpr const char* local_config = "rvi.toml";
constexpr const char* system_config = "/etc/rvi/rvi.toml";

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

expected<std::string> read_token(const std::string& path) {
  auto text = crypto::load_secret_file(path);
  if (!text)
    return text;
  return trimmed_end(std::move(*text));
}

expected<node_endpoint> at_url(const node_options& options) {
  auto wrong = [&] {
    return caf::make_error(ec::bad_request,
                           options.url + " is no address such as http://127.0.0.1:8801");
  };
  constexpr std::string_view scheme = "http://";
  std::string_view rest = options.url;
  if (!rest.starts_with(scheme))
    return wrong();
  rest.remove_prefix(scheme.size());
  if (rest.ends_with('/'))
    rest.remove_suffix(1);
  auto colon = rest.rfind(':');
  if (colon == rest.npos || colon == 0)
    return wrong();
  node_endpoint result;
  auto end = rest.data() + rest.size();
  auto [stop, error] = std::from_chars(rest.data() + colon + 1, end, result.port);
  if (error != std::errc{} || stop != end || result.port == 0)
    return wrong();
  auto host = rest.substr(0, colon);
  result.host_header = std::string{rest};
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  result.host = std::string{host};
  result.place = options.url + " (--url)";
  if (options.token_file.empty())
    return caf::make_error(ec::unauthenticated,
                           std::string{"--url needs --token-file: the file `token` that rvi init "
                                       "made beside the node's rvi.toml"});
  auto token = read_token(options.token_file);
  if (!token)
    return std::move(token.error());
  result.token = std::move(*token);
  return result;
}

expected<node_endpoint>
at_tcp(const node_config& config, node_endpoint result, const std::string& path) {
  if (config.api_address.empty() || config.token_file.empty() || config.api_port == 0)
    return caf::make_error(ec::config_invalid,
                           path + ": [api] has neither a socket nor a fixed port with a token");
  auto token = read_token(resolve_path(config, config.token_file));
  if (!token)
    return std::move(token.error());
  result.token = std::move(*token);
  auto any = config.api_address == "0.0.0.0" || config.api_address == "::";
  result.host = any ? "127.0.0.1" : config.api_address;
  result.port = config.api_port;
  result.place = result.host + ":" + std::to_string(result.port) + " ([api] of " + path + ")";
  return result;
}

expected<node_endpoint> at_config(const std::string& path) {
  auto loaded = load_config(path);
  if (!loaded)
    return std::move(loaded.error());
  auto& config = loaded->config;
  node_endpoint result;
  result.host_header = config.api_hosts.empty() ? "localhost" : config.api_hosts.front();
  result.start_hint = "Start it with: rvi node --config " + shell_word(path);
  if (config.api_socket.empty())
    return at_tcp(config, std::move(result), path);
  result.socket_path = resolve_path(config, config.api_socket);
  result.place = result.socket_path + " ([api] socket of " + path + ")";
  return result;
}

} // namespace

void node_options::add_to(CLI::App& app) {
  auto by_config = app.add_option("--config", config,
                                  "the node's rvi.toml; default: $RVI_CONFIG, ./rvi.toml, "
                                  "/etc/rvi/rvi.toml");
  auto by_socket = app.add_option("--socket", socket, "the node's Unix socket");
  auto by_url = app.add_option("--url", url, "the node's TCP address: http://host:port");
  app.add_option("--token-file", token_file, "holds the token that --url needs")->needs(by_url);
  by_socket->excludes(by_config)->excludes(by_url);
  by_url->excludes(by_config);
}

expected<node_endpoint> find_node(const node_options& options) {
  if (!options.socket.empty()) {
    node_endpoint result;
    result.socket_path = options.socket;
    result.host_header = "localhost";
    result.place = options.socket + " (--socket)";
    result.start_hint = "Start the node with: rvi node --config DIRECTORY/rvi.toml";
    return result;
  }
  if (!options.url.empty())
    return at_url(options);
  if (!options.config.empty())
    return at_config(options.config);
  auto named = std::getenv("RVI_CONFIG");
  if (named && *named)
    return at_config(named);
  for (auto path : {local_config, system_config})
    if (exists(path))
      return at_config(path);
  return caf::make_error(
    ec::not_found, std::string{"no node is named: $RVI_CONFIG is not set, and neither ./rvi.toml "
                               "nor /etc/rvi/rvi.toml exists. Give --config FILE, --socket PATH, "
                               "or --url http://host:port --token-file FILE; `rvi init` makes a "
                               "new node"});
}

} // namespace rvi
