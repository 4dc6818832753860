// SPDX-License-Identifier: MPL-2.0
//
// Everything is checked before the first file is written, so that a refusal leaves nothing behind.

#include "tools/node_directory.hpp"

#include "messages/credential.hpp"
#include "messages/name.hpp"
#include "runtime/crypto/pkcs11.hpp"
#include "runtime/json/json.hpp"
#include "runtime/signer/client.hpp"
#include "tools/text_files.hpp"

#include <arpa/inet.h>
#include <charconv>
#include <filesystem>

namespace rvi {

namespace {

constexpr size_t token_bytes = 32;

struct address {
  std::string host;
  uint16_t port = 0;
};

/// An anchor's file as it will lie in the node's directory.
struct anchor_file {
  std::string name; // trust/jlr.com.json
  std::string text;
};

caf::error bad_request(std::string why) {
  return caf::make_error(ec::bad_request, std::move(why));
}

expected<address> parse_address(const std::string& text) {
  auto colon = text.rfind(':');
  address result;
  auto end = text.data() + text.size();
  if (colon != text.npos && colon > 0) {
    auto [stop, error] = std::from_chars(text.data() + colon + 1, end, result.port);
    if (error == std::errc{} && stop == end && result.port != 0) {
      result.host = text.substr(0, colon);
      if (result.host.starts_with('[') && result.host.ends_with(']'))
        result.host = result.host.substr(1, result.host.size() - 2);
      return result;
    }
  }
  return bad_request("\"" + text + "\" is no address such as 192.0.2.1:8810");
}

bool is_ip_literal(const std::string& host) {
  in6_addr ignored;
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1
         || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

std::string toml_string(std::string_view x) {
  std::string result;
  json::append_string(result, x);
  return result;
}

std::string toml_list(const std::vector<std::string>& xs) {
  std::string result = "[";
  for (auto& x : xs)
    result += (result.size() > 1 ? ", " : "") + toml_string(x);
  return result + "]";
}

expected<std::string> check(const new_node& x) {
  auto name = normalise_node_address(x.name);
  if (!name)
    return caf::make_error(code_of(name.error()),
                           "--name " + x.name + ": " + detail_of(name.error()));
  if (type_of(*name))
    return bad_request("--name " + x.name + ": a node's address has no type prefix");
  for (auto& to : x.connect)
    if (auto parsed = parse_address(to); !parsed)
      return std::move(parsed.error());
  for (auto& [pattern, to] : x.routes) {
    if (auto normal = normalise_pattern(pattern); !normal)
      return std::move(normal.error());
    if (auto parsed = parse_address(to); !parsed)
      return std::move(parsed.error());
  }
  if (!x.listen.empty()) {
    auto parsed = parse_address(x.listen);
    if (!parsed)
      return std::move(parsed.error());
    if (!is_ip_literal(parsed->host))
      return bad_request("--listen " + x.listen
                         + ": the host must be an IP address of this "
                           "machine, or 0.0.0.0 for all");
  }
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!x.key_uri.empty() && !crypto::is_token_uri(x.key_uri))
    return bad_request("--key " + x.key_uri
                       + ": is no URI such as pkcs11:token=T;object=K?"
                         "module-path=/a/module.so&pin-source=/a/file");
  if (!x.key_uri.empty() && !x.signer_socket.empty())
    return bad_request("--key and --signer exclude each other: the signer has the key");
  if (x.generate && x.key_uri.empty())
    return bad_request("--generate goes with --key");
  if (!x.signer_socket.empty() && !x.signer_socket.starts_with('/'))
    return bad_request("--signer " + x.signer_socket + ": must be an absolute path");
  for (auto file : {"rvi.toml", "node.key", "node.pub", "token"})
    if (auto path = fs::path{x.directory} / file; fs::exists(path, ignored))
      return caf::make_error(ec::io_failed, path.string()
                                              + " exists; a node is never replaced. Give another "
                                                "--directory");
  return *name;
}

expected<std::vector<anchor_file>> read_anchors(const new_node& x) {
  std::vector<anchor_file> result;
  for (auto& path : x.anchors) {
    auto text = read_text(path);
    if (!text)
      return std::move(text.error());
    trust_anchors anchors;
    if (auto error = anchors.add(*text))
      return caf::make_error(code_of(error), path + ": " + detail_of(error));
    auto organization = anchors.organizations().front();
    if (!normalise_pattern(organization) || organization.find('/') != organization.npos)
      return caf::make_error(ec::config_invalid,
                             path + ": " + organization + " is no organization");
    auto name = "trust/" + organization + ".json";
    for (auto& earlier : result)
      if (earlier.name == name)
        return bad_request("two anchors of " + organization + " are given");
    result.push_back({name, std::move(*text)});
  }
  return result;
}

std::string key_line(const new_node& x) {
  if (!x.signer_socket.empty())
    return "\nsigner = " + toml_string(x.signer_socket) + "    # has the key: rvi signer\n";
  if (!x.key_uri.empty())
    return "\nkey = " + toml_string(x.key_uri) + "\n";
  return "\n# key = \"node.key\"    # or pkcs11:..., or signer = \"/run/rvi/signer.sock\"\n";
}

/// Made here, or found where it is.
expected<crypto::private_key> key_for(const new_node& x) {
  if (!x.signer_socket.empty())
    return signer::connect(x.signer_socket);
  if (x.key_uri.empty())
    return crypto::private_key::generate(x.algorithm);
  return x.generate ? crypto::generate_token_key(x.key_uri, x.algorithm)
                    : crypto::load_private_key(x.key_uri);
}

std::string node_section(const new_node& x, const std::string& name) {
  return "# A node of RVI Router. Paths are seen from this file's directory; what is commented "
         "out\n"
         "# shows the default. All keys: rvi node --config rvi.toml --dump-config\n"
         "\n"
         "[node]\n"
         "name = "
         + toml_string(name) + "    # its address; services register below it\nrole = "
         + toml_string(x.role) + key_line(x)
         + "# credentials = \"credentials\"    # *.jwt and *.cwt of this node's key\n"
           "# service_infix = "
         + (x.role == "cloud" ? "\"\"    # media_player is found at " + name
                              : "\"services\"    # media_player is found at " + name + "/services")
         + "/media_player\n";
}

std::string trust_section(const std::vector<anchor_file>& anchors, const std::string& name) {
  std::string result = "\n[trust]\n# Whose credentials are taken.\n";
  if (anchors.empty())
    return result + "# anchors = [\"trust/" + std::string{organization_of(name)} + ".json\"]\n";
  std::vector<std::string> names;
  for (auto& x : anchors)
    names.push_back(x.name);
  return result + "anchors = " + toml_list(names) + "\n";
}

std::string api_section(const new_node& x) {
  std::string result = "\n[api]\n# Where services connect: JSON-RPC over WebSocket or HTTP.\n"
                       "# socket = \"rvi.sock\"    # the peer's user is who it is\n";
  if (x.api_port == 0)
    return result + "address = \"\"    # no TCP\n";
  result += "# address = \"127.0.0.1\"\n";
  result += x.api_port ? "port = " + std::to_string(*x.api_port) + "\n" : "# port = 8801\n";
  return result + "# token_file = \"token\"    # every request over TCP needs it\n"
         + "# access = \"access.d\"    # rules for programs and users, *.json\n";
}

std::string link_section(const new_node& x) {
  std::string result = "\n[links.tls]\n";
  if (x.listen.empty()) {
    auto cloud = x.role == "cloud";
    result += cloud ? "# address = \"0.0.0.0\"\n" : "# address = \"\"    # does not listen\n";
    result += "# port = 8810\n# advertise = \"\"    # host:port told to peers\n";
  } else if (auto to = parse_address(x.listen)) {
    auto any = to->host == "0.0.0.0" || to->host == "::";
    result += "address = " + toml_string(to->host) + "\nport = " + std::to_string(to->port) + "\n";
    result += any ? "# advertise = \"\"    # host:port told to peers\n"
                  : "advertise = " + toml_string(x.listen) + "    # told to peers\n";
  }
  if (x.connect.empty())
    result += "# connect = []    # peers to be linked to always, as host:port\n";
  else
    result += "connect = " + toml_list(x.connect) + "    # always linked\n";
  return result + "# keepalive = \"30s\"\n# idle_timeout = 0    # links stay\n";
}

std::string remaining_sections(const new_node& x) {
  std::string result = "\n[store]\n# directory = \"store\"\n# size_max = \"16GiB\"\n\n[limits]\n"
                       "# request_bytes = \"8MiB\"\n# queue_items = 1000000\n"
                       "# trace_events = 65536\n\n[log]\n";
  result += x.log_level.empty() ? "# level = \"info\"    # debug, info, warning, error\n"
                                : "level = " + toml_string(x.log_level) + "\n";
  result
    += "# format = \"text\"    # or json\n\n[audit]\n# file = \"audit.log\"    # see: rvi audit\n";
  if (x.routes.empty())
    return result
           + "\n# Where nodes never met can be reached.\n# [[routes]]\n"
             "# pattern = \"jlr.com/cloud\"\n# addresses = [\"rvi.example:8810\"]\n";
  for (auto& [pattern, to] : x.routes)
    result += "\n[[routes]]\npattern = " + toml_string(pattern) + "\naddresses = ["
              + toml_string(to) + "]\n";
  return result;
}

} // namespace

expected<created_node> create_node_directory(const new_node& x) {
  auto name = check(x);
  if (!name)
    return std::move(name.error());
  auto anchors = read_anchors(x);
  if (!anchors)
    return std::move(anchors.error());
  auto key = key_for(x);
  if (!key)
    return std::move(key.error());
  auto base = std::filesystem::path{x.directory.empty() ? "." : x.directory};
  auto at = [&base](const std::string& file) { return (base / file).lexically_normal().string(); };
  created_node result{*name, key->public_part(), at("rvi.toml"), at("node.pub"), at("credentials")};
  for (auto& directory : {base.string(), at("credentials"), at("trust")})
    if (auto error = make_directory(directory))
      return error;
  for (auto& anchor : *anchors)
    if (auto error = write_new_text(at(anchor.name), anchor.text))
      return error;
  if (!key->external())
    if (auto error = crypto::save_private_key(at("node.key"), *key))
      return error;
  if (auto error = write_new_text(result.public_key_file, result.key.jwk() + "\n"))
    return error;
  auto token = crypto::base64url(crypto::random_bytes(token_bytes));
  if (auto error = crypto::save_secret_file(at("token"), token + "\n"))
    return error;
  auto config = node_section(x, *name) + trust_section(*anchors, *name) + api_section(x)
                + link_section(x) + remaining_sections(x);
  if (auto error = write_new_text(result.config_file, config))
    return error;
  return result;
}

expected<crypto::public_key> read_public_key(const std::string& path) {
  auto text = read_text(path);
  if (!text)
    return std::move(text.error());
  auto document = json::parse(*text);
  if (!document)
    return caf::make_error(ec::malformed, path + ": " + detail_of(document.error()));
  auto member
    = [root = document->root()](const char* name) { return root[name].as_string().value_or(""); };
  auto key = crypto::public_key::from_jwk(member("kty"), member("crv"), member("x"), member("y"));
  if (!key)
    return caf::make_error(ec::malformed,
                           path + " is no public key (JWK): " + detail_of(key.error()));
  return key;
}

} // namespace rvi
