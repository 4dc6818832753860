// SPDX-License-Identifier: MPL-2.0
//
// RFC 7512, as far as a private key needs it. A misspelt attribute is refused: left out it would
// make another key fit.

#include "runtime/crypto/pkcs11.hpp"

#include <algorithm>
#include <array>

namespace rvi::crypto {

namespace {

constexpr std::string_view scheme = "pkcs11:";
constexpr size_t uri_bytes_max = 4'096;
constexpr std::array path_attributes
  = {"id", "manufacturer", "model", "object", "serial", "slot-id", "token", "type"};

using attributes = std::map<std::string, std::string>;

caf::error refuse(const std::string& why) {
  return caf::make_error(ec::config_invalid, "pkcs11 URI: " + why);
}

expected<std::string> percent_decoded(std::string_view x) {
  std::string result;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] != '%') {
      result += x[i];
      continue;
    }
    auto byte = unhex(x.substr(i + 1, 2));
    if (!byte || byte->size() != 1)
      return refuse("% is followed by two hexadecimal digits");
    result += *byte;
    i += 2;
  }
  return result;
}

expected<attributes> split(std::string_view x, char separator) {
  attributes result;
  while (!x.empty()) {
    auto part = x.substr(0, x.find(separator));
    x.remove_prefix(std::min(x.size(), part.size() + 1));
    auto equals = part.find('=');
    if (equals == 0 || equals == part.npos)
      return refuse("attributes are name=value");
    std::string name{part.substr(0, equals)};
    auto value = percent_decoded(part.substr(equals + 1));
    if (!value)
      return std::move(value.error());
    if (value->find('\0') != value->npos && name != "id")
      return refuse(name + " has a zero byte");
    if (!result.emplace(name, std::move(*value)).second)
      return refuse(name + " is given twice");
  }
  return result;
}

/// `/etc/rvi/pin`, `file:/etc/rvi/pin` or `file:///etc/rvi/pin`.
std::string absolute_path(std::string_view x) {
  if (x.starts_with("file://"))
    x.remove_prefix(7);
  else if (x.starts_with("file:"))
    x.remove_prefix(5);
  return std::string{x.starts_with('/') ? x : ""};
}

caf::error take_query(const attributes& query, token_uri& result) {
  for (auto& [name, value] : query) {
    if (name == "pin-value")
      return refuse("pin-value would show the PIN; put it into a file of mode 0600 and give "
                    "pin-source");
    if (name == "module-path")
      result.module_path = absolute_path(value);
    else if (name == "pin-source")
      result.pin_file = absolute_path(value);
    else
      return refuse("unknown attribute " + name);
    if (absolute_path(value).empty())
      return refuse(name + " must be an absolute path");
  }
  if (result.module_path.empty())
    return refuse("module-path is missing: the library that serves the token");
  return {};
}

/// A shell and an eye read it; only what could be taken for something else is encoded.
std::string encoded(std::string_view x) {
  std::string result;
  for (char c : x)
    if (c > ' ' && c < 127 && c != ';' && c != '?' && c != '%' && c != '"')
      result += c;
    else
      result += "%" + hex(std::string_view{&c, 1});
  return result;
}

} // namespace

bool is_token_uri(std::string_view x) {
  return x.starts_with(scheme);
}

expected<token_uri> parse_token_uri(std::string_view text) {
  if (!is_token_uri(text) || text.size() > uri_bytes_max)
    return refuse("begins with pkcs11: and has at most 4096 bytes");
  text.remove_prefix(scheme.size());
  auto question = text.find('?');
  auto path = split(text.substr(0, question), ';');
  auto query = split(question == text.npos ? "" : text.substr(question + 1), '&');
  if (!path || !query)
    return std::move(path ? query.error() : path.error());
  for (auto& [name, value] : *path)
    if (std::find(path_attributes.begin(), path_attributes.end(), name) == path_attributes.end())
      return refuse("unknown attribute " + name);
  if (auto type = path->find("type"); type != path->end() && type->second != "private")
    return refuse("type must be private");
  if (auto slot = path->find("slot-id");
      slot != path->end()
      && (slot->second.empty() || slot->second.size() > 18
          || !std::all_of(slot->second.begin(), slot->second.end(),
                          [](char c) { return c >= '0' && c <= '9'; })))
    return refuse("slot-id is a number");
  if (!path->contains("object") && !path->contains("id"))
    return refuse("object or id must name the key");
  token_uri result;
  if (auto err = take_query(*query, result))
    return err;
  result.path = std::move(*path);
  return result;
}

std::string token_uri::shown() const {
  std::string result{scheme};
  for (auto& [name, value] : path)
    result += (result.size() > scheme.size() ? ";" : "") + name + "=" + encoded(value);
  return result + "?module-path=" + encoded(module_path);
}

} // namespace rvi::crypto
