// A whole training state of mixed-precision Adam, 14 bytes a parameter, into a store on a RAM disk
// and back, in its processor time and in wall time, beside memcpy of the same tensors.
//
//   state_bench [--only=PREFIX] [base.safetensors current.safetensors]
//
// Without files the state is a made-up one; PREFIX picks cases by their names. The RAM disk is the
// folder in BITSNAP_BENCH_DIR, else /dev/shm.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include <bitsnap/safetensors.h>
#include <bitsnap/store.h>

namespace bitsnap {
namespace {

namespace fs = std::filesystem;
using Buffer = std::vector<std::byte>;

constexpr int kRepetitions = 15;

// What a save is given, and the memory behind it.
struct State {
  std::vector<TensorInfo> infos;
  std::vector<Buffer> buffers;

  std::vector<TensorView> views() const {
    std::vector<TensorView> views;
    for (size_t i = 0; i < infos.size(); ++i) views.push_back({infos[i], buffers[i]});
    return views;
  }
  size_t bytes() const {
    size_t sum = 0;
    for (const Buffer& buffer : buffers) sum += buffer.size();
    return sum;
  }
};

template <class T>
void Add(State& state, std::string name, DType dtype, std::vector<uint64_t> shape, Role role,
         const std::string& group, const std::vector<T>& values) {
  state.infos.push_back({std::move(name), dtype, std::move(shape), role, group});
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  state.buffers.emplace_back(bytes, bytes + values.size() * sizeof(T));
}

// Nearly normal, and quick.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  float Normal() {
    uint64_t sum = 0;
    const uint64_t bits = Bits();
    for (int k = 0; k < 4; ++k) sum += bits >> 16 * k & 0xffff;
    return (static_cast<float>(sum) + static_cast<float>(Bits() >> 50) / 16384 - 131070) / 37837;
  }

 private:
  uint64_t Bits() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = (state_ ^ state_ >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  uint64_t state_;
};

uint16_t ToBF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// A parameter of `rows` x `columns` in all its roles, `steps` steps of Adam after the seed's start.
void AddParameter(State& state, const std::string& name, uint64_t rows, uint64_t columns,
                  double steps) {
  const size_t count = rows * columns;
  Random start(std::hash<std::string>()(name)), later(start);
  std::vector<uint16_t> weight(count);
  std::vector<float> master(count), exp_avg(count), exp_avg_sq(count);
  constexpr double kRate = 2e-4;
  for (size_t i = 0; i < count; ++i) {
    const float scale = 1e-4f * (1 + static_cast<float>(i / columns % 7));
    const float first = 0.02f * start.Normal(), update = 0.3f * start.Normal();
    const float drift = 0.1f * start.Normal() * static_cast<float>(std::sqrt(steps));
    master[i] =
        first + static_cast<float>(kRate * steps) * update + static_cast<float>(kRate) * drift;
    const float noise = std::exp(0.3f * start.Normal());
    exp_avg_sq[i] = scale * scale * noise * (1 + 0.01f * static_cast<float>(steps));
    exp_avg[i] = std::sqrt(exp_avg_sq[i]) * (update + drift);
    weight[i] = ToBF16(master[i]);
  }
  const std::vector<uint64_t> shape{rows, columns};
  Add(state, "model." + name, DType::kBF16, shape, Role::kWeight, name, weight);
  Add(state, "master." + name, DType::kF32, shape, Role::kMaster, name, master);
  Add(state, "exp_avg." + name, DType::kF32, shape, Role::kExpAvg, name, exp_avg);
  Add(state, "exp_avg_sq." + name, DType::kF32, shape, Role::kExpAvgSq, name, exp_avg_sq);
}

// Two layers of width 768: 14 M parameters, 198 MB.
State MakeState(double steps) {
  constexpr uint64_t kWidth = 768;
  State state;
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    AddParameter(state, prefix + "qkv", 3 * kWidth, kWidth, steps);
    AddParameter(state, prefix + "out", kWidth, kWidth, steps);
    AddParameter(state, prefix + "up", 4 * kWidth, kWidth, steps);
    AddParameter(state, prefix + "down", kWidth, 4 * kWidth, steps);
    AddParameter(state, prefix + "norm", 1, kWidth, steps);
  }
  return state;
}

State Load(const char* path) {
  State state;
  const auto file = SafetensorsFile::Open(path);
  if (!file) {
    fmt::print(stderr, "{}\n", file.error().message);
    std::exit(1);
  }
  for (const TensorView& view : file->tensors()) {
    state.infos.push_back(view.info);
    state.buffers.emplace_back(view.bytes.begin(), view.bytes.end());
  }
  return state;
}

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

template <class T>
T Must(Result<T> result) {
  if (result) return std::move(result).value();
  fmt::print(stderr, "{}\n", result.error().message);
  std::exit(1);
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
    if (c.delta) Save(store, 1, base_, c);
    Times copying, saving, restoring;
    SaveReport report;
    for (int i = 0; i < kRepetitions; ++i) {
      Time(copying, [&] { Copy(); });
      Time(saving, [&] { report = Save(store, 2, current_, c); });
      Time(restoring, [&] { Restore(store, c); });
    }
    const bool exact = c.profile == Profile::kExact;
    if (exact && out_.buffers != current_.buffers) fmt::print("restored other bytes!\n");
    const double ratio = static_cast<double>(report.raw_bytes) /
                         static_cast<double>(std::max<uint64_t>(report.stored_bytes, 1));
    fmt::print("{:<28} {:>7.3f} {:>9.3f} {:>7.3f} {:>9.3f} {:>7.3f}\n", NameOf(c),
               copying.wall / saving.wall, copying.processor / saving.processor,
               copying.wall / restoring.wall, copying.processor / restoring.processor, ratio);
    std::fflush(stdout);
  }

 private:
  static SaveReport Save(Store& store, uint64_t step, const State& state, const Case& c) {
    SaveOptions options{
        .step = step, .profile = c.profile, .threads = c.threads, .overwrite = true};
    const bool leans = step != 1 && c.delta;
    options.base.kind = leans ? BaseChoice::Kind::kStep : BaseChoice::Kind::kNone;
    options.base.step = 1;
    return Must(store.Save(state.views(), options));
  }

  void Copy() {
    for (size_t i = 0; i < current_.buffers.size(); ++i) {
      std::memcpy(out_.buffers[i].data(), current_.buffers[i].data(), out_.buffers[i].size());
    }
  }

  void Restore(const Store& store, const Case& c) {
    const Snapshot snapshot = Must(store.OpenStep(2));
    std::vector<ReadRequest> requests;
    for (size_t i = 0; i < out_.buffers.size(); ++i) {
      requests.push_back({*snapshot.Find(out_.infos[i].name), 0, out_.buffers[i]});
    }
    if (const auto read = snapshot.Read(requests, c.threads); !read) {
      fmt::print(stderr, "{}\n", read.error().message);
      std::exit(1);
    }
  }

  State base_, current_, out_;
  fs::path folder_;
};

}  // namespace
}  // namespace bitsnap

int main(int argc, char** argv) {
  using namespace bitsnap;
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
    fmt::print("of memcpy:                   save by wall, processor; restore; size ratio\n");
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
