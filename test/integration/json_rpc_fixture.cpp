// SPDX-License-Identifier: MPL-2.0

#include "integration/json_rpc_fixture.hpp"

#include "runtime/observe/log.hpp"

#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <filesystem>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace rvi::test {

namespace {

struct echo_state {
  static constexpr const char* name = "echo-edge";
  explicit echo_state(service_edge_actor::pointer) {}
  json_rpc_actor server;
  record_ptr seen;
};

/// `hold` is never answered; everything else gets an answer of its kind.
std::optional<call_result> answer_to(const service_call& x) {
  call_result result{x.client, x.token, {}, 0, done_result{}};
  if (auto invoke = std::get_if<invoke_call>(&x.request)) {
    if (invoke->target == "hold")
      return std::nullopt;
    if (invoke->target == "busy") {
      result.error = caf::make_error(ec::busy, "full");
      result.retry_after_ms = 70;
    }
    result.answer = json_result{invoke->arguments};
    transaction_id id;
    id.seq = 9;
    if (invoke->synch)
      result.answer = outcome_notice{id, {}, invoke->target, "ok", {}, invoke->arguments, {}};
    else if (invoke->target == "accept")
      result.answer = accepted_result{id, invoke->service_transaction_id.has_value()};
  } else if (auto registration = std::get_if<register_service_call>(&x.request)) {
    result.answer = registered_result{registration->service};
  } else if (std::holds_alternative<get_available_services_call>(x.request)) {
    result.answer = names_result{{x.principal.name}};
  } else if (std::holds_alternative<administration_call>(x.request)) {
    result.answer = json_result{x.principal.administrator ? "true" : "false"};
  }
  return result;
}

service_edge_actor::behavior_type
echo_edge(service_edge_actor::stateful_pointer<echo_state> self, const record_ptr& seen) {
  auto& state = self->state;
  state.seen = seen;
  auto note = [&state](auto change) {
    std::lock_guard guard{state.seen->mutex};
    change(*state.seen);
    state.seen->changed.notify_all();
  };
  return {
    [self, &state, note](atom::call, std::vector<service_call>& calls) {
      std::vector<call_result> results;
      for (auto& x : calls)
        if (auto result = answer_to(x))
          results.push_back(std::move(*result));
      note([&calls](record& r) { r.messages.push_back(std::move(calls)); });
      self->send(state.server, atom::respond_v, std::move(results));
    },
    [note](atom::receipt, std::vector<receipt>& x) {
      note([&x](record& r) { r.receipts.insert(r.receipts.end(), x.begin(), x.end()); });
    },
    [note](atom::closed, client_id x) { note([x](record& r) { r.closed.push_back(x); }); },
    [](atom::invoke, const batch&) {},
    [](atom::outcome, const std::vector<outcome_notice>&) {},
    [](atom::reply, const batch&) {},
    [&state](atom::attach, json_rpc_actor& server) { state.server = std::move(server); },
    [](atom::attach, const data_link_actor&) {},
    [](atom::attach, const std::string&, const node_service_actor&) { return atom::done_v; },
    [](atom::available, const availability_event&) {},
    [note](atom::available, client_id x) { note([x](record& r) { r.rooms.push_back(x); }); },
    [note](atom::credit, client_id x) { note([x](record& r) { r.takes_again.push_back(x); }); },
    [](atom::tick) {},
  };
}

socket_fd connected(int family, const void* address, socklen_t size) {
  socket_fd fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  REQUIRE(::connect(fd.get(), static_cast<const sockaddr*>(address), size) == 0);
  return fd;
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

} // namespace

client_socket client_socket::tcp(uint16_t port) {
  auto address = loopback(port);
  client_socket result;
  result.fd_ = connected(AF_INET, &address, sizeof address);
  return result;
}

client_socket client_socket::local(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  client_socket result;
  result.fd_ = connected(AF_UNIX, &address, sizeof address);
  return result;
}

client_socket client_socket::listening(uint16_t& port) {
  auto address = loopback(port);
  client_socket result;
  result.fd_ = socket_fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  socklen_t size = sizeof address;
  auto generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(result.fd_.get(), generic, size) == 0);
  REQUIRE(::listen(result.fd_.get(), 16) == 0);
  REQUIRE(::getsockname(result.fd_.get(), generic, &size) == 0);
  port = ntohs(address.sin_port);
  return result;
}

client_socket client_socket::accept() {
  REQUIRE(readable(patience));
  client_socket result;
  result.fd_ = socket_fd{::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
  REQUIRE(result.fd_);
  return result;
}

bool client_socket::readable(std::chrono::milliseconds time) {
  pollfd x{fd_.get(), POLLIN, 0};
  return ::poll(&x, 1, int(time.count())) == 1;
}

void client_socket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    pollfd x{fd_.get(), POLLOUT, 0};
    REQUIRE(::poll(&x, 1, int(patience.count())) == 1);
    auto n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0)
      return; // the test looks at what comes back
    bytes.remove_prefix(size_t(n));
  }
}

std::string client_socket::receive() {
  REQUIRE(readable(patience));
  std::string buffer(64 << 10, '\0');
  auto n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  buffer.resize(n > 0 ? size_t(n) : 0);
  return buffer;
}

bool client_socket::ends() {
  auto deadline = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < deadline)
    if (readable(patience) && receive().empty())
      return true;
  return false;
}

http::response http_client::read() {
  for (;;) {
    if (auto x = codec.next())
      return std::move(*x);
    REQUIRE(!codec.failure());
    auto bytes = on.receive();
    if (bytes.empty())
      codec.transport_closed();
    else
      codec.receive(bytes);
  }
}

http::response http_client::post(std::string_view body, const http::header_list& headers) {
  on.send(http::client_connection::encode_request("POST", "/", "localhost", headers, body));
  return read();
}

caf::error websocket::open(const std::string& host, const http::header_list& headers) {
  on.send(codec.handshake(host, "/", headers));
  for (;;) {
    if (auto x = codec.next(); x && std::holds_alternative<http::opened>(*x))
      return {};
    if (codec.failure())
      return codec.failure();
    auto bytes = on.receive();
    REQUIRE(!bytes.empty());
    codec.receive(bytes);
  }
}

void websocket::send(std::string_view text) {
  codec.send_text(text);
  on.send(codec.take_output());
}

std::string websocket::read() {
  for (;;) {
    if (auto x = codec.next()) {
      auto text = std::get_if<http::text_message>(&*x);
      return text ? text->text : "closed: " + std::get<http::closed>(*x).reason;
    }
    on.send(codec.take_output()); // pongs
    auto bytes = on.receive();
    if (bytes.empty())
      return "closed";
    codec.receive(bytes);
  }
}

bool record::wait(const std::function<bool()>& condition, std::chrono::milliseconds time) {
  std::unique_lock guard{mutex};
  return changed.wait_for(guard, time, condition);
}

size_t record::calls() const {
  size_t result = 0;
  for (auto& x : messages)
    result += x.size();
  return result;
}

json_rpc_fixture::json_rpc_fixture() {
  std::string pattern = "/tmp/rvi-json-rpc-XXXXXX";
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  folder = pattern;
  log::configure(log::level::error, log::format::text);
  config.load<caf::io::middleman>();
  config.add_message_types<caf::id_block::rvi>();
  config.add_error_category(caf::atom("rvi"), render);
  config.set("scheduler.max-threads", size_t{2});
  config.set("work-stealing.moderate-poll-attempts", size_t{0});
  config.set("logger.verbosity", caf::atom("quiet"));
  system = std::make_unique<caf::actor_system>(config);
  edge = system->spawn(echo_edge, seen);
}

json_rpc_fixture::~json_rpc_fixture() {
  if (server.actor)
    caf::anon_send_exit(server.actor, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(edge, caf::exit_reason::user_shutdown);
  server.actor = nullptr;
  edge = nullptr;
  system.reset();
  std::filesystem::remove_all(folder);
}

void json_rpc_fixture::start(const std::function<void(json_rpc_config&)>& change) {
  json_rpc_config x;
  x.port = 0;
  x.edge = edge;
  x.access.tokens
    = {{"test", crypto::sha256("secret"), false}, {"admin", crypto::sha256("more secret"), true}};
  if (change)
    change(x);
  auto started = start_json_rpc(*system, x);
  REQUIRE(started);
  server = *started;
  caf::scoped_actor self{*system};
  self->send(edge, atom::attach_v, server.actor);
}

http_client json_rpc_fixture::http() {
  return {client_socket::tcp(server.port), http::client_connection{}};
}

http::header_list json_rpc_fixture::headers() const {
  return {{"Authorization", "Bearer secret"}, {"Content-Type", "application/json"}};
}

websocket json_rpc_fixture::open_websocket() {
  websocket result{client_socket::tcp(server.port), http::websocket_client{}};
  REQUIRE(!result.open(host(), {{"Authorization", "Bearer secret"}}));
  return result;
}

client_id json_rpc_fixture::register_service(websocket& on, const std::string& name) {
  on.send(call_text("1", "register_service", R"({"service":")" + name + "\"}"));
  REQUIRE(on.read()
          == R"({"jsonrpc":"2.0","id":1,"result":{"status":"ok","service":")" + name + "\"}}");
  std::lock_guard guard{seen->mutex};
  return seen->messages.back().back().client;
}

void json_rpc_fixture::invoke(client_id client, uint64_t number, const std::string& arguments,
                              const std::string& address) {
  std::vector<invocation> list{{client, address, make_request(number, arguments)}};
  caf::anon_send(server.actor, atom::invoke_v, std::move(list));
}

envelope_ptr make_request(uint64_t number, const std::string& arguments) {
  auto x = std::make_shared<envelope>();
  x->header.id.seq = number;
  x->header.source = "a.org/n1/services/caller";
  x->header.target = "rpc:a.org/n2/services/lock";
  x->header.expires_ms = 1'700'000'000'000;
  x->arguments = arguments;
  return x;
}

std::string call_text(std::string_view id, std::string_view method, std::string_view params) {
  return R"({"jsonrpc":"2.0","id":)" + std::string(id) + R"(,"method":")" + std::string(method)
         + R"(","params":)" + std::string(params) + "}";
}

} // namespace rvi::test
