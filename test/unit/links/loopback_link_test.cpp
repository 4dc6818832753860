// SPDX-License-Identifier: MPL-2.0
//
// Sessions that come and go leave nothing behind: their driver would grow for ever.

#include "actors/links/loopback_link.hpp"
#include "actors/links/watch_owner.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"
#include "test/support/silent_authorization.hpp"
#include "test/support/silent_data_link.hpp"

#include <caf/attachable.hpp>
#include <caf/monitorable_actor.hpp>
#include <doctest/doctest.h>

using namespace rvi;

namespace {

constexpr uint64_t sessions = 1'000;

/// What is told when an actor ends: its monitors, links and functors. CAF shows it to those who
/// derive only.
class attachables : public caf::monitorable_actor {
public:
  static size_t of(const caf::actor& x) {
    auto head = &attachables::attachables_head_;
    auto* actor = dynamic_cast<caf::monitorable_actor*>(caf::actor_cast<caf::abstract_actor*>(x));
    REQUIRE(actor);
    size_t result = 0;
    for (auto* i = (actor->*head).get(); i != nullptr; i = i->next.get())
      ++result;
    return result;
  }
};

/// Answers nothing: no session gets beyond its start.
// CAF 0.17 binds a null reference if a function actor takes no argument.
caf::behavior watcher(caf::event_based_actor* self, const caf::actor& owner) {
  watch_owner(self, owner);
  self->set_down_handler([self](const caf::down_msg&) { self->quit(); });
  return {[self](atom::stop) { self->quit(); }};
}

caf::behavior watched(caf::event_based_actor*, int) {
  return {[](atom::stop) {}};
}

struct fixture : test::world {
  fixture() { (void)log::configure(log::level::off, log::format::text); }

  caf::actor driver(const std::string& address) {
    auto node = std::make_shared<node_context>();
    node->time = time;
    node->metrics = std::make_shared<metrics::registry>();
    loopback_link_config x;
    x.services.node = node;
    x.services.authorization = spawn(test::silent_authorization, test::authorization_answers{});
    x.services.data_link = spawn(test::silent_data_link,
                                 test::data_link_listener{{}, [to = ended](uint64_t) { ++*to; }});
    x.hub = hub;
    x.address = address;
    auto result = spawn(loopback_link, x);
    settle();
    return result;
  }

  std::shared_ptr<uint64_t> ended = std::make_shared<uint64_t>(0);
};

} // namespace

TEST_SUITE_BEGIN("loopback link");

TEST_CASE_FIXTURE(fixture, "who watches its owner and ends first leaves no monitor behind") {
  auto owner = spawn(watched, 0);
  auto before = attachables::of(owner);
  std::vector<caf::actor> all;
  for (uint64_t i = 0; i < sessions; ++i)
    all.push_back(sys.spawn(watcher, owner));
  settle();
  CHECK(attachables::of(owner) == before + sessions);
  for (uint64_t i = 0; i < sessions; ++i)
    i % 2 == 0 ? caf::anon_send(all[i], atom::stop_v)
               : caf::anon_send_exit(all[i], caf::exit_reason::kill);
  settle();
  CHECK(attachables::of(owner) == before);
}

TEST_CASE_FIXTURE(fixture, "who watches its owner ends with it") {
  auto owner = spawn(watched, 0);
  auto x = spawn(watcher, owner);
  bool gone = false;
  caf::actor_cast<caf::abstract_actor*>(x)->attach_functor([&gone] { gone = true; });
  settle();
  CHECK_FALSE(gone);
  caf::anon_send_exit(owner, caf::exit_reason::kill);
  settle();
  CHECK(gone);
}

TEST_CASE_FIXTURE(fixture, "a thousand sessions come and go, their drivers keep nothing of them") {
  auto dials = driver("loopback:a");
  auto answers = driver("loopback:b");
  auto of_dialling = attachables::of(dials);
  auto of_answering = attachables::of(answers);
  for (uint64_t i = 1; i <= sessions; ++i)
    self->send(dials, atom::setup_v, i, std::string{"loopback:b"}, std::string{});
  settle();
  CHECK(attachables::of(dials) == of_dialling + sessions);
  CHECK(attachables::of(answers) == of_answering + sessions);
  pass(11'000, 1'000); // nobody is authorized in time
  CHECK(*ended == 2 * sessions);
  CHECK(attachables::of(dials) == of_dialling);
  CHECK(attachables::of(answers) == of_answering);
}

TEST_SUITE_END();
