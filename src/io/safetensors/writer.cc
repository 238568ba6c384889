#include <bitsnap/safetensors.h>

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>

#include "base/try.h"
#include "io/file_system.h"
#include "io/safetensors/header_writer.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

struct TempFile {
  fs::path path;
  std::unique_ptr<WritableFile> file;
};

// Hidden, on the same file system, and free: an earlier process of this id may have died and left
// its own.
Result<TempFile> CreateTempBeside(const fs::path& target) {
  static std::atomic<uint64_t> next = 0;
  while (true) {
    const fs::path path =
        target.parent_path() /
        fmt::format(".{}.tmp-{}-{}", target.filename().string(), getpid(), next.fetch_add(1));
    auto file = PosixFileSystem().Create(path);
    if (file) return TempFile{path, *std::move(file)};
    if (file.error().kind != ErrorKind::kAlreadyExists) {
      return tl::make_unexpected(std::move(file).error());
    }
  }
}

}  // namespace

struct SafetensorsWriter::Impl {
  fs::path path;
  TempFile temp;
  uint64_t missing;  // bytes still to be appended
  bool committed = false;

  ~Impl() {
    if (!committed) (void)PosixFileSystem().Remove(temp.path);
  }
};

Result<SafetensorsWriter> SafetensorsWriter::Create(
    const fs::path& path, std::span<const TensorInfo> tensors,
    const std::map<std::string, std::string>& metadata) {
  BITSNAP_ASSIGN(const EncodedHeader header, EncodeHeader(tensors, metadata));
  BITSNAP_ASSIGN(const FileType type, PosixFileSystem().Type(path));
  if (!path.has_filename() || type == FileType::kDirectory) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("cannot write {}: a directory, not a file name", path.string()));
  }
  BITSNAP_ASSIGN(TempFile temp, CreateTempBeside(path));
  auto impl = std::unique_ptr<Impl>(new Impl{path, std::move(temp), header.data_bytes});
  BITSNAP_TRY(impl->temp.file->Append(AsBytes(header.bytes)));
  return SafetensorsWriter(std::move(impl));
}

SafetensorsWriter::SafetensorsWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter& SafetensorsWriter::operator=(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter::~SafetensorsWriter() = default;

Result<void> SafetensorsWriter::Append(std::span<const std::byte> bytes) {
  if (bytes.size() > impl_->missing) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{} bytes appended to {}, whose tensors have room for {}", bytes.size(),
                            impl_->path.string(), impl_->missing));
  }
  BITSNAP_TRY(impl_->temp.file->Append(bytes));
  impl_->missing -= bytes.size();
  return {};
}

Result<void> SafetensorsWriter::Finish() {
  if (impl_->missing != 0) {
    return Fail(ErrorKind::kInvalidArgument, fmt::format("{} lacks {} bytes of its tensors",
                                                         impl_->path.string(), impl_->missing));
  }
  BITSNAP_TRY(impl_->temp.file->Sync());
  BITSNAP_TRY(impl_->temp.file->Close());
  BITSNAP_TRY(PosixFileSystem().Rename(impl_->temp.path, impl_->path));
  impl_->committed = true;
  const fs::path parent = impl_->path.parent_path();
  return PosixFileSystem().SyncDirectory(parent.empty() ? "." : parent);
}

}  // namespace bitsnap
