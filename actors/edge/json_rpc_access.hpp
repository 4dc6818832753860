// SPDX-License-Identifier: MPL-2.0
//
// Who may talk to the service API: pure rules over one HTTP request. A browser on the same machine
// is the attacker in mind: Host stops DNS rebinding, Origin and Content-Type stop foreign pages.

#pragma once

#include "messages/service_api.hpp"
#include "runtime/crypto/crypto.hpp"
#include "runtime/http/http.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rvi {

/// A secret that stands for a principal; only its hash is kept.
struct access_token {
  std::string name;      // the principal is "token:" and this
  crypto::digest sha256; // of the text
  bool administrator = false;
};

/// From what a token file says: the token itself, or "sha256:" and its hash in hex. Error:
/// `malformed`, also for a token under 16 bytes.
expected<access_token> token_of(std::string name, std::string_view file_text, bool administrator);

struct access_rules {
  std::vector<access_token> tokens;
  /// Names and addresses our clients may know us by, without a port; each is also good with our
  /// port.
  std::vector<std::string> hosts{"127.0.0.1", "localhost", "[::1]"};
  std::vector<std::string> origins; // exact, such as "https://hmi.example"
  std::vector<uint32_t> admin_uids; // besides 0 and our own
  uint16_t port = 0;                // ours
};

/// An answer that ends a request.
struct http_refusal {
  int status = 0;
  const char* text = "";
};

/// The principal behind a Unix socket.
principal principal_of(const access_rules& rules, uint32_t uid, uint32_t gid);

/// The principal behind an Authorization header, in a time that does not tell how much was right.
std::optional<principal> authenticate(const access_rules& rules, std::string_view authorization);

/// Host and Origin (400, 421, 403). Nothing: allowed.
std::optional<http_refusal> check_names(const access_rules& rules, const http::request& x);

/// Method and content type of a call (405, 415). Nothing: allowed.
std::optional<http_refusal> check_post(const http::request& x);

} // namespace rvi
