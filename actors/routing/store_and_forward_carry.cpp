// SPDX-License-Identifier: MPL-2.0
//
// What store and forward carries for others (HLD 11, 13; decisions 4): requests go into a queue of
// their originator and target, bounded for each originator; replies go back to whoever brought the
// request. What waits is judged again before it is sent on.

#include "actors/routing/arrival_check.hpp"
#include "actors/routing/authorization.hpp"
#include "actors/routing/store_and_forward.hpp"
#include "actors/routing/stored_credentials.hpp"
#include "messages/name.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "store-and-forward";
constexpr uint64_t judge_again_ms = 1'000;

/// One envelope to carry on its way into the store.
struct cargo {
  envelope_ptr content;
  store_and_forward_state::queue_ptr queue;
  ledger::queue_ref reference;
  uint64_t seq = 0;
  credential_ptr signer;
  // Set by the step:
  ledger::carried request = ledger::carried::stored;
  ledger::carried_reply reply = ledger::carried_reply::unexpected;
  ledger::queue_place left = {};
};
using cargo_list = std::shared_ptr<std::vector<cargo>>;

caf::error keep(transaction& t, cargo& x) {
  if (x.signer)
    if (auto err = ledger::keep_credential(t, *x.signer))
      return err;
  if (x.content->header.is_reply()) {
    x.left = {};
    auto result = ledger::carry_reply(t, *x.content, x.reference, x.seq, &x.left);
    if (!result)
      return std::move(result.error());
    x.reply = *result;
    return {};
  }
  auto& route = x.content->route;
  auto& from = route.empty() ? x.content->header.id.origin : route.back();
  auto result = ledger::carry(t, *x.content, from, x.reference, x.seq);
  if (!result)
    return std::move(result.error());
  x.request = *result;
  return {};
}

transaction_step keeping(const cargo_list& xs) {
  return [xs](transaction& t) -> caf::error {
    for (auto& x : *xs)
      if (auto err = keep(t, x))
        return err;
    return {};
  };
}

ledger::waiting_item item_of(const cargo& x) {
  auto& header = x.content->header;
  return {{static_cast<uint8_t>(header.priority), x.seq},
          ledger::carried_key(header.id),
          x.content,
          std::nullopt,
          x.content->size()};
}

/// What whoever brought it hears.
void report(custody_report& out, const cargo& x) {
  auto& header = x.content->header;
  auto refuse = [&](ec code, const char* text) {
    auto why = caf::make_error(code, std::string{text});
    audit_refusal(header, why);
    out.refused.push_back({header.id, header.is_reply(), std::move(why), true, 0});
  };
  if (header.is_reply() && x.reply == ledger::carried_reply::unexpected)
    refuse(ec::unauthorized, "no request carried here has this reply");
  else if (!header.is_reply() && x.request == ledger::carried::replayed)
    refuse(ec::replay, "another request had this id");
  else if (!header.is_reply() && x.request == ledger::carried::passed_on)
    refuse(ec::refused, "loop");
  else
    out.accepted.push_back({header.id, header.is_reply()});
}

bool new_here(const cargo& x) {
  return x.content->header.is_reply()
           ? x.reply == ledger::carried_reply::stored
           : x.request == ledger::carried::stored || x.request == ledger::carried::again;
}

} // namespace

batch store_and_forward_state::take_carried(const link_actor& link, batch x) {
  auto rights = config.node->rights->load();
  batch own;
  batch requests;
  batch replies;
  for (auto& content : x) {
    auto& header = content->header;
    if (header.is_reply())
      (header.id.origin == config.node->uid || rights->is_own(header.id.origin) ? own : replies)
        .push_back(std::move(content));
    else
      (is_below(header.target, config.node->node_address) ? own : requests)
        .push_back(std::move(content));
  }
  if (!requests.empty())
    carry(link, requests);
  if (!replies.empty())
    carry_replies(link, replies);
  return own;
}

bool store_and_forward_state::within_quota(const node_uid& origin, size_t bytes,
                                           uint64_t entering) const {
  auto records = carried.find(origin);
  if ((records == carried.end() ? 0 : records->second) + entering >= config.relay_items_max)
    return false;
  auto mark = "$carried/" + to_string(origin) + '/';
  for (auto i = queues.lower_bound(mark); i != queues.end() && i->first.starts_with(mark); ++i)
    bytes += i->second->bytes + i->second->entering_bytes;
  return bytes <= config.relay_bytes_max;
}

void store_and_forward_state::carry(const link_actor& link, const batch& requests) {
  auto out = std::make_shared<custody_report>();
  auto xs = std::make_shared<std::vector<cargo>>();
  auto rights = config.node->rights->load();
  std::map<node_uid, uint64_t> entering;
  std::set<std::string> refused_channels;
  for (auto& content : requests) {
    auto& header = content->header;
    if (header.in_memory() || content->is_opening()) {
      out->refused.push_back(
        {header.id, false,
         header.in_memory()
           ? caf::make_error(ec::refused, std::string{"relays keep no request in memory only"})
           : caf::make_error(ec::too_large, std::string{"relays carry only what is in one piece"}),
         true, 0});
      continue;
    }
    auto q = carried_queue(header);
    auto channel = channel_of(*content);
    bool overtakes = !channel.empty() && refused_channels.count(channel) > 0;
    auto& fresh = entering[header.id.origin];
    if (overtakes || !within_quota(header.id.origin, content->size(), fresh)
        || reserve(q, content->size())) {
      refused_channels.insert(std::move(channel));
      out->refused.push_back({header.id, false,
                              caf::make_error(ec::busy, "too much is carried for this originator"),
                              false, config.retry_ms});
      continue;
    }
    ++fresh;
    note_due(due_of(*content));
    config.node->record(header.id, 13, false, "received to carry on");
    xs->push_back(
      {content, q, reference(q), next_seq++, rights->find_known(header.credential_hash)});
  }
  for (auto& [origin, count] : entering)
    carried[origin] += count; // given back below for what was here already
  auto done = [this, link, xs, out] {
    queue_set touched;
    for (auto& x : *xs) {
      report(*out, x);
      settle(x.queue, x.content->size());
      auto& header = x.content->header;
      if (x.request != ledger::carried::stored)
        carried_forgotten(header.id);
      if (!new_here(x)) {
        counts.duplicates->add();
        continue;
      }
      counts.carried->add();
      entered(x.queue, item_of(x));
      touched.insert(x.queue);
    }
    self->send(link, atom::custody_v, std::move(*out));
    for (auto& q : touched)
      pump(q);
  };
  auto failed = [this, link, xs, out](const caf::error&) {
    for (auto& x : *xs) {
      settle(x.queue, x.content->size());
      carried_forgotten(x.content->header.id);
      out->refused.push_back({x.content->header.id, false,
                              caf::make_error(ec::busy, std::string{"the store takes nothing now"}),
                              false, config.retry_ms});
    }
    self->send(link, atom::custody_v, std::move(*out));
  };
  if (xs->empty())
    self->send(link, atom::custody_v, std::move(*out));
  else
    commit(keeping(xs), std::move(done), std::move(failed));
}

void store_and_forward_state::carry_replies(const link_actor& link, const batch& replies) {
  // First whom each request came from: its reply goes there.
  auto from = std::make_shared<std::map<transaction_id, node_uid>>();
  transaction_step look = [from, replies](transaction& t) -> caf::error {
    from->clear();
    for (auto& x : replies) {
      auto record = ledger::find(t, ledger::carried_key(x->header.id));
      if (!record)
        return std::move(record.error());
      if (*record && (*record)->peer().size() == sizeof(node_uid))
        std::copy_n((*record)->peer().begin(), sizeof(node_uid),
                    reinterpret_cast<char*>((*from)[x->header.id].data()));
    }
    return {};
  };
  auto refuse = [this, link, replies](const caf::error&) {
    custody_report out;
    for (auto& x : replies)
      out.refused.push_back({x->header.id, true,
                             caf::make_error(ec::busy, std::string{"the store takes nothing now"}),
                             false, config.retry_ms});
    self->send(link, atom::custody_v, std::move(out));
  };
  auto keep_all = [this, link, replies, from, refuse](atom::done) {
    auto xs = std::make_shared<std::vector<cargo>>();
    auto rights = config.node->rights->load();
    for (auto& content : replies) {
      auto& id = content->header.id;
      auto peer = from->find(id);
      auto q = reply_queue_for(content->header,
                               peer == from->end() ? std::nullopt : std::optional{peer->second});
      config.node->record(id, 13, true, "received to carry on");
      xs->push_back({content, q, reference(q), next_seq++,
                     rights->find_known(content->header.credential_hash)});
    }
    auto done = [this, link, xs] {
      custody_report out;
      queue_set touched;
      for (auto& x : *xs) {
        report(out, x);
        if (!new_here(x))
          continue;
        auto& header = x.content->header;
        gone(header.id, x.left);
        counts.carried->add();
        entered(x.queue, item_of(x));
        touched.insert(x.queue);
      }
      self->send(link, atom::custody_v, std::move(out));
      for (auto& q : touched)
        pump(q);
    };
    commit(keeping(xs), std::move(done), refuse);
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(look))
    .then(std::move(keep_all), refuse);
}

void store_and_forward_state::carried_forgotten(const transaction_id& id) {
  auto i = carried.find(id.origin);
  if (i != carried.end() && --i->second == 0)
    carried.erase(i);
}

// -- judged again ---------------------------------------------------------------------------------

bool store_and_forward_state::judge_carried(const queue_ptr& q) {
  if (!q->carried_for && !q->reply_to)
    return true;
  auto rights = config.node->rights->load();
  auto now = boot_ms();
  if (q->judged_by == rights && now - q->judged_ms < judge_again_ms)
    return true;
  if (q->asks_credentials)
    return false;
  std::set<std::string> missing;
  std::vector<std::pair<ledger::waiting_item, caf::error>> fallen;
  for (auto i = q->loaded.begin(); i != q->loaded.end();) {
    auto& item = i->second;
    if (!item.content || !ledger::is_carried(item.id)) {
      ++i;
      continue;
    }
    auto& header = item.content->header;
    auto err = rights->check_carried(header, item.content->root->signed_at_ms, clock->now_ms());
    if (code_of(err) == ec::unknown_credential
        && q->no_credentials.count(header.credential_hash) == 0)
      missing.insert(header.credential_hash);
    else if (err && code_of(err) != ec::timeout) { // its time is the clock's to see
      q->in_flight.insert(i->first);
      fallen.emplace_back(std::move(item), std::move(err));
      i = q->loaded.erase(i);
      continue;
    }
    ++i;
  }
  for (auto& [item, why] : fallen)
    drop_carried({q, std::move(item), std::nullopt}, why);
  if (!missing.empty()) {
    read_credentials(q, std::move(missing));
    return false;
  }
  q->judged_by = rights;
  q->judged_ms = now;
  if (fallen.empty())
    return true;
  pump(q); // the front is another now
  return false;
}

void store_and_forward_state::read_credentials(const queue_ptr& q, std::set<std::string> hashes) {
  q->asks_credentials = true;
  auto texts = std::make_shared<std::vector<std::string>>();
  self->request(config.store, caf::infinite, atom::read_v, read_credentials_step(texts, hashes))
    .then(
      [this, q, texts, hashes](atom::done) {
        q->asks_credentials = false;
        auto rights = config.node->rights->load();
        know_again(*rights, *texts);
        for (auto& hash : hashes)
          if (!rights->find_known(hash))
            q->no_credentials.insert(hash);
        pump(q);
      },
      [this, q](const caf::error& err) {
        q->asks_credentials = false;
        block(q, boot_ms() + config.retry_ms);
        log::error(component, "credentials cannot be read", {{"error", describe(err)}});
      });
}

/// Silently: its originator has its own copy, and reports the timeout.
void store_and_forward_state::drop_carried(flight x, const caf::error& why) {
  auto& [q, item, relay, sent_ms] = x;
  left(q, item);
  counts.carried_dropped->add();
  auto id = ledger::id_of(item.id);
  log::info(component, "not carried any further",
            {{"id", to_string(id)}, {"reason", describe(why)}});
  auto dropped = std::make_shared<bool>(false);
  transaction_step step = [dropped, key = item.id](transaction& t) -> caf::error {
    auto result = ledger::drop_carried(t, key);
    if (!result)
      return std::move(result.error());
    *dropped = *result;
    return {};
  };
  self->request(config.store, caf::infinite, atom::defer_v, std::move(step))
    .then(
      [this, id, dropped](atom::committed) {
        if (*dropped)
          carried_forgotten(id);
      },
      [](const caf::error& err) {
        log::error(component, "the store refused a step", {{"error", describe(err)}});
      });
}

} // namespace rvi
