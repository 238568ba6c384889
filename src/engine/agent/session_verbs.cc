// What each request does; session.cc has how requests come and are answered.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/try.h"
#include "engine/agent/fields.h"
#include "engine/agent/session.h"
#include "engine/memory_file.h"

namespace bitsnap::agent {
namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(50);

// Tells how far a save is, and stops it when the client said so.
Progress Reporter(std::shared_ptr<Outbox> outbox, uint64_t save,
                  std::shared_ptr<std::atomic<bool>> cancelled) {
  return
      [outbox, save, cancelled, last = Clock::time_point()](uint64_t done, uint64_t total) mutable {
        const auto now = Clock::now();
        if (done == total || now - last >= kProgressInterval) {
          last = now;
          outbox->TrySend({{"save", save}, {"done", done}, {"total", total}});
        }
        return !*cancelled;
      };
}

}  // namespace

const std::map<std::string, Session::Verb, std::less<>>& Session::Verbs() {
  static const std::map<std::string, Verb, std::less<>> verbs = {
      {"hello", {&Session::Greet}},
      {"reserve", {&Session::Reserve, /*may_wait=*/true}},
      {"reserve spare", {&Session::ReserveSpare}},
      {"release", {&Session::Release}},
      {"submit", {&Session::Submit}},
      {"cancel", {&Session::Cancel}},
      {"cancel save", {&Session::CancelSave}},
      {"newest", {&Session::Newest}},
      {"end lease", {&Session::EndLease}},
      {"settle", {&Session::Settle, /*may_wait=*/true}},
      {"hold", {&Session::Hold}},
      {"held", {&Session::Held}},
      {"fetch", {&Session::Fetch}},
      {"drop", {&Session::Drop}},
      {"leave", {&Session::Leave}},
      {"goodbye", {&Session::Goodbye}},
  };
  return verbs;
}

Result<Session::Answer> Session::Greet(const Json& request, std::optional<Fd>, std::stop_token) {
  BITSNAP_ASSIGN(const Hello hello, ToHello(request));
  if (hello.version != kProtocolVersion) {
    return Fail(ErrorKind::kUnsupportedVersion,
                fmt::format("the agent of {} (process {}) is of another version of BitSnap; end it "
                            "with `kill {}`, and one of this version is started",
                            agent_.store().directory().string(), getpid(), getpid()));
  }
  if (hello.store != agent_.store().directory().native()) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("process {} is the agent of another store, {}", getpid(),
                            agent_.store().directory().string()));
  }
  rank_ = hello.rank;
  lane_ = &agent_.LaneOf(rank_);
  lane_->Enter(hello.max_memory);
  agent_.Join(hello.world_size,
              std::chrono::seconds(std::min<uint64_t>(hello.linger, 1'000'000'000)));
  agent_.log().Tell(fmt::format("rank {} of {} came", rank_, hello.world_size));
  return Answer{{{"process", getpid()}}, Fd()};
}

Result<Session::Answer> Session::Reserve(const Json& request, std::optional<Fd>,
                                         std::stop_token stop) {
  Fields fields(request);
  const uint64_t bytes = fields.U64("bytes"), step = fields.U64("step");
  const bool overwrite = fields.Bool("overwrite"), wait = fields.Bool("wait");
  BITSNAP_TRY(fields.Check());
  BITSNAP_ASSIGN(const std::optional<Lent> lent,
                 lane_->Reserve(bytes, step, overwrite, wait, std::move(stop)));
  return Lend(lent);
}

Result<Session::Answer> Session::ReserveSpare(const Json& request, std::optional<Fd>,
                                              std::stop_token) {
  Fields fields(request);
  const uint64_t bytes = fields.U64("bytes");
  BITSNAP_TRY(fields.Check());
  BITSNAP_ASSIGN(const std::optional<Lent> lent, lane_->ReserveSpare(bytes));
  return Lend(lent);
}

Session::Answer Session::Lend(const std::optional<Lent>& lent) {
  if (!lent) return Answer{{{"busy", true}}, Fd()};
  {
    std::lock_guard lock(mutex_);
    lent_.insert(lent->id);
  }
  return Answer{
      {{"busy", false}, {"arena", lent->id}, {"bytes", lent->bytes}, {"alive", lent->alive}},
      Fd(fcntl(lent->fd, F_DUPFD_CLOEXEC, 0))};
}

Result<Session::Answer> Session::Release(const Json& request, std::optional<Fd>, std::stop_token) {
  Fields fields(request);
  const uint64_t arena = fields.U64("arena");
  BITSNAP_TRY(fields.Check());
  std::lock_guard lock(mutex_);
  if (lent_.erase(arena) > 0) lane_->Release(arena, true);
  return Answer{};
}

Result<Session::Answer> Session::Submit(const Json& request, std::optional<Fd>, std::stop_token) {
  Fields fields(request);
  const uint64_t arena = fields.U64("arena"), save = fields.U64("save");
  BITSNAP_ASSIGN(Manifest manifest, ToManifest(fields.Object("manifest")));
  BITSNAP_ASSIGN(SaveOptions options, ToSaveOptions(fields.Object("options")));
  BITSNAP_TRY(fields.Check());
  {
    std::lock_guard lock(mutex_);
    if (lent_.erase(arena) == 0) {
      return Fail(ErrorKind::kInvalidArgument, "a state was handed over in memory not lent");
    }
  }
  std::erase_if(cancelled_, [](const auto& entry) { return entry.second.expired(); });
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  cancelled_[save] = cancelled;
  options.progress = Reporter(outbox_, save, cancelled);
  if (options.threads == 0) options.threads = agent_.ThreadsOfOneSave();
  SaveOptions named = options;  // whose save it was
  named.metadata.clear();
  Result<void> taken = lane_->Submit(
      arena, std::move(manifest), std::move(options),
      [&agent = agent_, outbox = outbox_, save,
       named = std::move(named)](const Result<SaveReport>& report) {
        const Json event = report ? Json{{"save", save}, {"report", ToJson(*report)}}
                                  : Json{{"save", save}, {"error", ToJson(report.error())}};
        const bool told = outbox->Send(event).has_value();
        agent.TellSaved(named, report, told);
        return told;
      });
  if (!taken) {  // it is still the client's to release
    std::lock_guard lock(mutex_);
    lent_.insert(arena);
    return tl::make_unexpected(std::move(taken).error());
  }
  return Answer{};
}

Result<Session::Answer> Session::Cancel(const Json& request, std::optional<Fd>, std::stop_token) {
  Fields fields(request);
  const auto waiter = waiters_.find(fields.U64("request"));
  BITSNAP_TRY(fields.Check());
  if (waiter != waiters_.end()) waiter->second->thread.request_stop();
  return Answer{};
}

Result<Session::Answer> Session::CancelSave(const Json& request, std::optional<Fd>,
                                            std::stop_token) {
  Fields fields(request);
  const auto found = cancelled_.find(fields.U64("save"));
  BITSNAP_TRY(fields.Check());
  if (found == cancelled_.end()) return Answer{};
  if (const auto cancelled = found->second.lock()) *cancelled = true;
  return Answer{};
}

Result<Session::Answer> Session::Newest(const Json&, std::optional<Fd>, std::stop_token) {
  const std::optional<Lease> lease = lane_->LeaseNewest();
  if (!lease) return Answer{{{"lease", nullptr}}, Fd()};
  std::lock_guard lock(mutex_);
  leases_.insert(lease->id);
  return Answer{{{"lease", lease->id},
                 {"manifest", ToJson(lease->manifest)},
                 {"options", ToJson(lease->options)}},
                Fd(fcntl(lease->fd, F_DUPFD_CLOEXEC, 0))};
}

Result<Session::Answer> Session::EndLease(const Json& request, std::optional<Fd>, std::stop_token) {
  Fields fields(request);
  const uint64_t lease = fields.U64("lease");
  BITSNAP_TRY(fields.Check());
  std::lock_guard lock(mutex_);
  if (leases_.erase(lease) > 0) lane_->EndLease(lease, true);
  return Answer{};
}

Result<Session::Answer> Session::Settle(const Json&, std::optional<Fd>, std::stop_token stop) {
  BITSNAP_ASSIGN(std::vector<std::string> failures, lane_->Settle(std::move(stop)));
  return Answer{{{"failures", std::move(failures)}}, Fd()};
}

Result<Session::Answer> Session::Hold(const Json& request, std::optional<Fd> fd, std::stop_token) {
  Fields fields(request);
  const std::string key = fields.Text("key");
  BITSNAP_TRY(fields.Check());
  BITSNAP_TRY(ConstantMemoryFileSize(fd ? fd->get() : -1));
  agent_.blobs().Hold(key, *std::move(fd), rank_);
  return Answer{};
}

Result<Session::Answer> Session::Held(const Json&, std::optional<Fd>, std::stop_token) {
  return Answer{{{"keys", agent_.blobs().Keys()}}, Fd()};
}

Result<Session::Answer> Session::Fetch(const Json& request, std::optional<Fd>, std::stop_token) {
  Fields fields(request);
  const std::string key = fields.Text("key");
  BITSNAP_TRY(fields.Check());
  BITSNAP_ASSIGN(Fd content, agent_.blobs().Fetch(key));
  return Answer{Json::object(), std::move(content)};
}

Result<Session::Answer> Session::Drop(const Json& request, std::optional<Fd>, std::stop_token) {
  Fields fields(request);
  for (const Json& key : fields.Array("keys")) {
    if (key.is_string()) agent_.blobs().Drop(key.get<std::string>());
  }
  BITSNAP_TRY(fields.Check());
  return Answer{};
}

// Answered only afterwards, so that who comes next finds it done.
Result<Session::Answer> Session::Leave(const Json&, std::optional<Fd>, std::stop_token) {
  Depart(/*is_goodbye=*/false);
  return Answer{};
}

Result<Session::Answer> Session::Goodbye(const Json&, std::optional<Fd>, std::stop_token) {
  Depart(/*is_goodbye=*/true);
  return Answer{};
}

}  // namespace bitsnap::agent
