// SPDX-License-Identifier: MPL-2.0
//
// What a peer may send and when: the session alone, bytes in and events out.

#include "actors/links/native_session.hpp"
#include "messages/wire/batch.hpp"
#include "rvi.pb.h"
#include "test/support/envelopes.hpp"

#include <doctest/doctest.h>

using namespace rvi;

namespace {

const std::string body = "\x08\x02"; // AuthorizeBody, version 2

std::string framed(const wire::Frame& x) {
  std::string result;
  wire::append_frame(result, x);
  return result;
}

struct fixture {
  fixture() {
    limits.credit_envelopes = 4;
    limits.credit_bytes = 4'096;
    session.emplace(limits);
  }

  ec feed(const wire::Frame& x) { return code_of(session->receive(framed(x))); }

  template <class T>
  std::optional<T> take() {
    while (auto event = session->next())
      if (auto* x = std::get_if<T>(&*event))
        return std::move(*x);
    return std::nullopt;
  }

  void bring_up() {
    wire::Frame authorize;
    authorize.mutable_authorize()->set_body(body);
    REQUIRE(feed(authorize) == ec::none);
    session->introduce(body, "signature");
    REQUIRE_FALSE(session->admitted(1 << 20));
    session->announce(true, {});
    wire::Frame announce;
    announce.mutable_announce()->set_full(true);
    REQUIRE(feed(announce) == ec::none);
    session->announcement_accepted();
    REQUIRE(session->is_up());
    REQUIRE(take<session_up>());
    session->take_output();
  }

  wire::Frame batch_of(size_t n, size_t bytes = 10) {
    std::vector<request_header> headers;
    std::vector<std::string> arguments;
    for (size_t i = 0; i < n; ++i) {
      headers.push_back(test::header_of(key.public_part().uid(), i + 1));
      arguments.emplace_back(bytes, '1');
    }
    std::string stream;
    wire::append_batch_frames(stream, test::sign_batch(key, headers, arguments), 1 << 20);
    wire::Frame frame;
    REQUIRE_FALSE(wire::parse_frame(std::string_view{stream}.substr(4), {}, frame));
    return frame;
  }

  crypto::private_key key = *crypto::private_key::generate(crypto::algorithm::ed25519);
  native_session_limits limits;
  std::optional<native_session> session;
};

} // namespace

TEST_SUITE_BEGIN("native session");

TEST_CASE_FIXTURE(fixture, "nothing but Authorize is taken before it") {
  wire::Frame x;
  SUBCASE("announce") {
    x.mutable_announce()->set_full(true);
  }
  SUBCASE("batch") {
    x = batch_of(1);
  }
  SUBCASE("custody") {
    x.mutable_custody();
  }
  SUBCASE("credit") {
    x.mutable_credit()->set_envelopes(9);
  }
  SUBCASE("ping") {
    x.mutable_ping()->set_nonce(1);
  }
  SUBCASE("credentials") {
    x.mutable_credential_chain();
  }
  CHECK(feed(x) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "what follows an Authorize waits until it is believed") {
  wire::Frame authorize;
  authorize.mutable_authorize()->set_body(body);
  wire::Frame announce;
  announce.mutable_announce()->set_full(true);
  REQUIRE_FALSE(session->receive(framed(authorize) + framed(announce)));
  CHECK(take<peer_authorize>());
  CHECK_FALSE(session->next());
  REQUIRE_FALSE(session->admitted(1 << 20));
  CHECK(take<peer_announce>());
}

TEST_CASE_FIXTURE(fixture, "a stranger gets 64 KiB and no more") {
  std::string flood = std::string("\x00\x0f\xff\xff", 4) + std::string(65 * 1'024, 'x');
  CHECK(code_of(session->receive(flood)) == ec::limit_exceeded);
}

TEST_CASE_FIXTURE(fixture, "a second Authorize ends the session") {
  bring_up();
  wire::Frame authorize;
  authorize.mutable_authorize()->set_body(body);
  CHECK(feed(authorize) == ec::malformed);
}

TEST_CASE_FIXTURE(fixture, "a delta before the first announcement ends the session") {
  wire::Frame authorize;
  authorize.mutable_authorize()->set_body(body);
  REQUIRE(feed(authorize) == ec::none);
  REQUIRE_FALSE(session->admitted(1 << 20));
  wire::Frame delta;
  delta.mutable_announce();
  CHECK(feed(delta) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "a batch before the session is up ends it") {
  wire::Frame authorize;
  authorize.mutable_authorize()->set_body(body);
  REQUIRE(feed(authorize) == ec::none);
  REQUIRE_FALSE(session->admitted(1 << 20));
  CHECK(feed(batch_of(1)) == ec::unauthorized);
}

TEST_CASE_FIXTURE(fixture, "more envelopes than were granted end the session") {
  bring_up();
  CHECK(feed(batch_of(4)) == ec::none);
  CHECK(feed(batch_of(1)) == ec::limit_exceeded);
}

TEST_CASE_FIXTURE(fixture, "more bytes than were granted end the session") {
  bring_up();
  CHECK(feed(batch_of(1, 5'000)) == ec::limit_exceeded);
}

TEST_CASE_FIXTURE(fixture, "custody gives the credit back") {
  bring_up();
  auto full = batch_of(4);
  for (int round = 0; round < 5; ++round) {
    REQUIRE(feed(full) == ec::none);
    custody_report report;
    for (uint64_t i = 1; i <= 4; ++i)
      report.accepted.push_back({{key.public_part().uid(), 7, i}, false});
    session->custody(report);
    wire::frame_reader reader{1 << 20};
    reader.append(session->take_output());
    wire::Frame frame;
    REQUIRE_FALSE(wire::parse_frame(**reader.next(), {}, frame));
    CHECK(frame.custody().accepted(0).count() == 4);
    REQUIRE_FALSE(wire::parse_frame(**reader.next(), {}, frame));
    CHECK(frame.credit().envelopes() == 4);
  }
}

TEST_CASE_FIXTURE(fixture, "credentials nobody asked for end the session") {
  bring_up();
  wire::Frame chain;
  chain.mutable_credential_chain()->add_credentials("a.b.c");
  SUBCASE("unasked") {
    CHECK(feed(chain) == ec::unauthorized);
  }
  SUBCASE("asked for") {
    session->need_credentials({std::string{crypto::view(crypto::sha256("a.b.c"))}});
    CHECK(feed(chain) == ec::none);
    CHECK(take<peer_chain>());
    CHECK(feed(chain) == ec::unauthorized); // once
  }
}

TEST_CASE_FIXTURE(fixture, "fragments use credit and give it back piece by piece") {
  wire::Frame fragment;
  fragment.mutable_fragment()->set_transaction_id(std::string(28, 'i'));
  fragment.mutable_fragment()->set_content(std::string(2'000, 'x'));
  CHECK(feed(fragment) == ec::unauthorized); // not before the session is up
  session.emplace(limits);
  bring_up();
  REQUIRE(feed(fragment) == ec::none);
  REQUIRE(feed(fragment) == ec::none);
  auto taken = take<peer_fragment>();
  REQUIRE(taken);
  CHECK(taken->content.content.size() == 2'000);
  SUBCASE("more than was granted ends the session") {
    CHECK(feed(fragment) == ec::limit_exceeded);
  }
  SUBCASE("so do batches beside them") {
    CHECK(feed(batch_of(1)) == ec::limit_exceeded);
  }
  SUBCASE("what is settled may come again") {
    session->fragment({taken->content.id, false, 2'000, 2'000, true});
    wire::frame_reader reader{1 << 20};
    reader.append(session->take_output());
    wire::Frame frame;
    REQUIRE_FALSE(wire::parse_frame(**reader.next(), {}, frame));
    CHECK(frame.fragment_state().offset() == 2'000);
    REQUIRE_FALSE(wire::parse_frame(**reader.next(), {}, frame));
    CHECK(frame.credit().bytes() == 2'000);
    CHECK(frame.credit().envelopes() == 0);
    CHECK(feed(fragment) == ec::none);
    CHECK(feed(fragment) == ec::limit_exceeded);
  }
  SUBCASE("no more is given back than was used") {
    session->fragment({taken->content.id, false, 2'000, 1 << 20, false});
    wire::Frame frame;
    REQUIRE_FALSE(wire::parse_frame(session->take_output().substr(4), {}, frame));
    CHECK(frame.credit().bytes() == 4'000);
  }
}

TEST_CASE_FIXTURE(fixture, "frames for later versions end the session politely") {
  bring_up();
  wire::Frame x;
  SUBCASE("fragment of nothing") {
    x.mutable_fragment();
  }
  SUBCASE("state of nothing") {
    x.mutable_fragment_state();
  }
  SUBCASE("release") {
    x.mutable_release();
  }
  CHECK(feed(x) == ec::malformed);
}

TEST_CASE_FIXTURE(fixture, "revocation lists and tokens pass in both directions") {
  wire::Frame lists;
  lists.mutable_revocations()->add_lists("one");
  CHECK(feed(lists) == ec::unauthorized); // not before the peer is believed
  session.emplace(limits);
  bring_up();
  REQUIRE(feed(lists) == ec::none);
  CHECK(take<peer_revocations>()->lists == std::vector<std::string>{"one"});
  wire::Frame token;
  token.mutable_clone_token()->set_counter(7);
  token.mutable_clone_token()->set_token(std::string(32, 't'));
  REQUIRE(feed(token) == ec::none);
  CHECK(take<peer_token>()->counter == 7);
  wire::Frame kept;
  kept.mutable_clone_token_kept()->set_counter(9);
  REQUIRE(feed(kept) == ec::none);
  CHECK(take<peer_token_kept>()->counter == 9);
  session->clone_token(7, std::string(32, 't'));
  session->clone_token_kept(9);
  // Each list has a frame; one that the peer's frames cannot hold is left out.
  session->revocations({"one", std::string(2 << 20, 'x'), "two"});
  CHECK(session->take_output() == framed(token) + framed(kept) + framed(lists) + [] {
    wire::Frame last;
    last.mutable_revocations()->add_lists("two");
    return framed(last);
  }());
  token.mutable_clone_token()->set_token("short");
  CHECK(feed(token) == ec::malformed);
}

TEST_CASE_FIXTURE(fixture, "a ping is answered and Bye silences the session") {
  bring_up();
  wire::Frame ping;
  ping.mutable_ping()->set_nonce(77);
  REQUIRE(feed(ping) == ec::none);
  wire::frame_reader reader{1 << 20};
  reader.append(session->take_output());
  wire::Frame pong;
  REQUIRE_FALSE(wire::parse_frame(**reader.next(), {}, pong));
  CHECK(pong.ping().answer());
  CHECK(pong.ping().nonce() == 77);
  wire::Frame bye;
  bye.mutable_bye()->set_reason("idle");
  REQUIRE(feed(bye) == ec::none);
  CHECK(take<peer_bye>()->reason == "idle");
  CHECK_FALSE(session->receive("anything"));
}

TEST_SUITE_END();
