// SPDX-License-Identifier: MPL-2.0
//
// `rvi credential bundle` and `sign-bundle`: an organization says which keys speak for it, and goes
// on to the next ones. A bundle file holds one bundle a line, from the one that nodes pin on.

#include "messages/name.hpp"
#include "messages/transaction_id.hpp"
#include "messages/trust_bundle.hpp"
#include "tools/commands.hpp"
#include "tools/issuer.hpp"
#include "tools/node_directory.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <tuple>

namespace rvi {

namespace {

constexpr uint64_t day_s = 86'400;

struct bundle_options {
  std::string organization;
  std::string previous;
  std::vector<std::string> signers;
  std::vector<std::string> roots;
  std::vector<std::string> issuers;
  uint32_t threshold = 1;
  uint64_t days = 3'650;
  std::vector<std::tuple<std::string, std::string, std::string>> delegates;
  uint64_t delegate_days = 365;
  std::string out;
  output_format format;
};

struct sign_options {
  std::string file;
  std::string root;
  std::string out;
};

/// The bundles of a file, each line checked against the one before.
expected<std::vector<trust_bundle_ptr>> read_bundles(const std::string& path) {
  auto text = read_text(path);
  if (!text)
    return std::move(text.error());
  std::vector<trust_bundle_ptr> result;
  for (std::string_view rest = *text; !rest.empty();) {
    auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.empty())
      continue;
    auto x = parse_trust_bundle(line);
    if (!x)
      return caf::make_error(code_of(x.error()), path + ": " + detail_of(x.error()));
    result.push_back(std::move(*x));
  }
  if (result.empty())
    return caf::make_error(ec::malformed, path + ": no trust bundle is here");
  return result;
}

std::string text_of(const std::vector<trust_bundle_ptr>& xs) {
  std::string result;
  for (auto& x : xs)
    result += x->text + "\n";
  return result;
}

/// What is still missing until nodes follow it; empty: nothing.
std::string missing_of(const std::vector<trust_bundle_ptr>& xs) {
  auto err
    = xs.size() == 1 ? verify_own_roots(*xs.back()) : verify_step(*xs[xs.size() - 2], *xs.back());
  return err ? detail_of(err) : std::string{};
}

int write_bundles(std::string_view me, const std::vector<trust_bundle_ptr>& xs,
                  const std::string& out, const output_format& format) {
  if (auto error = write_new_text(out, text_of(xs)))
    return fail(me, error);
  auto& x = *xs.back();
  auto missing = missing_of(xs);
  if (format.json()) {
    json::writer to;
    to.begin_object()
      .member("organization", x.organization)
      .member("seq", x.sequence)
      .member("roots", uint64_t{x.roots.size()})
      .member("threshold", uint64_t{x.threshold})
      .member("delegates", uint64_t{x.delegates.size()})
      .member("signatures", uint64_t{x.signatures.size()})
      .member("complete", missing.empty())
      .member("file", out)
      .end_object();
    print_line(to.take());
    return exit_done;
  }
  print_line("Made " + out + ": bundle " + std::to_string(x.sequence) + " of " + x.organization
             + ", roots " + std::to_string(x.roots.size()) + ", threshold "
             + std::to_string(x.threshold) + ", delegates " + std::to_string(x.delegates.size())
             + ", signatures " + std::to_string(x.signatures.size()));
  print_line(missing.empty() ? std::string{"Nodes follow it"}
                             : "Not yet: " + missing + "; more: rvi credential sign-bundle");
  return exit_done;
}

caf::error add_roots(const bundle_options& options, const std::vector<crypto::private_key>& signers,
                     bundle_claims& out) {
  auto add = [&out](const crypto::public_key& key, bool signs_bundles) {
    for (auto& root : out.roots)
      if (root.key.spki() == key.spki())
        return;
    out.roots.push_back({key, true, true, signs_bundles});
  };
  if (options.roots.empty() && options.issuers.empty())
    for (auto& key : signers)
      add(key.public_part(), true);
  for (auto& path : options.roots) {
    auto key = read_public_key(path);
    if (!key)
      return std::move(key.error());
    add(*key, true);
  }
  for (auto& path : options.issuers) {
    auto key = read_public_key(path);
    if (!key)
      return std::move(key.error());
    add(*key, false);
  }
  return {};
}

caf::error add_delegates(const bundle_options& options, bundle_claims& out) {
  for (auto& [to, what, text] : options.delegates) {
    auto organization = normal_organization(to);
    if (!organization)
      return std::move(organization.error());
    auto pattern = normalise_pattern(text);
    if (!pattern)
      return caf::make_error(ec::bad_request, text + ": " + detail_of(pattern.error()));
    auto i = std::find_if(out.delegates.begin(), out.delegates.end(),
                          [&](auto& x) { return x.organization == *organization; });
    if (i == out.delegates.end()) {
      i = out.delegates.emplace(i);
      i->organization = *organization;
      i->expires_s = out.issued_s + options.delegate_days * day_s;
    }
    auto* list = what == "sources"        ? &i->sources
                 : what == "destinations" ? &i->destinations
                 : what == "relay"        ? &i->relay
                                          : nullptr;
    if (!list)
      return caf::make_error(ec::bad_request, what + " is none of sources, destinations and relay");
    list->push_back(std::move(*pattern));
  }
  return {};
}

int run_bundle(const bundle_options& options) {
  constexpr auto me = "credential bundle";
  auto organization = normal_organization(options.organization);
  if (!organization)
    return fail_usage(me, detail_of(organization.error()));
  std::vector<trust_bundle_ptr> bundles;
  bundle_claims claims;
  claims.organization = *organization;
  if (!options.previous.empty()) {
    auto before = read_bundles(options.previous);
    if (!before)
      return fail(me, before.error());
    bundles = std::move(*before);
    claims.sequence = bundles.back()->sequence + 1;
    claims.previous = bundles.back()->digest;
    if (bundles.back()->organization != claims.organization)
      return fail_usage(me, options.previous + " is of " + bundles.back()->organization);
  }
  claims.issued_s = wall_now_ms() / 1'000;
  claims.expires_s = claims.issued_s + options.days * day_s;
  claims.threshold = options.threshold;
  std::vector<crypto::private_key> signers;
  for (auto& path : options.signers) {
    auto key = crypto::load_private_key(path);
    if (!key)
      return fail(me, key.error());
    signers.push_back(std::move(*key));
  }
  if (auto error = add_roots(options, signers, claims))
    return fail(me, error);
  if (auto error = add_delegates(options, claims))
    return fail_usage(me, detail_of(error));
  std::vector<const crypto::private_key*> keys;
  for (auto& key : signers)
    keys.push_back(&key);
  auto made = issue_trust_bundle(claims, keys);
  if (!made)
    return fail(me, made.error());
  bundles.push_back(std::move(*made));
  return write_bundles(me, bundles, options.out, options.format);
}

int run_sign(const sign_options& options) {
  constexpr auto me = "credential sign-bundle";
  auto bundles = read_bundles(options.file);
  if (!bundles)
    return fail(me, bundles.error());
  auto key = crypto::load_private_key(options.root);
  if (!key)
    return fail(me, key.error());
  auto made = countersign(*bundles->back(), *key);
  if (!made)
    return fail(me, made.error());
  bundles->back() = std::move(*made);
  return write_bundles(me, *bundles, options.out, {});
}

void add_sign(CLI::App& credential, command& chosen) {
  auto x = std::make_shared<sign_options>();
  auto sub = credential.add_subcommand("sign-bundle", "Add a root's signature to the last bundle "
                                                      "of a file");
  sub->add_option("FILE", x->file, "the bundles, one a line")->required();
  sub->add_option("--root", x->root, "the key that signs")->required();
  sub->add_option("--out", x->out, "file to make")->required();
  sub->callback([x, &chosen] { chosen = [x] { return run_sign(*x); }; });
}

} // namespace

void add_credential_bundles(CLI::App& credential, command& chosen) {
  auto x = std::make_shared<bundle_options>();
  auto sub = credential.add_subcommand("bundle", "Sign an organization's next trust bundle: the "
                                                 "keys that speak for it from now on");
  sub->add_option("--organization", x->organization, "such as jlr.com")->required();
  sub->add_option("--previous", x->previous, "the bundles so far; left out for the first");
  sub->add_option("--root", x->signers, "private key that signs this bundle; repeatable")
    ->required()
    ->allow_extra_args(false);
  sub
    ->add_option("--pin", x->roots,
                 "public key that may sign everything, bundles too; repeatable; default: those of "
                 "--root")
    ->allow_extra_args(false);
  sub
    ->add_option("--pin-issuer", x->issuers,
                 "public key that may sign credentials and revocation lists only; repeatable")
    ->allow_extra_args(false);
  sub->add_option("--threshold", x->threshold, "how many keys must sign the next bundle")
    ->check(CLI::Range(uint32_t{1}, static_cast<uint32_t>(bundle_roots_max)))
    ->capture_default_str();
  sub->add_option("--days", x->days, "validity")
    ->check(CLI::Range(uint64_t{1}, uint64_t{36'600}))
    ->capture_default_str();
  sub
    ->add_option("--delegate", x->delegates,
                 "ORGANIZATION, then sources, destinations or relay, then a PATTERN of this one: "
                 "that organization's credentials may have it; repeatable; what the bundle before "
                 "delegated ends with it")
    ->type_name("ORGANIZATION LIST PATTERN");
  sub->add_option("--delegate-days", x->delegate_days, "how long such credentials may be valid")
    ->check(CLI::Range(uint64_t{1}, uint64_t{36'600}))
    ->capture_default_str();
  sub->add_option("--out", x->out, "file to make, with those so far")->required();
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_bundle(*x); }; });
  add_sign(credential, chosen);
}

} // namespace rvi
