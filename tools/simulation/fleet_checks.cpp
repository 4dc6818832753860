// SPDX-License-Identifier: MPL-2.0
//
// What is held to the promise besides the book of requests: the reference verifier's judgement of
// each dispatch (I3, I10), stores after power cuts (I7, I11); and the trace of a run. Bounds (I8):
// disk_watch.hpp.

#include "messages/wire/frame.hpp"
#include "rvi.pb.h"
#include "storage.pb.h"
#include "tools/simulation/fleet.hpp"
#include "tools/simulation/reference_verifier.hpp"
#include "tools/simulation/seeded_crypto.hpp"
#include "tools/simulation/sequence.hpp"

#include <algorithm>

namespace rvi::simulation {

namespace {

constexpr uint64_t clone_meetings_min = 3;
constexpr size_t raw_requests_max = 20'000; // as they travelled, the latest
constexpr size_t sequence_lines_max = 1'000'000;
constexpr uint64_t clock_excuse_ms = uint64_t{4} * 60 * 1'000; // near the skew that nodes allow

reference::raw_request raw_form(const envelope& x) {
  reference::raw_request result;
  result.header = x.header_bytes;
  result.arguments = x.arguments;
  result.batch_id = x.root->batch_id;
  result.batch_size = x.root->size;
  result.signed_at_ms = x.root->signed_at_ms;
  result.algorithm = static_cast<int>(x.root->algorithm);
  result.signature = x.root->signature;
  result.leaf_index = x.proof.index;
  result.salt = x.proof.salt;
  result.path = x.proof.path;
  result.credential_hash = x.root->credential_hash;
  return result;
}

/// The hash that stands for Ed25519: the key is the end of its DER.
bool check_simulated(const std::string& spki, std::string_view message,
                     std::string_view signature) {
  return spki.size() >= 32
         && signature == simulated_signature(spki.substr(spki.size() - 32), message);
}

/// The requests in these frames as they travel, by id, each with its own path: a node that receives
/// a whole tree does not keep the paths.
std::vector<std::pair<std::string, reference::raw_request>> requests_in(std::string_view bytes) {
  std::vector<std::pair<std::string, reference::raw_request>> result;
  wire::frame_reader reader{wire::frame_bytes_max_default};
  reader.append(bytes);
  for (auto next = reader.next(); next && *next; next = reader.next()) {
    wire::Frame frame;
    if (!frame.ParseFromArray((*next)->data(), static_cast<int>((*next)->size()))
        || !frame.has_batch())
      continue;
    auto& batch = frame.batch();
    std::vector<reference::raw_request> items;
    bool own_paths = false;
    for (auto& item : batch.items()) {
      auto& x = items.emplace_back();
      x.header = item.header();
      x.arguments = item.arguments();
      x.batch_id = batch.batch_id();
      x.batch_size = batch.size();
      x.signed_at_ms = batch.signed_at_ms();
      x.algorithm = static_cast<int>(batch.algorithm());
      x.signature = batch.signature();
      x.leaf_index = item.leaf_index();
      x.salt = item.salt();
      x.path.assign(item.path().begin(), item.path().end());
      x.credential_hash = batch.credential_hash();
      own_paths = own_paths || !x.path.empty();
    }
    if (!own_paths) {
      auto whole = reference::with_paths(
        std::move(items), {batch.missing_nodes().begin(), batch.missing_nodes().end()});
      items = whole ? std::move(*whole) : std::vector<reference::raw_request>{};
    }
    for (auto& x : items) {
      wire::RequestHeader header;
      bool request = header.ParseFromString(x.header)
                     && (header.kind() == wire::RPC || header.kind() == wire::MESSAGE);
      if (request)
        result.emplace_back(header.transaction_id(), std::move(x));
    }
  }
  return result;
}

uint64_t number_at(const memory_disk& disk, table where, const std::string& key) {
  auto& content = disk.content(where);
  auto i = content.find(key);
  if (i == content.end())
    return 0;
  uint64_t result = 0;
  for (auto c : i->second)
    result = result << 8 | static_cast<uint8_t>(c);
  return result;
}

} // namespace

// -- the reference verifier -----------------------------------------------------------------------

std::vector<std::string> fleet::revocations_of(const simulated_node& x) const {
  std::vector<std::string> result;
  auto& content = x.disk->content(table::nodes);
  constexpr std::string_view prefix = "revocation/";
  for (auto i = content.lower_bound(prefix); i != content.end() && i->first.starts_with(prefix);
       ++i) {
    wire::Revocations lists;
    if (!lists.ParseFromString(i->second))
      continue;
    for (auto& text : lists.lists())
      if (auto list = parse_revocation_list(text))
        for (auto& entry : (*list)->entries)
          result.emplace_back(reinterpret_cast<const char*>(entry.id.data()), entry.id.size());
  }
  return result;
}

void fleet::judge(size_t node, const envelope& x) {
  auto& here = *nodes_[node];
  auto& belief = belief_;
  belief.own_address = here.address;
  auto uid = here.key.public_part().uid();
  belief.own_uid = std::string{crypto::view(uid)};
  belief.own_credentials.clear();
  for (auto& credential : here.credentials)
    belief.own_credentials.push_back(credential->text);
  belief.known_credentials.clear();
  if (auto text = credential_texts_.find(x.root->credential_hash); text != credential_texts_.end())
    belief.known_credentials = {text->second};
  belief.now_ms = start_wall_ms + time_->now_ms();
  auto error = static_cast<uint64_t>(std::abs(here.time->error_ms()));
  belief.skew_ms = reference::belief{}.skew_ms + clock_excuse_ms + 2 * error;
  auto travelled = raw_requests_.find(to_bytes(x.header.id));
  // One of a tree, sent so long ago that it is forgotten here, cannot be judged alone.
  if (travelled == raw_requests_.end() && x.proof.path.empty() && x.root->size > 1) {
    check_revocation(node, x);
    return;
  }
  ++book_.total.verified;
  auto raw = travelled != raw_requests_.end() ? travelled->second : raw_form(x);
  if (raw.arguments.empty())
    raw.arguments = x.arguments; // they came in fragments; their hash is in the header
  for (auto& relay : x.route)    // whoever brought it here
    raw.route.emplace_back(crypto::view(relay));
  belief.relay_credentials = relay_texts_;
  book_.total.relayed += x.route.empty() ? 0 : 1;
  auto judged = reference::judge_request(raw, belief,
                                         options_.real_signatures
                                           ? reference::signature_check{reference::check_signature}
                                           : reference::signature_check{check_simulated});
  bool late = judged.what == reference::verdict::expired; // the book judges times
  if (!judged && !late)
    book_.broken("I3",
                 std::string{"the reference verifier says "} + reference::to_string(judged.what)
                   + ": " + judged.why,
                 to_string(x.header.id), here.address);
  check_revocation(node, x);
}

/// I10. A list counts from the moment after it became durable.
void fleet::check_revocation(size_t node, const envelope& x) {
  if (list_known_ms_.empty())
    return;
  auto text = credential_texts_.find(x.root->credential_hash);
  if (text == credential_texts_.end())
    return;
  auto credential = parse_credential(text->second);
  if (!credential)
    return;
  auto known = list_known_ms_.find(node);
  if (known == list_known_ms_.end() || known->second >= time_->now_ms())
    return;
  auto revoked = revocations_of(*nodes_[node]);
  for (auto& id : {(*credential)->revocation, (*credential)->holder_revocation})
    if (std::find(revoked.begin(), revoked.end(),
                  std::string{reinterpret_cast<const char*>(id.data()), id.size()})
        != revoked.end())
      book_.broken("I10", "dispatched under a credential that this node knows as revoked",
                   to_string(x.header.id), nodes_[node]->address);
}

// -- samples, bounds, recovery --------------------------------------------------------------------

void fleet::take_sample() {
  sample x;
  x.at_ms = time_->now_ms();
  std::vector<uint64_t> up(plan_.groups.size());
  for (auto& node : services_.figures) {
    if (!node.up)
      continue;
    ++up[node.group];
    x.queued += node.queued;
    x.queued_max = std::max(x.queued_max, node.queued);
    x.stored_bytes += node.stored_bytes;
  }
  for (size_t i = 0; i < up.size(); ++i)
    if (up[i] != 0)
      x.up[plan_.groups[i].name] = up[i];
  bool revoked = std::any_of(organizations_.begin(), organizations_.end(),
                             [](auto& y) { return y.second.revocation_serial != 0; });
  if (revoked || !clones_.empty())
    look_into_nodes(x);
  x.links_up = net_->sessions_by_kind();
  x.accepted = book_.total.accepted;
  x.dispatched = book_.total.dispatched;
  for (auto& [status, count] : book_.total.outcomes)
    x.ended += count;
  samples_.push_back(std::move(x));
  time_->after(sample_every_ms_, [this] { take_sample(); });
}

void fleet::look_into_nodes(sample& x) {
  for (auto& node : nodes_) {
    auto context = node->context();
    if (!node->is_up() || !context)
      continue;
    auto rights = context->rights->load();
    // After many rotations the copy's token is no longer known: then it is only suspect.
    clone_noticed_ = clone_noticed_ || (rights->quarantine && !rights->quarantine->empty())
                     || node->clone_suspects->value() > 0;
    auto& issuer = organization_of(*node);
    if (issuer.revocation_serial == 0)
      continue;
    auto& sets = rights->revocations;
    auto set = sets ? sets->find(issuer.name) : revocation_sets::const_iterator{};
    if (sets && set != sets->end() && set->second->version.serial >= issuer.revocation_serial) {
      ++x.revocation_known;
      list_known_ms_.emplace(node->number, time_->now_ms());
    }
  }
}

/// What was accepted must be on the disk that the power cut left (I7), and what only rises has
/// risen (I11).
void fleet::check_recovery(const simulated_node& x) {
  auto& ids = x.disk->content(table::ids);
  if (book_.is_doubled(x.number))
    return;
  auto now = time_->now_ms() + book_.clock_error(x.number);
  book_.each_open(x.number, [&](const request& open) {
    if (open.expires_ms > now && !ids.count(to_bytes(*open.id) + 'o')
        && !ids.count(to_bytes(*open.id) + 'i'))
      book_.broken("I7", "accepted, but not on disk after a power cut", to_string(*open.id),
                   x.address);
  });
  auto epoch = number_at(*x.disk, table::meta, "epoch");
  if (epoch < epochs_[x.number])
    book_.broken("I11", "the epoch went back", {}, x.address);
  epochs_[x.number] = epoch;
}

// -- the end --------------------------------------------------------------------------------------

void fleet::check_end() {
  std::unordered_set<std::string> dead;
  for (auto& node : nodes_)
    for (auto& [key, value] : node->disk->content(table::ids)) {
      storage::IdRecord record;
      if (record.ParseFromString(value) && record.state() == storage::DEAD)
        dead.insert(key.substr(0, transaction_id_bytes));
    }
  book_.check_end(dead);
  // Both must have come to their peer, and come again.
  bool met = std::all_of(clones_.begin(), clones_.end(), [this](size_t copy) {
    auto& [original, before] = clone_of_.at(copy);
    return net_->answered(copy) >= clone_meetings_min
           && net_->answered(original) >= before + clone_meetings_min;
  });
  if (!clones_.empty() && met && !clone_noticed_)
    book_.broken("I10", "nobody noticed that a node was cloned");
  book_.total.links = net_->counts.sessions;
  auto& faults = book_.total.faults;
  auto count = [&](const char* name, uint64_t n) {
    if (n != 0)
      faults[name] += n;
  };
  count("message lost", net_->counts.lost);
  count("message doubled", net_->counts.duplicated);
  count("message replayed", net_->counts.replayed);
  count("message reordered", net_->counts.reordered);
  count("message corrupted", net_->counts.corrupted);
  count("message delayed", net_->counts.delayed);
  count("session reset", net_->counts.resets);
  book_.total.duplicates_offered = net_->counts.duplicated + net_->counts.replayed;
}

// -- the trace ------------------------------------------------------------------------------------

void fleet::trace(uint64_t x) {
  for (auto y : {time_->now_ms(), x}) {
    trace_ = (trace_ ^ y) * 0x100000001b3;
    trace_ ^= trace_ >> 29;
  }
}

void fleet::write_down(const std::string& line) {
  if (options_.sequence && sequence_.size() < sequence_lines_max)
    sequence_.push_back(time_text(time_->now_ms()) + "  " + line);
}

void fleet::remember(std::pair<std::string, reference::raw_request> x) {
  if (raw_requests_.insert_or_assign(x.first, std::move(x.second)).second)
    raw_order_.push_back(std::move(x.first));
  if (raw_order_.size() <= raw_requests_max)
    return;
  raw_requests_.erase(raw_order_.front());
  raw_order_.pop_front();
}

void fleet::carried(size_t from, size_t to, const std::string& kind, const std::string& bytes,
                    const char* fate) {
  trace(from * nodes_.size() + to);
  trace(bytes.size());
  for (auto& x : requests_in(bytes))
    remember(std::move(x));
  if (!options_.sequence)
    return;
  auto text = describe_frames(bytes, options_.sequence_of);
  if (!text.empty())
    write_down(book_.name_of(from) + " -> " + book_.name_of(to) + " [" + kind + "] " + fate + ": "
               + text);
}

// -- trust ----------------------------------------------------------------------------------------

/// Takes a node's key back and gives the list to one node that its organization reaches: the first
/// cloud, else the first node.
void fleet::revoke(size_t node) {
  auto& lost = *nodes_[node];
  auto& issuer = organization_of(lost);
  issuer.revoked.push_back(
    revocation_entry_of(issuer.name, lost.key.public_part().uid(),
                        static_cast<uint32_t>(start_wall_ms / 1'000 + 366 * 86'400)));
  revocation_claims claims;
  claims.issuer = issuer.name;
  claims.version.serial = ++issuer.revocation_serial;
  claims.issued_s = (start_wall_ms + time_->now_ms()) / 1'000;
  claims.next_s = claims.issued_s + 7 * 86'400;
  claims.entries = issuer.revoked;
  list_known_ms_.clear();
  book_.revoked(node);
  auto list = issue_revocation_list(std::move(claims), issuer.key);
  if (!list) {
    write_down("cannot revoke: " + describe(list.error()));
    return;
  }
  for (auto& x : nodes_)
    if (x->is_up() && x->group.organization == issuer.name && x->group.role == "cloud") {
      x->import_revocations((*list)->text);
      return;
    }
}

/// Somebody copied the node's disk and key and runs both: the copy meets whom the node meets.
void fleet::clone(size_t node) {
  auto& original = *nodes_[node];
  auto copy = std::make_unique<simulated_node>(services_, nodes_.size(), original.group,
                                               original.group_number, original.number_in_group);
  copy->key = original.key;
  copy->credentials = original.credentials;
  copy->routes = original.routes;
  copy->disk = original.disk->copy();
  auto number = copy->number;
  clones_.insert(number);
  clone_of_[number] = {node, net_->answered(node)};
  nodes_.push_back(std::move(copy));
  // Nobody can promise anything to two nodes that say they are one.
  book_.revoked(node);
  book_.revoked(number);
  book_.doubled(node);
  book_.doubled(number);
  for (auto i : std::vector<size_t>{net_->paths_of(node)}) {
    auto x = net_->paths()[i];
    (x.from == node ? x.from : x.to) = number;
    x.cut_forth = x.cut_back = false;
    path_random_.emplace_back(options_.seed, "path", net_->paths().size());
    net_->add_path(x);
    if (plan_.links[x.plan].up_ms != 0)
      toggle_reach(net_->paths().size() - 1);
  }
  for (size_t i = 0, n = talkers_.size(); i < n; ++i)
    if (talkers_[i].from == node) {
      auto x = talkers_[i];
      x.from = number;
      x.random = random_source{options_.seed, "clone", i};
      talkers_.push_back(std::move(x));
      next_request(talkers_.size() - 1);
    }
  nodes_[number]->start();
}

} // namespace rvi::simulation
