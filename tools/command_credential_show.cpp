// SPDX-License-Identifier: MPL-2.0
//
// `rvi credential show` and `verify`: what a credential or a revocation list says, and whether a
// credential holds.

#include "messages/credential.hpp"
#include "messages/name.hpp"
#include "messages/revocation.hpp"
#include "messages/transaction_id.hpp"
#include "tools/commands.hpp"
#include "tools/issuer.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace rvi {

namespace {

struct show_options {
  std::string file;
  output_format format;
};

struct verify_options {
  std::string file;
  std::vector<std::string> anchors;
  std::string at;
  std::string source;
  std::string target;
  output_format format;
};

std::string list_of(const std::vector<std::string>& xs) {
  std::string result;
  for (auto& x : xs)
    result += (result.empty() ? "" : ", ") + x;
  return result.empty() ? "none" : result;
}

void write_list(json::writer& out, const char* name, const std::vector<std::string>& xs) {
  out.key(name).begin_array();
  for (auto& x : xs)
    out.string(x);
  out.end_array();
}

std::string validity_text(const credential& x, uint64_t now_s) {
  if (now_s < x.not_before_s)
    return "not yet valid, starts in " + show_duration(x.not_before_s - now_s);
  if (now_s >= x.expires_s)
    return "expired " + show_duration(now_s - x.expires_s) + " ago";
  return show_duration(x.expires_s - now_s) + " left";
}

std::vector<std::string> former_keys(const credential& x) {
  std::vector<std::string> result;
  for (auto& uid : x.former)
    result.push_back(to_string(uid));
  return result;
}

void write_content(json::writer& out, const credential& x) {
  out.member("id", x.id)
    .member("issuer", x.issuer)
    .member("subject", to_string(x.key.uid()))
    .member("signed_by", x.key_id)
    .member("algorithm", x.algorithm)
    .member("issued", x.issued_s)
    .member("not_before", x.not_before_s)
    .member("expires", x.expires_s)
    .member("administrator", x.administrator)
    .member("form", to_string(x.format))
    .member("bytes", uint64_t{x.text.size()})
    .member("delegations", uint64_t{x.delegations})
    .member("hash", crypto::hex(x.hash));
  out.key("delegated_from").begin_array();
  for (auto before = x.parent; before; before = before->parent)
    out.string(before->id);
  out.end_array();
  out.key("key").raw(x.key.jwk());
  write_list(out, "sources", x.sources);
  write_list(out, "destinations", x.destinations);
  write_list(out, "relay", x.relay);
  if (x.users)
    write_list(out, "roles", *x.users);
  if (!x.former.empty())
    write_list(out, "former", former_keys(x));
}

void print_content(const credential& x, uint64_t now_s) {
  print_line("id            " + x.id);
  print_line("issuer        " + x.issuer + ", key " + x.key_id + " (" + x.algorithm + ")");
  print_line("subject       node " + to_string(x.key.uid()));
  print_line("key           " + x.key.jwk());
  print_line("issued        " + show_time(x.issued_s));
  print_line("valid         " + show_time(x.not_before_s) + " to " + show_time(x.expires_s) + " ("
             + validity_text(x, now_s) + ")");
  print_line("sources       " + list_of(x.sources));
  print_line("destinations  " + list_of(x.destinations));
  if (!x.relay.empty())
    print_line("relay         " + list_of(x.relay));
  if (x.users)
    print_line("roles         " + list_of(*x.users));
  if (!x.former.empty())
    print_line("former keys   " + list_of(former_keys(x)));
  print_line("administrator " + std::string{x.administrator ? "yes" : "no"});
  if (x.delegations != 0)
    print_line("may be delegated " + std::to_string(x.delegations)
               + (x.delegations == 1 ? " time" : " times in a row"));
  print_line("form          " + std::string{to_string(x.format)} + ", "
             + std::to_string(x.text.size()) + " bytes on the wire");
  for (auto before = x.parent; before; before = before->parent)
    print_line("from          " + before->id + " of node " + to_string(before->key.uid())
               + ", until " + show_time(before->expires_s));
}

expected<credential_ptr> read_credential(const std::string& path) {
  auto text = read_text(path);
  if (!text)
    return std::move(text.error());
  return parse_written_credential(trimmed_end(std::move(*text)));
}

// -- revocation lists ---------------------------------------------------------------------------

void write_list_content(const revocation_list& x) {
  json::writer out;
  out.begin_object()
    .member("issuer", x.issuer)
    .member("signed_by", x.signed_part.key_id)
    .member("algorithm", x.signed_part.algorithm)
    .member("form", to_string(x.format))
    .member("bundle", x.version.bundle)
    .member("serial", x.version.serial)
    .member("base", x.base)
    .member("issued", x.issued_s)
    .member("next", x.next_s);
  out.key("entries").begin_array();
  for (auto& entry : x.entries)
    out.begin_object()
      .member("id", crypto::hex(crypto::view(entry.id)))
      .member("expires", uint64_t{entry.expires_s})
      .end_object();
  out.end_array().end_object();
  print_line(out.take());
}

void print_list_content(const revocation_list& x, uint64_t now_s) {
  auto due = x.next_s > now_s ? "in " + show_duration(x.next_s - now_s)
                              : show_duration(now_s - x.next_s) + " ago";
  print_line("issuer        " + x.issuer + ", key " + x.signed_part.key_id + " ("
             + x.signed_part.algorithm + ")");
  print_line("serial        " + std::to_string(x.version.serial)
             + (x.base == 0 ? ", a full list" : ", adds to list " + std::to_string(x.base)));
  print_line("form          " + std::string{to_string(x.format)} + ", "
             + std::to_string(x.text.size()) + " bytes on the wire");
  print_line("issued        " + show_time(x.issued_s));
  print_line("next due      " + show_time(x.next_s) + " (" + due + ")");
  print_line("entries       " + std::to_string(x.entries.size()));
  // An entry is a hash: it tells what is revoked only to those who know the credential.
  for (auto& entry : x.entries)
    print_line("  " + crypto::hex(crypto::view(entry.id)) + " until " + show_time(entry.expires_s));
}

int show_list(const show_options& options, const std::string& text) {
  auto carried = carried_list(text);
  auto x = carried ? parse_revocation_list(*carried) : std::move(carried.error());
  if (!x)
    return fail("credential show", x.error());
  if (options.format.json())
    write_list_content(**x);
  else
    print_list_content(**x, wall_now_ms() / 1'000);
  return exit_done;
}

// -- show and verify ----------------------------------------------------------------------------

int run_show(const show_options& options) {
  auto text = read_text(options.file);
  if (!text)
    return fail("credential show", text.error());
  *text = trimmed_end(std::move(*text));
  if (text->find('~') != text->npos) // which no credential holds
    return show_list(options, *text);
  auto x = parse_written_credential(*text);
  if (!x)
    return fail("credential show", x.error());
  auto now_s = wall_now_ms() / 1'000;
  if (!options.format.json()) {
    print_content(**x, now_s);
    return exit_done;
  }
  json::writer out;
  out.begin_object();
  write_content(out, **x);
  out.member("validity", validity_text(**x, now_s)).end_object();
  print_line(out.take());
  return exit_done;
}

/// Whether the holder may send from `source` to `target`; each may be empty.
caf::error check_reach(const credential& x, const std::string& source, const std::string& target) {
  if (!source.empty()) {
    auto name = normalise_name(source);
    if (!name)
      return std::move(name.error());
    if (!x.covers_source(*name))
      return caf::make_error(ec::unauthorized,
                             *name + " is not covered by its sources: " + list_of(x.sources));
  }
  if (target.empty())
    return {};
  auto name = normalise_name(target);
  if (!name)
    return std::move(name.error());
  if (is_reserved(*name) && !x.administrator)
    return caf::make_error(ec::unauthorized, *name + " is reserved for administrators");
  if (!x.covers_destination(*name))
    return caf::make_error(
      ec::unauthorized, *name + " is not covered by its destinations: " + list_of(x.destinations));
  return {};
}

void print_verdict(const verify_options& options, const credential& x, const caf::error& why,
                   uint64_t at_s) {
  if (options.format.json()) {
    json::writer out;
    out.begin_object().member("valid", !why).member("at", at_s);
    write_content(out, x);
    if (why)
      out.key("error")
        .begin_object()
        .member("code", to_string(code_of(why)))
        .member("message", detail_of(why))
        .end_object();
    out.end_object();
    print_line(out.take());
    return;
  }
  if (why)
    return;
  print_line("valid: " + x.id + " of " + x.issuer + " for node " + to_string(x.key.uid()) + ", "
             + validity_text(x, at_s));
  if (!options.source.empty())
    print_line("may send and receive as " + options.source);
  if (!options.target.empty())
    print_line("may reach " + options.target);
}

int run_verify(const verify_options& options) {
  constexpr auto me = "credential verify";
  auto at_ms = wall_now_ms();
  if (!options.at.empty()) {
    auto time = parse_time_s(options.at);
    if (!time)
      return fail_usage(me, detail_of(time.error()));
    at_ms = *time * 1'000;
  }
  auto anchors = read_anchors(options.anchors);
  if (!anchors)
    return fail(me, anchors.error());
  auto x = read_credential(options.file);
  if (!x)
    return fail(me, x.error());
  auto why = verify_credential(**x, *anchors);
  if (!why)
    why = check_validity(**x, at_ms);
  if (!why)
    why = check_reach(**x, options.source, options.target);
  print_verdict(options, **x, why, at_ms / 1'000);
  if (!why)
    return exit_done;
  return fail(me, why);
}

} // namespace

void add_credential_inspection(CLI::App& credential, command& chosen) {
  auto shown = std::make_shared<show_options>();
  auto show
    = credential.add_subcommand("show", "Print what a credential or a revocation list says, "
                                        "without checking it");
  show->add_option("FILE", shown->file, "the credential or list; - reads standard input")
    ->required();
  shown->format.add_to(*show);
  show->callback([shown, &chosen] { chosen = [shown] { return run_show(*shown); }; });

  auto x = std::make_shared<verify_options>();
  auto verify = credential.add_subcommand("verify", "Check a credential: signature, validity, and "
                                                    "what it lets its node reach");
  verify->add_option("FILE", x->file, "the credential; - reads standard input")->required();
  verify->add_option("--anchor", x->anchors, "anchor.json of a trusted organization; repeatable")
    ->required()
    ->allow_extra_args(false);
  verify->add_option("--at", x->at, "check for this time: RFC 3339 or Unix seconds; default: now");
  verify->add_option("--source", x->source, "check that the node may send as this name");
  verify->add_option("--target", x->target, "check that the node may reach this name");
  x->format.add_to(*verify);
  verify->callback([x, &chosen] { chosen = [x] { return run_verify(*x); }; });
}

} // namespace rvi
