// SPDX-License-Identifier: MPL-2.0

#include "actors/edge/service_ids.hpp"

#include "actors/routing/request_ledger.hpp"

#include <algorithm>
#include <cassert>

namespace rvi {

namespace {

/// Parts with their lengths before them: no two different lists give the same bytes.
class part_hash {
public:
  part_hash& text(std::string_view x) {
    number(x.size());
    stream_.update(x);
    return *this;
  }
  part_hash& number(uint64_t x) {
    for (int shift = 56; shift >= 0; shift -= 8)
      stream_.update(static_cast<uint8_t>(x >> shift));
    return *this;
  }
  std::string finish() { return std::string{crypto::view(stream_.finish())}; }

private:
  crypto::sha256_stream stream_;
};

caf::error replay(std::string why) {
  return caf::make_error(ec::replay, std::move(why));
}

} // namespace

std::string digest_of(const invoke_call& x, const std::string& target) {
  part_hash hash;
  hash.text(target)
    .text(x.arguments)
    .number(x.timeout_given ? x.timeout_ms : 0)
    .number(x.priority)
    .text(x.channel)
    .number(static_cast<uint64_t>(x.durability))
    .text(x.data_class)
    .number(x.delivery_report ? 1 : 0)
    .number(x.user ? 1 : 0);
  if (x.user)
    hash.text(x.user->name)
      .text(x.user->role)
      .number(x.user->authenticated_ms)
      .text(x.user->method);
  return hash.finish();
}

void service_ids::load(const storage::ServiceIds& x) {
  auto [i, is_new] = sequences_.try_emplace({x.principal(), x.service()});
  if (!is_new)
    return;
  i->second.last_ms = x.last_ms();
  for (auto& each : x.accepted())
    if (auto first = transaction_id_from_bytes(each.transaction_id()))
      i->second.recent.push_back({each.id(), each.digest(), *first, true});
}

expected<std::optional<service_ids::entry>>
service_ids::find(const std::string& principal, const std::string& service, uint64_t id,
                  const std::string& digest) const {
  auto i = sequences_.find({principal, service});
  if (i == sequences_.end() || i->second.recent.empty())
    return std::optional<entry>{};
  auto& recent = i->second.recent;
  for (auto& x : recent) {
    if (x.id != id)
      continue;
    if (x.digest == digest)
      return std::optional{x};
    return replay("service_transaction_id " + std::to_string(id)
                  + " was given to another request before (target, arguments, timeout or an "
                    "option differ)");
  }
  auto last = recent.back().id;
  if (id < last)
    return replay("service_transaction_id " + std::to_string(id) + " is not above the last one, "
                  + std::to_string(last));
  return std::optional<entry>{};
}

service_ids::sequence* service_ids::sequence_of(const service_claim& x) {
  auto i = sequences_.find({x.principal, x.service});
  return i == sequences_.end() ? nullptr : &i->second;
}

/// So that this service can be remembered as well.
caf::error service_ids::make_room(service_claim& x) {
  auto first = sequences_.lower_bound({x.principal, std::string{}});
  auto oldest = sequences_.end();
  size_t count = 0;
  for (auto i = first; i != sequences_.end() && i->first.first == x.principal; ++i, ++count)
    if (oldest == sequences_.end() || i->second.last_ms < oldest->second.last_ms)
      oldest = i;
  if (count < services_with_ids_max)
    return {};
  if (x.now_ms < oldest->second.last_ms + service_ids_kept_ms)
    return caf::make_error(ec::limit_exceeded,
                           x.principal + " has given service_transaction_ids as "
                             + std::to_string(services_with_ids_max)
                             + " services; one is forgotten when it was unused for 90 days");
  x.forgets = oldest->first.second;
  sequences_.erase(oldest);
  return {};
}

caf::error service_ids::take(service_claim& x) {
  auto known = sequence_of(x);
  if (!known) {
    if (auto err = make_room(x))
      return err;
    known = &sequences_[{x.principal, x.service}];
  }
  assert(known->recent.empty() || known->recent.back().id < x.id);
  known->last_ms = std::max(known->last_ms, x.now_ms);
  known->recent.push_back({x.id, x.digest, x.first, false});
  return {};
}

void service_ids::accepted(const service_claim& x) {
  auto known = sequence_of(x);
  if (!known)
    return;
  auto& recent = known->recent;
  size_t count = 0;
  for (auto& each : recent) {
    each.accepted = each.accepted || each.id == x.id;
    count += each.accepted ? 1 : 0;
  }
  // One on its way is never forgotten, nor is the highest.
  while (count > ledger::service_ids_max && recent.front().accepted) {
    recent.erase(recent.begin());
    --count;
  }
}

void service_ids::refused(const service_claim& x) {
  auto known = sequence_of(x);
  if (!known)
    return;
  std::erase_if(known->recent, [&](auto& each) { return each.id == x.id && !each.accepted; });
  if (known->recent.empty())
    sequences_.erase({x.principal, x.service});
}

uint64_t service_ids::last(const std::string& principal, const std::string& service) const {
  auto i = sequences_.find({principal, service});
  return i == sequences_.end() || i->second.recent.empty() ? 0 : i->second.recent.back().id;
}

std::vector<service_claim> service_ids::under_way() const {
  std::vector<service_claim> result;
  for (auto& [name, known] : sequences_)
    for (auto& x : known.recent)
      if (!x.accepted)
        result.push_back({name.first, name.second, x.id, x.digest, x.first, known.last_ms, {}});
  return result;
}

} // namespace rvi
