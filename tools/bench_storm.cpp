// SPDX-License-Identifier: MPL-2.0
//
// The peers speak with the router's own codecs (native_session, tls::session), without its actors.

#include "tools/bench_storm.hpp"

#include "actors/links/native_session.hpp"
#include "actors/routing/authorization.hpp"
#include "actors/routing/clone_guard.hpp"
#include "messages/credential.hpp"
#include "runtime/json/json.hpp"
#include "runtime/tls/tls.hpp"
#include "rvi.pb.h"
#include "tools/bench.hpp"
#include "tools/bench_load.hpp"
#include "tools/descriptor.hpp"
#include "tools/open_files.hpp"
#include "tools/stop_signal.hpp"
#include "tools/times.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <optional>
#include <random>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <vector>

namespace rvi {

namespace {

constexpr uint64_t patience_ms = 300'000;
constexpr uint64_t retry_ms_min = 500; // as data_link begins
constexpr uint64_t retry_ms_max = 4'000;
constexpr uint64_t tick_ms = 20;
constexpr uint32_t certificate_days = 30;
constexpr size_t read_bytes = 64 << 10;
constexpr uint64_t frame_bytes_max = size_t{1} << 20;
constexpr std::string_view exporter_label = "EXPORTER-rvi-2";

caf::error system_error(const std::string& what) {
  return caf::make_error(ec::io_failed, what + ": " + std::strerror(errno));
}

node_uid uid_of(std::string_view spki) {
  auto hash = crypto::sha256(spki);
  node_uid result;
  std::copy_n(hash.begin(), result.size(), result.begin());
  return result;
}

/// One vehicle. All of it but the connection outlives the connection.
class storm_peer {
public:
  caf::error make(const bench_nodes& cloud, uint32_t number);

  /// Begins a connection. Error: there is no socket.
  caf::error dial(uint16_t port, int events);
  /// Something came, or may go out. Afterwards it may be gone.
  void serve(int events, uint32_t what);
  void hang_up();

  bool dialled() const { return bool(fd_); }
  bool up() const { return session_ && session_->is_up(); }
  bool resumed() const { return tls_ && tls_->resumed(); }

  uint64_t again_ms = 0; // when to try next
  uint64_t retry_ms = retry_ms_min;

private:
  caf::error read();
  caf::error introduce();
  caf::error take(session_event& event);
  void send(int events);

  uint32_t number_ = 0;
  std::string address_;
  crypto::private_key key_;
  credential_ptr credential_;
  std::shared_ptr<tls::context> context_;
  uint64_t authorize_id_ = 0;
  clone_guard guard_{1};

  descriptor fd_;
  std::optional<tls::session> tls_;
  std::optional<native_session> session_;
  std::string out_;
  bool introduced_ = false;
  bool wants_write_ = true;
};

caf::error storm_peer::make(const bench_nodes& cloud, uint32_t number) {
  number_ = number;
  address_ = std::string{bench_nodes::organization} + "/vin/storm" + std::to_string(number);
  auto key = crypto::private_key::generate(crypto::algorithm::ed25519);
  if (!key)
    return std::move(key.error());
  key_ = std::move(*key);
  auto credential = cloud.issue(address_, "storm-" + std::to_string(number), key_.public_part());
  if (!credential)
    return std::move(credential.error());
  credential_ = std::move(*credential);
  auto certificate
    = key_.self_signed_certificate(address_, wall_now_ms() / 1'000, certificate_days);
  if (!certificate)
    return std::move(certificate.error());
  auto context = tls::context::make({std::move(*certificate), key_.to_pem(), {}});
  if (!context)
    return std::move(context.error());
  context_ = std::move(*context);
  return {};
}

caf::error storm_peer::dial(uint16_t port, int events) {
  fd_ = descriptor{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!fd_)
    return system_error("socket");
  // Each from its own address, as vehicles come.
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl((127u << 24) + (1u << 16) + number_ + 1);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd_.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) != 0)
    return system_error("bind");
  if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0
      && errno != EINPROGRESS) {
    fd_.reset(); // later again
    return {};
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.u32 = number_;
  if (::epoll_ctl(events, EPOLL_CTL_ADD, fd_.get(), &event) != 0)
    return system_error("epoll_ctl");
  wants_write_ = true;
  introduced_ = false;
  out_.clear();
  tls_.emplace(context_, tls::side::client, "cloud");
  session_.emplace(native_session_limits{});
  if (auto why = tls_->start())
    return why;
  return {};
}

void storm_peer::hang_up() {
  fd_.reset();
  tls_.reset();
  session_.reset();
}

void storm_peer::serve(int events, uint32_t what) {
  if ((what & (EPOLLERR | EPOLLHUP)) != 0)
    return hang_up();
  if ((what & EPOLLIN) != 0 && read())
    return hang_up();
  send(events);
}

caf::error storm_peer::read() {
  static std::vector<char> buffer(read_bytes);
  auto n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (n < 0)
    return errno == EAGAIN || errno == EINTR ? caf::error{} : system_error("recv");
  if (n == 0)
    return caf::make_error(ec::link_down, std::string{"closed"});
  std::string plaintext;
  if (auto why = tls_->receive({buffer.data(), size_t(n)}, plaintext))
    return why;
  if (!introduced_ && tls_->established())
    if (auto why = introduce())
      return why;
  if (auto why = session_->receive(plaintext))
    return why;
  while (auto event = session_->next())
    if (auto why = take(*event))
      return why;
  return {};
}

caf::error storm_peer::introduce() {
  introduced_ = true;
  auto exporter = tls_->exporter(exporter_label, {}, 32);
  if (!exporter)
    return std::move(exporter.error());
  auto own = key_.public_part().spki();
  auto peer = tls_->peer_spki();
  wire::AuthorizeBody body;
  body.set_version(2);
  body.set_protocol("rvi/2");
  body.set_node_address(address_);
  body.set_transaction_id(++authorize_id_);
  body.set_sent_ms(wall_now_ms());
  body.set_frame_bytes_max(frame_bytes_max);
  body.add_credentials(credential_->text);
  body.set_clone_proof(guard_.prove({key_.public_part().uid(), uid_of(peer), true, *exporter}));
  auto text = body.SerializeAsString();
  auto signature = key_.sign(authorize_signing_input(true, own, peer, *exporter, text));
  if (!signature)
    return std::move(signature.error());
  session_->introduce(std::move(text), std::move(*signature));
  return {};
}

/// Believes the node: what it costs to check it is not what is measured here.
caf::error storm_peer::take(session_event& event) {
  if (auto x = std::get_if<peer_authorize>(&event)) {
    wire::AuthorizeBody body;
    if (!body.ParseFromString(x->body))
      return caf::make_error(ec::malformed, std::string{"an Authorize that does not parse"});
    if (auto why = session_->admitted(body.frame_bytes_max()))
      return why;
    session_->announce(true, {});
  } else if (std::holds_alternative<peer_announce>(event)) {
    session_->announcement_accepted();
  } else if (auto token = std::get_if<peer_token>(&event)) {
    auto peer = uid_of(tls_->peer_spki());
    clone_token offered{token->counter, token->token};
    if (guard_.take_offer(peer, offered) == clone_guard::offered::store)
      guard_.keep(peer, offered);
    session_->clone_token_kept(token->counter);
  } else if (std::holds_alternative<peer_bye>(event)) {
    return caf::make_error(ec::link_down, std::string{"the node says goodbye"});
  }
  return {};
}

void storm_peer::send(int events) {
  auto frames = session_->take_output();
  if (!frames.empty() && tls_->send(frames))
    return hang_up();
  if (tls_->has_output())
    out_ += tls_->take_output();
  size_t sent = 0;
  while (sent < out_.size()) {
    auto n = ::send(fd_.get(), out_.data() + sent, out_.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
      break;
    if (n < 0)
      return hang_up();
    sent += size_t(n);
  }
  out_.erase(0, sent);
  if (wants_write_ != !out_.empty()) {
    wants_write_ = !out_.empty();
    epoll_event event{};
    event.events = wants_write_ ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.u32 = number_;
    ::epoll_ctl(events, EPOLL_CTL_MOD, fd_.get(), &event);
  }
}

/// All of them, and their loop.
class storm {
public:
  explicit storm(uint16_t port) : port_(port), events_(::epoll_create1(EPOLL_CLOEXEC)) {}

  caf::error make(const bench_nodes& cloud, uint32_t peers);
  void hang_up_all();
  /// Until all are up.
  expected<storm_phase> come();
  /// Stays; how many were lost meanwhile.
  expected<uint64_t> stay(uint64_t duration_ms);

private:
  caf::error poll_once();
  caf::error dial_due(storm_phase& to);

  uint16_t port_;
  descriptor events_;
  std::vector<storm_peer> peers_;
  std::mt19937 random_{1}; // spreads the attempts
  uint64_t last_ms_ = 0;   // when it was last looked who is to try again
};

caf::error storm::make(const bench_nodes& cloud, uint32_t peers) {
  if (!events_)
    return system_error("epoll_create1");
  peers_.resize(peers);
  for (uint32_t i = 0; i < peers; ++i) {
    if (auto why = peers_[i].make(cloud, i))
      return why;
    if (stop_requested())
      return caf::make_error(ec::shutting_down, std::string{"interrupted"});
  }
  return {};
}

void storm::hang_up_all() {
  for (auto& x : peers_)
    x.hang_up();
}

caf::error storm::poll_once() {
  if (stop_requested())
    return caf::make_error(ec::shutting_down, std::string{"interrupted"});
  epoll_event events[256];
  auto n = ::epoll_wait(events_.get(), events, 256, int(tick_ms));
  for (int i = 0; i < n; ++i)
    if (auto& x = peers_[events[i].data.u32]; x.dialled())
      x.serve(events_.get(), events[i].events);
  return {};
}

caf::error storm::dial_due(storm_phase& to) {
  auto now = steady_now_ms();
  if (now - last_ms_ < tick_ms)
    return {};
  last_ms_ = now;
  for (auto& x : peers_) {
    if (x.dialled() || now < x.again_ms)
      continue;
    if (auto why = x.dial(port_, events_.get()))
      return why;
    ++to.attempts;
    // Should this attempt fail: half to all of the time, so that they do not stay together.
    x.again_ms = now + x.retry_ms / 2 + random_() % (x.retry_ms / 2);
    x.retry_ms = std::min(x.retry_ms * 2, retry_ms_max);
  }
  return {};
}

expected<storm_phase> storm::come() {
  auto begun = steady_now_ms();
  storm_phase result;
  std::vector<bool> counted(peers_.size());
  latency_histogram times; // in ms
  for (auto& x : peers_) {
    x.again_ms = 0;
    x.retry_ms = retry_ms_min;
  }
  auto now = begun;
  for (; result.up < peers_.size() && now - begun < patience_ms; now = steady_now_ms()) {
    if (auto why = dial_due(result))
      return why;
    if (auto why = poll_once())
      return why;
    for (size_t i = 0; i < peers_.size(); ++i)
      if (!counted[i] && peers_[i].up()) {
        counted[i] = true;
        ++result.up;
        result.resumed += peers_[i].resumed() ? 1 : 0;
        auto took = steady_now_ms() - begun;
        times.add(took);
        result.max_ms = std::max(result.max_ms, took);
      }
  }
  result.duration_s = double(now - begun) / 1e3;
  result.p50_ms = times.quantile(0.5);
  result.p99_ms = times.quantile(0.99);
  return result;
}

expected<uint64_t> storm::stay(uint64_t duration_ms) {
  auto deadline = steady_now_ms() + duration_ms;
  while (steady_now_ms() < deadline)
    if (auto why = poll_once())
      return why;
  return uint64_t(std::count_if(peers_.begin(), peers_.end(), [](auto& x) { return !x.up(); }));
}

/// Adds what the node spent meanwhile.
expected<storm_phase> measured(storm& peers, const bench_nodes& nodes, uint32_t count) {
  auto before = nodes.usage(bench_nodes::cloud);
  if (!before)
    return std::move(before.error());
  auto result = peers.come();
  if (!result)
    return result;
  auto after = nodes.usage(bench_nodes::cloud);
  if (!after)
    return std::move(after.error());
  result->node_cpu_us_per_peer = double(after->cpu_us - before->cpu_us) / count;
  return result;
}

void write(json::writer& out, const char* name, const storm_phase& x) {
  out.key(name).begin_object();
  out.key("duration_s").number(rounded(x.duration_s));
  out.key("latency_ms").begin_object();
  out.member("p50", x.p50_ms).member("p99", x.p99_ms).member("max", x.max_ms).end_object();
  out.member("up", x.up).member("resumed", x.resumed).member("attempts", x.attempts);
  out.key("node_cpu_us_per_peer").number(rounded(x.node_cpu_us_per_peer)).end_object();
}

} // namespace

expected<storm_result> run_storm(const storm_config& config) {
  raise_open_files_limit();
  auto nodes = bench_nodes::start(0);
  if (!nodes)
    return std::move(nodes.error());
  storm_result result;
  result.config = config;
  storm peers{(*nodes)->peer_port()};
  if (auto why = peers.make(**nodes, config.peers))
    return why;
  auto usage = [&] { return (*nodes)->usage(bench_nodes::cloud); };
  auto empty = usage();
  if (!empty)
    return std::move(empty.error());
  result.rss_bytes_before = empty->rss_bytes;
  auto connect = measured(peers, **nodes, config.peers);
  if (!connect)
    return std::move(connect.error());
  result.connect = *connect;
  auto idle_from = usage();
  if (!idle_from)
    return std::move(idle_from.error());
  auto begun_us = steady_now_us();
  auto lost = peers.stay(config.idle_ms);
  if (!lost)
    return std::move(lost.error());
  result.lost_while_idle = *lost;
  auto idle_to = usage();
  if (!idle_to)
    return std::move(idle_to.error());
  result.idle_cpu_percent
    = double(idle_to->cpu_us - idle_from->cpu_us) / double(steady_now_us() - begun_us) * 100;
  result.rss_bytes = idle_to->rss_bytes;
  peers.hang_up_all();
  auto reconnect = measured(peers, **nodes, config.peers);
  if (!reconnect)
    return std::move(reconnect.error());
  result.reconnect = *reconnect;
  return result;
}

std::string to_json(const storm_result& x) {
  json::writer out;
  out.begin_object().member("scenario", "connect-storm").member("peers", uint64_t{x.config.peers});
  write(out, "connect", x.connect);
  out.key("idle").begin_object();
  out.key("duration_s").number(rounded(double(x.config.idle_ms) / 1e3));
  out.key("cpu_percent").number(rounded(x.idle_cpu_percent));
  out.member("lost", x.lost_while_idle).end_object();
  write(out, "reconnect", x.reconnect);
  out.member("rss_bytes", x.rss_bytes).member("rss_bytes_before", x.rss_bytes_before);
  return out.end_object().take();
}

} // namespace rvi
