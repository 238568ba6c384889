#include <bitsnap/saver.h>

#include <unistd.h>

#include <algorithm>
#include <future>
#include <mutex>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"
#include "engine/agent_keeper.h"
#include "engine/guard.h"
#include "engine/local_keeper.h"
#include "engine/save_ledger.h"
#include "engine/ticket.h"

namespace bitsnap {
namespace {

// More do not copy faster on the machines measured; one alone may not reach the memory's speed.
constexpr unsigned kMaxCopyThreads = 4;

Result<void> Copy(std::span<const TensorView> tensors, const Manifest& manifest, MutableBytes to) {
  const unsigned threads = std::min(kMaxCopyThreads, ThreadCount(0));
  return WithoutExceptions([&] { return CopyInto(tensors, manifest, to, threads); });
}

}  // namespace

// Ledger and keeper guard themselves; all else but preparing_ is constant.
class Saver::Impl {
 public:
  Impl(Store store, OnBusy on_busy, std::unique_ptr<Keeper> keeper,
       std::optional<AgentMemory> memory)
      : store_(std::move(store)),
        on_busy_(on_busy),
        memory_(std::move(memory)),
        keeper_(std::move(keeper)) {}

  bool IsInAnotherProcess() const { return getpid() != process_; }

  Result<void> CheckProcess() const {
    if (!IsInAnotherProcess()) return {};
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{}: saving in the background does not survive fork(); start a new "
                            "Saver in the child",
                            store_.directory().string()));
  }

  // One at a time: what is being made is not made twice.
  Result<void> Prepare(uint64_t bytes) {
    if (ledger_.is_closed()) {
      return Fail(ErrorKind::kInvalidArgument, "this Saver is closed; start another");
    }
    std::lock_guard lock(preparing_mutex_);
    const bool is_preparing = preparing_.valid() && preparing_.wait_for(std::chrono::seconds(0)) !=
                                                        std::future_status::ready;
    if (is_preparing || keeper_->is_prepared()) return {};
    return WithoutExceptions([&]() -> Result<void> {
      preparing_ = std::async(std::launch::async, [this, bytes] { keeper_->Prepare(bytes); });
      return {};
    });
  }

  Result<SaveTicket> Save(std::span<const TensorView> tensors, const SaveOptions& options,
                          const std::stop_token& stop) {
    BITSNAP_TRY(ledger_.Enter(options.step, options.overwrite));
    auto ticket = WithoutExceptions([&] { return Stage(tensors, options, stop); });
    ledger_.Leave();
    return ticket;
  }

  Result<void> Wait(const std::stop_token& stop) {
    BITSNAP_TRY(ledger_.WaitUntilIdle(stop));
    if (!ledger_.is_closed()) BITSNAP_TRY(keeper_->Settle(stop));
    return ledger_.TakeFailure();
  }

  Result<void> Close(const std::stop_token& stop, bool forget) {
    BITSNAP_ASSIGN(const bool was_open, ledger_.Close(stop));
    if (was_open) {
      WaitUntilPrepared();
      keeper_->Close(forget);
    }
    return ledger_.TakeFailure();
  }

  std::vector<std::string> TakeWarnings() { return keeper_->TakeWarnings(); }

  const SaveLedger& ledger() const { return ledger_; }
  const std::optional<AgentMemory>& agent_memory() const { return memory_; }

 private:
  Result<SaveTicket> Stage(std::span<const TensorView> tensors, const SaveOptions& options,
                           const std::stop_token& stop) {
    auto ticket = std::make_shared<SaveTicket::State>(options.step);
    BITSNAP_TRY(store_.Check(tensors, options));
    Manifest manifest = Place(tensors);
    WaitUntilPrepared();
    BITSNAP_ASSIGN(const auto memory, Reserve(*ticket, manifest.bytes, options, stop));
    if (memory) {
      BITSNAP_TRY(Copy(tensors, manifest, memory->bytes()));
      const uint64_t bytes = memory->bytes().size();
      Submit(*memory, std::move(manifest), options, ticket);
      static_cast<void>(Prepare(bytes));  // for the next one, which would do it itself
    } else {
      ticket->Skip();
    }
    ticket->staging.blocked_seconds = SecondsSince(ticket->start);
    return SaveTicket(ticket);
  }

  // Memory that is being made is not missed by the one for whom it is.
  void WaitUntilPrepared() {
    std::shared_future<void> preparing;
    {
      std::lock_guard lock(preparing_mutex_);
      preparing = preparing_;
    }
    if (preparing.valid()) preparing.wait();
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
                              ticket.step, ledger_.pending()));
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
    ledger_.HandOver(ticket->step);
    memory.Submit(
        std::move(manifest), std::move(options),
        [this, ticket](Result<SaveReport> report) { ledger_.Finish(ticket, std::move(report)); });
  }

  const Store store_;
  const OnBusy on_busy_;
  const std::optional<AgentMemory> memory_;
  const pid_t process_ = getpid();

  SaveLedger ledger_;
  const std::unique_ptr<Keeper> keeper_;  // goes before the ledger, to which it writes

  std::mutex preparing_mutex_;          // taken before the keeper's
  std::shared_future<void> preparing_;  // guarded by preparing_mutex_; goes first
};

Saver::Saver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<Saver> Saver::Start(Store store, const SaverOptions& options) {
  return WithoutExceptions([&]() -> Result<Saver> {
    std::unique_ptr<Keeper> keeper;
    std::optional<AgentMemory> memory;
    if (options.agent) {
      BITSNAP_ASSIGN(auto agent, AgentKeeper::Start(store, options));
      memory.emplace(agent->link());
      keeper = std::move(agent);
    } else {
      keeper = std::make_unique<LocalKeeper>(store, options.max_memory);
    }
    return Saver(std::make_unique<Impl>(std::move(store), options.on_busy, std::move(keeper),
                                        std::move(memory)));
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

Result<void> Saver::Prepare(uint64_t bytes) {
  BITSNAP_TRY(impl_->CheckProcess());
  return impl_->Prepare(bytes);
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

std::vector<std::string> Saver::TakeWarnings() {
  return impl_->IsInAnotherProcess() ? std::vector<std::string>() : impl_->TakeWarnings();
}

std::optional<AgentMemory> Saver::agent_memory() const { return impl_->agent_memory(); }

std::optional<uint64_t> Saver::last_durable_step() const {
  return impl_->ledger().last_durable_step();
}

size_t Saver::pending() const { return impl_->ledger().pending(); }

}  // namespace bitsnap
