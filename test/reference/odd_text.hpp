// SPDX-License-Identifier: MPL-2.0
//
// JSON and signed texts that are nearly right: members twice, missing, in another order or of
// another type, numbers at their edges, other alphabets, signatures in another form of themselves.

#pragma once

#include "test/unit/simulation/reference_world.hpp"

#include <string>
#include <utility>
#include <vector>

namespace test {

/// A JSON object as its members' texts, so that wrong ones can be written.
using members = std::vector<std::pair<std::string, std::string>>;

std::string quoted(const std::string& x);
std::string list_of(const std::vector<std::string>& values);

/// The object; now and then with white space where JSON allows it.
std::string text_of(const members& xs, dice& roll);

/// One change; some leave the meaning as it was.
void make_odd(members& xs, dice& roll);

/// The same value nearly, or one of another type.
std::string odd_value(const std::string& value, dice& roll);

/// Changes a symbol of a text in base64url, its length or its end.
void damage_symbols(std::string& x, dice& roll);

/// Another signature of 64 bytes that a lax verifier might take for the same (S + L, n - S), or one
/// with an odd point or of another length.
void make_signature_odd(std::string& signature, rvi::crypto::algorithm algorithm, dice& roll);

/// 32 bytes in base64url of points that no strict verifier takes, and of some it does.
std::string odd_point(dice& roll);

/// Who signs a text, and as whom.
struct signing {
  const rvi::crypto::private_key* key = nullptr;
  std::string type;
  const rvi::crypto::private_key* named = nullptr; // whose kid stands there; null: `key`'s
};

/// The protected header and the signature over it and the payload, both in base64url; most are
/// right, and what is wrong is signed as it is.
std::pair<std::string, std::string>
odd_signature(const signing& by, const std::string& payload_symbols, dice& roll);

/// A JWS in compact form of the same kind.
std::string odd_jws(const signing& by, const std::string& payload, dice& roll);

} // namespace test
