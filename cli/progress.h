// A progress bar on stderr, for work that takes longer than half a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

// One thread at a time. The bar vanishes with its object.
class ProgressBar {
 public:
  explicit ProgressBar(std::string what);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // False once a signal asks the command to stop. Draws only where stderr is a terminal.
  bool Update(uint64_t done, uint64_t total);

  // Update() as the library wants it; must not outlive the bar.
  Progress Callback();

 private:
  using Clock = std::chrono::steady_clock;
  void Draw(uint64_t done, uint64_t total, double seconds);

  const std::string what_;
  const bool terminal_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_;
  bool drawn_ = false;
};

}  // namespace bitsnap::cli
