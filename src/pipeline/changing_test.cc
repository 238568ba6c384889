// Tensors whose memory changes while they are coded. Their owner breaks its word; coding ends all
// the same, and what it wrote decodes to what its checksums say.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "io/memory.h"
#include "pipeline/decode.h"
#include "pipeline/encode.h"
#include "pipeline/sample.h"
#include "snapshot/writer.h"

namespace bitsnap {
namespace {

constexpr size_t kBytes = 4 * kBlockBytes;
constexpr int kRounds = 8;

// Bytes that other processes share.
class SharedBytes {
 public:
  explicit SharedBytes(const std::vector<std::byte>& bytes)
      : bytes_(static_cast<std::byte*>(mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE,
                                            MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
               bytes.size()) {
    std::ranges::copy(bytes, bytes_.begin());
  }
  ~SharedBytes() { munmap(bytes_.data(), bytes_.size()); }
  SharedBytes(const SharedBytes&) = delete;
  SharedBytes& operator=(const SharedBytes&) = delete;
  MutableBytes get() const { return bytes_; }

 private:
  const MutableBytes bytes_;
};

// A process that flips bytes all over a buffer for as long as this lives.
class Flipper {
 public:
  explicit Flipper(MutableBytes bytes) : child_(fork()) {
    if (child_ == 0) Flip(bytes);
  }
  ~Flipper() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  Flipper(const Flipper&) = delete;
  Flipper& operator=(const Flipper&) = delete;

 private:
  [[noreturn]] static void Flip(MutableBytes bytes) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // should the test crash
    volatile std::byte* at = bytes.data();
    for (uint32_t i = 0;; i = i * 1664525 + 1013904223) {
      // The ends of blocks most of all, where a count that has grown leads out of the room.
      const size_t place = (i >> 3) % bytes.size() | (i & 4 ? kBlockBytes - 16 : 0);
      at[place] = at[place] ^ static_cast<std::byte>(i >> 24);
    }
  }

  const pid_t child_;
};

// Words near one value, as all codecs like them.
std::vector<std::byte> SomeBytes(DType dtype, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(kBytes);
  for (size_t i = 0; i < kBytes; i += 2) {
    const bool top = dtype == DType::kBF16 || i % 4 == 2;
    const auto word = static_cast<uint16_t>(top ? 0x3c00 + random() % 64 : random());
    std::memcpy(&bytes[i], &word, sizeof(word));
  }
  return bytes;
}

TensorView View(const char* name, DType dtype, Role role, Bytes bytes) {
  return {{.name = name,
           .dtype = dtype,
           .shape = {bytes.size() / WordBytes(dtype)},
           .role = role,
           .group = "w"},
          bytes};
}

class ChangingTest : public testing::Test {
 protected:
  SnapshotReader Write(std::span<const EncodeTask> tasks, const SnapshotReader* base) {
    EXPECT_TRUE(SampleTasks(tasks, base, 1));
    const std::string path = "/" + std::to_string(files_++);
    auto file = *fs_.Create(path);
    auto writer = *SnapshotWriter::Start(file.get(), {});
    auto records = EncodeTensors(tasks, base, 1, {}, writer);
    EXPECT_TRUE(records) << records.error().message;
    SnapshotIndex index{.block_bytes = kBlockBytes, .profile = "exact", .tensors = *records};
    if (base != nullptr) index.base = BaseReference{1, base->index_hash()};
    EXPECT_TRUE(writer.Finish(index));
    return *SnapshotReader::Open(*fs_.Open(path));
  }

  // Codes the tasks again and again while `changing` does, and decodes what came of it.
  void CodeWhileChanging(std::span<const EncodeTask> tasks, MutableBytes changing,
                         const SnapshotReader* base = nullptr) {
    const Flipper flipper(changing);
    for (int round = 0; round < kRounds; ++round) {
      const SnapshotReader file = Write(tasks, base);
      const auto sound = VerifyTensors({&file, base}, 1, {});
      EXPECT_TRUE(sound) << sound.error().message;
    }
  }

  MemoryFileSystem fs_;
  int files_ = 0;
};

TEST_F(ChangingTest, EveryCodecOfOneTensorEnds) {
  for (const Codec* codec : AllCodecs()) {
    if (codec->parts() > 1 || codec->needs_peer()) continue;
    for (DType dtype : {DType::kBF16, DType::kF32}) {
      if (!codec->Supports(dtype)) continue;
      SCOPED_TRACE(codec->name());
      const SharedBytes bytes(SomeBytes(dtype, 1));
      const TensorView view = View("w", dtype, Role::kWeight, bytes.get());
      std::vector<EncodeTask> tasks(1);
      tasks[0].tensor = &view;
      const SnapshotReader base = Write(tasks, nullptr);
      if (codec->id() != CodecId::kRaw) tasks[0].plan.codecs = {codec->id()};
      if (codec->base_form() != BaseForm::kNone) tasks[0].base_tensor = 0;
      CodeWhileChanging(tasks, bytes.get(), tasks[0].base_tensor ? &base : nullptr);
    }
  }
}

TEST_F(ChangingTest, APeerThatChangesAfterItsOwnBlocksEnds) {
  const Codec& residual = GetCodec(CodecId::kResidual);
  const SharedBytes masters(SomeBytes(DType::kF32, 1));
  const SharedBytes weights(std::vector<std::byte>(kBytes / 2));
  for (size_t i = 0; i < kBytes; i += 4) {
    std::memcpy(&weights.get()[i / 2], &masters.get()[i + 2], 2);
  }
  const TensorView weight = View("w", DType::kBF16, Role::kWeight, weights.get());
  const TensorView master = View("m", DType::kF32, Role::kMaster, masters.get());
  std::vector<EncodeTask> tasks(2);
  tasks[0].tensor = &weight;
  tasks[1].tensor = &master;
  tasks[1].peer = 0;
  tasks[1].plan.codecs = {CodecId::kResidual};
  tasks[1].params = residual.Prepare({.dtype = DType::kF32, .first = masters.get()})->params;
  CodeWhileChanging(tasks, masters.get());
  // The weight that is stored and the one that its master leaned on may be two: coding ends, and a
  // reader finds out by the checksum.
  const Flipper flipper(weights.get());
  for (int round = 0; round < kRounds; ++round) Write(tasks, nullptr);
}

TEST_F(ChangingTest, APairThatChangesFromItsFirstLookOnEnds) {
  const SharedBytes first(SomeBytes(DType::kF32, 3)), second(SomeBytes(DType::kF32, 4));
  const TensorView v = View("v", DType::kF32, Role::kExpAvgSq, first.get());
  const TensorView m = View("m", DType::kF32, Role::kExpAvg, second.get());
  std::vector<EncodeTask> tasks(2);
  tasks[0].tensor = &v;
  tasks[1].tensor = &m;
  for (MutableBytes changing : {first.get(), second.get()}) {
    const Flipper flipper(changing);
    TensorContext context{.dtype = DType::kF32, .first = v.bytes, .second = m.bytes};
    context.row_words = 1024;
    context.accepted = {.update_error = 0.35};
    for (int round = 0; round < kRounds; ++round) {
      const auto prepared = GetCodec(CodecId::kAdam).Prepare(context);
      if (!prepared) continue;
      tasks[0].second = 1;
      tasks[1].first = 0;
      tasks[0].params = prepared->params;
      tasks[0].advice = prepared->advice;
      tasks[0].plan.codecs = tasks[1].plan.codecs = {CodecId::kAdam};
      const SnapshotReader file = Write(tasks, nullptr);
      const auto sound = VerifyTensors({&file, nullptr}, 1, {});
      EXPECT_TRUE(sound) << sound.error().message;
    }
  }
}

}  // namespace
}  // namespace bitsnap
