// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/requests.hpp"

#include <algorithm>
#include <charconv>

namespace rvi::simulation {

namespace {

constexpr size_t violations_max = 100;       // the first ones tell the story
constexpr uint64_t late_ms_max = 1'000;      // promise 4
constexpr uint64_t clock_wrong_ms = 240'000; // near the skew that nodes allow each other

// What is over for longer can only come back as a broken promise.
constexpr uint64_t remember_ms = uint64_t{2} * 86'400'000;

uint64_t number_after(std::string_view start, std::string_view text) {
  uint64_t result = 0;
  if (text.starts_with(start))
    std::from_chars(text.data() + start.size(), text.data() + text.size(), result);
  return result;
}

} // namespace

uint64_t digest_of(std::string_view x) {
  uint64_t result = 0xcbf29ce484222325;
  for (auto c : x)
    result = (result ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return result;
}

std::string arguments_of(uint64_t number, size_t bytes) {
  auto result = "{\"n\":" + std::to_string(number) + ",\"pad\":\"";
  if (bytes > result.size() + 2)
    result.append(bytes - result.size() - 2, 'x');
  return result + "\"}";
}

std::string reply_of(uint64_t number) {
  return "{\"done\":" + std::to_string(number) + "}";
}

uint64_t number_in(std::string_view arguments) {
  return number_after("{\"n\":", arguments);
}

uint64_t number_in_reply(std::string_view arguments) {
  return number_after("{\"done\":", arguments);
}

void request_book::broken(const std::string& invariant, const std::string& what,
                          const std::string& id, const std::string& node) {
  if (violations.size() < violations_max)
    violations.push_back({invariant, time_->now_ms(), id, node, what});
}

uint64_t request_book::submit(request x) {
  forget_old();
  x.submitted_ms = time_->now_ms();
  ++total.submitted;
  requests_.push_back(std::move(x));
  return first_ + requests_.size() - 1;
}

request* request_book::find(uint64_t number) {
  if (!was_made(number))
    return nullptr;
  if (number >= first_)
    return &requests_[number - first_];
  auto i = late_.find(number);
  return i == late_.end() ? nullptr : &i->second;
}

/// Nothing more may happen to it, and the last word on it is spoken.
bool request_book::is_over(const request& x) const {
  return !x.accepted || !x.rpc || (x.outcomes > 0 && x.ended_ms + remember_ms < time_->now_ms());
}

/// From the oldest on; memory must not grow with the time a run lasts.
void request_book::forget_old() {
  auto now = time_->now_ms();
  while (!requests_.empty() && doubled_.empty()) {
    auto& x = requests_.front();
    if (x.expires_ms + clock_error(x.from) + clock_error(x.to) + remember_ms >= now)
      return;
    if (!is_over(x))
      late_.emplace(first_, x);
    else if (x.id)
      numbers_.erase(*x.id);
    requests_.pop_front();
    ++first_;
  }
}

bool request_book::is_open(uint64_t number) {
  auto x = find(number);
  return x && x->outcomes == 0 && (x->rpc || x->dispatches == 0)
         && x->expires_ms > time_->now_ms();
}

void request_book::each_open(size_t node, const std::function<void(const request&)>& f) {
  if (node >= open_.size())
    return;
  std::erase_if(open_[node].numbers, [this](uint64_t x) { return !is_open(x); });
  for (auto number : open_[node].numbers)
    f(*find(number));
}

uint64_t request_book::number_of(const transaction_id& id) const {
  auto i = numbers_.find(id);
  return i == numbers_.end() ? 0 : i->second;
}

void request_book::accepted(uint64_t number, const transaction_id& id) {
  auto found = find(number);
  if (!found)
    return;
  auto& x = *found;
  on_event("accepted", x.from, id);
  ++total.accepted;
  x.accepted = true;
  if (is_doubled(x.from))
    return;
  if (x.from >= open_.size())
    open_.resize(x.from + 1);
  auto& open = open_[x.from];
  open.numbers.push_back(number);
  if (open.numbers.size() >= open.tidy_at) {
    std::erase_if(open.numbers, [this](uint64_t y) { return !is_open(y); });
    open.tidy_at = 2 * open.numbers.size() + 16;
  }
  if (x.id && *x.id != id)
    broken("I6", "one request has two transaction ids", to_string(id), name_of(x.from));
  x.id = id;
  auto [i, fresh] = numbers_.emplace(id, number);
  if (!fresh && i->second != number)
    broken("I2", "a transaction id was given to two requests", to_string(id), name_of(x.from));
}

void request_book::refused(uint64_t number, const caf::error&) {
  ++total.refused;
  if (auto x = find(number))
    x->refused = true;
}

void request_book::clock_wrong(size_t node, uint64_t ms) {
  if (node >= clock_error_.size())
    clock_error_.resize(node + 1);
  clock_error_[node] = std::max(clock_error_[node], ms);
}

uint64_t request_book::clock_error(size_t node) const {
  // Wrong one way when it asks, wrong the other way when time is up.
  return node < clock_error_.size() ? 2 * clock_error_[node] : 0;
}

bool request_book::disturbed_between(size_t node, uint64_t from_ms, uint64_t to_ms) const {
  auto i = disturbed_.find(node);
  if (i == disturbed_.end())
    return false;
  auto first = std::lower_bound(i->second.begin(), i->second.end(), from_ms);
  return first != i->second.end() && *first <= to_ms;
}

// -- what services see ----------------------------------------------------------------------------

void request_book::dispatched(size_t node, const envelope& e) {
  auto id = e.header.id;
  auto text = [&id] { return to_string(id); };
  on_event("dispatched", node, id);
  ++total.dispatched;
  auto number = number_in(e.arguments);
  if (!was_made(number)) {
    broken("I7", "a request that nobody made was dispatched", text(), name_of(node));
    return;
  }
  auto found = find(number);
  if (!found) {
    broken("I5", "dispatched days after it was over", text(), name_of(node));
    return;
  }
  auto& x = *found;
  if (digest_of(e.arguments) != x.digest)
    broken("I7", "the arguments changed on the way", text(), name_of(node));
  if (is_doubled(x.from))
    return;
  if (x.id && *x.id != id)
    broken("I2", "one request was dispatched under two ids", text(), name_of(node));
  x.id = id;
  numbers_.emplace(id, number);
  if (node != x.to)
    broken("I6", "a request for " + name_of(x.to) + " was dispatched at another node", text(),
           name_of(node));
  auto now = time_->now_ms();
  if (x.dispatches > 0 && !x.idempotent)
    broken("I2", "dispatched twice, first " + std::to_string(now - x.dispatched_ms) + " ms ago",
           text(), name_of(node));
  if (now > x.expires_ms + clock_error(node) + clock_error(x.from))
    broken("I5", "dispatched " + std::to_string(now - x.expires_ms) + " ms after it expired", text(),
           name_of(node));
  if (x.outcomes > 0 && x.status == "timeout" && x.rpc
      && clock_error(node) + clock_error(x.from) == 0)
    broken("I5", "dispatched after its sender was told of the timeout", text(), name_of(node));
  if (x.dispatches++ == 0) {
    x.dispatched_ms = now;
    latency[kind_of_link(x.from, x.to)].add(now - x.submitted_ms);
    check_order(x, id);
  }
}

void request_book::check_order(const request& x, const transaction_id& id) {
  if (!x.ordered)
    return;
  auto& last = last_in_channel_[{x.from, x.to, x.traffic}];
  if (x.order < last)
    broken("I9", "overtaken by number " + std::to_string(last) + " of its channel", to_string(id),
           name_of(x.to));
  last = std::max(last, x.order);
}

void request_book::replied(const transaction_id& id) {
  if (auto x = find(number_of(id))) {
    ++total.replies;
    x->replied = true;
  }
}

void request_book::ended(size_t node, const outcome_notice& notice) {
  auto text = [&notice] { return to_string(notice.id); };
  on_event("ended", node, notice.id);
  auto now = time_->now_ms();
  auto found = find(number_of(notice.id));
  if (!found) {
    auto number = notice.status == "ok" ? number_in_reply(notice.arguments) : 0;
    bool forgotten = was_made(number) && !find(number);
    if (is_doubled(node))
      return;
    if (forgotten && !disturbed_between(node, now - remember_ms, now))
      broken("I4", "its outcome was delivered again days later", text(), name_of(node));
    // Durable, but the answer `accepted` was lost with the node's power.
    if (!forgotten && notice.status == "ok")
      broken("I4", "a reply to a request that was never dispatched", text(), name_of(node));
    return;
  }
  auto& x = *found;
  if (is_doubled(node))
    return;
  if (node != x.from)
    broken("I6", "the outcome went to another node than the originator", text(), name_of(node));
  if (!x.rpc)
    broken("I4", "a message has an outcome: " + notice.status, text(), name_of(node));
  if (x.outcomes > 0) {
    if (notice.status != x.status)
      broken("I4", "two outcomes: " + std::string{x.status} + ", then " + notice.status, text(), name_of(node));
    else if (!disturbed_between(x.from, x.ended_ms, now))
      broken("I4", "its outcome " + std::string{x.status} + " was delivered twice", text(), name_of(node));
    return;
  }
  ++x.outcomes;
  auto& [status, count] = *total.outcomes.try_emplace(notice.status).first;
  ++count;
  x.status = status; // the map keeps it
  x.ended_ms = now;
  check_outcome(x, notice);
}

void request_book::check_outcome(const request& x, const outcome_notice& notice) {
  auto text = to_string(notice.id);
  auto node = name_of(x.from);
  auto now = time_->now_ms();
  auto tolerance = clock_error(x.from) + clock_error(x.to);
  if (notice.status == "ok") {
    if (!x.replied)
      broken("I4", "a reply that its service did not give", text, node);
    if (notice.arguments != reply_of(number_of(notice.id)))
      broken("I6", "the reply is that of another request", text, node);
  } else if (notice.status == "timeout") {
    if (now + tolerance < x.expires_ms)
      broken("I4", "timeout reported " + std::to_string(x.expires_ms - now) + " ms too early", text,
             node);
    bool late = now > x.expires_ms + late_ms_max + tolerance;
    if (late && !disturbed_between(x.from, x.submitted_ms, now))
      broken("I4", "timeout reported " + std::to_string(now - x.expires_ms) + " ms late", text,
             node);
    if (notice.dispatched == "no" && x.dispatches > 0)
      broken("I4", "reported as not dispatched, but it was", text, node);
  } else if (notice.status == "refused") {
    if (x.dispatches > 0)
      broken("I4", "reported as refused, but it was dispatched", text, node);
    if (!is_revoked(x.from) && !is_revoked(x.to) && tolerance == 0)
      broken("I1", "refused without a reason: " + notice.error, text, node);
  } else if (notice.status == "outcome_unknown") {
    if (!disturbed_between(x.to, x.submitted_ms, now))
      broken("I4", "outcome_unknown, though nothing happened to its service", text, node);
  }
}

// -- the end --------------------------------------------------------------------------------------

void request_book::check_request(const request& x,
                                 const std::unordered_set<std::string>& dead_letters) {
  auto text = to_string(*x.id);
  auto now = time_->now_ms();
  bool excused = is_revoked(x.from) || is_revoked(x.to)
                 || clock_error(x.from) + clock_error(x.to) > clock_wrong_ms
                 || !can_be_reached(x.from, x.to);
  if (is_doubled(x.from) || is_doubled(x.to))
    return;
  if (x.rpc) {
    // A revoked node may not even register the service that asked.
    bool deaf = is_revoked(x.from);
    auto wrong_ms = clock_error(x.from) + clock_error(x.to);
    if (x.outcomes == 0 && !deaf && !(excused && x.expires_ms + wrong_ms > now))
      broken("I4",
             "accepted, but without outcome; it expires in "
               + std::to_string(static_cast<int64_t>(x.expires_ms) - static_cast<int64_t>(now))
               + " ms, dispatched " + std::to_string(x.dispatches) + " times",
             text, name_of(x.from));
    return;
  }
  bool expired = x.expires_ms <= now + clock_error(x.from) + clock_error(x.to);
  if (x.dispatches == 0 && !expired && !excused && !dead_letters.count(to_bytes(*x.id)))
    broken("I1", "an accepted message is lost", text, name_of(x.from));
}

void request_book::check_end(const std::unordered_set<std::string>& dead_letters) {
  for (auto& [number, x] : late_)
    check_request(x, dead_letters);
  for (auto& x : requests_)
    if (x.accepted)
      check_request(x, dead_letters);
}

} // namespace rvi::simulation
