#include "io/memory_file.h"

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "io/read_range.h"
#include "io/system_error.h"

namespace bitsnap {
namespace {

class Writable final : public WritableFile {
 public:
  // Requires: the tree's mutex is held.
  explicit Writable(MemoryHandle handle) : handle_(std::move(handle)) {
    handle_.node->being_written = true;
  }
  ~Writable() override { SetClosed(); }

  Result<void> Append(Bytes bytes) override {
    if (closed_) return SystemFail(EBADF, "write", handle_.path);
    const std::lock_guard lock(handle_.tree->mutex);
    auto& content = handle_.node->content;
    content.insert(content.end(), bytes.begin(), bytes.end());
    return {};
  }

  Result<void> Sync() override {
    if (closed_) return SystemFail(EBADF, "sync", handle_.path);
    const std::lock_guard lock(handle_.tree->mutex);
    handle_.node->durable_size = handle_.node->content.size();
    return {};
  }

  Result<void> Close() override {
    if (closed_) return SystemFail(EBADF, "close", handle_.path);
    SetClosed();
    return {};
  }

 private:
  void SetClosed() {
    closed_ = true;
    const std::lock_guard lock(handle_.tree->mutex);
    handle_.node->being_written = false;
  }

  MemoryHandle handle_;
  bool closed_ = false;
};

class Readable final : public ReadableFile {
 public:
  explicit Readable(MemoryHandle handle)
      : handle_(std::move(handle)), size_(handle_.node->content.size()) {}

  uint64_t size() const override { return size_; }
  const std::filesystem::path& path() const override { return handle_.path; }

  Result<void> Read(uint64_t offset, MutableBytes out) const override {
    const std::shared_lock lock(handle_.tree->mutex);
    const auto& content = handle_.node->content;
    // A power cut may have shortened it.
    const uint64_t end = std::min<uint64_t>(size_, content.size());
    if (!RangeInFile(offset, out.size(), end)) {
      return ReadPastEnd(handle_.path, offset, out.size(), end);
    }
    std::copy_n(content.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }

 private:
  MemoryHandle handle_;
  uint64_t size_;
};

}  // namespace

std::unique_ptr<WritableFile> MakeMemoryWritable(MemoryHandle handle) {
  return std::make_unique<Writable>(std::move(handle));
}

std::unique_ptr<ReadableFile> MakeMemoryReadable(MemoryHandle handle) {
  return std::make_unique<Readable>(std::move(handle));
}

}  // namespace bitsnap
