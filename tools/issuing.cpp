// SPDX-License-Identifier: MPL-2.0

#include "tools/issuing.hpp"

#include "messages/transaction_id.hpp"
#include "tools/commands.hpp"
#include "tools/node_directory.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>

namespace rvi {

namespace {

constexpr uint64_t day_s = 86'400;

} // namespace

std::string random_uuid() {
  auto bytes = crypto::random_bytes(16);
  bytes[6] = char((uint8_t(bytes[6]) & 0x0f) | 0x40);
  bytes[8] = char((uint8_t(bytes[8]) & 0x3f) | 0x80);
  auto result = crypto::hex(bytes);
  for (size_t i : {8, 13, 18, 23})
    result.insert(i, "-");
  return result;
}

void issuing_options::add_to(CLI::App& app) {
  app.add_option("--node", node, "the node's public key, node.pub; - reads standard input")
    ->required();
  app
    .add_option("--source", sources,
                "pattern of names its services may have; covers all below; repeatable")
    ->required()
    ->allow_extra_args(false);
  app
    .add_option("--destination", destinations,
                "pattern of names its services may reach; repeatable")
    ->allow_extra_args(false);
  app.add_option("--relay", relay, "pattern of names it may carry for; repeatable")
    ->allow_extra_args(false);
  app
    .add_option("--role", roles,
                "role of the users it asks for, and of nobody else; repeatable; default: all, and "
                "nobody")
    ->allow_extra_args(false);
  app
    .add_option("--delegations", delegations,
                "how often in a row its holder may delegate it: rvi credential delegate")
    ->check(CLI::Range(uint32_t{0}, delegations_max))
    ->capture_default_str();
  auto for_days = app.add_option("--days", days, "validity")
                    ->check(CLI::Range(uint64_t{1}, credential_validity_days_max))
                    ->capture_default_str();
  app.add_option("--id", id, "the credential's id; default: a random UUID");
  app.add_option("--not-before", not_before, "RFC 3339 or Unix seconds; default: now");
  app.add_option("--not-after", not_after, "RFC 3339 or Unix seconds")->excludes(for_days);
  app.add_option("--out", out, "file to make; default: standard output");
  format.add_to(app);
}

expected<credential_claims> issuing_options::claims() const {
  auto key = read_public_key(node);
  if (!key)
    return std::move(key.error());
  credential_claims result;
  result.issued_s = result.not_before_s = wall_now_ms() / 1'000;
  if (!not_before.empty()) {
    auto time = parse_time_s(not_before);
    if (!time)
      return caf::make_error(ec::bad_request, detail_of(time.error()));
    result.not_before_s = *time;
  }
  result.expires_s = result.not_before_s + days * day_s;
  if (!not_after.empty()) {
    auto time = parse_time_s(not_after);
    if (!time)
      return caf::make_error(ec::bad_request, detail_of(time.error()));
    result.expires_s = *time;
  }
  result.id = id.empty() ? random_uuid() : id;
  result.key = *key;
  result.sources = sources;
  result.destinations = destinations;
  result.relay = relay;
  result.delegations = delegations;
  if (!roles.empty())
    result.users = roles;
  return result;
}

int issuing_options::print(const char* me, const credential& x, const credential_ptr& twin) const {
  if (!out.empty())
    if (auto error = write_new_text(out, written_form(x) + "\n"))
      return fail(me, error);
  if (twin)
    if (auto error = write_new_text(also_cose, written_form(*twin) + "\n"))
      return fail(me, error);
  if (out.empty() && !format.json()) {
    print_line(written_form(x));
    return exit_done;
  }
  if (format.json()) {
    json::writer json;
    json.begin_object()
      .member("id", x.id)
      .member("subject", to_string(x.key.uid()))
      .member("expires", x.expires_s)
      .member("form", to_string(x.format))
      .member("credential", written_form(x));
    if (!out.empty())
      json.member("file", out);
    if (twin)
      json.member("twin", written_form(*twin)).member("twin_file", also_cose);
    print_line(json.end_object().take());
  } else {
    print_line("Made " + out + ": credential " + x.id + " for node " + to_string(x.key.uid())
               + ", valid until " + show_time(x.expires_s));
    if (twin)
      print_line("Made " + also_cose + ": the same in COSE, " + std::to_string(twin->text.size())
                 + " bytes on the wire instead of " + std::to_string(x.text.size()));
  }
  return exit_done;
}

} // namespace rvi
