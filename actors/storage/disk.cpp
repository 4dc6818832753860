// SPDX-License-Identifier: MPL-2.0

#include "actors/storage/disk.hpp"

#include <charconv>

namespace rvi {

namespace {

constexpr std::string_view format_key = "format";

caf::error write_format(durable_disk& disk) {
  auto writing = disk.begin_write();
  if (!writing)
    return writing.error();
  if (auto failure = (*writing)->put(table::meta, format_key, std::to_string(store_format)))
    return failure;
  return (*writing)->commit();
}

expected<std::optional<std::string>> read_format(durable_disk& disk) {
  auto reading = disk.begin_read();
  if (!reading)
    return reading.error();
  return (*reading)->get(table::meta, format_key);
}

} // namespace

caf::error check_format(durable_disk& disk) {
  auto found = read_format(disk);
  if (!found)
    return found.error();
  if (!*found)
    return write_format(disk);
  auto& text = **found;
  uint32_t version = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (failure != std::errc{} || end != text.data() + text.size() || version == 0)
    return caf::make_error(ec::protocol_mismatch,
                           std::string{"the store's format is not a number"});
  if (version > store_format)
    return caf::make_error(ec::protocol_mismatch,
                           "the store has format " + text
                             + ", written by a newer program; this one knows "
                             + std::to_string(store_format));
  return {};
}

} // namespace rvi
