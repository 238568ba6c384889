// safetensors files: a complete, validating reader and a writer.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <bitsnap/result.h>
#include <bitsnap/tensor.h>

namespace bitsnap {

// A memory-mapped safetensors file, or all shards that a `*.index.json` names, which must hold the
// tensors of its weight_map and no others. The views stay valid as long as this object, also when
// it is moved. A file that another process shortens while it is mapped ends this process with
// SIGBUS, as with every memory map.
class SafetensorsFile {
 public:
  // Checks everything the format demands before it returns. kNotFound, kTruncated (the file ends
  // early), kCorrupt or kIo.
  static Result<SafetensorsFile> Open(const std::filesystem::path& path);
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
  ~SafetensorsFile();

  // In the order of their bytes, shards in the order of their names; roles absent.
  const std::vector<TensorView>& tensors() const;
  // `__metadata__`; of shards, all of theirs together, the first one's value where they differ.
  const std::map<std::string, std::string>& metadata() const;

 private:
  struct Impl;
  explicit SafetensorsFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Where a SafetensorsWriter of `path` writes: what symbolic links lead to, whether there is
// anything or not.
Result<std::filesystem::path> ResolveOutput(const std::filesystem::path& path);

// Writes a safetensors file of a known set of tensors front to back, in bounded memory. A file is
// written under a temporary name beside its own and renamed by Finish(); destroyed earlier, the
// writer leaves nothing behind. Pipes and character devices take the bytes as they come. Symbolic
// links are followed; a file that is replaced leaves its mode and owner to the new one. After a
// failure it can only be destroyed.
class SafetensorsWriter {
 public:
  // kInvalidArgument for what the format cannot hold: C128, two tensors of one name, a name that is
  // reserved or not UTF-8; for a directory, socket or block device. kAlreadyExists for a file that
  // is there, unless `replace`. The data follow without gaps, in this order: give the tensors by
  // falling element size, as the reference implementation does, where a reader needs them aligned.
  static Result<SafetensorsWriter> Create(const std::filesystem::path& path,
                                          std::span<const TensorInfo> tensors,
                                          const std::map<std::string, std::string>& metadata = {},
                                          bool replace = true);
  SafetensorsWriter(SafetensorsWriter&&) noexcept;
  SafetensorsWriter& operator=(SafetensorsWriter&&) noexcept;
  ~SafetensorsWriter();

  // The tensors' bytes, in the order given to Create, in pieces of any size.
  Result<void> Append(std::span<const std::byte> bytes);
  // kInvalidArgument when fewer bytes than announced were appended.
  Result<void> Finish();

 private:
  struct Impl;
  explicit SafetensorsWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitsnap
