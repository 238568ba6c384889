#include <bitsnap/safetensors.h>

#include <fmt/format.h>

#include "base/try.h"
#include "io/safetensors/header_writer.h"
#include "io/safetensors/output.h"

namespace bitsnap {

namespace fs = std::filesystem;

struct SafetensorsWriter::Impl {
  fs::path path;
  std::unique_ptr<Output> output;
  uint64_t missing;  // bytes still to be appended
};

Result<SafetensorsWriter> SafetensorsWriter::Create(
    const fs::path& path, std::span<const TensorInfo> tensors,
    const std::map<std::string, std::string>& metadata, bool replace) {
  BITSNAP_ASSIGN(const EncodedHeader header, EncodeHeader(tensors, metadata));
  const uint64_t bytes = header.bytes.size() + header.data_bytes;
  BITSNAP_ASSIGN(auto output, Output::Open(path, replace, bytes));
  auto impl = std::unique_ptr<Impl>(new Impl{path, std::move(output), header.data_bytes});
  BITSNAP_TRY(impl->output->Append(AsBytes(header.bytes)));
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
  BITSNAP_TRY(impl_->output->Append(bytes));
  impl_->missing -= bytes.size();
  return {};
}

Result<void> SafetensorsWriter::Finish() {
  if (impl_->missing != 0) {
    return Fail(ErrorKind::kInvalidArgument, fmt::format("{} lacks {} bytes of its tensors",
                                                         impl_->path.string(), impl_->missing));
  }
  return impl_->output->Commit();
}

}  // namespace bitsnap
