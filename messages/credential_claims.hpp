// SPDX-License-Identifier: MPL-2.0
//
// The claims of a credential, by all their names. Only credential.cpp uses it.
//
//   what it is     JWS           also read as                           COSE
//   issuer         iss                                                  1 (text)
//   end            exp           validity.stop                          4
//   begin          nbf           validity.start                         5
//   creation       iat           create_timestamp                       6
//   id             jti           id                                     7 (cti), or 3 of ours
//   holder's key   cnf.jwk                                              8 {1: COSE_Key}
//   version        ver                                                  1 of ours
//   holder's uid   sub                                                  2 of ours (16 bytes)
//   sources        sources       right_to_receive, right_to_register,   4 of ours
//                                register
//   destinations   destinations  right_to_invoke, invoke                5 of ours
//   relay          relay                                                6 of ours
//   roles          usr                                                  7 of ours
//   administrator  adm                                                  8 of ours
//   delegations    del                                                  9 of ours
//   derived from   par                                                  10 of ours (32 bytes)
//   former keys    former                                               11 of ours (16 bytes each)
//
// JWS names are those of RFC 7519 and RFC 7800 where there is one; "also read as" are those of the
// HLD's certificate (7.2) and of rvi_core. They are never written, and a claim that stands there
// under two names is refused, whatever both say: another reader could take the other one. The key
// in the HLD's `public_key` has no form, that in rvi_core's `device_cert` is RSA: both are refused.
//
// COSE labels are those of RFC 8392 and RFC 8747; ours stand together in a map under -65537, of the
// range for private use. There a uid is 16 bytes, par 32, and a jti that is a UUID 16 bytes in cti
// (7); any other jti is text in 3 of ours. A `sub` (2) as RFC 8392 has it, text, is refused: it
// would be a second one.
//
// Claims beyond these are not looked at, in either form (RFC 7519 4, RFC 8392 3).

#pragma once

#include "messages/credential.hpp"

#include <string>
#include <string_view>

namespace rvi {

struct read_claims {
  credential_claims claims;
  std::string derived_from; // par: SHA-256, 32 bytes; empty: it is the organization's own
};

/// What a credential in this form claims, checked. Error: `credential_invalid`.
expected<read_claims> claims_of(credential_format format, std::string_view payload);

/// The payload of a credential; `derived_from` as in `read_claims`.
std::string
payload_of(credential_format format, const credential_claims& x, std::string_view derived_from);

} // namespace rvi
