// SPDX-License-Identifier: MPL-2.0

#include "actors/routing/signer.hpp"

#include "runtime/observe/log.hpp"

namespace rvi {

namespace {

constexpr const char* component = "signer";

} // namespace

expected<std::string> signer_state::draw(const std::string& message) {
  auto result = config.key.sign(message);
  auto now_away = !result && code_of(result.error()) == ec::busy;
  if (now_away && !away)
    log::warning(component, "the key is out of reach; what is to be signed waits",
                 {{"reason", detail_of(result.error())}});
  if (result && away)
    log::info(component, "the key is back");
  away = now_away || (away && !result);
  return result;
}

caf::result<std::string> signer_state::sign(std::string& message) {
  if (pending.empty()) {
    auto signature = draw(message);
    if (signature)
      return std::move(*signature);
    if (code_of(signature.error()) != ec::busy)
      return std::move(signature.error());
    wake_later();
  }
  auto promise = self->make_response_promise<std::string>();
  pending.push_back({std::move(message), promise, self->clock().now() + config.patience});
  return promise;
}

void signer_state::try_again() {
  while (!pending.empty()) {
    auto& first = pending.front();
    auto signature = draw(first.message);
    if (!signature && code_of(signature.error()) == ec::busy && self->clock().now() < first.due)
      return wake_later(); // those behind it came later
    if (signature)
      first.promise.deliver(std::move(*signature));
    else
      first.promise.deliver(std::move(signature.error()));
    pending.pop_front();
  }
}

void signer_state::wake_later() {
  self->delayed_send(self, config.retry_interval, atom::tick_v);
}

signer_actor::behavior_type
signer(signer_actor::stateful_pointer<signer_state> self, signer_config config) {
  auto& st = self->state;
  st.config = std::move(config);
  return {
    [&st](atom::sign, std::string& message) { return st.sign(message); },
    [&st](atom::tick) { st.try_again(); },
  };
}

} // namespace rvi
