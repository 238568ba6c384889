#include <bitsnap/saver.h>

#include <sys/resource.h>
#include <unistd.h>

#include <deque>
#include <new>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"
#include "engine/arena_pool.h"
#include "engine/manifest.h"
#include "engine/ticket.h"

namespace bitsnap {
namespace {

// More do not copy faster on the machines measured; one alone may not reach the memory's speed.
constexpr unsigned kMaxCopyThreads = 4;
// A quarter of a core where the training competes for it, all of the machine in the training's
// pauses, and seldom between two threads that wait for each other.
constexpr int kNiceness = 5;

// A copied state and what is to be done with it.
struct Job {
  Arena arena;
  Manifest manifest;
  SaveOptions options;
  std::shared_ptr<SaveTicket::State> ticket;
};

template <class F>
std::invoke_result_t<F> WithoutExceptions(F&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Fail(ErrorKind::kOutOfMemory, "out of memory while saving; lower max_memory");
  } catch (const std::exception& exception) {
    return Fail(ErrorKind::kIo, fmt::format("saving failed: {}", exception.what()));
  }
}

Result<SaveReport> Write(Store& store, Job& job) {
  Progress progress = [ticket = job.ticket, told = std::move(job.options.progress)](
                          uint64_t done, uint64_t total) {
    ticket->Advance(done, total);
    return !told || told(done, total);
  };
  job.options.progress = std::move(progress);
  return WithoutExceptions(
      [&] { return store.Save(ViewsOf(job.manifest, job.arena.bytes()), job.options); });
}

Error Cancelled() { return {ErrorKind::kCancelled, "waiting for saves was cancelled; they go on"}; }

}  // namespace

// Lock rule: every member below `mutex_` is guarded by it, but the front job, which is the
// background thread's alone.
class Saver::Impl {
 public:
  Impl(Store store, const SaverOptions& options)
      : store_(std::move(store)), on_busy_(options.on_busy), pool_(options.max_memory) {}

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }

  bool IsInAnotherProcess() const { return getpid() != process_; }

  Result<void> CheckProcess() const {
    if (!IsInAnotherProcess()) return {};
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{}: saving in the background does not survive fork(); start a new "
                            "Saver in the child",
                            store_.directory().string()));
  }

  Result<SaveTicket> Save(std::span<const TensorView> tensors, const SaveOptions& options,
                          const std::stop_token& stop) {
    BITSNAP_TRY(Enter(options));
    auto ticket = WithoutExceptions([&] { return Stage(tensors, options, stop); });
    Leave();
    return ticket;
  }

  Result<void> Wait(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [this] { return idle(); })) {
      return tl::make_unexpected(Cancelled());
    }
    return TakeFailure();
  }

  Result<void> Close(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [this] { return idle(); })) {
      return tl::make_unexpected(Cancelled());
    }
    closing_ = true;
    changed_.notify_all();
    pool_.Clear();
    std::thread thread = std::exchange(thread_, {});
    lock.unlock();
    if (thread.joinable()) thread.join();
    lock.lock();
    return TakeFailure();
  }

  std::optional<uint64_t> last_durable_step() const {
    std::lock_guard lock(mutex_);
    return last_durable_;
  }

  size_t pending() const {
    std::lock_guard lock(mutex_);
    return jobs_.size();
  }

 private:
  bool idle() const { return jobs_.empty() && staging_ == 0; }

  Result<void> Enter(const SaveOptions& options) {
    std::lock_guard lock(mutex_);
    BITSNAP_TRY(TakeFailure());
    if (closing_) {
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("step {}: this Saver is closed; start another", options.step));
    }
    for (const Job& job : jobs_) {
      if (job.ticket->step == options.step && !options.overwrite) {
        return Fail(ErrorKind::kAlreadyExists,
                    fmt::format("step {} is being saved already; save another step, or overwrite",
                                options.step));
      }
    }
    ++staging_;
    return {};
  }

  void Leave() {
    std::lock_guard lock(mutex_);
    --staging_;
    changed_.notify_all();
  }

  Result<SaveTicket> Stage(std::span<const TensorView> tensors, const SaveOptions& options,
                           const std::stop_token& stop) {
    auto ticket = std::make_shared<SaveTicket::State>(options.step);
    BITSNAP_TRY(store_.Check(tensors, options));
    Job job{.manifest = Place(tensors), .options = options, .ticket = ticket};
    BITSNAP_ASSIGN(std::optional<Arena> arena, Reserve(*ticket, job.manifest.bytes, stop));
    if (arena) {
      job.arena = *std::move(arena);
      BITSNAP_TRY(Copy(tensors, job));
      Queue(std::move(job));
    } else {
      ticket->Skip();
    }
    ticket->staging.blocked_seconds = SecondsSince(ticket->start);
    return SaveTicket(ticket);
  }

  // Requires: mutex_ held.
  Result<void> TakeFailure() {
    while (!failed_.empty()) {
      const auto ticket = std::move(failed_.front());
      failed_.pop_front();
      if (std::optional<Error> error = ticket->TakeFailure()) {
        return Fail(error->kind, fmt::format("step {} could not be saved in the background: {}",
                                             ticket->step, error->message));
      }
    }
    return {};
  }

  // nullopt: this save is to be skipped.
  Result<std::optional<Arena>> Reserve(SaveTicket::State& ticket, uint64_t bytes,
                                       const std::stop_token& stop) {
    Result<std::optional<Arena>> arena;
    const auto is_settled = [&] {
      arena = pool_.Take(bytes);
      return !arena || *arena;
    };
    std::unique_lock lock(mutex_);
    if (is_settled() || on_busy_ == OnBusy::kSkip) return arena;
    if (on_busy_ == OnBusy::kError) {
      return Fail(ErrorKind::kBusy,
                  fmt::format("step {}: {} earlier save(s) still fill max_memory; save less often, "
                              "raise max_memory, or wait",
                              ticket.step, jobs_.size()));
    }
    const auto start = Clock::now();
    if (!changed_.wait(lock, stop, is_settled)) {
      return Fail(ErrorKind::kCancelled,
                  fmt::format("step {}: waiting for room was cancelled", ticket.step));
    }
    ticket.staging.waited_seconds = SecondsSince(start);
    return arena;
  }

  Result<void> Copy(std::span<const TensorView> tensors, Job& job) {
    const unsigned threads = std::min(kMaxCopyThreads, ThreadCount(0));
    Result<void> copied = WithoutExceptions(
        [&] { return CopyInto(tensors, job.manifest, job.arena.bytes(), threads); });
    if (copied) return copied;
    std::lock_guard lock(mutex_);
    pool_.GiveBack(std::move(job.arena));
    return copied;
  }

  void Queue(Job job) {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
  }

  void Run() {
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return !jobs_.empty() || closing_; });
      if (jobs_.empty()) return;
      Job& job = jobs_.front();
      lock.unlock();
      Result<SaveReport> result = Write(store_, job);
      lock.lock();
      Finish(std::move(result));
    }
  }

  // Requires: mutex_ held.
  void Finish(Result<SaveReport> result) {
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    pool_.GiveBack(std::move(job.arena));
    if (result) {
      last_durable_ = job.ticket->step;
    } else {
      failed_.push_back(job.ticket);
    }
    job.ticket->Finish(std::move(result));
    changed_.notify_all();
  }

  Store store_;
  const OnBusy on_busy_;
  const pid_t process_ = getpid();

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;  // any of what follows
  ArenaPool pool_;
  std::deque<Job> jobs_;  // the front one is being saved
  size_t staging_ = 0;    // calls of Save that have not returned
  std::deque<std::shared_ptr<SaveTicket::State>> failed_;
  std::optional<uint64_t> last_durable_;
  bool closing_ = false;
  std::thread thread_;
};

Saver::Saver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<Saver> Saver::Start(Store store, const SaverOptions& options) {
  return WithoutExceptions([&]() -> Result<Saver> {
    auto impl = std::make_unique<Impl>(std::move(store), options);
    impl->Start();
    return Saver(std::move(impl));
  });
}

Saver::Saver(Saver&&) noexcept = default;

Saver& Saver::operator=(Saver&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

Saver::~Saver() {
  if (!impl_) return;
  if (impl_->IsInAnotherProcess()) {
    static_cast<void>(impl_.release());  // its locks may be held, by threads that are not here
  } else {
    static_cast<void>(impl_->Close({}));
  }
}

Result<SaveTicket> Saver::Save(std::span<const TensorView> tensors, const SaveOptions& options,
                               std::stop_token stop) {
  BITSNAP_TRY(impl_->CheckProcess());
  return impl_->Save(tensors, options, stop);
}

Result<void> Saver::Wait(std::stop_token stop) {
  BITSNAP_TRY(impl_->CheckProcess());
  return impl_->Wait(stop);
}

Result<void> Saver::Close(std::stop_token stop) {
  BITSNAP_TRY(impl_->CheckProcess());
  return impl_->Close(stop);
}

std::optional<uint64_t> Saver::last_durable_step() const { return impl_->last_durable_step(); }

size_t Saver::pending() const { return impl_->pending(); }

}  // namespace bitsnap
