// SPDX-License-Identifier: MPL-2.0
//
// Signed envelopes and announcements for tests, made the way authorization makes them.

#pragma once

#include "messages/batches.hpp"
#include "messages/envelope.hpp"
#include "messages/wire/header.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace test {

inline rvi::request_header header_of(const rvi::node_uid& origin, uint64_t seq) {
  rvi::request_header x;
  x.kind = rvi::request_kind::rpc;
  x.id = {origin, 7, seq};
  x.source = "jlr.com/vin/1234/services/media_player";
  x.target = "rpc:jlr.com/cloud/media_server/stream_audio";
  x.created_ms = 1'795'000'000'000;
  x.expires_ms = 1'795'000'060'000;
  x.credential_hash = std::string(32, 'c');
  return x;
}

/// One RVI-B1 tree over requests with these arguments.
inline rvi::batch
sign_batch(const rvi::crypto::private_key& key, std::vector<rvi::request_header> headers,
           const std::vector<std::string>& arguments) {
  std::vector<std::string> encoded;
  for (size_t i = 0; i < headers.size(); ++i) {
    headers[i].arguments_length = arguments[i].size();
    headers[i].arguments_sha256 = rvi::crypto::view(rvi::crypto::sha256(arguments[i]));
    encoded.push_back(rvi::wire::encode_header(headers[i]));
  }
  rvi::crypto::digest hash;
  std::copy_n(headers.front().credential_hash.begin(), 32, reinterpret_cast<char*>(hash.data()));
  std::vector<std::string_view> leaves{encoded.begin(), encoded.end()};
  rvi::crypto::batch_tree tree{leaves, hash, headers.front().created_ms};
  auto root = std::make_shared<const rvi::crypto::batch_root>(
    tree.signed_with(key.public_part().algorithm(), *key.sign(tree.to_be_signed())));
  rvi::batch result;
  for (size_t i = 0; i < headers.size(); ++i) {
    auto x = std::make_shared<rvi::envelope>();
    x->header = headers[i];
    x->header_bytes = encoded[i];
    x->arguments = arguments[i];
    x->root = root;
    x->proof = tree.proof(static_cast<uint32_t>(i));
    result.push_back(std::move(x));
  }
  return result;
}

/// One service, announced by the owner of this key.
inline rvi::announce_entry
announced_by(const rvi::crypto::private_key& key, const std::string& credential_hash,
             const rvi::remote_service& x) {
  auto bytes = rvi::wire::encode_announced(x, key.public_part().uid());
  return {bytes, *key.sign("RVI-ANNOUNCE-1" + bytes), credential_hash};
}

} // namespace test
