// SPDX-License-Identifier: MPL-2.0
//
// A token in software (SoftHSM) for tests, in a folder of its own.

#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace rvi::test {

inline constexpr const char* soft_token_module = "/usr/lib/softhsm/libsofthsm2.so";
inline constexpr const char* soft_token_pin = "vehicle-pin-1234";

/// Whether the package is there; tests with a token are left out if not.
inline bool has_soft_token() {
  if (std::filesystem::exists(soft_token_module))
    return true;
  std::fputs("left out: no SoftHSM (package softhsm2)\n", stderr);
  return false;
}

/// Three tokens: "one", and two of the same name "twin". The module reads its configuration once
/// in a process, so there is one such folder in each.
class soft_token {
public:
  static const soft_token& instance() {
    static soft_token result;
    return result;
  }

  ~soft_token() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }

  std::string uri(const std::string& object, const std::string& more = {}) const {
    return "pkcs11:token=one;object=" + object + "?module-path=" + soft_token_module
           + "&pin-source=" + pin_file() + more;
  }

  std::string pin_file() const { return folder + "/pin"; }
  std::string tokens() const { return folder + "/tokens"; }

  std::string folder;

private:
  soft_token() {
    std::string pattern = "/tmp/rvi-token-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr)
      std::abort();
    folder = pattern;
    std::filesystem::create_directory(tokens());
    std::ofstream{folder + "/softhsm2.conf"} << "directories.tokendir = " << tokens()
                                             << "\nobjectstore.backend = file\nlog.level = ERROR\n";
    ::setenv("SOFTHSM2_CONF", (folder + "/softhsm2.conf").c_str(), 1); // for children, too
    std::ofstream{pin_file()} << soft_token_pin << "\n";
    ::chmod(pin_file().c_str(), 0600);
    for (auto label : {"one", "twin", "twin"}) {
      auto command = std::string{"softhsm2-util --init-token --free --so-pin so-pin-1234 --label "}
                     + label + " --pin " + soft_token_pin + " >/dev/null";
      if (std::system(command.c_str()) != 0)
        std::abort();
    }
  }
};

} // namespace rvi::test
