#include "io/fault.h"

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> Injected(ErrorKind kind, std::string_view operation, const fs::path& path) {
  return Fail(kind, fmt::format("cannot {} {}: injected fault", operation, path.string()));
}

}  // namespace

class FaultFileSystem::Writable final : public WritableFile {
 public:
  Writable(FaultFileSystem* owner, std::unique_ptr<WritableFile> base, fs::path path)
      : owner_(owner), base_(std::move(base)), path_(std::move(path)) {}

  Result<void> Append(Bytes bytes) override {
    const std::optional<Fault> fault = owner_->Count();
    if (!fault) return base_->Append(bytes);
    if (fault->short_write) BITSNAP_TRY(base_->Append(bytes.first(bytes.size() / 2)));
    return Injected(fault->kind, "write", path_);
  }

  Result<void> Sync() override {
    BITSNAP_TRY(owner_->Step("sync", path_));
    return base_->Sync();
  }

  Result<void> Close() override {
    BITSNAP_TRY(owner_->Step("close", path_));
    return base_->Close();
  }

 private:
  FaultFileSystem* const owner_;
  const std::unique_ptr<WritableFile> base_;
  const fs::path path_;
};

class FaultFileSystem::Readable final : public ReadableFile {
 public:
  Readable(FaultFileSystem* owner, std::unique_ptr<ReadableFile> base)
      : owner_(owner), base_(std::move(base)) {}

  uint64_t size() const override { return base_->size(); }
  const fs::path& path() const override { return base_->path(); }

  Result<void> Read(uint64_t offset, MutableBytes out) const override {
    BITSNAP_TRY(owner_->Step("read", path()));
    return base_->Read(offset, out);
  }

 private:
  FaultFileSystem* const owner_;
  const std::unique_ptr<ReadableFile> base_;
};

void FaultFileSystem::Set(std::optional<Fault> fault) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  operations_ = 0;
}

uint64_t FaultFileSystem::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

std::optional<Fault> FaultFileSystem::Count() {
  const std::lock_guard lock(mutex_);
  ++operations_;
  if (!fault_ || operations_ < fault_->at) return std::nullopt;
  if (operations_ > fault_->at && !fault_->lasting) return std::nullopt;
  return fault_;
}

Result<void> FaultFileSystem::Step(std::string_view operation, const fs::path& path) {
  if (const std::optional<Fault> fault = Count()) return Injected(fault->kind, operation, path);
  return {};
}

Result<std::unique_ptr<WritableFile>> FaultFileSystem::Create(const fs::path& path) {
  BITSNAP_TRY(Step("create", path));
  BITSNAP_ASSIGN(auto file, base_->Create(path));
  return std::make_unique<Writable>(this, std::move(file), path);
}

Result<std::unique_ptr<ReadableFile>> FaultFileSystem::Open(const fs::path& path) {
  BITSNAP_TRY(Step("open", path));
  BITSNAP_ASSIGN(auto file, base_->Open(path));
  return std::make_unique<Readable>(this, std::move(file));
}

Result<FileType> FaultFileSystem::Type(const fs::path& path) {
  BITSNAP_TRY(Step("look at", path));
  return base_->Type(path);
}

Result<FileStatus> FaultFileSystem::Status(const fs::path& path) {
  BITSNAP_TRY(Step("look at", path));
  return base_->Status(path);
}

Result<std::vector<std::string>> FaultFileSystem::List(const fs::path& path) {
  BITSNAP_TRY(Step("list", path));
  return base_->List(path);
}

Result<void> FaultFileSystem::CreateDirectory(const fs::path& path) {
  BITSNAP_TRY(Step("create directory", path));
  return base_->CreateDirectory(path);
}

Result<void> FaultFileSystem::Rename(const fs::path& from, const fs::path& to) {
  BITSNAP_TRY(Step("rename", from));
  return base_->Rename(from, to);
}

Result<void> FaultFileSystem::RenameNoReplace(const fs::path& from, const fs::path& to) {
  BITSNAP_TRY(Step("rename", from));
  return base_->RenameNoReplace(from, to);
}

Result<void> FaultFileSystem::Link(const fs::path& from, const fs::path& to) {
  BITSNAP_TRY(Step("link", from));
  return base_->Link(from, to);
}

Result<void> FaultFileSystem::Remove(const fs::path& path) {
  BITSNAP_TRY(Step("remove", path));
  return base_->Remove(path);
}

Result<std::unique_ptr<DirectoryLock>> FaultFileSystem::LockDirectory(const fs::path& path) {
  BITSNAP_TRY(Step("lock", path));
  return base_->LockDirectory(path);
}

Result<bool> FaultFileSystem::IsBeingWritten(const fs::path& path) {
  BITSNAP_TRY(Step("look at", path));
  return base_->IsBeingWritten(path);
}

Result<void> FaultFileSystem::SyncDirectory(const fs::path& path) {
  BITSNAP_TRY(Step("sync directory", path));
  return base_->SyncDirectory(path);
}

}  // namespace bitsnap
