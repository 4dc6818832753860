// SPDX-License-Identifier: MPL-2.0
//
// Load on a mosquitto broker through libmosquitto: publishes of QoS 1 from one connection, at most
// so many without a PUBACK, to a subscriber of QoS 1 with a lasting session on another. Each
// connection has a thread and the library's own loop. A thread that publishes writes at once, as
// long as the socket takes it; the library has nothing that puts several into one write.

#include "load.hpp"

#include <mosquitto.h>

using namespace peers;

namespace {

constexpr const char* topic = "bench/message";
constexpr int keep_alive_s = 60;
constexpr int step_ms = 100;
constexpr int qos = 1;

void check(int status, const char* what) {
  if (status != MOSQ_ERR_SUCCESS)
    throw std::runtime_error(std::string{what} + ": " + mosquitto_strerror(status));
}

using handle = std::unique_ptr<mosquitto, decltype([](mosquitto* x) { mosquitto_destroy(x); })>;

/// A connection that is used by one thread only.
class client {
public:
  client(const options& o, account& a, const std::string& id, bool clean_session)
    : account_(a),
      mosquitto_(mosquitto_new(id.c_str(), clean_session, this)) {
    if (!mosquitto_)
      throw std::bad_alloc();
    auto x = mosquitto_.get();
    check(mosquitto_tls_set(x, o.ca.c_str(), nullptr, nullptr, nullptr, nullptr), "trust anchor");
    check(mosquitto_tls_opts_set(x, 1, "tlsv1.3", nullptr), "tls");
    check(mosquitto_int_option(x, MOSQ_OPT_TCP_NODELAY, 1), "no delay");
    check(mosquitto_max_inflight_messages_set(x, o.outstanding), "messages in flight");
    mosquitto_connect_callback_set(x, [](mosquitto*, void* self, int code) {
      auto& c = *static_cast<client*>(self);
      c.ready_ = code == 0;
      if (code != 0)
        c.account_.fail(std::string{"connect: "} + mosquitto_connack_string(code));
    });
    mosquitto_disconnect_callback_set(x, [](mosquitto*, void* self, int code) {
      if (code != 0)
        static_cast<client*>(self)->account_.fail(std::string{"connection lost: "}
                                                  + mosquitto_strerror(code));
    });
    check(mosquitto_connect(x, o.host.c_str(), o.port, keep_alive_s), "connect");
    wait_until_ready();
  }

  mosquitto* get() const { return mosquitto_.get(); }

  /// Errors are those of the connection.
  void step() { check(mosquitto_loop(get(), step_ms, 1), "connection"); }

protected:
  void wait_until_ready() {
    for (auto until = now_us() + 10'000'000; !ready_; account_.check()) {
      step();
      if (now_us() > until)
        throw std::runtime_error("the broker does not answer");
    }
    ready_ = false;
  }

  account& account_;
  bool ready_ = false;

private:
  handle mosquitto_;
};

class subscriber : public client {
public:
  subscriber(const options& o, account& a) : client(o, a, "bench-subscriber", false) {
    mosquitto_subscribe_callback_set(
      get(), [](mosquitto*, void* self, int, int, const int*) { of(self).ready_ = true; });
    mosquitto_message_callback_set(get(), [](mosquitto*, void* self, const mosquitto_message* x) {
      of(self).account_.note(sequence_of(x->payload, size_t(x->payloadlen)), delivered);
    });
    check(mosquitto_subscribe(get(), nullptr, topic, qos), "subscribe");
    wait_until_ready();
  }

  /// Nothing of this run is left to the session.
  void leave() {
    check(mosquitto_unsubscribe(get(), nullptr, topic), "unsubscribe");
    check(mosquitto_disconnect(get()), "disconnect");
  }

private:
  static subscriber& of(void* self) {
    return *static_cast<subscriber*>(static_cast<client*>(self));
  }
};

class publisher : public client {
public:
  publisher(const options& o, account& a)
    : client(o, a, "bench-publisher", true),
      outstanding_max_(o.outstanding),
      text_(o.size) {
    mosquitto_publish_callback_set(get(), [](mosquitto*, void* self, int id) {
      auto& p = *static_cast<publisher*>(static_cast<client*>(self));
      p.account_.note(p.sequences_[uint16_t(id)], accepted);
      --p.outstanding_;
    });
  }

  /// All that may be sent goes out before the acknowledgements are read.
  void fill() {
    for (; outstanding_ < outstanding_max_ && account_.sending(); ++outstanding_) {
      auto sequence = account_.begin();
      auto data = text_.with(sequence);
      int id = 0;
      check(mosquitto_publish(get(), &id, topic, int(data.size()), data.data(), qos, false),
            "publish");
      sequences_[uint16_t(id)] = sequence;
    }
  }

private:
  uint32_t outstanding_max_;
  uint32_t outstanding_ = 0;
  payload text_;
  std::array<uint64_t, 1 << 16> sequences_{}; // by message id; ids come round after 65,535
};

/// Runs until it is asked to stop, or fails the account.
template <class F>
std::jthread thread_of(account& a, F step) {
  return std::jthread{[&a, step](std::stop_token stop) {
    try {
      while (!stop.stop_requested())
        step();
    } catch (const std::exception& x) {
      a.fail(x.what());
    }
  }};
}

void run_message(const options& o) {
  account a{o, accepted, delivered};
  subscriber to{o, a};
  publisher from{o, a};
  auto receiving = thread_of(a, [&to] { to.step(); });
  auto sending = thread_of(a, [&from] {
    from.fill();
    from.step();
  });
  auto measured = measure(o, a);
  sending = {};
  receiving = {};
  to.leave();
  report(o, measured, a);
}

} // namespace

int main(int argc, char** argv) {
  mosquitto_lib_init();
  return run("mosquitto_load", argc, argv, [](const options& o) {
    if (o.scenario != "message")
      throw std::invalid_argument("the scenario is message");
    run_message(o);
  });
}
