#include "store/snapshot.h"

#include <unordered_map>

#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/decode.h"

namespace bitsnap {

struct Snapshot::Impl {
  RankFile files;
  std::vector<StoredTensor> tensors;
  std::unordered_map<std::string_view, size_t> by_name;  // views into files' index

  SnapshotSource source() const { return {&files.file, files.base ? &*files.base : nullptr}; }
};

namespace {

StoredTensor ToStoredTensor(const SnapshotReader& file, const TensorRecord& record) {
  StoredTensor tensor;
  tensor.info = record.info;
  tensor.codec = CodecNames(file, record);
  tensor.raw_bytes = RawBytes(record);
  for (const BlockRecord& block : record.blocks) tensor.stored_bytes += block.coded_bytes;
  tensor.error = record.error;
  tensor.why = record.why;
  return tensor;
}

}  // namespace

Snapshot::Snapshot(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Snapshot::Snapshot(Snapshot&&) noexcept = default;
Snapshot& Snapshot::operator=(Snapshot&&) noexcept = default;
Snapshot::~Snapshot() = default;

uint64_t Snapshot::step() const { return impl_->files.file.header().step; }
uint32_t Snapshot::rank() const { return impl_->files.file.header().rank; }
uint64_t Snapshot::save_id() const { return impl_->files.file.header().save_id; }
uint32_t Snapshot::world_size() const { return impl_->files.file.header().world_size; }

std::optional<uint64_t> Snapshot::base_step() const {
  const auto& base = impl_->files.file.index().base;
  return base ? std::optional(base->step) : std::nullopt;
}

std::string_view Snapshot::profile() const { return impl_->files.file.index().profile; }
std::string_view Snapshot::metadata() const { return impl_->files.file.index().metadata; }
const std::vector<StoredTensor>& Snapshot::tensors() const { return impl_->tensors; }

std::optional<size_t> Snapshot::Find(std::string_view name) const {
  const auto found = impl_->by_name.find(name);
  return found == impl_->by_name.end() ? std::nullopt : std::optional(found->second);
}

Result<void> Snapshot::Read(std::span<const ReadRequest> requests, unsigned threads,
                            const Progress& progress) const {
  return ReadTensors(impl_->source(), requests, ThreadCount(threads), progress);
}

Result<void> Snapshot::Verify(unsigned threads, const Progress& progress) const {
  return VerifyTensors(impl_->source(), ThreadCount(threads), progress);
}

Result<Snapshot> OpenSnapshot(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  BITSNAP_ASSIGN(RankFile files, OpenWithBase(store, step, id));
  auto impl = std::make_unique<Snapshot::Impl>(Snapshot::Impl{std::move(files), {}, {}});
  BITSNAP_TRY(CheckSource(impl->source()));
  const auto& records = impl->files.file.index().tensors;
  for (size_t i = 0; i < records.size(); ++i) {
    impl->tensors.push_back(ToStoredTensor(impl->files.file, records[i]));
    impl->by_name.emplace(records[i].info.name, i);
  }
  return Snapshot(std::move(impl));
}

}  // namespace bitsnap
