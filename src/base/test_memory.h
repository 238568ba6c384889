// For tests: how much memory this process takes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

namespace bitsnap::testing_util {

// Sanitizers keep memory of their own beside ours.
#if defined(__SANITIZE_THREAD__)
inline constexpr uint64_t kShadow = 6;
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr uint64_t kShadow = 3;
#else
inline constexpr uint64_t kShadow = 1;
#endif

// A field of /proc/self/status in bytes, e.g. "VmHWM": the largest resident size so far.
inline uint64_t StatusBytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    uint64_t kibibytes = 0;
    if (name == field + ":" && status >> kibibytes) return kibibytes << 10;
    status.ignore(1000, '\n');
  }
  return 0;
}

// How far resident memory rises above where it is now while `work` runs.
template <class Work>
uint64_t ExtraMemory(Work&& work) {
  std::ofstream("/proc/self/clear_refs") << "5";  // resets VmHWM
  const uint64_t before = StatusBytes("VmRSS");
  work();
  return StatusBytes("VmHWM") - std::min(before, StatusBytes("VmHWM"));
}

}  // namespace bitsnap::testing_util
