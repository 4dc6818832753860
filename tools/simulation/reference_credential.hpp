// SPDX-License-Identifier: MPL-2.0
//
// Credentials for the reference verifier: JWS compact with the claims of the security design 3.2.5.

#pragma once

#include "tools/simulation/reference_jose.hpp"
#include "tools/simulation/reference_verifier.hpp"

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rvi::simulation::reference {

struct credential {
  std::string hash; // SHA-256 of the text
  std::string issuer;
  std::string id;
  std::string subject; // 32 lowercase hex
  uint64_t not_before_s = 0;
  uint64_t expires_s = 0;
  reference::key key;
  std::vector<std::string> sources;
  std::vector<std::string> destinations;
  std::vector<std::string> relay;                // whom it may carry for
  std::optional<std::vector<std::string>> users; // absent: all
  std::vector<std::string> former;               // uids of keys its holder had before
  bool administrator = false;
  uint64_t delegations = 0;
  std::shared_ptr<const credential> parent; // of a chain, the one it was derived from
};

using credential_text = std::shared_ptr<const credential>;

/// The credential if it holds now, else nothing and in `why` the verdict.
credential_text read_credential(const std::string& jws, const belief& node,
                                const signature_check& holds, judgement& why);

/// All that stands against it now, where the documents leave the order of checks open; what has not
/// the shape of a credential has one objection alone.
std::vector<judgement>
objections(const std::string& jws, const belief& node, const signature_check& holds);

/// SHA-256 of a text.
std::string hash_of(const std::string& jws, const belief& node);

/// What texts say, by the text.
class texts_read {
public:
  struct entry {
    std::string hash;
    credential_text said; // nothing: `why`
    judgement why;
  };

  /// What `read` gave for this text, the first time it was asked.
  const entry& get(const std::string& jws, const std::function<entry()>& read);
  const entry* find(const std::string& jws) const;

private:
  static constexpr size_t entries_max = 32'768;
  std::unordered_map<std::string, entry> entries_;
};

bool covers_any(const std::vector<std::string>& patterns, std::string_view name);

} // namespace rvi::simulation::reference
