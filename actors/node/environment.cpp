// SPDX-License-Identifier: MPL-2.0

#include "actors/node/environment.hpp"

#include "actors/node/key_files.hpp"
#include "actors/storage/lmdb_disk.hpp"
#include "messages/name.hpp"
#include "runtime/lmdb/lmdb.hpp"
#include "runtime/observe/log.hpp"
#include "runtime/signer/client.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace rvi {

namespace {

constexpr const char* component = "node";
constexpr size_t known_credentials_max = 65'536;
constexpr size_t credential_bytes_max = 64 * 1'024;

expected<std::string> read_file(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return caf::make_error(ec::io_failed, path + ": cannot be read");
  std::string result(credential_bytes_max + 1, '\0');
  in.read(result.data(), static_cast<std::streamsize>(result.size()));
  result.resize(static_cast<size_t>(in.gcount()));
  if (result.size() > credential_bytes_max)
    return caf::make_error(ec::config_invalid, path + ": too large");
  while (!result.empty() && (result.back() == '\n' || result.back() == '\r'))
    result.pop_back();
  return result;
}

/// Files with this ending, sorted by name.
std::vector<std::string> files_in(const std::string& directory, const char* ending) {
  std::vector<std::string> result;
  std::error_code ignored;
  for (auto& x : std::filesystem::directory_iterator{directory, ignored})
    if (x.path().extension() == ending)
      result.push_back(x.path().string());
  std::sort(result.begin(), result.end());
  return result;
}

caf::error load_anchors(const node_config& config, trust_anchors& anchors) {
  for (auto& name : config.anchors) {
    auto path = resolve_path(config, name);
    auto text = read_file(path);
    if (!text)
      return std::move(text.error());
    if (auto err = anchors.add(*text))
      return caf::make_error(ec::config_invalid, path + ": " + detail_of(err));
  }
  return {};
}

/// A store that does not verify is mended before anybody trusts it.
caf::error check_store(const std::string& path) {
  if (!std::filesystem::exists(std::filesystem::path{path} / "data.mdb"))
    return {};
  auto report = lmdb::check_in_child(path);
  if (!report)
    return std::move(report.error());
  if (report->sound())
    return {};
  log::error(component, "the store is damaged; what verifies is kept",
             {{"path", path}, {"report", report->describe()}});
  auto kept = lmdb::salvage(path);
  if (!kept)
    return std::move(kept.error());
  log::warning(component, "the store was salvaged; the damaged file lies beside it",
               {{"path", path}, {"records", *kept}});
  return {};
}

/// Whoever can write them makes the rules.
caf::error check_writers(const std::string& path) {
  struct stat x {};
  if (::stat(path.c_str(), &x) != 0)
    return caf::make_error(ec::io_failed, path + ": " + std::strerror(errno));
  if ((x.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return caf::make_error(ec::file_unsafe, path + " can be written by others; mend it with: chmod "
                                              + "go-w " + path);
  if (x.st_uid != 0 && x.st_uid != ::geteuid())
    return caf::make_error(ec::file_unsafe, path + " belongs to another user");
  return {};
}

/// HLD 3.2.6: all files of the access directory, as one. Null: no rule.
expected<std::shared_ptr<const access_policy>> load_policy(const node_config& config) {
  auto directory = resolve_path(config, config.access_directory);
  auto paths
    = config.access_directory.empty() ? std::vector<std::string>{} : files_in(directory, ".json");
  if (paths.empty())
    return nullptr;
  auto result = std::make_shared<access_policy>();
  auto err = check_writers(directory);
  for (auto& path : paths) {
    if (!err)
      err = check_writers(path);
    if (err)
      return err;
    auto text = read_file(path);
    if (!text)
      return std::move(text.error());
    if (auto wrong = result->add(*text))
      return caf::make_error(ec::config_invalid, path + ": " + detail_of(wrong));
  }
  return std::shared_ptr<const access_policy>{std::move(result)};
}

/// A file, a key on a token, or another process that has one of these.
expected<crypto::private_key> open_key(const node_config& config) {
  if (!config.signer_socket.empty())
    return signer::connect(resolve_path(config, config.signer_socket));
  if (crypto::is_token_uri(config.key_file))
    return crypto::load_private_key(config.key_file);
  return crypto::load_private_key(resolve_path(config, config.key_file));
}

/// What a bundle of a pinned organization has said, and a later one may say again.
bool rests_on_bundles(const credential& x, const trust_anchors& anchors) {
  auto theirs
    = [&](const std::string& pattern) { return anchors.bundle(organization_of(pattern)); };
  return anchors.bundle(x.issuer) || std::any_of(x.sources.begin(), x.sources.end(), theirs)
         || std::any_of(x.destinations.begin(), x.destinations.end(), theirs)
         || std::any_of(x.relay.begin(), x.relay.end(), theirs);
}

/// Those of the service API over TCP.
caf::error load_tokens(const node_config& config, std::vector<access_token>& result) {
  if (config.api_address.empty())
    return {};
  auto named = config.api_tokens;
  if (!config.token_file.empty())
    named.insert(named.begin(), {"default", config.token_file, true});
  for (auto& x : named) {
    auto path = resolve_path(config, x.file);
    auto text = crypto::load_secret_file(path);
    auto token = text ? token_of(x.name, *text, x.administrator)
                      : expected<access_token>{std::move(text.error())};
    if (code_of(token.error()) == ec::malformed)
      return caf::make_error(ec::config_invalid, path + ": " + detail_of(token.error()));
    if (!token)
      return std::move(token.error());
    result.push_back(std::move(*token));
  }
  return {};
}

} // namespace

expected<std::shared_ptr<rights>>
load_rights(const node_config& config, const crypto::public_key& key,
            std::shared_ptr<credential_cache> known, const std::vector<std::string>& bundles) {
  auto result = std::make_shared<rights>();
  result->own_key = key;
  auto former = load_former_keys(resolve_path(config, config.key_file));
  if (!former)
    return std::move(former.error());
  result->former_keys = std::move(*former);
  result->node_address = config.name;
  result->limits.clock_skew_ms = config.clock_skew_ms;
  result->known = std::move(known);
  if (auto err = load_anchors(config, result->anchors))
    return err;
  auto policy = load_policy(config);
  if (!policy)
    return std::move(policy.error());
  result->policy = std::move(*policy);
  for (auto& text : bundles) {
    auto bundle = parse_trust_bundle(text);
    auto err = bundle ? result->anchors.walk(*bundle) : std::move(bundle.error());
    if (err && code_of(err) != ec::replay) // the files may have it, too
      log::error(component, "a trust bundle is not followed", {{"error", describe(err)}});
  }
  auto directory = resolve_path(config, config.credentials_directory);
  auto paths = files_in(directory, ".jwt");
  for (auto& path : files_in(directory, ".cwt"))
    paths.push_back(std::move(path));
  for (auto& path : paths) {
    auto text = read_file(path);
    if (!text)
      return std::move(text.error());
    auto credential = parse_written_credential(*text);
    if (!credential)
      return caf::make_error(ec::config_invalid, path + ": " + detail_of(credential.error()));
    auto err = verify_credential(**credential, result->anchors);
    // Its root, or the right to speak for others, may come with a bundle or have gone with one.
    if (code_of(err) == ec::unknown_issuer && rests_on_bundles(**credential, result->anchors)) {
      log::warning(component, "a credential is not used",
                   {{"file", path}, {"reason", describe(err)}});
      continue;
    }
    if (err)
      return caf::make_error(ec::config_invalid, path + ": " + describe(err));
    if ((*credential)->key.uid() != key.uid() && result->is_own((*credential)->key.uid())) {
      result->known->add(*credential); // of a key before this one, which may have signed what waits
      continue;
    }
    if ((*credential)->key.spki() != key.spki())
      return caf::make_error(ec::config_invalid,
                             path + ": was issued for another key than this node's");
    result->own.push_back(std::move(*credential));
  }
  std::stable_sort(result->own.begin(), result->own.end(),
                   [](auto& x, auto& y) { return x->issued_s > y->issued_s; });
  return result;
}

expected<node_environment_ptr> prepare_environment(const node_config& config) {
  auto result = std::make_shared<node_environment>();
  result->config = config;
  auto store_path = resolve_path(config, config.store_directory);
  if (auto err = check_store(store_path))
    return err;
  auto key = open_key(config);
  if (!key)
    return std::move(key.error());
  result->key = *key;
  if (!key->external())
    result->keys = replaceable_key(resolve_path(config, config.key_file), key->public_part());
  auto known = std::make_shared<credential_cache>(known_credentials_max);
  auto own = load_rights(config, key->public_part(), known, {});
  if (!own)
    return std::move(own.error());
  if ((*own)->own.empty())
    log::warning(component,
                 "no credential in files: unless one was provisioned, this node can neither send "
                 "nor receive",
                 {{"directory", resolve_path(config, config.credentials_directory)}});
  result->source = [config, public_key = key->public_part(), known](auto& bundles) {
    return load_rights(config, public_key, known, bundles);
  };
  if (auto err = load_tokens(config, result->api_tokens))
    return err;
  auto context = std::make_shared<node_context>();
  context->node_address = config.name;
  context->service_infix = config.service_infix;
  context->uid = key->public_part().uid();
  context->time = system_time();
  context->rights = std::make_shared<rights_snapshot>(*own);
  context->routing = std::make_shared<routing_snapshot>(std::make_shared<routing_table>());
  context->metrics = std::make_shared<metrics::registry>();
  context->trace = std::make_shared<trace_buffer>(context->time, config.trace_events_max);
  context->seed = config.seed;
  if (context->seed == 0) {
    auto bytes = crypto::random_bytes(8);
    context->seed = read_u64(bytes);
  }
  result->context = context;
  auto disk = open_store({store_path, config.store_bytes_max, context->metrics.get()});
  if (!disk)
    return std::move(disk.error());
  result->disk = std::shared_ptr<durable_disk>{std::move(*disk)};
  if (!config.tls_address.empty()) {
    auto listening = listen_tcp(config.tls_address, config.tls_port);
    if (!listening)
      return std::move(listening.error());
    result->tls_listening = std::move(*listening);
  }
  return result;
}

} // namespace rvi
