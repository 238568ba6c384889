#include "engine/agent/lane.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/try.h"
#include "store/descent.h"
#include "store/step.h"

namespace bitsnap::agent {
namespace {

struct stat StatusOf(const std::filesystem::path& path) {
  struct stat status = {};
  static_cast<void>(stat(path.c_str(), &status));
  return status;
}

tl::unexpected<Error> Cancelled(uint64_t step) {
  return Fail(ErrorKind::kCancelled, fmt::format("step {}: waiting for room was cancelled", step));
}

}  // namespace

Lane::Lane(Store store)
    : store_(store), directory_(StatusOf(store.directory())), queue_(std::move(store)) {}

void Lane::Enter(uint64_t max_memory) {
  std::lock_guard lock(mutex_);
  ++clients_;
  is_forgotten_ = false;
  pool_.SetMaxBytes(max_memory);
}

bool Lane::Leave(bool forget) {
  std::lock_guard lock(mutex_);
  --clients_;
  if (!forget || clients_ > 0) return false;
  ForgetAll();
  return true;
}

void Lane::Forget() {
  std::lock_guard lock(mutex_);
  if (clients_ == 0) ForgetAll();
}

Result<std::optional<Lent>> Lane::Reserve(uint64_t bytes, uint64_t step, bool overwrite, bool wait,
                                          std::stop_token stop) {
  std::unique_lock lock(mutex_);
  // Who was told that a save is over finds its memory free.
  if (!changed_.wait(lock, stop, [this] { return telling_ == 0; })) return Cancelled(step);
  if (!overwrite && IsBeingSaved(step)) {
    return Fail(
        ErrorKind::kAlreadyExists,
        fmt::format("step {} is being saved already; save another step, or overwrite", step));
  }
  Result<std::optional<Arena>> arena;
  const auto is_settled = [&] {
    arena = pool_.Take(std::max<uint64_t>(bytes, 1));
    if (arena && !*arena && MayGiveUpNewest()) {
      newest_ = nullptr;
      Tidy();
      arena = pool_.Take(std::max<uint64_t>(bytes, 1));
    }
    return !arena || *arena;
  };
  if (wait && !changed_.wait(lock, stop, is_settled)) return Cancelled(step);
  if (!wait) is_settled();
  if (!arena) return tl::make_unexpected(std::move(arena).error());
  if (!*arena) return std::nullopt;
  return Lend(**std::move(arena));
}

Result<std::optional<Lent>> Lane::ReserveSpare(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  BITSNAP_ASSIGN(std::optional<Arena> arena, pool_.Take(std::max<uint64_t>(bytes, 1)));
  if (!arena) return std::nullopt;
  return Lend(*std::move(arena));
}

// Requires: mutex_ held, as in all below that do not lock it.
void Lane::ForgetAll() {
  is_forgotten_ = true;
  newest_ = nullptr;
  Tidy();
}

Lent Lane::Lend(Arena arena) {
  Lent lent{arena.id(), arena.fd(), arena.bytes().size(), {}};
  lent_.emplace(lent.id, std::move(arena));
  for (const auto& [id, each] : lent_) lent.alive.push_back(id);
  for (const State& state : states_) lent.alive.push_back(state.arena.id());
  for (const Arena& each : pool_.free()) lent.alive.push_back(each.id());
  return lent;
}

bool Lane::IsBeingSaved(uint64_t step) const {
  return std::any_of(states_.begin(), states_.end(), [&](const State& state) {
    return state.is_saving && state.options.step == step;
  });
}

// Nothing else will make room any more.
bool Lane::MayGiveUpNewest() const {
  return newest_ != nullptr && states_.size() == 1 && lent_.empty() && !newest_->is_saving &&
         newest_->leases.empty();
}

void Lane::Release(uint64_t arena, bool is_intact) {
  std::lock_guard lock(mutex_);
  const auto found = lent_.find(arena);
  if (found == lent_.end()) return;
  if (is_intact) {
    pool_.GiveBack(std::move(found->second));
  } else {
    pool_.Forget(found->second);
  }
  lent_.erase(found);
  changed_.notify_all();
}

Result<void> Lane::Submit(uint64_t arena, Manifest manifest, SaveOptions options, Tell tell) {
  std::lock_guard lock(mutex_);
  const auto found = lent_.find(arena);
  if (found == lent_.end() || manifest.bytes > found->second.bytes().size()) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("step {}: handed over in memory that was not lent", options.step));
  }
  State& state = states_.emplace_back(
      State{std::move(found->second), std::move(manifest), std::move(options)});
  lent_.erase(found);
  SaveOptions all_options = state.options;
  state.options.progress = {};
  newest_ = &state;
  Tidy();
  queue_.Push({state.manifest, state.arena.bytes(), std::move(all_options),
               [this, &state, tell = std::move(tell)](const Result<SaveReport>& report) {
                 Finish(state, tell, report);
               }});
  return {};
}

// Takes the lock. The memory is free only once the client knows: should the agent die before, the
// client saves the state once more from there.
void Lane::Finish(State& state, const Tell& tell, const Result<SaveReport>& report) {
  {
    std::lock_guard lock(mutex_);
    state.is_durable = report.has_value();
    ++telling_;
  }
  const bool told = tell(report);
  std::lock_guard lock(mutex_);
  --telling_;
  state.is_saving = false;
  // One that lost the connection but lives saves the state once more, too.
  if (!told) state.is_intact = false;
  if (!told && !report) {
    untold_.push_back(
        fmt::format("step {}, which an earlier process handed to the agent, could "
                    "not be saved: {}",
                    state.options.step, report.error().message));
  }
  Tidy();
}

// Gives the memory back that no state needs any more.
void Lane::Tidy() {
  for (auto state = states_.begin(); state != states_.end();) {
    if (&*state == newest_ || state->is_saving || !state->leases.empty()) {
      ++state;
      continue;
    }
    if (state->is_intact) {
      pool_.GiveBack(std::move(state->arena));
    } else {
      pool_.Forget(state->arena);
    }
    state = states_.erase(state);
  }
  if (is_forgotten_) pool_.Clear();
  changed_.notify_all();
}

// A store that was removed, or made anew, is another one.
bool Lane::IsStillThere(const State& state) const {
  const struct stat now = StatusOf(store_.directory());
  if (now.st_ino != directory_.st_ino || now.st_dev != directory_.st_dev) return false;
  if (!state.is_durable) return true;
  const StoreLocation store{store_.directory(), &PosixFileSystem()};
  const auto file =
      OpenRankFile(store, state.options.step, {state.options.rank, state.options.world_size});
  if (!file || file->header().save_id != state.options.save_id) return false;
  const Result<Line> line = ReadLine(store);
  return line && !line->IsAbandoned(state.options.step);
}

std::optional<Lease> Lane::LeaseNewest() {
  std::lock_guard lock(mutex_);
  if (newest_ == nullptr || !IsStillThere(*newest_)) return std::nullopt;
  newest_->leases.push_back(++last_lease_);
  return Lease{last_lease_, newest_->arena.fd(), newest_->manifest, newest_->options};
}

void Lane::EndLease(uint64_t id, bool is_intact) {
  std::lock_guard lock(mutex_);
  for (State& state : states_) {
    if (std::erase(state.leases, id) > 0 && !is_intact) state.is_intact = false;
  }
  Tidy();
}

Result<std::vector<std::string>> Lane::Settle(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [this] { return IsIdle(); })) {
    return Fail(ErrorKind::kCancelled, "waiting for saves was cancelled; they go on");
  }
  return std::exchange(untold_, {});
}

void Lane::WaitUntilIdle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return IsIdle(); });
}

bool Lane::IsIdle() const {
  return std::none_of(states_.begin(), states_.end(),
                      [](const State& state) { return state.is_saving; });
}

bool Lane::is_idle() const {
  std::lock_guard lock(mutex_);
  return IsIdle();
}

bool Lane::has_clients() const {
  std::lock_guard lock(mutex_);
  return clients_ > 0;
}

size_t Lane::under_way() const {
  std::lock_guard lock(mutex_);
  return std::count_if(states_.begin(), states_.end(),
                       [](const State& state) { return state.is_saving; });
}

bool Lane::remembers() const {
  std::lock_guard lock(mutex_);
  return newest_ != nullptr;
}

}  // namespace bitsnap::agent
