// SPDX-License-Identifier: MPL-2.0
//
// What of metrics outlives a restart: subscriptions of local services, and values published to be
// retained.

#include "actors/routing/metric_hub.hpp"
#include "actors/storage/transaction.hpp"
#include "messages/wire/metric.hpp"
#include "runtime/crypto/crypto.hpp"
#include "runtime/observe/log.hpp"
#include "storage.pb.h"

namespace rvi {

namespace {

constexpr const char* component = "metric-hub";

/// Names may be longer than keys.
std::string key_of(const std::string& first, const std::string& second) {
  return std::string{crypto::view(crypto::sha256(first + '\0' + second))};
}

struct recovered_metrics {
  std::vector<subscribe_metric> subscriptions;
  std::vector<metric_value_ptr> values;
  std::vector<std::string> useless; // keys in `retained`
};

caf::error damaged(const char* what) {
  return caf::make_error(ec::malformed, std::string{"a stored "} + what + " does not parse");
}

caf::error read_subscriptions(transaction& t, recovered_metrics& result) {
  caf::error bad;
  auto err = t.scan(table::subscriptions, {}, transaction::no_limit,
                    [&](std::string_view, std::string_view bytes) {
                      storage::StoredSubscription x;
                      if (!x.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
                        bad = damaged("subscription");
                        return false;
                      }
                      auto& to = result.subscriptions.emplace_back();
                      to.service = x.service();
                      to.principal = x.principal();
                      to.what.pattern = x.pattern();
                      to.what.filter.min_interval_ms = x.min_interval_ms();
                      if (x.has_min_change())
                        to.what.filter.min_change = x.min_change();
                      return true;
                    });
  return err ? err : bad;
}

caf::error read_retained(transaction& t, uint64_t now_ms, recovered_metrics& result) {
  caf::error bad;
  auto err = t.scan(table::retained, {}, transaction::no_limit,
                    [&](std::string_view key, std::string_view bytes) {
                      storage::RetainedValue x;
                      if (!x.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
                        bad = damaged("value");
                        return false;
                      }
                      auto to = std::make_shared<metric_value>();
                      to->topic = x.topic();
                      to->source = x.source();
                      to->epoch = x.epoch();
                      to->seq = x.seq();
                      to->published_ms = x.published_ms();
                      to->expires_ms = x.expires_ms();
                      to->value = x.value();
                      if (has_expired(*to, now_ms) || check_metric(*to))
                        result.useless.emplace_back(key);
                      else
                        result.values.push_back(std::move(to));
                      return true;
                    });
  return err ? err : bad;
}

} // namespace

void metric_hub_state::when_ready(std::function<void()> work) {
  if (ready)
    work();
  else
    waiting_for_ready.push_back(std::move(work));
}

void metric_hub_state::recover() {
  auto found = std::make_shared<recovered_metrics>();
  transaction_step step = [found, now = wall_ms()](transaction& t) {
    *found = {};
    if (auto err = read_subscriptions(t, *found))
      return err;
    return read_retained(t, now, *found);
  };
  self->request(config.store, caf::infinite, atom::read_v, std::move(step))
    .then(
      [this, found](atom::done) {
        for (auto& x : found->values)
          (void)take_value(config.node->uid, x, true);
        for (auto& x : found->subscriptions)
          subscribe(x);
        if (!found->useless.empty()) {
          transaction_step clean = [found](transaction& t) {
            for (auto& key : found->useless)
              if (auto gone = t.erase(table::retained, key); !gone)
                return std::move(gone.error());
            return caf::error{};
          };
          commit({{std::move(clean)}, {}}, [](const caf::error&) {});
        }
        ready = true;
        for (auto& work : std::exchange(waiting_for_ready, {}))
          work();
      },
      [this](const caf::error& err) { self->quit(err); });
}

transaction_step metric_hub_state::storing(const subscribe_metric& x) {
  storage::StoredSubscription record;
  record.set_service(x.service);
  record.set_principal(x.principal);
  record.set_pattern(x.what.pattern);
  record.set_min_interval_ms(x.what.filter.min_interval_ms);
  if (x.what.filter.min_change)
    record.set_min_change(*x.what.filter.min_change);
  return [key = key_of(x.service, x.what.pattern), bytes = record.SerializeAsString()](
           transaction& t) { return t.put(table::subscriptions, key, bytes); };
}

transaction_step metric_hub_state::erasing(const std::string& service, const std::string& pattern) {
  return [key = key_of(service, pattern)](transaction& t) {
    t.use_reserve(true);
    auto gone = t.erase(table::subscriptions, key);
    return gone ? caf::error{} : std::move(gone.error());
  };
}

transaction_step metric_hub_state::retaining(const metric_value& x) {
  storage::RetainedValue record;
  record.set_topic(x.topic);
  record.set_source(x.source);
  record.set_epoch(x.epoch);
  record.set_seq(x.seq);
  record.set_published_ms(x.published_ms);
  record.set_expires_ms(x.expires_ms);
  record.set_value(x.value);
  return [key = key_of(x.topic, x.source), bytes = record.SerializeAsString()](transaction& t) {
    return t.put(table::retained, key, bytes);
  };
}

transaction_step metric_hub_state::releasing(const metric_value& x) {
  return [key = key_of(x.topic, x.source)](transaction& t) {
    t.use_reserve(true);
    auto gone = t.erase(table::retained, key);
    return gone ? caf::error{} : std::move(gone.error());
  };
}

void metric_hub_state::commit(durable_work work, std::function<void(const caf::error&)> done) {
  transaction_step step = [steps = std::move(work.steps)](transaction& t) {
    for (auto& x : steps)
      if (auto err = x(t))
        return err;
    return caf::error{};
  };
  self->request(config.store, caf::infinite, atom::commit_v, std::move(step))
    .then([done](atom::committed) { done({}); },
          [done, undo = std::move(work.undo)](const caf::error& err) {
            log::error(component, "cannot be stored", {{"error", describe(err)}});
            for (auto& x : undo)
              x();
            done(err);
          });
}

} // namespace rvi
