// SPDX-License-Identifier: MPL-2.0
//
// Store and forward over relays (HLD 11, 13; decisions 4): which relay takes what waits for a node
// that is not linked, and what becomes of the originator's copy. A relay's custody ends nothing:
// our copy moves to a queue of its own and stays until the target's signed outcome or expiry. It
// goes to the owner as soon as a link to it comes; the target knows by the id what it has had.

#include "actors/routing/arrival_check.hpp"
#include "actors/routing/store_and_forward.hpp"
#include "messages/name.hpp"
#include "messages/wire/fragment.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr std::string_view reply_mark = "$reply/";
constexpr std::string_view entrusted_mark = "$entrusted/";
constexpr std::string_view carried_mark = "$carried/";
constexpr size_t uid_digits = 32;

/// The uid that `text` begins with, and what follows it without the slash between.
std::optional<std::pair<node_uid, std::string_view>> leading_uid(std::string_view text) {
  auto bytes = crypto::unhex(text.substr(0, uid_digits));
  if (!bytes || bytes->size() != sizeof(node_uid))
    return std::nullopt;
  node_uid uid;
  std::copy_n(bytes->begin(), uid.size(), reinterpret_cast<char*>(uid.data()));
  text.remove_prefix(uid_digits);
  if (!text.empty())
    text.remove_prefix(1);
  return std::pair{uid, text};
}

template <class Map, class F>
void for_each_with_prefix(Map& map, std::string_view prefix, F&& f) {
  for (auto i = map.lower_bound(std::string{prefix});
       i != map.end() && i->first.starts_with(prefix); ++i)
    f(i->second);
}

} // namespace

// -- kinds of queues ------------------------------------------------------------------------------

void store_and_forward_state::classify(waiting_queue& q) const {
  auto parts = split_queue_name(q.name);
  q.target = parts.target;
  q.data_class = std::move(parts.data_class);
  std::string_view name = parts.target;
  auto take = [&](std::string_view mark) {
    std::optional<std::pair<node_uid, std::string_view>> result;
    if (name.starts_with(mark))
      result = leading_uid(name.substr(mark.size()));
    if (result)
      q.target = result->second;
    return result;
  };
  if (auto x = take(reply_mark)) {
    q.reply_to = x->first;
    if (auto by = leading_uid(x->second))
      q.reply_by = by->first;
    q.target = parts.target;
  } else if (auto y = take(entrusted_mark)) {
    q.carrier = y->first;
  } else if (auto z = take(carried_mark)) {
    q.carried_for = z->first;
  }
  assign_owner(q);
}

store_and_forward_state::queue_ptr
store_and_forward_state::entrusted_queue(const node_uid& relay, const waiting_queue& from) {
  auto name = std::string{entrusted_mark} + to_string(relay) + '/' + from.target;
  return queue_for(queue_name(name, from.data_class));
}

store_and_forward_state::queue_ptr store_and_forward_state::carried_queue(const request_header& x) {
  auto name = std::string{carried_mark} + to_string(x.id.origin) + '/' + x.target;
  return queue_for(config.kinds.has(x.data_class) ? queue_name(name, x.data_class) : name);
}

void store_and_forward_state::note_way_back(const envelope& request) {
  if (!request.route.empty() && request.header.owes_outcome())
    ways_back[request.header.id] = request.route.back();
}

std::string
store_and_forward_state::key_in(const waiting_queue& q, const transaction_id& id) const {
  if (q.carried_for)
    return ledger::carried_key(id);
  if (!q.reply_to)
    return ledger::originated_key(id);
  auto own = ledger::inbound_key(id);
  return settling.count(own) != 0 ? own : ledger::carried_key(id);
}

// -- the next hop ---------------------------------------------------------------------------------

store_and_forward_state::next_hop
store_and_forward_state::next_hop_of(const waiting_queue& q, const route& to) {
  if (auto owner = link_of(to, q.data_class))
    return {owner, false};
  return {q.reply_by ? link_to(*q.reply_by, q.data_class) : relay_for(q), true};
}

/// Of several, one that says it has a way to the owner, then one that has met it, then any that may
/// carry for it. For others only the first will do: they have it safe where it is.
store_and_forward_state::link_state* store_and_forward_state::relay_for(const waiting_queue& q) {
  if (q.reply_to || relays.empty() || (q.carrier && link_to(*q.carrier, q.data_class)))
    return nullptr;
  auto ways = config.node->routing->load()->ways_to(q.target);
  link_state* best = nullptr;
  auto best_rank = std::pair{3, size_t{0}};
  for (auto& uid : relays) {
    auto link = link_to(uid, q.data_class);
    auto refused = q.refused_by.find(uid);
    if (!link || link->closing || uid == q.carried_for
        || (refused != q.refused_by.end() && refused->second > boot_ms())
        || !covers_any(link->info.peer.relay, q.target))
      continue;
    auto way = std::find_if(ways.begin(), ways.end(), [&](auto& x) { return x.relay == uid; });
    auto rank = way == ways.end() ? std::pair{2, size_t{0}} : std::pair{int{way->away}, way->hops};
    if ((q.carried_for || q.carrier) && rank.first != 0)
      continue;
    if (keeps_order(q, uid))
      rank = {-1, 0};
    if (rank < best_rank) {
      best = link;
      best_rank = rank;
    }
  }
  return best;
}

/// The front of the queue may only follow what this relay has.
bool store_and_forward_state::keeps_order(const waiting_queue& q, const node_uid& relay) const {
  if (q.loaded.empty() || !q.loaded.begin()->second.content
      || q.loaded.begin()->second.content->header.channel.empty())
    return false;
  auto has = queues.find(
    queue_name(std::string{entrusted_mark} + to_string(relay) + '/' + q.target, q.data_class));
  return has != queues.end() && has->second->items > 0;
}

bool store_and_forward_state::may_go(const waiting_queue& q, const ledger::waiting_item& item,
                                     const next_hop& next) const {
  bool ordered = !item.content->header.channel.empty();
  if (!next.relay)
    return !ordered || q.reply_to || q.carrier || q.carried_for
           || !entrusted_waits(q.target, std::nullopt);
  if (item.in_memory || wire::needs_fragments(*item.content, next.link->info.peer.frame_bytes_max))
    return false; // a relay keeps nothing in memory only, and takes only what comes in one piece
  if (!item.content->header.grant_hash.empty())
    return false; // a grant counts between its two nodes only
  if (q.reply_to)
    return q.unwanted.count(item.at) == 0;
  auto& route = item.content->route;
  auto& uid = next.link->info.peer.uid;
  if (std::find(route.begin(), route.end(), uid) != route.end()
      || (q.carried_for && route.size() + 1 > relay_hops_max))
    return false;
  // Two relays with parts of one channel could deliver it in any order.
  return !ordered || (!q.carried_for && !q.carrier && !entrusted_waits(q.target, uid));
}

bool store_and_forward_state::entrusted_waits(const std::string& target,
                                              const std::optional<node_uid>& but) const {
  bool result = false;
  for_each_with_prefix(queues, entrusted_mark, [&](const queue_ptr& q) {
    result = result || (q->items > 0 && q->target == target && q->carrier != but);
  });
  return result;
}

bool store_and_forward_state::within_bound_with_entrusted(const waiting_queue& q) const {
  auto items = q.items + q.entering;
  auto bytes = q.bytes + q.entering_bytes;
  for_each_with_prefix(queues, entrusted_mark, [&](const queue_ptr& x) {
    if (x->target == q.target) {
      items += x->items;
      bytes += x->bytes;
    }
  });
  return items < config.items_per_queue_max && bytes < config.bytes_per_queue_max;
}

envelope_ptr
store_and_forward_state::on_its_way(const ledger::waiting_item& item, const next_hop& next) const {
  bool others = ledger::is_carried(item.id);
  if (!others && !next.relay)
    return item.content;
  auto result = std::make_shared<envelope>(*item.content);
  result->age_ms = age_of(*item.content, clock->now_ms());
  if (others)
    result->route.push_back(config.node->uid);
  result->hops = static_cast<uint32_t>(result->route.size());
  return result;
}

// -- links ----------------------------------------------------------------------------------------

void store_and_forward_state::add_relay_queues(const peer_identity& node,
                                               std::map<std::string, queue_ptr>& to) {
  for (auto mark : {entrusted_mark, carried_mark})
    for_each_with_prefix(queues, mark, [&](const queue_ptr& q) {
      if (is_below(q->target, node.node_address))
        to.emplace(q->name, q);
    });
  for_each_with_prefix(queues, std::string{reply_mark} + to_string(node.uid) + '/',
                       [&](const queue_ptr& q) { to.emplace(q->name, q); });
  if (node.relay.empty())
    return;
  for (auto& [name, q] : queues)
    if (q->reply_by ? *q->reply_by == node.uid
                    : q->items > 0 && !q->reply_to && covers_any(node.relay, q->target))
      to.emplace(name, q);
}

void store_and_forward_state::relay_link_up(const link_state& link) {
  auto& peer = link.info.peer;
  if (peer.relay.empty())
    relays.erase(peer.uid);
  else
    relays.insert(peer.uid);
  for (auto& q : queues_of(peer)) {
    q->relays_demanded_ms = 0;
    q->refused_by.erase(peer.uid);
    blocked.erase({q->blocked_until_ms, q->name});
    q->blocked_until_ms = 0; // who had refused was perhaps somebody else
  }
}

void store_and_forward_state::demand_links(waiting_queue& q, const route& to) {
  if (!q.carrier || !link_to(*q.carrier, q.data_class)) {
    demand_link(q, to);
    demand_relays(q);
    return;
  }
  // A relay has it, and we have the relay: only the owner itself would be better.
  auto direct = to;
  direct.network_addresses = to.node ? to.node->network_addresses : std::vector<std::string>{};
  demand_link(q, direct);
}

/// HLD 8.7 towards relays: those that say they carry for the target, then those that may.
void store_and_forward_state::demand_relays(waiting_queue& q) {
  auto table = config.node->routing->load();
  if (!data_link || table->relays.empty())
    return;
  std::vector<known_node_ptr> nodes;
  auto add = [&](const node_uid& uid) {
    auto i = table->relays.find(uid);
    if (i != table->relays.end() && !i->second->network_addresses.empty()
        && !link_to(uid, q.data_class)
        && std::find(nodes.begin(), nodes.end(), i->second) == nodes.end())
      nodes.push_back(i->second);
  };
  if (q.reply_by || q.carrier) {
    add(q.reply_by ? *q.reply_by : *q.carrier);
  } else if (!q.reply_to && !q.carried_for) {
    for (auto& way : table->ways_to(q.target))
      add(way.relay);
    for (auto& [uid, node] : table->relays)
      if (covers_any(node->relay, q.target))
        add(uid);
  }
  std::vector<std::string> wanted;
  for (auto& node : nodes)
    wanted.push_back(node->address);
  auto until = demand_until(q.latest_ms);
  if (wanted.empty() || (until <= q.relays_demanded_ms && wanted == q.relays_demanded))
    return;
  q.relays_demanded_ms = until;
  q.relays_demanded = std::move(wanted);
  for (auto& node : nodes)
    self->send(data_link, atom::setup_v,
               setup_request{q.target, node->address, node->network_addresses, true,
                             until > boot_ms() ? until - boot_ms() : 0,
                             config.kinds.kinds_of(q.data_class)});
}

// -- what a relay answers -------------------------------------------------------------------------

void store_and_forward_state::relay_accepted(flight x) {
  auto& [q, item, relay, sent_ms] = x;
  left(q, item);
  settling.insert(item.id);
  auto key = item.id;
  bool others = ledger::is_carried(key);
  // Until it is known who has this one, the next of its channel might go to another relay.
  auto channel = others ? std::string{} : channel_of(*item.content);
  if (!channel.empty())
    ++q->channels[channel];
  auto to = others ? nullptr : entrusted_queue(*relay, *q);
  auto ref = others ? ledger::queue_ref{} : reference(to);
  auto next = relay ? *relay : node_uid{};
  auto changed = std::make_shared<bool>(false);
  transaction_step step = [=, now = clock->now_ms()](transaction& t) -> caf::error {
    auto result
      = others ? ledger::passed_on(t, key, next, now) : ledger::entrust(t, key, next, ref);
    if (!result && code_of(result.error()) != ec::not_found)
      return std::move(result.error());
    *changed = result && *result;
    return {};
  };
  self->request(config.store, caf::infinite, atom::defer_v, std::move(step))
    .then(
      [this, others, to, changed, from = q, item = std::move(item)](atom::committed) {
        if (!others)
          landed(*from, *item.content);
        bool ended = settling.erase(item.id) == 0; // meanwhile, by a reply or its time
        if (others && *changed) {
          carried_forgotten(ledger::id_of(item.id));
          note_due(clock->now_ms() + ledger::remember_ms);
        }
        if (others)
          return;
        if (!ended && *changed) {
          counts.entrusted->add();
          entered(to, item);
          pump(to); // the owner may have come meanwhile
        }
        pump(from); // what had to follow it
      },
      [](const caf::error& err) { // it stays counted: what is on disk is sent after a restart
        log::error(component, "a relay's custody was not noted; it may be sent again",
                   {{"error", describe(err)}});
      });
}

void store_and_forward_state::relay_refused(flight x, const refusal& why) {
  auto& [q, item, relay, sent_ms] = x;
  config.node->record(why.id, 11, why.reply, "refused by a relay: " + describe(why.reason));
  if (why.reply
      && why.permanent) { // it passed it on before, or has lost it: only its owner is left
    q->unwanted.insert(item.at);
    put_back(q, std::move(item));
    pump(q);
    return;
  }
  auto wait = why.permanent ? config.relay_retry_ms
                            : std::max<uint64_t>(why.retry_after_ms, config.retry_ms);
  q->refused_by[*relay] = boot_ms() + wait;
  put_back(q, std::move(item));
  bool another = !q->reply_by && relay_for(*q);
  if (another)
    pump(q);
  else
    block(q, boot_ms() + wait);
}

} // namespace rvi
