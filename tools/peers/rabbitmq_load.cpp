// SPDX-License-Identifier: MPL-2.0
//
// Load on a RabbitMQ broker through librabbitmq: persistent messages into a quorum queue with
// publisher confirms, at most so many unconfirmed, and a consumer on another connection that
// acknowledges them. The broker confirms many at once, and so does the consumer: whatever came in
// one read is acknowledged in one frame.

#include "load.hpp"

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <sys/time.h>

using namespace peers;

namespace {

constexpr amqp_channel_t channel = 1;
constexpr uint16_t prefetch = 1'000;  // quorum queues take 2000 at most
constexpr uint64_t unacked_max = 256; // of the consumer, while more keeps coming
constexpr timeval step{0, 100'000};

void check(int status, const char* what) {
  if (status != AMQP_STATUS_OK)
    throw std::runtime_error(std::string{what} + ": " + amqp_error_string2(status));
}

void check(const amqp_rpc_reply_t& x, const char* what) {
  if (x.reply_type == AMQP_RESPONSE_NORMAL)
    return;
  auto why = x.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION ? amqp_error_string2(x.library_error)
                                                             : "the broker refuses it";
  throw std::runtime_error(std::string{what} + ": " + why);
}

/// A connection with one channel, used by one thread only.
class client {
public:
  explicit client(const options& o) : state_(amqp_new_connection()) {
    auto socket = amqp_ssl_socket_new(get());
    if (!socket)
      throw std::bad_alloc();
    check(amqp_ssl_socket_set_cacert(socket, o.ca.c_str()), "trust anchor");
    amqp_ssl_socket_set_verify_peer(socket, true);
    amqp_ssl_socket_set_verify_hostname(socket, true);
    check(amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST), "tls");
    check(amqp_socket_open(socket, o.host.c_str(), o.port), "connect");
    check(amqp_login(get(), "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, "guest",
                     "guest"),
          "log in");
    amqp_channel_open(get(), channel);
    check(amqp_get_rpc_reply(get()), "channel");
  }

  amqp_connection_state_t get() const { return state_.get(); }
  void check_reply(const char* what) { check(amqp_get_rpc_reply(get()), what); }
  /// More can be read without the socket.
  bool has_more() const { return amqp_frames_enqueued(get()) || amqp_data_in_buffer(get()); }

private:
  std::unique_ptr<amqp_connection_state_t_,
                  decltype([](amqp_connection_state_t x) { amqp_destroy_connection(x); })>
    state_;
};

class consumer : public client {
public:
  consumer(const options& o, account& a, amqp_bytes_t queue) : client(o), account_(a) {
    amqp_table_entry_t type{};
    type.key = amqp_cstring_bytes("x-queue-type");
    type.value.kind = AMQP_FIELD_KIND_UTF8;
    type.value.value.bytes = amqp_cstring_bytes("quorum");
    amqp_queue_declare(get(), channel, queue, false, true, false, false, {1, &type});
    check_reply("quorum queue");
    amqp_basic_qos(get(), channel, 0, prefetch, false);
    check_reply("prefetch");
    amqp_basic_consume(get(), channel, queue, amqp_empty_bytes, false, false, false,
                       amqp_empty_table);
    check_reply("consume");
  }

  void run_once() {
    amqp_envelope_t x;
    amqp_maybe_release_buffers(get());
    auto reply = amqp_consume_message(get(), &x, &step, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
        && reply.library_error == AMQP_STATUS_TIMEOUT)
      return;
    check(reply, "delivery");
    account_.note(sequence_of(x.message.body.bytes, x.message.body.len), delivered);
    auto tag = x.delivery_tag;
    amqp_destroy_envelope(&x);
    if (has_more() && tag - acked_ < unacked_max)
      return;
    check(amqp_basic_ack(get(), channel, tag, true), "acknowledge");
    acked_ = tag;
  }

private:
  account& account_;
  uint64_t acked_ = 0;
};

class publisher : public client {
public:
  publisher(const options& o, account& a, amqp_bytes_t queue)
    : client(o),
      account_(a),
      queue_(queue),
      outstanding_max_(o.outstanding),
      text_(o.size) {
    amqp_confirm_select(get(), channel);
    check_reply("publisher confirms");
    properties_._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties_.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  }

  /// All that may be sent goes out before the confirms are read.
  void run_once() {
    for (; outstanding_ < outstanding_max_ && account_.sending(); ++outstanding_) {
      auto data = text_.with(account_.begin()); // its number is also its delivery tag
      check(amqp_basic_publish(get(), channel, amqp_empty_bytes, queue_, false, false, &properties_,
                               {data.size(), const_cast<char*>(data.data())}),
            "publish");
    }
    amqp_maybe_release_buffers(get());
    do {
      amqp_frame_t frame;
      auto status = amqp_simple_wait_frame_noblock(get(), &frame, &step);
      if (status == AMQP_STATUS_TIMEOUT)
        return;
      check(status, "confirm");
      if (frame.frame_type == AMQP_FRAME_METHOD)
        take(frame.payload.method);
    } while (has_more());
  }

private:
  void take(const amqp_method_t& x) {
    if (x.id != AMQP_BASIC_ACK_METHOD)
      throw std::runtime_error("the broker did not take a message, or closed the channel");
    auto& ack = *static_cast<amqp_basic_ack_t*>(x.decoded);
    if (!ack.multiple)
      return take_one(ack.delivery_tag);
    for (; oldest_ <= ack.delivery_tag; ++oldest_)
      take_one(oldest_);
  }

  /// One that was confirmed alone is met again by a later confirm of many.
  void take_one(uint64_t tag) {
    auto& mine = confirmed_[tag % confirmed_.size()];
    if (mine == tag)
      return;
    mine = tag;
    account_.note(tag, accepted);
    --outstanding_;
  }

  account& account_;
  amqp_bytes_t queue_;
  uint32_t outstanding_max_;
  uint32_t outstanding_ = 0;
  uint64_t oldest_ = 1; // all before it are confirmed
  payload text_;
  std::vector<uint64_t> confirmed_ = std::vector<uint64_t>(1 << 20);
  amqp_basic_properties_t properties_{};
};

/// Runs until it is asked to stop, or fails the account.
template <class T>
std::jthread thread_of(account& a, T& x) {
  return std::jthread{[&a, &x](std::stop_token stop) {
    try {
      while (!stop.stop_requested())
        x.run_once();
    } catch (const std::exception& e) {
      a.fail(e.what());
    }
  }};
}

void run_message(const options& o) {
  account a{o, accepted, delivered};
  auto queue = amqp_cstring_bytes("bench");
  consumer to{o, a, queue};
  publisher from{o, a, queue};
  auto receiving = thread_of(a, to);
  auto sending = thread_of(a, from);
  auto measured = measure(o, a);
  sending = {};
  receiving = {};
  amqp_queue_delete(to.get(), channel, queue, false, false);
  to.check_reply("delete queue");
  report(o, measured, a);
}

} // namespace

int main(int argc, char** argv) {
  return run("rabbitmq_load", argc, argv, [](const options& o) {
    if (o.scenario != "message")
      throw std::invalid_argument("the scenario is message");
    run_message(o);
  });
}
