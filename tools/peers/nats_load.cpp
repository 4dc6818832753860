// SPDX-License-Identifier: MPL-2.0
//
// Load on a NATS server through libnats:
//   jetstream   asynchronous publishes into a stream on file, at most so many without an ack
//   rpc         requests to a replier on another connection, so many without a reply
//   metric      values to a subscriber on another connection, so many not there yet
// For rpc and metric the message that comes in lets the next one go out from the same callback: no
// other thread has to wake up for it, and at many outstanding the library's flusher writes many in
// one go. At one outstanding there is nothing to wait for, so each is written at once.

#include "load.hpp"

#include <mutex>
#include <nats/nats.h>

using namespace peers;

namespace {

constexpr int pending_messages_max = 1 << 20; // in the library; never the limit here
constexpr const char* stream = "bench";

void check(natsStatus status, const char* what) {
  if (status != NATS_OK)
    throw std::runtime_error(std::string{what} + ": " + natsStatus_GetText(status));
}

template <class T, void (*Destroy)(T*)>
using owned = std::unique_ptr<T, decltype([](T* x) { Destroy(x); })>;

using connection = owned<natsConnection, natsConnection_Destroy>;
using subscription = owned<natsSubscription, natsSubscription_Destroy>;
using message = owned<natsMsg, natsMsg_Destroy>;

connection connect(const options& o, account& a) {
  natsOptions* made = nullptr;
  check(natsOptions_Create(&made), "options");
  owned<natsOptions, natsOptions_Destroy> x{made};
  auto url = "tls://" + o.host + ":" + std::to_string(o.port);
  check(natsOptions_SetURL(x.get(), url.c_str()), "address");
  check(natsOptions_SetSecure(x.get(), true), "tls");
  check(natsOptions_LoadCATrustedCertificates(x.get(), o.ca.c_str()), "trust anchor");
  check(natsOptions_SetExpectedHostname(x.get(), o.host.c_str()), "host name");
  check(natsOptions_IPResolutionOrder(x.get(), 4), "address family");
  check(natsOptions_SetAllowReconnect(x.get(), false), "no reconnect");
  check(natsOptions_SetMaxPendingMsgs(x.get(), pending_messages_max), "pending messages");
  check(natsOptions_SetSendAsap(x.get(), o.outstanding == 1), "send as soon as possible");
  check(natsOptions_SetClosedCB(
          x.get(),
          [](natsConnection*, void* a) {
            if (static_cast<account*>(a)->sending())
              static_cast<account*>(a)->fail("the server closed the connection");
          },
          &a),
        "closed callback");
  check(natsOptions_SetErrorHandler(
          x.get(),
          [](natsConnection*, natsSubscription*, natsStatus error, void* a) {
            static_cast<account*>(a)->fail(natsStatus_GetText(error));
          },
          &a),
        "error callback");
  natsConnection* result = nullptr;
  check(natsConnection_Connect(&result, x.get()), "connect");
  return connection{result};
}

subscription
subscribe(natsConnection& at, const char* subject, natsMsgHandler handler, void* self) {
  natsSubscription* result = nullptr;
  check(natsConnection_Subscribe(&result, &at, subject, handler, self), "subscribe");
  subscription x{result};
  check(natsSubscription_SetPendingLimits(x.get(), -1, -1), "pending limits");
  check(natsConnection_Flush(&at), "subscribe"); // the server knows of it before anything is sent
  return x;
}

// -- JetStream ------------------------------------------------------------------------------------

void take_ack(jsCtx*, natsMsg* sent, jsPubAck* ack, jsPubAckErr* error, void* self) {
  message owner{sent};
  auto& a = *static_cast<account*>(self);
  if (ack)
    a.note(sequence_of(natsMsg_GetData(sent), size_t(natsMsg_GetDataLength(sent))), accepted);
  else if (error)
    a.fail(std::string{"not stored: "} + (error->ErrText ? error->ErrText : "no reason given"));
}

void add_stream(jsCtx& js) {
  jsStreamConfig config;
  check(jsStreamConfig_Init(&config), "stream");
  const char* subjects[] = {"bench.message"};
  config.Name = stream;
  config.Subjects = subjects;
  config.SubjectsLen = 1;
  config.Storage = js_FileStorage;
  check(js_AddStream(nullptr, &js, &config, nullptr, nullptr), "stream");
}

/// An acknowledged message that the stream does not hold is lost, one more than were sent doubled.
void count_stored(jsCtx& js, account& a) {
  jsStreamInfo* made = nullptr;
  check(js_GetStreamInfo(&made, &js, stream, nullptr, nullptr), "stream info");
  owned<jsStreamInfo, jsStreamInfo_Destroy> info{made};
  auto stored = info->State.Msgs;
  for (uint64_t i = 1; i <= std::min(stored, a.begun()); ++i)
    a.note(i, delivered);
  if (stored > a.begun())
    a.note_doubled(stored - a.begun());
}

void run_jetstream(const options& o) {
  account a{o, accepted, accepted};
  auto publisher = connect(o, a);
  jsOptions config;
  check(jsOptions_Init(&config), "JetStream");
  config.PublishAsync.MaxPending = o.outstanding;
  config.PublishAsync.StallWait = 10'000;
  config.PublishAsync.AckHandler = take_ack;
  config.PublishAsync.AckHandlerClosure = &a;
  jsCtx* made = nullptr;
  check(natsConnection_JetStream(&made, publisher.get(), &config), "JetStream");
  owned<jsCtx, jsCtx_Destroy> js{made};
  add_stream(*js);
  std::jthread sender{[&] {
    payload text{o.size};
    while (a.sending()) {
      auto data = text.with(a.begin());
      auto status
        = js_PublishAsync(js.get(), "bench.message", data.data(), int(data.size()), nullptr);
      if (status != NATS_OK)
        return a.fail(std::string{"publish: "} + natsStatus_GetText(status));
    }
  }};
  auto measured = measure(o, a);
  sender.join();
  jsPubOptions patience;
  check(jsPubOptions_Init(&patience), "options");
  patience.MaxWait = 15'000;
  check(js_PublishAsyncComplete(js.get(), &patience), "all acknowledged");
  count_stored(*js, a);
  check(js_DeleteStream(js.get(), stream, nullptr, nullptr), "stream");
  report(o, measured, a);
}

// -- core -----------------------------------------------------------------------------------------

/// Keeps a constant number under way; the callback of what ends one sends the next.
class core_load {
public:
  core_load(const options& o, bool rpc)
    : options_(o),
      rpc_(rpc),
      account_(o, rpc ? answered : delivered, rpc ? answered : delivered),
      text_(o.size),
      sender_(connect(o, account_)),
      receiver_(connect(o, account_)) {}

  void run() {
    auto server = subscribe(*receiver_, "bench.value", &core_load::take_value, this);
    natsInbox* made = nullptr;
    check(natsInbox_Create(&made), "inbox");
    owned<natsInbox, natsInbox_Destroy> inbox{made};
    inbox_ = inbox.get();
    auto replies = subscribe(*sender_, inbox_, &core_load::take_reply, this);
    {
      // The first replies come on another thread while this one still sends.
      std::lock_guard lock{sending_};
      for (uint32_t i = 0; i < options_.outstanding; ++i)
        send_locked();
    }
    auto measured = measure(options_, account_);
    natsConnection_Close(sender_.get());
    natsConnection_Close(receiver_.get());
    report(options_, measured, account_);
  }

private:
  static void take_value(natsConnection* at, natsSubscription*, natsMsg* x, void* self) {
    message owner{x};
    auto& load = *static_cast<core_load*>(self);
    auto data = natsMsg_GetData(x);
    auto size = natsMsg_GetDataLength(x);
    if (!load.account_.note(sequence_of(data, size_t(size)), delivered))
      return;
    if (!load.rpc_)
      load.send();
    else if (auto s = natsConnection_Publish(at, natsMsg_GetReply(x), data, size); s != NATS_OK)
      load.account_.fail(std::string{"reply: "} + natsStatus_GetText(s));
  }

  static void take_reply(natsConnection*, natsSubscription*, natsMsg* x, void* self) {
    message owner{x};
    auto& load = *static_cast<core_load*>(self);
    if (load.account_.note(sequence_of(natsMsg_GetData(x), size_t(natsMsg_GetDataLength(x))),
                           answered))
      load.send();
  }

  void send() {
    std::lock_guard lock{sending_};
    if (account_.sending())
      send_locked();
  }

  void send_locked() {
    auto sequence = account_.begin();
    auto data = text_.with(sequence);
    auto status
      = rpc_ ? natsConnection_PublishRequest(sender_.get(), "bench.value", inbox_, data.data(),
                                             int(data.size()))
             : natsConnection_Publish(sender_.get(), "bench.value", data.data(), int(data.size()));
    if (status == NATS_OK)
      account_.note(sequence, accepted);
    else
      account_.fail(std::string{"publish: "} + natsStatus_GetText(status));
  }

  const options& options_;
  bool rpc_;
  account account_;
  std::mutex sending_;
  payload text_;
  const char* inbox_ = nullptr;
  connection sender_;
  connection receiver_;
};

} // namespace

int main(int argc, char** argv) {
  return run("nats_load", argc, argv, [](const options& o) {
    if (o.scenario == "jetstream")
      run_jetstream(o);
    else if (o.scenario == "rpc" || o.scenario == "metric")
      core_load{o, o.scenario == "rpc"}.run();
    else
      throw std::invalid_argument("the scenarios are jetstream, rpc and metric");
  });
}
