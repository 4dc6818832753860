// SPDX-License-Identifier: MPL-2.0

#include "test/store_faults/model.hpp"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <iterator>

namespace test::faults {

namespace {

constexpr uint64_t remember_ms = 600'000;
constexpr uint64_t dead_letter_ms = 30ULL * 86'400'000;
constexpr uint32_t services = 3;
constexpr size_t open_requests = 14; // beyond it nothing new is made

known request(const step& x, state at, uint64_t content) {
  known result;
  result.at = at;
  result.rpc = x.rpc;
  result.target = x.target;
  result.expires_ms = result.due_ms = x.expires_ms;
  result.content = content;
  return result;
}

void enqueue(known& x, uint32_t queue, uint64_t seq) {
  x.queue = queue;
  x.queued = seq;
}

void arrive(model& to, const step& x) {
  auto record = request(x, x.dispatch ? state::dispatched : state::held, x.seq);
  record.idempotent = x.dispatch && x.idempotent;
  if (!x.dispatch)
    enqueue(record, x.queue, x.seq);
  to[{x.number, 'i'}] = record;
}

void end_here(known& x, const std::string& outcome, uint32_t queue, uint64_t seq) {
  x.at = state::ended;
  x.outcome = outcome;
  x.content = 0;
  x.queued = 0;
  if (x.rpc)
    enqueue(x, queue, seq);
  x.due_ms = x.expires_ms + remember_ms;
}

void answer(known& x) {
  x.at = state::done;
  x.content = 0;
  x.due_ms = x.expires_ms + remember_ms;
}

void replied(known& x, const step& y) {
  end_here(x, y.error ? "error" : "ok", y.queue, y.seq);
  x.reply = y.seq;
}

void die(known& x, const std::string& why, uint64_t now_ms) {
  x.at = state::dead;
  x.outcome = why;
  x.dead_ms = now_ms;
  x.due_ms = std::max(now_ms + dead_letter_ms, x.expires_ms + remember_ms);
}

void custody(known& x) {
  if (x.at == state::waiting) {
    x.at = x.rpc ? state::custody : state::ended;
    if (!x.rpc)
      x.outcome = "ok";
    x.content = x.queued = 0;
  } else if (x.at == state::done && x.reply != 0) {
    x.reply = x.queued = 0;
  }
}

void expire(model& to, model::iterator at, const step& x) {
  auto& found = at->second;
  switch (found.at) {
    case state::waiting:
    case state::custody:
      end_here(found, "timeout", x.queue, x.seq);
      break;
    case state::held:
    case state::dispatched:
      found.queued = 0;
      if (found.at == state::dispatched && !found.rpc)
        die(found, "handed over, never confirmed", x.now_ms);
      else
        answer(found);
      break;
    default:
      if (x.now_ms >= found.due_ms)
        to.erase(at);
  }
}

} // namespace

void apply_step(model& to, const step& x) {
  auto at = to.find({x.number, x.kind});
  auto there = at != to.end();
  switch (x.what) {
    case action::accept: {
      auto& record = to[{x.number, 'o'}] = request(x, state::waiting, x.seq);
      return enqueue(record, x.queue, x.seq);
    }
    case action::accept_local: {
      auto& record = to[{x.number, 'o'}] = request(x, x.rpc ? state::custody : state::ended, 0);
      if (!x.rpc)
        record.outcome = "ok";
      return arrive(to, x);
    }
    case action::receive:
      return arrive(to, x);
    case action::receive_again:
      return;
    case action::expire:
      return there ? expire(to, at, x) : void();
    default:
      break;
  }
  assert(there);
  auto& found = at->second;
  switch (x.what) {
    case action::dispatch:
      found.at = state::dispatched;
      found.idempotent = x.idempotent;
      found.queued = 0;
      break;
    case action::hold_again:
      found.at = state::held;
      enqueue(found, x.queue, found.content);
      break;
    case action::taken:
      answer(found);
      break;
    case action::dead_letter:
      die(found, "no receipt", x.now_ms);
      break;
    case action::reply:
      answer(found);
      found.reply = x.seq;
      enqueue(found, x.queue, x.seq);
      break;
    case action::reply_local:
      answer(found);
      replied(to.at({x.number, 'o'}), x);
      break;
    case action::receive_reply:
      replied(found, x);
      break;
    case action::custody:
      custody(found);
      break;
    case action::end:
      end_here(found, "refused", x.queue, x.seq);
      break;
    case action::delivered:
      found.reply = found.queued = 0;
      break;
    default:
      break;
  }
}

namespace {

/// Queues: 1 to 3 for services, 4 for the requesting service's outcomes, 5 for replies to the peer.
uint32_t queue_of(uint32_t target) {
  return 1 + target;
}
constexpr uint32_t outcomes = 4;
constexpr uint32_t replies = 5;

struct drawer {
  world& w;
  uint64_t draw(uint64_t n) { return w.random() % n; }

  step fresh() {
    step x;
    auto what = draw(4);
    x.what = what < 2 ? action::accept : what == 2 ? action::receive : action::accept_local;
    x.number = w.next_number++;
    x.kind = x.what == action::receive ? 'i' : 'o';
    x.rpc = draw(3) != 0;
    x.target = uint32_t(draw(services));
    x.dispatch = draw(2) == 0;
    x.idempotent = draw(4) == 0;
    x.queue = queue_of(x.target);
    x.size = draw(12) == 0 ? uint32_t(3000 + draw(6000)) : uint32_t(draw(300));
    x.expires_ms = w.now_ms + 1'000 + draw(60'000);
    return x;
  }

  /// Something that may happen next to what is there; `number` 0: nothing.
  step next_of(const model::value_type& entry) {
    auto& [id, x] = entry;
    step s;
    s.number = id.first;
    s.kind = id.second;
    s.target = x.target;
    s.rpc = x.rpc;
    s.queue = outcomes;
    s.error = draw(4) == 0;
    s.size = uint32_t(draw(400));
    s.expires_ms = x.expires_ms;
    s.idempotent = draw(4) == 0;
    auto local = w.now.count({id.first, id.second == 'o' ? 'i' : 'o'}) != 0;
    switch (x.at) {
      case state::waiting:
        s.what = draw(3) > 0 ? action::custody : draw(2) ? action::end : action::receive_reply;
        if (s.what == action::receive_reply && !x.rpc)
          s.what = action::custody;
        return s;
      case state::custody:
        s.what = draw(4) > 0 ? action::receive_reply : action::end;
        if (!local)
          return s;
        break; // its other half answers it
      case state::ended:
        s.what = action::delivered;
        if (x.queued != 0)
          return s;
        break;
      case state::held:
        s.what = action::dispatch;
        return s;
      case state::dispatched:
        return next_of_dispatched(s, x, local);
      case state::done:
        s.what = draw(3) > 0 && x.reply != 0 ? action::custody : action::receive_again;
        s.size += 20'000; // unlike the first
        return s;
      default:
        break;
    }
    s.number = 0;
    return s;
  }

  step next_of_dispatched(step s, const known& x, bool local) {
    if (x.idempotent && draw(3) == 0) {
      s.what = action::hold_again;
      s.queue = queue_of(x.target);
    } else if (!x.rpc) {
      s.what = draw(3) > 0 ? action::taken : action::dead_letter;
    } else if (local) {
      s.what = action::reply_local;
      auto& other = w.now.at({s.number, 'o'});
      if (other.at != state::custody)
        s.number = 0; // its time was up: a late reply is none
    } else {
      s.what = action::reply;
      s.queue = replies;
    }
    return s;
  }

  void add(transaction_script& to, step x) {
    x.now_ms = w.now_ms;
    x.seq = w.next_seq++;
    apply_step(w.now, x);
    to.steps.push_back(x);
  }

  /// What is due by now, one step each.
  void add_expiries(transaction_script& to) {
    std::vector<std::pair<uint64_t, char>> due;
    for (auto& [id, x] : w.now)
      if (x.due_ms <= w.now_ms)
        due.push_back(id);
    for (auto& id : due) {
      step x;
      x.what = action::expire;
      x.number = id.first;
      x.kind = id.second;
      x.queue = outcomes;
      add(to, x);
    }
  }

  /// What a start makes of requests handed over before it.
  void add_start(transaction_script& to) {
    to.starts = true;
    std::vector<model::value_type> handed_over;
    for (auto& entry : w.now)
      if (entry.second.at == state::dispatched)
        handed_over.push_back(entry);
    for (auto& [id, x] : handed_over) {
      step s;
      s.number = id.first;
      s.kind = id.second;
      s.target = x.target;
      s.expires_ms = x.expires_ms;
      s.error = true;
      s.rpc = x.rpc;
      auto other = w.now.find({id.first, 'o'});
      if (x.idempotent) {
        s.what = action::hold_again;
        s.queue = queue_of(x.target);
      } else if (!x.rpc) {
        s.what = action::dead_letter;
      } else if (other == w.now.end()) {
        s.what = action::reply;
        s.queue = replies;
      } else if (other->second.at == state::custody) {
        s.what = action::reply_local;
        s.queue = outcomes;
      } else {
        continue;
      }
      add(to, s);
    }
  }

  transaction_script draw_transaction() {
    transaction_script result;
    w.now_ms += draw(4'000);
    if (draw(40) == 0)
      w.now_ms += 700'000; // ids are forgotten
    if (draw(4) == 0)
      add_expiries(result);
    for (auto steps = 1 + draw(4); steps > 0; --steps) {
      auto at = w.now.begin();
      if (!w.now.empty())
        std::advance(at, std::ptrdiff_t(draw(w.now.size())));
      step x;
      if (at != w.now.end() && (w.now.size() >= open_requests || draw(3) > 0))
        x = next_of(*at);
      if (x.number == 0 && w.now.size() < open_requests)
        x = fresh();
      if (x.number != 0)
        add(result, x);
    }
    if (result.steps.empty())
      add(result, fresh());
    return result;
  }
};

} // namespace

std::vector<transaction_script> draw_script(world& from, size_t count) {
  std::vector<transaction_script> result(1);
  drawer d{from};
  d.add_start(result.front());
  result.front().after = from.now;
  while (result.size() <= count) {
    result.push_back(d.draw_transaction());
    result.back().after = from.now;
  }
  return result;
}

std::vector<transaction_script> draw_drain(world& from) {
  std::vector<transaction_script> result(2);
  drawer d{from};
  d.add_start(result[0]);
  result[0].after = from.now;
  from.now_ms += 120'000;
  d.add_expiries(result[1]);
  result[1].after = from.now;
  return result;
}

const char* to_string(action x) {
  static constexpr const char* names[]
    = {"accept",        "accept_local", "receive",     "receive_again", "dispatch",
       "hold_again",    "taken",        "dead_letter", "reply",         "reply_local",
       "receive_reply", "custody",      "end",         "delivered",     "expire"};
  return names[size_t(x)];
}

std::string describe(const std::pair<uint64_t, char>& id, const known& x) {
  static constexpr const char* names[]
    = {"", "waiting", "custody", "ended", "held", "dispatched", "done", "dead"};
  auto n = [](uint64_t y) { return std::to_string(y); };
  return n(id.first) + id.second + " " + names[size_t(x.at)] + (x.rpc ? " rpc" : " message")
         + (x.idempotent ? " idempotent" : "") + " content " + n(x.content) + " reply " + n(x.reply)
         + " queued " + n(x.queued) + " in " + n(x.queue) + " due " + n(x.due_ms) + " expires "
         + n(x.expires_ms) + " target " + n(x.target) + " outcome '" + x.outcome + "'";
}

std::string difference(const model& wanted, const model& found) {
  for (auto& [id, x] : wanted) {
    auto other = found.find(id);
    if (other == found.end())
      return "lost: " + describe(id, x);
    if (!(other->second == x))
      return "wanted: " + describe(id, x) + "; found: " + describe(id, other->second);
  }
  for (auto& [id, x] : found)
    if (wanted.count(id) == 0)
      return "invented: " + describe(id, x);
  return {};
}

} // namespace test::faults
