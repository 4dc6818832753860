// SPDX-License-Identifier: MPL-2.0
//
// Large arguments: sent in fragments that share the link, taken in fragments that outlive links and
// power cuts, and what a peer cannot do with them.

#include "test/unit/routing/store_and_forward_fixture.hpp"

namespace {

constexpr size_t piece = fragment_bytes_max;

std::string content_of(size_t bytes) {
  std::string result(bytes, ' ');
  for (size_t i = 0; i < bytes; ++i)
    result[i] = static_cast<char>('a' + i * 31 % 26 + i / piece % 3);
  return result;
}

struct fragments_fixture : fixture {
  fragments_fixture() {
    credential = provisioning.issue(provisioning.claims(cloud.public_part(), {"jlr.com/cloud"},
                                                        {"jlr.com/vin/+/services"}, now_s()));
    auto own = std::make_shared<rights>();
    own->own_key = vehicle.public_part();
    own->node_address = node->node_address;
    own->own.push_back(provisioning.issue(
      provisioning.claims(vehicle.public_part(), {"jlr.com/vin/1234"}, {}, now_s())));
    (void)own->anchors.add(provisioning.anchor());
    own->known = std::make_shared<credential_cache>(10);
    own->known->add(credential);
    node->rights = std::make_shared<rights_snapshot>(own);
  }

  // -- on the way out

  envelope_ptr
  large(uint64_t seq, size_t bytes, uint32_t priority = 4, const std::string& channel = {}) {
    auto x = test::header_of(node->uid, seq);
    x.priority = priority;
    x.channel = channel;
    return test::sign_batch(vehicle, {x}, {content_of(bytes)}).front();
  }

  session_ptr link_with(uint64_t bytes) {
    auto over = connect(0);
    self->send(queue, atom::credit_v, over->number, credit_grant{1'000, bytes});
    settle();
    return over;
  }

  void peer_has(const session_ptr& over, const envelope_ptr& x, uint64_t offset) {
    self->send(queue, atom::fragment_v, over->number,
               fragment_state{x->header.id, x->header.is_reply(), offset, 0, true});
    settle();
  }

  /// The peer takes one fragment after the other; all there were, in the order they came.
  std::vector<uint64_t> take_all(const session_ptr& over) {
    std::vector<uint64_t> order;
    for (size_t i = 0; i < over->fragments.size(); ++i) {
      auto f = over->fragments[i];
      order.push_back(f.id.seq);
      got[f.id.seq].resize(f.offset);
      got[f.id.seq] += f.content;
      self->send(queue, atom::fragment_v, over->number,
                 fragment_state{f.id, f.reply, f.offset + f.content.size(), 0, true});
      settle();
    }
    return order;
  }

  // -- on the way in

  envelope_ptr coming(uint64_t seq, size_t bytes, request_kind kind = request_kind::message) {
    auto x = test::header_of(cloud.public_part().uid(), seq);
    x.kind = kind;
    x.source = "jlr.com/cloud/media_server";
    x.target = (kind == request_kind::rpc ? "rpc:" : "message:") + std::string{player} + "/play";
    x.credential_hash = credential->hash;
    return test::sign_batch(cloud, {x}, {content_of(bytes)}).front();
  }

  void open(const session_ptr& over, const envelope_ptr& x) {
    self->send(queue, atom::received_v, over->handle, over->number, batch{opening_of(*x)},
               custody_report{});
    settle();
  }

  void fragment(const session_ptr& over, const envelope_ptr& x, uint64_t offset, size_t bytes) {
    self->send(queue, atom::fragment_v, over->handle, over->number,
               argument_fragment{x->header.id, x->header.is_reply(), offset,
                                 x->arguments.substr(offset, bytes)});
    settle();
  }

  /// Sends all from where the node says it is; how many fragments that took.
  size_t send_rest(const session_ptr& over, const envelope_ptr& x) {
    size_t result = 0;
    REQUIRE_FALSE(over->states.empty());
    for (auto at = over->states.back().offset; at < x->arguments.size(); ++result) {
      fragment(over, x, at, piece);
      at += std::min(piece, x->arguments.size() - at);
    }
    return result;
  }

  static bool accepted(const session_ptr& over, const envelope_ptr& x) {
    for (auto& report : over->custody)
      for (auto& id : report.accepted)
        if (id.id == x->header.id)
          return true;
    return false;
  }

  static refusal refused(const session_ptr& over) {
    REQUIRE_FALSE(over->custody.empty());
    REQUIRE(over->custody.back().refused.size() == 1);
    return over->custody.back().refused.front();
  }

  credential_ptr credential;
  std::map<uint64_t, std::string> got;
};

} // namespace

TEST_SUITE_BEGIN("store and forward: fragments");

// -- on the way out -------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fragments_fixture, "a large request is opened, then sent from the store") {
  start();
  auto over = link_with(16 << 20);
  auto x = large(1, 3 * piece + 10);
  schedule(x);
  CHECK(kept(table::pieces) == 4);
  REQUIRE(over->sent.size() == 1);
  CHECK(over->sent[0]->is_opening());
  CHECK(over->fragments.empty()); // the peer says first what it has
  peer_has(over, x, 0);
  CHECK(over->fragments.size() == 1); // one under way
  CHECK(take_all(over).size() == 4);
  CHECK(got[1] == x->arguments);
  CHECK(kept(table::pieces) == 4);
  custody(over, {x});
  CHECK(kept(table::pieces) == 0);
  CHECK(kept(table::records) == 0);
}

TEST_CASE_FIXTURE(fragments_fixture, "a transfer goes on where the peer has it") {
  start();
  auto over = link_with(16 << 20);
  auto x = large(1, 3 * piece + 10);
  schedule(x);
  peer_has(over, x, 0);
  SUBCASE("after a lost link") {
    disconnect(over);
  }
  SUBCASE("after a power cut here") {
    kill();
    start();
  }
  over = link_with(16 << 20);
  REQUIRE(over->sent.size() == 1);
  CHECK(over->sent[0]->is_opening());
  peer_has(over, x, 2 * piece);
  got[1] = x->arguments.substr(0, 2 * piece);
  CHECK(take_all(over).size() == 2);
  CHECK(got[1] == x->arguments);
  CHECK(count("rvi_fragments_resumed_total") == 1);
  custody(over, {x});
  CHECK(kept(table::pieces) == 0);
}

TEST_CASE_FIXTURE(fragments_fixture, "large transfers share a link and small requests pass them") {
  start();
  auto over = link_with(64 << 20);
  auto a = large(1, 8 * piece);
  auto b = large(2, 8 * piece);
  schedule_all({a, b});
  peer_has(over, a, 0);
  peer_has(over, b, 0);
  CHECK(over->fragments.size() == 2);
  for (uint64_t i = 10; i < 30; ++i) {
    schedule(request(i));
    // At once, behind no more than the one fragment of each that was there already.
    CHECK(over->sent.size() == i - 7);
    CHECK(over->fragments.size() == 2);
  }
  auto order = take_all(over);
  REQUIRE(order.size() == 16);
  for (size_t i = 0; i < order.size(); ++i)
    CHECK(order[i] == 1 + i % 2);
}

TEST_CASE_FIXTURE(fragments_fixture,
                  "the more urgent goes first, and few fragments are under way") {
  settings.fragments.under_way_max = 2;
  start();
  auto over = link_with(64 << 20);
  std::vector<envelope_ptr> xs;
  for (uint64_t i = 1; i <= 4; ++i)
    xs.push_back(large(i, 2 * piece));
  schedule_all(xs);
  for (auto& x : xs)
    peer_has(over, x, 0);
  CHECK(over->fragments.size() == 2);
  auto urgent = large(9, 2 * piece, 0);
  schedule(urgent);
  peer_has(over, urgent, 0);
  auto order = take_all(over);
  REQUIRE(order.size() == 10);
  CHECK(order[2] == 9);
  CHECK(std::count(order.begin(), order.begin() + 6, 9u) == 2);
  for (auto& x : xs)
    CHECK(got[x->header.id.seq] == x->arguments);
}

TEST_CASE_FIXTURE(fragments_fixture, "fragments wait for credit") {
  start();
  auto over = link_with(piece + 1'000);
  auto x = large(1, 3 * piece);
  schedule(x);
  peer_has(over, x, 0);
  CHECK(take_all(over).size() == 1);
  self->send(queue, atom::credit_v, over->number, credit_grant{0, piece});
  settle();
  CHECK(over->fragments.size() == 2);
}

TEST_CASE_FIXTURE(fragments_fixture, "a channel waits for the whole of what is large") {
  start();
  auto over = link_with(16 << 20);
  auto first = large(1, 2 * piece, 4, "a");
  auto next = test::header_of(node->uid, 2);
  next.channel = "a";
  schedule(first);
  schedule(test::sign_batch(vehicle, {next}, {"2"}).front());
  schedule(request(3));
  CHECK(arguments(over->sent) == names{"", "3"});
  SUBCASE("also when the peer has no room for it") {
    refuse(over, first, ec::busy, false, 5'000);
    schedule(request(4));
    CHECK(arguments(over->sent) == names{"", "3", "4"}); // others need not wait for that
    pass(5'100);
    CHECK(arguments(over->sent) == names{"", "3", "4", ""});
  }
  SUBCASE("also over a new link") {
    peer_has(over, first, 0);
    disconnect(over);
    over = link_with(16 << 20);
    CHECK(arguments(over->sent) == names{"", "3"});
  }
  peer_has(over, first, 0);
  take_all(over);
  CHECK(arguments(over->sent).back() != "2");
  custody(over, {first});
  CHECK(arguments(over->sent).back() == "2");
}

TEST_CASE_FIXTURE(fragments_fixture, "a transfer ends at its timeout and says it did not arrive") {
  start();
  auto over = link_with(16 << 20);
  auto x = large(1, 4 * piece);
  schedule(x);
  peer_has(over, x, 0);
  pass(61'000, 1'000);
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "timeout");
  CHECK(seen->outcomes[0].dispatched == "no"); // the whole never left
  CHECK(kept(table::pieces) == 0);
  peer_has(over, x, piece); // late
  CHECK(over->fragments.size() == 1);
}

TEST_CASE_FIXTURE(fragments_fixture, "states that lead nowhere end the link") {
  start();
  auto over = link_with(64 << 20);
  auto x = large(1, 4 * piece);
  schedule(x);
  SUBCASE("beyond the end") {
    peer_has(over, x, 4 * piece + 1);
  }
  SUBCASE("again and again the same") {
    for (int i = 0; i < 20; ++i)
      peer_has(over, x, 0);
    CHECK(over->fragments.size() < 12);
  }
  REQUIRE(over->closed.size() == 1);
  peer_has(over, x, 0);
  CHECK(over->fragments.size() < 12);
}

// -- on the way in --------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fragments_fixture, "fragments become the request they are part of") {
  start();
  auto over = connect();
  auto x = coming(1, 3 * piece + 10);
  open(over, x);
  REQUIRE(over->states.size() == 1);
  CHECK(over->states[0].offset == 0);
  CHECK(kept(table::partials) == 0); // an opening costs the disk nothing
  CHECK(send_rest(over, x) == 4);
  CHECK(accepted(over, x));
  CHECK(kept(table::partials) == 0);
  REQUIRE(seen->invoked.size() == 1);
  CHECK(seen->invoked[0]->arguments == x->arguments);
  open(over, x); // its custody was lost
  CHECK(over->custody.back().accepted.size() == 1);
  CHECK(count("rvi_duplicates_total") == 1);
  receipt_of(x, receipt::status::taken);
  CHECK(kept(table::pieces) == 0);
  CHECK(kept(table::records) == 0);
}

TEST_CASE_FIXTURE(fragments_fixture,
                  "what has come outlives links and power cuts at any fragment") {
  auto x = coming(1, 5 * piece + 10);
  for (uint64_t cut = 0; cut <= 5; ++cut)
    for (bool power : {false, true}) {
      CAPTURE(cut);
      CAPTURE(power);
      fragments_fixture f;
      f.start();
      auto over = f.connect();
      x = f.coming(1, 5 * piece + 10);
      f.open(over, x);
      for (uint64_t i = 0; i < cut; ++i)
        f.fragment(over, x, i * piece, piece);
      if (power) {
        f.kill();
        f.start();
      } else {
        f.disconnect(over);
      }
      over = f.connect();
      f.open(over, x);
      REQUIRE(over->states.size() == 1);
      CHECK(over->states[0].offset == cut * piece);
      CHECK(f.send_rest(over, x) == 6 - cut);
      CHECK(accepted(over, x));
      REQUIRE(f.seen->invoked.size() == 1);
      CHECK(f.seen->invoked[0]->arguments == x->arguments);
    }
}

TEST_CASE_FIXTURE(fragments_fixture, "a large request waits in the store for its service") {
  table.local.erase(player);
  publish();
  start();
  auto over = connect();
  auto x = coming(1, 2 * piece);
  open(over, x);
  send_rest(over, x);
  CHECK(accepted(over, x));
  CHECK(seen->invoked.empty());
  kill();
  table.local.set(player, {player, false});
  publish();
  start();
  pass(100);
  REQUIRE(seen->invoked.size() == 1);
  CHECK(seen->invoked[0]->arguments == x->arguments);
}

TEST_CASE_FIXTURE(fragments_fixture, "services have only so much in their hands") {
  settings.fragments.handed_over_bytes_max = 3 * piece;
  start();
  auto over = connect();
  std::vector<envelope_ptr> xs;
  for (uint64_t i = 1; i <= 4; ++i) {
    xs.push_back(coming(i, 2 * piece));
    open(over, xs.back());
    send_rest(over, xs.back());
    CHECK(accepted(over, xs.back()));
  }
  for (size_t i = 0; i < xs.size(); ++i) {
    REQUIRE(seen->invoked.size() == i + 1);
    CHECK(seen->invoked[i]->arguments == xs[i]->arguments);
    receipt_of(xs[i], receipt::status::taken);
  }
}

TEST_CASE_FIXTURE(fragments_fixture, "a large reply is told once it is whole") {
  start();
  auto over = link_with(16 << 20);
  auto asked = request(1);
  schedule(asked);
  custody(over, {asked});
  auto header = reply_header(asked);
  header.credential_hash = credential->hash;
  auto reply = test::sign_batch(cloud, {header}, {content_of(2 * piece + 5)}).front();
  open(over, reply);
  SUBCASE("at once") {}
  SUBCASE("with a power cut in between") {
    fragment(over, reply, 0, piece);
    kill();
    start();
    over = connect();
    open(over, reply);
    CHECK(over->states.back().offset == piece);
  }
  send_rest(over, reply);
  CHECK(accepted(over, reply));
  REQUIRE(seen->outcomes.size() == 1);
  CHECK(seen->outcomes[0].status == "ok");
  CHECK(seen->outcomes[0].arguments == reply->arguments);
  self->send(queue, atom::receipt_v,
             std::vector<receipt>{{asked->header.id, true, receipt::status::taken, false, {}}});
  pass(50);
  CHECK(kept(table::pieces) == 0);
  CHECK(kept(table::records) == 0);
}

TEST_CASE_FIXTURE(fragments_fixture, "a reply nobody asked for is not opened") {
  start();
  auto over = connect();
  auto header = reply_header(request(1));
  header.credential_hash = credential->hash;
  open(over, test::sign_batch(cloud, {header}, {content_of(2 * piece)}).front());
  CHECK(code_of(refused(over).reason) == ec::unauthorized);
  CHECK(over->states.empty());
}

// -- what a peer cannot do ------------------------------------------------------------------------

TEST_CASE_FIXTURE(fragments_fixture, "a wrong hash refuses the item for good") {
  start();
  auto over = connect();
  auto x = coming(1, 2 * piece);
  auto bad = std::make_shared<envelope>(*x);
  bad->arguments[piece + 5] ^= 1;
  open(over, x);
  send_rest(over, bad);
  CHECK(code_of(refused(over).reason) == ec::malformed);
  CHECK(refused(over).permanent);
  CHECK(count("rvi_fragments_mismatched_total") == 1);
  CHECK(kept(table::pieces) == 0);
  CHECK(kept(table::partials) == 0);
  CHECK(seen->invoked.empty());
  open(over, x);
  CHECK(over->states.back().offset == 0);
  send_rest(over, x);
  CHECK(seen->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fragments_fixture, "fragments out of place change nothing") {
  start();
  auto over = connect();
  auto x = coming(1, 4 * piece);
  fragment(over, x, 0, piece); // never opened
  CHECK_FALSE(over->states.back().told);
  CHECK(over->states.back().settled_bytes == piece); // the credit comes back
  open(over, x);
  fragment(over, x, 0, piece);
  for (uint64_t offset : {uint64_t{0}, uint64_t{1}, piece / 2, 2 * piece, UINT64_MAX - 5}) {
    self->send(queue, atom::fragment_v, over->handle, over->number,
               argument_fragment{x->header.id, false, offset, std::string(piece, 'z')});
    settle();
    CHECK(over->states.back().offset == piece);
    CHECK(over->states.back().settled_bytes == piece);
  }
  auto another = connect(); // of a link that did not open it
  fragment(another, x, piece, piece);
  CHECK_FALSE(another->states.back().told);
  CHECK(count("rvi_fragments_refused_total") == 7);
  open(another, x);
  CHECK(send_rest(another, x) == 3);
  CHECK(seen->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fragments_fixture, "fragments too small or beyond the end end the link") {
  start();
  auto over = connect();
  auto x = coming(1, 2 * piece);
  open(over, x);
  SUBCASE("one byte") {
    fragment(over, x, 0, 1);
  }
  SUBCASE("beyond the end") {
    self->send(queue, atom::fragment_v, over->handle, over->number,
               argument_fragment{x->header.id, false, 0, std::string(2 * piece + 1, 'z')});
    settle();
  }
  REQUIRE(over->closed.size() == 1);
  CHECK(over->closed[0].starts_with("malformed"));
  CHECK(kept(table::pieces) == 0);
}

TEST_CASE_FIXTURE(fragments_fixture, "a peer has only so many transfers here") {
  settings.fragments.incoming_per_peer_max = 3;
  settings.fragments.incoming_bytes_per_peer_max = 8 * piece;
  start();
  auto over = connect();
  SUBCASE("in number") {
    for (uint64_t i = 1; i <= 4; ++i)
      open(over, coming(i, piece + 1));
    CHECK(over->states.size() == 3);
  }
  SUBCASE("in bytes") {
    open(over, coming(1, 6 * piece));
    open(over, coming(2, 3 * piece));
    CHECK(over->states.size() == 1);
  }
  CHECK(code_of(refused(over).reason) == ec::busy);
  CHECK_FALSE(refused(over).permanent);
  CHECK(refused(over).retry_after_ms == 5'000);
  // What no link is at makes room.
  disconnect(over);
  over = connect();
  open(over, coming(9, 6 * piece));
  CHECK(over->states.size() == 1);
}

TEST_CASE_FIXTURE(fragments_fixture, "a partial transfer goes at its expiry") {
  start();
  auto over = connect();
  auto x = coming(1, 4 * piece);
  open(over, x);
  fragment(over, x, 0, piece);
  CHECK(kept(table::partials) == 1);
  SUBCASE("with its link") {
    pass(61'000, 1'000);
    CHECK(code_of(refused(over).reason) == ec::timeout);
  }
  SUBCASE("after a power cut") {
    kill();
    start();
    pass(61'000, 1'000);
  }
  CHECK(kept(table::partials) == 0);
  CHECK(kept(table::pieces) == 0);
}

TEST_CASE_FIXTURE(fragments_fixture, "a credential taken back ends a transfer in the middle") {
  start();
  auto over = connect();
  auto x = coming(1, 4 * piece);
  open(over, x);
  fragment(over, x, 0, piece);
  auto next = std::make_shared<rights>(*node->rights->load());
  next->quarantine = std::make_shared<const std::map<node_uid, uint64_t>>(
    std::map<node_uid, uint64_t>{{cloud.public_part().uid(), now_s()}});
  node->rights->publish(next);
  SUBCASE("at the next fragment") {
    fragment(over, x, piece, piece);
  }
  SUBCASE("at the news") {
    self->send(queue, atom::revoke_v);
  }
  pass(50);
  CHECK(code_of(refused(over).reason) == ec::quarantined);
  CHECK(refused(over).permanent);
  CHECK(over->custody.size() == 1);
  CHECK(kept(table::pieces) == 0);
  CHECK(seen->invoked.empty());
}

TEST_CASE_FIXTURE(fragments_fixture, "a store that takes nothing loses nothing") {
  start();
  auto over = connect();
  auto x = coming(1, 4 * piece);
  open(over, x);
  fragment(over, x, 0, piece);
  disk->fail_commits(1, ec::store_full);
  fragment(over, x, piece, piece);
  CHECK(code_of(refused(over).reason) == ec::busy);
  CHECK_FALSE(refused(over).permanent);
  open(over, x);
  CHECK(over->states.back().offset == piece);
  send_rest(over, x);
  CHECK(accepted(over, x));
  CHECK(seen->invoked.size() == 1);
}

TEST_CASE_FIXTURE(fragments_fixture, "other content under the id starts anew") {
  start();
  auto over = connect();
  auto x = coming(1, 4 * piece);
  open(over, x);
  fragment(over, x, 0, piece);
  auto y = coming(1, 3 * piece);
  open(over, y);
  CHECK(over->states.back().offset == 0);
  send_rest(over, y);
  REQUIRE(seen->invoked.size() == 1);
  CHECK(seen->invoked[0]->arguments == y->arguments);
  receipt_of(y, receipt::status::taken);
  CHECK(kept(table::pieces) == 0);
}
