#include "cli/piece_reader.h"

#include <algorithm>
#include <utility>

namespace bitsnap::cli {

namespace {

constexpr uint64_t kBufferBytes = uint64_t{64} << 20;

}  // namespace

PieceReader::PieceReader(const Snapshot& snapshot, unsigned threads, uint64_t total,
                         ProgressBar& bar, Sink sink)
    : snapshot_(snapshot),
      threads_(threads),
      total_(total),
      bar_(bar),
      sink_(std::move(sink)),
      buffer_(std::min(total, kBufferBytes)) {}

Result<void> PieceReader::Add(size_t tensor) {
  const uint64_t bytes = snapshot_.tensors()[tensor].raw_bytes;
  for (uint64_t offset = 0; offset < bytes;) {
    const size_t size = std::min<uint64_t>(bytes - offset, buffer_.size() - used_);
    requests_.push_back({tensor, offset, std::span(buffer_).subspan(used_, size)});
    used_ += size;
    offset += size;
    if (used_ < buffer_.size()) continue;
    const Result<void> flushed = Flush();
    if (!flushed) return flushed;
  }
  return {};
}

Result<void> PieceReader::Flush() {
  const auto progress = [this](uint64_t done, uint64_t) {
    return bar_.Update(passed_on_ + done, total_);
  };
  if (!progress(0, 0)) return Fail(ErrorKind::kCancelled, "stopped before all was read");
  const Result<void> read = snapshot_.Read(requests_, threads_, progress);
  if (!read) return read;
  const Result<void> taken = sink_(std::span(buffer_).first(used_));
  if (!taken) return taken;
  passed_on_ += used_;
  used_ = 0;
  requests_.clear();
  return {};
}

}  // namespace bitsnap::cli
