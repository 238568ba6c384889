#include "engine/local_keeper.h"

#include <utility>

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {

class LocalKeeper::LocalReservation final : public Reservation {
 public:
  LocalReservation(LocalKeeper& keeper, Arena arena) : keeper_(&keeper), arena_(std::move(arena)) {}
  ~LocalReservation() override {
    if (keeper_ != nullptr) keeper_->GiveBack(std::move(arena_));
  }

  MutableBytes bytes() const override { return arena_.bytes(); }

  void Submit(Manifest manifest, SaveOptions options, SaveDone done) override {
    LocalKeeper& keeper = *std::exchange(keeper_, nullptr);
    const Bytes memory = arena_.bytes();
    auto arena = std::make_shared<Arena>(std::move(arena_));
    keeper.queue_.Push({std::move(manifest), memory, std::move(options),
                        [&keeper, arena, done = std::move(done)](Result<SaveReport> report) {
                          keeper.GiveBack(std::move(*arena));
                          done(std::move(report));
                        }});
  }

 private:
  LocalKeeper* keeper_;  // null once submitted
  Arena arena_;
};

Result<std::unique_ptr<Reservation>> LocalKeeper::Reserve(uint64_t bytes,
                                                          const SaveOptions& options, bool wait,
                                                          std::stop_token stop) {
  Result<std::optional<Arena>> arena;
  const auto is_settled = [&] {
    arena = pool_.Take(bytes);
    return !arena || *arena;
  };
  std::unique_lock lock(mutex_);
  if (wait && !changed_.wait(lock, stop, is_settled)) {
    return Fail(ErrorKind::kCancelled,
                fmt::format("step {}: waiting for room was cancelled", options.step));
  }
  if (!wait) is_settled();
  if (!arena) return tl::make_unexpected(std::move(arena).error());
  if (!*arena) return nullptr;
  return std::make_unique<LocalReservation>(*this, **std::move(arena));
}

bool LocalKeeper::is_prepared() {
  std::lock_guard lock(mutex_);
  return !pool_.is_empty();
}

void LocalKeeper::Prepare(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (!pool_.is_empty()) return;
  auto arena = pool_.Take(bytes);
  if (arena && *arena) pool_.GiveBack(**std::move(arena));
}

void LocalKeeper::GiveBack(Arena arena) {
  std::lock_guard lock(mutex_);
  pool_.GiveBack(std::move(arena));
  changed_.notify_all();
}

void LocalKeeper::Close(bool) {
  queue_.Close();
  std::lock_guard lock(mutex_);
  pool_.Clear();
}

}  // namespace bitsnap
