// A whole training state of mixed-precision Adam, 14 bytes a parameter, to a snapshot and back, in
// wall time and in processor time, beside memcpy of the same tensors.
//
//   state_bench [--only=PREFIX] [base.safetensors current.safetensors]
//
// Encode and decode: what saving and restoring do, from planning to the finished file, with the
// file in memory that is there already. Save and restore: the same through a store on a RAM disk,
// whose pages the kernel makes anew for each file: the folder in BITSNAP_BENCH_DIR, else /dev/shm.
//
// Without files the state is a made-up one; PREFIX picks cases by their names.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <bitsnap/store.h>

#include "bench/memory_snapshot.h"
#include "bench/training_state.h"

namespace bitsnap::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kRepetitions = 15;

struct Times {
  double wall = INFINITY, processor = INFINITY;
};

double ProcessorSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Keeps the quickest of each.
void Time(Times& best, auto&& work) {
  const auto start = std::chrono::steady_clock::now();
  const double processor = ProcessorSeconds();
  work();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  best.wall = std::min(best.wall, wall.count());
  best.processor = std::min(best.processor, ProcessorSeconds() - processor);
}

struct Case {
  Profile profile;
  bool delta;
  unsigned threads;
};

std::string NameOf(const Case& c) {
  return fmt::format("{}/{}/threads:{}", ProfileName(c.profile), c.delta ? "base" : "alone",
                     c.threads);
}

SaveOptions OptionsOf(const Case& c, uint64_t step) {
  SaveOptions options{.step = step, .profile = c.profile, .threads = c.threads, .overwrite = true};
  const bool leans = step != 1 && c.delta;
  options.base.kind = leans ? BaseChoice::Kind::kStep : BaseChoice::Kind::kNone;
  options.base.step = 1;
  return options;
}

class Bench {
 public:
  Bench(State base, State current, fs::path folder)
      : base_(std::move(base)), current_(std::move(current)), folder_(std::move(folder)) {
    for (const Buffer& buffer : current_.buffers) out_.buffers.emplace_back(buffer.size());
    out_.infos = current_.infos;
  }

  void Run(const Case& c) {
    fs::remove_all(folder_ / "store");
    Store store = Must(Store::OpenOrCreate(folder_ / "store"));
    MemorySnapshot memory;
    if (c.delta) {
      Must(store.Save(base_.views(), OptionsOf(c, 1)));
      memory.SaveBase(base_.views(), OptionsOf(c, 1));
    }
    Times copying, encoding, decoding, saving, restoring;
    for (int i = 0; i < kRepetitions; ++i) {
      Time(copying, [&] { Copy(); });
      Time(encoding, [&] { memory.Encode(current_.views(), OptionsOf(c, 2)); });
      Time(decoding, [&] { memory.Decode(Requests(), c.threads); });
      CheckRestored(c);
      Time(saving, [&] { Must(store.Save(current_.views(), OptionsOf(c, 2))); });
      Time(restoring, [&] { Must(Must(store.OpenStep(2)).Read(Requests(), c.threads)); });
      CheckRestored(c);
    }
    fmt::print("{:<28}", NameOf(c));
    for (const Times& times : {encoding, decoding, saving, restoring}) {
      fmt::print(" {:>7.3f} {:>9.3f}", copying.wall / times.wall,
                 copying.processor / times.processor);
    }
    fmt::print(" {:>7.3f}\n",
               static_cast<double>(current_.bytes()) / static_cast<double>(memory.bytes()));
    std::fflush(stdout);
  }

 private:
  void Copy() {
    for (size_t i = 0; i < current_.buffers.size(); ++i) {
      std::memcpy(out_.buffers[i].data(), current_.buffers[i].data(), out_.buffers[i].size());
    }
  }

  // Of all tensors, which every snapshot holds in their order.
  std::vector<ReadRequest> Requests() {
    std::vector<ReadRequest> requests;
    for (size_t i = 0; i < out_.buffers.size(); ++i) requests.push_back({i, 0, out_.buffers[i]});
    return requests;
  }

  // Also clears what was restored, so that the next must restore it again.
  void CheckRestored(const Case& c) {
    const bool exact = c.profile == Profile::kExact;
    if (exact && out_.buffers != current_.buffers) fmt::print("restored other bytes!\n");
    for (Buffer& buffer : out_.buffers) std::ranges::fill(buffer, std::byte{0});
  }

  State base_, current_, out_;
  fs::path folder_;
};

}  // namespace
}  // namespace bitsnap::bench

int main(int argc, char** argv) {
  using namespace bitsnap;
  using namespace bitsnap::bench;
  std::string_view only;
  if (argc > 1 && std::string_view(argv[1]).starts_with("--only=")) {
    only = std::string_view(argv[1]).substr(7);
    ++argv, --argc;
  }
  if (argc != 1 && argc != 3) {
    fmt::print(stderr,
               "usage: state_bench [--only=PREFIX] [base.safetensors current.safetensors]\n");
    return 2;
  }
  const char* disk = std::getenv("BITSNAP_BENCH_DIR");
  const fs::path folder =
      fs::path(disk != nullptr ? disk : "/dev/shm") / fmt::format("bitsnap-bench-{}", getpid());
  fs::create_directories(folder);
  {
    Bench bench(argc == 3 ? Load(argv[1]) : MakeState(0), argc == 3 ? Load(argv[2]) : MakeState(10),
                folder);
    fmt::print("{:<28} {:^17} {:^17} {:^17} {:^17} {:>7}\n", "of memcpy, wall processor", "encode",
               "decode", "save", "restore", "ratio");
    for (Profile profile : {Profile::kExact, Profile::kBalanced}) {
      for (bool delta : {false, true}) {
        for (unsigned threads : {1u, 2u}) {
          const Case c{profile, delta, threads};
          if (NameOf(c).starts_with(only)) bench.Run(c);
        }
      }
    }
  }
  fs::remove_all(folder);
  return 0;
}
