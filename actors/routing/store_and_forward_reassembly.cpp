// SPDX-License-Identifier: MPL-2.0
//
// Large arguments on their way in (HLD 8.13): an item that was verified opens a transfer, its
// fragments are kept durably one by one, and the whole is taken as if it had come at once. What has
// come outlives lost links and restarts; custody is given for the whole only.

#include "actors/routing/store_and_forward.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";

std::string key_of(const request_header& x) {
  return x.is_reply() ? ledger::originated_key(x.id) : ledger::inbound_key(x.id);
}

refusal
refusal_of(const incoming_transfer& x, caf::error why, bool permanent, uint64_t retry_ms = 0) {
  auto& header = x.kept.content->header;
  return {header.id, header.is_reply(), std::move(why), permanent, retry_ms};
}

uint64_t length_of(const incoming_transfer& x) {
  return x.kept.content->header.arguments_length;
}

bool is_writing(const incoming_transfer& x) {
  return x.taken != x.kept.bytes;
}

caf::error text(ec code, const char* why) {
  return caf::make_error(code, std::string{why});
}

} // namespace

void store_and_forward_state::recover_incoming(const std::vector<ledger::partial>& xs) {
  for (auto& kept : xs) {
    incoming_transfer x;
    x.kept = kept;
    x.taken = kept.bytes;
    x.checking = false;
    counts.fragments_partial->add(1);
    counts.fragments_partial_bytes->add(static_cast<double>(length_of(x)));
    incoming_due.emplace(kept.content->header.expires_ms, kept.id);
    incoming.emplace(kept.id, std::move(x));
  }
}

// -- what the peer is told ------------------------------------------------------------------------

void store_and_forward_state::tell_state(const incoming_transfer& x, uint64_t settled_bytes,
                                         bool told) {
  auto& header = x.kept.content->header;
  if (x.handle)
    self->send(x.handle, atom::fragment_v,
               fragment_state{header.id, header.is_reply(), x.kept.bytes, settled_bytes, told});
}

void store_and_forward_state::tell_custody(incoming_transfer& x, std::optional<refusal> refused) {
  auto& header = x.kept.content->header;
  custody_report report;
  if (refused && refused->permanent)
    audit_refusal(header, refused->reason);
  if (refused)
    report.refused.push_back(std::move(*refused));
  else
    report.accepted.push_back({header.id, header.is_reply()});
  if (x.handle)
    self->send(x.handle, atom::custody_v, std::move(report));
  x.handle = nullptr;
  x.link = 0;
}

// -- opening --------------------------------------------------------------------------------------

/// Makes room by dropping transfers that no link is at; their senders start anew. Those that have
/// not moved for the longest go first.
bool store_and_forward_state::room_for_incoming(const node_uid& peer, uint64_t bytes) {
  auto& bounds = config.fragments;
  for (;;) {
    uint64_t all = bytes;
    uint64_t of_peer = bytes;
    size_t number_of_peer = 1;
    const incoming_transfer* oldest = nullptr;
    const incoming_transfer* oldest_of_peer = nullptr;
    auto consider = [](auto*& best, const incoming_transfer& x) {
      if (!best || x.used_ms < best->used_ms)
        best = &x;
    };
    for (auto& [id, x] : incoming) {
      all += length_of(x);
      bool idle = !x.checking && !is_writing(x) && links.count(x.link) == 0;
      if (idle)
        consider(oldest, x);
      if (x.kept.peer != peer)
        continue;
      of_peer += length_of(x);
      ++number_of_peer;
      if (idle)
        consider(oldest_of_peer, x);
    }
    bool peer_over = of_peer > bounds.incoming_bytes_per_peer_max
                     || number_of_peer > bounds.incoming_per_peer_max;
    bool over = all > bounds.incoming_bytes_max || incoming.size() >= bounds.incoming_max;
    if (!peer_over && !over)
      return true;
    auto victim = peer_over ? oldest_of_peer : oldest;
    if (!victim)
      return false;
    erase_incoming(victim->kept.id);
  }
}

void store_and_forward_state::open_incoming(const link_actor& link, uint64_t number,
                                            const envelope_ptr& opening) {
  auto id = key_of(opening->header);
  if (auto i = incoming.find(id); i != incoming.end()) {
    auto& x = i->second;
    if (x.kept.content->header_bytes == opening->header_bytes) {
      x.handle = link;
      x.link = number;
      if (!x.checking && !is_writing(x)) // else it is told when that is done
        tell_state(x, 0, true);
      return;
    }
    if (x.checking || is_writing(x)) {
      incoming_transfer other;
      other.kept.content = opening;
      other.handle = link;
      tell_custody(other, refusal_of(other, text(ec::busy, "another has this id at the moment"),
                                     false, config.retry_ms));
      return;
    }
    erase_incoming(id); // other content: from the start
  }
  auto over = links.find(number);
  incoming_transfer x;
  x.kept.id = id;
  x.kept.content = opening;
  if (over != links.end())
    x.kept.peer = over->second.info.peer.uid;
  else
    x.kept.peer = opening->header.id.origin; // the news of the link is still on its way
  x.handle = link;
  x.link = number;
  x.used_ms = boot_ms();
  auto q = queue_for(opening->header.target);
  bool queue_full = !opening->header.is_reply() && reserve(q, opening->size());
  if (!queue_full && !opening->header.is_reply())
    settle(q, opening->size()); // its place is taken when it is whole
  if (queue_full || !room_for_incoming(x.kept.peer, length_of(x))) {
    counts.fragments_refused->add();
    tell_custody(x, refusal_of(x, text(ec::busy, "too many large requests are on their way here"),
                               false, config.fragments.busy_retry_ms));
    return;
  }
  x.kept.record = next_seq++;
  counts.fragments_partial->add(1);
  counts.fragments_partial_bytes->add(static_cast<double>(length_of(x)));
  incoming_due.emplace(opening->header.expires_ms, id);
  incoming.emplace(id, std::move(x));
  config.node->record(opening->header.id, 13, opening->header.is_reply(), "opened");
  arm();
  auto found = std::make_shared<ledger::opened>();
  transaction_step step = [found, opening](transaction& t) -> caf::error {
    auto result = ledger::may_open(t, *opening);
    if (!result)
      return std::move(result.error());
    *found = *result;
    return {};
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then([this, id, found](atom::done) { may_open_incoming(id, *found); },
          [this, id](const caf::error&) {
            if (auto i = incoming.find(id); i != incoming.end()) {
              tell_custody(i->second,
                           refusal_of(i->second, text(ec::busy, "the store cannot be read"), false,
                                      config.retry_ms));
              erase_incoming(id);
            }
          });
}

void store_and_forward_state::may_open_incoming(const std::string& id, ledger::opened what) {
  auto i = incoming.find(id);
  if (i == incoming.end())
    return;
  auto& x = i->second;
  x.checking = false;
  switch (what) {
    case ledger::opened::fresh:
      if (x.over)
        end_incoming(id, caf::error{*x.over});
      else
        tell_state(x, 0, true);
      return;
    case ledger::opened::duplicate:
      counts.duplicates->add();
      tell_custody(x, std::nullopt);
      break;
    case ledger::opened::late:
      counts.late_replies->add();
      tell_custody(x, std::nullopt);
      break;
    case ledger::opened::replayed:
      tell_custody(x, refusal_of(x, text(ec::replay, "another request had this id"), true));
      break;
    case ledger::opened::unexpected:
      tell_custody(
        x, refusal_of(x, text(ec::unauthorized, "no request of ours has this reply"), true));
  }
  erase_incoming(id);
}

// -- fragments ------------------------------------------------------------------------------------

void store_and_forward_state::take_fragment(const link_actor& link, uint64_t number,
                                            argument_fragment f) {
  auto i = incoming.find(f.reply ? ledger::originated_key(f.id) : ledger::inbound_key(f.id));
  auto give_back = [&](bool told) {
    counts.fragments_refused->add();
    auto durable = told ? i->second.kept.bytes : 0;
    self->send(link, atom::fragment_v,
               fragment_state{f.id, f.reply, durable, f.content.size(), told});
  };
  if (i == incoming.end() || i->second.link != number || i->second.checking || i->second.over) {
    give_back(false);
    return;
  }
  auto& x = i->second;
  auto& header = x.kept.content->header;
  if (f.offset != x.taken) {
    give_back(!is_writing(x));
    return;
  }
  bool last = f.content.size() == length_of(x) - x.taken;
  if (f.content.size() > length_of(x) - x.taken
      || (!last && f.content.size() < fragment_bytes_min)) {
    counts.fragments_refused->add();
    auto why = text(ec::malformed, "a fragment that is too small or goes beyond the end");
    audit_refusal(header, why);
    self->send(link, atom::close_v, std::string{to_string(ec::malformed)}, detail_of(why));
    return;
  }
  auto rights = config.node->rights->load();
  if (auto err = rights->check_remote(header, x.kept.content->root->signed_at_ms,
                                      config.node->time->wall_ms())) {
    give_back(false);
    if (code_of(err) != ec::unknown_credential) {
      end_incoming(x.kept.id, err);
    } else { // it has fallen out of the cache; a new opening brings it back
      tell_custody(x, refusal_of(x, err, false, config.retry_ms));
    }
    return;
  }
  counts.fragments_received->add();
  x.used_ms = boot_ms();
  if (last)
    keep_last_piece(x, std::move(f.content));
  else
    keep_piece(x, std::move(f.content));
}

void store_and_forward_state::keep_piece(incoming_transfer& x, std::string content) {
  auto id = x.kept.id;
  auto bytes = content.size();
  auto kept = x.kept;
  kept.bytes = x.taken; // others may be on their way into the store
  x.taken += bytes;
  auto piece = std::make_shared<const std::string>(std::move(content));
  commit([kept, piece](transaction& t) { return ledger::add_piece(t, kept.id, kept, *piece); },
         [this, id, bytes] { piece_kept(id, bytes); },
         [this, id, bytes](const caf::error&) { piece_failed(id, bytes); });
}

void store_and_forward_state::piece_kept(const std::string& id, uint64_t bytes) {
  auto& x = incoming.at(id); // nobody erases it while something is being written
  x.kept.bytes += bytes;
  tell_state(x, bytes, !x.over);
  if (x.over && !is_writing(x))
    end_incoming(id, caf::error{*x.over});
}

void store_and_forward_state::piece_failed(const std::string& id, uint64_t bytes) {
  auto& x = incoming.at(id);
  tell_state(x, bytes, false);
  x.taken -= bytes;
  if (x.over) {
    if (!is_writing(x))
      end_incoming(id, caf::error{*x.over});
    return;
  }
  tell_custody(x, refusal_of(x, text(ec::busy, "the store takes nothing now"), false,
                             config.fragments.busy_retry_ms));
}

/// With it the whole is checked and becomes what it would be had it come at once, in one step.
void store_and_forward_state::keep_last_piece(incoming_transfer& x, std::string content) {
  auto id = x.kept.id;
  auto& header = x.kept.content->header;
  auto bytes = content.size();
  auto q = queue_for(header.target);
  auto limit = header.is_reply() ? nullptr : reserve(q, x.kept.content->size());
  if (limit) {
    tell_state(x, bytes, false);
    tell_custody(x, refusal_of(x, refused_at(limit, *q), false, config.fragments.busy_retry_ms));
    return;
  }
  auto table = config.node->routing->load();
  auto service = table->local.find(table->find_local(header.target));
  // What may be handed over at once is, before custody is told: the next of its channel comes then.
  bool dispatch = !header.is_reply() && service != table->local.end() && may_skip_queue(*q)
                  && take_room(id, length_of(x), q);
  if (dispatch)
    ++q->marking;
  auto ref = reference(q);
  ref.idempotent = dispatch && service->second.idempotent;
  note_due(header.expires_ms);
  auto before = x.kept;
  before.bytes = x.taken;
  x.taken += bytes;
  auto piece = std::make_shared<const std::string>(std::move(content));
  auto result = std::make_shared<ledger::completed>();
  commit(
    [before, piece, result, ref, dispatch](transaction& t) -> caf::error {
      if (auto err = ledger::add_piece(t, before.id, before, *piece))
        return err;
      auto done = ledger::complete(t, before.id, before, ref, dispatch);
      if (!done)
        return std::move(done.error());
      *result = std::move(*done);
      return {};
    },
    [this, id, bytes, q, result, dispatch] {
      q->marking -= dispatch ? 1 : 0;
      transfer_complete(id, bytes, q, *result);
      if (dispatch)
        pump(q);
    },
    [this, id, bytes, q, dispatch](const caf::error&) {
      q->marking -= dispatch ? 1 : 0;
      auto& failed = incoming.at(id);
      give_room(id);
      if (!failed.kept.content->header.is_reply())
        settle(q, failed.kept.content->size());
      piece_failed(id, bytes);
    });
}

void store_and_forward_state::transfer_complete(const std::string& id, uint64_t bytes,
                                                const queue_ptr& q, const ledger::completed& done) {
  auto x = std::move(incoming.at(id));
  x.kept.bytes += bytes;
  tell_state(x, bytes, false);
  auto content = x.kept.content;
  auto& header = content->header;
  counts.fragments_partial->add(-1);
  counts.fragments_partial_bytes->add(-static_cast<double>(length_of(x)));
  incoming_due.erase({header.expires_ms, id});
  incoming.erase(id);
  if (!header.is_reply())
    settle(q, content->size());
  if (done.request != ledger::received::dispatched)
    give_room(id);
  if (done.mismatch) {
    counts.fragments_mismatched->add();
    tell_custody(
      x, refusal_of(x, text(ec::malformed, "arguments of another hash than the header's"), true));
    return;
  }
  config.node->record(header.id, 13, header.is_reply(), "received whole");
  ledger::position at{static_cast<uint8_t>(header.priority), x.kept.record};
  ledger::waiting_item item{at, id, nullptr, std::nullopt, 0, false, length_of(x)};
  if (header.is_reply()) {
    if (done.reply == ledger::replied::unexpected) { // it was expected when it was opened
      tell_custody(
        x, refusal_of(x, text(ec::unauthorized, "no request of ours has this reply"), true));
      return;
    }
    tell_custody(x, std::nullopt);
    ended("rpc:" + header.source, header.id);
    if (done.reply == ledger::replied::late)
      counts.late_replies->add();
    if (done.reply != ledger::replied::ended)
      return;
    gone(header.id, done.left);
    entered(q, item);
    announce_outcome(q, std::move(item));
    return;
  }
  item.bytes = content->size();
  bool replayed = done.request == ledger::received::replayed;
  if (done.request == ledger::received::dispatched) {
    item.content = done.whole;
    hand_over(q, {std::move(item)});
  } else if (done.request == ledger::received::stored) {
    item.content = content;
    entered(q, std::move(item));
    pump(q);
  }
  tell_custody(x, replayed ? std::optional{refusal_of(
                    x, text(ec::replay, "another request had this id"), true)}
                           : std::nullopt);
}

// -- ends -----------------------------------------------------------------------------------------

void store_and_forward_state::end_incoming(const std::string& id, const caf::error& why) {
  auto& x = incoming.at(id);
  if (x.checking || is_writing(x)) {
    x.over = why;
    return;
  }
  counts.fragments_refused->add();
  tell_custody(x, refusal_of(x, why, true));
  erase_incoming(id);
}

void store_and_forward_state::erase_incoming(const std::string& id) {
  auto i = incoming.find(id);
  if (i == incoming.end())
    return;
  auto& x = i->second;
  counts.fragments_partial->add(-1);
  counts.fragments_partial_bytes->add(-static_cast<double>(length_of(x)));
  incoming_due.erase({x.kept.content->header.expires_ms, id});
  if (x.kept.bytes > 0)
    commit_later([key = x.kept.id, record = x.kept.record](transaction& t) {
      return ledger::drop_partial(t, key, record);
    });
  incoming.erase(i);
}

void store_and_forward_state::incoming_link_lost(uint64_t link) {
  for (auto& [id, x] : incoming)
    if (x.link == link) {
      x.link = 0;
      x.handle = nullptr;
    }
}

void store_and_forward_state::judge_incoming() {
  auto rights = config.node->rights->load();
  auto now = config.node->time->wall_ms();
  std::vector<std::pair<std::string, caf::error>> fallen;
  for (auto& [id, x] : incoming)
    if (auto err
        = rights->check_remote(x.kept.content->header, x.kept.content->root->signed_at_ms, now);
        err && code_of(err) != ec::unknown_credential && !x.over)
      fallen.emplace_back(id, std::move(err));
  for (auto& [id, why] : fallen) {
    log::warning(component, "a large request loses its rights on its way",
                 {{"id", to_string(ledger::id_of(id))}, {"reason", describe(why)}});
    end_incoming(id, why);
  }
}

void store_and_forward_state::expire_incoming() {
  auto now = clock->now_ms();
  while (!incoming_due.empty() && incoming_due.begin()->first <= now) {
    auto id = incoming_due.begin()->second;
    incoming_due.erase(incoming_due.begin());
    end_incoming(id, text(ec::timeout, "its time was up"));
  }
}

} // namespace rvi
