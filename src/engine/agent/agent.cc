#include "engine/agent/agent.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/parallel.h"

namespace bitsnap::agent {

Agent::Agent(Store store, std::optional<std::chrono::seconds> patience, Log& log,
             AgentEvents events)
    : store_(std::move(store)), log_(log), events_(std::move(events)), patience_(patience) {}

Lane& Agent::LaneOf(uint32_t rank) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<Lane>& lane = lanes_[rank];
  if (!lane) lane = std::make_unique<Lane>(store_);
  return *lane;
}

void Agent::Join(uint32_t world_size, std::chrono::seconds linger) {
  std::lock_guard lock(mutex_);
  for (auto lane = lanes_.lower_bound(world_size); lane != lanes_.end(); ++lane) {
    lane->second->Forget();
  }
  ++clients_;
  joined_ = true;
  patience_ = linger;
}

void Agent::Leave() {
  std::lock_guard lock(mutex_);
  --clients_;
  left_ = Clock::now();
}

unsigned Agent::ThreadsOfOneSave() const {
  std::lock_guard lock(mutex_);
  const auto ranks = std::count_if(lanes_.begin(), lanes_.end(),
                                   [](const auto& lane) { return lane.second->has_clients(); });
  return std::max(1u, ThreadCount(0) / std::max(1u, static_cast<unsigned>(ranks)));
}

void Agent::TellSaved(const SaveOptions& options, const Result<SaveReport>& report, bool told) {
  const std::string whose =
      fmt::format("step {}, rank {} of {}", options.step, options.rank, options.world_size);
  if (report) {
    log_.Tell(fmt::format("{}: saved, {} -> {} bytes in {:.2f} s", whose, report->raw_bytes,
                          report->stored_bytes, report->seconds));
  } else {
    const std::string line = fmt::format("{}: not saved: {}", whose, report.error().message);
    told ? log_.Tell(line) : log_.Warn(line);
  }
  std::lock_guard lock(telling_);
  if (events_.saved) events_.saved(options, report);
}

void Agent::End() {
  is_ending_ = true;
  size_t under_way = 0;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [rank, lane] : lanes_) under_way += lane->under_way();
  }
  log_.Tell(fmt::format("a signal came: {} save(s) are finished first", under_way));
  std::lock_guard lock(telling_);
  if (events_.ending) events_.ending(under_way);
}

bool Agent::is_idle() const {
  std::lock_guard lock(mutex_);
  return std::all_of(lanes_.begin(), lanes_.end(),
                     [](const auto& lane) { return lane.second->is_idle(); });
}

std::optional<Clock::duration> Agent::TimeLeft() const {
  const bool idle = is_idle();
  std::lock_guard lock(mutex_);
  if (clients_ > 0 || !idle || !patience_) return std::nullopt;
  const bool remembers = !joined_ || !blobs_.Keys().empty() ||
                         std::any_of(lanes_.begin(), lanes_.end(),
                                     [](const auto& lane) { return lane.second->remembers(); });
  if (!remembers) return Clock::duration::zero();
  return std::max(left_ + *patience_ - Clock::now(), Clock::duration::zero());
}

}  // namespace bitsnap::agent
