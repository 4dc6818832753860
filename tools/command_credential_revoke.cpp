// SPDX-License-Identifier: MPL-2.0
//
// `rvi credential revoke`: signs the next revocation list of an organization: a full one, which is
// what a node that has missed some can use, or a delta. Nodes take it by `rvi revoke` or from
// peers.

#include "messages/revocation.hpp"
#include "messages/transaction_id.hpp"
#include "tools/commands.hpp"
#include "tools/issuer.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <memory>

namespace rvi {

namespace {

constexpr auto me = "credential revoke";
constexpr uint64_t day_s = 86'400;
constexpr uint64_t key_days = 366; // no shorter than most credentials of a key that is lost
constexpr uint64_t next_days = 7;

struct revoke_options {
  std::string root;
  std::string organization;
  std::vector<std::string> anchors;
  std::vector<std::string> lists; // in force: the last full one, then its deltas
  bool delta = false;
  std::string form = "jws";
  bool renew = false;
  std::vector<std::string> credentials;
  std::vector<std::string> nodes;
  std::string until;
  std::string next;
  std::string out;
  output_format format;
};

/// What the new list is made of.
struct draft_list {
  crypto::private_key root;
  trust_anchors anchors; // of this organization, the root's own key among them
  revocation_claims claims;
  revocation_set_ptr former; // null: this is the first list
  size_t added = 0;
};

expected<node_uid> parse_node_uid(const std::string& text) {
  node_uid result{};
  auto bytes = crypto::unhex(text);
  if (!bytes || bytes->size() != result.size())
    return caf::make_error(ec::bad_request, "\"" + text
                                              + "\" is no node such as `rvi credential "
                                                "show` names it: 32 hex digits");
  std::copy(bytes->begin(), bytes->end(), result.begin());
  return result;
}

/// A list in force, the next in order.
caf::error read_former(const std::string& path, draft_list& out) {
  if (auto error = follow_list(path, out.claims.issuer, out.anchors, out.former))
    return error;
  out.claims.version = out.former->version;
  return {};
}

/// Refuses what changes nothing: whoever revokes must not think that it did.
caf::error add_entry(const std::string& what, const revocation_entry& x, draft_list& out) {
  if (x.expires_s <= out.claims.issued_s)
    return caf::make_error(ec::credential_expired, what + ": over since " + show_time(x.expires_s)
                                                     + ", there is nothing to revoke");
  auto revoked_in = [&](const std::vector<revocation_entry>& held) -> caf::error {
    auto same = std::find_if(held.begin(), held.end(), [&](auto& each) {
      return each.id == x.id && each.expires_s >= x.expires_s;
    });
    if (same == held.end())
      return {};
    return caf::make_error(ec::bad_request,
                           what + ": is revoked already, until " + show_time(same->expires_s));
  };
  auto error = revoked_in(out.claims.entries);
  if (!error && out.former)
    error = revoked_in(out.former->entries);
  if (error)
    return error;
  out.claims.entries.push_back(x);
  ++out.added;
  return {};
}

caf::error add_credential(const std::string& path, draft_list& out) {
  auto text = read_text(path);
  if (!text)
    return std::move(text.error());
  auto x = parse_written_credential(trimmed_end(std::move(*text)));
  if (!x)
    return in_file(path, x.error());
  if ((*x)->issuer != out.claims.issuer)
    return caf::make_error(ec::unknown_issuer, path + ": a credential of " + (*x)->issuer
                                                 + ", which only " + (*x)->issuer + " can revoke");
  // Else anyone could have the credential of somebody else revoked, by giving the same id to his.
  if (auto error = verify_credential(**x, out.anchors))
    return in_file(path, error);
  return add_entry(path, revocation_entry_of(**x), out);
}

/// Unix seconds, ahead of the list's own time; `days` after it if none is given.
expected<uint64_t>
read_end(const char* option, const std::string& text, uint64_t days, uint64_t issued_s) {
  if (text.empty())
    return issued_s + days * day_s;
  auto result = parse_time_s(text);
  if (!result)
    return result;
  if (*result <= issued_s || *result > std::numeric_limits<uint32_t>::max())
    return caf::make_error(ec::bad_request,
                           std::string{option} + " is not ahead, or after the year 2105");
  return result;
}

caf::error add_all(const revoke_options& options, uint64_t until_s, draft_list& out) {
  for (auto& path : options.credentials)
    if (auto error = add_credential(path, out))
      return error;
  for (auto& text : options.nodes) {
    auto node = parse_node_uid(text);
    if (!node)
      return std::move(node.error());
    auto entry = revocation_entry_of(out.claims.issuer, *node, static_cast<uint32_t>(until_s));
    if (auto error = add_entry("node " + to_string(*node), entry, out))
      return error;
  }
  return {};
}

caf::error read_keys(const revoke_options& options, draft_list& out) {
  auto root = crypto::load_private_key(options.root);
  if (!root)
    return std::move(root.error());
  auto anchors = read_anchors(options.anchors);
  if (!anchors)
    return std::move(anchors.error());
  out.root = *root;
  out.anchors = std::move(*anchors);
  return out.anchors.add(trust_anchor_json(out.claims.issuer, root->public_part()));
}

int print_made(const revoke_options& options, const revocation_list& x, size_t added) {
  if (options.out.empty() && !options.format.json()) {
    print_line(written_form(x));
    return exit_done;
  }
  if (!options.out.empty())
    if (auto error = write_new_text(options.out, written_form(x) + "\n"))
      return fail(me, error);
  if (options.format.json()) {
    json::writer out;
    out.begin_object()
      .member("issuer", x.issuer)
      .member("serial", x.version.serial)
      .member("base", x.base)
      .member("entries", uint64_t{x.entries.size()})
      .member("added", uint64_t{added})
      .member("next", x.next_s)
      .member("list", written_form(x));
    if (!options.out.empty())
      out.member("file", options.out);
    out.end_object();
    print_line(out.take());
  } else {
    print_line("Made " + options.out + ": revocation list " + std::to_string(x.version.serial)
               + " of " + x.issuer
               + (x.base != 0 ? ", a delta on list " + std::to_string(x.base) : std::string{})
               + ", entries " + std::to_string(x.entries.size()) + " (added "
               + std::to_string(added) + "), the next one due " + show_time(x.next_s));
    print_line("A node takes it by: rvi revoke " + shell_word(options.out));
  }
  return exit_done;
}

int run_revoke(const revoke_options& options) {
  draft_list draft;
  auto organization = normal_organization(options.organization);
  if (!organization)
    return fail_usage(me, detail_of(organization.error()));
  draft.claims.issuer = *organization;
  draft.claims.issued_s = wall_now_ms() / 1'000;
  auto until = read_end("--until", options.until, key_days, draft.claims.issued_s);
  if (!until)
    return fail_usage(me, detail_of(until.error()));
  auto next = read_end("--next", options.next, next_days, draft.claims.issued_s);
  if (!next)
    return fail_usage(me, detail_of(next.error()));
  draft.claims.next_s = *next;
  if (auto error = read_keys(options, draft))
    return fail(me, error);
  for (auto& path : options.lists)
    if (auto error = read_former(path, draft))
      return fail(me, error);
  if (auto error = add_all(options, *until, draft))
    return fail(me, error);
  ++draft.claims.version.serial;
  auto base = options.delta ? draft.former.get() : nullptr;
  if (base && base->lists.size() > revocation_deltas_max)
    return fail(me, caf::make_error(ec::bad_request, std::to_string(revocation_deltas_max)
                                                       + " deltas in a row; leave out --delta"));
  if (draft.former && !base) // nothing of it is dropped but what is over
    draft.claims.entries.insert(draft.claims.entries.end(), draft.former->entries.begin(),
                                draft.former->entries.end());
  auto form = options.form == "cose" ? credential_format::cose : credential_format::jws;
  auto list = issue_revocation_list(std::move(draft.claims), draft.root, base, form);
  if (!list)
    return fail(me, list.error());
  return print_made(options, **list, draft.added);
}

} // namespace

void add_credential_revocation(CLI::App& credential, command& chosen) {
  auto x = std::make_shared<revoke_options>();
  auto sub = credential.add_subcommand("revoke", "Sign the next revocation list: the credentials "
                                                 "and node keys that hold no longer");
  sub->add_option("--root", x->root, "the provisioning key, root.key")->required();
  sub->add_option("--organization", x->organization, "the issuer, such as jlr.com")->required();
  auto lists
    = sub
        ->add_option("--list", x->lists,
                     "the list signed last, and before it all it adds to; repeatable; left "
                     "out for the very first one")
        ->allow_extra_args(false);
  sub
    ->add_flag("--delta", x->delta,
               "sign only what is added, for nodes that have the list before it; at most "
                 + std::to_string(revocation_deltas_max) + " in a row")
    ->needs(lists);
  sub
    ->add_option("--form", x->form,
                 "jws, or cose: the same in less than half the bytes, for small links")
    ->check(CLI::IsMember({"jws", "cose"}))
    ->capture_default_str();
  auto what = sub->add_option_group("revoked");
  what->add_option("--credential", x->credentials, "credential to revoke; repeatable");
  auto nodes = what->add_option("--node", x->nodes,
                                "node whose key is lost, its 32 hex digits: revokes all "
                                "credentials for it; repeatable");
  what
    ->add_flag("--renew", x->renew,
               "nothing more is revoked: for services that want to know how it was lately")
    ->needs(lists);
  what->require_option(1, 0);
  sub
    ->add_option("--until", x->until,
                 "how long the nodes stay on the list: RFC 3339 or Unix seconds; default: in 366 "
                 "days")
    ->needs(nodes);
  sub->add_option("--next", x->next,
                  "when the next list is due: RFC 3339 or Unix seconds; default: in 7 days");
  sub
    ->add_option("--anchor", x->anchors,
                 "anchor.json with former keys of the organization; repeatable")
    ->allow_extra_args(false);
  sub->add_option("--out", x->out, "file to make; default: standard output");
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_revoke(*x); }; });
}

} // namespace rvi
