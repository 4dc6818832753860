// SPDX-License-Identifier: MPL-2.0

#include "tools/simulation/fleet.hpp"

#include "runtime/observe/log.hpp"
#include "tools/simulation/seeded_crypto.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <sys/resource.h>

// What a fleet has in memory is visited all over: huge pages save a tenth of the CPU time. Read by
// jemalloc, where the program is linked with it.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "thp:always,metadata_thp:auto";
}

namespace rvi::simulation {

namespace {

constexpr size_t interleave_width = 32; // actors that may come next, of those that wait
constexpr uint64_t samples_max = 300;

/// The JWK in `{"organization":...,"keys":[JWK]}` with one key.
std::string only_key(const std::string& anchor) {
  auto from = anchor.find('{', 1);
  auto to = anchor.find('}', from);
  return anchor.substr(from, to - from + 1);
}

uint64_t cpu_ms() {
  return static_cast<uint64_t>(std::clock()) * 1'000 / CLOCKS_PER_SEC;
}

uint64_t rss_bytes_max() {
  rusage x{};
  getrusage(RUSAGE_SELF, &x);
  return static_cast<uint64_t>(x.ru_maxrss) * 1'024;
}

} // namespace

fleet::system_config::system_config() {
  add_message_types<caf::id_block::rvi>();
  add_error_category(caf::atom("rvi"), rvi::render);
  set("scheduler.policy", caf::atom("testing"));
  set("logger.verbosity", caf::atom("quiet"));
}

fleet::fleet(const scenario& plan, run_options options)
  : plan_(plan),
    options_(std::move(options)),
    interleave_(options_.seed, "interleave"),
    mobility_(options_.seed, "mobility"),
    fault_random_(options_.seed, "faults"),
    book_(time_) {
  seed_crypto(options_.seed, options_.real_signatures);
  net_ = std::make_shared<network>(time_, plan_, options_.seed);
  config_ = std::make_unique<system_config>();
  system_ = std::make_unique<caf::actor_system>(*config_);
  system_->await_actors_before_shutdown(false);
  scheduler_ = dynamic_cast<caf::scheduler::test_coordinator*>(&system_->scheduler());
  scheduler_->advance_time(std::chrono::hours{1}); // zero is special to the clock
  clock_start_ = scheduler_->clock().now();
  services_.system = system_.get();
  services_.time = time_;
  services_.net = net_;
  services_.plan = &plan_;
  services_.observer = this;
  services_.excess = [this](const simulated_node& x, const std::string& what) {
    book_.broken("I8", what, {}, x.address);
  };
  net_->observe(this);
  net_->on_network_up(
    [this](size_t node, const std::string& kind) { nodes_[node]->network_is_up(kind); });
  book_.name_of = [this](size_t node) {
    return nodes_[node]->address + (clones_.count(node) ? " (copy)" : "");
  };
  book_.kind_of_link = [this](size_t from, size_t to) {
    auto i = link_kinds_.find({std::min(from, to), std::max(from, to)});
    return i == link_kinds_.end() ? std::string{"several"} : i->second;
  };
  book_.on_event = [this](const char* what, size_t node, const transaction_id& id) {
    trace(static_cast<uint8_t>(what[0]) + 256 * node);
    trace(id.seq + (uint64_t{id.origin[0]} << 56));
    if (!options_.sequence)
      return;
    auto text = to_string(id);
    if (options_.sequence_of.empty() || options_.sequence_of == text)
      write_down(nodes_[node]->address + ": " + what + " " + text);
  };
  make_organizations();
  make_nodes();
  make_paths();
  make_routes();
  make_talkers();
}

/// Actors that wake themselves would keep the system alive for ever.
fleet::~fleet() {
  time_->clear();
  for (auto& x : nodes_)
    x->power_off();
  settle();
  nodes_.clear();
  scheduler_->clock().cancel_all();
  settle();
}

// -- construction ---------------------------------------------------------------------------------

void fleet::make_organizations() {
  for (auto& group : plan_.groups) {
    auto& x = organizations_[group.organization];
    if (x.key)
      continue;
    x.name = group.organization;
    x.key = *crypto::private_key::generate(crypto::algorithm::ed25519);
    services_.anchors.push_back(trust_anchor_json(x.name, x.key.public_part()));
    belief_.anchors[x.name] = {only_key(services_.anchors.back())};
  }
  belief_.read = reference::make_texts_read();
}

organization& fleet::organization_of(const simulated_node& x) {
  return organizations_.at(x.group.organization);
}

void fleet::make_nodes() {
  uint64_t counted = 0;
  uint64_t shares = 0;
  for (auto& group : plan_.groups) {
    counted += group.count;
    shares += group.count == 0 ? std::max<uint64_t>(group.share, 1) : 0;
  }
  auto rest = plan_.nodes > counted ? plan_.nodes - counted : 0;
  for (size_t g = 0; g < plan_.groups.size(); ++g) {
    auto& group = plan_.groups[g];
    auto share = std::max<uint64_t>(group.share, 1);
    auto count = group.count != 0
                   ? group.count
                   : std::max<uint64_t>(1, rest * share / std::max<uint64_t>(shares, 1));
    for (size_t i = 0; i < count; ++i) {
      groups_[group.name].push_back(nodes_.size());
      nodes_.push_back(std::make_unique<simulated_node>(services_, nodes_.size(), group, g, i));
      auto& x = *nodes_.back();
      x.key = *crypto::private_key::generate(crypto::algorithm::ed25519);
      give_credentials(x);
    }
  }
}

void fleet::give_credentials(simulated_node& x) {
  auto& issuer = organization_of(x);
  std::map<std::string, std::vector<std::string>> by_organization;
  std::map<std::string, std::vector<std::string>> relay;
  for (auto text : x.group.may_reach) {
    text = numbered(std::move(text), x.number_in_group + 1);
    by_organization[text.substr(0, text.find('/'))].push_back(text);
  }
  for (auto text : x.group.relay) {
    text = numbered(std::move(text), x.number_in_group + 1);
    auto organization = text.substr(0, text.find('/'));
    relay[organization].push_back(text);
    by_organization[organization];
  }
  // A credential speaks of its issuer's own organization; rights in another come from that one.
  by_organization.try_emplace(issuer.name);
  for (auto& [name, patterns] : by_organization) {
    auto organization = organizations_.find(name);
    if (organization == organizations_.end())
      continue;
    credential_claims claims;
    claims.issuer = name;
    claims.id = crypto::hex(crypto::random_bytes(8));
    claims.issued_s = start_wall_ms / 1'000;
    claims.not_before_s = claims.issued_s - 3'600;
    claims.expires_s = claims.issued_s + 365 * 86'400;
    claims.key = x.key.public_part();
    if (name == issuer.name)
      claims.sources = {x.address};
    claims.destinations = patterns;
    claims.relay = relay[name];
    auto issued = issue_credential(std::move(claims), organization->second.key);
    if (!issued)
      std::fprintf(stderr, "scenario: %s: %s\n", x.address.c_str(),
                   describe(issued.error()).c_str());
    else {
      credential_texts_[(*issued)->hash] = (*issued)->text;
      if (!relay[name].empty())
        relay_texts_.push_back((*issued)->text);
      x.credentials.push_back(std::move(*issued));
    }
  }
}

std::vector<size_t> fleet::partners(const std::string& from_group, size_t index,
                                    const std::string& to_group, pairing how) {
  auto& to = members(to_group);
  auto& from = members(from_group);
  std::vector<size_t> result;
  switch (how) {
    case pairing::own:
      if (index < to.size())
        result.push_back(to[index]);
      break;
    case pairing::spread:
      result.push_back(to[index % to.size()]);
      break;
    case pairing::drawn:
      result.push_back(to[mobility_.below(to.size())]);
      break;
    case pairing::all:
      result = to;
      break;
  }
  std::erase(result, from[index]);
  return result;
}

void fleet::make_paths() {
  for (size_t p = 0; p < plan_.links.size(); ++p) {
    auto& plan = plan_.links[p];
    auto& from = members(plan.from);
    for (size_t i = 0; i < from.size(); ++i)
      for (auto to : partners(plan.from, i, plan.to, plan.pairing)) {
        path x;
        x.plan = p;
        x.from = from[i];
        x.to = to;
        path_random_.emplace_back(options_.seed, "path", net_->paths().size());
        net_->add_path(x);
        auto [kind, fresh] = link_kinds_.emplace(
          std::pair{std::min(x.from, x.to), std::max(x.from, x.to)}, plan.kind);
        if (!fresh)
          kind->second = "several";
      }
  }
}

/// Where the dialling side of a path finds the other (HLD 8.5).
void fleet::make_routes() {
  std::set<std::pair<size_t, size_t>> done;
  for (auto& x : net_->paths()) {
    if (!done.insert({x.from, x.to}).second)
      continue;
    auto& plan = plan_.links[x.plan];
    auto route = [&](size_t from, size_t to) {
      nodes_[from]->routes.push_back({"+:" + nodes_[to]->address, {network::address_of(to)}});
    };
    route(x.from, x.to);
    if (plan.mutual)
      route(x.to, x.from);
    if (plan.always)
      nodes_[x.from]->connect.push_back(network::address_of(x.to));
  }
}

/// True if nodes that may carry for the second join the two.
bool fleet::can_be_relayed(size_t from, size_t to) const {
  std::set<size_t> seen{from};
  std::vector<size_t> next{from};
  while (!relay_texts_.empty() && !next.empty()) {
    auto node = next.back();
    next.pop_back();
    for (auto i : net_->paths_of(node)) {
      auto& x = net_->paths()[i];
      auto other = x.from == node ? x.to : x.from;
      if (other == to)
        return true;
      auto& credentials = nodes_[other]->credentials;
      bool relay = std::any_of(credentials.begin(), credentials.end(), [&](auto& credential) {
        return credential->covers_relay(nodes_[to]->address);
      });
      if (relay && seen.insert(other).second)
        next.push_back(other);
    }
  }
  return false;
}

void fleet::make_talkers() {
  std::set<std::pair<size_t, size_t>> linked;
  for (auto& x : net_->paths())
    linked.insert(std::minmax(x.from, x.to));
  for (size_t t = 0; t < plan_.traffic.size(); ++t) {
    auto& plan = plan_.traffic[t];
    auto& from = members(plan.from);
    for (size_t i = 0; i < from.size(); ++i) {
      talker x{t, from[i], partners(plan.from, i, plan.to, plan.pairing), 0,
               random_source{options_.seed, "traffic " + std::to_string(t), i}};
      // Who can never meet has nothing to say.
      std::erase_if(x.to, [&](size_t to) {
        return !linked.count(std::minmax(x.from, to)) && !can_be_relayed(x.from, to);
      });
      if (!x.to.empty())
        talkers_.push_back(std::move(x));
    }
  }
}

// -- the loop -------------------------------------------------------------------------------------

void fleet::run_one_actor() {
  auto& jobs = scheduler_->jobs;
  if (faults_.interleave && jobs.size() > 1)
    std::swap(jobs.front(), jobs[interleave_.below(std::min(jobs.size(), interleave_width))]);
  scheduler_->try_run_once();
  ++messages_;
}

void fleet::settle() {
  while (!scheduler_->jobs.empty())
    run_one_actor();
}

uint64_t fleet::next_timeout_ms() const {
  auto& schedule = scheduler_->clock().schedule();
  if (schedule.empty())
    return ~uint64_t{0};
  auto distance
    = std::chrono::ceil<std::chrono::milliseconds>(schedule.begin()->first - clock_start_);
  return static_cast<uint64_t>(std::max<int64_t>(distance.count(), 0));
}

void fleet::run_until(uint64_t ms) {
  for (;;) {
    settle();
    if (time_->step())
      continue;
    auto next = std::min(time_->next_ms(), next_timeout_ms());
    next = std::max(next, time_->now_ms());
    if (next > ms) {
      scheduler_->advance_time(std::chrono::milliseconds{ms - time_->now_ms()});
      time_->advance_to(ms);
      settle();
      return;
    }
    auto step = next - time_->now_ms();
    time_->advance_to(next);
    scheduler_->advance_time(std::chrono::milliseconds{step});
  }
}

run_result fleet::run() {
  auto before = cpu_ms();
  draw_faults();
  for (auto& x : nodes_)
    x->start();
  settle();
  plan_mobility();
  plan_traffic();
  plan_faults();
  plan_events();
  auto whole = plan_.duration_ms + plan_.heal_ms;
  sample_every_ms_ = std::max<uint64_t>(whole / samples_max, 1'000);
  take_sample();
  run_until(plan_.duration_ms);
  heal();
  run_until(whole);
  check_end();
  run_result result;
  result.scenario = plan_.name;
  result.title = plan_.title;
  result.seed = options_.seed;
  result.real_signatures = options_.real_signatures;
  result.simulated_ms = whole;
  result.cpu_ms = cpu_ms() - before;
  result.rss_bytes_max = rss_bytes_max();
  trace(messages_);
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(trace_));
  result.trace_hash = text;
  result.violations = std::move(book_.violations);
  result.total = std::move(book_.total);
  result.total.nodes = nodes_.size();
  result.total.node_hours = static_cast<double>(nodes_.size()) * static_cast<double>(whole) / 3.6e6;
  result.total.actor_messages = messages_;
  result.samples = std::move(samples_);
  result.latency = std::move(book_.latency);
  result.sequence = std::move(sequence_);
  return result;
}

run_result simulate(const scenario& plan, const run_options& options) {
  (void)log::configure(log::level::off, log::format::text);
  fleet x{plan, options};
  return x.run();
}

} // namespace rvi::simulation
