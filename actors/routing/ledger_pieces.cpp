// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/ledger_pieces.hpp"

#include "actors/routing/ledger_records.hpp"
#include "actors/routing/stored_envelope.hpp"
#include "runtime/crypto/crypto.hpp"

#include <algorithm>
#include <functional>

namespace rvi::ledger {

namespace {

// Pieces may come from peers in fragments of any legal size, up to a frame.
constexpr uint64_t piece_bytes_max = 1 << 20;

std::string piece_key(uint64_t seq, uint64_t offset) {
  auto result = seq_key(seq);
  append_u64(result, offset);
  return result;
}

caf::error damaged() {
  return caf::make_error(ec::malformed, std::string{"stored arguments are damaged"});
}

/// Visits the pieces of a record that end behind `from`, in order.
caf::error each_piece(transaction& t, uint64_t seq, uint64_t from,
                      const std::function<bool(uint64_t offset, std::string_view)>& visit) {
  auto first = piece_key(seq, from > piece_bytes_max ? from - piece_bytes_max : 0);
  return t.scan(table::pieces, first, transaction::no_limit,
                [&](std::string_view key, std::string_view value) {
                  if (read_u64(key) != seq)
                    return false;
                  auto offset = read_u64(key.substr(8));
                  return offset + value.size() <= from || visit(offset, value);
                });
}

} // namespace

caf::error put_content(transaction& t, uint64_t seq, const envelope& x) {
  if (!is_large(x))
    return t.append(table::records, seq_key(seq), encode_stored(x));
  if (!x.is_opening())
    t.use_reserve(false); // they would take all of it
  std::string_view arguments = x.arguments;
  for (uint64_t offset = 0; offset < arguments.size(); offset += fragment_bytes_max)
    if (auto err = t.append(table::pieces, piece_key(seq, offset),
                            arguments.substr(offset, fragment_bytes_max)))
      return err;
  return t.append(table::records, seq_key(seq), encode_stored(*opening_of(x)));
}

waiting_item item_of(const position& at, std::string id, const envelope_ptr& x) {
  bool large = is_large(*x);
  return {
    at,        std::move(id),         large && !x->is_opening() ? opening_of(*x) : x, std::nullopt,
    x->size(), x->header.in_memory(), large ? x->header.arguments_length : 0};
}

caf::error drop_pieces(transaction& t, uint64_t seq) {
  std::vector<std::string> keys;
  auto err = each_piece(t, seq, 0, [&](uint64_t offset, std::string_view) {
    keys.push_back(piece_key(seq, offset));
    return true;
  });
  for (auto& key : keys)
    if (!err)
      err = drop(t, table::pieces, key);
  return err;
}

expected<std::string> read_arguments(transaction& t, uint64_t seq, uint64_t offset, size_t bytes) {
  std::string result;
  auto err = each_piece(t, seq, offset, [&](uint64_t begin, std::string_view piece) {
    auto at = offset + result.size();
    if (begin > at)
      return false; // a gap
    result += piece.substr(at - begin, bytes - result.size());
    return result.size() < bytes;
  });
  if (err)
    return err;
  if (result.empty())
    return damaged();
  return result;
}

expected<envelope_ptr> with_arguments(transaction& t, uint64_t seq, const envelope_ptr& x) {
  if (!x->is_opening())
    return x;
  auto whole = std::make_shared<envelope>(*x);
  whole->arguments.reserve(x->header.arguments_length);
  auto err = each_piece(t, seq, 0, [&](uint64_t begin, std::string_view piece) {
    if (begin != whole->arguments.size())
      return false;
    whole->arguments += piece;
    return whole->arguments.size() < x->header.arguments_length;
  });
  if (err)
    return err;
  if (whole->arguments.size() != x->header.arguments_length
      || crypto::view(crypto::sha256(whole->arguments)) != x->header.arguments_sha256)
    return damaged();
  return envelope_ptr{std::move(whole)};
}

// -- what is on its way here ----------------------------------------------------------------------

expected<opened> may_open(transaction& t, const envelope& opening) {
  if (opening.header.is_reply()) {
    auto answers = expects(t, opening);
    if (!answers)
      return std::move(answers.error());
    return *answers == replied::ended  ? opened::fresh
           : *answers == replied::late ? opened::late
                                       : opened::unexpected;
  }
  auto existing = find(t, inbound_key(opening.header.id));
  if (!existing)
    return std::move(existing.error());
  if (!*existing)
    return opened::fresh;
  auto digest = crypto::sha256(opening.header_bytes);
  return crypto::view(digest) == (*existing)->digest() ? opened::duplicate : opened::replayed;
}

caf::error
add_piece(transaction& t, std::string_view id, const partial& x, std::string_view content) {
  t.use_reserve(false);
  storage::Partial row;
  auto before = t.get(table::partials, id);
  if (!before)
    return std::move(before.error());
  if (*before && !row.ParseFromString(**before))
    return damaged();
  if (row.bytes() != x.bytes) // the piece before failed
    return caf::make_error(ec::busy, std::string{"a piece out of order"});
  row.Clear();
  if (!row.mutable_envelope()->ParseFromString(encode_stored(*x.content)))
    return caf::make_error(ec::internal, std::string{"an envelope that cannot be stored"});
  row.set_record(x.record);
  row.set_bytes(x.bytes + content.size());
  row.set_peer(std::string{crypto::view(x.peer)});
  return first_of({t.put(table::pieces, piece_key(x.record, x.bytes), content),
                   t.put(table::partials, id, row.SerializeAsString())});
}

caf::error drop_partial(transaction& t, std::string_view id, uint64_t record) {
  t.use_reserve(true);
  return first_of({drop(t, table::partials, id), drop_pieces(t, record)});
}

namespace {

/// Whether the pieces are what the header says, without having all of them in memory.
expected<bool> is_whole(transaction& t, const partial& x) {
  crypto::sha256_stream hash;
  uint64_t bytes = 0;
  auto err = each_piece(t, x.record, 0, [&](uint64_t begin, std::string_view piece) {
    if (begin != bytes)
      return false;
    hash.update(piece);
    bytes += piece.size();
    return true;
  });
  if (err)
    return err;
  auto& header = x.content->header;
  return bytes == header.arguments_length && crypto::view(hash.finish()) == header.arguments_sha256;
}

} // namespace

expected<completed> complete(transaction& t, std::string_view id, const partial& x,
                             const queue_ref& queue, bool dispatch) {
  completed result;
  auto whole = is_whole(t, x);
  if (!whole)
    return std::move(whole.error());
  if (!*whole) {
    result.mismatch = true;
    if (auto err = drop_partial(t, id, x.record))
      return err;
    return result;
  }
  if (auto err = drop(t, table::partials, id))
    return err;
  bool kept = false;
  if (x.content->header.is_reply()) {
    auto reply = receive_reply(t, *x.content, queue, x.record, &result.left);
    if (!reply)
      return std::move(reply.error());
    result.reply = *reply;
    kept = *reply == replied::ended;
  } else {
    auto request = receive(t, *x.content, x.peer, queue, x.record, dispatch);
    if (!request)
      return std::move(request.error());
    result.request = *request;
    kept = *request == received::stored || *request == received::dispatched;
    if (*request == received::dispatched) {
      auto content = with_arguments(t, x.record, x.content);
      if (!content)
        return std::move(content.error());
      result.whole = std::move(*content);
    }
  }
  if (!kept)
    if (auto err = drop_pieces(t, x.record))
      return err;
  return result;
}

expected<std::vector<partial>> recover_partials(transaction& t) {
  std::vector<partial> result;
  auto err = t.scan(table::partials, {}, transaction::no_limit,
                    [&](std::string_view key, std::string_view value) {
                      storage::Partial row;
                      if (!row.ParseFromArray(value.data(), static_cast<int>(value.size()))
                          || row.peer().size() != 16)
                        return true;
                      auto content = decode_stored(row.envelope().SerializeAsString());
                      if (!content)
                        return true;
                      auto& x = result.emplace_back();
                      x.id = std::string{key};
                      x.content = std::move(*content);
                      x.record = row.record();
                      x.bytes = row.bytes();
                      std::copy_n(row.peer().begin(), 16, reinterpret_cast<char*>(x.peer.data()));
                      return true;
                    });
  if (err)
    return err;
  return result;
}

} // namespace rvi::ledger
