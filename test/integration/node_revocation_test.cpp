// SPDX-License-Identifier: MPL-2.0
//
// Revocation as its operators meet it: lists made by `rvi credential revoke`, handed to a running
// cloud by `rvi revoke`, and what becomes of the vehicle they name.

#include "messages/transaction_id.hpp"
#include "runtime/json/json.hpp"
#include "test/integration/node_client.hpp"
#include "test/integration/node_process.hpp"

#include <doctest/doctest.h>

#include <filesystem>

using namespace rvi;
using namespace rvi::test;

namespace {

constexpr const char* stream_audio = "rpc:jlr.com/cloud/media_server/stream_audio";
constexpr uint64_t minute_ms = 60'000;

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

struct fixture : two_nodes {
  fixture() {
    make_echo(media_server);
    REQUIRE_FALSE(crypto::save_private_key(at("root.key"), world.provisioning.key));
  }

  void start() {
    cloud.start();
    media_server.register_service("media_server");
    vehicle.start();
    media_player.register_service("media_player");
    REQUIRE_MESSAGE(outcome() == "ok", vehicle.log_tail());
  }

  std::string at(const std::string& file) const { return world.folder + "/" + file; }

  /// Signs a list by the organization's root.
  ran sign(const std::string& arguments) {
    return run_rvi("credential revoke --root " + at("root.key") + " --organization jlr.com "
                   + arguments);
  }

  ran enter(const std::string& file) {
    return run_rvi("revoke --socket " + cloud.socket() + " " + at(file));
  }

  /// How a request of the vehicle's service ends, or why it is refused at once.
  std::string outcome() {
    auto before = media_player.outcomes.size();
    auto answer = media_player.invoke("media_player", stream_audio, "1", wall_ms() + minute_ms);
    if (!answer.code.empty())
      return answer.code;
    if (!wait([&] { return media_player.outcomes.size() > before; }))
      return "none";
    return media_player.outcomes.back().status;
  }

  std::string asked(const std::string& method) { return media_server.call(method, "{}").result; }

  bool linked() { return holds(asked("get_nodes"), R"("connected":true)"); }

  bool wait(const std::function<bool()>& condition) {
    return wait_for({&media_player, &media_server}, condition);
  }

  std::string vehicle_credential() const { return vehicle.path("credentials/node.jwt"); }

  service_client media_player{vehicle.socket()};
  service_client media_server{cloud.socket()};
};

} // namespace

TEST_SUITE_BEGIN("revocation by its operators" * doctest::skip(rvi_program().empty()));

TEST_CASE_FIXTURE(fixture, "a revoked vehicle loses its link and reaches nobody") {
  start();
  CHECK(linked());
  auto made = sign("--credential " + vehicle_credential() + " --out " + at("1.list"));
  REQUIRE_MESSAGE(made.code == 0, made.output);
  auto entered = enter("1.list");
  REQUIRE_MESSAGE(entered.code == 0, entered.output);
  CHECK(entered.output == "Revocation list 1 of jlr.com is in force\n");
  CHECK(holds(cloud.log(), "revocation list entered"));
  REQUIRE_MESSAGE(wait([&] { return !linked(); }), cloud.log_tail());
  CHECK(wait([&] { return !holds(asked("get_links"), R"("state":"up")"); }));
  // The list came to the vehicle with the end of its session: it knows why.
  auto served = media_server.invoked.size();
  CHECK_MESSAGE(wait([&] { return outcome() == "revoked"; }), vehicle.log_tail());
  CHECK(media_server.invoked.size() == served);
  auto status = run_rvi("status --socket " + cloud.socket());
  CHECK_MESSAGE(holds(status.output, "serial: 1"), status.output);
  CHECK(holds(status.output, "next: "));
  auto own = run_rvi("status --socket " + vehicle.socket());
  CHECK_MESSAGE(holds(own.output, "state: revoked"), own.output);
  auto nodes = run_rvi("nodes --socket " + cloud.socket());
  CHECK_MESSAGE(!holds(nodes.output, "linked"), nodes.output);
}

TEST_CASE_FIXTURE(fixture, "a vehicle whose key is revoked stays out after a restart") {
  start();
  auto made
    = sign("--node " + to_string(vehicle.key.public_part().uid()) + " --out " + at("1.list"));
  REQUIRE_MESSAGE(made.code == 0, made.output);
  CHECK(enter("1.list").code == 0);
  REQUIRE(wait([&] { return !linked(); }));
  CHECK_MESSAGE(cloud.terminate() == 0, cloud.log_tail());
  cloud.start();
  media_server.register_service("media_server");
  CHECK_MESSAGE(wait([&] { return outcome() == "revoked"; }), vehicle.log_tail());
  CHECK_FALSE(linked());
}

TEST_CASE_FIXTURE(fixture, "a list that is not newer, forged or of somebody else is refused") {
  start();
  REQUIRE(sign("--node " + std::string(32, '0') + " --out " + at("1.list")).code == 0);
  CHECK(enter("1.list").code == 0);
  auto again = enter("1.list");
  CHECK(again.code == 1);
  CHECK_MESSAGE(holds(again.output, "rvi revoke: replay: "), again.output);
  ::test::authority stranger{"stranger.com"};
  write_file(at("stranger.list"), stranger.revocation_list(1, {}, wall_ms() / 1'000)->text);
  CHECK(holds(enter("stranger.list").output, "rvi revoke: unknown_issuer: "));
  // The organization's name, and a signature of which one character is another.
  auto forged = world.provisioning.revocation_list(2, {}, wall_ms() / 1'000)->text;
  auto end = forged.find('~');
  forged[end - 10] = forged[end - 10] == 'A' ? 'B' : 'A';
  write_file(at("forged.list"), forged);
  CHECK(holds(enter("forged.list").output, "rvi revoke: signature_invalid: "));
  CHECK(holds(enter("anchor.json").output, "rvi revoke: malformed: "));
  CHECK(holds(enter("nothing").output, "rvi revoke: io_failed: "));
  CHECK(holds(cloud.log(), "revocation list refused"));
  CHECK(linked());
  CHECK(outcome() == "ok");
}

TEST_CASE_FIXTURE(fixture, "a list as long as lists may be gets to the cloud and to the vehicle") {
  start();
  std::vector<revocation_entry> entries(revocation_entries_max);
  for (size_t i = 0; i < entries.size(); ++i)
    entries[i] = revocation_entry_of("jlr.com", {uint8_t(i >> 8), uint8_t(i)}, UINT32_MAX);
  auto list = world.provisioning.revocation_list(1, std::move(entries), wall_ms() / 1'000);
  REQUIRE(list);
  write_file(at("1.list"), list->text);
  auto entered = enter("1.list");
  CHECK_MESSAGE(entered.code == 0, entered.output);
  auto in_force = [&] { return holds(vehicle.log(), "serial=1 entries=32768"); };
  CHECK_MESSAGE(wait(in_force), vehicle.log_tail());
  CHECK(linked());
  // One more is refused where it is made.
  auto more = sign("--list " + at("1.list") + " --node " + std::string(32, 'f'));
  CHECK(more.code == 1);
  CHECK_MESSAGE(holds(more.output, "over 32768 entries"), more.output);
}

TEST_CASE_FIXTURE(fixture, "each list takes up the one before it") {
  auto credential = " --credential " + vehicle_credential();
  auto made = sign("--out " + at("1.list") + " --node " + std::string(32, '1'));
  REQUIRE_MESSAGE(made.code == 0, made.output);
  made = sign("--format json --list " + at("1.list") + " --out " + at("2.list") + credential);
  REQUIRE_MESSAGE(made.code == 0, made.output);
  auto text = json::parse(made.output);
  REQUIRE(text);
  CHECK(text->root()["serial"].as_uint() == 2);
  CHECK(text->root()["entries"].as_uint() == 2);
  CHECK(text->root()["added"].as_uint() == 1);
  auto shown = run_rvi("credential show --format json " + at("2.list"));
  REQUIRE_MESSAGE(shown.code == 0, shown.output);
  text = json::parse(shown.output);
  REQUIRE(text);
  CHECK(text->root()["issuer"].as_string() == "jlr.com");
  CHECK(text->root()["serial"].as_uint() == 2);
  CHECK(text->root()["entries"].size() == 2);
  CHECK(holds(run_rvi("credential show " + at("2.list")).output, "serial        2, a full list\n"));
}

TEST_CASE_FIXTURE(fixture, "what cannot be revoked is said, and nothing is written") {
  auto out = " --out " + at("1.list");
  ::test::authority stranger{"stranger.com"};
  ::test::authority impostor; // of the same name
  auto now_s = wall_ms() / 1'000;
  auto holder = vehicle.key.public_part();
  write_file(at("stranger.jwt"),
             stranger.issue(stranger.claims(holder, {"stranger.com/a"}, {}, now_s))->text);
  write_file(at("impostor.jwt"),
             impostor.issue(impostor.claims(holder, {"jlr.com/a"}, {}, now_s))->text);
  auto over = world.provisioning.claims(holder, {"jlr.com/a"}, {}, now_s);
  over.expires_s = now_s - 1;
  write_file(at("over.jwt"), world.provisioning.issue(over)->text);
  write_file(at("stranger.list"), stranger.revocation_list(1, {}, now_s)->text);
  write_file(at("impostor.list"), impostor.revocation_list(1, {}, now_s)->text);
  write_file(
    at("own.list"),
    world.provisioning.revocation_list(4, {revocation_entry_of(*vehicle.credential)}, now_s)->text);
  auto said = [&](const std::string& arguments, int code, const char* part) {
    auto x = sign(arguments + out);
    CHECK_MESSAGE(x.code == code, x.output);
    CHECK_MESSAGE(holds(x.output, part), x.output);
  };
  said("--credential " + at("stranger.jwt"), 1, "unknown_issuer: ");
  said("--credential " + at("impostor.jwt"), 1, "unknown_issuer: ");
  said("--credential " + at("over.jwt"), 1, "credential_expired: ");
  said("--credential " + at("anchor.json"), 1, "credential_invalid: ");
  said("--credential " + at("nothing"), 1, "io_failed: ");
  said("--node 12", 1, "bad_request: ");
  auto node = " --node " + std::string(32, '1');
  said("--list " + at("stranger.list") + node, 1, "unknown_issuer: ");
  said("--list " + at("impostor.list") + node, 1, "unknown_issuer: ");
  said("--list " + at("over.jwt") + node, 1, "malformed: ");
  said("--list " + at("own.list") + " --credential " + vehicle_credential(), 1,
       "is revoked already");
  said(node + " --until 1", 2, "--until is not ahead");
  said(node + " --until tomorrow", 2, "is no time such as");
  said("--until 2100-01-01 --credential " + vehicle_credential(), 2, "--node");
  said("", 2, "--node");
  CHECK(run_rvi("credential show " + at("1.list")).code == 1); // was never made
}

TEST_CASE_FIXTURE(fixture, "lists are renewed and added to by small deltas") {
  start();
  REQUIRE(sign("--node " + std::string(32, 'a') + " --out " + at("1.list")).code == 0);
  REQUIRE(enter("1.list").code == 0);
  auto made = sign("--list " + at("1.list") + " --renew --delta --form cose --out " + at("2.list"));
  REQUIRE_MESSAGE(made.code == 0, made.output);
  CHECK(holds(run_rvi("credential show " + at("2.list")).output, "adds to list 1\n"));
  CHECK_MESSAGE(holds(made.output, "revocation list 2 of jlr.com, a delta on list 1, entries 0"),
                made.output);
  CHECK(enter("2.list").code == 0);
  auto lists = "--list " + at("1.list") + " --list " + at("2.list");
  made = sign(lists + " --delta --credential " + vehicle_credential() + " --out " + at("3.list"));
  REQUIRE_MESSAGE(made.code == 0, made.output);
  CHECK(std::filesystem::file_size(at("3.list")) < 512);
  CHECK(outcome() == "ok");
  CHECK(enter("3.list").code == 0);
  CHECK_MESSAGE(wait([&] { return !linked(); }), cloud.log_tail());
  // A full one holds all of it, and a delta alone is no list to go on from.
  lists += " --list " + at("3.list");
  made = sign(lists + " --renew --out " + at("4.list"));
  REQUIRE_MESSAGE(made.code == 0, made.output);
  CHECK_MESSAGE(holds(made.output, "entries 2 (added 0)"), made.output);
  CHECK(enter("4.list").code == 0);
  auto alone = sign("--list " + at("3.list") + " --renew");
  CHECK(alone.code == 1);
  CHECK_MESSAGE(holds(alone.output, "adds to list 2, which must be given before it"), alone.output);
  CHECK(sign("--renew").code == 2);
  CHECK(sign("--delta --node " + std::string(32, 'b')).code == 2);
}

TEST_SUITE_END();
