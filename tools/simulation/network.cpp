// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/network.hpp"

#include "runtime/lmdb/crc32c.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <bit>
#include <cassert>
#include <charconv>

namespace rvi::simulation {

namespace {

constexpr size_t nowhere = ~size_t{0};
constexpr size_t heard_max = 16; // messages of a pair kept for replay

constexpr size_t stream_piece_max = 16'384;

uint64_t sending_ms(const link_plan& plan, size_t bytes) {
  return bytes * 1'000 / std::max<uint64_t>(plan.bytes_per_s, 1);
}

size_t node_of(std::string_view address) {
  size_t result = nowhere;
  address.remove_prefix(address.rfind('-') + 1);
  std::from_chars(address.data(), address.data() + address.size(), result);
  return result;
}

} // namespace

network::network(std::shared_ptr<timeline> time, const scenario& plan, uint64_t seed)
  : time_(std::move(time)),
    plan_(plan),
    random_(seed, "network") {}

void network::add_path(path x) {
  place_of(x.from).paths.push_back(paths_.size());
  place_of(x.to).paths.push_back(paths_.size());
  paths_.push_back(x);
  ends_by_path_.emplace_back();
}

const std::vector<size_t>& network::paths_of(size_t node) const {
  static const std::vector<size_t> none;
  return node < places_.size() ? places_[node].paths : none;
}

network::place& network::place_of(size_t node) {
  if (node >= places_.size())
    places_.resize(node + 1);
  return places_[node];
}

void network::add_end(end x) {
  auto id = x.self.id();
  auto insert = [id](id_list& xs) { xs.insert(std::lower_bound(xs.begin(), xs.end(), id), id); };
  insert(ends_by_path_[x.path]);
  insert(place_of(x.node).ends);
  ends_[id] = std::move(x);
}

/// The first path in reach; plans stand in order of preference.
size_t network::find_path(size_t from, size_t to, bool dials, const std::string& kind) const {
  // The smaller list: a cloud has thousands.
  auto& of_from = paths_of(from);
  auto& of_to = paths_of(to);
  for (auto i : of_from.size() < of_to.size() ? of_from : of_to) {
    auto& x = paths_[i];
    bool forth = x.from == from && x.to == to;
    bool back = x.from == to && x.to == from;
    bool joins = forth || (back && (!dials || plan_of(x).mutual));
    bool of_kind = kind.empty() || plan_of(x).kind == kind;
    if (joins && of_kind && x.in_reach)
      return i;
  }
  return nowhere;
}

bool network::can_be_dialled(size_t node) const {
  auto& of_node = paths_of(node);
  return std::any_of(of_node.begin(), of_node.end(),
                     [&](size_t i) { return paths_[i].to == node || plan_of(paths_[i]).mutual; });
}

bool network::passes(const path& x, size_t from) const {
  return x.in_reach && !(from == x.from ? x.cut_forth : x.cut_back);
}

// -- faults ---------------------------------------------------------------------------------------

void network::set_reach(size_t number, bool in_reach) {
  auto& x = paths_[number];
  if (x.in_reach == in_reach)
    return;
  x.in_reach = in_reach;
  if (!in_reach) {
    break_sessions(number);
    return;
  }
  end_broken(number);
  if (network_up_) {
    network_up_(x.from, plan_of(x).kind);
    if (plan_of(x).mutual)
      network_up_(x.to, plan_of(x).kind);
  }
}

/// A path that goes away: one in three ends notices within a second, the others must find out.
void network::break_sessions(size_t number) {
  for (auto session : id_list{ends_by_path_[number]})
    if (random_.below(3) == 0)
      reset(session, random_.below(1'000));
}

void network::cut(size_t number, bool forth, bool back) {
  paths_[number].cut_forth = forth;
  paths_[number].cut_back = back;
  end_broken(number);
}

/// Streams with a gap end once their path is whole again.
void network::end_broken(size_t number) {
  auto& x = paths_[number];
  if (!x.in_reach || x.cut_forth || x.cut_back)
    return;
  for (auto session : id_list{ends_by_path_[number]})
    if (ends_.at(session).broken)
      reset(session, random_.below(2'000));
}

void network::forget_faults() {
  faults = {};
  for (auto& x : places_)
    x.slow_ms_max = 0;
  heard_.clear();
  for (size_t i = 0; i < paths_.size(); ++i)
    if (paths_[i].cut_forth || paths_[i].cut_back)
      cut(i, false, false);
}

void network::power_off(size_t node) {
  for (auto session : id_list{place_of(node).ends})
    ended(ends_.at(session).self);
}

void network::reset(caf::actor_id session, uint64_t after_ms) {
  ++counts.resets;
  time_->after(after_ms, [this, session] {
    auto i = ends_.find(session);
    if (i == ends_.end())
      return;
    if (auto handle = caf::actor_cast<caf::actor>(i->second.self))
      caf::anon_send_exit(handle, caf::exit_reason::remote_link_unreachable);
  });
}

// -- loopback_hub ---------------------------------------------------------------------------------

bool network::answers(const std::string& from, const std::string& to,
                      const std::string& kind) const {
  return find_path(node_of(from), node_of(to), true, kind) != nowhere && find(to) != nullptr;
}

void network::call(const std::string& from, const std::string& to, const std::string& kind,
                   const caf::actor& dialling, const std::string& spki,
                   const std::string& exporter) {
  auto a = node_of(from);
  auto b = node_of(to);
  auto number = find_path(a, b, true, kind);
  auto driver = find(to);
  if (number == nowhere || !driver)
    return;
  end x;
  x.node = a;
  x.peer_node = b;
  x.path = number;
  x.self = dialling.address();
  add_end(std::move(x));
  if (!passes(paths_[number], a))
    return; // nobody will answer
  time_->after(latency(plan_of(paths_[number]), a, b), [driver, dialling, spki, exporter, from] {
    caf::anon_send(driver, atom::connected_v, dialling, spki, exporter, from);
  });
}

void network::answer(const caf::actor& dialling, const caf::actor& answering,
                     const std::string& spki) {
  auto i = ends_.find(dialling.id());
  if (i == ends_.end()) { // it has given up
    caf::anon_send_exit(answering, caf::exit_reason::remote_link_unreachable);
    return;
  }
  auto& x = i->second;
  ++counts.sessions;
  ++place_of(x.node).answered;
  ++place_of(x.peer_node).answered;
  x.peer = answering.address();
  end y;
  y.node = x.peer_node;
  y.peer_node = x.node;
  y.path = x.path;
  y.self = answering.address();
  y.peer = dialling.address();
  auto& way = paths_[x.path];
  add_end(y);
  if (!passes(way, y.node))
    return;
  time_->after(latency(plan_of(way), y.node, y.peer_node), [dialling, answering, spki] {
    caf::anon_send(dialling, atom::connected_v, answering, spki);
  });
}

void network::watch(caf::event_based_actor*, const caf::actor&) {}

void network::ended(const caf::actor_addr& session) {
  auto id = session.id(); // `session` may be part of what is erased
  auto i = ends_.find(id);
  if (i == ends_.end())
    return;
  auto x = std::move(i->second);
  ends_.erase(i);
  std::erase(ends_by_path_[x.path], id);
  std::erase(places_[x.node].ends, id);
  // A peer within reach hears of it (a TCP reset, a disconnect), most of the time.
  if (!x.peer || !passes(paths_[x.path], x.node) || random_.below(10) == 0)
    return;
  auto now = time_->now_ms();
  auto sent_ms = x.last_ms > now ? x.last_ms - now : 0; // not before what was sent
  reset(x.peer.id(), std::max(latency(plan_of(paths_[x.path]), x.node, x.peer_node), sent_ms));
}

uint64_t network::latency(const link_plan& plan, size_t from, size_t to) {
  auto result = random_.between(plan.latency_ms_min, plan.latency_ms_max);
  for (auto node : {from, to})
    if (auto ms_max = place_of(node).slow_ms_max; ms_max != 0)
      result += random_.below(ms_max + 1);
  if (random_.percent(faults.delay_percent)) {
    ++counts.delayed;
    // From milliseconds to the longest there is, each power of two as likely as the next.
    auto bits = static_cast<uint64_t>(std::bit_width(faults.delay_ms_max));
    result += random_.below((faults.delay_ms_max >> random_.below(bits + 1)) + 1);
  }
  return std::max<uint64_t>(result, 1);
}

void network::carry(const caf::actor& from, const caf::actor& to, std::string bytes) {
  auto i = ends_.find(from.id());
  if (i == ends_.end())
    return;
  ++counts.messages;
  counts.bytes += bytes.size();
  auto& x = i->second;
  auto& way = paths_[x.path];
  bool stream = plan_of(way).stream;
  if (x.broken || !passes(way, x.node)) {
    note(x, bytes, "cut");
    x.broken = stream; // what follows a gap in a stream never arrives
    return;
  }
  if (stream)
    carry_stream(x, to, std::move(bytes));
  else
    carry_datagram(x, to, std::move(bytes));
}

void network::carry_stream(end& x, const caf::actor& to, std::string bytes) {
  auto& plan = plan_of(paths_[x.path]);
  auto now = time_->now_ms();
  note(x, bytes, "sent");
  // In pieces, as TCP would: the first ones arrive before the last ones have left.
  auto piece_max = std::max(stream_piece_max, bytes.size() / 32);
  for (size_t at = 0; at < bytes.size(); at += piece_max) {
    auto piece = bytes.substr(at, piece_max);
    x.free_ms = std::max(x.free_ms, now) + sending_ms(plan, piece.size());
    x.last_ms = std::max(x.last_ms, x.free_ms + latency(plan, x.node, x.peer_node));
    deliver(x.last_ms - now, x, to, std::move(piece));
  }
}

/// Without TLS: a checksum, as such links have, finds what was changed; the rest is up to the
/// protocol.
void network::carry_datagram(end& x, const caf::actor& to, std::string bytes) {
  auto& plan = plan_of(paths_[x.path]);
  auto now = time_->now_ms();
  x.free_ms = std::max(x.free_ms, now) + sending_ms(plan, bytes.size());
  auto base = std::max(x.last_ms, x.free_ms + latency(plan, x.node, x.peer_node)) - now;
  if (random_.percent(faults.loss_percent)) {
    ++counts.lost;
    note(x, bytes, "lost");
    return;
  }
  if (random_.percent(faults.corrupt_percent)) {
    ++counts.corrupted;
    auto changed = bytes;
    changed[random_.below(changed.size())] ^= static_cast<char>(1 + random_.below(255));
    if (lmdb::crc32c(changed) != lmdb::crc32c(bytes)) {
      note(x, bytes, "corrupted");
      return;
    }
  }
  auto& heard = heard_[{x.node, x.peer_node}];
  if (random_.percent(faults.duplicate_percent)) {
    ++counts.duplicated;
    deliver(base + random_.below(2'000), x, to, bytes);
  }
  if (!heard.empty() && random_.percent(faults.replay_percent)) {
    ++counts.replayed;
    deliver(base + random_.below(2'000), x, to, heard[random_.below(heard.size())]);
  }
  if (faults.replay_percent != 0) {
    heard.push_back(bytes);
    if (heard.size() > heard_max)
      heard.pop_front();
  }
  note(x, bytes, "sent");
  if (random_.percent(faults.reorder_percent)) {
    ++counts.reordered;
    deliver(base + random_.below(5'000), x, to, std::move(bytes));
    return;
  }
  x.last_ms = now + base;
  deliver(base, x, to, std::move(bytes));
}

void network::deliver(uint64_t after_ms, const end& from, const caf::actor& to, std::string bytes) {
  auto address = to.address();
  auto way = from.path;
  auto sender = from.node;
  time_->after(after_ms, [this, address, way, sender, bytes = std::move(bytes)]() mutable {
    auto i = ends_.find(address.id());
    if (i == ends_.end())
      return;
    auto other = i->second.peer ? ends_.find(i->second.peer.id()) : ends_.end();
    bool broken = other != ends_.end() && other->second.broken;
    // What is on its way when the path goes is lost, and in a stream all that follows.
    if (broken || !passes(paths_[way], sender)) {
      if (other != ends_.end())
        other->second.broken = plan_of(paths_[way]).stream;
      return;
    }
    if (auto handle = caf::actor_cast<caf::actor>(address))
      caf::anon_send(handle, atom::received_v, std::move(bytes));
  });
}

void network::note(const end& x, const std::string& bytes, const char* fate) {
  if (observer_)
    observer_->carried(x.node, x.peer_node, plan_of(paths_[x.path]).kind, bytes, fate);
}

std::map<std::string, uint64_t> network::sessions_by_kind() const {
  std::map<std::string, uint64_t> result;
  for (auto& [session, x] : ends_)
    if (paths_[x.path].from == x.node && x.peer)
      ++result[plan_of(paths_[x.path]).kind];
  return result;
}

} // namespace rvi::simulation
