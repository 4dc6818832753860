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

envelope_ptr opening_of(const envelope& x) {
  auto result = std::make_shared<envelope>();
  result->header = x.header;
  result->header_bytes = x.header_bytes;
  result->root = x.root;
  result->proof = x.proof;
  result->hops = x.hops;
  result->route = x.route;
  return result;
}

} // namespace rvi
