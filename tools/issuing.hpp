// SPDX-License-Identifier: MPL-2.0
//
// What `rvi credential issue` and `delegate` share: the claims as options, and the credential that
// comes out.

#pragma once

#include "messages/credential.hpp"
#include "tools/report.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace rvi {

/// A new credential's id: RFC 4122 version 4.
std::string random_uuid();

struct issuing_options {
  std::string node;
  std::vector<std::string> sources;
  std::vector<std::string> destinations;
  std::vector<std::string> relay;
  std::vector<std::string> roles;
  uint64_t days = 30;
  uint32_t delegations = 0;
  std::string id;
  std::string not_before;
  std::string not_after;
  std::string out;
  std::string also_cose; // file to make
  output_format format;

  void add_to(CLI::App& app);
  /// Without an issuer. Errors: of the key's file, `bad_request` for a time.
  expected<credential_claims> claims() const;
  /// Writes the file or prints the text, and the file of its COSE twin if there is one; the exit
  /// code.
  int print(const char* me, const credential& x, const credential_ptr& twin = nullptr) const;
};

} // namespace rvi
