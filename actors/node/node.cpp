// SPDX-License-Identifier: MPL-2.0

#include "actors/node/node.hpp"

#include "actors/node/roles/roles.hpp"
#include "runtime/observe/log.hpp"

#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>

#include <chrono>

namespace rvi {

namespace {

constexpr std::chrono::seconds start_max{30};
constexpr std::chrono::seconds stop_max{10};

} // namespace

node_system_config::node_system_config() {
  add_message_types<caf::id_block::rvi>();
  add_error_category(caf::atom("rvi"), rvi::render);
  load<caf::io::middleman>();
  set("scheduler.max-threads", size_t{2});
  // Workers that steal look for work a hundred times a second, which is 1 % of an idle vehicle's
  // core; and what is handed to a busy one waits up to 10 ms for the other. One queue has neither.
  set("scheduler.policy", caf::atom("sharing"));
  set("logger.verbosity", caf::atom("quiet"));
}

node::node(caf::actor_system& system, node_environment_ptr env, caf::actor supervisor)
  : system_(system),
    env_(std::move(env)),
    supervisor_(std::move(supervisor)) {}

node::~node() {
  stop();
}

expected<std::unique_ptr<node>> node::start(caf::actor_system& system, node_environment_ptr env) {
  auto started = env->start->future();
  supervisor_config x;
  x.specs = children_of(env);
  for (auto& spec : x.specs)
    spec.grace = std::chrono::milliseconds{500};
  auto supervisor = system.spawn(rvi::supervisor, std::move(x));
  std::unique_ptr<node> result{new node{system, env, supervisor}};
  if (started.wait_for(start_max) != std::future_status::ready)
    return caf::make_error(ec::internal, std::string{"the node did not start in time"});
  auto outcome = started.get();
  if (!outcome)
    return std::move(outcome.error());
  return result;
}

void node::stop() {
  if (stopped_)
    return;
  stopped_ = true;
  if (!running())
    return; // it gave up by itself
  caf::scoped_actor self{system_};
  self->request(supervisor_, caf::duration{stop_max}, atom::stop_v)
    .receive([](atom::stopped) {},
             [](const caf::error& err) {
               log::error("node", "did not stop in order", {{"error", describe(err)}});
             });
}

bool node::running() const {
  return supervisor_
         && !caf::actor_cast<caf::strong_actor_ptr>(supervisor_)
               ->get()
               ->getf(caf::abstract_actor::is_terminated_flag);
}

caf::error node::reload() {
  caf::scoped_actor self{system_};
  caf::error result;
  for (auto* id : {"authorization", "provisioning", "data-link"})
    self->request(supervisor_, caf::duration{stop_max}, atom::status_v, std::string{id})
      .receive(
        [&](const caf::actor& child) {
          self->request(child, caf::duration{stop_max}, atom::reload_v)
            .receive([](atom::done) {}, [&](caf::error& err) { result = std::move(err); });
        },
        [&](caf::error& err) { result = std::move(err); });
  return result;
}

} // namespace rvi
