// SPDX-License-Identifier: MPL-2.0
//
// The nodes under attack, and what is looked at after each.

#include "test/attacks/attack.hpp"

#include "messages/transaction_id.hpp"
#include "test/attacks/api_stranger.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace rvi::test {

namespace {

constexpr const char* echo_at_vehicle = "rpc:jlr.com/vin/1234/services/media_player/echo";
constexpr std::string_view honest_mark = "\"honest";
constexpr uint64_t minute_ms = 60'000;

crypto::private_key new_key(crypto::algorithm x = crypto::algorithm::ed25519) {
  return *crypto::private_key::generate(x);
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

std::string next_address() {
  static int attackers = 0;
  return "jlr.com/vin/666." + std::to_string(++attackers);
}

size_t length_of(const std::string& file) {
  std::error_code ignored;
  auto result = std::filesystem::file_size(file, ignored);
  return ignored ? 0 : static_cast<size_t>(result);
}

} // namespace

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  auto found = text.find(from);
  REQUIRE_MESSAGE(found != text.npos, text);
  REQUIRE(text.find(from, found + 1) == text.npos);
  return text.replace(found, from.size(), to);
}

std::string
forged_jws(const crypto::private_key& key, std::string_view header, std::string_view payload) {
  auto input = crypto::base64url(header) + "." + crypto::base64url(payload);
  return input + "." + crypto::base64url(*key.sign(input));
}

std::string part_of(const std::string& compact, int number) {
  std::string_view rest = compact;
  for (; number > 0; --number)
    rest.remove_prefix(rest.find('.') + 1);
  return *crypto::unbase64url(rest.substr(0, rest.find('.')));
}

// -- the nodes ----------------------------------------------------------------------------------

second_organization::second_organization()
  : trust_1(new_key()),
    trust_2(new_key()),
    credentials(new_key(crypto::algorithm::es256)),
    lists(new_key()) {
  bundle_claims x;
  x.organization = name;
  x.issued_s = wall_ms() / 1'000;
  x.expires_s = x.issued_s + 86'400;
  x.threshold = 2;
  x.roots = {{trust_1.public_part(), false, false, true},
             {trust_2.public_part(), false, false, true},
             {credentials.public_part(), true, false, false},
             {lists.public_part(), false, true, false}};
  x.delegates = {{"jlr.com", {}, {"acme.com/cloud/open"}, {}, x.issued_s + 40 * 86'400}};
  bundle = *issue_trust_bundle(x, {&trust_1, &trust_2});
}

bundle_claims second_organization::claims(uint64_t sequence, const trust_bundle& before) const {
  bundle_claims x = *bundle;
  x.sequence = sequence;
  x.previous = before.digest;
  return x;
}

credential_claims
second_organization::credential(const crypto::public_key& holder, std::vector<std::string> sources,
                                std::vector<std::string> destinations) const {
  auto x = ::test::authority{name}.claims(holder, std::move(sources), std::move(destinations),
                                          wall_ms() / 1'000);
  x.issuer = name;
  return x;
}

attacked_nodes& attacked_nodes::get() {
  static attacked_nodes result;
  return result;
}

attacked_nodes::attacked_nodes()
  : app_key(new_key()),
    cloud(world, "cloud", cloud_settings()),
    vehicle(world, "vehicle", vehicle_settings()) {
  write_file(at("acme.bundle"), acme.bundle->text + "\n");
  write_rules();
  make_echo(media_server);
  make_echo(media_player);
  cloud.start();
  vehicle.start();
  register_services();
  use_each_other();
}

void attacked_nodes::write_rules() const {
  write_file(at("app.token"),
             "sha256:" + crypto::hex(crypto::view(crypto::sha256(app_token))) + "\n");
  std::filesystem::permissions(at("app.token"), std::filesystem::perms{0600});
  std::filesystem::create_directory(at("access.d"));
  std::filesystem::permissions(at("access.d"), std::filesystem::perms{0755});
  write_file(at("access.d/10-app.json"), R"({"principals": [{"match": {"token": "app"},
    "register": ["jlr.com/cloud/app"], "invoke": ["rpc:jlr.com/vin/1234/services/media_player/app"],
    "as": "app", "users": ["guest"]}]})");
  write_file(at("access.d/20-door.json"), R"({"services": [{
    "names": ["rpc:jlr.com/cloud/media_server/door"], "roles": ["owner"], "methods": ["pin"],
    "authenticated_within_s": 60}]})");
  write_file(at("access.d/30-keys.json"), R"({"keys": [{"names": ["jlr.com/cloud/app/safe"],
    "public_key": )" + app_key.public_part().jwk()
                                            + "}]}");
  for (auto file : {"access.d/10-app.json", "access.d/20-door.json", "access.d/30-keys.json"})
    std::filesystem::permissions(at(file), std::filesystem::perms{0644});
}

void attacked_nodes::register_services() {
  media_server.register_service("media_server");
  media_player.register_service("media_player");
}

node_settings attacked_nodes::cloud_settings() const {
  node_settings x;
  x.name = "jlr.com/cloud";
  x.role = "cloud";
  x.infix = "";
  x.destinations = {"jlr.com/vin/+/services", "metric:jlr.com/vin/+/services"};
  x.tls_port = cloud_port;
  x.anchors = {at("acme.bundle")};
  x.api = "address = \"127.0.0.1\"\nport = " + std::to_string(api_port)
          + "\norigins = [\"https://hmi.example\"]\naccess = \"" + at("access.d")
          + "\"\n[[api.tokens]]\nname = \"app\"\nfile = \"" + at("app.token") + "\"\n";
  return x;
}

node_settings attacked_nodes::vehicle_settings() const {
  node_settings x;
  x.name = "jlr.com/vin/1234";
  x.destinations = {"jlr.com/cloud/media_server"};
  x.tls_port = vehicle_port;
  x.route_to = cloud_port;
  x.anchors = {at("acme.bundle")};
  return x;
}

void attacked_nodes::use_each_other() {
  auto ask = [this](service_client& from, const char* service, const char* target) {
    auto text = std::string{honest_mark} + " " + std::to_string(++honest) + "\"";
    auto answer = from.invoke(service, target, text, wall_ms() + minute_ms);
    REQUIRE_MESSAGE(answer.code.empty(), answer.code << ": " << answer.message);
    return answer.transaction_id;
  };
  auto up = ask(media_player, "media_player", echo_target);
  auto down = ask(media_server, "media_server", echo_at_vehicle);
  auto answered
    = [&] { return outcome_of(media_player, up) != nullptr && outcome_of(media_server, down); };
  REQUIRE_MESSAGE(wait_for({&media_player, &media_server}, answered), cloud.log_tail());
  CHECK(outcome_of(media_player, up)->status == "ok");
  CHECK(outcome_of(media_server, down)->status == "ok");
}

void attacked_nodes::revoke(std::vector<revocation_entry> entries) {
  revoked.insert(revoked.end(), entries.begin(), entries.end());
  auto list = world.provisioning.revocation_list(lists.size() + 1, revoked, wall_ms() / 1'000);
  REQUIRE(list);
  lists.push_back(list);
  auto answer = media_server.call("revoke", R"({"list":")" + list->text + "\"}");
  REQUIRE_MESSAGE(answer.code.empty(), answer.message);
}

// -- one attack ---------------------------------------------------------------------------------

attack::attack()
  : at(attacked_nodes::get()),
    attacker(at.world.provisioning, next_address(), {"jlr.com/cloud/media_server"}) {
  cloud_trail_ = length_of(at.cloud.path("audit.log"));
  vehicle_trail_ = length_of(at.vehicle.path("audit.log"));
  signatures_before_ = signatures_spent();
}

attack::~attack() {
  try {
    auto spent = signatures_spent();
    CHECK_MESSAGE(spent - signatures_before_ <= signatures_max,
                  "signature checks: " << spent - signatures_before_);
    REQUIRE_MESSAGE(at.cloud.running(), at.cloud.log_tail());
    REQUIRE_MESSAGE(at.vehicle.running(), at.vehicle.log_tail());
    at.use_each_other();
    for (auto* service : {&at.media_server, &at.media_player}) {
      for (auto& given : service->invoked)
        CHECK_MESSAGE(given.arguments.starts_with(honest_mark), given.arguments);
      for (auto& given : service->outcomes)
        CHECK_MESSAGE((given.status != "ok" || given.arguments.starts_with(honest_mark)),
                      given.arguments);
      service->invoked.clear();
      service->outcomes.clear();
      service->texts.clear();
    }
    for (auto* node : {&at.cloud, &at.vehicle})
      CHECK_MESSAGE(!holds(node->log(), " supervisor "), node->log_tail());
  } catch (...) { // a REQUIRE, which has been reported
  }
}

uint64_t attack::signatures_spent() const {
  auto answer = api_stranger{at.cloud.socket()}.request("GET", "/metrics", {}, {});
  REQUIRE(answer.status == 200);
  constexpr std::string_view name = "\nrvi_signature_checks_total ";
  auto found = answer.body.find(name);
  REQUIRE(found != answer.body.npos);
  return static_cast<uint64_t>(std::strtod(answer.body.c_str() + found + name.size(), nullptr));
}

std::string attack::attacker_uid() const {
  return to_string(attacker.key.public_part().uid());
}

void attack::refuses(const std::string& body, const std::string& code) {
  hostile_peer peer{at.cloud_port};
  REQUIRE(peer.handshake(attacker.key));
  peer.send_authorize(body, peer.sign(body, attacker.key));
  ends(peer, code);
}

void attack::refuses_credential(const std::string& text, const std::string& code) {
  auto body = attacker.body();
  body.set_credentials(0, text);
  refuses(body.SerializeAsString(), code);
}

void attack::refuses_attacker(const std::string& code) {
  refuses(attacker.body().SerializeAsString(), code);
}

void attack::ends(hostile_peer& peer, const std::string& code) {
  auto end = peer.end();
  CHECK(end.closed);
  CHECK_MESSAGE(end.reason == code, end.detail);
  check_refusal_recorded(at.cloud, code, attacker_uid());
}

void attack::refuses_item(hostile_peer& peer, const transaction_id& id, const std::string& code,
                          bool reply) {
  CHECK(peer.custody_of(id, reply) == code);
  check_refusal_recorded(at.cloud, code, to_string(id));
}

void attack::take_credential(const std::function<void(credential_claims&)>& change) {
  auto& root = at.world.provisioning;
  auto x = root.claims(attacker.key.public_part(), {attacker.address},
                       {"jlr.com/cloud/media_server"}, wall_ms() / 1'000);
  change(x);
  attacker.credential = root.issue(x);
  REQUIRE(attacker.credential);
}

std::string attack::claims() const {
  return part_of(attacker.credential->text, 1);
}

std::string attack::good_header() const {
  return part_of(attacker.credential->text, 0);
}

std::string attack::signed_by_root(const std::string& header, const std::string& claims) const {
  return forged_jws(at.world.provisioning.key, header, claims);
}

std::string attack::trail(const node_process& x) const {
  std::ifstream in{x.path("audit.log"), std::ios::binary};
  in.seekg(static_cast<std::streamoff>(&x == &at.cloud ? cloud_trail_ : vehicle_trail_));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool attack::recorded(const node_process& x, std::initializer_list<std::string> parts) const {
  std::istringstream lines{trail(x)};
  for (std::string line; std::getline(lines, line);)
    if (std::all_of(parts.begin(), parts.end(), [&](auto& part) { return holds(line, part); }))
      return true;
  return false;
}

void attack::check_refusal_recorded(const node_process& x, const std::string& code,
                                    const std::string& who) const {
  CHECK_MESSAGE(recorded(x, {R"("event":"refused")", R"("code":")" + code + "\"", who}), trail(x));
}

bool attack::is_offered(const std::string& name) {
  return holds(at.media_server.call("get_available_services", "{}").result, name);
}

} // namespace rvi::test
