// Shared by the engine's tests: a store, and saves that stop where they are told to.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <latch>
#include <thread>

#include <bitsnap/saver.h>

#include "io/test_directory.h"
#include "store/store_test_util.h"

namespace bitsnap::testing_util {

// Whether `condition` comes true within ten seconds.
inline bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

class SaverTest : public testing::Test {
 protected:
  Saver Start(const SaverOptions& options = {}) { return *Saver::Start(store_, options); }

  // `step`, on one thread.
  static SaveOptions At(uint64_t step) { return {.step = step, .threads = 1}; }

  const TestDirectory directory_;
  Store store_ = *Store::OpenOrCreate(directory_.path() / "store");
};

// Holds a save in the background until it is opened.
class Gate {
 public:
  ~Gate() { Open(); }

  SaveOptions At(uint64_t step) {
    SaveOptions options{.step = step, .threads = 1};
    options.progress = [this](uint64_t, uint64_t) {
      if (!reached_.try_wait()) reached_.count_down();
      opened_.wait();
      return true;
    };
    return options;
  }
  // Until the save is under way, its checks and the choice of its base behind it.
  void WaitUntilReached() { reached_.wait(); }
  void Open() {
    if (!opened_.try_wait()) opened_.count_down();
  }

 private:
  std::latch reached_{1};
  std::latch opened_{1};
};

}  // namespace bitsnap::testing_util
