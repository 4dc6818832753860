// SPDX-License-Identifier: MPL-2.0
//
// Nodes met before (HLD 7.3): how they are kept in the store, and what a change of one means to
// those who want to know what can be reached (HLD 10.2, 11.6). No actor, no clock.

#pragma once

#include "messages/rights.hpp"
#include "messages/routing_table.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace rvi {

/// The value of a record of the table `known_nodes`; its key are the 16 bytes of the uid.
std::string encode_known_node(const known_node& x);

/// Error: `malformed`.
expected<known_node> decode_known_node(std::string_view uid, std::string_view value);

/// `revoked` or `quarantined` if a credential that the node came with last is. What is not known
/// here any more stands against nobody: the node's next session will show.
ec judge_known_node(const known_node& x, const rights& now);

/// What those who watch have to hear when `before` (null: not known) has become `after`. Services
/// are in order, each in at most one event for a direction. Version and time are left to the
/// caller.
std::vector<availability_event>
availability_changes(const known_node* before, const known_node& after);

/// The report on services of a node as it is now; the caller says which ones.
availability_report report_of(const known_node& x);

} // namespace rvi
