// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/stored_envelope.hpp"

#include "messages/wire/header.hpp"
#include "storage.pb.h"

#include <algorithm>

namespace rvi {

std::string encode_stored(const envelope& x) {
  storage::StoredEnvelope y;
  y.set_header(x.header_bytes);
  y.set_arguments(x.arguments);
  y.set_batch_id(x.root->batch_id);
  y.set_size(x.root->size);
  y.set_signed_at_ms(x.root->signed_at_ms);
  y.set_algorithm(static_cast<uint32_t>(x.root->algorithm));
  y.set_signature(x.root->signature);
  y.set_credential_hash(x.root->credential_hash);
  y.set_leaf_index(x.proof.index);
  y.set_salt(x.proof.salt);
  for (auto& hash : x.proof.path)
    y.mutable_path()->append(hash);
  y.set_hops(x.hops);
  for (auto& uid : x.route)
    y.mutable_route()->append(crypto::view(uid));
  y.set_age_ms(x.age_ms);
  y.set_received_ms(x.received_ms);
  return y.SerializeAsString();
}

expected<envelope_ptr> decode_stored(std::string_view x) {
  storage::StoredEnvelope y;
  if (!y.ParseFromArray(x.data(), static_cast<int>(x.size())) || y.path().size() % 32 != 0
      || y.route().size() % 16 != 0)
    return caf::make_error(ec::malformed, std::string{"a damaged stored envelope"});
  auto header = wire::decode_kept_header(y.header());
  if (!header)
    return std::move(header.error());
  auto result = std::make_shared<envelope>();
  result->header = std::move(*header);
  result->header_bytes = std::move(*y.mutable_header());
  result->arguments = std::move(*y.mutable_arguments());
  auto root = std::make_shared<crypto::batch_root>();
  root->batch_id = std::move(*y.mutable_batch_id());
  root->size = y.size();
  root->signed_at_ms = y.signed_at_ms();
  root->algorithm = static_cast<crypto::algorithm>(y.algorithm());
  root->signature = std::move(*y.mutable_signature());
  root->credential_hash = std::move(*y.mutable_credential_hash());
  result->root = std::move(root);
  result->proof.index = y.leaf_index();
  result->proof.salt = std::move(*y.mutable_salt());
  for (size_t i = 0; i < y.path().size(); i += 32)
    result->proof.path.push_back(y.path().substr(i, 32));
  result->hops = y.hops();
  result->age_ms = y.age_ms();
  result->received_ms = y.received_ms();
  for (size_t i = 0; i < y.route().size(); i += 16)
    std::copy_n(y.route().data() + i, 16,
                reinterpret_cast<char*>(result->route.emplace_back().data()));
  return envelope_ptr{std::move(result)};
}

} // namespace rvi
