// SPDX-License-Identifier: MPL-2.0
//
// The scenario files of this program, by name; the source is made from scenarios/ by the build.

#pragma once

#include <string>
#include <utility>
#include <vector>

namespace rvi::simulation {

const std::vector<std::pair<std::string, std::string>>& built_in_files();

} // namespace rvi::simulation
