// SPDX-License-Identifier: MPL-2.0

#include "test/store_faults/ledger_store.hpp"

#include "actors/routing/request_ledger.hpp"
#include "actors/storage/lmdb_disk.hpp"
#include "messages/wire/header.hpp"
#include "runtime/lmdb/lmdb.hpp"

#include <algorithm>
#include <cassert>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test::faults {

using namespace rvi;

namespace {

const char* const requester = "jlr.com/vin/1234/services/media_player";
const char* const queue_names[] = {"",
                                   "jlr.com/cloud/service/0",
                                   "jlr.com/cloud/service/1",
                                   "jlr.com/cloud/service/2",
                                   requester,
                                   "$reply/31313131313131313131313131313131"};

transaction_id id_of(uint64_t number) {
  transaction_id result;
  result.origin.fill(uint8_t('1'));
  result.epoch = 7;
  result.seq = number;
  return result;
}

std::string service(uint32_t target) {
  return queue_names[1 + target];
}

request_header header_of(const step& x) {
  request_header h;
  h.kind = x.rpc ? request_kind::rpc : request_kind::message;
  h.id = id_of(x.number);
  h.source = requester;
  h.target = (x.rpc ? "rpc:" : "message:") + service(x.target);
  h.created_ms = x.expires_ms - 1'000;
  h.expires_ms = x.expires_ms;
  h.credential_hash = std::string(32, 'c');
  return h;
}

/// The ledger does not look at signatures: one root will do.
envelope_ptr seal(request_header h, std::string arguments) {
  static const auto root = [] {
    auto x = std::make_shared<crypto::batch_root>();
    x->batch_id = std::string(16, 'b');
    x->size = 1;
    x->signed_at_ms = 1'795'000'000'000;
    x->credential_hash = std::string(32, 'c');
    x->signature = std::string(64, 's');
    return std::shared_ptr<const crypto::batch_root>(std::move(x));
  }();
  auto x = std::make_shared<envelope>();
  h.arguments_length = arguments.size();
  h.arguments_sha256 = crypto::view(crypto::sha256(arguments));
  x->header_bytes = wire::encode_header(h);
  x->header = std::move(h);
  x->arguments = std::move(arguments);
  x->root = root;
  x->proof.salt = std::string(16, 't');
  return x;
}

/// Arguments that differ from request to request.
std::string beginning(uint64_t number) {
  return "{\"n\":" + std::to_string(number) + ",\"x\":\"";
}

std::string arguments_of(uint64_t number, uint32_t size) {
  return beginning(number) + std::string(size, char('a' + number % 26)) + "\"}";
}

envelope_ptr request_of(const step& x) {
  return seal(header_of(x), arguments_of(x.number, x.size));
}

/// A reply names the request it answers by the digest the ledger kept.
expected<envelope_ptr> reply_to(transaction& t, const std::string& key, const step& x) {
  auto record = ledger::find(t, key);
  if (!record)
    return std::move(record.error());
  if (!*record)
    return caf::make_error(ec::not_found, std::string{"a reply to nothing"});
  auto h = header_of(x);
  h.kind = x.error ? request_kind::error : request_kind::reply;
  h.source = service(x.target);
  h.target = requester;
  h.request_hash = (*record)->digest();
  return seal(h, arguments_of(x.number, x.size));
}

caf::error expect(bool holds, const step& x) {
  if (holds)
    return {};
  return caf::make_error(ec::internal, std::string{"the ledger answers otherwise at "}
                                         + to_string(x.what) + " of " + std::to_string(x.number)
                                         + x.kind);
}

template <class T>
caf::error expect(const expected<T>& found, const T& wanted, const step& x) {
  return found ? expect(*found == wanted, x) : found.error();
}

caf::error run(transaction& t, const step& x) {
  auto key = x.kind == 'o' ? ledger::originated_key(id_of(x.number))
                           : ledger::inbound_key(id_of(x.number));
  ledger::queue_ref queue{x.queue, queue_names[x.queue], true, x.idempotent};
  switch (x.what) {
    case action::accept:
      return ledger::accept(t, *request_of(x), queue, x.seq);
    case action::accept_local:
      return ledger::accept_local(t, *request_of(x), queue, x.seq, x.dispatch);
    case action::receive:
      return expect(ledger::receive(t, *request_of(x), id_of(1).origin, queue, x.seq, x.dispatch),
                    x.dispatch ? ledger::received::dispatched : ledger::received::stored, x);
    case action::receive_again:
      // Other content under an id that is taken, even after its end.
      return expect(ledger::receive(t, *request_of(x), id_of(1).origin, queue, x.seq, true),
                    ledger::received::replayed, x);
    case action::dispatch:
      return expect(ledger::dispatch(t, key, x.idempotent), true, x);
    case action::hold_again:
      return ledger::hold_again(t, key, queue);
    case action::taken:
      return ledger::taken(t, key);
    case action::dead_letter:
      return ledger::dead_letter(t, key, "no receipt", x.now_ms);
    case action::reply:
    case action::reply_local: {
      auto reply = reply_to(t, key, x);
      if (!reply)
        return std::move(reply.error());
      return x.what == action::reply ? ledger::reply(t, **reply, queue, x.seq)
                                     : ledger::reply_local(t, **reply, queue, x.seq);
    }
    case action::receive_reply: {
      auto reply = reply_to(t, key, x);
      if (!reply)
        return std::move(reply.error());
      return expect(ledger::receive_reply(t, **reply, queue, x.seq), ledger::replied::ended, x);
    }
    case action::custody: {
      auto owed = ledger::custody(t, key);
      return owed ? caf::error{} : std::move(owed.error());
    }
    case action::end:
      return expect(ledger::end(t, key, "refused", "", queue, x.seq), true, x);
    case action::delivered:
      return ledger::delivered(t, key);
    case action::expire: {
      auto ended = ledger::expire(t, key, x.now_ms, queue, x.seq, 1);
      return ended ? caf::error{} : std::move(ended.error());
    }
  }
  return {};
}

} // namespace

expected<std::shared_ptr<durable_disk>> open_disk(const std::string& path) {
  auto opened = open_store({path, map_bytes, nullptr});
  if (!opened)
    return std::move(opened.error());
  return std::shared_ptr<durable_disk>{std::move(*opened)};
}

caf::error run(transaction& t, const transaction_script& x) {
  if (x.starts) {
    if (auto epoch = ledger::raise_epoch(t, 1'795'000'000'000); !epoch)
      return std::move(epoch.error());
    if (auto found = ledger::recover(t); !found)
      return std::move(found.error());
  }
  for (auto& one : x.steps)
    if (auto failure = run(t, one))
      return failure;
  return {};
}

caf::error run_all(durable_disk& disk, const std::vector<transaction_script>& script,
                   const std::function<void(size_t)>& durable) {
  for (size_t i = 0; i < script.size(); ++i) {
    auto writing = disk.begin_write();
    if (!writing)
      return std::move(writing.error());
    if (auto failure = run(**writing, script[i]))
      return failure;
    if (auto failure = (*writing)->commit())
      return failure;
    if (durable)
      durable(i + 1);
  }
  return {};
}

namespace {

caf::error contradiction(const std::string& what) {
  return caf::make_error(ec::malformed, what);
}

/// Reads the tables and compares each with what the ids say.
class reader {
public:
  explicit reader(transaction& t) : t_(t) {}

  expected<model> read() {
    caf::error failure = t_.scan(table::ids, "", t_.no_limit, [&](auto key, auto value) {
      problem_ = add_id(key, value);
      return problem_.empty();
    });
    if (failure)
      return failure;
    if (problem_.empty())
      for (auto check : {&reader::check_queue, &reader::check_due, &reader::check_dispatched,
                         &reader::check_dead, &reader::check_records})
        if (problem_.empty())
          if (auto failed = (this->*check)())
            return failed;
    if (!problem_.empty())
      return contradiction(problem_);
    return std::move(found_);
  }

private:
  std::string add_id(std::string_view key, std::string_view value) {
    storage::IdRecord x;
    if (key.size() != transaction_id_bytes + 1
        || !x.ParseFromArray(value.data(), int(value.size())))
      return "an id record that does not parse";
    auto number = transaction_id_from_bytes(key.substr(0, transaction_id_bytes))->seq;
    known y;
    y.at = state(x.state());
    y.rpc = x.kind() == uint32_t(request_kind::rpc);
    y.idempotent = x.idempotent();
    y.target = uint32_t(x.target().back() - '0');
    y.expires_ms = x.expires_ms();
    y.due_ms = x.due_ms();
    y.dead_ms = x.dead_ms();
    y.content = x.record();
    y.reply = x.outcome_record();
    y.queued = x.queue_seq();
    y.queue = x.queue_number();
    y.outcome = y.at == state::dead ? x.outcome_detail() : x.outcome();
    std::string id{key};
    if (y.queued != 0)
      queue_[{y.queue, y.queued}] = id;
    due_.insert({y.due_ms, id});
    if (y.at == state::dispatched)
      dispatched_.insert(id);
    if (y.at == state::dead)
      dead_.insert({y.dead_ms, id});
    if (y.content != 0)
      records_[y.content] = number;
    if (y.reply != 0)
      records_[y.reply] = number;
    found_[{number, key.back()}] = y;
    return {};
  }

  caf::error check_queue() {
    std::set<uint32_t> used;
    auto failure = t_.scan(table::queue, "", t_.no_limit, [&](auto key, auto value) {
      storage::QueueEntry x;
      auto number = read_u32(key);
      auto at = queue_.find({number, read_u64(key.substr(5))});
      if (at == queue_.end() || !x.ParseFromArray(value.data(), int(value.size()))
          || x.id() != at->second) {
        problem_ = "a queue entry that no id knows of";
        return false;
      }
      used.insert(number);
      queue_.erase(at);
      return true;
    });
    if (failure)
      return failure;
    if (problem_.empty() && !queue_.empty())
      problem_ = "an id that waits in no queue";
    for (auto number : used) {
      std::string key;
      append_u32(key, number);
      auto name = t_.get(table::names, key);
      if (!name)
        return std::move(name.error());
      if (problem_.empty() && (!*name || **name != queue_names[number]))
        problem_ = "a queue without its name";
    }
    return {};
  }

  caf::error check_due() {
    auto failure = t_.scan(table::due, "", t_.no_limit, [&](auto key, auto) {
      if (due_.erase({read_u64(key), std::string{key.substr(8)}}) == 0)
        problem_ = "a due time that no id knows of";
      return problem_.empty();
    });
    if (problem_.empty() && !due_.empty())
      problem_ = "an id without its due time";
    return failure;
  }

  caf::error check_dispatched() {
    auto failure = t_.scan(table::dispatched, "", t_.no_limit, [&](auto key, auto) {
      if (dispatched_.erase(std::string{key}) == 0)
        problem_ = "a hand-over that no id knows of";
      return problem_.empty();
    });
    if (problem_.empty() && !dispatched_.empty())
      problem_ = "an id handed over without its mark";
    return failure;
  }

  caf::error check_dead() {
    auto failure = t_.scan(table::dead, "", t_.no_limit, [&](auto key, auto) {
      if (dead_.erase({read_u64(key), std::string{key.substr(8)}}) == 0)
        problem_ = "a dead letter that no id knows of";
      return problem_.empty();
    });
    if (problem_.empty() && !dead_.empty())
      problem_ = "a dead letter that is not listed";
    return failure;
  }

  caf::error check_records() {
    auto failure = t_.scan(table::records, "", t_.no_limit, [&](auto key, auto value) {
      auto at = records_.find(read_u64(key));
      if (at == records_.end())
        problem_ = "an envelope that no id knows of";
      else if (value.find(beginning(at->second)) == value.npos)
        problem_ = "an envelope of another request";
      else
        records_.erase(at);
      return problem_.empty();
    });
    if (problem_.empty() && !records_.empty())
      problem_ = "an id without its envelope";
    return failure;
  }

  transaction& t_;
  model found_;
  std::map<std::pair<uint32_t, uint64_t>, std::string> queue_;
  std::set<std::pair<uint64_t, std::string>> due_;
  std::set<std::string> dispatched_;
  std::set<std::pair<uint64_t, std::string>> dead_;
  std::map<uint64_t, uint64_t> records_; // seq -> request
  std::string problem_;
};

} // namespace

expected<model> read_model(durable_disk& disk) {
  auto reading = disk.begin_read();
  if (!reading)
    return std::move(reading.error());
  return reader{**reading}.read();
}

expected<std::vector<uint64_t>> ready_for_hand_over(durable_disk& disk) {
  auto reading = disk.begin_read();
  if (!reading)
    return std::move(reading.error());
  auto& t = **reading;
  std::vector<uint64_t> result;
  for (uint32_t queue = 1; queue <= 3; ++queue) {
    std::vector<std::string> ids;
    auto failure = t.scan(table::queue, "", t.no_limit, [&](auto key, auto value) {
      storage::QueueEntry x;
      if (read_u32(key) == queue && x.ParseFromArray(value.data(), int(value.size()))
          && x.id().ends_with('i') && !x.reply())
        ids.push_back(x.id());
      return true;
    });
    if (failure)
      return failure;
    for (auto& id : ids) {
      auto x = ledger::find(t, id);
      if (x && *x && (*x)->state() == storage::HELD)
        result.push_back(ledger::id_of(id).seq);
    }
  }
  return result;
}

expected<std::string> check_as_node(const std::string& path) {
  auto report = lmdb::check(path);
  if (!report)
    return std::move(report.error());
  if (report->sound())
    return std::string{};
  auto kept = lmdb::salvage(path);
  if (!kept)
    return std::move(kept.error());
  return report->describe();
}

fault_folder::fault_folder() {
  // Botan makes its pool of locked memory now, before anybody counts system calls.
  static_cast<void>(crypto::sha256(""));
  // In memory: what is lost at a power cut is the tests' own business, not the disk's.
  std::string folder = std::filesystem::is_directory("/dev/shm")
                         ? "/dev/shm"
                         : std::filesystem::temp_directory_path().string();
  base_ = folder + "/rvi-store-faults-XXXXXX";
  if (!::mkdtemp(base_.data()))
    std::abort();
  ::mkdir((base_ + "/node").c_str(), 0700);
}

fault_folder::~fault_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(base_, ignored);
}

void fault_folder::clear() const {
  std::error_code ignored;
  std::filesystem::remove_all(base_ + "/node", ignored);
  ::mkdir((base_ + "/node").c_str(), 0700);
}

void fault_folder::put(const std::string& content) const {
  ::mkdir(store().c_str(), 0700);
  auto file = ::open(data().c_str(), O_WRONLY | O_CREAT, 0600);
  if (file < 0 || ::pwrite(file, content.data(), content.size(), 0) != ssize_t(content.size())
      || ::ftruncate(file, off_t(content.size())) != 0)
    std::abort();
  ::close(file);
}

std::string fault_folder::content() const {
  std::string result;
  auto file = ::open(data().c_str(), O_RDONLY);
  struct stat status {};
  if (file < 0 || ::fstat(file, &status) != 0)
    return result;
  result.resize(size_t(status.st_size));
  if (::pread(file, result.data(), result.size(), 0) != ssize_t(result.size()))
    std::abort();
  ::close(file);
  return result;
}

int in_child(const std::function<int()>& work) {
  std::fflush(nullptr); // else the child writes it once more
  auto child = ::fork();
  if (child == 0) {
    rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    for (auto x : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL})
      std::signal(x, SIG_DFL);
    ::_exit(work());
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    ;
  return status;
}

} // namespace test::faults
