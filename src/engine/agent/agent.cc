#include "engine/agent/agent.h"

#include <algorithm>

namespace bitsnap::agent {

Agent::Agent(Store store, std::optional<std::chrono::seconds> patience)
    : store_(std::move(store)), patience_(patience) {}

Lane& Agent::LaneOf(uint32_t rank) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<Lane>& lane = lanes_[rank];
  if (!lane) lane = std::make_unique<Lane>(store_);
  return *lane;
}

void Agent::Join(std::chrono::seconds linger) {
  std::lock_guard lock(mutex_);
  ++clients_;
  joined_ = true;
  patience_ = linger;
}

void Agent::Leave() {
  std::lock_guard lock(mutex_);
  --clients_;
  left_ = Clock::now();
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
