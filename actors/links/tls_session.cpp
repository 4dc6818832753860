// SPDX-License-Identifier: MPL-2.0

#include "actors/links/tls_session.hpp"

#include "actors/links/link_session_handlers.hpp"
#include "actors/links/watch_owner.hpp"
#include "runtime/observe/audit.hpp"
#include "runtime/observe/log.hpp"

#include <sys/socket.h>
#include <utility>

namespace rvi {

namespace {

constexpr const char* component = "tls-link";
constexpr size_t read_bytes_idle = 4 * 1'024;
constexpr size_t read_bytes_busy = 64 * 1'024;
constexpr std::string_view exporter_label = "EXPORTER-rvi-2";
constexpr uint64_t linger_ms = 1'000;
constexpr uint64_t unsent_bytes_max = uint64_t{64} << 20; // credit keeps an honest peer far below

} // namespace

void tls_session_state::start(tls_session_config x) {
  config = std::move(x);
  connection = self->add_scribe(config.fd);
  self->configure_read(connection, caf::io::receive_policy::at_most(read_bytes_idle));
  self->ack_writes(connection, true);
  auto side = config.link.dialled ? tls::side::client : tls::side::server;
  tls.emplace(config.tls, side, config.link.dialled ? config.address : std::string{});
  link.emplace(config.link, caf::actor_cast<link_actor>(self));
  if (config.link.dialled)
    if (auto err = tls->start())
      return end(describe(err));
  flush();
}

void tls_session_state::receive(const std::vector<char>& bytes) {
  if (over)
    return;
  heard = true;
  if (bytes.size() >= read_bytes_idle && !busy) {
    busy = true;
    self->configure_read(connection, caf::io::receive_policy::at_most(read_bytes_busy));
  }
  plaintext.clear();
  auto err = tls->receive({bytes.data(), bytes.size()}, plaintext);
  if (!bound && tls->established())
    channel_ready();
  if (bound && !plaintext.empty() && !over)
    link->receive(plaintext);
  flush();
  if (!err || over)
    return;
  if (!bound)
    audit::refused("handshake", err, {{"address", config.address}});
  end(describe(err));
}

void tls_session_state::channel_ready() {
  auto exporter = tls->exporter(exporter_label, {}, 32);
  if (!exporter)
    return end(describe(exporter.error()));
  bound = true;
  link->start({config.link.dialled,
               config.own_spki,
               tls->peer_spki(),
               std::move(*exporter),
               config.network_address,
               0,
               {},
               {}});
}

void tls_session_state::flush() {
  if (over)
    return;
  if (bound) {
    if (!admitted && link->admitted()) {
      admitted = true;
      self->send(config.owner, atom::admit_v);
    }
    link->unsent(appended - transferred);
    auto frames = link->take_output();
    if (!frames.empty())
      if (auto err = tls->send(frames))
        return end(describe(err));
    if (link->ended())
      tls->close();
  } else if (link->ended()) {
    tls->close();
  }
  send_output();
  if (link->ended())
    end(link->reason());
  else if (appended - transferred > unsent_bytes_max)
    end("the peer does not read");
  else
    timer.arm(self, now_ms(), link->next_deadline_ms());
}

void tls_session_state::send_output() {
  if (!tls->has_output())
    return;
  auto& out = self->wr_buf(connection);
  auto before = out.size();
  tls->take_output(out);
  appended += out.size() - before;
  self->flush(connection);
}

void tls_session_state::end(const std::string& why) {
  if (over)
    return;
  over = true;
  over_ms = now_ms();
  reason = why;
  if (tls)
    send_output();
  if (!why.empty())
    log::info(component, "session over",
              {{"link", config.link.number}, {"address", config.address}, {"reason", why}});
  if (transferred == appended)
    leave();
  else
    timer.arm(self, over_ms, over_ms + linger_ms);
}

void tls_session_state::wake() {
  timer.fired();
  if (left)
    return;
  link->tick();
  flush();
  if (!over)
    return;
  if (now_ms() - over_ms >= linger_ms)
    leave();
  else
    timer.arm(self, now_ms(), over_ms + linger_ms);
}

uint64_t tls_session_state::now_ms() const {
  return config.link.services.node->time->boot_ms();
}

void tls_session_state::transferred_more(uint64_t bytes) {
  transferred += bytes;
  if (over && transferred == appended)
    leave();
  if (!over && bound && link->has_metrics_waiting())
    flush();
}

/// CAF's own close would wait for ever for a peer that does not read (sockets.hpp).
void tls_session_state::leave() {
  if (std::exchange(left, true))
    return;
  ::shutdown(static_cast<int>(connection.id()), SHUT_RDWR);
  self->quit(caf::make_error(ec::link_down, reason));
}

caf::behavior tls_session(tls_session_broker* self, tls_session_config config) {
  auto& st = self->state;
  watch_owner(self, config.owner);
  self->set_down_handler([&st](const caf::down_msg&) {
    st.link->close("shutdown", "");
    st.flush();
  });
  st.start(std::move(config));
  caf::message_handler own{
    [&st](const caf::io::new_data_msg& x) { st.receive(x.buf); },
    [&st](const caf::io::data_transferred_msg& x) { st.transferred_more(x.written); },
    [&st](const caf::io::connection_closed_msg&) {
      st.end(st.heard ? std::string{"connection closed"} : std::string{said_nothing});
      st.leave();
    },
    [&st](atom::tick) { st.wake(); },
  };
  return own.or_else(link_session_handlers(st));
}

} // namespace rvi
