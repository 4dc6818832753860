// SPDX-License-Identifier: MPL-2.0
//
// Large arguments on their way out (HLD 8.12): the item goes without them, the peer says how much
// it has, and they follow in fragments read from the store one by one. A transfer has one fragment
// under way, so that whatever is sent meanwhile waits for one fragment of each at most.

#include "actors/routing/store_and_forward.hpp"
#include "messages/wire/fragment.hpp"
#include "messages/wire/frame.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";

size_t frame_bytes_of(const link_info& x) {
  return std::min<uint64_t>(x.peer.frame_bytes_max, wire::frame_bytes_max_default);
}

} // namespace

// -- whose turn it is -----------------------------------------------------------------------------

outgoing_transfer* outgoing_transfers::find(const key& id) {
  auto i = open_.find(id);
  return i == open_.end() ? nullptr : &i->second;
}

bool outgoing_transfers::erase(const key& id) {
  auto i = open_.find(id);
  if (i == open_.end())
    return false;
  end(i->second);
  open_.erase(i);
  return true;
}

outgoing_transfers::map::value_type* outgoing_transfers::next() {
  map::value_type* result = nullptr;
  for (auto& entry : open_) {
    auto& x = entry.second;
    if (!x.answered || x.under_way || x.sent >= x.length)
      continue;
    if (!result
        || std::pair{x.priority, x.turn} < std::pair{result->second.priority, result->second.turn})
      result = &entry;
  }
  return result;
}

void outgoing_transfers::begin(outgoing_transfer& x) {
  assert(!x.under_way);
  x.under_way = true;
  x.turn = ++turns_;
  ++under_way_;
}

void outgoing_transfers::end(outgoing_transfer& x) {
  if (std::exchange(x.under_way, false))
    --under_way_;
}

bool outgoing_transfers::is_incomplete(const key& id) const {
  auto i = open_.find(id);
  return i != open_.end() && i->second.sent < i->second.length;
}

void store_and_forward_state::prepare_fragments() {
  auto& m = *config.node->metrics;
  auto count = [&m](const char* name, const char* help) { return &m.get_counter(name, help); };
  counts.fragments_sent = count("rvi_fragments_sent_total", "Pieces of large arguments sent.");
  counts.fragments_received
    = count("rvi_fragments_received_total", "Pieces of large arguments kept or about to be.");
  counts.fragments_refused
    = count("rvi_fragments_refused_total", "Fragments and large requests on their way refused.");
  counts.fragments_resumed
    = count("rvi_fragments_resumed_total", "Large arguments sent on from where they were.");
  counts.fragments_mismatched
    = count("rvi_fragments_mismatched_total", "Large arguments that had not their header's hash.");
  counts.fragments_partial
    = &m.get_gauge("rvi_fragments_partial", "Large requests and replies on their way here.");
  counts.fragments_partial_bytes
    = &m.get_gauge("rvi_fragments_partial_bytes", "What they weigh once they are whole.");
}

// -- opening --------------------------------------------------------------------------------------

bool store_and_forward_state::may_open_transfer(const queue_ptr& q, link_state& link) {
  if (q->large_blocked_until_ms > boot_ms())
    return false;
  if (link.transfers.size() < config.fragments.transfers_per_link_max)
    return true;
  link.transfers.waiting.insert(q->name);
  return false;
}

void store_and_forward_state::open_transfer(link_state& link, const flight_key& key,
                                            const ledger::waiting_item& item) {
  outgoing_transfer x;
  x.content = item.content;
  x.seq = item.at.seq;
  x.priority = item.at.priority;
  x.length = item.content->header.arguments_length;
  link.transfers.add(key, std::move(x));
}

void store_and_forward_state::forget_transfer(link_state& link, const flight_key& key) {
  if (!link.transfers.erase(key))
    return;
  for (auto& name : std::exchange(link.transfers.waiting, {}))
    if (auto q = queues.find(name); q != queues.end())
      block_large(q->second, boot_ms() + 1); // in a moment: whoever calls this is not done
}

void store_and_forward_state::block_large(const queue_ptr& q, uint64_t until_ms) {
  q->large_blocked_until_ms = until_ms;
  blocked.emplace(until_ms, q->name);
  arm();
}

// -- fragments ------------------------------------------------------------------------------------

void store_and_forward_state::transfer_state(uint64_t id, const fragment_state& state) {
  auto i = links.find(id);
  if (i == links.end())
    return;
  auto& link = i->second;
  auto key = flight_key{state.id, state.reply};
  auto x = link.transfers.find(key);
  if (!x || link.closing)
    return; // it has ended meanwhile
  bool further = !x->answered || state.offset > x->durable;
  if (state.offset > x->length || (!further && ++x->setbacks > config.fragments.setbacks_max)) {
    link.closing = true;
    self->send(link.handle, atom::close_v, std::string{to_string(ec::malformed)},
               std::string{"states of a transfer that lead nowhere"});
    return;
  }
  if (further) {
    link.progress_ms = boot_ms();
    x->setbacks = 0;
  }
  if (!x->answered && state.offset > 0) {
    counts.fragments_resumed->add();
    config.node->record(state.id, 12, state.reply, "goes on at " + std::to_string(state.offset));
  }
  x->answered = true;
  x->durable = x->sent = state.offset;
  link.transfers.end(*x);
  pump_fragments(link);
}

void store_and_forward_state::pump_fragments(link_state& link) {
  auto most = wire::fragment_bytes_for(frame_bytes_of(link.info));
  while (!link.closing && link.transfers.under_way() < config.fragments.under_way_max) {
    auto next = link.transfers.next();
    if (!next)
      return;
    auto& [key, x] = *next;
    auto bytes = std::min<uint64_t>(most, x.length - x.sent);
    if (bytes > link.credit_bytes) {
      link.starved = true;
      return;
    }
    link.credit_bytes -= bytes;
    link.transfers.begin(x);
    auto number = link.info.link;
    if (!x.content->is_opening()) { // it was kept in memory
      send_fragment(number, key, x.turn, x.content->arguments.substr(x.sent, bytes));
      continue;
    }
    auto piece = std::make_shared<std::string>();
    transaction_step step = [piece, seq = x.seq, offset = x.sent, bytes](transaction& t) {
      auto found = ledger::read_arguments(t, seq, offset, bytes);
      if (!found)
        return std::move(found.error());
      *piece = std::move(*found);
      return caf::error{};
    };
    self->request(config.store, caf::infinite, atom::read_v, std::move(step))
      .then([this, number, key = key, turn = x.turn,
             piece](atom::done) { send_fragment(number, key, turn, std::move(*piece)); },
            [this, number, key = key](const caf::error& err) {
              fragment_unreadable(number, key, err);
            });
  }
}

void store_and_forward_state::send_fragment(uint64_t number, const flight_key& key, uint64_t turn,
                                            std::string content) {
  auto i = links.find(number);
  if (i == links.end())
    return;
  auto& link = i->second;
  auto x = link.transfers.find(key);
  if (!x || !x->under_way || x->turn != turn) {
    link.credit_bytes += content.size(); // it ended while its piece was read
    return;
  }
  argument_fragment fragment{key.first, key.second, x->sent, std::move(content)};
  x->sent += fragment.content.size();
  counts.fragments_sent->add();
  self->send(link.handle, atom::transmit_v, std::move(fragment));
}

void store_and_forward_state::fragment_unreadable(uint64_t number, const flight_key& key,
                                                  const caf::error& why) {
  auto i = links.find(number);
  if (i == links.end())
    return;
  auto flown = take_in_flight(i->second, key);
  if (!flown)
    return; // it has ended, and its pieces with it
  log::error(component, "stored arguments cannot be read",
             {{"id", to_string(key.first)}, {"error", describe(why)}});
  refused_by_peer(std::move(*flown), {key.first, key.second, why, true, 0});
}

// -- rights ---------------------------------------------------------------------------------------

void store_and_forward_state::refuse_revoked_transfers() {
  auto rights = config.node->rights->load();
  for (auto& [number, link] : links) {
    std::vector<flight_key> fallen;
    for (auto& [key, x] : link.transfers.open()) {
      auto credential = rights->find_known(x.content->header.credential_hash);
      if (x.sent < x.length && credential && rights->is_own(credential->key.uid())
          && rights->revoked(*credential))
        fallen.push_back(key);
    }
    for (auto& key : fallen)
      if (auto flown = take_in_flight(link, key))
        refused_by_peer(
          std::move(*flown),
          {key.first, key.second,
           caf::make_error(ec::revoked, std::string{"this node's credential was revoked"}), true,
           0});
  }
}

} // namespace rvi
