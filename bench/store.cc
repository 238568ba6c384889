// End to end: one bf16 tensor into a store on a RAM disk and back, by profile, changed fraction and
// threads, beside what writing the plain bytes there takes.
//
// The RAM disk is the folder in BITSNAP_BENCH_DIR, else /dev/shm.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include <bitsnap/store.h>

#include "bench/harness.h"

namespace bitsnap {
namespace {

using namespace bench;
namespace fs = std::filesystem;

// An empty folder on the RAM disk, gone at exit.
class Folder {
 public:
  static const fs::path& Path() {
    static const Folder folder;
    return folder.path_;
  }
  ~Folder() { fs::remove_all(path_); }

 private:
  Folder() {
    const char* disk = std::getenv("BITSNAP_BENCH_DIR");
    path_ =
        fs::path(disk != nullptr ? disk : "/dev/shm") / fmt::format("bitsnap-bench-{}", getpid());
    fs::create_directories(path_);
  }
  fs::path path_;
};

struct Case {
  Profile profile;
  double fraction;  // of changed words; below 0: without a base
  unsigned threads;
  bool has_base() const { return fraction >= 0; }
};

SaveReport SaveStep(Store& store, uint64_t step, const Buffer& tensor, const Case& c) {
  const TensorView view{{"model.w", DType::kBF16, {tensor.size() / 2}}, tensor};
  SaveOptions options{.step = step, .profile = c.profile, .threads = c.threads, .overwrite = true};
  options.base.kind = step == 1 ? BaseChoice::Kind::kNone : BaseChoice::Kind::kStep;
  options.base.step = 1;
  auto report = store.Save({&view, 1}, options);
  if (!report) {
    fmt::print(stderr, "{}\n", report.error().message);
    std::exit(1);
  }
  return *report;
}

// A store that holds the base as step 1 where the case has one.
Store Prepare(const Case& c) {
  fs::remove_all(Folder::Path() / "store");
  Store store = *Store::OpenOrCreate(Folder::Path() / "store");
  Tensors::Get().Prepare(DType::kBF16, std::max(c.fraction, 0.0));
  if (c.has_base()) SaveStep(store, 1, Tensors::Get().base, c);
  return store;
}

uint64_t StepOf(const Case& c) { return c.has_base() ? 2 : 1; }

void BenchSave(benchmark::State& state, Case c) {
  Store store = Prepare(c);
  Measure(state,
          [&] { return SaveStep(store, StepOf(c), Tensors::Get().current, c).stored_bytes; });
}

void BenchRestore(benchmark::State& state, Case c) {
  Store store = Prepare(c);
  const SaveReport report = SaveStep(store, StepOf(c), Tensors::Get().current, c);
  Buffer out(kTensorBytes);
  Measure(state, [&] {
    const auto snapshot = store.OpenStep(StepOf(c));
    const ReadRequest request{0, 0, out};
    if (!snapshot || !snapshot->Read({&request, 1}, c.threads)) state.SkipWithError("read failed");
    return report.stored_bytes;
  });
  if (out != Tensors::Get().current) state.SkipWithError("restored other bytes");
}

void BenchWrite(benchmark::State& state) {
  Tensors& tensors = Tensors::Get();
  tensors.Prepare(DType::kBF16, 0);
  const fs::path path = Folder::Path() / "plain";
  Measure(state, [&] {
    fs::remove(path);
    const int file = open(path.c_str(), O_CREAT | O_WRONLY, 0600);
    for (size_t at = 0; at < kTensorBytes;) {
      const ssize_t written = write(file, &tensors.current[at], size_t{4} << 20);
      if (written <= 0) {
        state.SkipWithError("write failed");
        break;
      }
      at += static_cast<size_t>(written);
    }
    close(file);
    return kTensorBytes;
  });
  fs::remove(path);
}

std::string NameOf(const Case& c) {
  const std::string base = c.has_base() ? fmt::format("changed:{}", c.fraction) : "alone";
  return fmt::format("{}/{}/threads:{}", ProfileName(c.profile), base, c.threads);
}

void RegisterAll() {
  Register("write", BenchWrite);
  for (Profile profile : {Profile::kFast, Profile::kExact}) {
    for (double fraction : {-1.0, 0.0, 0.01, 0.1}) {
      for (unsigned threads : {1u, 2u}) {
        const Case c{profile, fraction, threads};
        Register(NameOf(c) + "/save", BenchSave, c);
        Register(NameOf(c) + "/restore", BenchRestore, c);
      }
    }
  }
}

}  // namespace
}  // namespace bitsnap

int main(int argc, char** argv) {
  bitsnap::RegisterAll();
  return bitsnap::bench::Run(argc, argv);
}
