// SPDX-License-Identifier: MPL-2.0
//
// Keys and single changes that the request ledger is made of. Only the ledger's own sources use
// them.

#pragma once

#include "actors/routing/request_ledger.hpp"

#include <initializer_list>
#include <string>
#include <string_view>

namespace rvi::ledger {

using storage::IdRecord;

std::string seq_key(uint64_t seq);
std::string queue_key(uint32_t queue, const position& at);
position position_of(std::string_view queue_key);
std::string due_key(uint64_t ms, std::string_view id); // `dead` has the same keys

caf::error first_of(std::initializer_list<caf::error> errors);
caf::error drop(transaction& t, table where, std::string_view key);
caf::error put_record(transaction& t, std::string_view id, const IdRecord& x);
/// Loads a record that must be there. Error: `not_found`.
expected<IdRecord> require(transaction& t, std::string_view id);
bool is_rpc(const IdRecord& x);
/// Its sender is told how it ended.
bool owes_outcome(const IdRecord& x);

/// Of a record of a relay: false if everything was passed on and only the id is remembered.
bool is_carrying(const IdRecord& x);

/// Lists it as a dead letter from now on; the caller puts the record.
caf::error
list_dead(transaction& t, std::string_view id, IdRecord& x, std::string_view why, uint64_t now_ms);

/// Moves an id to another time in `due`; the caller puts the record.
caf::error set_due(transaction& t, std::string_view id, IdRecord& x, uint64_t ms);

enum class entry_kind { request, reply, outcome };

/// Puts an id into a queue; its record remembers where, and the caller puts it.
caf::error enqueue(transaction& t, const queue_ref& queue, uint64_t seq, std::string_view id,
                   IdRecord& x, size_t bytes, entry_kind kind);
caf::error leave_queue(transaction& t, IdRecord& x);
/// Forgets an id and whatever it still holds.
caf::error forget(transaction& t, std::string_view id, IdRecord& x);
/// Where it waits now.
queue_place place_of(transaction& t, const IdRecord& x);
caf::error drop_content(transaction& t, IdRecord& x);
/// The same for the reply that is kept for who asked, if there is one; the caller puts the record.
caf::error drop_outcome(transaction& t, IdRecord& x);
/// Whether this is the reply to the request of the record: its hash and both names agree.
bool is_reply_to(const IdRecord& request, const request_header& x);

/// The same with another time to live, unsigned: of a dead letter given another try.
envelope_ptr living_until(envelope x, uint64_t expires_ms);

/// A new record of an envelope.
IdRecord record_for(const envelope& x, storage::State state, uint64_t seq);

/// One carried for others whose time is up: it goes, silently.
expected<expired_item>
expire_carried(transaction& t, std::string_view id, IdRecord& x, uint64_t now_ms);

/// Makes an outcome durable and queues it for the requesting service.
caf::error finish(transaction& t, std::string_view id, IdRecord& x, std::string_view status,
                  std::string_view detail, const queue_ref& queue, uint64_t seq);

} // namespace rvi::ledger
