// SPDX-License-Identifier: MPL-2.0
//
// What store and forward does with envelopes from peers (HLD 8.13, 13.2).

#include "actors/routing/store_and_forward.hpp"
#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

struct arrival {
  envelope_ptr content;
  store_and_forward_state::queue_ptr queue;
  ledger::queue_ref reference;
  uint64_t seq = 0;
  bool dispatch = false;
  credential_ptr signer = nullptr; // of what a relay brought
  // Set by the step:
  ledger::queue_place left = {}; // the request of a reply waited there
  ledger::received received = ledger::received::stored;
  ledger::replied replied = ledger::replied::unexpected;
};

using arrivals = std::vector<arrival>;

caf::error keep(transaction& t, arrival& x) {
  if (x.content->header.is_reply()) {
    auto result = ledger::receive_reply(t, *x.content, x.reference, x.seq, &x.left);
    if (!result)
      return std::move(result.error());
    x.replied = *result;
    return {};
  }
  auto& route = x.content->route;
  auto& peer = route.empty() ? x.content->header.id.origin : route.back();
  if (x.signer)
    if (auto err = ledger::keep_credential(t, *x.signer))
      return err;
  auto result = ledger::receive(t, *x.content, peer, x.reference, x.seq, x.dispatch);
  if (!result)
    return std::move(result.error());
  x.received = *result;
  return {};
}

/// Its step is done; what waits behind it may go on.
void end_marking(const arrival& x, store_and_forward_state::queue_set& touched) {
  if (!x.dispatch)
    return;
  --x.queue->marking;
  touched.insert(x.queue);
}

/// What the peer hears about one arrival.
void report(custody_report& out, const arrival& x) {
  auto& header = x.content->header;
  bool reply = header.is_reply();
  caf::error why;
  if (!reply && x.received == ledger::received::replayed)
    why = caf::make_error(ec::replay, std::string{"another request had this id"});
  else if (reply && x.replied == ledger::replied::unexpected)
    why = caf::make_error(ec::unauthorized, std::string{"no request of ours has this reply"});
  if (!why) {
    out.accepted.push_back({header.id, reply});
    return;
  }
  audit_refusal(header, why);
  out.refused.push_back({header.id, reply, std::move(why), true, 0});
}

} // namespace

void store_and_forward_state::received(link_actor link, uint64_t number, batch x,
                                       custody_report refused) {
  if (!ready) {
    when_ready([this, link, number, x, refused] { received(link, number, x, refused); });
    return;
  }
  auto over = links.find(number);
  if (over != links.end() && !over->second.used && !x.empty() && !x.front()->header.is_reply()) {
    over->second.used = true; // step 10 came before the request that it is a step of
    auto& header = x.front()->header;
    config.node->trace->add_at(over->second.info.up_us, to_bytes(header.id), 10, header.is_reply(),
                               "data link available");
  }
  if (keep_apart(link, number, x, refused))
    return;
  counts.received->add(x.size());
  bool in_memory = !x.empty() && x.front()->header.in_memory();
  auto all = x.size();
  x = take_carried(link, std::move(x));
  if (x.empty() && all != 0 && refused.refused.empty())
    return;
  auto rights = config.node->rights->load();
  auto table = config.node->routing->load();
  auto xs = std::make_shared<arrivals>();
  std::set<std::string> refused_channels;
  for (auto& content : x) {
    auto& header = content->header;
    auto q = header.is_reply() ? queue_for(header.target) : queue_for(header);
    // What is refused for now takes the later ones of its channel with it.
    auto channel = channel_of(*content);
    bool overtakes = !channel.empty() && refused_channels.count(channel) > 0;
    if (in_memory && settled_in_memory(header, refused))
      continue;
    if (in_memory && !header.is_reply())
      if (auto err = check_in_memory(header)) {
        refused.refused.push_back({header.id, false, std::move(err), true, 0});
        continue;
      }
    if (!header.is_reply()) {
      auto limit = overtakes                                 ? "channel"
                   : in_memory && !config.memory->has_room() ? "memory"
                                                             : reserve(q, content->size());
      if (limit) {
        refused_channels.insert(std::move(channel));
        refused.refused.push_back(
          {header.id, false, refused_at(limit, *q), false, config.retry_ms});
        continue;
      }
    }
    if (content->is_opening()) {
      if (!header.is_reply())
        settle(q, content->size());
      if (!channel.empty())
        refused_channels.insert(std::move(channel)); // until it is whole
      open_incoming(link, number, content);
      continue;
    }
    auto ref = reference(q);
    bool dispatch = false;
    auto service = table->local.find(table->find_local(header.target));
    if (!header.is_reply() && service != table->local.end() && may_skip_queue(*q)) {
      dispatch = true;
      ref.idempotent = service->second.idempotent;
      ++q->marking;
    }
    note_due(header.expires_ms, in_memory);
    config.node->record(header.id, 13, header.is_reply(), "received");
    auto signer = content->route.empty() ? nullptr : rights->find_known(header.credential_hash);
    xs->push_back({content, q, std::move(ref), next_seq++, dispatch, std::move(signer)});
  }
  auto report_refused = std::make_shared<custody_report>(std::move(refused));
  if (xs->empty()) {
    auto& told = *report_refused;
    if (x.empty() || !told.refused.empty() || !told.accepted.empty()) // else all open transfers
      self->send(link, atom::custody_v, std::move(*report_refused));
    return;
  }
  auto step = [xs](transaction& t) -> caf::error {
    for (auto& e : *xs)
      if (auto err = keep(t, e))
        return err;
    return {};
  };
  auto done = [this, link, xs, report_refused] {
    queue_map<std::vector<ledger::waiting_item>> dispatched;
    queue_set touched;
    for (auto& e : *xs) {
      end_marking(e, touched);
      report(*report_refused, e);
      auto& header = e.content->header;
      if (!header.is_reply())
        settle(e.queue, e.content->size());
      ledger::position at{static_cast<uint8_t>(header.priority), e.seq};
      if (header.is_reply()) {
        if (e.replied == ledger::replied::late)
          counts.late_replies->add();
        ended((header.report ? "message:" : "rpc:") + header.source, header.id);
        if (e.replied != ledger::replied::ended)
          continue;
        gone(header.id, e.left);
        ledger::waiting_item item{at,      ledger::originated_key(header.id),
                                  nullptr, ledger::notice_of_reply(*e.content),
                                  0,       header.in_memory()};
        entered(e.queue, item);
        announce_outcome(e.queue, std::move(item));
        continue;
      }
      auto item = ledger::item_of(at, ledger::inbound_key(header.id), e.content);
      if (e.received == ledger::received::dispatched || e.received == ledger::received::stored)
        note_way_back(*e.content);
      if (e.received == ledger::received::dispatched) {
        item.content = e.content; // whole
        dispatched[e.queue].push_back(std::move(item));
      } else if (e.received == ledger::received::stored) {
        entered(e.queue, std::move(item));
        touched.insert(e.queue);
      } else {
        counts.duplicates->add();
      }
    }
    self->send(link, atom::custody_v, std::move(*report_refused));
    for (auto& [q, items] : dispatched)
      hand_over(q, std::move(items));
    for (auto& q : touched)
      pump(q);
  };
  auto failed = [this, link, xs, report_refused](const caf::error&) {
    queue_set touched;
    for (auto& e : *xs) {
      end_marking(e, touched);
      if (!e.content->header.is_reply())
        settle(e.queue, e.content->size());
      report_refused->refused.push_back(
        {e.content->header.id, e.content->header.is_reply(),
         caf::make_error(ec::busy, std::string{"the store takes nothing now"}), false,
         config.retry_ms});
    }
    self->send(link, atom::custody_v, std::move(*report_refused));
    for (auto& q : touched)
      pump(q);
  };
  commit_in(in_memory, std::move(step), std::move(done), std::move(failed));
}

std::string store_and_forward_state::status() const {
  json::writer out;
  out.begin_object();
  out.member("ready", ready);
  out.key("queues").begin_array();
  for (auto& [name, q] : queues) {
    if (q->items == 0)
      continue;
    out.begin_object().member("name", name).member("items", q->items).member("bytes", q->bytes);
    out.member("in_flight", uint64_t{q->in_flight.size()}).end_object();
  }
  out.end_array();
  out.member("handed_over", uint64_t{handed_over.size()});
  uint64_t durable = 0;
  uint64_t sending = 0;
  for (auto& [id, x] : incoming)
    durable += x.kept.bytes;
  for (auto& [number, link] : links)
    sending += link.transfers.size();
  out.key("fragments").begin_object();
  out.member("sending", sending).member("receiving", uint64_t{incoming.size()});
  out.member("received_bytes", durable);
  out.member("whole_bytes", static_cast<uint64_t>(counts.fragments_partial_bytes->value()));
  out.member("resumed", counts.fragments_resumed->value());
  out.member("refused", counts.fragments_refused->value());
  out.member("mismatched", counts.fragments_mismatched->value()).end_object();
  out.member("accepted", counts.accepted->value());
  out.member("transmitted", counts.transmitted->value());
  out.member("received", counts.received->value());
  out.member("duplicates", counts.duplicates->value());
  out.member("dispatched", counts.dispatched->value());
  out.member("expired", counts.expired->value());
  out.member("dead_letters", counts.dead_letters->value());
  out.end_object();
  return out.take();
}

} // namespace rvi
