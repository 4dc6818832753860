// SPDX-License-Identifier: MPL-2.0
//
// `rvi credential root` and `issue`: the work of an organization's provisioner.

#include "messages/credential.hpp"
#include "messages/transaction_id.hpp"
#include "tools/commands.hpp"
#include "tools/issuer.hpp"
#include "tools/node_directory.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

namespace rvi {

namespace {

constexpr uint64_t day_s = 86'400;

struct root_options {
  std::string organization;
  std::string out;
  std::string algorithm = "ed25519";
  output_format format;
};

struct issue_options {
  std::string root;
  std::string organization;
  std::string node;
  std::vector<std::string> sources;
  std::vector<std::string> destinations;
  std::vector<std::string> relay;
  uint64_t days = 30;
  std::string id;
  std::string not_before;
  std::string not_after;
  bool administrator = false;
  std::string out;
  output_format format;
};

/// RFC 4122 version 4.
std::string random_uuid() {
  auto bytes = crypto::random_bytes(16);
  bytes[6] = char((uint8_t(bytes[6]) & 0x0f) | 0x40);
  bytes[8] = char((uint8_t(bytes[8]) & 0x3f) | 0x80);
  auto result = crypto::hex(bytes);
  for (size_t i : {8, 13, 18, 23})
    result.insert(i, "-");
  return result;
}

int run_root(const root_options& options) {
  constexpr auto me = "credential root";
  auto organization = normal_organization(options.organization);
  if (!organization)
    return fail_usage(me, detail_of(organization.error()));
  auto base = std::filesystem::path{options.out};
  auto key_file = (base / "root.key").lexically_normal().string();
  auto anchor_file = (base / "anchor.json").lexically_normal().string();
  std::error_code ignored;
  if (std::filesystem::exists(anchor_file, ignored))
    return fail(me, caf::make_error(ec::io_failed, anchor_file + " exists and is not replaced"));
  auto key = crypto::private_key::generate(
    options.algorithm == "es256" ? crypto::algorithm::es256 : crypto::algorithm::ed25519);
  if (!key)
    return fail(me, key.error());
  if (auto error = make_directory(options.out, 0700))
    return fail(me, error);
  if (auto error = crypto::save_private_key(key_file, *key))
    return fail(me, error);
  auto anchor = trust_anchor_json(*organization, key->public_part());
  if (auto error = write_new_text(anchor_file, anchor + "\n"))
    return fail(me, error);
  if (options.format.json()) {
    json::writer out;
    out.begin_object()
      .member("organization", *organization)
      .member("key", key_file)
      .member("anchor", anchor_file)
      .member("key_id", to_string(key->public_part().uid()))
      .end_object();
    print_line(out.take());
  } else {
    print_line("Made " + key_file + ": signs the credentials of " + *organization
               + "; keep it away from every node");
    print_line("Made " + anchor_file + ": what nodes need to trust it (rvi init --anchor "
               + shell_word(anchor_file) + ")");
  }
  return exit_done;
}

/// Start and end in Unix seconds.
caf::error read_validity(const issue_options& options, credential_claims& out) {
  out.issued_s = out.not_before_s = wall_now_ms() / 1'000;
  if (!options.not_before.empty()) {
    auto time = parse_time_s(options.not_before);
    if (!time)
      return std::move(time.error());
    out.not_before_s = *time;
  }
  out.expires_s = out.not_before_s + options.days * day_s;
  if (!options.not_after.empty()) {
    auto time = parse_time_s(options.not_after);
    if (!time)
      return std::move(time.error());
    out.expires_s = *time;
  }
  return {};
}

int print_issued(const issue_options& options, const credential& x) {
  if (options.out.empty() && !options.format.json()) {
    print_line(x.text);
    return exit_done;
  }
  if (!options.out.empty())
    if (auto error = write_new_text(options.out, x.text + "\n"))
      return fail("credential issue", error);
  if (options.format.json()) {
    json::writer out;
    out.begin_object()
      .member("id", x.id)
      .member("subject", to_string(x.key.uid()))
      .member("expires", x.expires_s)
      .member("credential", x.text);
    if (!options.out.empty())
      out.member("file", options.out);
    out.end_object();
    print_line(out.take());
  } else {
    print_line("Made " + options.out + ": credential " + x.id + " for node "
               + to_string(x.key.uid()) + ", valid until " + show_time(x.expires_s));
  }
  return exit_done;
}

int run_issue(const issue_options& options) {
  constexpr auto me = "credential issue";
  auto organization = normal_organization(options.organization);
  if (!organization)
    return fail_usage(me, detail_of(organization.error()));
  auto root = crypto::load_private_key(options.root);
  if (!root)
    return fail(me, root.error());
  auto node = read_public_key(options.node);
  if (!node)
    return fail(me, node.error());
  credential_claims claims;
  if (auto error = read_validity(options, claims))
    return fail_usage(me, detail_of(error));
  claims.issuer = *organization;
  claims.id = options.id.empty() ? random_uuid() : options.id;
  claims.key = *node;
  claims.sources = options.sources;
  claims.destinations = options.destinations;
  claims.relay = options.relay;
  claims.administrator = options.administrator;
  auto issued = issue_credential(std::move(claims), *root);
  if (!issued)
    return fail(me, issued.error());
  return print_issued(options, **issued);
}

void add_root(CLI::App& parent, command& chosen) {
  auto x = std::make_shared<root_options>();
  auto sub = parent.add_subcommand("root", "Make an organization's provisioning key (root.key) and "
                                           "the trust anchor nodes need (anchor.json)");
  sub->add_option("--organization", x->organization, "such as jlr.com")->required();
  sub->add_option("--out", x->out, "directory for both files")->required();
  sub->add_option("--algorithm", x->algorithm, "ed25519 or es256")
    ->check(CLI::IsMember({"ed25519", "es256"}))
    ->capture_default_str();
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_root(*x); }; });
}

void add_issue(CLI::App& parent, command& chosen) {
  auto x = std::make_shared<issue_options>();
  auto sub = parent.add_subcommand("issue", "Sign a credential: what a node may receive (sources) "
                                            "and reach (destinations)");
  sub->add_option("--root", x->root, "the provisioning key, root.key")->required();
  sub->add_option("--organization", x->organization, "the issuer, such as jlr.com")->required();
  sub->add_option("--node", x->node, "the node's public key, node.pub; - reads standard input")
    ->required();
  sub
    ->add_option("--source", x->sources,
                 "pattern of names its services may have; covers all below; repeatable")
    ->required()
    ->allow_extra_args(false);
  sub
    ->add_option("--destination", x->destinations,
                 "pattern of names its services may reach; repeatable")
    ->allow_extra_args(false);
  sub->add_option("--relay", x->relay, "pattern of names it may carry for; repeatable")
    ->allow_extra_args(false);
  auto days = sub->add_option("--days", x->days, "validity")
                ->check(CLI::Range(uint64_t{1}, credential_validity_days_max))
                ->capture_default_str();
  sub->add_option("--id", x->id, "the credential's id; default: a random UUID");
  sub->add_option("--not-before", x->not_before, "RFC 3339 or Unix seconds; default: now");
  sub->add_option("--not-after", x->not_after, "RFC 3339 or Unix seconds")->excludes(days);
  sub->add_flag("--administrator", x->administrator, "may reach provisioning, trust, sota, admin");
  sub->add_option("--out", x->out, "file to make; default: standard output");
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_issue(*x); }; });
}

} // namespace

void add_credential_command(CLI::App& app, command& chosen) {
  auto sub = app.add_subcommand("credential", "Make, issue, read, check and revoke credentials");
  sub->require_subcommand(1);
  add_root(*sub, chosen);
  add_issue(*sub, chosen);
  add_credential_inspection(*sub, chosen);
  add_credential_revocation(*sub, chosen);
}

} // namespace rvi
