// SPDX-License-Identifier: MPL-2.0
//
// Forks and executes nodes, and ends only those.

#include "test/integration/node_process.hpp"

#include "test/integration/node_client.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <random>
#include <sstream>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace rvi::test {

namespace fs = std::filesystem;

namespace {

constexpr milliseconds exit_poll{5};
constexpr size_t log_tail_bytes = 4'000;

/// Becomes `rvi` with these arguments; ends with the test, however the test ends.
[[noreturn]] void become_rvi(std::vector<std::string> arguments, const std::string& log_file) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  int log = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  auto program = rvi_program();
  std::vector<char*> words{program.data()};
  for (auto& x : arguments)
    words.push_back(x.data());
  words.push_back(nullptr);
  ::execv(program.c_str(), words.data());
  std::string why = program + ": " + std::strerror(errno) + "\n";
  (void)!::write(STDERR_FILENO, why.data(), why.size());
  ::_exit(127);
}

std::string quoted_list(const std::vector<std::string>& xs) {
  std::string result = "[";
  for (auto& x : xs)
    result += (result.size() > 1 ? ", \"" : "\"") + x + "\"";
  return result + "]";
}

std::string content_of(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

} // namespace

std::string rvi_program() {
  auto path = std::getenv("RVI");
  return path ? path : "";
}

uint64_t wall_ms() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(now).count());
}

uint16_t free_port() {
  // Not one of those that the kernel gives to connections: while its node is down, one that
  // somebody opens, perhaps to this very port, would take it away.
  static std::mt19937 random{std::random_device{}()};
  std::uniform_int_distribution<uint16_t> any{10'000, 32'000};
  for (;;) {
    auto port = any(random);
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    auto bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    auto why = errno;
    ::close(fd);
    if (bound == 0)
      return port;
    REQUIRE(why == EADDRINUSE);
  }
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out{path, std::ios::binary | std::ios::trunc};
  out << text;
  out.close();
  REQUIRE_MESSAGE(out, path);
}

node_world::node_world() {
  std::string pattern = "/tmp/rvi-node-XXXXXX";
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  folder = pattern;
  write_file(folder + "/anchor.json", provisioning.anchor());
}

node_world::~node_world() {
  std::error_code ignored;
  if (!std::getenv("RVI_KEEP"))
    fs::remove_all(folder, ignored);
}

void signer_process::start() {
  REQUIRE(pid_ == -1);
  pid_ = ::fork();
  REQUIRE(pid_ >= 0);
  if (pid_ != 0)
    return;
  std::vector<std::string> arguments{"signer", "--key", key_};
  if (!user.empty())
    arguments.insert(arguments.end(), {"--user", user});
  if (passed_fd < 0) {
    arguments.insert(arguments.end(), {"--socket", socket_});
  } else {
    ::dup2(passed_fd, 3); // sd_listen_fds(3)
    ::fcntl(3, F_SETFD, 0);
    ::setenv("LISTEN_FDS", "1", 1);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  }
  become_rvi(std::move(arguments), socket_ + ".log");
}

void signer_process::kill() {
  if (pid_ == -1)
    return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int signer_process::terminate() {
  REQUIRE(::kill(pid_, SIGTERM) == 0);
  return wait_exit();
}

int signer_process::wait_exit() {
  int status = 0;
  REQUIRE(::waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string signer_process::log() const {
  return content_of(socket_ + ".log");
}

node_process::node_process(node_world& world, const std::string& directory, node_settings x)
  : settings(std::move(x)),
    key(settings.key ? settings.key : *crypto::private_key::generate(crypto::algorithm::ed25519)),
    world_(world),
    directory_(world.folder + "/" + directory) {
  REQUIRE(fs::create_directories(directory_ + "/credentials"));
  if (settings.key_place.empty())
    REQUIRE(!crypto::save_private_key(path("node.key"), key));
  REQUIRE(!crypto::save_secret_file(path("token"), "a token of 24 characters"));
  write_config();
  auto& root = world.provisioning;
  credential = root.issue(
    root.claims(key.public_part(), {settings.name}, settings.destinations, wall_ms() / 1'000));
  REQUIRE(credential);
  if (settings.credential)
    write_credential("node.jwt", credential);
}

node_process::~node_process() {
  kill();
}

void node_process::write_config(const std::string& more) {
  auto& x = settings;
  std::string text = "[node]\nname = \"" + x.name + "\"\nrole = \"" + x.role
                     + "\"\nservice_infix = \"" + x.infix + "\"\n" + x.key_place;
  auto anchors = x.anchors;
  anchors.push_back(world_.folder + "/anchor.json");
  text += "[trust]\nanchors = " + quoted_list(anchors) + "\n";
  text += "[api]\n" + x.api;
  text += "[links.tls]\n";
  if (x.tls_port != 0)
    text += "address = \"127.0.0.1\"\nport = " + std::to_string(x.tls_port) + "\n";
  else
    text += "address = \"\"\n";
  text += x.backoff + x.links;
  if (!x.store.empty())
    text += "[store]\n" + x.store;
  if (!x.limits.empty())
    text += "[limits]\n" + x.limits;
  if (x.route_to != 0)
    text += "[[routes]]\npattern = \"+:jlr.com/cloud/#\"\naddresses = [\"127.0.0.1:"
            + std::to_string(x.route_to) + "\"]\n";
  write_file(path("rvi.toml"), text + more);
}

void node_process::write_credential(const std::string& file, const credential_ptr& x) {
  REQUIRE(x);
  write_file(path("credentials/" + file), x->text + "\n");
}

void node_process::launch() {
  REQUIRE(pid_ == -1);
  auto config = path("rvi.toml");
  auto log_file = path("log");
  pid_ = ::fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0)
    become_rvi({"node", "--config", config}, log_file);
}

void node_process::start() {
  launch();
  service_client probe{socket()};
  auto deadline = std::chrono::steady_clock::now() + node_patience;
  while (!probe.connect()) {
    REQUIRE_MESSAGE(running(), log_tail());
    REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, log_tail());
    std::this_thread::sleep_for(exit_poll);
  }
}

uint64_t node_process::anonymous_bytes() const {
  std::ifstream in{"/proc/" + std::to_string(pid_) + "/status"};
  std::string line;
  while (std::getline(in, line))
    if (line.starts_with("RssAnon:"))
      return std::strtoull(line.c_str() + 8, nullptr, 10) << 10;
  return 0;
}

bool node_process::running() {
  return pid_ != -1 && !wait_exit(milliseconds{0});
}

void node_process::kill() {
  if (pid_ == -1)
    return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void node_process::signal(int number) {
  REQUIRE(pid_ != -1);
  REQUIRE(::kill(pid_, number) == 0);
}

std::optional<int> node_process::wait_exit(milliseconds time) {
  auto deadline = std::chrono::steady_clock::now() + time;
  while (pid_ != -1) {
    int status = 0;
    auto ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == pid_) {
      pid_ = -1;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (std::chrono::steady_clock::now() >= deadline)
      return std::nullopt;
    std::this_thread::sleep_for(exit_poll);
  }
  return std::nullopt;
}

std::optional<int> node_process::terminate(milliseconds time) {
  signal(SIGTERM);
  return wait_exit(time);
}

int node_process::exit_code_of_start() {
  launch();
  auto result = wait_exit(node_patience);
  if (!result)
    kill();
  return result.value_or(-1);
}

std::string node_process::log() const {
  return content_of(path("log"));
}

std::string node_process::log_tail() const {
  auto text = log();
  return text.size() > log_tail_bytes ? text.substr(text.size() - log_tail_bytes) : text;
}

ran run_rvi(const std::string& arguments) {
  auto pipe = ::popen((rvi_program() + " " + arguments + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  ran result;
  char buffer[4'096];
  for (size_t n = 0; (n = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    result.output.append(buffer, n);
  auto status = ::pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

two_nodes::two_nodes()
  : vehicle(world, "vehicle", vehicle_settings()),
    cloud(world, "cloud", cloud_settings()) {}

node_settings two_nodes::vehicle_settings() const {
  node_settings x;
  x.name = "jlr.com/vin/1234";
  x.destinations = {"jlr.com/cloud/media_server"};
  x.route_to = cloud_port;
  return x;
}

node_settings two_nodes::cloud_settings() const {
  node_settings x;
  x.name = "jlr.com/cloud";
  x.role = "cloud";
  x.infix = "";
  x.destinations = {"jlr.com/vin/+/services"};
  x.tls_port = cloud_port;
  return x;
}

} // namespace rvi::test
