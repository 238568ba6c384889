// A snapshot file in memory that is there already: what saving and restoring cost without a disk.
#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <bitsnap/store.h>

#include "bench/training_state.h"
#include "io/memory.h"
#include "pipeline/decode.h"
#include "pipeline/encode.h"
#include "snapshot/writer.h"
#include "store/save_input.h"
#include "store/save_plan.h"

namespace bitsnap::bench {

template <class T>
T Must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

class MemorySnapshot {
 public:
  void SaveBase(std::span<const TensorView> tensors, const SaveOptions& options) {
    Must(Must(Store::OpenOrCreate(location_.directory, &file_system_)).Save(tensors, options));
    base_.emplace(Must(OpenRankFile(location_, options.step, {})));
  }

  // As Store::Save does it, but for the commit.
  void Encode(std::span<const TensorView> tensors, const SaveOptions& options) {
    Must(CheckSaveInput(tensors, options));
    const SavePlan plan = Must(PlanSave(location_, options, tensors));
    content_.clear();
    Writable file(&content_);
    SnapshotWriter writer = Must(SnapshotWriter::Start(&file, {.step = options.step}));
    SnapshotIndex index =
        Must(EncodeUnits(*plan.input, plan.reader(), options.threads, options.progress, writer));
    if (plan.base) index.base = BaseReference{plan.base_step, plan.base->index_hash()};
    Must(writer.Finish(index));
  }

  void Decode(std::span<const ReadRequest> requests, unsigned threads) const {
    const SnapshotReader file = Must(SnapshotReader::Open(std::make_unique<Readable>(content_)));
    const SnapshotSource source{&file, file.index().base ? &*base_ : nullptr};
    Must(CheckSource(source));
    Must(ReadTensors(source, requests, threads, {}));
  }

  size_t bytes() const { return content_.size(); }

 private:
  class Writable final : public WritableFile {
   public:
    explicit Writable(Buffer* content) : content_(content) {}
    Result<void> Append(Bytes bytes) override {
      content_->insert(content_->end(), bytes.begin(), bytes.end());
      return {};
    }
    Result<void> Sync() override { return {}; }
    Result<void> Close() override { return {}; }

   private:
    Buffer* content_;  // not owned
  };

  class Readable final : public ReadableFile {
   public:
    explicit Readable(Bytes content) : content_(content) {}
    uint64_t size() const override { return content_.size(); }
    const std::filesystem::path& path() const override { return path_; }
    Result<void> Read(uint64_t offset, MutableBytes out) const override {
      std::memcpy(out.data(), content_.data() + offset, out.size());
      return {};
    }

   private:
    Bytes content_;
    std::filesystem::path path_ = "memory";
  };

  MemoryFileSystem file_system_;
  const StoreLocation location_{"/store", &file_system_};
  std::optional<SnapshotReader> base_;
  Buffer content_;  // of the snapshot; keeps its room from one Encode to the next
};

}  // namespace bitsnap::bench
