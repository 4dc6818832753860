// SPDX-License-Identifier: MPL-2.0
//
// `rvi credential renew`: the same rights for longer, and for another key of the same node if it
// says so. With --request it answers a node's rpc renew_certificate: a whole renewing service is
// `rvi serve provisioner --exec 'rvi credential renew --request --root root.key --list 7.list'`.

#include "messages/key_pair.hpp"
#include "messages/transaction_id.hpp"
#include "tools/commands.hpp"
#include "tools/issuer.hpp"
#include "tools/issuing.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <memory>

namespace rvi {

namespace {

constexpr auto me = "credential renew";
constexpr uint64_t day_s = 86'400;

struct renew_options {
  std::string root;
  std::vector<std::string> anchors;
  std::vector<std::string> lists;
  bool no_list = false;
  std::string credential;
  std::string key_pair;
  bool request = false;
  uint64_t days = 0; // 0: as long as before
  issuing_options issuing;
};

/// The credential to renew, in the arguments of an rpc; who asks must be who holds it.
expected<std::string> text_asked_for() {
  auto arguments = read_text("-");
  if (!arguments)
    return arguments;
  auto document = json::parse(*arguments);
  if (!document)
    return std::move(document.error());
  auto given = document->root();
  if (given.is_array() && given.size() > 0)
    given = given.at(0);
  auto text = given["certificate"].as_string();
  if (!text)
    return caf::make_error(ec::bad_request, std::string{"certificate: a text is needed"});
  return std::string{*text};
}

/// The node whose request this is: part of its id, which that node has signed.
caf::error check_asker(const credential& x) {
  auto id = std::getenv("RVI_TRANSACTION_ID");
  auto target = std::getenv("RVI_TARGET");
  if (!id || !target)
    return caf::make_error(ec::bad_request,
                           std::string{"--request is for rvi serve --exec, which says who asks"});
  if (!std::string_view{target}.ends_with("/renew_certificate"))
    return caf::make_error(ec::unknown_method, std::string{"no such method: "} + target);
  auto holder = to_string(x.key.uid());
  if (!std::string_view{id}.starts_with(holder))
    return caf::make_error(ec::unauthorized, x.id + " is not a credential of the node that asks");
  return check_validity(x, wall_now_ms());
}

caf::error
check_not_revoked(const renew_options& options, const credential& x, const trust_anchors& anchors) {
  revocation_set_ptr list;
  for (auto& path : options.lists)
    if (auto error = follow_list(path, x.issuer, anchors, list))
      return error;
  if (list && is_revoked(x, {{x.issuer, list}}))
    return caf::make_error(ec::revoked, x.id + " is revoked");
  return {};
}

/// The next key of the same node, in place of the present one.
caf::error follow_key(const std::string& path, credential_claims& claims) {
  auto text = read_text(path);
  auto pair = text ? parse_key_pair(trimmed_end(std::move(*text)))
                   : expected<key_pair_claims>{std::move(text.error())};
  if (!pair)
    return in_file(path, pair.error());
  auto uid = claims.key.uid();
  if (pair->present.uid() != uid)
    return caf::make_error(ec::unauthorized, path + ": the key pair of another node, "
                                               + to_string(pair->present.uid()));
  std::erase(claims.former, uid);
  claims.former.insert(claims.former.begin(), uid);
  claims.former.resize(std::min(claims.former.size(), former_keys_max));
  claims.key = pair->next;
  return {};
}

expected<credential_ptr> renew(const renew_options& options) {
  auto root = crypto::load_private_key(options.root);
  if (!root)
    return std::move(root.error());
  auto text = options.request ? text_asked_for() : read_text(options.credential);
  if (!text)
    return std::move(text.error());
  auto before = parse_written_credential(trimmed_end(std::move(*text)));
  if (!before)
    return before;
  auto& x = **before;
  if (x.parent)
    return caf::make_error(ec::bad_request,
                           x.id + " was delegated; who delegated it can do so again");
  auto anchors = read_anchors(options.anchors);
  if (!anchors)
    return std::move(anchors.error());
  if (auto error = anchors->add(trust_anchor_json(x.issuer, root->public_part())))
    return error;
  auto error = verify_credential(x, *anchors);
  if (!error && options.request)
    error = check_asker(x);
  if (!error)
    error = check_not_revoked(options, x, *anchors);
  credential_claims claims = x;
  if (!error && !options.key_pair.empty())
    error = follow_key(options.key_pair, claims);
  if (error)
    return error;
  auto life_s = options.days != 0 ? options.days * day_s : x.expires_s - x.not_before_s;
  claims.id = random_uuid();
  claims.issued_s = claims.not_before_s = wall_now_ms() / 1'000;
  claims.expires_s = claims.not_before_s + life_s;
  return issue_credential(std::move(claims), *root, x.format, *anchors);
}

int run_renew(const renew_options& options) {
  if (options.request == !options.credential.empty())
    return fail_usage(me, "give one of --credential FILE and --request");
  if (options.request && options.lists.empty() && !options.no_list)
    return fail_usage(me, "give the revocation lists in force by --list, or --no-list if nothing "
                          "was ever revoked");
  auto made = renew(options);
  if (!made)
    return fail(me, made.error());
  if (!options.request)
    return options.issuing.print(me, **made);
  json::writer out;
  out.begin_object().member("certificate", written_form(**made)).end_object();
  print_line(out.take());
  return exit_done;
}

} // namespace

void add_credential_renewal(CLI::App& credential, command& chosen) {
  auto x = std::make_shared<renew_options>();
  auto sub = credential.add_subcommand("renew", "Sign the same rights anew, for as long again, and "
                                                "for the node's next key if it has one");
  sub->add_option("--root", x->root, "the provisioning key, root.key")->required();
  sub->add_option("--credential", x->credential, "the credential to renew; - is standard input");
  sub->add_flag("--request", x->request,
                "answer a node's rpc renew_certificate: for rvi serve --exec");
  sub
    ->add_option("--key-pair", x->key_pair,
                 "what the node answered to replace_key_pair: the new credential is for that key")
    ->excludes("--request");
  auto lists = sub
                 ->add_option("--list", x->lists,
                              "the revocation list in force, and before it all it adds to; "
                              "repeatable; what is revoked is not renewed")
                 ->allow_extra_args(false);
  sub->add_flag("--no-list", x->no_list, "nothing was ever revoked")->excludes(lists);
  sub
    ->add_option("--anchor", x->anchors,
                 "anchor.json with former keys of the organization, or trust bundles of others "
                 "that delegated to it; repeatable")
    ->allow_extra_args(false);
  sub->add_option("--days", x->days, "validity; default: as long as before")
    ->check(CLI::Range(uint64_t{1}, credential_validity_days_max));
  sub->add_option("--out", x->issuing.out, "file to make; default: standard output");
  x->issuing.format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_renew(*x); }; });
}

} // namespace rvi
