// SPDX-License-Identifier: MPL-2.0

#define DOCTEST_CONFIG_IMPLEMENT
#include "test/reference/agreement.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

uint64_t* option(std::string_view name) {
  return name == "--seed"    ? &test::asked_for.seed
         : name == "--count" ? &test::asked_for.count
         : name == "--index" ? &test::asked_for.index
                             : nullptr;
}

} // namespace

int main(int argc, char** argv) {
  // Ours are taken out: doctest has a --count of its own.
  std::vector<char*> others;
  for (int i = 0; i < argc; ++i) {
    auto to = option(argv[i]);
    if (to && i + 1 < argc)
      *to = std::strtoull(argv[++i], nullptr, 10);
    else
      others.push_back(argv[i]);
  }
  doctest::Context context;
  context.applyCommandLine(static_cast<int>(others.size()), others.data());
  return context.run();
}
