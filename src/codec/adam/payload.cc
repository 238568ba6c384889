#include "codec/adam/payload.h"

#include <cstring>
#include <string>

#include "base/try.h"
#include "codec/entropy/plane.h"
#include "codec/entropy/rans.h"

namespace bitsnap::adam {
namespace {

PlaneKind KindOf(Bytes symbols) {
  if (std::memcmp(symbols.data(), symbols.data() + 1, symbols.size() - 1) == 0) {
    return PlaneKind::kConstant;
  }
  return symbols.size() < rans::kMinSymbols ? PlaneKind::kRaw : PlaneKind::kHuffman;
}

bool ReadStream(ByteReader& reader, size_t elements, StreamView& view) {
  view.plan.shift = reader.Int<uint8_t>();
  view.plan.prediction.slope = reader.Int<int16_t>();
  view.plan.prediction.offset = reader.Int<int16_t>();
  if (!reader.ok() || view.plan.shift > kMaxShift) return false;
  view.planes = reader.Raw(view.plan.shift * PlaneBytes(elements));
  return reader.ok();
}

bool ReadSymbols(ByteReader& reader, MutableBytes work, std::span<uint8_t> symbols) {
  const MutableBytes bytes = std::as_writable_bytes(symbols);
  const std::byte* plane = ReadPlane(reader, bytes, work);
  if (!reader.ok() || plane == nullptr) return false;
  if (plane != bytes.data()) std::memcpy(bytes.data(), plane, bytes.size());
  return true;
}

}  // namespace

void PayloadWriter::Plan(const adam::Plan& plan) {
  out_[size_++] = static_cast<std::byte>(plan.shift);
  Copy(std::as_bytes(std::span(&plan.prediction, 1)));
}

void PayloadWriter::Symbols(std::span<const uint8_t> symbols) {
  PlaneWriter writer(out_.subspan(size_));
  writer.Write(KindOf(std::as_bytes(symbols)), std::as_bytes(symbols));
  size_ += writer.size();
}

MutableBytes PayloadWriter::Reserve(size_t bytes) {
  size_ += bytes;
  return out_.subspan(size_ - bytes, bytes);
}

Result<Streams> ReadStreams(ByteReader& reader, MutableBytes work, std::span<uint8_t> symbols) {
  Streams streams;
  if (!ReadStream(reader, symbols.size(), streams.v)) {
    return CorruptBlock("has a malformed stream of v");
  }
  if (!ReadStream(reader, symbols.size(), streams.u)) {
    return CorruptBlock("has a malformed stream of m");
  }
  if (!ReadSymbols(reader, work, symbols)) return CorruptBlock("has malformed symbols");
  return streams;
}

tl::unexpected<Error> CorruptBlock(const char* what) {
  return Fail(ErrorKind::kCorrupt, std::string("adam block ") + what);
}

}  // namespace bitsnap::adam
