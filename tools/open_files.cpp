// SPDX-License-Identifier: MPL-2.0

#include "tools/open_files.hpp"

#include <sys/resource.h>

namespace rvi {

void raise_open_files_limit() {
  rlimit x{};
  if (::getrlimit(RLIMIT_NOFILE, &x) != 0)
    return;
  x.rlim_cur = x.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &x);
}

} // namespace rvi
