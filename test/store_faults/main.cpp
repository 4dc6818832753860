// SPDX-License-Identifier: MPL-2.0

#define DOCTEST_CONFIG_IMPLEMENT
#include "test/store_faults/options.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/resource.h>

namespace test::faults {

namespace {

int arguments = 0;
char** argument = nullptr;

double seconds(const timeval& x) {
  return double(x.tv_sec) + double(x.tv_usec) / 1e6;
}

double cpu_seconds_now() {
  rusage own{}, children{};
  ::getrusage(RUSAGE_SELF, &own);
  ::getrusage(RUSAGE_CHILDREN, &children);
  return seconds(own.ru_utime) + seconds(own.ru_stime) + seconds(children.ru_utime)
         + seconds(children.ru_stime);
}

} // namespace

uint64_t option(const std::string& name, uint64_t otherwise) {
  for (int i = 1; i + 1 < arguments; ++i)
    if (name == argument[i])
      return std::strtoull(argument[i + 1], nullptr, 10);
  return otherwise;
}

stopwatch::stopwatch() : start_(cpu_seconds_now()) {}

double stopwatch::cpu_seconds() const {
  return cpu_seconds_now() - start_;
}

int checked(const std::function<void()>& work) {
  int result = 0;
  try {
    work();
  } catch (...) {
    result = 1; // doctest has said why
  }
  std::fflush(nullptr);
  return result;
}

} // namespace test::faults

int main(int argc, char** argv) {
  test::faults::arguments = argc;
  test::faults::argument = argv;
  doctest::Context context;
  context.applyCommandLine(argc, argv);
  return context.run();
}
