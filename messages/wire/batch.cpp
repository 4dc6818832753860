// SPDX-License-Identifier: MPL-2.0

#include "messages/wire/batch.hpp"

#include "messages/wire/frame.hpp"
#include "messages/wire/header.hpp"
#include "rvi.pb.h"

#include <algorithm>
#include <map>

namespace rvi::wire {

namespace {

constexpr size_t custody_ids_max = 65'536;
constexpr size_t frame_overhead = 512;
constexpr size_t item_overhead = 96;

caf::error malformed(const char* why) {
  return caf::make_error(ec::malformed, std::string{why});
}

void set_shared(Batch& out, const crypto::batch_root& root) {
  out.set_batch_id(root.batch_id);
  out.set_size(root.size);
  out.set_signed_at_ms(root.signed_at_ms);
  out.set_algorithm(static_cast<SignatureAlgorithm>(root.algorithm));
  out.set_signature(root.signature);
  out.set_credential_hash(root.credential_hash);
}

void add_item(Batch& out, const envelope& x) {
  auto& item = *out.add_items();
  item.set_header(x.header_bytes);
  item.set_arguments(x.arguments);
  item.set_leaf_index(x.proof.index);
  item.set_salt(x.proof.salt);
  item.set_hops(x.hops);
  item.set_age_ms(x.age_ms);
  for (auto& uid : x.route)
    item.add_route(std::string{crypto::view(uid)});
}

/// Completes and appends a frame with the envelopes [first, last) of one tree.
void append_one(std::string& out, batch::const_iterator first, batch::const_iterator last) {
  Frame frame;
  auto& message = *frame.mutable_batch();
  auto& root = *(*first)->root;
  set_shared(message, root);
  std::vector<const crypto::leaf_proof*> proofs;
  std::vector<std::string_view> headers;
  for (auto i = first; i != last; ++i) {
    add_item(message, **i);
    proofs.push_back(&(*i)->proof);
    headers.push_back((*i)->header_bytes);
  }
  if (proofs.size() == 1) {
    for (auto& hash : proofs.front()->path)
      message.mutable_items(0)->add_path(hash);
  } else if (proofs.size() < root.size) {
    for (auto& hash : crypto::missing_nodes(root.size, proofs, headers, root.batch_id))
      message.add_missing_nodes(hash);
  }
  append_frame(out, frame);
}

/// What must agree between an item, its header and its batch.
const char* broken_rule(const Item& item, const request_header& header, const Batch& message) {
  if (header.credential_hash != message.credential_hash())
    return "a header that names another credential than its batch";
  if (item.salt().size() != 16)
    return "a salt that has not 16 bytes";
  if (item.arguments().empty() && header.arguments_length > 0)
    return nullptr; // they follow in fragments
  if (header.arguments_length != item.arguments().size())
    return "arguments of another length than their header says";
  if (crypto::view(crypto::sha256(item.arguments())) != header.arguments_sha256)
    return "arguments that do not match the hash in their header";
  return nullptr;
}

expected<envelope_ptr> decode_item(Item& item, const Batch& message, const batch_root_ptr& root) {
  auto header = decode_header(item.header());
  if (!header)
    return std::move(header.error());
  if (auto why = broken_rule(item, *header, message))
    return malformed(why);
  auto result = std::make_shared<envelope>();
  result->header = std::move(*header);
  result->header_bytes = std::move(*item.mutable_header());
  result->arguments = std::move(*item.mutable_arguments());
  result->root = root;
  result->proof.index = item.leaf_index();
  result->proof.salt = std::move(*item.mutable_salt());
  for (auto& hash : *item.mutable_path())
    result->proof.path.push_back(std::move(hash));
  result->hops = item.hops();
  result->age_ms = item.age_ms();
  for (auto& uid : item.route()) {
    if (uid.size() != 16)
      return malformed("a node in a route that has not 16 bytes");
    std::copy_n(uid.begin(), 16, reinterpret_cast<char*>(result->route.emplace_back().data()));
  }
  return envelope_ptr{std::move(result)};
}

const char* broken_rule(const Batch& x) {
  if (x.batch_id().size() != 16 || x.signature().size() != 64 || x.credential_hash().size() != 32)
    return "a batch field of the wrong length";
  if (x.size() == 0 || x.size() > crypto::batch_leaves_max)
    return "a batch size out of range";
  if (x.algorithm() != ED25519 && x.algorithm() != ES256)
    return "an unknown signature algorithm";
  if (x.items_size() == 0)
    return "a batch without items";
  for (int i = 0; i < x.items_size(); ++i) {
    auto index = x.items(i).leaf_index();
    if (index >= x.size() || (i > 0 && index <= x.items(i - 1).leaf_index()))
      return "leaf indices that do not ascend";
    if (x.items(i).path_size() > 0 && (x.items_size() > 1 || x.missing_nodes_size() > 0))
      return "a path beside other items or missing nodes";
  }
  return nullptr;
}

} // namespace

size_t frame_bytes_of(const envelope& x) {
  return frame_overhead + item_overhead + x.header_bytes.size() + x.arguments.size()
         + 36 * x.proof.path.size() + 18 * x.route.size();
}

bool frame_filler::begins(const envelope& x) const {
  return !previous_ || bytes_ + frame_bytes_of(x) - frame_overhead > bytes_max_
         || x.root->batch_id != previous_->root->batch_id
         || x.proof.index <= previous_->proof.index;
}

void frame_filler::add(const envelope& x) {
  // Each item may bring its whole path as missing nodes.
  bytes_ = begins(x) ? frame_bytes_of(x) : bytes_ + frame_bytes_of(x) - frame_overhead;
  previous_ = &x;
}

void append_batch_frames(std::string& out, const batch& envelopes, size_t frame_bytes_max) {
  auto first = envelopes.begin();
  frame_filler frame{frame_bytes_max};
  for (auto i = first; i != envelopes.end(); ++i) {
    if (i != first && frame.begins(**i)) {
      append_one(out, first, i);
      first = i;
    }
    frame.add(**i);
  }
  if (first != envelopes.end())
    append_one(out, first, envelopes.end());
}

expected<decoded_batch> decode_batch(std::string_view batch_bytes, size_t arguments_bytes_max) {
  Batch message;
  if (!message.ParseFromArray(batch_bytes.data(), static_cast<int>(batch_bytes.size())))
    return malformed("a batch that does not parse");
  if (auto why = broken_rule(message))
    return malformed(why);
  auto root = std::make_shared<crypto::batch_root>();
  root->batch_id = message.batch_id();
  root->size = message.size();
  root->signed_at_ms = message.signed_at_ms();
  root->algorithm = static_cast<crypto::algorithm>(message.algorithm());
  root->credential_hash = message.credential_hash();
  root->signature = message.signature();
  decoded_batch result{root, {}, {}, message.tentative()};
  for (auto& item : *message.mutable_items()) {
    if (item.arguments().size() > arguments_bytes_max)
      return malformed("arguments over the size limit");
    auto x = decode_item(item, message, root);
    if (!x)
      return std::move(x.error());
    result.items.push_back(std::move(*x));
  }
  for (auto& hash : *message.mutable_missing_nodes())
    result.missing_nodes.push_back(std::move(hash));
  return result;
}

expected<crypto::digest> root_of(const decoded_batch& x, crypto::leaf_paths* paths) {
  if (paths && x.items.size() == 1)
    paths->assign(1, x.items.front()->proof.path);
  if (x.items.size() == 1 && x.missing_nodes.empty())
    return crypto::root_from_path(*x.root, x.items.front()->proof, x.items.front()->header_bytes);
  std::vector<crypto::leaf> leaves;
  leaves.reserve(x.items.size());
  for (auto& item : x.items)
    leaves.push_back({item->proof.index, item->proof.salt, item->header_bytes});
  return crypto::root_from_leaves(*x.root, leaves, x.missing_nodes, paths);
}

namespace {

std::string origin_of(const transaction_id& x) {
  return to_bytes(x).substr(0, 20);
}

void set_range(IdRange& out, const transaction_id& first, uint64_t count, bool replies) {
  out.set_origin(origin_of(first));
  out.set_first(first.seq);
  out.set_count(count);
  out.set_replies(replies);
}

expected<std::vector<custody_id>> ids_of(const IdRange& x, size_t ids_max) {
  if (x.origin().size() != 20 || x.count() == 0 || x.count() > ids_max
      || x.first() > UINT64_MAX - x.count())
    return malformed("a custody range out of bounds");
  std::string bytes = x.origin();
  append_u64(bytes, x.first());
  auto id = *transaction_id_from_bytes(bytes);
  std::vector<custody_id> result;
  result.reserve(x.count());
  for (uint64_t i = 0; i < x.count(); ++i, ++id.seq)
    result.push_back({id, x.replies()});
  return result;
}

ec code_from_name(const std::string& name) {
  for (auto i = 1; i <= static_cast<int>(ec::internal); ++i)
    if (name == to_string(static_cast<ec>(i)))
      return static_cast<ec>(i);
  return ec::refused;
}

/// A reason travels as `code` or `code: detail`.
caf::error reason_from_text(const std::string& text) {
  auto colon = text.find(": ");
  return caf::make_error(code_from_name(text.substr(0, colon)),
                         colon == std::string::npos ? std::string{} : text.substr(colon + 2));
}

} // namespace

void append_custody_frame(std::string& out, const custody_report& x) {
  Frame frame;
  auto& message = *frame.mutable_custody();
  for (size_t i = 0; i < x.accepted.size();) {
    auto& first = x.accepted[i];
    uint64_t count = 1;
    for (++i; i < x.accepted.size(); ++i, ++count) {
      auto next = first.id;
      next.seq += count;
      if (x.accepted[i].id != next || x.accepted[i].reply != first.reply)
        break;
    }
    set_range(*message.add_accepted(), first.id, count, first.reply);
  }
  for (auto& refused : x.refused) {
    auto& entry = *message.add_refused();
    set_range(*entry.mutable_ids(), refused.id, 1, refused.reply);
    entry.set_reason(describe(refused.reason).substr(0, 256));
    entry.set_permanent(refused.permanent);
    entry.set_retry_after_ms(refused.retry_after_ms);
  }
  append_frame(out, frame);
}

expected<custody_report> decode_custody(const Custody& x) {
  custody_report result;
  for (auto& range : x.accepted()) {
    auto ids = ids_of(range, custody_ids_max - result.accepted.size());
    if (!ids)
      return std::move(ids.error());
    result.accepted.insert(result.accepted.end(), ids->begin(), ids->end());
  }
  for (auto& entry : x.refused()) {
    auto ids = ids_of(entry.ids(), custody_ids_max - result.refused.size());
    if (!ids)
      return std::move(ids.error());
    for (auto& id : *ids)
      result.refused.push_back({id.id, id.reply, reason_from_text(entry.reason()),
                                entry.permanent(), entry.retry_after_ms()});
  }
  return result;
}

} // namespace rvi::wire
