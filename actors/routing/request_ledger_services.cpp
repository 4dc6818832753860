// SPDX-License-Identifier: MPL-2.0
//
// The ids that local services give their own requests (HLD 3.2.4): one small record for each
// service of each principal, written with the request that it is about.

#include "actors/routing/request_ledger.hpp"

#include <algorithm>
#include <vector>

namespace rvi::ledger {

namespace {

std::string service_key(std::string_view principal, std::string_view service) {
  crypto::sha256_stream stream;
  stream.update(service).update(uint8_t{0}).update(principal);
  return std::string{crypto::view(stream.finish())};
}

expected<storage::ServiceIds> read_ids(transaction& t, const std::string& key) {
  auto text = t.get(table::services, key);
  if (!text)
    return std::move(text.error());
  storage::ServiceIds result;
  if (*text && !result.ParseFromString(**text))
    return caf::make_error(ec::malformed, std::string{"the ids of a service cannot be read"});
  return result;
}

} // namespace

// Ids come in order to the edge, but requests that are signed under different credentials may
// overtake each other on their way here: what counts is that none comes twice.
caf::error claim(transaction& t, const service_claim& x) {
  t.use_reserve(false);
  auto key = service_key(x.principal, x.service);
  auto record = read_ids(t, key);
  if (!record)
    return std::move(record.error());
  auto& kept = *record->mutable_accepted();
  auto place = std::find_if(kept.begin(), kept.end(), [&](auto& y) { return y.id() >= x.id; });
  bool full = kept.size() >= static_cast<int>(service_ids_max);
  if ((place != kept.end() && place->id() == x.id) || (full && place == kept.begin()))
    return caf::make_error(ec::replay,
                           "service_transaction_id " + std::to_string(x.id) + " was used before");
  auto index = static_cast<int>(place - kept.begin());
  auto& added = *kept.Add();
  added.set_id(x.id);
  added.set_digest(x.digest);
  added.set_transaction_id(to_bytes(x.first));
  for (auto i = kept.size() - 1; i > index; --i)
    kept.SwapElements(i, i - 1);
  if (full)
    kept.DeleteSubrange(0, 1);
  record->set_principal(x.principal);
  record->set_service(x.service);
  record->set_last_ms(std::max<uint64_t>(record->last_ms(), x.now_ms));
  if (!x.forgets.empty())
    if (auto gone = t.erase(table::services, service_key(x.principal, x.forgets)); !gone)
      return std::move(gone.error());
  return t.put(table::services, key, record->SerializeAsString());
}

expected<std::vector<storage::ServiceIds>> service_ids(transaction& t) {
  std::vector<storage::ServiceIds> result;
  bool damaged = false;
  auto err = t.scan(
    table::services, {}, transaction::no_limit, [&](std::string_view, std::string_view value) {
      damaged = !result.emplace_back().ParseFromArray(value.data(), static_cast<int>(value.size()))
                || damaged;
      return true;
    });
  if (err)
    return err;
  if (damaged)
    return caf::make_error(ec::malformed, std::string{"the ids of a service cannot be read"});
  return result;
}

} // namespace rvi::ledger
