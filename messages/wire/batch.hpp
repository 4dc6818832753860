// SPDX-License-Identifier: MPL-2.0
//
// Envelopes to Batch messages and back. Items of one RVI-B1 tree travel together with the hashes
// that are missing between them; a single item travels with its own path.

#pragma once

#include "messages/batches.hpp"
#include "messages/envelope.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace rvi::wire {

class Batch;
class Custody;

/// Where frames begin: each takes envelopes of one tree in ascending order, as many as fit.
class frame_filler {
public:
  explicit frame_filler(size_t frame_bytes_max) : bytes_max_(frame_bytes_max) {}

  /// This envelope, if it were the next, would be the first of a frame.
  bool begins(const envelope& x) const;
  void add(const envelope& x);

private:
  size_t bytes_max_;
  size_t bytes_ = 0; // of the frame so far
  const envelope* previous_ = nullptr;
};

/// Appends frames (with their lengths) that carry the envelopes in their order, each frame at most
/// `frame_bytes_max` long. The caller has checked that each envelope fits alone.
void append_batch_frames(std::string& out, const batch& envelopes, size_t frame_bytes_max);

/// Bytes an envelope needs in a frame of its own, at most.
size_t frame_bytes_of(const envelope& x);

/// A Batch taken apart: every header is canonical, lengths and hashes of arguments agree (but of
/// those that follow in fragments) and all name the batch's credential. The signature is not
/// verified yet.
struct decoded_batch {
  batch_root_ptr root;
  batch items;
  std::vector<std::string> missing_nodes;
  bool tentative = false;
};

/// Error: `malformed`, saying which rule is broken.
expected<decoded_batch> decode_batch(std::string_view batch_bytes, size_t arguments_bytes_max);

/// The root that the items and missing nodes give; with `paths` also the path of each item. Error:
/// `malformed`.
expected<crypto::digest> root_of(const decoded_batch& x, crypto::leaf_paths* paths = nullptr);

void append_custody_frame(std::string& out, const custody_report& x);
/// Error: `malformed`, also for more than 65,536 ids.
expected<custody_report> decode_custody(const Custody& x);

} // namespace rvi::wire
