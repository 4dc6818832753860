// SPDX-License-Identifier: MPL-2.0
//
// Large arguments in services' hands. They are whole in memory from the hand-over to the receipt,
// so only some are handed over at a time; the others stay in the store.

#include "actors/routing/store_and_forward.hpp"

namespace rvi {

bool store_and_forward_state::take_room(const std::string& id, uint64_t bytes, const queue_ptr& q) {
  if (bytes == 0 || room_taken.count(id) != 0)
    return true;
  if (room_taken_bytes > 0 && room_taken_bytes + bytes > config.fragments.handed_over_bytes_max) {
    waiting_for_room.insert(q->name);
    return false;
  }
  room_taken.emplace(id, bytes);
  room_taken_bytes += bytes;
  return true;
}

void store_and_forward_state::give_room(const std::string& id) {
  auto i = room_taken.find(id);
  if (i == room_taken.end())
    return;
  room_taken_bytes -= i->second;
  room_taken.erase(i);
}

void store_and_forward_state::pump_waiting_for_room() {
  if (waiting_for_room.empty() || room_taken_bytes >= config.fragments.handed_over_bytes_max)
    return;
  for (auto& name : std::exchange(waiting_for_room, {}))
    if (auto q = queues.find(name); q != queues.end())
      pump(queue_ptr{q->second});
}

} // namespace rvi
