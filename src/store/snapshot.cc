#include "store/snapshot.h"

#include "base/parallel.h"
#include "base/try.h"
#include "base/within_memory.h"
#include "pipeline/decode.h"

namespace bitsnap {
namespace {

class FileSnapshot final : public Snapshot::Impl {
 public:
  explicit FileSnapshot(RankFile files) : files_(std::move(files)) {
    const SnapshotHeader& header = files_.file.header();
    const SnapshotIndex& index = files_.file.index();
    step = header.step;
    rank = header.rank;
    world_size = header.world_size;
    save_id = header.save_id;
    if (index.base) base_step = index.base->step;
    profile = index.profile;
    metadata = index.metadata;
    lineage = index.lineage;
  }

  SnapshotSource source() const { return {&files_.file, files_.base ? &*files_.base : nullptr}; }

  // Requires: CheckSource passed.
  void AddTensors() {
    for (const TensorRecord& record : files_.file.index().tensors) {
      StoredTensor tensor;
      tensor.info = record.info;
      tensor.codec = CodecNames(files_.file, record);
      tensor.raw_bytes = RawBytes(record);
      tensor.stored_bytes = CodedBytes(record);
      tensor.error = record.error;
      tensor.why = record.why;
      Add(std::move(tensor));
    }
  }

  Result<void> Read(std::span<const ReadRequest> requests, unsigned threads,
                    const Progress& progress) const override {
    return ReadTensors(source(), requests, ThreadCount(threads), progress);
  }

  Result<void> Verify(unsigned threads, const Progress& progress) const override {
    return VerifyTensors(source(), ThreadCount(threads), progress);
  }

 private:
  RankFile files_;
};

}  // namespace

void Snapshot::Impl::Add(StoredTensor tensor) {
  by_name.emplace(tensor.info.name, tensors.size());
  tensors.push_back(std::move(tensor));
}

Snapshot::Snapshot(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Snapshot::Snapshot(Snapshot&&) noexcept = default;
Snapshot& Snapshot::operator=(Snapshot&&) noexcept = default;
Snapshot::~Snapshot() = default;

uint64_t Snapshot::step() const { return impl_->step; }
uint32_t Snapshot::rank() const { return impl_->rank; }
uint32_t Snapshot::world_size() const { return impl_->world_size; }
uint64_t Snapshot::save_id() const { return impl_->save_id; }
std::optional<uint64_t> Snapshot::base_step() const { return impl_->base_step; }
std::string_view Snapshot::profile() const { return impl_->profile; }
std::string_view Snapshot::metadata() const { return impl_->metadata; }
const Lineage& Snapshot::lineage() const { return impl_->lineage; }
const std::vector<StoredTensor>& Snapshot::tensors() const { return impl_->tensors; }

std::optional<size_t> Snapshot::Find(std::string_view name) const {
  const auto found = impl_->by_name.find(std::string(name));
  return found == impl_->by_name.end() ? std::nullopt : std::optional(found->second);
}

Result<void> Snapshot::Read(std::span<const ReadRequest> requests, unsigned threads,
                            const Progress& progress) const {
  return WithinMemory("read the tensors", [&] { return impl_->Read(requests, threads, progress); });
}

Result<void> Snapshot::Verify(unsigned threads, const Progress& progress) const {
  return WithinMemory("verify the tensors", [&] { return impl_->Verify(threads, progress); });
}

Result<Snapshot> OpenSnapshot(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  BITSNAP_ASSIGN(RankFile files, OpenWithBase(store, step, id));
  const std::string path = files.file.path().string();
  return WithinMemory("list the tensors of " + path, [&]() -> Result<Snapshot> {
    auto impl = std::make_unique<FileSnapshot>(std::move(files));
    BITSNAP_TRY(CheckSource(impl->source()));
    impl->AddTensors();
    return Snapshot(std::move(impl));
  });
}

}  // namespace bitsnap
