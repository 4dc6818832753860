// SPDX-License-Identifier: MPL-2.0

#pragma once

namespace rvi {

/// Lets this process open as many files as the system allows it to: each peer and each service is
/// one, and shells begin with 1,024.
void raise_open_files_limit();

} // namespace rvi
