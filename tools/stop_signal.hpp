// SPDX-License-Identifier: MPL-2.0
//
// SIGINT and SIGTERM as a flag, for commands that must clean up. Waiting calls return early.

#pragma once

namespace rvi {

/// From now on the two signals only raise the flag; a second one ends the program at once.
void catch_stop_signals();

/// False for ever if they were never caught.
bool stop_requested();

/// In a child after fork: everything as if this program had never cared.
void restore_signals_in_child();

} // namespace rvi
