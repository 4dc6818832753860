// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/simulated_node.hpp"

#include "actors/node/parts.hpp"
#include "actors/routing/authorization.hpp"

#include <caf/send.hpp>

#include <cassert>

namespace rvi::simulation {

namespace {

constexpr client_id service_client = 1;

template <class Handle>
Handle get(const rvi::children& earlier, const std::string& id) {
  return caf::actor_cast<Handle>(earlier.at(id));
}

} // namespace

simulated_node::simulated_node(fleet_services& fleet, size_t number, const node_group& group,
                               size_t group_number, size_t number_in_group)
  : number(number),
    group_number(group_number),
    number_in_group(number_in_group),
    group(group),
    address(numbered(group.address, number_in_group + 1)),
    time(std::make_shared<node_time>(fleet.time)),
    fleet_(fleet),
    figures_(fleet.figures.emplace_back()) {
  figures_.group = static_cast<uint32_t>(group_number);
  disk->set_capacity(group.store_bytes_max);
}

simulated_node::~simulated_node() {
  power_off();
}

void simulated_node::make_environment() {
  env_ = std::make_shared<node_environment>();
  env_->key = key;
  env_->store_has_thread = false;
  auto& config = env_->config;
  config.name = address;
  config.role = group.role;
  config.request_bytes_max = 8 << 20;
  config.queue_items_max = fleet_.plan->queue_items_max;
  config.queue_bytes_max = group.store_bytes_max;
  config.relay_items_max = fleet_.plan->queue_items_max;
  config.relay_bytes_max = group.store_bytes_max;
  config.clock_skew_ms = rights_limits{}.clock_skew_ms;
  config.backoff_ms_min = 1'000;
  config.backoff_ms_max = fleet_.plan->backoff_ms_max;
  config.kinds.order = fleet_.plan->kinds();
  if (config.kinds.order.size() > 1) // else the kind makes no difference
    for (auto& kind : config.kinds.order)
      config.interfaces.push_back({kind + "0", kind});
  config.routes = routes;
  config.tls_connect = connect;
  auto own = std::make_shared<rights>();
  own->own_key = key.public_part();
  own->node_address = address;
  own->own = credentials;
  for (auto& x : fleet_.anchors)
    (void)own->anchors.add(x);
  own->known = std::make_shared<credential_cache>(10'000);
  auto context = std::make_shared<node_context>();
  context->node_address = address;
  context->uid = key.public_part().uid();
  context->time = time;
  context->rights = std::make_shared<rights_snapshot>(own);
  context->routing = std::make_shared<routing_snapshot>(std::make_shared<routing_table>());
  context->metrics = std::make_shared<metrics::registry>();
  clone_suspects = &context->metrics->get_counter(
    "rvi_clone_suspects_total", "Peers that came without the token they were given.");
  watch_->queued_gauge
    = &context->metrics->get_gauge("rvi_queue_items", "What waits in the store.");
  context->trace = std::make_shared<trace_buffer>(time, fleet_.traces ? 1'000 : 0);
  context->seed = read_u64(crypto::random_bytes(8));
  env_->context = std::move(context);
}

std::vector<child_spec> simulated_node::own_parts() {
  child_spec services{
    "services",
    [this, at = generation_](caf::event_based_actor* self, const rvi::children& earlier) {
      simulated_services_config x;
      x.node = number;
      x.generation = at;
      x.edge = get<service_edge_actor>(earlier, "service-edge");
      x.observer = fleet_.observer;
      edge = x.edge;
      return caf::actor_cast<caf::actor>(self->system().spawn(simulated_services, std::move(x)));
    }};
  child_spec link{"link", [this](caf::event_based_actor* self, const rvi::children& earlier) {
                    loopback_link_config x;
                    x.services = {env_->context,
                                  get<authorization_actor>(earlier, "authorization"),
                                  get<service_discovery_actor>(earlier, "service-discovery"),
                                  get<store_and_forward_actor>(earlier, "store-and-forward"),
                                  get<data_link_actor>(earlier, "data-link"),
                                  {get<verifier_actor>(earlier, "verifier-1")},
                                  get<metric_hub_actor>(earlier, "metric-hub")};
                    x.hub = fleet_.net;
                    x.address = network::address_of(number);
                    x.advertised = fleet_.net->can_be_dialled(number);
                    x.own_spki = key.public_part().spki();
                    x.keepalive_ms = fleet_.plan->keepalive_ms;
                    x.idle_ms = fleet_.plan->idle_ms;
                    x.authorize_ms_max = 60'000;
                    return caf::actor{self->system().spawn(loopback_link, std::move(x))};
                  }};
  return {std::move(services), std::move(link)};
}

std::vector<child_spec> simulated_node::children() {
  auto own = own_parts();
  std::vector<child_spec> result{
    part::store(env_),
    part::signer(env_),
    part::authorization(env_),
    part::store_and_forward(env_),
    part::service_discovery(env_),
    part::verifier(env_, 1),
    part::metric_hub(env_),
    part::service_edge(env_),
    std::move(own[0]),
    part::protocol(env_),
    part::data_link(env_),
    std::move(own[1]),
  };
  // The power cut needs to know all of them.
  for (auto& spec : result)
    spec.start = [this, id = spec.id, start = std::move(spec.start)](caf::event_based_actor* self,
                                                                     const rvi::children& earlier) {
      auto child = start(self, earlier);
      running_[id] = child;
      return child;
    };
  return result;
}

void simulated_node::start() {
  assert(!up_);
  ++generation_;
  up_ = figures_.up = true;
  if (!watch_)
    watch_ = std::make_unique<disk_watch>(
      *disk, disk_bounds{group.store_bytes_max, fleet_.plan->queue_items_max}, figures_,
      [this](const std::string& what) { fleet_.excess(*this, what); });
  make_environment();
  auto opened = disk->open();
  assert(opened);
  env_->disk = *opened;
  supervisor_config x;
  x.specs = children();
  supervisor_ = fleet_.system->spawn(rvi::supervisor, std::move(x));
}

void simulated_node::power_off() {
  if (!up_)
    return;
  up_ = figures_.up = false;
  ++generation_;
  fleet_.net->power_off(number);
  fleet_.net->leave(network::address_of(number));
  caf::anon_send_exit(supervisor_, caf::exit_reason::kill);
  for (auto& [id, child] : running_)
    caf::anon_send_exit(child, caf::exit_reason::kill);
  supervisor_ = nullptr;
  running_.clear();
  edge = nullptr;
  disk->crash();
}

void simulated_node::fail_actor(uint64_t draw) {
  if (running_.empty())
    return;
  auto i = running_.begin();
  std::advance(i, static_cast<ptrdiff_t>(draw % running_.size()));
  caf::anon_send_exit(i->second, caf::exit_reason::unhandled_exception);
}

void simulated_node::call(service_request x, uint64_t token) {
  if (!edge)
    return;
  service_call result;
  result.client = service_client;
  result.token = token;
  result.deliverable = true;
  result.principal = {"uid:1000", true};
  result.request = std::move(x);
  caf::anon_send(edge, atom::call_v, std::vector<service_call>{std::move(result)});
}

void simulated_node::import_revocations(const std::string& list) {
  if (auto i = running_.find("authorization"); i != running_.end())
    caf::anon_send(caf::actor_cast<authorization_actor>(i->second), atom::revoke_v, list);
}

void simulated_node::network_is_up(const std::string& kind) {
  if (auto i = running_.find("data-link"); i != running_.end())
    caf::anon_send(caf::actor_cast<data_link_actor>(i->second), atom::available_v,
                   env_->config.interfaces.empty() ? std::string{"loopback"} : kind);
}

} // namespace rvi::simulation
