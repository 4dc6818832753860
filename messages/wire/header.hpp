// SPDX-License-Identifier: MPL-2.0
//
// The canonical bytes of a RequestHeader and of an AnnouncedService: what is signed is what is
// carried, and only one encoding of it is accepted (rvi.proto, CANONICAL).

#pragma once

#include "messages/batches.hpp"
#include "messages/envelope.hpp"

#include <string>
#include <string_view>

namespace rvi::wire {

inline constexpr size_t header_bytes_max = size_t{8} << 10;

std::string encode_header(const request_header& x);

/// Refuses every other encoding of the same header. Error: `malformed`.
expected<request_header> decode_header(std::string_view x);

/// For bytes that this node made or accepted before, and that a checksum has kept since: read, not
/// judged again. Error: `malformed`.
expected<request_header> decode_kept_header(std::string_view x);

std::string encode_announced(const remote_service& x, const node_uid& owner);

struct announced {
  remote_service service;
  node_uid owner{};
};

/// Error: `malformed`.
expected<announced> decode_announced(std::string_view x);

} // namespace rvi::wire
