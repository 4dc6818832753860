// SPDX-License-Identifier: MPL-2.0
//
// PKCS#11 2.40: one key on one token. What a token answers is checked like what a peer says.

#include "runtime/crypto/pkcs11_token.hpp"

#include "runtime/crypto/key_state.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <dlfcn.h>
#include <map>

namespace rvi::crypto::detail {

namespace {

constexpr CK_ULONG attribute_bytes_max = 4'096;
constexpr CK_ULONG slots_max = 1'024;
constexpr std::string_view p256_parameters{"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10};
constexpr std::string_view ed25519_parameters{"\x06\x03\x2b\x65\x70", 5};
constexpr std::string_view ed25519_name{"\x13\x0c"
                                        "edwards25519"};
constexpr std::string_view p256_spki{"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08"
                                     "\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
                                     26};
constexpr std::string_view ed25519_spki{"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12};

template <class T>
CK_ATTRIBUTE attribute_of(CK_ATTRIBUTE_TYPE type, T& x) {
  return {type, &x, sizeof x};
}

CK_ATTRIBUTE attribute_of(CK_ATTRIBUTE_TYPE type, std::string_view x) {
  return {type, const_cast<char*>(x.data()), x.size()};
}

CK_UTF8CHAR* text(std::string_view x) {
  return reinterpret_cast<CK_UTF8CHAR*>(const_cast<char*>(x.data()));
}

/// Fields of tokens are padded with spaces.
template <size_t N>
std::string_view trimmed(const unsigned char (&x)[N]) {
  std::string_view result{reinterpret_cast<const char*>(x), N};
  return result.substr(0, result.find_last_not_of(std::string_view{" \0", 2}) + 1);
}

/// The content of an OCTET STRING of that size; some modules leave its head out.
std::string_view point_in(std::string_view x, size_t size) {
  if (x.size() == size + 2 && x[0] == 4 && static_cast<uint8_t>(x[1]) == size)
    x.remove_prefix(2);
  return x.size() == size ? x : std::string_view{};
}

bool is_about_pin(CK_RV x) {
  return x == CKR_PIN_INCORRECT || x == CKR_PIN_INVALID || x == CKR_PIN_LEN_RANGE
         || x == CKR_PIN_EXPIRED || x == CKR_PIN_LOCKED;
}

CK_RV initialize(CK_FUNCTION_LIST* calls) {
  CK_C_INITIALIZE_ARGS args{};
  args.flags = CKF_OS_LOCKING_OK;
  auto result = calls->C_Initialize(&args);
  return result == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : result;
}

} // namespace

std::string name_of(CK_RV x) {
  static constexpr std::array names{
    std::pair{CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR"},
    std::pair{CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED"},
    std::pair{CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR"},
    std::pair{CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED"},
    std::pair{CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT"},
    std::pair{CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED"},
    std::pair{CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED"},
    std::pair{CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID"},
    std::pair{CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED"},
    std::pair{CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN"},
    std::pair{CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED"},
    std::pair{CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID"},
    std::pair{CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED"},
    std::pair{CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID"},
    std::pair{CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"},
    std::pair{CKR_PIN_INVALID, "CKR_PIN_INVALID"},
    std::pair{CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE"},
    std::pair{CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED"},
    std::pair{CKR_PIN_LOCKED, "CKR_PIN_LOCKED"},
  };
  for (auto& [code, name] : names)
    if (code == x)
      return name;
  std::string number(8, '0');
  for (size_t i = 0; i < 8; ++i)
    number[7 - i] = "0123456789abcdef"[x >> 4 * i & 15];
  return "CK_RV 0x" + number;
}

// -- module --------------------------------------------------------------------------------------

expected<std::shared_ptr<token_module>> token_module::load(const std::string& path) {
  static std::mutex mutex;
  static auto& loaded = *new std::map<std::string, std::shared_ptr<token_module>>;
  std::lock_guard guard{mutex};
  if (auto known = loaded.find(path); known != loaded.end())
    return known->second;
  auto refuse = [&path](const std::string& why) {
    return caf::make_error(ec::config_invalid, "PKCS#11 module " + path + ": " + why);
  };
  auto* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return refuse(::dlerror());
  auto list = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  auto result = std::make_shared<token_module>();
  if (list == nullptr || list(&result->calls) != CKR_OK || result->calls == nullptr)
    return refuse("is no PKCS#11 module");
  if (auto rv = initialize(result->calls); rv != CKR_OK)
    return refuse("C_Initialize: " + name_of(rv));
  loaded.emplace(path, result);
  return result;
}

CK_RV token_module::start_again() {
  ++generation;
  calls->C_Finalize(nullptr);
  return initialize(calls);
}

// -- session -------------------------------------------------------------------------------------

token_session::token_session(std::shared_ptr<token_module> module, token_uri uri)
  : module_(std::move(module)),
    uri_(std::move(uri)) {}

token_session::~token_session() {
  std::lock_guard guard{module_->mutex};
  close();
}

bool token_session::is_open() const {
  return session_ != CK_INVALID_HANDLE && generation_ == module_->generation;
}

void token_session::close() {
  if (is_open())
    module_->calls->C_CloseSession(session_);
  session_ = CK_INVALID_HANDLE;
  key_ = CK_INVALID_HANDLE;
}

caf::error token_session::error_of(CK_RV x, const std::string& what) const {
  auto code = is_about_pin(x) ? ec::unauthenticated : ec::busy;
  return caf::make_error(code, uri_.shown() + ": " + what + ": " + name_of(x));
}

bool token_session::matches(CK_SLOT_ID slot, CK_TOKEN_INFO& info) {
  if (module_->calls->C_GetTokenInfo(slot, &info) != CKR_OK
      || (info.flags & CKF_TOKEN_INITIALIZED) == 0)
    return false;
  auto is = [this](const char* name, std::string_view value) {
    auto asked = uri_.path.find(name);
    return asked == uri_.path.end() || asked->second == value;
  };
  return is("token", trimmed(info.label)) && is("serial", trimmed(info.serialNumber))
         && is("manufacturer", trimmed(info.manufacturerID)) && is("model", trimmed(info.model))
         && is("slot-id", std::to_string(slot));
}

expected<CK_SLOT_ID> token_session::find_slot() {
  CK_ULONG count = 0;
  if (auto rv = module_->calls->C_GetSlotList(CK_TRUE, nullptr, &count); rv != CKR_OK)
    return error_of(rv, "looking for tokens");
  std::vector<CK_SLOT_ID> slots(std::min(count, slots_max));
  count = slots.size();
  if (auto rv = module_->calls->C_GetSlotList(CK_TRUE, slots.data(), &count); rv != CKR_OK)
    return error_of(rv, "looking for tokens");
  slots.resize(std::min<size_t>(count, slots.size()));
  CK_TOKEN_INFO info{};
  std::erase_if(slots, [&](CK_SLOT_ID x) { return !matches(x, info); });
  if (slots.empty())
    return caf::make_error(ec::not_found, uri_.shown() + ": no such token");
  if (slots.size() > 1)
    return caf::make_error(ec::config_invalid, uri_.shown() + ": " + std::to_string(slots.size())
                                                 + " tokens fit; name it by serial, too");
  return slots.front();
}

caf::error token_session::enter_pin(CK_USER_TYPE user) {
  if (pin_refused_)
    return caf::make_error(ec::unauthenticated,
                           uri_.shown()
                             + ": the token refused the PIN; it is not tried again "
                               "before a restart");
  if (uri_.pin_file.empty())
    return caf::make_error(ec::config_invalid,
                           uri_.shown() + ": the token asks for a PIN; give pin-source=/a/file");
  auto pin = load_secret_file(uri_.pin_file);
  if (!pin)
    return std::move(pin.error());
  auto size = pin->find_last_not_of("\r\n") + 1;
  auto rv = module_->calls->C_Login(session_, user, text(*pin), size);
  scrub(*pin);
  if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
    return {};
  pin_refused_ = is_about_pin(rv);
  return error_of(rv, "logging in");
}

caf::error token_session::log_in(bool writable) {
  close();
  auto slot = find_slot();
  if (!slot)
    return std::move(slot.error());
  CK_FLAGS flags = CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0);
  generation_ = module_->generation;
  auto rv = module_->calls->C_OpenSession(*slot, flags, nullptr, nullptr, &session_);
  if (rv != CKR_OK) {
    session_ = CK_INVALID_HANDLE;
    return error_of(rv, "opening a session");
  }
  CK_TOKEN_INFO info{};
  rv = module_->calls->C_GetTokenInfo(*slot, &info);
  if (rv != CKR_OK)
    return error_of(rv, "asking the token");
  return (info.flags & CKF_LOGIN_REQUIRED) != 0 ? enter_pin(CKU_USER) : caf::error{};
}

caf::error token_session::open(bool writable) {
  if (auto err = log_in(writable)) {
    close();
    return err;
  }
  CK_OBJECT_CLASS kind = CKO_PRIVATE_KEY;
  auto keys = find(wanted(kind));
  if (keys.size() != 1) {
    close();
    return keys.empty()
             ? caf::make_error(ec::not_found, uri_.shown() + ": no such private key on the token")
             : caf::make_error(ec::config_invalid, uri_.shown() + ": " + std::to_string(keys.size())
                                                     + " private keys fit; name it by id, too");
  }
  key_ = keys.front();
  asks_each_time_ = attribute(key_, CKA_ALWAYS_AUTHENTICATE) == std::string(1, '\1');
  return {};
}

std::vector<CK_ATTRIBUTE> token_session::wanted(CK_OBJECT_CLASS& kind) {
  std::vector result{attribute_of(CKA_CLASS, kind)};
  if (auto label = uri_.path.find("object"); label != uri_.path.end())
    result.push_back(attribute_of(CKA_LABEL, std::string_view{label->second}));
  if (auto id = uri_.path.find("id"); id != uri_.path.end())
    result.push_back(attribute_of(CKA_ID, std::string_view{id->second}));
  return result;
}

std::vector<CK_OBJECT_HANDLE> token_session::find(std::vector<CK_ATTRIBUTE> wanted) {
  std::vector<CK_OBJECT_HANDLE> result(8);
  CK_ULONG count = 0;
  if (module_->calls->C_FindObjectsInit(session_, wanted.data(), wanted.size()) != CKR_OK)
    return {};
  auto rv = module_->calls->C_FindObjects(session_, result.data(), result.size(), &count);
  module_->calls->C_FindObjectsFinal(session_);
  result.resize(rv == CKR_OK ? std::min<size_t>(count, result.size()) : 0);
  return result;
}

std::string token_session::attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  CK_ATTRIBUTE x{type, nullptr, 0};
  if (module_->calls->C_GetAttributeValue(session_, object, &x, 1) != CKR_OK
      || x.ulValueLen > attribute_bytes_max)
    return {};
  std::string result(x.ulValueLen, '\0');
  x.pValue = result.data();
  auto known = module_->calls->C_GetAttributeValue(session_, object, &x, 1) == CKR_OK
               && x.ulValueLen <= result.size();
  result.resize(known ? x.ulValueLen : 0);
  return result;
}

expected<public_key> token_session::read_public_key() {
  if (auto spki = attribute(key_, CKA_PUBLIC_KEY_INFO); !spki.empty())
    if (auto result = public_key::from_spki(spki))
      return result;
  CK_OBJECT_CLASS kind = CKO_PUBLIC_KEY;
  auto id = attribute(key_, CKA_ID);
  auto public_parts
    = id.empty()
        ? find(wanted(kind))
        : find({attribute_of(CKA_CLASS, kind), attribute_of(CKA_ID, std::string_view{id})});
  for (auto object : public_parts) {
    auto parameters = attribute(object, CKA_EC_PARAMS);
    auto point = attribute(object, CKA_EC_POINT);
    if (parameters == p256_parameters)
      return public_key::from_spki(std::string{p256_spki} + std::string{point_in(point, 65)});
    if (parameters == ed25519_parameters || parameters == ed25519_name)
      return public_key::from_spki(std::string{ed25519_spki} + std::string{point_in(point, 32)});
  }
  return caf::make_error(ec::config_invalid,
                         uri_.shown()
                           + (public_parts.empty()
                                ? ": the token has no public key of that id or name beside it"
                                : ": the key is neither P-256 nor Ed25519"));
}

CK_RV token_session::sign(algorithm kind, std::string_view message, std::string& signature) {
  CK_MECHANISM mechanism{kind == algorithm::es256 ? CKM_ECDSA : CKM_EDDSA, nullptr, 0};
  auto& calls = *module_->calls;
  if (auto rv = calls.C_SignInit(session_, &mechanism, key_); rv != CKR_OK)
    return rv;
  if (asks_each_time_)
    if (auto err = enter_pin(CKU_CONTEXT_SPECIFIC))
      return pin_refused_ ? CKR_PIN_INCORRECT : CKR_USER_NOT_LOGGED_IN;
  std::string hash;
  if (kind == algorithm::es256) { // raw ECDSA: the module may not know the hash
    hash = view(sha256(message));
    message = hash;
  }
  signature.assign(128, '\0');
  CK_ULONG size = signature.size();
  auto rv = calls.C_Sign(session_, text(message), message.size(), text(signature), &size);
  signature.resize(rv == CKR_OK ? std::min<size_t>(size, signature.size()) : 0);
  return rv;
}

caf::error token_session::generate(algorithm kind) {
  CK_OBJECT_CLASS secret = CKO_PRIVATE_KEY;
  if (!find(wanted(secret)).empty())
    return caf::make_error(ec::refused,
                           uri_.shown() + ": the token has this key already; it is not replaced");
  auto p256 = kind == algorithm::es256;
  CK_MECHANISM mechanism{p256 ? CKM_EC_KEY_PAIR_GEN : CKM_EC_EDWARDS_KEY_PAIR_GEN, nullptr, 0};
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  auto label = uri_.path["object"];
  auto named = uri_.path.find("id");
  auto id = named != uri_.path.end() ? named->second : random_bytes(8);
  std::vector shared{attribute_of(CKA_TOKEN, yes), attribute_of(CKA_LABEL, std::string_view{label}),
                     attribute_of(CKA_ID, std::string_view{id})};
  auto open_part = shared;
  open_part.push_back(attribute_of(CKA_VERIFY, yes));
  // Both spellings of Ed25519 are in use; this is the older, which SoftHSM takes.
  open_part.push_back(attribute_of(CKA_EC_PARAMS, p256 ? p256_parameters : ed25519_name));
  auto secret_part = shared;
  for (auto type : {CKA_SIGN, CKA_PRIVATE, CKA_SENSITIVE})
    secret_part.push_back(attribute_of(type, yes));
  secret_part.push_back(attribute_of(CKA_EXTRACTABLE, no));
  CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE;
  auto make = [&] {
    return module_->calls->C_GenerateKeyPair(session_, &mechanism, open_part.data(),
                                             open_part.size(), secret_part.data(),
                                             secret_part.size(), &public_key, &key_);
  };
  auto rv = make();
  if (rv != CKR_OK && !p256) {
    open_part.back() = attribute_of(CKA_EC_PARAMS, ed25519_parameters);
    rv = make();
  }
  return rv == CKR_OK ? caf::error{} : error_of(rv, "making a key");
}

} // namespace rvi::crypto::detail
