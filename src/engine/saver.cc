#include <bitsnap/saver.h>

#include <unistd.h>

#include <algorithm>
#include <deque>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"
#include "engine/agent_keeper.h"
#include "engine/guard.h"
#include "engine/local_keeper.h"
#include "engine/ticket.h"

namespace bitsnap {
namespace {

// More do not copy faster on the machines measured; one alone may not reach the memory's speed.
constexpr unsigned kMaxCopyThreads = 4;

Error Cancelled() { return {ErrorKind::kCancelled, "waiting for saves was cancelled; they go on"}; }

Result<void> Copy(std::span<const TensorView> tensors, const Manifest& manifest, MutableBytes to) {
  const unsigned threads = std::min(kMaxCopyThreads, ThreadCount(0));
  return WithoutExceptions([&] { return CopyInto(tensors, manifest, to, threads); });
}

Result<std::unique_ptr<Keeper>> StartKeeper(const Store& store, const SaverOptions& options) {
  if (options.agent) return AgentKeeper::Start(store, options);
  return std::make_unique<LocalKeeper>(store, options.max_memory);
}

}  // namespace

// Lock rule: every member below `mutex_` is guarded by it, but `keeper_`, which guards itself.
class Saver::Impl {
 public:
  Impl(Store store, OnBusy on_busy, std::unique_ptr<Keeper> keeper)
      : store_(std::move(store)), on_busy_(on_busy), keeper_(std::move(keeper)) {}

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
    BITSNAP_TRY(WaitUntilIdle(lock, stop));
    if (!closing_) {
      lock.unlock();
      BITSNAP_TRY(keeper_->Settle(stop));
      lock.lock();
    }
    return TakeFailure();
  }

  Result<void> Close(const std::stop_token& stop, bool forget) {
    std::unique_lock lock(mutex_);
    BITSNAP_TRY(WaitUntilIdle(lock, stop));
    const bool is_first = !std::exchange(closing_, true);
    lock.unlock();
    if (is_first) keeper_->Close(forget);
    lock.lock();
    return TakeFailure();
  }

  Result<Keeper*> keeper() {
    std::lock_guard lock(mutex_);
    if (closing_) return Fail(ErrorKind::kInvalidArgument, "this Saver is closed; start another");
    return keeper_.get();
  }

  std::vector<std::string> TakeWarnings() { return keeper_->TakeWarnings(); }

  std::optional<uint64_t> last_durable_step() const {
    std::lock_guard lock(mutex_);
    return last_durable_;
  }

  size_t pending() const {
    std::lock_guard lock(mutex_);
    return pending_.size();
  }

 private:
  Result<void> WaitUntilIdle(std::unique_lock<std::mutex>& lock, const std::stop_token& stop) {
    const auto is_idle = [this] { return pending_.empty() && staging_ == 0; };
    if (!changed_.wait(lock, stop, is_idle)) return tl::make_unexpected(Cancelled());
    return {};
  }

  Result<void> Enter(const SaveOptions& options) {
    std::lock_guard lock(mutex_);
    BITSNAP_TRY(TakeFailure());
    if (closing_) {
      return Fail(ErrorKind::kInvalidArgument,
                  fmt::format("step {}: this Saver is closed; start another", options.step));
    }
    const auto same = std::find(pending_.begin(), pending_.end(), options.step);
    if (same != pending_.end() && !options.overwrite) {
      return Fail(ErrorKind::kAlreadyExists,
                  fmt::format("step {} is being saved already; save another step, or overwrite",
                              options.step));
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
    Manifest manifest = Place(tensors);
    BITSNAP_ASSIGN(const auto memory, Reserve(*ticket, manifest.bytes, options, stop));
    if (memory) {
      BITSNAP_TRY(Copy(tensors, manifest, memory->bytes()));
      Submit(*memory, std::move(manifest), options, ticket);
    } else {
      ticket->Skip();
    }
    ticket->staging.blocked_seconds = SecondsSince(ticket->start);
    return SaveTicket(ticket);
  }

  // Null: this save is to be skipped.
  Result<std::unique_ptr<Reservation>> Reserve(SaveTicket::State& ticket, uint64_t bytes,
                                               const SaveOptions& options,
                                               const std::stop_token& stop) {
    auto memory = keeper_->Reserve(bytes, options, /*wait=*/false, stop);
    if (!memory || *memory || on_busy_ == OnBusy::kSkip) return memory;
    if (on_busy_ == OnBusy::kError) {
      return Fail(ErrorKind::kBusy,
                  fmt::format("step {}: {} earlier save(s) still fill max_memory; save less often, "
                              "raise max_memory, or wait",
                              ticket.step, pending()));
    }
    const auto start = Clock::now();
    memory = keeper_->Reserve(bytes, options, /*wait=*/true, stop);
    ticket.staging.waited_seconds = SecondsSince(start);
    return memory;
  }

  void Submit(Reservation& memory, Manifest manifest, SaveOptions options,
              const std::shared_ptr<SaveTicket::State>& ticket) {
    options.progress = [ticket, told = std::move(options.progress)](uint64_t done, uint64_t total) {
      ticket->Advance(done, total);
      return !told || told(done, total);
    };
    {
      std::lock_guard lock(mutex_);
      pending_.push_back(ticket->step);
    }
    memory.Submit(std::move(manifest), std::move(options),
                  [this, ticket](Result<SaveReport> report) { Finish(ticket, std::move(report)); });
  }

  void Finish(const std::shared_ptr<SaveTicket::State>& ticket, Result<SaveReport> report) {
    std::lock_guard lock(mutex_);
    pending_.erase(std::find(pending_.begin(), pending_.end(), ticket->step));
    if (report) {
      last_durable_ = ticket->step;
    } else {
      failed_.push_back(ticket);
    }
    ticket->Finish(std::move(report));
    changed_.notify_all();
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

  const Store store_;
  const OnBusy on_busy_;
  const pid_t process_ = getpid();

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;  // any of what follows
  std::vector<uint64_t> pending_;        // steps handed over and not finished
  size_t staging_ = 0;                   // calls of Save that have not returned
  std::deque<std::shared_ptr<SaveTicket::State>> failed_;
  std::optional<uint64_t> last_durable_;
  bool closing_ = false;

  const std::unique_ptr<Keeper> keeper_;  // goes first: it calls Finish
};

Saver::Saver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<Saver> Saver::Start(Store store, const SaverOptions& options) {
  return WithoutExceptions([&]() -> Result<Saver> {
    BITSNAP_ASSIGN(auto keeper, StartKeeper(store, options));
    return Saver(std::make_unique<Impl>(std::move(store), options.on_busy, std::move(keeper)));
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
    static_cast<void>(impl_->Close({}, /*forget=*/false));
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
  return impl_->Close(stop, /*forget=*/true);
}

Result<void> Saver::Leave(std::stop_token stop) {
  BITSNAP_TRY(impl_->CheckProcess());
  return impl_->Close(stop, /*forget=*/false);
}

Result<std::optional<Snapshot>> Saver::Newest() {
  BITSNAP_TRY(impl_->CheckProcess());
  BITSNAP_ASSIGN(Keeper * keeper, impl_->keeper());
  return WithoutExceptions([&] { return keeper->Newest(); });
}

std::vector<std::string> Saver::TakeWarnings() {
  return impl_->IsInAnotherProcess() ? std::vector<std::string>() : impl_->TakeWarnings();
}

Result<void> Saver::Hold(const std::string& key, std::span<const std::byte> content) {
  BITSNAP_TRY(impl_->CheckProcess());
  BITSNAP_ASSIGN(Keeper * keeper, impl_->keeper());
  return WithoutExceptions([&] { return keeper->Hold(key, content); });
}

Result<std::vector<std::string>> Saver::Held() {
  BITSNAP_TRY(impl_->CheckProcess());
  BITSNAP_ASSIGN(Keeper * keeper, impl_->keeper());
  return WithoutExceptions([&] { return keeper->Held(); });
}

Result<std::shared_ptr<const std::span<const std::byte>>> Saver::Fetch(const std::string& key) {
  BITSNAP_TRY(impl_->CheckProcess());
  BITSNAP_ASSIGN(Keeper * keeper, impl_->keeper());
  struct Held {
    std::shared_ptr<const Arena> memory;
    std::span<const std::byte> bytes;
  };
  return WithoutExceptions([&]() -> Result<std::shared_ptr<const std::span<const std::byte>>> {
    BITSNAP_ASSIGN(auto memory, keeper->Fetch(key));
    const auto held = std::make_shared<const Held>(Held{memory, memory->bytes()});
    return std::shared_ptr<const std::span<const std::byte>>(held, &held->bytes);
  });
}

Result<void> Saver::Drop(const std::vector<std::string>& keys) {
  BITSNAP_TRY(impl_->CheckProcess());
  BITSNAP_ASSIGN(Keeper * keeper, impl_->keeper());
  return WithoutExceptions([&] { return keeper->Drop(keys); });
}

std::optional<uint64_t> Saver::last_durable_step() const { return impl_->last_durable_step(); }

size_t Saver::pending() const { return impl_->pending(); }

}  // namespace bitsnap
