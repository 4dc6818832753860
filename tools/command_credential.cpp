// SPDX-License-Identifier: MPL-2.0
//
// `rvi credential root`, `issue` and `delegate`: the work of an organization's provisioner, and of
// those it trusts.

#include "messages/credential.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/pkcs11.hpp"
#include "tools/commands.hpp"
#include "tools/issuer.hpp"
#include "tools/issuing.hpp"
#include "tools/node_directory.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

namespace rvi {

namespace {

struct root_options {
  std::string organization;
  std::string out;
  std::string algorithm = "ed25519";
  std::string key_uri;
  bool generate = false;
  output_format format;
};

expected<crypto::private_key> root_key(const root_options& options) {
  auto kind = options.algorithm == "es256" ? crypto::algorithm::es256 : crypto::algorithm::ed25519;
  if (options.key_uri.empty())
    return crypto::private_key::generate(kind);
  return options.generate ? crypto::generate_token_key(options.key_uri, kind)
                          : crypto::load_token_key(options.key_uri);
}

struct issue_options {
  std::string root;
  std::string organization;
  std::string form = "jws";
  bool administrator = false;
  std::vector<std::string> anchors;
  issuing_options issuing;
};

struct delegate_options {
  std::string credential;
  std::string key;
  issuing_options issuing;
};

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
  if (options.generate && options.key_uri.empty())
    return fail_usage(me, "--generate goes with --key");
  auto key = root_key(options);
  if (!key)
    return fail(me, key.error());
  if (auto error = make_directory(options.out, 0700))
    return fail(me, error);
  if (key->external())
    key_file = options.key_uri;
  else if (auto error = crypto::save_private_key(key_file, *key))
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
    if (key->external())
      print_line("The key on the token signs the credentials of " + *organization);
    else
      print_line("Made " + key_file + ": signs the credentials of " + *organization
                 + "; keep it away from every node");
    print_line("Made " + anchor_file + ": what nodes need to trust it (rvi init --anchor "
               + shell_word(anchor_file) + ")");
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
  auto claims = options.issuing.claims();
  if (!claims)
    return code_of(claims.error()) == ec::bad_request ? fail_usage(me, detail_of(claims.error()))
                                                      : fail(me, claims.error());
  claims->issuer = *organization;
  claims->administrator = options.administrator;
  auto others = read_anchors(options.anchors);
  if (!others)
    return fail(me, others.error());
  auto form = options.form == "cose" ? credential_format::cose : credential_format::jws;
  auto issued = issue_credential(*claims, *root, form, *others);
  if (!issued)
    return fail(me, issued.error());
  if (options.issuing.also_cose.empty())
    return options.issuing.print(me, **issued);
  auto twin = issue_credential(std::move(*claims), *root, credential_format::cose, *others);
  if (!twin)
    return fail(me, twin.error());
  return options.issuing.print(me, **issued, *twin);
}

int run_delegate(const delegate_options& options) {
  constexpr auto me = "credential delegate";
  auto text = read_text(options.credential);
  if (!text)
    return fail(me, text.error());
  auto parent = parse_written_credential(trimmed_end(std::move(*text)));
  if (!parent)
    return fail(me, caf::make_error(code_of(parent.error()),
                                    options.credential + ": " + detail_of(parent.error())));
  auto key = crypto::load_private_key(options.key);
  if (!key)
    return fail(me, key.error());
  auto claims = options.issuing.claims();
  if (!claims)
    return code_of(claims.error()) == ec::bad_request ? fail_usage(me, detail_of(claims.error()))
                                                      : fail(me, claims.error());
  // Asked for or not, it ends with the one it comes from.
  if (options.issuing.not_before.empty())
    claims->not_before_s = std::max(claims->not_before_s, (*parent)->not_before_s);
  if (options.issuing.not_after.empty())
    claims->expires_s = std::min(claims->expires_s, (*parent)->expires_s);
  if (!claims->users)
    claims->users = (*parent)->users;
  auto made = delegate_credential(std::move(*claims), *parent, *key);
  if (!made)
    return fail(me, made.error());
  return options.issuing.print(me, **made);
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
  sub->add_option("--key", x->key_uri,
                  "a key on a token, instead of root.key: "
                  "pkcs11:token=T;object=K?module-path=M&pin-source=F");
  sub->add_flag("--generate", x->generate, "make that key on the token");
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_root(*x); }; });
}

void add_issue(CLI::App& parent, command& chosen) {
  auto x = std::make_shared<issue_options>();
  auto sub = parent.add_subcommand("issue", "Sign a credential: what a node may receive (sources) "
                                            "and reach (destinations)");
  sub->add_option("--root", x->root, "the provisioning key, root.key or pkcs11:...")->required();
  sub->add_option("--organization", x->organization, "the issuer, such as jlr.com")->required();
  sub->add_flag("--administrator", x->administrator, "may reach provisioning, trust, sota, admin");
  sub
    ->add_option("--anchor", x->anchors,
                 "trust bundles of another organization that delegated to the issuer: patterns "
                 "there, too; repeatable")
    ->allow_extra_args(false);
  auto form = sub
                ->add_option("--form", x->form,
                             "jws, or cose: the same in less than half the bytes, for small links")
                ->check(CLI::IsMember({"jws", "cose"}))
                ->capture_default_str();
  sub
    ->add_option("--also-cose", x->issuing.also_cose,
                 "file to make: the same claims and id in COSE, too")
    ->excludes(form);
  x->issuing.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_issue(*x); }; });
}

void add_delegate(CLI::App& parent, command& chosen) {
  auto x = std::make_shared<delegate_options>();
  auto sub = parent.add_subcommand("delegate", "Pass rights of a credential on to another node, "
                                               "signed by its holder: no more than it has itself; "
                                               "in the form that it has");
  sub->add_option("--credential", x->credential, "the holder's, issued with --delegations")
    ->required();
  sub->add_option("--key", x->key, "the holder's private key, node.key or pkcs11:...")->required();
  x->issuing.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_delegate(*x); }; });
}

/// The public part of a key, as rules and other programs read it.
void add_jwk(CLI::App& parent, command& chosen) {
  auto file = std::make_shared<std::string>();
  auto sub = parent.add_subcommand("jwk", "Print the public part of a private key as a JWK");
  sub->add_option("FILE", *file, "the private key, or pkcs11:...")->required();
  sub->callback([file, &chosen] {
    chosen = [file] {
      auto key = crypto::load_private_key(*file);
      if (!key)
        return fail("credential jwk", key.error());
      print_line(key->public_part().jwk());
      return int{exit_done};
    };
  });
}

} // namespace

void add_credential_command(CLI::App& app, command& chosen) {
  auto sub = app.add_subcommand("credential", "Make, issue, read, check and revoke credentials");
  sub->require_subcommand(1);
  add_root(*sub, chosen);
  add_issue(*sub, chosen);
  add_delegate(*sub, chosen);
  add_credential_inspection(*sub, chosen);
  add_credential_revocation(*sub, chosen);
  add_credential_bundles(*sub, chosen);
  add_credential_renewal(*sub, chosen);
  add_clone_report(*sub, chosen);
  add_jwk(*sub, chosen);
}

} // namespace rvi
