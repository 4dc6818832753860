// SPDX-License-Identifier: MPL-2.0

#include "actors/node/parts.hpp"

#include "actors/edge/json_rpc.hpp"
#include "actors/edge/service_edge.hpp"
#include "actors/links/data_link.hpp"
#include "actors/links/network_monitor.hpp"
#include "actors/links/node_discovery.hpp"
#include "actors/links/tls_link.hpp"
#include "actors/routing/metric_hub.hpp"
#include "actors/routing/protocol.hpp"
#include "actors/routing/service_discovery.hpp"
#include "actors/routing/signer.hpp"
#include "actors/routing/store_and_forward.hpp"
#include "actors/routing/verifier.hpp"
#include "actors/services/provisioning.hpp"
#include "actors/storage/store.hpp"
#include "runtime/observe/log.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace rvi::part {

namespace {

constexpr uint32_t certificate_days = 3'650;

template <class Handle>
Handle get(const children& earlier, const std::string& id) {
  return caf::actor_cast<Handle>(earlier.at(id));
}

template <class Handle>
caf::actor plain(const Handle& x) {
  return caf::actor_cast<caf::actor>(x);
}

/// The certificate only carries the key; it is made anew at each start.
expected<tls::identity> make_identity(const node_environment& env) {
  auto now_s = env.context->time->wall_ms() / 1'000;
  auto certificate = env.key.self_signed_certificate(env.config.name, now_s, certificate_days);
  if (!certificate)
    return std::move(certificate.error());
  if (env.key.external())
    return tls::identity{std::move(*certificate), {}, env.key};
  return tls::identity{std::move(*certificate), env.key.to_pem(), {}};
}

link_services services_of(const node_environment& env, const children& earlier) {
  return {env.context,
          get<authorization_actor>(earlier, "authorization"),
          get<service_discovery_actor>(earlier, "service-discovery"),
          get<store_and_forward_actor>(earlier, "store-and-forward"),
          get<data_link_actor>(earlier, "data-link"),
          {get<verifier_actor>(earlier, "verifier-1"), get<verifier_actor>(earlier, "verifier-2")},
          get<metric_hub_actor>(earlier, "metric-hub")};
}

} // namespace

child_spec store(node_environment_ptr env) {
  return {"store", [env](caf::event_based_actor* self, const children&) {
            store_config x;
            x.disk = env->disk;
            x.metrics = env->context->metrics.get();
            if (env->store_has_thread)
              return plain(self->system().spawn<caf::detached>(rvi::store, std::move(x)));
            return plain(self->system().spawn(rvi::store, std::move(x)));
          }};
}

child_spec signer(node_environment_ptr env) {
  return {"signer", [env](caf::event_based_actor* self, const children&) {
            signer_config x;
            x.key = env->key;
            if (env->key.external()) // which may take its time
              return plain(self->system().spawn<caf::detached>(rvi::signer, std::move(x)));
            return plain(self->system().spawn(rvi::signer, std::move(x)));
          }};
}

child_spec authorization(node_environment_ptr env) {
  return {"authorization", [env](caf::event_based_actor* self, const children& earlier) {
            authorization_config x;
            x.node = env->context;
            x.store = get<store_actor>(earlier, "store");
            x.signer = get<signer_actor>(earlier, "signer");
            x.algorithm = env->key.public_part().algorithm();
            x.source = env->source;
            x.keys = env->keys;
            if (env->key.external())
              x.key_location = env->key.external()->location();
            return plain(self->system().spawn(rvi::authorization, std::move(x)));
          }};
}

child_spec store_and_forward(node_environment_ptr env) {
  return {"store-and-forward", [env](caf::event_based_actor* self, const children& earlier) {
            store_and_forward_config x;
            x.node = env->context;
            x.store = get<store_actor>(earlier, "store");
            x.authorization = get<authorization_actor>(earlier, "authorization");
            x.items_per_queue_max = env->config.queue_items_max;
            x.bytes_per_queue_max = env->config.queue_bytes_max;
            x.quotas = env->config.quotas;
            x.delivery_attempts_max = static_cast<uint32_t>(env->config.delivery_attempts_max);
            x.dead_letters_max = env->config.dead_letters_max;
            if (!env->memory_requests)
              env->memory_requests = std::make_shared<memory_requests>(
                env->context->time->wall_ms(), env->config.memory);
            x.memory = env->memory_requests;
            x.relay_items_max = env->config.relay_items_max;
            x.relay_bytes_max = env->config.relay_bytes_max;
            x.skew_ms_max = env->config.clock_skew_ms;
            x.kinds = env->config.kinds;
            return plain(self->system().spawn(rvi::store_and_forward, std::move(x)));
          }};
}

child_spec service_discovery(node_environment_ptr env) {
  return {"service-discovery", [env](caf::event_based_actor* self, const children& earlier) {
            service_discovery_config x;
            x.node = env->context;
            x.store = get<store_actor>(earlier, "store");
            x.nodes_remembered_max = env->config.nodes_remembered_max;
            x.authorization = get<authorization_actor>(earlier, "authorization");
            x.store_and_forward = get<store_and_forward_actor>(earlier, "store-and-forward");
            x.provisioned = env->config.routes;
            return plain(self->system().spawn(rvi::service_discovery, std::move(x)));
          }};
}

child_spec verifier(node_environment_ptr env, int number) {
  return {"verifier-" + std::to_string(number),
          [env](caf::event_based_actor* self, const children& earlier) {
            verifier_config x;
            x.node = env->context;
            x.store_and_forward = get<store_and_forward_actor>(earlier, "store-and-forward");
            x.arguments_bytes_max = env->config.request_bytes_max;
            return plain(self->system().spawn(rvi::verifier, std::move(x)));
          }};
}

child_spec metric_hub(node_environment_ptr env) {
  return {"metric-hub", [env](caf::event_based_actor* self, const children& earlier) {
            metric_hub_config x;
            x.node = env->context;
            x.store = get<store_actor>(earlier, "store");
            return plain(self->system().spawn(rvi::metric_hub, std::move(x)));
          }};
}

child_spec service_edge(node_environment_ptr env) {
  return {"service-edge", [env](caf::event_based_actor* self, const children& earlier) {
            service_edge_config x;
            x.node = env->context;
            x.store = get<store_actor>(earlier, "store");
            x.authorization = get<authorization_actor>(earlier, "authorization");
            x.service_discovery = get<service_discovery_actor>(earlier, "service-discovery");
            x.store_and_forward = get<store_and_forward_actor>(earlier, "store-and-forward");
            x.metric_hub = get<metric_hub_actor>(earlier, "metric-hub");
            x.request_bytes_max = env->config.request_bytes_max;
            if (!env->service_ids)
              env->service_ids = std::make_shared<service_ids>();
            x.ids = env->service_ids;
            x.start_signer = [env, system = &self->system()] {
              return system->spawn(rvi::signer, signer_config{env->key});
            };
            x.callback_hosts = env->config.callback_hosts;
            x.own_ports = {env->config.api_port};
            if (env->tls_listening)
              x.own_ports.push_back(env->tls_listening->port);
            return plain(self->system().spawn(rvi::service_edge, std::move(x)));
          }};
}

child_spec json_rpc(node_environment_ptr env) {
  return {
    "json-rpc", [env](caf::event_based_actor* self, const children& earlier) -> caf::actor {
      auto& config = env->config;
      json_rpc_config x;
      x.address = env->api_tokens.empty() ? std::string{} : config.api_address;
      x.port = config.api_port;
      if (!config.api_socket.empty())
        x.unix_socket = resolve_path(config, config.api_socket);
      x.access.tokens = env->api_tokens;
      x.access.hosts = config.api_hosts;
      x.access.origins = config.api_origins;
      x.callback.hosts = config.callback_hosts;
      if (env->tls_listening)
        x.callback.own_ports = {env->tls_listening->port};
      x.connections_max = config.connections_max;
      allow_requests_of(x, config.request_bytes_max);
      x.time = env->context->time;
      x.metrics = env->context->metrics;
      x.edge = get<service_edge_actor>(earlier, "service-edge");
      auto edge = x.edge;
      auto server = start_json_rpc(self->system(), std::move(x));
      if (!server) {
        log::error("node", "the service API cannot start", {{"error", describe(server.error())}});
        env->start->failed(std::move(server.error()));
        return nullptr;
      }
      env->api_port = server->port;
      // The edge takes no call before: what a call leads to finds the server everywhere.
      caf::anon_send(get<metric_hub_actor>(earlier, "metric-hub"), atom::attach_v, server->actor);
      caf::anon_send(edge, atom::attach_v, server->actor);
      return plain(server->actor);
    }};
}

child_spec provisioning(node_environment_ptr env) {
  return {"provisioning", [env](caf::event_based_actor* self, const children& earlier) {
            provisioning_config x;
            x.node = env->context;
            x.authorization = get<authorization_actor>(earlier, "authorization");
            x.service_edge = get<service_edge_actor>(earlier, "service-edge");
            x.renewal = env->config.renewal;
            x.clone_reports = env->config.clone_reports;
            return plain(self->system().spawn(rvi::provisioning, std::move(x)));
          }};
}

child_spec protocol(node_environment_ptr env) {
  (void)env;
  return {"protocol", [](caf::event_based_actor* self, const children&) {
            return plain(self->system().spawn(rvi::protocol, protocol_config{}));
          }};
}

child_spec data_link(node_environment_ptr env) {
  return {"data-link", [env](caf::event_based_actor* self, const children& earlier) {
            data_link_config x;
            x.node = env->context;
            x.service_discovery = get<service_discovery_actor>(earlier, "service-discovery");
            x.protocol = get<protocol_actor>(earlier, "protocol");
            x.connect = env->config.tls_connect;
            x.backoff_ms_min = env->config.backoff_ms_min;
            x.backoff_ms_max = env->config.backoff_ms_max;
            x.kinds = env->config.kinds;
            for (auto& each : env->config.interfaces)
              if (std::find(x.own_kinds.begin(), x.own_kinds.end(), each.kind) == x.own_kinds.end())
                x.own_kinds.push_back(each.kind);
            auto result = self->system().spawn(rvi::data_link, std::move(x));
            caf::anon_send(get<store_and_forward_actor>(earlier, "store-and-forward"),
                           atom::attach_v, result);
            caf::anon_send(get<service_edge_actor>(earlier, "service-edge"), atom::attach_v,
                           result);
            caf::anon_send(get<metric_hub_actor>(earlier, "metric-hub"), atom::attach_v, result);
            return plain(result);
          }};
}

child_spec node_discovery(node_environment_ptr env) {
  return {"node-discovery", [env](caf::event_based_actor* self, const children& earlier) {
            auto& config = env->config;
            node_discovery_config x;
            x.node = env->context;
            x.data_link = get<data_link_actor>(earlier, "data-link");
            x.settings = config.discovery;
            x.tcp_port = env->tls_listening ? env->tls_listening->port : uint16_t{0};
            x.interfaces = config.interfaces;
            x.connect = config.tls_connect;
            x.dial_back = config.dial_back;
            return caf::actor{self->system().spawn(rvi::node_discovery, std::move(x))};
          }};
}

child_spec network_monitor(node_environment_ptr env) {
  return {"network-monitor", [env](caf::event_based_actor* self, const children& earlier) {
            network_monitor_config x;
            x.data_link = get<data_link_actor>(earlier, "data-link");
            x.interfaces = env->config.interfaces;
            x.receivers = {earlier.at("node-discovery"), earlier.at("tls-link")};
            return caf::actor{self->system().spawn(rvi::network_monitor, std::move(x))};
          }};
}

child_spec tls_link(node_environment_ptr env) {
  auto last = std::make_shared<tls::identity>();
  return {"tls-link",
          [env, last](caf::event_based_actor* self, const children& earlier) -> caf::actor {
            auto& config = env->config;
            tls_link_config x;
            x.services = services_of(*env, earlier);
            x.listening = env->tls_listening;
            x.network_address = config.tls_advertise;
            x.interfaces = config.interfaces;
            x.dialler = earlier.at("node-discovery");
            x.own_spki = env->key.public_part().spki();
            if (auto made = make_identity(*env))
              *last = std::move(*made);
            else // an external key may be out of reach when this actor starts again
              log::warning("tls-link", "no new certificate", {{"error", describe(made.error())}});
            x.identity = *last;
            x.identity_source = [env] { return make_identity(*env); };
            if (!config.tls_ca_file.empty())
              x.tls.ca_file = resolve_path(config, config.tls_ca_file);
            x.connect_ms_max = config.connect_timeout_ms;
            x.authorize_ms_max = config.authorize_timeout_ms;
            x.keepalive_ms = config.keepalive_ms;
            x.idle_ms = config.idle_timeout_ms;
            x.sessions_max = config.sessions_max;
            auto result = self->system().spawn(rvi::tls_link, std::move(x));
            env->start->ready(env->api_port);
            return result;
          }};
}

} // namespace rvi::part
