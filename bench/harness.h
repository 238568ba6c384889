// Shared by the benchmarks: a tensor of 512 MiB in two versions, timing beside memcpy, and a report
// of medians.
//
// Tensor bytes are counted, so `of_memcpy` 0.5 means: half as fast as copying the tensor.
#pragma once

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <bit>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <bitsnap/dtype.h>

namespace bitsnap::bench {

inline constexpr size_t kTensorBytes = size_t{512} << 20;

inline constexpr int kRepetitions = 5;

using Buffer = std::vector<std::byte>;

// Weights as they are initialised, N(0, 0.02): a few MiB of them, over and over.
inline Buffer Weights(DType dtype) {
  Buffer tensor(kTensorBytes);
  const size_t pattern = size_t{8} << 20;
  const size_t word = WordBytes(dtype);
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, 0.02f);
  for (size_t at = 0; at < pattern; at += word) {
    const uint32_t bits = std::bit_cast<uint32_t>(normal(random));
    const uint32_t value = bits >> (32 - 8 * word);  // bf16: truncated
    std::memcpy(&tensor[at], &value, word);
  }
  for (size_t at = pattern; at < tensor.size(); at += pattern) {
    std::memcpy(&tensor[at], tensor.data(), pattern);
  }
  return tensor;
}

// Flips the lowest bit of about `fraction` of all words.
inline void Change(DType dtype, double fraction, Buffer& tensor) {
  const size_t word = WordBytes(dtype);
  const auto below = static_cast<uint32_t>(fraction * 65536);
  uint64_t state = 1;
  for (size_t at = 0; at < tensor.size(); at += word) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    if (state >> 48 < below) tensor[at] ^= std::byte{1};
  }
}

// What the benchmarks work on. They run in the order in which they are registered, so that a tensor
// is made once for all that share it.
struct Tensors {
  Buffer base, current;
  Buffer copy = Buffer(kTensorBytes);

  void Prepare(DType want_dtype, double want_fraction) {
    if (base.empty() || want_dtype != dtype_) {
      base = Weights(want_dtype);
    } else if (want_fraction == fraction_) {
      return;
    }
    dtype_ = want_dtype;
    fraction_ = want_fraction;
    current = base;
    Change(dtype_, fraction_, current);
  }

  static Tensors& Get() {
    static Tensors tensors;
    return tensors;
  }

 private:
  DType dtype_{};
  double fraction_ = 0;
};

inline double Seconds(auto&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Times `work`, which goes once over the tensor and returns the coded bytes, and memcpy of the
// tensor in turn.
inline void Measure(benchmark::State& state, auto&& work) {
  Tensors& tensors = Tensors::Get();
  double copying = 0, working = 0;
  size_t coded = 0;
  for (auto _ : state) {
    copying += Seconds([&] {
      std::memcpy(tensors.copy.data(), tensors.current.data(), kTensorBytes);
      benchmark::ClobberMemory();
    });
    const double seconds = Seconds([&] { coded = work(); });
    working += seconds;
    state.SetIterationTime(seconds);
  }
  const double bytes = static_cast<double>(kTensorBytes) * static_cast<double>(state.iterations());
  state.counters["GB/s"] = bytes / working / 1e9;
  state.counters["of_memcpy"] = copying / working;
  state.counters["ratio"] = static_cast<double>(kTensorBytes) / static_cast<double>(coded);
}

template <class Function, class... Args>
void Register(const std::string& name, Function function, Args... args) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { function(state, args...); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond)
      ->Iterations(1)
      ->Repetitions(kRepetitions);
}

// Of the repetitions' statistics, people want the median; `--benchmark_out` has them all.
class MedianReporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    fmt::print("{:<36} {:>8} {:>10} {:>8}\n", "", "GB/s", "of memcpy", "ratio");
    return true;
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.error_occurred) fmt::print("{}: {}\n", run.run_name.function_name, run.error_message);
      if (run.aggregate_name != "median") continue;
      const auto counter = [&](const char* name) { return double{run.counters.at(name)}; };
      fmt::print("{:<36} {:>8.2f} {:>10.2f} {:>8.2f}\n", run.run_name.function_name,
                 counter("GB/s"), counter("of_memcpy"), counter("ratio"));
      std::fflush(stdout);
    }
  }
};

// What main does once its benchmarks are registered.
inline int Run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  MedianReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  return 0;
}

}  // namespace bitsnap::bench
