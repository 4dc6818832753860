// SPDX-License-Identifier: MPL-2.0
//
// Nodes as child processes: `/proc/self/exe node --config`, TLS between them on loopback.

#include "tools/bench_nodes.hpp"

#include "tools/client.hpp"
#include "tools/descriptor.hpp"
#include "tools/node_directory.hpp"
#include "tools/node_stream.hpp"
#include "tools/stop_signal.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace rvi {

namespace {

constexpr uint64_t start_patience_ms = 30'000;
constexpr uint64_t stop_patience_ms = 10'000;
constexpr uint64_t look_again_ms = 50;
constexpr uint64_t query_timeout_ms = 5'000;
constexpr size_t log_tail_bytes = 2'000;

caf::error system_error(const std::string& what) {
  return caf::make_error(ec::io_failed, what + ": " + std::strerror(errno));
}

/// A TCP port of loopback nobody uses just now.
expected<uint16_t> free_port() {
  descriptor fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto place = reinterpret_cast<sockaddr*>(&address);
  if (!fd || ::bind(fd.get(), place, size) != 0 || ::getsockname(fd.get(), place, &size) != 0)
    return system_error("no free port");
  return ntohs(address.sin_port);
}

/// In the child; never returns.
[[noreturn]] void run_program(const std::string& config, int log) {
  ::setpgid(0, 0); // Ctrl-C is for the parent, which stops us in order
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  restore_signals_in_child();
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execl("/proc/self/exe", "rvi", "node", "--config", config.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

/// The number behind "name " at the start of a line of the Prometheus text; 0 if there is none.
uint64_t metric(const std::string& page, const std::string& name) {
  auto i = page.find("\n" + name + " ");
  if (i == page.npos)
    return 0;
  double result = 0;
  auto begin = page.data() + i + name.size() + 2;
  std::from_chars(begin, page.data() + page.size(), result);
  return uint64_t(result);
}

/// "Name:   123 kB" of /proc/PID/status, in bytes.
uint64_t status_bytes(const std::string& text, const std::string& name) {
  auto i = text.find("\n" + name + ":");
  if (i == text.npos)
    return 0;
  i = text.find_first_of("0123456789", i);
  uint64_t kib = 0;
  if (i != text.npos)
    std::from_chars(text.data() + i, text.data() + text.size(), kib);
  return kib * 1'024;
}

/// utime and stime: the 12th and 13th word behind the command's closing parenthesis.
uint64_t cpu_us_of(const std::string& stat) {
  auto i = stat.rfind(')');
  uint64_t ticks = 0;
  for (int field = 0; field < 13 && i != stat.npos; ++field) {
    i = stat.find(' ', i + 1);
    uint64_t x = 0;
    if (field >= 11 && i != stat.npos)
      std::from_chars(stat.data() + i + 1, stat.data() + stat.size(), x);
    ticks += x;
  }
  return ticks * 1'000'000 / uint64_t(::sysconf(_SC_CLK_TCK));
}

/// No error if the node answers, and has a link that is up if there is somebody to be linked to.
caf::error check_linked(const node_endpoint& node, bool alone) {
  auto client = node_client::connect(node, query_timeout_ms);
  if (!client)
    return std::move(client.error());
  auto links = client->call("get_links", "{}", query_timeout_ms);
  if (!links)
    return std::move(links.error());
  for (auto x : links->result.items())
    if (x["state"].as_string() == "up")
      return {};
  if (alone)
    return {};
  return caf::make_error(ec::link_down, std::string{"no link is up"});
}

void pause_ms(uint64_t ms) {
  ::poll(nullptr, 0, int(ms));
}

} // namespace

expected<std::unique_ptr<bench_nodes>> bench_nodes::start(size_t vehicles) {
  std::unique_ptr<bench_nodes> result{new bench_nodes};
  result->nodes_.resize(1 + vehicles);
  if (auto error = result->make_directories())
    return error;
  for (auto& x : result->nodes_) // the listening one first
    if (auto error = result->spawn(x))
      return error;
  if (auto error = result->wait_until_linked())
    return error;
  return result;
}

bench_nodes::~bench_nodes() {
  for (auto& x : nodes_)
    if (x.pid > 0)
      ::kill(x.pid, SIGTERM);
  for (auto& x : nodes_)
    wait_for_end(x);
  std::error_code ignored;
  if (!directory_.empty())
    std::filesystem::remove_all(directory_, ignored);
}

caf::error bench_nodes::make_directories() {
  std::error_code failed;
  auto base = std::filesystem::temp_directory_path(failed);
  auto pattern = (failed ? std::string{"/tmp"} : base.string()) + "/rvi-bench-XXXXXX";
  if (!::mkdtemp(pattern.data()))
    return system_error(pattern);
  directory_ = pattern;
  auto root = crypto::private_key::generate(crypto::algorithm::ed25519);
  auto port = free_port();
  if (!root)
    return std::move(root.error());
  if (!port)
    return std::move(port.error());
  root_ = std::move(*root);
  peer_port_ = *port;
  if (auto error = write_new_text(directory_ + "/anchor.json",
                                  trust_anchor_json(organization, root_.public_part())))
    return error;
  auto address = "127.0.0.1:" + std::to_string(*port);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    auto& x = nodes_[i];
    auto short_name = i == cloud ? "b" : i == 1 ? "a" : "a" + std::to_string(i);
    x.name = organization + std::string{i == cloud ? "/cloud/" : "/vin/"} + short_name;
    x.directory = directory_ + "/" + short_name;
    x.log_file = x.directory + "/log";
    if (auto error = make_directory(x, address))
      return error;
  }
  return {};
}

expected<credential_ptr> bench_nodes::issue(const std::string& node, const std::string& id,
                                            const crypto::public_key& key) const {
  credential_claims claims;
  claims.issuer = organization;
  claims.id = id;
  claims.issued_s = claims.not_before_s = wall_now_ms() / 1'000;
  claims.expires_s = claims.not_before_s + 86'400;
  claims.key = key;
  claims.sources = {node};
  claims.destinations = {organization, std::string{"metric:"} + organization};
  return issue_credential(std::move(claims), root_);
}

caf::error bench_nodes::make_directory(member& x, const std::string& address) {
  new_node asked;
  asked.directory = x.directory;
  asked.name = x.name;
  asked.api_port = uint16_t{0};
  asked.anchors = {directory_ + "/anchor.json"};
  asked.log_level = "warning";
  if (&x == &nodes_[cloud]) {
    asked.role = "cloud";
    asked.listen = address;
  } else {
    asked.role = "vehicle";
    asked.connect = {address};
  }
  auto made = create_node_directory(asked);
  if (!made)
    return std::move(made.error());
  auto credential = issue(x.name, "bench-" + x.name.substr(x.name.rfind('/') + 1), made->key);
  if (!credential)
    return std::move(credential.error());
  if (auto error = write_new_text(made->credentials_directory + "/bench.jwt",
                                  written_form(**credential) + "\n"))
    return error;
  node_options options;
  options.config = made->config_file;
  auto endpoint = find_node(options);
  if (!endpoint)
    return std::move(endpoint.error());
  x.endpoint = *endpoint;
  return {};
}

caf::error bench_nodes::spawn(member& x) {
  descriptor log{::open(x.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
  if (!log)
    return system_error(x.log_file);
  auto pid = ::fork();
  if (pid < 0)
    return system_error("fork");
  if (pid == 0)
    run_program(x.directory + "/rvi.toml", log.get());
  x.pid = pid;
  return {};
}

caf::error bench_nodes::check_running(member& x) {
  if (stop_requested())
    return caf::make_error(ec::shutting_down, std::string{"interrupted"});
  if (::waitpid(x.pid, nullptr, WNOHANG) != x.pid)
    return {};
  x.pid = -1;
  auto log = read_text(x.log_file);
  auto tail = log ? *log : std::string{};
  if (tail.size() > log_tail_bytes)
    tail.erase(0, tail.size() - log_tail_bytes);
  return caf::make_error(ec::io_failed, "the node " + x.name + " ended; its log:\n" + tail);
}

caf::error bench_nodes::wait_until_linked() {
  auto deadline = steady_now_ms() + start_patience_ms;
  caf::error last = caf::make_error(ec::timeout, std::string{"no answer yet"});
  while (steady_now_ms() < deadline) {
    for (auto& x : nodes_)
      if (auto error = check_running(x))
        return error;
    size_t linked = 0;
    for (auto& x : nodes_) {
      auto error = check_linked(x.endpoint, nodes_.size() == 1);
      linked += error ? 0 : 1;
      if (error)
        last = std::move(error);
    }
    if (linked == nodes_.size())
      return {};
    pause_ms(look_again_ms);
  }
  return caf::make_error(ec::timeout,
                         "the nodes are not linked after 30 s; last: " + describe(last));
}

void bench_nodes::stop(size_t node) {
  ::kill(nodes_[node].pid, SIGTERM);
  wait_for_end(nodes_[node]);
}

expected<uint64_t> bench_nodes::start_again_us(size_t node) {
  auto& x = nodes_[node];
  auto begun = steady_now_us();
  if (auto error = spawn(x))
    return error;
  while (steady_now_us() - begun < start_patience_ms * 1'000) {
    if (auto error = check_running(x))
      return error;
    if (auto client = node_client::connect(x.endpoint, query_timeout_ms))
      if (client->call("get_links", "{}", query_timeout_ms))
        return steady_now_us() - begun;
    pause_ms(1);
  }
  return caf::make_error(ec::timeout, "the node " + x.name + " does not answer after 30 s");
}

void bench_nodes::wait_for_end(member& x) {
  if (x.pid <= 0)
    return;
  auto deadline = steady_now_ms() + stop_patience_ms;
  while (steady_now_ms() < deadline) {
    if (::waitpid(x.pid, nullptr, WNOHANG) == x.pid) {
      x.pid = -1;
      return;
    }
    pause_ms(look_again_ms);
  }
  ::kill(x.pid, SIGKILL);
  ::waitpid(x.pid, nullptr, 0);
  x.pid = -1;
}

expected<node_usage> bench_nodes::usage(size_t node) const {
  auto& x = nodes_[node];
  if (x.pid <= 0)
    return node_usage{};
  auto folder = "/proc/" + std::to_string(x.pid);
  auto stat = read_text(folder + "/stat");
  auto status = read_text(folder + "/status");
  auto metrics = fetch_metrics(x.endpoint, query_timeout_ms);
  if (!stat)
    return std::move(stat.error());
  if (!status)
    return std::move(status.error());
  if (!metrics)
    return std::move(metrics.error());
  node_usage result;
  result.cpu_us = cpu_us_of(*stat);
  result.rss_bytes = status_bytes(*status, "VmRSS");
  result.rss_anonymous_bytes = status_bytes(*status, "RssAnon");
  result.syncs = metric(*metrics, "rvi_store_syncs_total");
  return result;
}

} // namespace rvi
