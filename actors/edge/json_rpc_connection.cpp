// SPDX-License-Identifier: MPL-2.0
//
// Calls in, answers out: texts one by one and as JSON-RPC batches, and frames.

#include "actors/edge/json_rpc_connection.hpp"

#include <cassert>
#include <utility>

namespace rvi {

namespace {

constexpr std::string_view json_type = "application/json";

} // namespace

void service_connection::receive(std::string_view bytes) {
  if (!std::exchange(begun_, true) && bytes.starts_with(service_frame::preface[0]))
    frames.emplace(config_.http.message_bytes_max);
  if (frames)
    frames->receive(bytes);
  else
    codec.receive(bytes);
}

size_t service_connection::pending_output() const {
  return frames ? frames->pending_output() : codec.pending_output();
}

void service_connection::take_output(std::vector<char>& out) {
  if (frames)
    frames->take_output(out);
  else
    codec.take_output(out);
}

bool service_connection::wants_close() const {
  return frames ? frames->wants_close() : codec.wants_close();
}

void service_connection::accept_text(std::string_view text, uint64_t sequence, client_id client,
                                     uint64_t now_ms, text_effects& out) {
  auto texts = json_rpc::decode(text, now_ms, config_.text);
  text_context at{sequence, client, out};
  if (sequence != 0)
    http_clients_[client] = 0;
  if (texts.batch) {
    accept_batch(texts, text.size(), at);
  } else if (auto x = std::get_if<json_rpc::call>(&texts.elements[0])) {
    accept_single(*x, text.size(), at);
  } else if (sequence == 0) {
    accept_response(std::get<json_rpc::response>(texts.elements[0]), out);
  } else {
    scratch_.clear();
    json_rpc::append_error(
      scratch_, {},
      json_rpc::problem{json_rpc::invalid_request,
                        caf::make_error(ec::bad_request, "nothing was asked over HTTP")});
    send(sequence, scratch_);
  }
  auto i = http_clients_.find(client);
  if (i != http_clients_.end() && i->second == 0) {
    out.finished.push_back(client);
    http_clients_.erase(i);
  }
}

void service_connection::accept_single(json_rpc::call& x, size_t bytes, const text_context& at) {
  auto refused = open(x, bytes, none, 0, at);
  if (x.is_notification()) {
    if (at.sequence != 0)
      codec.respond(at.sequence, 204, {}, {});
  } else if (refused) {
    scratch_.clear();
    auto busy = code_of(refused->reason) == ec::busy;
    json_rpc::append_error(scratch_, x.id, *refused, busy ? config_.busy_retry_ms : 0);
    send(at.sequence, scratch_);
  }
}

void service_connection::accept_batch(json_rpc::decoded& texts, size_t bytes,
                                      const text_context& at) {
  auto group = ++last_group_;
  if (group == none)
    group = last_group_ = 1;
  groups_[group].sequence = at.sequence;
  auto bytes_each = bytes / texts.elements.size();
  for (auto& element : texts.elements) {
    auto x = std::get_if<json_rpc::call>(&element);
    if (!x) {
      if (at.sequence == 0)
        accept_response(std::get<json_rpc::response>(element), at.out);
      continue;
    }
    auto position = uint32_t(groups_[group].answers.size());
    auto refused = open(*x, bytes_each, group, position, at);
    if (x->is_notification())
      continue;
    auto& answers = groups_[group].answers;
    answers.emplace_back();
    if (refused) {
      auto busy = code_of(refused->reason) == ec::busy;
      json_rpc::append_error(answers.back(), x->id, *refused, busy ? config_.busy_retry_ms : 0);
    } else {
      ++groups_[group].open;
    }
  }
  if (groups_[group].open == 0)
    complete(group);
}

void service_connection::accept_frame(service_frame::received&& x, size_t bytes, client_id client,
                                      uint64_t now_ms, text_effects& out) {
  if (auto text = std::get_if<service_frame::text>(&x))
    accept_text(text->json, 0, client, now_ms, out);
  else if (auto call = std::get_if<service_frame::call>(&x))
    accept_call(*call, bytes, client, out);
  else if (auto response = std::get_if<json_rpc::response>(&x))
    accept_response(*response, out);
  else
    fail(caf::make_error(ec::bad_request, std::string{"a hello comes first, and once"}));
}

void service_connection::accept_call(service_frame::call& x, size_t bytes, client_id client,
                                     text_effects& out) {
  auto refused = std::get_if<caf::error>(&x.content);
  caf::error why;
  if (refused) {
    why = std::move(*refused);
  } else {
    open_call slot;
    slot.frame = x.id;
    slot.client = client;
    slot.bytes = bytes;
    why = open(std::move(std::get<service_request>(x.content)), std::move(slot), out);
  }
  if (why && x.id != 0)
    service_frame::append_error(frames->output(), x.id, why,
                                code_of(why) == ec::busy ? config_.busy_retry_ms : 0);
}

void service_connection::fail(const caf::error& why) {
  service_frame::append_error(frames->output(), 0, why);
  frames->close();
}

/// Hands a call on; or says why not.
std::optional<json_rpc::problem>
service_connection::open(json_rpc::call& x, size_t bytes, uint32_t group, uint32_t position,
                         const text_context& at) {
  if (auto refused = std::get_if<json_rpc::problem>(&x.content))
    return std::move(*refused);
  open_call slot;
  slot.id = x.id;
  slot.client = at.client;
  slot.sequence = at.sequence;
  slot.bytes = bytes;
  slot.group = x.is_notification() ? none : group;
  slot.position = position;
  auto why = open(std::move(std::get<service_request>(x.content)), std::move(slot), at.out);
  if (why)
    return json_rpc::problem{json_rpc::number_of(code_of(why)), std::move(why)};
  return std::nullopt;
}

/// The same, whatever it came in. Error: `busy`.
caf::error service_connection::open(service_request&& x, open_call slot, text_effects& out) {
  if (open_calls_ >= config_.calls_in_flight_max
      || (open_calls_ > 0 && open_bytes_ + slot.bytes > config_.call_bytes_in_flight_max))
    return caf::make_error(ec::busy, std::string{"too many calls wait for their answers"});
  if (free_.empty()) {
    free_.push_back(uint32_t(calls_.size()));
    calls_.emplace_back();
  }
  auto place = free_.back();
  free_.pop_back();
  slot.generation = calls_[place].generation;
  slot.used = true;
  ++open_calls_;
  open_bytes_ += slot.bytes;
  if (slot.sequence != 0)
    ++http_clients_[slot.client];
  auto& call = out.calls.emplace_back();
  call.client = slot.client;
  call.token = uint64_t{slot.generation} << 32 | place;
  call.deliverable = slot.sequence == 0;
  call.principal = who;
  call.request = std::move(x);
  calls_[place] = std::move(slot);
  return {};
}

void service_connection::answer(const call_result& result, text_effects& out) {
  auto place = uint32_t(result.token);
  if (place >= calls_.size())
    return;
  auto& slot = calls_[place];
  if (!slot.used || slot.generation != result.token >> 32 || slot.client != result.client)
    return;
  if (slot.frame != 0) {
    if (result.error)
      service_frame::append_error(frames->output(), slot.frame, result.error,
                                  result.retry_after_ms);
    else
      service_frame::append_answer(frames->output(), slot.frame, result.answer);
  } else if (!slot.id.empty()) {
    scratch_.clear();
    auto i = groups_.find(slot.group);
    auto& text = i == groups_.end() ? scratch_ : i->second.answers[slot.position];
    if (result.error)
      json_rpc::append_error(text, slot.id, result.error, result.retry_after_ms);
    else
      json_rpc::append_answer(text, slot.id, result.answer);
    if (i == groups_.end())
      send(slot.sequence, text);
    else if (--i->second.open == 0)
      complete(i->first);
  }
  close_call(slot, out);
}

void service_connection::close_call(open_call& x, text_effects& out) {
  assert(open_calls_ > 0 && open_bytes_ >= x.bytes);
  --open_calls_;
  open_bytes_ -= x.bytes;
  x.used = false;
  ++x.generation;
  x.id.clear();
  free_.push_back(uint32_t(&x - calls_.data()));
  auto i = http_clients_.find(x.client);
  if (i != http_clients_.end() && --i->second == 0) {
    out.finished.push_back(x.client);
    http_clients_.erase(i);
  }
}

void service_connection::complete(uint32_t group) {
  auto node = groups_.extract(group);
  auto& x = node.mapped();
  if (x.answers.empty()) {
    if (x.sequence != 0)
      codec.respond(x.sequence, 204, {}, {});
    return;
  }
  scratch_.assign(1, '[');
  for (auto& answer : x.answers) {
    scratch_ += answer;
    scratch_ += ',';
  }
  scratch_.back() = ']';
  send(x.sequence, scratch_);
}

void service_connection::send(uint64_t sequence, std::string_view text) {
  if (sequence != 0)
    codec.respond(sequence, 200, json_type, text);
  else
    send_text(text);
}

void service_connection::send_text(std::string_view text) {
  if (frames)
    service_frame::append_json(frames->output(), text);
  else
    codec.send_text(text);
}

void service_connection::accept_response(const json_rpc::response& x, text_effects& out) {
  auto i = deliveries_.find(x.id);
  if (i == deliveries_.end())
    return; // answered twice, or never asked
  auto& done = out.receipts.emplace_back();
  done.id = i->second.id;
  done.outcome = i->second.outcome;
  done.what = x.error.empty() ? receipt::status::taken : receipt::status::refused;
  done.error = x.error;
  deliveries_.erase(i);
  if (refused_delivery_ && deliveries_.size() <= config_.deliveries_max / 2) {
    refused_delivery_ = false;
    out.roomy.push_back(*lasting);
  }
}

bool service_connection::may_deliver(receipt& lost) {
  bool too_many = deliveries_.size() >= config_.deliveries_max;
  if (lasting && !closing && !wants_close() && !too_many)
    return true;
  refused_delivery_ = refused_delivery_ || too_many;
  lost.what = receipt::status::lost;
  lost.untouched = true;
  return false;
}

bool service_connection::deliver(const invocation& request, receipt& lost) {
  auto& x = *request.content;
  if (!may_deliver(lost))
    return false;
  scratch_.clear();
  auto append = frames ? service_frame::append_invocation : json_rpc::append_invoke;
  if (auto error = append(scratch_, last_delivery_ + 1, x, request.service_signature)) {
    lost.what = receipt::status::refused;
    lost.error = json_rpc::error_object(error);
    return false;
  }
  return send_delivery(scratch_, {x.header.id, false, 0}, lost);
}

bool service_connection::deliver(const outcome_notice& x, receipt& lost) {
  if (!may_deliver(lost))
    return false;
  scratch_.clear();
  auto append = frames ? service_frame::append_ended : json_rpc::append_reply;
  if (auto error = append(scratch_, last_delivery_ + 1, x)) {
    lost.what = receipt::status::refused;
    lost.error = json_rpc::error_object(error);
    return false;
  }
  return send_delivery(scratch_, {x.id, true, 0}, lost);
}

void service_connection::tell(const availability_report& x) {
  scratch_.clear();
  json_rpc::append_availability(scratch_, x);
  send_text(scratch_);
}

bool service_connection::send_delivery(std::string_view text, delivery x, receipt& lost) {
  auto before = pending_output();
  if (frames)
    frames->output() += text;
  else
    codec.send_text(text);
  if (pending_output() == before) { // the WebSocket has just closed
    lost.what = receipt::status::lost;
    lost.untouched = true;
    return false;
  }
  x.begin = appended + before;
  deliveries_.emplace(++last_delivery_, x);
  return true;
}

bool service_connection::has_metric_room() const {
  return appended - transferred + pending_output() < metrics_.limits().backlog_bytes_max;
}

size_t service_connection::deliver(const metric_value_ptr& x, std::string_view text) {
  if (!lasting || closing || wants_close())
    return 0;
  if (!metrics_.empty() || !has_metric_room())
    return metrics_.add(x);
  if (frames)
    service_frame::append_metric(frames->output(), *x);
  else
    codec.send_text(text);
  return 0;
}

bool service_connection::send_metrics() {
  if (metrics_.empty() || wants_close())
    return false;
  bool sent = false;
  for (; !metrics_.empty() && has_metric_room(); sent = true) {
    auto x = metrics_.take();
    if (frames) {
      service_frame::append_metric(frames->output(), *x);
      continue;
    }
    scratch_.clear();
    json_rpc::append_metric(scratch_, *x);
    codec.send_text(scratch_);
  }
  return sent;
}

std::vector<receipt> service_connection::lose_deliveries(uint64_t sent) {
  std::map<uint64_t, delivery> ordered{deliveries_.begin(), deliveries_.end()};
  std::vector<receipt> result;
  for (auto& [id, x] : ordered) {
    auto& lost = result.emplace_back();
    lost.id = x.id;
    lost.outcome = x.outcome;
    lost.what = receipt::status::lost;
    lost.untouched = x.begin >= sent;
  }
  deliveries_.clear();
  return result;
}

std::vector<client_id> service_connection::clients() const {
  std::vector<client_id> result;
  if (lasting)
    result.push_back(*lasting);
  for (auto& [client, open] : http_clients_)
    result.push_back(client);
  return result;
}

} // namespace rvi
