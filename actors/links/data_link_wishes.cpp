// SPDX-License-Identifier: MPL-2.0
//
// What data_link is asked for and how it gets there: who is wanted, over which kinds of link, and
// when each address is dialled.

#include "actors/links/data_link.hpp"
#include "actors/sockets/ip.hpp"
#include "runtime/observe/log.hpp"

#include <algorithm>

namespace rvi {

namespace {

constexpr const char* component = "data-link";
// A link that ends sooner has helped nobody: it counts as a failed dial, and who asked for it still
// wants one.
constexpr uint64_t settled_ms = 1'000;
constexpr uint64_t never_ms = UINT64_MAX;
// A better network that has come up is tried this often while a worse link does.
constexpr uint32_t upgrade_dials = 3;

} // namespace

kinded_address split_kind(const std::string& x) {
  auto at = x.rfind('@');
  if (at == std::string::npos || !is_link_kind(std::string_view{x}.substr(at + 1)))
    return {x, {}};
  return {x.substr(0, at), x.substr(at + 1)};
}

std::string data_link_state::driver_of(const std::string& address) const {
  auto colon = address.find(':');
  if (colon != std::string::npos && colon + 1 < address.size()
      && (address[colon + 1] < '0' || address[colon + 1] > '9'))
    if (auto scheme = address.substr(0, colon); drivers.count(scheme))
      return scheme;
  return "tls";
}

bool data_link_state::wanted(const wish& x) const {
  auto now = now_ms();
  return x.always || std::any_of(x.demands.begin(), x.demands.end(), [now](auto& d) {
           return d.second.until_ms > now;
         });
}

bool data_link_state::is_disconnected(const std::string& key, const wish& x) const {
  return disconnected.count(key) != 0 || (!x.node.empty() && disconnected.count(x.node) != 0);
}

// -- what somebody asks for -----------------------------------------------------------------------

void data_link_state::setup(const setup_request& x) {
  if (x.network_addresses.empty())
    return;
  auto key
    = x.node_address.empty() ? split_kind(x.network_addresses.front()).address : x.node_address;
  if (!x.found)
    return want(key, x, now_ms() + x.wanted_ms, false);
  if (linked_with(key))
    return;
  if (auto i = wishes.find(key); i != wishes.end()) // it is wanted, and now it is there
    for (auto& w : i->second.ways)
      w.dial_ms = std::min(w.dial_ms, now_ms());
  want(key, x, now_ms() + 1, false); // one dial, not repeated
}

data_link_state::wish_iterator
data_link_state::find_wish(const std::string& key, const std::vector<std::string>& addresses) {
  auto i = wishes.find(key);
  for (size_t n = 0; i == wishes.end() && n < addresses.size(); ++n)
    i = wishes.find(split_kind(addresses[n]).address);
  return i;
}

void data_link_state::set_addresses(wish& x, const std::vector<std::string>& addresses) {
  if (x.addresses == addresses)
    return;
  auto before = std::move(x.ways);
  x.addresses = addresses;
  x.ways.clear();
  for (auto& text : addresses) {
    auto [address, only] = split_kind(text);
    auto kinds = !only.empty()              ? std::vector{only}
                 : config.own_kinds.empty() ? std::vector{std::string{}}
                                            : config.own_kinds;
    for (auto& kind : kinds) {
      auto same = [&](auto& w) { return w.address == address && w.kind == kind; };
      if (std::any_of(x.ways.begin(), x.ways.end(), same))
        continue;
      auto known = std::find_if(before.begin(), before.end(), same);
      x.ways.push_back(known == before.end() ? way{address, kind} : *known);
    }
  }
}

void data_link_state::want(const std::string& key, const setup_request& asked, uint64_t until_ms,
                           bool always) {
  auto i = find_wish(key, asked.network_addresses);
  if (i == wishes.end())
    i = wishes.emplace(key, wish{}).first;
  auto& x = i->second;
  set_addresses(x, asked.network_addresses);
  x.always = x.always || always;
  if (!always) {
    auto& d = x.demands[asked.kinds];
    d.until_ms = std::max(d.until_ms, until_ms);
    d.asked_ms = now_ms();
  }
  for (auto& w : x.ways)
    if (w.dial_ms == never_ms)
      w.dial_ms = 0; // there may be a driver now
  if (auto up = links_by_node.find(key); up != links_by_node.end())
    for (auto link : up->second)
      serve(i->first, x, link);
  advance(i);
}

// -- dialling -------------------------------------------------------------------------------------

void data_link_state::advance(wish_iterator i) {
  auto& [key, x] = *i;
  auto now = now_ms();
  if (auto before = std::exchange(x.due_ms, 0); before != 0)
    due.erase({before, key});
  auto next = never_ms;
  if (!is_disconnected(key, x)) {
    if (x.always)
      next = seek(key, x, {});
    for (auto& [kinds, d] : x.demands)
      if (d.until_ms > now)
        next = std::min(next, seek(key, x, kinds));
  }
  std::erase_if(x.demands, [now](auto& d) { return d.second.until_ms <= now; });
  if (!wanted(x) && x.links.empty() && x.dialling.empty()) {
    wishes.erase(i);
    return;
  }
  // What is linked or being dialled ends with `closed`; what only waits ends with its time.
  if (x.links.empty() && x.dialling.empty())
    for (auto& [kinds, d] : x.demands)
      if (!x.always)
        next = std::min(next, d.until_ms);
  if (next == never_ms)
    return;
  x.due_ms = next;
  due.emplace(next, key);
  timer.arm(self, now, next);
}

std::vector<std::string>
data_link_state::kinds_to_dial(const wish& x, const std::vector<std::string>& kinds) const {
  std::vector<std::string> result;
  for (auto& w : x.ways)
    if ((w.kind.empty() || config.kinds.place(kinds, w.kind))
        && std::find(result.begin(), result.end(), w.kind) == result.end())
      result.push_back(w.kind);
  std::stable_sort(result.begin(), result.end(), [&](auto& a, auto& b) {
    // What has no name comes last: it may turn out to be anything.
    return a.empty() != b.empty() ? b.empty() : config.kinds.better(kinds, a, b);
  });
  return result;
}

const std::string*
data_link_state::best_up(const wish& x, const std::vector<std::string>& kinds) const {
  const std::string* result = nullptr;
  for (auto number : x.links) {
    auto& kind = links.at(number).info.kind;
    if (config.kinds.place(kinds, kind) && (!result || config.kinds.better(kinds, kind, *result)))
      result = &kind;
  }
  return result;
}

uint64_t
data_link_state::seek(const std::string& key, wish& x, const std::vector<std::string>& kinds) {
  auto now = now_ms();
  auto next = never_ms;
  auto up_now = best_up(x, kinds);
  for (auto& kind : kinds_to_dial(x, kinds)) {
    if (up_now && (kind.empty() || !config.kinds.better(kinds, kind, *up_now)))
      break;
    if (networks_down.count(kind) != 0 || (up_now && x.upgrades[kind] == 0))
      continue;
    way* first = nullptr;
    for (auto& w : x.ways)
      if (w.kind == kind && (!first || w.dial_ms < first->dial_ms))
        first = &w;
    if (x.dialling.count(kind) == 0 && first->dial_ms <= now) {
      if (up_now)
        --x.upgrades[kind];
      dial(key, x, *first);
    }
    if (x.dialling.count(kind) != 0) {
      bool fresh = std::all_of(x.ways.begin(), x.ways.end(),
                               [&](auto& w) { return w.kind != kind || w.failures == 0; });
      if (fresh)
        break; // a worse kind is not tried before this one has failed
      continue;
    }
    next = std::min(next, first->dial_ms);
  }
  return next;
}

void data_link_state::dial(const std::string& key, wish& x, way& w) {
  auto driver = drivers.find(driver_of(w.address));
  if (driver == drivers.end()) {
    w.dial_ms = never_ms; // until one is attached
    return;
  }
  auto number = config.node->link_numbers->fetch_add(1);
  x.dialling[w.kind] = number;
  dialling[number] = {key, w.address, w.kind};
  dials->add();
  log::debug(component, "dialling",
             {{"node", key}, {"address", w.address}, {"kind", w.kind}, {"link", number}});
  self->send(driver->second, atom::setup_v, number, w.address, w.kind);
}

/// Full jitter: anything from nothing to the doubled bound, so that a fleet does not come at once.
void data_link_state::back_off(way& w) {
  auto exponent = std::min<uint32_t>(w.failures, 20);
  auto bound = std::min(config.backoff_ms_max, config.backoff_ms_min << exponent);
  ++w.failures;
  std::uniform_int_distribution<uint64_t> draw{config.backoff_ms_min / 2,
                                               std::max(bound, config.backoff_ms_min)};
  w.dial_ms = now_ms() + draw(jitter);
}

data_link_state::way*
data_link_state::find_way(wish& x, const std::string& address, const std::string& kind) {
  for (auto& w : x.ways)
    if (w.address == address && w.kind == kind)
      return &w;
  return nullptr;
}

void data_link_state::dial_failed(uint64_t number, const std::string& why) {
  auto failed = dialling.find(number);
  if (failed == dialling.end())
    return;
  auto [key, address, kind] = std::move(failed->second);
  dialling.erase(failed);
  failures->add();
  auto i = wishes.find(key);
  auto& x = i->second;
  x.dialling.erase(kind);
  if (auto w = find_way(x, address, kind)) { // else the address is not its own any more
    back_off(*w);
    log::info(component, "dial failed",
              {{"node", key},
               {"address", address},
               {"kind", kind},
               {"reason", why},
               {"again_ms", w->dial_ms - now_ms()}});
  }
  advance(i);
}

// -- links that serve wishes ----------------------------------------------------------------------

void data_link_state::serve(const std::string& key, wish& x, uint64_t link) {
  x.links.insert(link);
  x.node = links.at(link).info.peer.node_address;
  served[link].insert(key);
}

void data_link_state::stop_serving(const std::string& key, wish& x, uint64_t link) {
  x.links.erase(link);
  auto i = served.find(link);
  if (i == served.end())
    return;
  i->second.erase(key);
  if (i->second.empty())
    served.erase(i);
}

void data_link_state::release_wishes(const live_link& ended) {
  auto i = served.find(ended.info.link);
  if (i == served.end())
    return;
  auto now = now_ms();
  bool settled = now - ended.up_ms >= settled_ms;
  for (auto& key : std::set<std::string>{i->second}) {
    auto w = wishes.find(key);
    auto& x = w->second;
    stop_serving(key, x, ended.info.link);
    auto own = find_way(x, ended.dialled.address, ended.dialled.kind);
    for (auto& y : x.ways) {
      if (own && own != &y)
        continue;
      if (!settled) {
        back_off(y);
      } else {
        y.failures = 0;
        y.dial_ms = now;
      }
    }
    // The link came: that was the wish. Who asks while it is up knows already that it has ended.
    if (settled)
      std::erase_if(x.demands, [&](auto& d) {
        return config.kinds.place(d.first, ended.info.kind)
               && d.second.asked_ms < ended.up_ms + settled_ms;
      });
    advance(w);
  }
}

bool data_link_state::linked_with(const std::string& address) const {
  auto host = host_part(address);
  return std::any_of(links.begin(), links.end(), [&](auto& entry) {
    auto& info = entry.second.info;
    // Whoever dialled us did so from another port than its own: its host has to do, unless it said
    // where it can be dialled.
    return info.remote_address == address || info.peer.network_address == address
           || (!info.dialled && info.peer.network_address.empty()
               && host_part(info.remote_address) == host);
  });
}

// -- time and networks ----------------------------------------------------------------------------

void data_link_state::wake() {
  timer.fired();
  auto now = now_ms();
  while (!due.empty() && due.begin()->first <= now) {
    auto i = wishes.find(due.begin()->second);
    advance(i);
  }
  if (!due.empty())
    timer.arm(self, now, due.begin()->first);
}

void data_link_state::network_up(const std::string& kind) {
  networks_down.erase(kind);
  std::uniform_int_distribution<uint64_t> draw{0, config.backoff_ms_min};
  for (auto i = wishes.begin(); i != wishes.end();) {
    auto next = std::next(i);
    auto& x = i->second;
    bool of_kind = false;
    for (auto& w : x.ways) {
      if (w.kind != kind && (!w.kind.empty() || driver_of(w.address) != kind))
        continue;
      of_kind = true;
      w.failures = 0;
      w.dial_ms = now_ms() + draw(jitter);
    }
    if (of_kind) {
      x.upgrades[kind] = upgrade_dials;
      advance(i);
    }
    i = next;
  }
}

void data_link_state::network_down(const std::string& kind) {
  networks_down.insert(kind);
  for (auto& [number, x] : links)
    if (x.info.own_kind == kind)
      self->send(x.handle, atom::close_v, std::string{to_string(ec::link_down)},
                 "the network of " + kind + " is gone");
  for (auto i = wishes.begin(); i != wishes.end();) {
    auto next = std::next(i);
    if (i->second.links.empty())
      advance(i); // another kind may have to do
    i = next;
  }
}

void data_link_state::attach(const std::string& kind, link_driver_actor driver) {
  // Nobody reports how the dials of a driver that has ended went.
  auto& known = drivers[kind];
  bool replaced = known && known != driver;
  known = std::move(driver);
  for (auto i = wishes.begin(); i != wishes.end();) {
    auto next = std::next(i);
    auto& x = i->second;
    for (auto& w : x.ways)
      w.dial_ms = 0;
    if (replaced)
      std::erase_if(x.dialling, [&](auto& d) {
        auto lost
          = choosing.count(d.second) == 0 && driver_of(dialling.at(d.second).address) == kind;
        if (lost)
          dialling.erase(d.second);
        return lost;
      });
    advance(i);
    i = next;
  }
}

} // namespace rvi
