// SPDX-License-Identifier: MPL-2.0
//
// What a node must know about each request, said a second time without a store, and scripts of
// transactions drawn from a seed. After each transaction the script says what must be there.

#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace test::faults {

enum class state : uint8_t { waiting = 1, custody, ended, held, dispatched, done, dead };

/// One id: a request made here ('o') or to be run here ('i').
struct known {
  state at = state::waiting;
  bool rpc = false;
  bool idempotent = false;
  uint32_t target = 0; // which service
  uint64_t expires_ms = 0;
  uint64_t due_ms = 0;
  uint64_t dead_ms = 0; // since when it is listed as a dead letter
  uint64_t content = 0; // seq of its envelope; 0: gone
  uint64_t reply = 0;   // seq of its reply's envelope; 0: none
  uint64_t queued = 0;  // seq of its place in a queue; 0: it does not wait
  uint32_t queue = 0;   // the queue's number
  std::string outcome;  // how it ended, or why it is dead
  bool operator==(const known&) const = default;
};

/// Key: request number and kind, as in "17o".
using model = std::map<std::pair<uint64_t, char>, known>;

enum class action : uint8_t {
  accept,
  accept_local,
  receive,
  receive_again,
  dispatch,
  hold_again,
  taken,
  dead_letter,
  reply,
  reply_local,
  receive_reply,
  custody,
  end,
  delivered,
  expire,
};

/// One step of the ledger with all its arguments.
struct step {
  action what = action::accept;
  uint64_t number = 0; // the request
  char kind = 'o';     // which of its ids
  bool rpc = false;
  bool dispatch = false; // at once
  bool idempotent = false;
  bool error = false; // the reply is an error
  uint32_t target = 0;
  uint32_t queue = 0; // number of the queue its item enters
  uint32_t size = 0;  // bytes of arguments
  uint64_t seq = 0;   // of what it writes
  uint64_t now_ms = 0;
  uint64_t expires_ms = 0;
};

struct transaction_script {
  bool starts = false; // begins with what a node does at its start: epoch, recovery
  std::vector<step> steps;
  model after;
};

/// Where a script stands.
struct world {
  explicit world(uint64_t seed) : random(seed) {}
  std::mt19937_64 random;
  model now;
  uint64_t now_ms = 1'795'000'000'000;
  uint64_t next_number = 1;
  uint64_t next_seq = 1;
};

/// Applies one step as the promise has it.
void apply_step(model& to, const step& x);

/// A start of the node, then `count` transactions of 1 to 4 steps each.
std::vector<transaction_script> draw_script(world& from, size_t count);

/// What is open ends one way or the other: after it every rpc has its outcome.
std::vector<transaction_script> draw_drain(world& from);

const char* to_string(action x);
std::string describe(const std::pair<uint64_t, char>& id, const known& x);

/// The first difference for people; empty if there is none.
std::string difference(const model& wanted, const model& found);

} // namespace test::faults
