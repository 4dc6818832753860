// SPDX-License-Identifier: MPL-2.0
//
// `rvi call` waits for an rpc's reply; `rvi send` leaves a message with the node.

#include "actors/edge/service_proof.hpp"
#include "messages/name.hpp"
#include "messages/transaction_id.hpp"
#include "runtime/crypto/jws.hpp"
#include "tools/client.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/text_files.hpp"
#include "tools/times.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

namespace rvi {

namespace {

constexpr uint64_t answer_margin_ms = 5'000; // the node reports a timeout itself

struct call_options {
  node_options node;
  std::string target;
  std::string arguments = "{}";
  std::string timeout = "30s";
  std::string from;
  int priority = 4;
  std::string channel;
  std::string durability = "full";
  std::string data_class;
  std::string user; // on whose behalf; empty: nobody's, or as the node's rules say
  std::string role;
  std::string authenticated; // how long ago
  std::string method;
  uint64_t service_id = 0; // the requesting service's own; 0: none
  std::string service_key; // the requesting service's own, a file; empty: none
  uint64_t expires_s = 0;  // instead of `timeout`, so that a retry says the same; 0: none
  bool report = false;     // of a message: wait for its outcome
  output_format format;
  bool rpc = true;
  const char* name() const { return rpc ? "call" : "send"; }
};

/// One invocation's way through a node.
class invocation_client {
public:
  explicit invocation_client(call_options options) : options_(std::move(options)) {}
  int run();

private:
  int check_arguments();
  int invoke(node_client& client);
  caf::error take_name(node_client& client);
  expected<std::string> signature(node_client& client, uint64_t expires_ms) const;
  expected<bool> held_already(node_client& client);
  int print_reply(json::value outcome) const;
  bool waits() const { return options_.rpc || options_.report; }

  call_options options_;
  std::string target_;
  std::string arguments_;
  uint64_t timeout_ms_ = 0;
  uint64_t expires_ms_ = 0; // 0: `timeout_ms_` from now
  uint64_t authenticated_ms_ = 0;
  std::string name_;
  std::string full_name_; // as the node has it, of a service with a name of its own
  std::optional<crypto::private_key> key_;
  bool registered_ = false;
};

int invocation_client::check_arguments() {
  auto me = options_.name();
  auto target = normalise_name(options_.target);
  if (!target)
    return fail_usage(me, options_.target + ": " + detail_of(target.error()));
  auto type = type_of(*target);
  auto wanted = options_.rpc ? name_type::rpc : name_type::message;
  if (type && *type != wanted)
    return fail_usage(me, *target + " is no " + to_string(wanted) + ": name; use rvi "
                            + (options_.rpc ? "send" : "call"));
  target_ = type ? *target : std::string{to_string(wanted)} + ":" + *target;
  if (options_.timeout.empty()) // as long as it may live
    options_.timeout = options_.durability == "none" ? "1m" : "1d";
  auto timeout = parse_duration_ms(options_.timeout);
  if (!timeout)
    return fail_usage(me, "--timeout: " + detail_of(timeout.error()));
  timeout_ms_ = *timeout;
  if (options_.expires_s != 0) {
    auto now = wall_now_ms();
    expires_ms_ = options_.expires_s * 1'000;
    timeout_ms_ = expires_ms_ > now ? expires_ms_ - now : 0;
  }
  if (options_.user.empty() && !(options_.role + options_.authenticated + options_.method).empty())
    return fail_usage(me, "--role, --authenticated and --method go with --user");
  if (!options_.authenticated.empty()) {
    auto ago = parse_duration_ms(options_.authenticated);
    if (!ago)
      return fail_usage(me, "--authenticated: " + detail_of(ago.error()));
    authenticated_ms_ = wall_now_ms() - *ago;
  }
  arguments_ = options_.arguments;
  if (arguments_ == "-") {
    auto text = read_text("-");
    if (!text)
      return fail(me, text.error());
    arguments_ = trimmed_end(std::move(*text));
  }
  auto document = json::parse(arguments_, {text_file_bytes_max, 64, 1'000'000});
  if (!document)
    return fail_usage(me, "the arguments are no JSON: " + detail_of(document.error()));
  return exit_done;
}

int invocation_client::run() {
  if (auto code = check_arguments())
    return code;
  if (!options_.service_key.empty()) {
    auto key = crypto::load_private_key(options_.service_key);
    if (!key)
      return fail(options_.name(), key.error());
    key_ = std::move(*key);
  }
  auto client = connect_node(options_.node);
  if (!client)
    return fail_with_advice(options_.name(), client.error(), options_.node);
  auto result = invoke(*client);
  if (registered_) {
    json::writer params;
    params.begin_object().member("service", name_).end_object();
    (void)client->call("unregister_service", params.take()); // the connection's end does it too
  }
  client->close();
  return result;
}

/// Whether a service already has the name given with --from; then it stays with it.
expected<bool> invocation_client::held_already(node_client& client) {
  auto address = client.call("get_node_address", "{}");
  if (!address)
    return std::move(address.error());
  auto services = client.call("get_available_services", "{}");
  if (!services)
    return std::move(services.error());
  auto node = text_of(address->result["node_address"]);
  for (auto x : services->result["services"].items()) {
    auto full = text_of(x);
    if (is_below(full, node) && (full == name_ || full.ends_with("/" + name_))) {
      full_name_ = full;
      return true;
    }
  }
  return false;
}

caf::error invocation_client::take_name(node_client& client) {
  name_ = options_.from;
  if (name_.empty()) {
    name_ = "cli/" + std::to_string(::getpid());
  } else {
    auto held = held_already(client);
    if (!held)
      return std::move(held.error());
    if (*held)
      return {};
  }
  json::writer params;
  params.begin_object().member("service", name_);
  if (key_)
    params.key("public_key").raw(key_->public_part().jwk());
  params.end_object();
  auto answer = client.call("register_service", params.take());
  if (!answer)
    return std::move(answer.error());
  registered_ = true;
  full_name_ = text_of(answer->result["service"]);
  if (key_ && options_.service_id == 0)
    options_.service_id = answer->result["service_transaction_id"].as_uint().value_or(0) + 1;
  return {};
}

/// HLD 12.1: what the service's key says of this request.
expected<std::string> invocation_client::signature(node_client& client, uint64_t expires_ms) const {
  auto address = client.call("get_node_address", "{}");
  if (!address)
    return std::move(address.error());
  invoke_call x;
  x.service_transaction_id = options_.service_id;
  x.target = target_;
  x.timeout_ms = expires_ms;
  x.arguments = arguments_;
  if (!options_.user.empty())
    x.user = named_user{options_.user, options_.role, authenticated_ms_, options_.method};
  return crypto::sign_jws(
    *key_, service_proof_type, to_string(key_->public_part().uid()),
    service_proof_claims(x, full_name_, text_of(address->result["node_address"])));
}

int invocation_client::invoke(node_client& client) {
  auto me = options_.name();
  if (auto error = take_name(client))
    return fail_with_advice(me, error, options_.node);
  auto expires_ms = expires_ms_ != 0 ? expires_ms_ : wall_now_ms() + timeout_ms_;
  json::writer params;
  params.begin_object()
    .member("timeout", expires_ms)
    .member("requesting_service", name_)
    .member("target", target_)
    .member("priority", uint64_t(options_.priority));
  if (!options_.channel.empty())
    params.member("channel", options_.channel);
  if (options_.durability != "full")
    params.member("durability", options_.durability);
  if (!options_.data_class.empty())
    params.member("data_class", options_.data_class);
  if (!options_.user.empty()) {
    params.key("on_behalf_of").begin_object().member("user", options_.user);
    if (!options_.role.empty())
      params.member("role", options_.role);
    if (authenticated_ms_ != 0)
      params.member("authenticated", authenticated_ms_);
    if (!options_.method.empty())
      params.member("method", options_.method);
    params.end_object();
  }
  if (options_.service_id != 0)
    params.member("service_transaction_id", options_.service_id);
  if (key_) {
    auto text = signature(client, expires_ms);
    if (!text)
      return fail_with_advice(me, text.error(), options_.node);
    params.member("service_signature", *text);
  }
  if (options_.report)
    params.member("delivery_report", true);
  if (waits())
    params.member("synch", true);
  params.key("arguments").raw(arguments_).end_object();
  auto patience = waits() ? timeout_ms_ + answer_margin_ms : call_timeout_ms;
  auto answer = client.call("invoke", params.take(), patience);
  if (!answer)
    return fail_with_advice(me, answer.error(), options_.node);
  if (waits())
    return print_reply(answer->result);
  print_line(options_.format.json() ? std::string{answer->result.raw()}
                                    : text_of(answer->result["transaction_id"]));
  return exit_done;
}

/// The outcome: its arguments to standard output, everything else to standard error.
int invocation_client::print_reply(json::value outcome) const {
  auto status = text_of(outcome["status"]);
  if (options_.format.json())
    print_line(outcome.raw());
  if (status == "ok") {
    if (!options_.format.json() && outcome["arguments"])
      print_line(outcome["arguments"].raw());
    else if (!outcome["arguments"]) // asked again under a service_transaction_id
      std::fputs("rvi call: it was answered before, and the reply told then\n", stderr);
    return exit_done;
  }
  auto id = text_of(outcome["transaction_id"]);
  auto seen = "What happened: rvi trace " + id;
  if (status == "timeout") {
    auto unknown = text_of(outcome["dispatched"]) == "unknown";
    auto detail = "no reply from " + target_ + " within " + std::to_string(timeout_ms_) + " ms; "
                  + (unknown ? "it may have run" : "it was not handed to the service");
    return fail(options_.name(), caf::make_error(ec::timeout, detail),
                advice_for(ec::timeout) + "\n" + seen);
  }
  if (status == "outcome_unknown")
    return fail(options_.name(), caf::make_error(ec::outcome_unknown, target_),
                advice_for(ec::outcome_unknown) + "\n" + seen);
  auto error = outcome["error"];
  auto named = error["data"]["code"] ? error["data"]["code"] : error["code"];
  auto code = code_named(named.as_string().value_or("refused"));
  auto message = error["message"] ? text_of(error["message"]) : std::string{error.raw()};
  auto advice = advice_for(code);
  std::string who = status == "refused" ? " was refused: " : " answered an error: ";
  return fail(options_.name(),
              caf::make_error(code == ec::internal ? ec::refused : code, target_ + who + message),
              advice.empty() ? seen : advice + "\n" + seen);
}

void add_invocation(CLI::App& app, command& chosen, bool rpc) {
  auto x = std::make_shared<call_options>();
  x->rpc = rpc;
  if (!rpc)
    x->timeout.clear();
  auto sub = rpc ? app.add_subcommand("call", "Call a service and print its reply")
                 : app.add_subcommand("send", "Leave a message for a service with the node and "
                                              "print its transaction id");
  sub
    ->add_option("TARGET", x->target,
                 rpc ? "such as jlr.com/vin/1234/services/lock; rpc: may be left out"
                     : "such as jlr.com/vin/1234/services/inbox; message: may be left out")
    ->required();
  sub->add_option("JSON", x->arguments, "the arguments; - reads standard input")
    ->capture_default_str();
  sub
    ->add_option("--timeout", x->timeout,
                 rpc ? "how long to wait: 500ms, 30s, 2m"
                     : "how long it may wait for its way; default: 1d, with --durability none 1m")
    ->capture_default_str();
  sub->add_option("--from", x->from, "the requesting service's name; default: cli/PID");
  sub->add_option("--priority", x->priority, "0 (first) to 7")
    ->check(CLI::Range(0, 7))
    ->capture_default_str();
  sub->add_option("--channel", x->channel,
                  "requests of one name and channel run in their order; at most 128 bytes");
  sub
    ->add_option("--durability", x->durability,
                 "full: on disk before it is accepted; none: in memory only, 60 s at most, for "
                 "services that take such requests")
    ->check(CLI::IsMember({"full", "none"}))
    ->capture_default_str();
  sub->add_option("--data-class", x->data_class,
                  "which links may carry it; ASCII, at most 128 bytes");
  sub->add_option("--user", x->user, "the user it is asked for, if the node's rules allow that");
  sub->add_option("--role", x->role, "in which role");
  sub->add_option("--authenticated", x->authenticated, "how long ago the user proved it: 30s, 5m");
  sub->add_option("--method", x->method, "and how, such as pin");
  auto from = sub->get_option("--from");
  sub
    ->add_option("--service-transaction-id", x->service_id,
                 "the requesting service's own id, higher than its last: asked again with the same "
                 "id and --expires, it is still one request")
    ->check(CLI::PositiveNumber)
    ->needs(from);
  sub
    ->add_option(
      "--service-key", x->service_key,
      "the requesting service's private key: registers it with its public part and signs "
      "the request; its next service_transaction_id unless one is given")
    ->needs(from);
  sub->add_option("--expires", x->expires_s, "instead of --timeout: until when, in Unix seconds")
    ->check(CLI::PositiveNumber);
  if (!rpc)
    sub->add_flag("--report", x->report,
                  "wait until a service has it, or until it is known why "
                  "not");
  x->node.add_to(*sub);
  x->format.add_to(*sub);
  sub->callback([x, &chosen] { chosen = [x] { return invocation_client{*x}.run(); }; });
}

} // namespace

void add_call_commands(CLI::App& app, command& chosen) {
  add_invocation(app, chosen, true);
  add_invocation(app, chosen, false);
}

} // namespace rvi
