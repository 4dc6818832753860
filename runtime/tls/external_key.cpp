// SPDX-License-Identifier: MPL-2.0
//
// provider(7), provider-keymgmt(7), provider-signature(7). OpenSSL first offers every operation to
// its own provider and asks for the key there; ours gives out the public part alone, so signing
// stays here. Verification of peers never comes here: the default provider is preferred.

#include "runtime/tls/external_key.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <memory>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/provider.h>
#include <string>
#include <utility>

namespace rvi::tls {

namespace {

using crypto::algorithm;

constexpr const char* provider_name = "rvi-external-key";
constexpr const char* only_ours = "provider=rvi-external-key";
constexpr const char* key_parameter = "rvi-private-key"; // a `const crypto::private_key*`
constexpr char p256_group[] = "prime256v1";
constexpr size_t ed25519_signature_size = 64;
constexpr size_t p256_signature_size_max = 72; // DER

/// Both what OpenSSL calls a key and what it is compared with.
struct key_object {
  algorithm kind;
  std::string point;
  crypto::private_key secret; // null: the public part alone
};

struct signature_object {
  const key_object* key = nullptr;
};

thread_local caf::error failure;

template <class T>
auto call(int id, T* function) {
  return OSSL_DISPATCH{id, reinterpret_cast<void (*)()>(function)};
}

std::string point_of(const crypto::public_key& x) {
  auto size = x.algorithm() == algorithm::ed25519 ? 32 : 65;
  return x.spki().substr(x.spki().size() - size_t(size));
}

// -- keys ----------------------------------------------------------------------------------------

template <algorithm Kind>
void* new_key(void*) {
  return new key_object{Kind, {}, {}};
}

void free_key(void* x) {
  delete static_cast<key_object*>(x);
}

int has(const void* x, int selection) {
  auto& key = *static_cast<const key_object*>(x);
  return !key.point.empty()
         && ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || bool(key.secret));
}

int match(const void* a, const void* b, int) {
  auto& x = *static_cast<const key_object*>(a);
  auto& y = *static_cast<const key_object*>(b);
  return x.kind == y.kind && !x.point.empty() && x.point == y.point;
}

int import_key(void* x, int, const OSSL_PARAM params[]) {
  auto& key = *static_cast<key_object*>(x);
  const void* bytes = nullptr;
  size_t size = 0;
  if (auto* secret = OSSL_PARAM_locate_const(params, key_parameter)) {
    const crypto::private_key* from = nullptr;
    if (OSSL_PARAM_get_octet_string_ptr(secret, &bytes, &size) != 1 || size != sizeof from)
      return 0;
    std::memcpy(&from, bytes, size);
    key.secret = *from;
    key.point = point_of(from->public_part());
    return 1;
  }
  auto* point = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
  if (point == nullptr || OSSL_PARAM_get_octet_string_ptr(point, &bytes, &size) != 1)
    return 0;
  key.point.assign(static_cast<const char*>(bytes), size);
  return 1;
}

int export_key(void* x, int selection, OSSL_CALLBACK* take, void* arg) {
  auto& key = *static_cast<key_object*>(x);
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && key.secret)
    return 0; // else another provider would try to sign with it
  OSSL_PARAM params[] = {
    OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, key.point.data(), key.point.size()),
    OSSL_PARAM_construct_end(),
    OSSL_PARAM_construct_end(),
  };
  std::string group = p256_group;
  if (key.kind == algorithm::es256)
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0);
  return take(params, arg);
}

const OSSL_PARAM* key_types(int) {
  static const OSSL_PARAM result[] = {
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, nullptr, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, nullptr, 0),
    OSSL_PARAM_octet_string("rvi-private-key", nullptr, 0),
    OSSL_PARAM_END,
  };
  return result;
}

int get_parameters(void* x, OSSL_PARAM params[]) {
  auto& key = *static_cast<key_object*>(x);
  auto p256 = key.kind == algorithm::es256;
  auto number = [params](const char* name, size_t value) {
    auto* p = OSSL_PARAM_locate(params, name);
    return p == nullptr || OSSL_PARAM_set_size_t(p, value) == 1;
  };
  auto text = [params](const char* name, const char* value) {
    auto* p = OSSL_PARAM_locate(params, name);
    return p == nullptr || OSSL_PARAM_set_utf8_string(p, value) == 1;
  };
  auto* point = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PUB_KEY);
  return number(OSSL_PKEY_PARAM_BITS, p256 ? 256 : 253)
         && number(OSSL_PKEY_PARAM_SECURITY_BITS, 128)
         && number(OSSL_PKEY_PARAM_MAX_SIZE,
                   p256 ? p256_signature_size_max : ed25519_signature_size)
         && (p256 ? text(OSSL_PKEY_PARAM_GROUP_NAME, p256_group)
                      && text(OSSL_PKEY_PARAM_DEFAULT_DIGEST, "SHA256")
                  : text(OSSL_PKEY_PARAM_MANDATORY_DIGEST, ""))
         && (point == nullptr
             || OSSL_PARAM_set_octet_string(point, key.point.data(), key.point.size()) == 1);
}

const OSSL_PARAM* gettable_parameters(void*) {
  static const OSSL_PARAM result[] = {
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_BITS, nullptr),
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_SECURITY_BITS, nullptr),
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_MAX_SIZE, nullptr),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, nullptr, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, nullptr, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, nullptr, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, nullptr, 0),
    OSSL_PARAM_END,
  };
  return result;
}

template <algorithm Kind>
const char* operation_name(int) {
  return Kind == algorithm::es256 ? "ECDSA" : "ED25519";
}

template <algorithm Kind>
const OSSL_DISPATCH* key_calls() {
  static const OSSL_DISPATCH result[] = {
    call(OSSL_FUNC_KEYMGMT_NEW, new_key<Kind>),
    call(OSSL_FUNC_KEYMGMT_FREE, free_key),
    call(OSSL_FUNC_KEYMGMT_HAS, has),
    call(OSSL_FUNC_KEYMGMT_MATCH, match),
    call(OSSL_FUNC_KEYMGMT_IMPORT, import_key),
    call(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_types),
    call(OSSL_FUNC_KEYMGMT_EXPORT, export_key),
    call(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_types),
    call(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_parameters),
    call(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable_parameters),
    call(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_name<Kind>),
    {0, nullptr},
  };
  return result;
}

// -- signatures ----------------------------------------------------------------------------------

void* new_signature(void*, const char*) {
  return new signature_object;
}

void free_signature(void* x) {
  delete static_cast<signature_object*>(x);
}

int begin(void* x, const char* hash, void* key, const OSSL_PARAM[]) {
  auto& object = *static_cast<signature_object*>(x);
  if (key != nullptr)
    object.key = static_cast<const key_object*>(key);
  if (object.key == nullptr || !object.key->secret)
    return 0;
  if (object.key->kind == algorithm::ed25519)
    return hash == nullptr || *hash == '\0';
  std::string_view name{hash == nullptr ? "SHA256" : hash};
  return name == "SHA256" || name == "SHA2-256";
}

/// r||s as the pair of integers X.509 and TLS carry; empty on failure.
std::string as_der(std::string_view signature) {
  auto* bytes = reinterpret_cast<const unsigned char*>(signature.data());
  std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> pair{ECDSA_SIG_new(), ECDSA_SIG_free};
  auto* r = BN_bin2bn(bytes, 32, nullptr);
  auto* s = BN_bin2bn(bytes + 32, 32, nullptr);
  if (!pair || r == nullptr || s == nullptr || ECDSA_SIG_set0(pair.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* der = nullptr;
  auto size = i2d_ECDSA_SIG(pair.get(), &der);
  std::string result(reinterpret_cast<char*>(der), size > 0 ? size_t(size) : 0);
  OPENSSL_free(der);
  return result;
}

int sign(void* x, unsigned char* to, size_t* size, size_t room, const unsigned char* message,
         size_t message_size) {
  auto& key = *static_cast<signature_object*>(x)->key;
  auto p256 = key.kind == algorithm::es256;
  if (to == nullptr) {
    *size = p256 ? p256_signature_size_max : ed25519_signature_size;
    return 1;
  }
  auto signature = key.secret.sign({reinterpret_cast<const char*>(message), message_size});
  if (!signature) {
    failure = std::move(signature.error());
    return 0;
  }
  auto result = p256 ? as_der(*signature) : std::move(*signature);
  if (result.empty() || result.size() > room)
    return 0;
  std::copy(result.begin(), result.end(), to);
  *size = result.size();
  return 1;
}

const OSSL_DISPATCH* signature_calls() {
  static const OSSL_DISPATCH result[] = {
    call(OSSL_FUNC_SIGNATURE_NEWCTX, new_signature),
    call(OSSL_FUNC_SIGNATURE_FREECTX, free_signature),
    call(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, begin),
    call(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign),
    {0, nullptr},
  };
  return result;
}

// -- provider ------------------------------------------------------------------------------------

const OSSL_ALGORITHM* offer(void*, int operation, int* no_cache) {
  static const OSSL_ALGORITHM keys[] = {
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", only_ours, key_calls<algorithm::es256>(), nullptr},
    {"ED25519:1.3.101.112", only_ours, key_calls<algorithm::ed25519>(), nullptr},
    {nullptr, nullptr, nullptr, nullptr},
  };
  static const OSSL_ALGORITHM signatures[] = {
    {"ECDSA", only_ours, signature_calls(), nullptr},
    {"ED25519:1.3.101.112", only_ours, signature_calls(), nullptr},
    {nullptr, nullptr, nullptr, nullptr},
  };
  *no_cache = 0;
  if (operation == OSSL_OP_KEYMGMT)
    return keys;
  return operation == OSSL_OP_SIGNATURE ? signatures : nullptr;
}

int start_provider(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH*, const OSSL_DISPATCH** out,
                   void** context) {
  static const OSSL_DISPATCH calls[] = {
    call(OSSL_FUNC_PROVIDER_QUERY_OPERATION, offer),
    {0, nullptr},
  };
  *out = calls;
  *context = const_cast<OSSL_CORE_HANDLE*>(handle);
  return 1;
}

} // namespace

OSSL_LIB_CTX* external_key_library() {
  // Lives as long as the process: so may TLS sessions.
  static auto* result = [] {
    auto* x = OSSL_LIB_CTX_new();
    if (x != nullptr && OSSL_PROVIDER_load(x, "default") != nullptr
        && OSSL_PROVIDER_add_builtin(x, provider_name, start_provider) == 1
        && OSSL_PROVIDER_load(x, provider_name) != nullptr
        && EVP_set_default_properties(x, "?provider=default") == 1)
      return x;
    OSSL_LIB_CTX_free(x);
    return static_cast<OSSL_LIB_CTX*>(nullptr);
  }();
  return result;
}

EVP_PKEY* make_external_key(const crypto::private_key& key) {
  assert(key);
  auto name = key.public_part().algorithm() == algorithm::es256 ? "EC" : "ED25519";
  std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> maker{
    EVP_PKEY_CTX_new_from_name(external_key_library(), name, only_ours), EVP_PKEY_CTX_free};
  auto* from = &key;
  OSSL_PARAM params[] = {
    OSSL_PARAM_construct_octet_string(key_parameter, &from, sizeof from),
    OSSL_PARAM_construct_end(),
  };
  EVP_PKEY* result = nullptr;
  if (!maker || EVP_PKEY_fromdata_init(maker.get()) != 1
      || EVP_PKEY_fromdata(maker.get(), &result, EVP_PKEY_KEYPAIR, params) != 1)
    return nullptr;
  return result;
}

caf::error take_signing_failure() {
  return std::exchange(failure, {});
}

} // namespace rvi::tls
