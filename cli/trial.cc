#include "cli/trial.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <set>

namespace bitsnap::cli {

namespace {

constexpr int kMostRuns = 3;
constexpr size_t kMemcpyBytes = size_t{256} << 20;  // far more than caches hold
constexpr double kEnoughSeconds = 0.5;              // of all runs together

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The shortest of a few runs of `work`, which returns Result<void>.
Result<double> BestSeconds(auto&& work) {
  double best = std::numeric_limits<double>::infinity();
  double all = 0;
  for (int run = 0; run < kMostRuns && all < kEnoughSeconds; ++run) {
    const auto start = std::chrono::steady_clock::now();
    const Result<void> done = work();
    const double seconds = SecondsSince(start);
    if (!done) return tl::make_unexpected(done.error());
    best = std::min(best, seconds);
    all += seconds;
  }
  return best;
}

double MemcpyRate() {
  const std::vector<std::byte> from(kMemcpyBytes, std::byte{1});
  std::vector<std::byte> to(kMemcpyBytes);
  const Result<double> seconds = BestSeconds([&]() -> Result<void> {
    std::memcpy(to.data(), from.data(), kMemcpyBytes);
    // Keeps the compiler from leaving the copy out.
    asm volatile("" : : "r"(to.data()) : "memory");
    return {};
  });
  return kMemcpyBytes / *seconds;
}

// Roles whose coding may lean on each other, so that only together they are timed as they are
// saved: masters on weights, Adam's states on one another.
std::vector<Role> CodedWith(Role role) {
  switch (role) {
    case Role::kMaster:
      return {Role::kWeight, Role::kMaster};
    case Role::kExpAvg:
    case Role::kExpAvgSq:
      return {Role::kExpAvg, Role::kExpAvgSq};
    default:
      return {role};
  }
}

uint64_t RawBytes(std::span<const TensorView> tensors) {
  uint64_t bytes = 0;
  for (const TensorView& tensor : tensors) bytes += tensor.bytes.size();
  return bytes;
}

class Runner {
 public:
  Runner(Store& store, std::span<const TensorView> tensors, const TrialOptions& options)
      : store_(store), tensors_(tensors), options_(options), buffer_(RawBytes(tensors)) {}

  Result<Trial> Run() {
    ReadInputOnce();
    Trial trial;
    trial.memcpy_rate = MemcpyRate();
    const Result<void> timed = TimeParts(trial);
    if (!timed) return tl::make_unexpected(timed.error());
    const Result<SaveReport> report = Time(options_.step, tensors_, &trial.speed);
    if (!report) return tl::make_unexpected(report.error());
    trial.whole = {report->raw_bytes, report->stored_bytes};
    for (const auto& [role, bytes] : report->roles) trial.roles[role].bytes = bytes;
    for (const auto& [role, loss] : MeasureLoss(tensors_, restored_)) trial.roles[role].loss = loss;
    for (auto& [role, part] : trial.roles) part.codecs = Codecs(role);
    return trial;
  }

 private:
  // A mapped file comes from the disk when it is touched first: not in a time that is measured.
  void ReadInputOnce() {
    auto at = buffer_.begin();
    for (const TensorView& tensor : tensors_) {
      at = std::copy(tensor.bytes.begin(), tensor.bytes.end(), at);
    }
  }

  Result<void> TimeParts(Trial& trial) {
    std::set<Role> present;
    for (const TensorView& tensor : tensors_) present.insert(*tensor.info.role);
    std::map<std::vector<Role>, Speed> timed;
    for (const Role role : present) {
      std::vector<Role> together = CodedWith(role);
      std::erase_if(together, [&](Role other) { return !present.contains(other); });
      if (!timed.contains(together)) {
        std::vector<TensorView> part;
        std::copy_if(tensors_.begin(), tensors_.end(), std::back_inserter(part),
                     [&](const TensorView& tensor) {
                       return std::count(together.begin(), together.end(), *tensor.info.role) > 0;
                     });
        const Result<SaveReport> report = Time(options_.step + 1, part, &timed[together]);
        if (!report) return tl::make_unexpected(report.error());
        timed[together].together = together;
      }
      trial.roles[role].speed = timed[together];
    }
    return {};
  }

  // Saves and reads back; what was read stays in restored_, how it is stored in stored_.
  Result<SaveReport> Time(uint64_t step, std::span<const TensorView> tensors, Speed* speed) {
    SaveOptions save{.step = step,
                     .profile = options_.profile,
                     .base = {BaseChoice::Kind::kNone, 0},
                     .threads = options_.threads,
                     .overwrite = true,
                     .metadata = {},
                     .progress = options_.progress};
    if (options_.base_step) save.base = {BaseChoice::Kind::kStep, *options_.base_step};
    Result<SaveReport> report;
    const Result<double> encoding = BestSeconds([&]() -> Result<void> {
      report = store_.Save(tensors, save);
      if (!report) return tl::make_unexpected(report.error());
      return {};
    });
    if (!encoding) return tl::make_unexpected(encoding.error());
    const Result<Snapshot> snapshot = store_.OpenStep(step);
    if (!snapshot) return tl::make_unexpected(snapshot.error());
    const std::vector<ReadRequest> requests = Requests(*snapshot, tensors);
    const Result<double> decoding =
        BestSeconds([&] { return snapshot->Read(requests, options_.threads, options_.progress); });
    if (!decoding) return tl::make_unexpected(decoding.error());
    *speed = {{}, RawBytes(tensors), *encoding, *decoding};
    stored_ = snapshot->tensors();
    return report;
  }

  std::vector<ReadRequest> Requests(const Snapshot& snapshot, std::span<const TensorView> tensors) {
    std::vector<ReadRequest> requests;
    restored_.clear();
    size_t at = 0;
    for (const TensorView& tensor : tensors) {
      const auto out = std::span(buffer_).subspan(at, tensor.bytes.size());
      requests.push_back({*snapshot.Find(tensor.info.name), 0, out});
      restored_.push_back(out);
      at += out.size();
    }
    return requests;
  }

  std::string Codecs(Role role) const {
    std::map<std::string, uint64_t> bytes;
    for (const StoredTensor& tensor : stored_) {
      if (tensor.info.role == role) bytes[tensor.codec] += tensor.raw_bytes;
    }
    std::vector<std::pair<std::string, uint64_t>> sorted(bytes.begin(), bytes.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    std::string names;
    for (const auto& [codec, raw] : sorted) names += (names.empty() ? "" : ", ") + codec;
    return names;
  }

  Store& store_;
  const std::span<const TensorView> tensors_;
  const TrialOptions& options_;
  std::vector<std::byte> buffer_;
  std::vector<std::span<const std::byte>> restored_;
  std::vector<StoredTensor> stored_;
};

}  // namespace

Result<Trial> RunTrial(Store& store, std::span<const TensorView> tensors,
                       const TrialOptions& options) {
  return Runner(store, tensors, options).Run();
}

}  // namespace bitsnap::cli
