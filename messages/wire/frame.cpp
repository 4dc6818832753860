// SPDX-License-Identifier: MPL-2.0

#include "messages/wire/frame.hpp"

#include "messages/transaction_id.hpp"
#include "messages/wire/scan.hpp"
#include "rvi.pb.h"

#include <array>

namespace rvi::wire {

namespace {

caf::error malformed(const char* why) {
  return caf::make_error(ec::malformed, std::string{why});
}

caf::error over_limit(const char* what) {
  return caf::make_error(ec::limit_exceeded, std::string{"too many "} + what);
}

/// Counts how often each field of a message occurs; numbers above 15 count as one.
class field_counts {
public:
  static std::optional<field_counts> of(std::string_view bytes) {
    field_counts result;
    field_scanner scanner{bytes};
    while (auto x = scanner.next())
      ++result.counts_[x->number < result.counts_.size() ? x->number : 0];
    return scanner.failed() ? std::nullopt : std::optional{result};
  }
  size_t operator[](size_t number) const { return counts_[number]; }

private:
  std::array<size_t, 16> counts_{};
};

caf::error check_list(std::string_view bytes, size_t number, size_t max, const char* what) {
  auto counts = field_counts::of(bytes);
  if (!counts)
    return malformed("a frame that does not parse");
  return (*counts)[number] > max ? over_limit(what) : caf::error{};
}

caf::error check_batch(std::string_view bytes, const frame_limits& limits) {
  auto counts = field_counts::of(bytes);
  if (!counts)
    return malformed("a batch that does not parse");
  if ((*counts)[6] > limits.items_max)
    return over_limit("items in a batch");
  if ((*counts)[7] > limits.items_max * 10)
    return over_limit("missing nodes in a batch");
  field_scanner scanner{bytes};
  while (auto x = scanner.next()) {
    if (x->number != 6)
      continue;
    auto item = field_counts::of(x->content);
    if (!item)
      return malformed("an item that does not parse");
    if ((*item)[5] > 10)
      return over_limit("path hashes in an item");
    if ((*item)[8] > 16)
      return over_limit("nodes in a route");
  }
  return {};
}

caf::error check_relayed(std::string_view bytes, const frame_limits& limits) {
  if (auto err = check_list(bytes, 2, limits.announce_entries_max, "relayed services"))
    return err;
  if (auto err = check_list(bytes, 3, limits.announce_entries_max, "withdrawn services"))
    return err;
  field_scanner scanner{bytes};
  while (auto x = scanner.next()) {
    if (x->number != 2)
      continue;
    auto entry = field_counts::of(x->content);
    if (!entry)
      return malformed("a relayed service that does not parse");
    if ((*entry)[2] > 16)
      return over_limit("nodes in a route");
  }
  return {};
}

caf::error check_authorize(std::string_view bytes, const frame_limits& limits) {
  field_scanner scanner{bytes};
  while (auto x = scanner.next()) {
    if (x->number != 1)
      continue;
    auto body = field_counts::of(x->content);
    if (!body)
      return malformed("an Authorize that does not parse");
    if ((*body)[5] > limits.credentials_max)
      return over_limit("credentials in an Authorize");
    if ((*body)[7] > limits.serials_max || (*body)[8] > limits.serials_max)
      return over_limit("serials in an Authorize");
  }
  return scanner.failed() ? malformed("an Authorize that does not parse") : caf::error{};
}

} // namespace

void append_frame(std::string& out, const Frame& x) {
  append_u32(out, static_cast<uint32_t>(x.ByteSizeLong()));
  x.AppendToString(&out);
}

expected<std::optional<std::string_view>> frame_reader::next() {
  std::string_view rest = std::string_view{buffer_}.substr(taken_);
  if (rest.size() >= frame_header_bytes) {
    auto length = read_u32(rest);
    if (length == 0 || length > bytes_max_)
      return caf::make_error(ec::limit_exceeded, "a frame of " + std::to_string(length)
                                                   + " bytes, limit " + std::to_string(bytes_max_));
    if (rest.size() >= frame_header_bytes + length) {
      taken_ += frame_header_bytes + length;
      return std::optional{rest.substr(frame_header_bytes, length)};
    }
  }
  // Moves what is left to the front once per burst, not once per frame.
  buffer_.erase(0, taken_);
  taken_ = 0;
  return std::optional<std::string_view>{};
}

caf::error check_frame(std::string_view bytes, const frame_limits& limits) {
  field_scanner scanner{bytes};
  auto content = scanner.next();
  if (!content || content->wire_type != 2 || content->number > Frame::kRelayedAnnounce
      || scanner.next() || scanner.failed())
    return malformed("a frame without exactly one known content");
  switch (content->number) {
    case Frame::kAuthorize:
      return check_authorize(content->content, limits);
    case Frame::kAnnounce:
      return check_list(content->content, 2, limits.announce_entries_max, "announced services");
    case Frame::kBatch:
      return check_batch(content->content, limits);
    case Frame::kCustody:
      if (auto err = check_list(content->content, 1, limits.custody_entries_max, "custody ranges"))
        return err;
      return check_list(content->content, 2, limits.custody_entries_max, "custody refusals");
    case Frame::kNeedCredential:
      return check_list(content->content, 1, limits.credentials_max, "credential hashes");
    case Frame::kCredentialChain:
      return check_list(content->content, 1, limits.credentials_max, "credentials");
    case Frame::kRevocations:
      return check_list(content->content, 1, limits.serials_max, "revocation lists");
    case Frame::kMetricSubscriptions:
      if (auto err = check_list(content->content, 2, limits.metric_subscriptions_max,
                                "subscriptions to metrics"))
        return err;
      return check_list(content->content, 3, limits.metric_subscriptions_max,
                        "ended subscriptions to metrics");
    case Frame::kMetricValues:
      return check_list(content->content, 1, limits.metric_values_max, "metrics");
    case Frame::kRelayedAnnounce:
      return check_relayed(content->content, limits);
    default:
      return {};
  }
}

caf::error parse_frame(std::string_view bytes, const frame_limits& limits, Frame& result) {
  if (auto err = check_frame(bytes, limits))
    return err;
  if (!result.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return malformed("a frame that does not parse");
  return {};
}

} // namespace rvi::wire
