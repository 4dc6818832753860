// SPDX-License-Identifier: MPL-2.0

#include "messages/wire/service_frame.hpp"

#include "messages/transaction_id.hpp"
#include "messages/wire/scan.hpp"
#include "messages/wire/service_limits.hpp"
#include "rvi.pb.h"

namespace rvi::service_frame {

namespace {

using namespace service_limits;
using wire::ServiceFrame;

caf::error malformed(std::string why) {
  return caf::make_error(ec::malformed, std::move(why));
}

caf::error bad_request(std::string why) {
  return caf::make_error(ec::bad_request, std::move(why));
}

// -- reading --------------------------------------------------------------------------------------

bool has_fields_up_to(std::string_view bytes, uint32_t last) {
  wire::field_scanner scanner{bytes};
  while (auto x = scanner.next())
    if (x->number > last)
      return false;
  return !scanner.failed();
}

/// What this version does not know is refused, as in a text, instead of passed over: a request is
/// done as it was meant or not at all.
bool has_known_fields(std::string_view bytes) {
  wire::field_scanner scanner{bytes};
  while (auto x = scanner.next()) {
    if (x->number == ServiceFrame::kInvoke) {
      wire::field_scanner invoke{x->content};
      while (auto y = invoke.next())
        if (y->number > wire::Invoke::kServiceSignatureFieldNumber
            || (y->number == wire::Invoke::kOnBehalfOfFieldNumber
                && !has_fields_up_to(y->content, wire::NamedUser::kMethodFieldNumber)))
          return false;
      if (invoke.failed())
        return false;
    } else if (x->number > ServiceFrame::kRefused
               || (x->number == ServiceFrame::kReply
                   && !has_fields_up_to(x->content, wire::Reply::kServiceSignatureFieldNumber))
               || (x->number == ServiceFrame::kPublish
                   && !has_fields_up_to(x->content, wire::Publish::kRetainFieldNumber))) {
      return false;
    }
  }
  return !scanner.failed();
}

/// The members of one message. The first error stays.
class fields {
public:
  std::string text(std::string&& x, const char* name, size_t bytes_max = text_bytes_max) {
    if (x.size() > bytes_max)
      fail(std::string{name} + " is longer than " + std::to_string(bytes_max) + " bytes");
    return std::move(x);
  }

  std::string required(std::string&& x, const char* name) {
    if (x.empty())
      fail(std::string{"missing field "} + name);
    return text(std::move(x), name);
  }

  /// Unix time in milliseconds, of one in milliseconds or seconds.
  uint64_t time(uint64_t x, const char* name) {
    if (x > milliseconds_max)
      fail(std::string{name} + " is no time");
    return x < seconds_below ? x * 1'000 : x;
  }

  /// One JSON value.
  std::string value(std::string&& x, const char* name) {
    if (!json_rpc::is_json(x))
      fail(std::string{name} + " must be one JSON value");
    return std::move(x);
  }

  transaction_id id(const std::string& x) {
    auto result = parse_transaction_id(x);
    if (!result) {
      fail("transaction_id must be 56 hex digits");
      return {};
    }
    return *result;
  }

  void fail(std::string detail) {
    if (!error_)
      error_ = bad_request(std::move(detail));
  }

  std::variant<service_request, caf::error> finish(service_request&& x) {
    if (error_)
      return std::move(error_);
    return std::move(x);
  }

private:
  caf::error error_;
};

named_user read_user(fields& in, wire::NamedUser& x) {
  named_user result;
  result.name = in.required(std::move(*x.mutable_user()), "user");
  result.role = in.text(std::move(*x.mutable_role()), "role", role_bytes_max);
  if (x.authenticated() != 0)
    result.authenticated_ms = in.time(x.authenticated(), "authenticated");
  result.method = in.text(std::move(*x.mutable_method()), "method", role_bytes_max);
  return result;
}

std::variant<service_request, caf::error>
read_invoke(wire::Invoke& x, uint64_t now_ms, const json_rpc::limits& bounds) {
  fields in;
  invoke_call result;
  result.timeout_given = x.timeout() != 0;
  result.timeout_ms
    = result.timeout_given ? in.time(x.timeout(), "timeout") : now_ms + bounds.timeout_ms;
  result.requesting_service
    = in.text(std::move(*x.mutable_requesting_service()), "requesting_service");
  result.target = in.required(std::move(*x.mutable_target()), "target");
  result.arguments
    = x.arguments().empty() ? "{}" : in.value(std::move(*x.mutable_arguments()), "arguments");
  result.synch = x.synch();
  if (x.has_priority() && x.priority() > priority_max)
    in.fail("priority must be a whole number from 0 to 7");
  if (x.has_priority())
    result.priority = x.priority();
  result.channel = in.text(std::move(*x.mutable_channel()), "channel", channel_bytes_max);
  if (x.durability() != wire::FULL && x.durability() != wire::NONE)
    in.fail("durability must be FULL or NONE");
  result.durability = x.durability() == wire::NONE ? durability::none : durability::full;
  result.data_class
    = in.text(std::move(*x.mutable_data_class()), "data_class", data_class_bytes_max);
  if (!is_data_class(result.data_class))
    in.fail("data_class must be printable ASCII");
  result.delivery_report = x.delivery_report();
  if (x.has_on_behalf_of())
    result.user = read_user(in, *x.mutable_on_behalf_of());
  if (x.service_transaction_id() != 0)
    result.service_transaction_id = x.service_transaction_id();
  result.service_signature
    = in.text(std::move(*x.mutable_service_signature()), "service_signature", signature_bytes_max);
  return in.finish(std::move(result));
}

std::variant<service_request, caf::error> read_reply(wire::Reply& x) {
  fields in;
  reply_call result;
  result.id = in.id(x.transaction_id());
  result.arguments
    = x.arguments().empty() ? "{}" : in.value(std::move(*x.mutable_arguments()), "arguments");
  if (!x.status().empty() || !x.target().empty() || !x.error().empty() || !x.dispatched().empty()
      || !x.service_signature().empty())
    in.fail("a service's reply has a transaction_id and arguments only");
  return in.finish(std::move(result));
}

std::variant<service_request, caf::error> read_publish(wire::Publish& x) {
  fields in;
  publish_call result;
  result.source = in.required(std::move(*x.mutable_source()), "source");
  result.target = in.required(std::move(*x.mutable_target()), "target");
  result.value = in.value(std::move(*x.mutable_value()), "value");
  result.timeout_ms = x.timeout() == 0 ? 0 : in.time(x.timeout(), "timeout");
  result.retain = x.retain();
  return in.finish(std::move(result));
}

/// As a service's JSON-RPC error would be.
std::string read_refusal(const wire::ServiceRefusal& x) {
  if (x.error().size() > error_bytes_max)
    return json_rpc::error_object(
      caf::make_error(ec::refused, std::string{"the service's error is too long"}));
  auto error = json::parse(x.error());
  if (error && error->root().is_object())
    return x.error();
  return json_rpc::error_object(
    caf::make_error(ec::refused, std::string{"the service refused it"}));
}

} // namespace

// -- the stream -----------------------------------------------------------------------------------

void stream::receive(std::string_view bytes) {
  if (closing_)
    return;
  if (!begun_) {
    auto taken = bytes.substr(0, preface.size() - first_.size());
    first_ += taken;
    bytes.remove_prefix(taken.size());
    begun_ = first_ == preface;
  }
  reader_.append(bytes);
}

expected<std::optional<std::string_view>> stream::next() {
  if (!preface.starts_with(first_))
    return caf::make_error(ec::protocol_mismatch, std::string{"another preface than ours"});
  if (!begun_ || closing_)
    return std::optional<std::string_view>{};
  return reader_.next();
}

void stream::take_output(std::vector<char>& out) {
  out.insert(out.end(), out_.begin(), out_.end());
  constexpr size_t kept_bytes_max = size_t{64} << 10;
  out_.clear();
  if (out_.capacity() > kept_bytes_max)
    out_.shrink_to_fit();
}

expected<received> decode(std::string_view bytes, uint64_t now_ms, const json_rpc::limits& bounds) {
  ServiceFrame frame;
  if (!has_known_fields(bytes) || !frame.ParseFromArray(bytes.data(), int(bytes.size())))
    return malformed("a frame that does not parse, or has a field that is not known here");
  switch (frame.content_case()) {
    case ServiceFrame::kHello:
      return received{hello{std::move(*frame.mutable_hello()->mutable_token())}};
    case ServiceFrame::kJson:
      return received{text{std::move(*frame.mutable_json())}};
    case ServiceFrame::kInvoke:
      return received{call{frame.id(), read_invoke(*frame.mutable_invoke(), now_ms, bounds)}};
    case ServiceFrame::kReply:
      return received{call{frame.id(), read_reply(*frame.mutable_reply())}};
    case ServiceFrame::kPublish:
      return received{call{frame.id(), read_publish(*frame.mutable_publish())}};
    case ServiceFrame::kTaken:
      return received{json_rpc::response{frame.id(), {}}};
    case ServiceFrame::kRefused:
      return received{json_rpc::response{frame.id(), read_refusal(frame.refused())}};
    default:
      return malformed("a frame that is not a service's");
  }
}

// -- writing --------------------------------------------------------------------------------------

namespace {

caf::error fill_outcome(wire::Reply& out, const outcome_notice& x) {
  if (!x.arguments.empty() && !json_rpc::is_json(x.arguments))
    return malformed("the reply is no JSON");
  out.set_transaction_id(to_string(x.id));
  out.set_status(x.status);
  out.set_target(x.target);
  out.set_arguments(x.arguments);
  if (!x.error.empty())
    out.set_error(json_rpc::foreign_error(x.error));
  out.set_dispatched(x.dispatched);
  out.set_service_signature(x.service_signature);
  return {};
}

/// Answers that have a frame of their own; the others come to calls that were texts.
struct answer_writer {
  ServiceFrame& out;

  caf::error operator()(const done_result&) {
    out.mutable_done();
    return {};
  }
  caf::error operator()(const accepted_result& x) {
    auto& answer = *out.mutable_invoked();
    answer.set_status("accepted");
    answer.set_transaction_id(to_string(x.id));
    answer.set_repeated(x.repeated);
    return {};
  }
  caf::error operator()(const outcome_notice& x) { return fill_outcome(*out.mutable_outcome(), x); }
  template <class Other>
  caf::error operator()(const Other&) {
    return caf::make_error(ec::internal, std::string{"an answer of another call"});
  }
};

} // namespace

void append(std::string& out, const ServiceFrame& x) {
  append_u32(out, uint32_t(x.ByteSizeLong()));
  x.AppendToString(&out);
}

void append_hello(std::string& out, std::string_view token) {
  ServiceFrame frame;
  frame.mutable_hello()->set_token(std::string{token});
  append(out, frame);
}

void append_json(std::string& out, std::string_view text) {
  ServiceFrame frame;
  frame.set_json(text.data(), text.size());
  append(out, frame);
}

void append_answer(std::string& out, uint64_t id, const service_answer& answer) {
  ServiceFrame frame;
  frame.set_id(id);
  if (auto error = std::visit(answer_writer{frame}, answer))
    append_error(out, id, error);
  else
    append(out, frame);
}

void append_error(std::string& out, uint64_t id, const caf::error& x, uint64_t retry_after_ms) {
  ServiceFrame frame;
  frame.set_id(id);
  auto& error = *frame.mutable_error();
  error.set_code(to_string(code_of(x)));
  error.set_message(detail_of(x));
  error.set_retry_after_ms(retry_after_ms);
  append(out, frame);
}

caf::error append_invocation(std::string& out, uint64_t id, const envelope& x,
                             std::string_view service_signature) {
  auto& header = x.header;
  if (auto error = json_rpc::check_arguments(x))
    return error;
  ServiceFrame frame;
  frame.set_id(id);
  auto& request = *frame.mutable_invocation();
  request.set_timeout(header.expires_ms);
  request.set_transaction_id(to_string(header.id));
  request.set_target(header.target);
  request.set_requesting_service(header.source);
  request.set_arguments(x.arguments);
  if (header.user) {
    auto& user = *request.mutable_on_behalf_of();
    user.set_user(crypto::hex(header.user->user));
    user.set_role(header.user->role);
    user.set_authenticated(header.user->authenticated_ms);
    user.set_method(header.user->method);
  }
  request.set_service_signature(service_signature.data(), service_signature.size());
  append(out, frame);
  return {};
}

caf::error append_ended(std::string& out, uint64_t id, const outcome_notice& x) {
  ServiceFrame frame;
  frame.set_id(id);
  if (auto error = fill_outcome(*frame.mutable_ended(), x))
    return error;
  append(out, frame);
  return {};
}

void append_metric(std::string& out, const metric_value& x) {
  ServiceFrame frame;
  auto& value = *frame.mutable_metric();
  value.set_target(x.topic);
  value.set_value(x.value);
  value.set_published_ms(x.published_ms);
  value.set_source(x.source);
  append(out, frame);
}

} // namespace rvi::service_frame
