// The power-cut storm's own account of all saves, and of what may be restored.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bitsnap::testing_util {

// One try of all ranks to save a step. No two have the same number, which tells the content.
struct StormSave {
  uint64_t number = 0;
  uint64_t step = 0;
  const StormSave* parent = nullptr;  // what its run stood on
  bool damaged = false;
  bool has_later = false;  // some save of its line came after it
};

// After a durable save, restoring gives that save or a later one of the same line of descent.
class StormAccount {
 public:
  using Held = std::map<uint64_t, const StormSave*>;  // what the store holds and can read, by step

  // The last save that was reported durable or given back by a restore; null before the first.
  const StormSave* floor() const { return allowed_.empty() ? nullptr : allowed_.front(); }
  const StormSave* Find(uint64_t number) const { return &saves_.at(number); }

  const StormSave* Attempt(uint64_t step, const StormSave* parent) {
    const uint64_t number = saves_.size() + 1;
    const StormSave* save = &(saves_[number] = {number, step, parent});
    allowed_.push_back(save);
    return save;
  }

  // What follows the floor is allowed, too: tries of which nobody knows how far they came, and
  // damaged saves that can be read all the same.
  bool IsAllowed(const StormSave* save) const { return std::ranges::count(allowed_, save) > 0; }

  void Durable(const StormSave* save) {
    allowed_.erase(allowed_.begin(), std::ranges::find(allowed_, save));
    CameAfterItsLine(save);
  }

  void Restored(const StormSave* save) {
    allowed_ = {save};
    CameAfterItsLine(save);
  }

  // The newest save of the floor's line that restores once `spoilt` are broken; null: none.
  const StormSave* Fallback(const Held& held, const std::vector<const StormSave*>& spoilt) const {
    for (const StormSave* save = floor(); save != nullptr; save = save->parent) {
      const auto found = held.find(save->step);
      const bool is_held = found != held.end() && found->second == save;
      if (is_held && !save->damaged && std::ranges::count(spoilt, save) == 0) return save;
    }
    return nullptr;
  }

  // `spoilt` were broken, and may come or not. Requires a Fallback.
  void Damage(const Held& held, const std::vector<const StormSave*>& spoilt) {
    const StormSave* fallback = Fallback(held, spoilt);
    for (const StormSave* save : spoilt) saves_.at(save->number).damaged = true;
    std::vector<const StormSave*> passed_over;
    for (const StormSave* save = floor(); save != fallback; save = save->parent) {
      passed_over.insert(passed_over.begin(), save);
    }
    allowed_.erase(allowed_.begin());
    allowed_.insert(allowed_.begin(), passed_over.begin(), passed_over.end());
    allowed_.insert(allowed_.begin(), fallback);
  }

  std::string Told() const {
    std::string told = "allowed:";
    for (const StormSave* save : allowed_) {
      told += " " + std::to_string(save->number) + "@" + std::to_string(save->step);
    }
    return told;
  }

 private:
  void CameAfterItsLine(const StormSave* save) {
    for (const StormSave* each = save->parent; each != nullptr; each = each->parent) {
      saves_.at(each->number).has_later = true;
    }
  }

  std::map<uint64_t, StormSave> saves_;  // by number; addresses stay
  std::vector<const StormSave*> allowed_;
};

}  // namespace bitsnap::testing_util
