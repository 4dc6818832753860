// SPDX-License-Identifier: MPL-2.0
//
// SHA-1 for the WebSocket handshake (RFC 6455 4.2.2), where it is no protection but a constant of
// the protocol. Nothing else may use it.

#pragma once

#include <string>
#include <string_view>

namespace rvi::tls {

/// 20 bytes.
std::string sha1(std::string_view x);

} // namespace rvi::tls
