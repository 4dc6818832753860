// SPDX-License-Identifier: MPL-2.0

#include "messages/envelope.hpp"

namespace rvi {

const char* to_string(request_kind x) {
  switch (x) {
    case request_kind::rpc:
      return "rpc";
    case request_kind::message:
      return "message";
    case request_kind::reply:
      return "reply";
    case request_kind::error:
      return "error";
  }
  return "unknown";
}

const char* to_string(durability x) {
  return x == durability::none ? "none" : "full";
}

} // namespace rvi
