// SPDX-License-Identifier: MPL-2.0
//
// `rvi credential clone-report`: what an issuer can check of a report that two hold a node's key
// (HLD 3.2.7), before it revokes that key.

#include "actors/routing/authorization.hpp"
#include "messages/credential.hpp"
#include "messages/rvi.pb.h"
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

constexpr auto me = "credential clone-report";

struct report_options {
  std::string file;
  std::vector<std::string> anchors;
  output_format format;
};

/// What the accused key has signed, as far as it can be checked.
struct evidence {
  std::string reporter;
  std::string node_uid;
  std::string node_address;
  uint64_t detected_ms = 0;
  uint64_t authorize_id = 0;
  std::vector<credential_ptr> credentials;
};

caf::error wrong(const std::string& why) {
  return caf::make_error(ec::signature_invalid, "this proves nothing: " + why);
}

expected<std::string> bytes_of(json::value x) {
  auto text = x.as_string();
  if (!text)
    return caf::make_error(ec::malformed, std::string{"a member of the report is missing"});
  return crypto::unbase64url(*text);
}

expected<std::string> signed_body(json::value x, const crypto::public_key& accused) {
  std::string parts[4];
  const char* names[] = {"reporter_spki", "exporter", "authorize_body", "authorize_signature"};
  for (size_t i = 0; i < 4; ++i) {
    auto bytes = bytes_of(x[names[i]]);
    if (!bytes)
      return std::move(bytes.error());
    parts[i] = std::move(*bytes);
  }
  auto& [reporter, exporter, body, signature] = parts;
  auto dialled = x["accused_dialled"].as_bool().value_or(false);
  auto key = crypto::public_key::from_spki(reporter);
  if (!key || to_string(key->uid()) != x["reporter"].as_string())
    return wrong("the reporter's key is another one");
  if (!accused.verify(authorize_signing_input(dialled, accused.spki(), reporter, exporter, body),
                      signature))
    return wrong("the accused key has not signed for this session");
  return std::move(body);
}

expected<evidence> read_report(json::value x, const trust_anchors& anchors) {
  auto spki = bytes_of(x["accused_spki"]);
  if (!spki)
    return std::move(spki.error());
  auto accused = crypto::public_key::from_spki(*spki);
  if (!accused || to_string(accused->uid()) != x["node_uid"].as_string())
    return wrong("the accused key is another one");
  auto body = signed_body(x, *accused);
  if (!body)
    return std::move(body.error());
  wire::AuthorizeBody said;
  if (!said.ParseFromString(*body))
    return wrong("what was signed is no Authorize");
  evidence result;
  result.reporter = x["reporter"].as_string().value_or("");
  result.node_uid = to_string(accused->uid());
  result.node_address = said.node_address();
  result.detected_ms = x["detected_ms"].as_uint().value_or(0);
  result.authorize_id = said.transaction_id();
  for (auto& text : said.credentials())
    if (auto credential = parse_credential(text); credential
                                                  && (*credential)->key.spki() == accused->spki()
                                                  && !verify_credential(**credential, anchors))
      result.credentials.push_back(*credential);
  if (result.credentials.empty())
    return caf::make_error(ec::unknown_issuer,
                           std::string{"the accused shows no credential of these anchors"});
  return result;
}

void print(const evidence& x, const output_format& format) {
  if (format.json()) {
    json::writer out;
    out.begin_object()
      .member("reporter", x.reporter)
      .member("node_uid", x.node_uid)
      .member("node_address", x.node_address)
      .member("detected_ms", x.detected_ms)
      .member("authorize_id", x.authorize_id);
    out.key("certificate_id").begin_array();
    for (auto& each : x.credentials)
      out.string(each->id);
    out.end_array().end_object();
    return print_line(out.take());
  }
  print_line("The key of " + x.node_address + " (" + x.node_uid + ") signed for a session with "
             + x.reporter + " on " + show_time(x.detected_ms / 1'000) + " (Authorize "
             + std::to_string(x.authorize_id) + ")");
  print_line("By the word of " + x.reporter
             + ", the token it proved had been replaced: another holder of this key has the next");
  for (auto& each : x.credentials)
    print_line("It showed credential " + each->id + " of " + each->issuer);
  print_line("If you believe it: rvi credential revoke --node " + x.node_uid
             + ", and give the real node a new key");
}

int run_report(const report_options& options) {
  auto text = read_text(options.file);
  if (!text)
    return fail(me, text.error());
  auto document = json::parse(*text);
  if (!document)
    return fail(me, document.error());
  auto anchors = read_anchors(options.anchors);
  if (!anchors)
    return fail(me, anchors.error());
  auto found = read_report(document->root(), *anchors);
  if (!found)
    return fail(me, found.error());
  print(*found, options.format);
  return exit_done;
}

} // namespace

void add_clone_report(CLI::App& credential, command& chosen) {
  auto x = std::make_shared<report_options>();
  auto sub = credential.add_subcommand("clone-report", "Check a node's report that two hold the "
                                                       "key of another");
  sub->add_option("FILE", x->file, "the report; - is standard input")->required();
  sub->add_option("--anchor", x->anchors, "anchor.json or bundles of the issuer; repeatable")
    ->required()
    ->allow_extra_args(false);
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return run_report(*x); }; });
}

} // namespace rvi
