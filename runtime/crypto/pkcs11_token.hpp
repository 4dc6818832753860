// SPDX-License-Identifier: MPL-2.0
//
// Internal to runtime/crypto: one key on one token. The only files that call Cryptoki are this
// one's and pkcs11.cpp.

#pragma once

#include "runtime/crypto/pkcs11.hpp"

#include <chrono>
#include <memory>
#include <mutex>
#include <p11-kit/pkcs11.h>
#include <string>
#include <vector>

namespace rvi::crypto::detail {

using steady = std::chrono::steady_clock;

/// "CKR_DEVICE_REMOVED", or the number.
std::string name_of(CK_RV x);

/// A loaded library; never unloaded, since some start threads. One lock over all calls, because
/// sessions are not to be shared and not every library can do threads.
struct token_module {
  /// The one of this path. Errors: `config_invalid`.
  static expected<std::shared_ptr<token_module>> load(const std::string& path);

  /// Ends all sessions and looks for tokens anew; some libraries do so at no other time.
  CK_RV start_again();

  CK_FUNCTION_LIST* calls = nullptr;
  std::timed_mutex mutex;  // guards all of it
  uint64_t generation = 0; // sessions of an earlier one are gone
};

/// A session in which the key has been found. All members: with the module's lock held.
class token_session {
public:
  token_session(std::shared_ptr<token_module> module, token_uri uri);
  ~token_session(); // takes the lock itself
  token_session(const token_session&) = delete;
  token_session& operator=(const token_session&) = delete;

  /// Opens a session, logs in, finds the key. Errors: as `load_token_key`.
  caf::error open(bool writable = false);
  /// Without the key.
  caf::error log_in(bool writable);
  void close();
  bool is_open() const;

  /// Asks the key just found. Error: `config_invalid` for a kind that no node uses.
  expected<public_key> read_public_key();
  /// CK_RV, and the signature.
  CK_RV sign(algorithm kind, std::string_view message, std::string& signature);
  /// The key must not be there (`refused`).
  caf::error generate(algorithm kind);

  const token_uri& uri() const { return uri_; }
  token_module& module() { return *module_; }

private:
  expected<CK_SLOT_ID> find_slot();
  bool matches(CK_SLOT_ID slot, CK_TOKEN_INFO& info);
  caf::error enter_pin(CK_USER_TYPE user);
  std::vector<CK_OBJECT_HANDLE> find(std::vector<CK_ATTRIBUTE> wanted);
  /// Those of the URI, for objects of this class.
  std::vector<CK_ATTRIBUTE> wanted(CK_OBJECT_CLASS& kind);
  std::string attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
  caf::error error_of(CK_RV x, const std::string& what) const;

  std::shared_ptr<token_module> module_;
  token_uri uri_;
  CK_SESSION_HANDLE session_ = CK_INVALID_HANDLE;
  uint64_t generation_ = 0;
  CK_OBJECT_HANDLE key_ = CK_INVALID_HANDLE;
  bool asks_each_time_ = false; // CKA_ALWAYS_AUTHENTICATE
  bool pin_refused_ = false;    // a token that is asked again and again locks itself
};

} // namespace rvi::crypto::detail
