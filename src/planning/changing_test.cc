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
#include "planning/sample.h"
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

EncodeInput Input(std::vector<TensorView> tensors, std::vector<Unit> units) {
  const size_t count = tensors.size();
  return {std::move(tensors), std::vector<std::optional<uint32_t>>(count), std::move(units)};
}

class ChangingTest : public testing::Test {
 protected:
  SnapshotReader Write(const EncodeInput& input, const SnapshotReader* base) {
    EXPECT_TRUE(SampleUnits(input, base, 1));
    const std::string path = "/" + std::to_string(files_++);
    auto file = *fs_.Create(path);
    auto writer = *SnapshotWriter::Start(file.get(), {});
    auto index = EncodeUnits(input, base, 1, {}, writer);
    EXPECT_TRUE(index) << index.error().message;
    if (base != nullptr) index->base = BaseReference{1, base->index_hash()};
    EXPECT_TRUE(writer.Finish(*index));
    return *SnapshotReader::Open(*fs_.Open(path));
  }

  // Codes the units again and again while `changing` does, and decodes what came of it.
  void CodeWhileChanging(const EncodeInput& input, MutableBytes changing,
                         const SnapshotReader* base = nullptr) {
    const Flipper flipper(changing);
    for (int round = 0; round < kRounds; ++round) {
      const SnapshotReader file = Write(input, base);
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
      EncodeInput input = Input({View("w", dtype, Role::kWeight, bytes.get())}, {{.tensors = {0}}});
      const SnapshotReader base = Write(input, nullptr);
      Unit& unit = input.units[0];
      if (codec->id() != CodecId::kRaw) unit.plan.codecs = {codec->id()};
      unit.plan.lossy = !codec->IsLossless({});
      if (codec->base_form() != BaseForm::kNone) unit.base_tensors = {0};
      CodeWhileChanging(input, bytes.get(), unit.base_tensors.empty() ? nullptr : &base);
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
  Unit unit{.tensors = {1}, .peer = 0};
  unit.plan.codecs = {CodecId::kResidual};
  unit.params = residual.Prepare({.parts = {{DType::kF32, masters.get()}}})->params;
  const EncodeInput input = Input({View("w", DType::kBF16, Role::kWeight, weights.get()),
                                   View("m", DType::kF32, Role::kMaster, masters.get())},
                                  {{.tensors = {0}}, unit});
  CodeWhileChanging(input, masters.get());
  // The weight that is stored and the one that its master leaned on may be two: coding ends, and a
  // reader finds out by the checksum.
  const Flipper flipper(weights.get());
  for (int round = 0; round < kRounds; ++round) Write(input, nullptr);
}

TEST_F(ChangingTest, APairThatChangesFromItsFirstLookOnEnds) {
  const SharedBytes first(SomeBytes(DType::kF32, 3)), second(SomeBytes(DType::kF32, 4));
  EncodeInput input = Input({View("v", DType::kF32, Role::kExpAvgSq, first.get()),
                             View("m", DType::kF32, Role::kExpAvg, second.get())},
                            {{.tensors = {0, 1}}});
  Unit& unit = input.units[0];
  unit.plan.codecs = {CodecId::kAdam};
  unit.plan.lossy = true;
  const UnitContext context{.parts = {{DType::kF32, first.get()}, {DType::kF32, second.get()}},
                            .row_words = 1024,
                            .accepted = {.update_error = 0.35}};
  for (MutableBytes changing : {first.get(), second.get()}) {
    const Flipper flipper(changing);
    for (int round = 0; round < kRounds; ++round) {
      const auto prepared = GetCodec(CodecId::kAdam).Prepare(context);
      if (!prepared) continue;
      unit.params = prepared->params;
      unit.advice = prepared->advice;
      const SnapshotReader file = Write(input, nullptr);
      const auto sound = VerifyTensors({&file, nullptr}, 1, {});
      EXPECT_TRUE(sound) << sound.error().message;
    }
  }
}

}  // namespace
}  // namespace bitsnap
