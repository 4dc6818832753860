// SPDX-License-Identifier: MPL-2.0
//
// The hostile peer's socket, and what a good peer would say.

#include "test/integration/node_hostile_peer.hpp"

#include "messages/wire/batch.hpp"
#include "messages/wire/header.hpp"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace rvi::test {

namespace {

constexpr size_t frame_max = size_t{1} << 20;
constexpr uint64_t minute_ms = 60'000;

std::string hash(std::string_view x) {
  return std::string{crypto::view(crypto::sha256(x))};
}

/// The text of rvi.proto, Authorize; written anew here, so that a change of the product shows.
std::string signing_input(bool client, const std::string& own_spki, const std::string& peer_spki,
                          const std::string& exporter, const std::string& body) {
  return std::string{"RVI-AUTHORIZE-2"} + (client ? '\1' : '\2') + hash(own_spki) + hash(peer_spki)
         + exporter + hash(body);
}

using steady = std::chrono::steady_clock;

milliseconds left_until(steady::time_point deadline) {
  return std::max(std::chrono::duration_cast<milliseconds>(deadline - steady::now()),
                  milliseconds{0});
}

} // namespace

// -- what a good peer says -----------------------------------------------------------------------

peer_card::peer_card(const ::test::authority& root, std::string address,
                     std::vector<std::string> destinations)
  : address(std::move(address)),
    key(*crypto::private_key::generate(crypto::algorithm::ed25519)) {
  credential = root.issue(
    root.claims(key.public_part(), {this->address}, std::move(destinations), wall_ms() / 1'000));
  REQUIRE(credential);
}

::rvi::wire::AuthorizeBody peer_card::body() {
  ::rvi::wire::AuthorizeBody x;
  x.set_version(2);
  x.set_protocol("rvi/2");
  x.set_node_address(address);
  x.add_credentials(credential->text);
  x.set_transaction_id(++authorize_id);
  x.set_sent_ms(wall_ms());
  x.set_frame_bytes_max(frame_max);
  return x;
}

request_header peer_card::header(const std::string& target) {
  auto x = ::test::header_of(key.public_part().uid(), ++seq);
  x.source = address + "/services/attacker";
  x.target = target;
  x.created_ms = wall_ms();
  x.expires_ms = x.created_ms + minute_ms;
  x.credential_hash = credential->hash;
  return x;
}

::rvi::batch
peer_card::sign(std::vector<request_header> headers, const std::vector<std::string>& arguments) {
  return ::test::sign_batch(key, std::move(headers), arguments);
}

::rvi::batch peer_card::requests(const std::vector<std::string>& targets,
                                 const std::vector<std::string>& arguments, request_kind kind) {
  std::vector<request_header> headers;
  for (auto& target : targets) {
    headers.push_back(header(target));
    headers.back().kind = kind;
  }
  return sign(std::move(headers), arguments);
}

::rvi::wire::AnnounceEntry peer_card::entry(const std::string& service, bool available) {
  auto said = ::test::announced_by(key, credential->hash, {service, wall_ms(), available});
  ::rvi::wire::AnnounceEntry x;
  x.set_service(said.service);
  x.set_signature(said.signature);
  x.set_credential_hash(said.credential_hash);
  return x;
}

::rvi::wire::Frame frame_of(const ::rvi::batch& x) {
  std::string bytes;
  ::rvi::wire::append_batch_frames(bytes, x, frame_max);
  ::rvi::wire::Frame result;
  REQUIRE(!::rvi::wire::parse_frame(bytes.substr(4), {}, result));
  return result;
}

::rvi::wire::Frame
signed_frame(const peer_card& from, const std::string& header, const std::string& arguments) {
  crypto::digest hash;
  std::copy_n(from.credential->hash.begin(), hash.size(), reinterpret_cast<char*>(hash.data()));
  crypto::batch_tree tree{{header}, hash, wall_ms()};
  auto root = tree.signed_with(crypto::algorithm::ed25519, *from.key.sign(tree.to_be_signed()));
  ::rvi::wire::Frame frame;
  auto& x = *frame.mutable_batch();
  x.set_batch_id(root.batch_id);
  x.set_size(root.size);
  x.set_signed_at_ms(root.signed_at_ms);
  x.set_algorithm(::rvi::wire::ED25519);
  x.set_signature(root.signature);
  x.set_credential_hash(root.credential_hash);
  auto& item = *x.add_items();
  item.set_header(header);
  item.set_arguments(arguments);
  item.set_salt(tree.proof(0).salt);
  return frame;
}

// -- the socket ---------------------------------------------------------------------------------

hostile_peer::hostile_peer(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

hostile_peer::~hostile_peer() {
  close();
}

void hostile_peer::close() {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = -1;
  over_ = true;
}

void hostile_peer::send_raw(std::string_view bytes) {
  while (!bytes.empty() && fd_ >= 0) {
    pollfd x{fd_, POLLOUT, 0};
    REQUIRE(::poll(&x, 1, static_cast<int>(node_patience.count())) == 1);
    auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0)
      return; // the test looks at what comes back
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void hostile_peer::flush() {
  if (tls_ && tls_->has_output())
    send_raw(tls_->take_output());
}

bool hostile_peer::receive(milliseconds time) {
  pollfd x{fd_, POLLIN, 0};
  if (over_ || ::poll(&x, 1, static_cast<int>(time.count())) != 1)
    return false;
  char buffer[64 * 1'024];
  auto n = ::recv(fd_, buffer, sizeof buffer, 0);
  if (n <= 0) {
    over_ = true;
    return false;
  }
  std::string plaintext;
  auto error = tls_->receive({buffer, static_cast<size_t>(n)}, plaintext);
  reader_.append(plaintext);
  flush();
  over_ = over_ || error;
  return !over_ || !plaintext.empty();
}

bool hostile_peer::handshake(const crypto::private_key& key) {
  key_ = key;
  auto certificate = *key.self_signed_certificate("hostile", wall_ms() / 1'000, 30);
  auto context = tls::context::make({certificate, key.to_pem()});
  REQUIRE(context);
  tls_.emplace(*context, tls::side::client);
  REQUIRE(!tls_->start());
  flush();
  auto deadline = steady::now() + node_patience;
  while (!tls_->established() && !over_ && left_until(deadline).count() > 0)
    receive(left_until(deadline));
  return tls_->established();
}

void hostile_peer::send(std::string_view plaintext) {
  REQUIRE(tls_);
  constexpr size_t piece = size_t{1} << 20;
  for (; !plaintext.empty(); plaintext.remove_prefix(std::min(piece, plaintext.size()))) {
    if (tls_->send(plaintext.substr(0, piece)))
      return; // it is over; the test looks at how
    flush();
  }
}

void hostile_peer::send(const ::rvi::wire::Frame& x) {
  std::string bytes;
  ::rvi::wire::append_frame(bytes, x);
  send(bytes);
}

void hostile_peer::send(const ::rvi::batch& x) {
  std::string bytes;
  ::rvi::wire::append_batch_frames(bytes, x, frame_max);
  send(bytes);
}

void hostile_peer::send_authorize(const std::string& body, const std::string& signature) {
  ::rvi::wire::Frame x;
  x.mutable_authorize()->set_body(body);
  x.mutable_authorize()->set_signature(signature);
  send(x);
}

std::string hostile_peer::exporter() const {
  auto result = tls_->exporter("EXPORTER-rvi-2", {}, 32);
  REQUIRE(result);
  return *result;
}

std::string
hostile_peer::sign(const std::string& body, const crypto::private_key& key, bool client) const {
  return *key.sign(
    signing_input(client, key_.public_part().spki(), tls_->peer_spki(), exporter(), body));
}

void hostile_peer::announce(bool full, const std::vector<::rvi::wire::AnnounceEntry>& entries) {
  ::rvi::wire::Frame x;
  x.mutable_announce()->set_full(full);
  for (auto& entry : entries)
    *x.mutable_announce()->add_entries() = entry;
  send(x);
}

void hostile_peer::authorize(peer_card& x) {
  REQUIRE(handshake(x.key));
  auto body = x.body().SerializeAsString();
  send_authorize(body, sign(body, x.key));
  auto answer = read_until(::rvi::wire::Frame::kAuthorize);
  REQUIRE(answer);
  auto& theirs = answer->authorize();
  ::rvi::wire::AuthorizeBody said;
  REQUIRE(said.ParseFromString(theirs.body()));
  REQUIRE(said.credentials_size() > 0);
  auto credential = parse_credential(said.credentials(0));
  REQUIRE(credential);
  CHECK((*credential)->key.spki() == tls_->peer_spki());
  auto exporter = *tls_->exporter("EXPORTER-rvi-2", {}, 32);
  auto input
    = signing_input(false, tls_->peer_spki(), key_.public_part().spki(), exporter, theirs.body());
  CHECK((*credential)->key.verify(input, theirs.signature()));
}

void hostile_peer::come_up(peer_card& x) {
  authorize(x);
  announce(true, {});
  REQUIRE(read_until(::rvi::wire::Frame::kCredit));
}

std::optional<::rvi::wire::Frame> hostile_peer::read(milliseconds time) {
  auto deadline = steady::now() + time;
  for (;;) {
    auto bytes = reader_.next();
    REQUIRE(bytes);
    if (*bytes) {
      ::rvi::wire::Frame result;
      REQUIRE(!::rvi::wire::parse_frame(**bytes, {}, result));
      return result;
    }
    if (over_ || left_until(deadline).count() == 0)
      return std::nullopt;
    receive(left_until(deadline));
  }
}

std::optional<::rvi::wire::Frame> hostile_peer::read_until(::rvi::wire::Frame::ContentCase what) {
  while (auto x = read()) {
    if (x->content_case() == what)
      return x;
    if (x->has_bye())
      FAIL_CHECK("the node said " << x->bye().reason() << ": " << x->bye().detail());
  }
  return std::nullopt;
}

std::string hostile_peer::custody_of(const transaction_id& id, bool reply) {
  while (auto x = read_until(::rvi::wire::Frame::kCustody)) {
    auto report = ::rvi::wire::decode_custody(x->custody());
    REQUIRE(report);
    for (auto& accepted : report->accepted)
      if (accepted.id == id && accepted.reply == reply)
        return "accepted";
    for (auto& refused : report->refused)
      if (refused.id == id && refused.reply == reply) {
        CHECK(refused.permanent);
        return to_string(code_of(refused.reason));
      }
  }
  return "nothing";
}

ending hostile_peer::end(milliseconds time) {
  ending result;
  auto deadline = steady::now() + time;
  while (auto x = read(left_until(deadline)))
    if (x->has_bye())
      result = {false, x->bye().reason(), x->bye().detail()};
  result.closed = over_;
  return result;
}

std::string hostile_peer::read_raw_until_end(milliseconds time) {
  std::string result;
  auto deadline = steady::now() + time;
  while (!over_ && left_until(deadline).count() > 0) {
    pollfd x{fd_, POLLIN, 0};
    if (::poll(&x, 1, static_cast<int>(left_until(deadline).count())) != 1)
      break;
    char buffer[4'096];
    auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    over_ = n <= 0;
    if (n > 0)
      result.append(buffer, static_cast<size_t>(n));
  }
  return over_ ? result : result + " and still open";
}

// -- the node under attack ----------------------------------------------------------------------

namespace {

node_settings cloud_settings(uint16_t port, const std::string& links) {
  node_settings x;
  x.name = "jlr.com/cloud";
  x.role = "cloud";
  x.infix = "";
  x.destinations = {"jlr.com/vin/+/services"};
  x.tls_port = port;
  x.links = links;
  return x;
}

} // namespace

hostile_fixture::hostile_fixture(const std::string& links)
  : cloud(world, "cloud", cloud_settings(port, links)) {
  cloud.start();
  make_echo(media_server);
  media_server.register_service("media_server");
}

hostile_fixture::~hostile_fixture() {
  try {
    check_still_serving();
  } catch (...) { // a REQUIRE, which has been reported
  }
}

void hostile_fixture::check_still_serving() {
  REQUIRE_MESSAGE(cloud.running(), cloud.log_tail());
  CHECK(media_server.call("get_node_address", "{}").result.find("jlr.com/cloud")
        != std::string::npos);
  peer_card good{world.provisioning, "jlr.com/vin/777", {"jlr.com/cloud/media_server"}};
  hostile_peer link{port};
  link.come_up(good);
  auto request = good.requests({echo_target}, {"\"still there\""});
  link.send(request);
  CHECK(link.custody_of(request.front()->header.id) == "accepted");
  CHECK_MESSAGE(invokes("\"still there\""), cloud.log_tail());
  CHECK_MESSAGE(cloud.log().find(" supervisor ") == std::string::npos, cloud.log_tail());
}

std::string hostile_fixture::refused(const crypto::private_key& tls_key, const std::string& body) {
  hostile_peer peer{port};
  REQUIRE(peer.handshake(tls_key));
  peer.send_authorize(body, peer.sign(body, tls_key));
  auto end = peer.end();
  CHECK(end.closed);
  return end.reason;
}

credential_ptr hostile_fixture::changed(const std::function<void(credential_claims&)>& change) {
  auto& root = world.provisioning;
  auto claims = root.claims(attacker.key.public_part(), {attacker.address},
                            {"jlr.com/cloud/media_server"}, wall_ms() / 1'000);
  change(claims);
  auto result = root.issue(claims);
  REQUIRE(result);
  return result;
}

size_t hostile_fixture::invoked(const std::string& arguments) const {
  auto& xs = media_server.invoked;
  return static_cast<size_t>(
    std::count_if(xs.begin(), xs.end(), [&](auto& x) { return x.arguments == arguments; }));
}

bool hostile_fixture::invokes(const std::string& arguments) {
  return wait_for({&media_server}, [&] { return invoked(arguments) > 0; });
}

} // namespace rvi::test
