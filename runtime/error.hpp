// SPDX-License-Identifier: MPL-2.0
//
// Every error a node reports. A code exists only if some caller acts on it; detail for people goes
// into the error's context, as one string.

#pragma once

#include <caf/error.hpp>
#include <caf/expected.hpp>
#include <caf/make_message.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace rvi {

enum class ec : uint8_t {
  none = 0,
  // What a caller asked for is wrong.
  bad_request,    // malformed JSON, wrong type, missing field
  unknown_method, // no such method
  invalid_name,   // not a topic name or pattern (HLD 6.2)
  unknown_target, // no node or service by that name is known
  too_large,      // over a configured size
  // Rights.
  unauthenticated,          // no token, or a wrong one
  unauthorized,             // the credential or local policy does not allow it
  credential_invalid,       // does not parse, or its signature does not verify
  credential_expired,       // past its validity
  credential_not_yet_valid, // before its validity
  unknown_issuer,           // no pinned key signs it
  unknown_credential,       // a hash nobody has sent the credential for
  signature_invalid,        // an RVI-B1 or session signature does not verify
  replay,                   // an id seen before with other content, or below the settled mark
  // Life of a request.
  timeout,         // its time was up before an outcome
  outcome_unknown, // it was handed over and no outcome will be known
  busy,            // a bound is reached; try again
  refused,         // the target's owner refused it
  // Peers and the wire.
  malformed,         // bytes that do not decode, or not canonically
  limit_exceeded,    // a frame, list or session over its limit
  protocol_mismatch, // the peer speaks another version
  link_down,         // the link ended
  unreachable,       // no address answers
  // The machine.
  store_failed,   // the disk failed; nothing is accepted any more
  store_full,     // no room
  config_invalid, // a configuration error: names file, line and key
  file_unsafe,    // a secret others could read
  io_failed,      // a file or socket operation failed
  shutting_down,  // the node stops
  not_found,      // no such record
  // Rights taken away.
  revoked,     // its issuer's revocation list names the credential
  quarantined, // two hold its key: refused until its issuer gives a new credential
  internal,    // a broken expectation; a bug
};

/// The stable name used in logs, JSON and on the command line.
const char* to_string(ec x);

/// Renders any error for logs and the command line: `code: detail`.
std::string render(uint8_t code, caf::atom_value category, const caf::message& context);

/// `code: detail` for errors of any category.
std::string describe(const caf::error& x);

/// The code of one of our errors; `ec::internal` for errors of another category.
ec code_of(const caf::error& x);

/// The detail string alone; empty if there is none.
std::string detail_of(const caf::error& x);

template <class T>
using expected = caf::expected<T>;

} // namespace rvi

CAF_ERROR_CODE_ENUM(rvi::ec, "rvi")
