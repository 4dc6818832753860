// SPDX-License-Identifier: MPL-2.0
//
// A session ends with the driver that owns it. CAF keeps a monitor until the watched actor ends, so
// that a driver would remember every session it ever had: this one is taken back with the session.

#pragma once

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/default_attachable.hpp>

namespace rvi {

/// `self` gets a down_msg when `owner` ends.
template <class Actor>
void watch_owner(Actor* self, const caf::actor& owner) {
  self->monitor(owner);
  self->attach_functor([owner, address = self->address()] {
    caf::default_attachable::observe_token token{address, caf::default_attachable::monitor};
    caf::actor_cast<caf::abstract_actor*>(owner)->detach(token);
  });
}

} // namespace rvi
