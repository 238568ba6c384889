// Files whose every checksum is right and that were made to deceive, or by a newer BitSnap.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zstd.h>

#include <fstream>
#include <random>

#include "base/test_memory.h"
#include "snapshot/samples.h"

namespace bitsnap {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const SnapshotHeader kHeader = {.step = 1, .rank = 1, .world_size = 3, .save_id = 5};

long PeakKilobytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

[[maybe_unused]] uint64_t VirtualBytes() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Opening must fail in this way, and cheaply.
void ExpectError(const FileBytes& file, ErrorKind kind, const char* message) {
  const long before = PeakKilobytes();
  const auto reader = OpenBytes(file);
  EXPECT_LT(PeakKilobytes() - before, 32 << 10);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().kind, kind) << reader.error().message;
  EXPECT_THAT(reader.error().message, StartsWith(kTestPath));
  EXPECT_THAT(reader.error().message, HasSubstr(message));
}

// In two calls, so that zstd does not know the size and keeps the window as it is told.
FileBytes Compress(const FileBytes& raw, int window_log) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  FileBytes frame(ZSTD_compressBound(raw.size()));
  ZSTD_inBuffer in{raw.data(), raw.size(), 0};
  ZSTD_outBuffer out{frame.data(), frame.size(), 0};
  EXPECT_EQ(ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue), 0u);
  EXPECT_EQ(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0u);
  ZSTD_freeCCtx(context);
  frame.resize(out.pos);
  return frame;
}

FileBytes RawIndex(const Sample& sample) {
  FileBytes raw;
  EncodeIndex(sample.index, &raw);
  return raw;
}

// FullSample with its index stored in this frame.
FileBytes WithFrame(const FileBytes& frame, uint64_t claimed_raw_bytes) {
  const Sample sample = FullSample();
  Footer footer = FooterOf(sample.header, RawIndex(sample), IndexCoding::kZstd, frame);
  footer.raw_bytes = claimed_raw_bytes;
  return Assemble(sample.header, sample.payloads, frame, footer);
}

TEST(HostileTest, LengthsOfTheIndexAreNotBelieved) {
  const FileBytes index(20);
  for (IndexCoding coding : {IndexCoding::kPlain, IndexCoding::kZstd}) {
    for (uint64_t claim : {uint64_t{1} << 29, uint64_t{1} << 60, ~uint64_t{0}}) {
      Footer footer = FooterOf(kHeader, index, coding, index);
      footer.raw_bytes = claim;
      ExpectError(Assemble(kHeader, {}, index, footer), ErrorKind::kCorrupt, "index");
      footer = FooterOf(kHeader, index, coding, index);
      footer.stored_bytes = claim;
      ExpectError(Assemble(kHeader, {}, index, footer), ErrorKind::kCorrupt, "larger");
    }
  }
}

TEST(HostileTest, FramesMustHoldWhatTheyClaim) {
  const FileBytes raw = RawIndex(FullSample());
  FileBytes frame = Compress(raw, 20);
  ASSERT_TRUE(OpenBytes(WithFrame(frame, raw.size())));
  ExpectError(WithFrame(frame, raw.size() - 1), ErrorKind::kCorrupt, "damaged");
  ExpectError(WithFrame(frame, raw.size() + 1), ErrorKind::kCorrupt, "damaged");
  ExpectError(WithFrame({}, 0), ErrorKind::kCorrupt, "damaged");
  FileBytes longer = frame;
  longer.push_back(std::byte{0});
  ExpectError(WithFrame(longer, raw.size()), ErrorKind::kCorrupt, "damaged");
  frame.pop_back();
  ExpectError(WithFrame(frame, raw.size()), ErrorKind::kCorrupt, "damaged");
}

TEST(HostileTest, BombsDoNotGoOff) {
  const FileBytes zeros(64 << 20);
  const FileBytes bomb = Compress(zeros, 20);
  ExpectError(WithFrame(bomb, zeros.size()), ErrorKind::kCorrupt, "impossibly well compressed");
  ExpectError(WithFrame(bomb, 100 * bomb.size()), ErrorKind::kCorrupt, "damaged");
}

// An index of `count` tensors without bytes, as small as a record can be, of which each has
// `metrics`; random metadata let it shrink as far as a frame may and no further.
FileBytes IndexOfNothing(uint32_t count, uint16_t metrics, size_t metadata_bytes) {
  FileBytes index;
  index.reserve(size_t{100} * count);
  ByteWriter out(&index);
  out.Int(uint32_t{256 << 10});
  out.Int(uint16_t{0});  // profile
  std::mt19937 random(1);
  out.Int(static_cast<uint32_t>(metadata_bytes));
  for (size_t i = 0; i < metadata_bytes; ++i) out.Int(static_cast<uint8_t>(random()));
  out.Int(uint8_t{0});  // no base
  out.Int(count);
  for (uint32_t i = 0; i < count; ++i) {
    FileBytes record;
    record.reserve(64);
    ByteWriter r(&record);
    r.Int(uint16_t{4});
    r.Int(i);  // as a name
    for (int text = 0; text < 2; ++text) r.Int(uint16_t{0});
    for (int zeros = 0; zeros < 5; ++zeros) r.Int(uint32_t{0});  // dtype to data_offset
    r.Int(uint16_t{1});
    r.Int(uint64_t{0});
    r.Int(metrics);
    record.resize(record.size() + metrics * size_t{10});
    out.Int(static_cast<uint32_t>(record.size()));
    out.Raw(record);
  }
  return index;
}

// An index in one frame, right in everything.
FileBytes InFrame(const FileBytes& raw) {
  const FileBytes frame = Compress(raw, 20);
  return Assemble(kHeader, {}, frame, FooterOf(kHeader, raw, IndexCoding::kZstd, frame));
}

// Only what is small in the file and large in memory is refused, not what is large in both.
TEST(HostileTest, AnIndexTakesMemoryInProportionToTheFile) {
  const long before = PeakKilobytes();
  const FileBytes many = IndexOfNothing(400'000, 0, 200'000);  // 18 MB
  const FileBytes metrics = IndexOfNothing(40'000, 60, 400'000);
  for (const FileBytes* raw : {&many, &metrics}) {
    const auto reader = OpenBytes(InFrame(*raw));
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().kind, ErrorKind::kCorrupt);
    EXPECT_THAT(reader.error().message, HasSubstr("out of proportion to what is stored"));
  }
  EXPECT_LT(PeakKilobytes() - before, (300 << 10) * static_cast<long>(testing_util::kShadow));
  EXPECT_TRUE(OpenBytes(Forge(kHeader, {}, many)));
}

TEST(HostileTest, AWriterStoresPlainlyWhatAReaderWouldRefuse) {
  Sample sample;
  sample.header = kHeader;
  sample.index.block_bytes = 1;
  for (int i = 0; i < 250'000; ++i) {
    TensorRecord& tensor = sample.index.tensors.emplace_back();
    tensor.info.name = std::to_string(i);
    tensor.info.shape = {0};
    tensor.info.role = Role::kOther;
  }
  const auto file = WriteSample(sample);
  ASSERT_TRUE(file);
  EXPECT_GT(file->size(), 8u << 20);
  EXPECT_TRUE(OpenBytes(*file));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which abort instead
[[noreturn]] void OpenWithLittleMemory(const FileBytes& file) {
  rlimit limit;
  limit.rlim_cur = limit.rlim_max = VirtualBytes() + (32 << 20);
  setrlimit(RLIMIT_AS, &limit);
  const auto reader = OpenBytes(file);
  const bool told = !reader && reader.error().kind == ErrorKind::kOutOfMemory;
  _exit(told && OpenBytes(*WriteSample(FullSample())) ? 0 : 1);
}

// The next file opens.
TEST(HostileTest, TooLittleMemoryIsAnError) {
  const FileBytes file = Forge(kHeader, {}, IndexOfNothing(200'000, 0, 0));
  ASSERT_TRUE(OpenBytes(file));
  EXPECT_EXIT(OpenWithLittleMemory(file), ::testing::ExitedWithCode(0), "");
}
#endif

TEST(HostileTest, LargeWindowsAreRefused) {
  const FileBytes raw = RawIndex(FullSample());
  ExpectError(WithFrame(Compress(raw, 27), raw.size()), ErrorKind::kCorrupt, "damaged");
}

// An index of one tensor whose counts are what a hostile writer likes.
struct Claims {
  uint32_t metadata = 0;
  uint32_t tensors = 1;
  uint64_t dimension = 0;
  uint16_t metrics = 0;
  uint8_t dtype = 0;
  uint8_t role = 0;
  uint8_t storage = 0;
};

// `extension`: the optional last fields of the record, without their content.
FileBytes IndexOf(const Claims& claims, Bytes extension = {}, size_t extra_in_index = 0) {
  FileBytes record;
  ByteWriter r(&record);
  for (int text = 0; text < 3; ++text) r.Int(uint16_t{0});
  for (uint8_t code : {claims.dtype, claims.role, claims.storage, uint8_t{0}}) r.Int(code);
  r.Int(uint32_t{0});  // base_tensor
  r.Int(uint32_t{0});  // same_as
  r.Int(uint64_t{0});  // data_offset
  r.Int(uint16_t{1});
  r.Int(claims.dimension);
  r.Int(claims.metrics);
  r.Raw(extension);
  FileBytes index;
  ByteWriter out(&index);
  out.Int(uint32_t{1});  // block_bytes
  out.Int(uint16_t{0});  // profile
  out.Int(claims.metadata);
  out.Int(uint8_t{0});  // no base
  out.Int(claims.tensors);
  out.Int(static_cast<uint32_t>(record.size()));
  out.Raw(record);
  index.resize(index.size() + extra_in_index, std::byte{0xee});
  return index;
}

TEST(HostileTest, CountsInTheIndexAreNotBelieved) {
  const auto expect_corrupt = [](const Claims& claims, const char* message) {
    ExpectError(Forge(kHeader, {}, IndexOf(claims)), ErrorKind::kCorrupt, message);
  };
  expect_corrupt({.metadata = ~0u}, "ends inside its first fields");
  expect_corrupt({.tensors = ~0u}, "ends inside the record of tensor 1");
  expect_corrupt({.dimension = uint64_t{1} << 40}, "ends inside the block table");
  expect_corrupt({.dimension = uint64_t{1} << 63}, "no possible size");
  expect_corrupt({.metrics = 65535}, "ends inside the record of tensor 0");
}

TEST(HostileTest, ExtensionsAreNotBelieved) {
  FileBytes extension(14);
  for (size_t size = 1; size < extension.size(); ++size) {
    ExpectError(Forge(kHeader, {}, IndexOf({}, Bytes(extension).first(size))), ErrorKind::kCorrupt,
                "ends inside the extension of tensor 0");
  }
  for (size_t i = 10; i < 14; ++i) extension[i] = std::byte{0xff};  // 4 GiB of parameters
  ExpectError(Forge(kHeader, {}, IndexOf({}, extension)), ErrorKind::kCorrupt,
              "ends inside the extension of tensor 0");
}

TEST(HostileTest, LineagesAreNotBelieved) {
  Sample sample = TinySample();
  FileBytes without = RawIndex(sample);
  sample.index.lineage = {.run = 1, .order = 2, .parent = ParentSave{3, 4}, .ancestors = {{5, 6}}};
  const FileBytes raw = RawIndex(sample);
  const auto expect_error = [&](const FileBytes& index, ErrorKind kind, const char* message) {
    ExpectError(Forge(sample.header, sample.payloads, index), kind, message);
  };
  const size_t tag = without.size(), record = tag + 8, parent_flag = record + 16;
  for (size_t size = tag + 4; size < raw.size(); ++size) {
    expect_error({raw.begin(), raw.begin() + static_cast<ptrdiff_t>(size)}, ErrorKind::kCorrupt,
                 "ends inside the lineage");
  }
  FileBytes short_record = raw;
  short_record[tag + 4] = std::byte{1};
  expect_error(short_record, ErrorKind::kCorrupt, "ends inside the lineage");
  FileBytes many_ancestors = raw;
  for (size_t i = 33; i < 37; ++i) many_ancestors[record + i] = std::byte{0xff};
  expect_error(many_ancestors, ErrorKind::kCorrupt, "ends inside the lineage");
  FileBytes other_flag = raw;
  other_flag[parent_flag] = std::byte{2};
  expect_error(other_flag, ErrorKind::kUnsupportedVersion, "parent flag 2");
  FileBytes other_tag = raw;  // a section of a newer version
  other_tag[tag] = std::byte{0};
  EXPECT_TRUE(OpenBytes(Forge(sample.header, sample.payloads, other_tag)));
}

TEST(HostileTest, EveryCutIndexIsCorrupt) {
  const Sample sample = FullSample();
  const FileBytes raw = RawIndex(sample);
  for (size_t size = 0; size < raw.size(); ++size) {
    ExpectError(Forge(sample.header, sample.payloads, Bytes(raw).first(size)), ErrorKind::kCorrupt,
                "");
  }
}

TEST(OtherVersionTest, AddedFieldsAreIgnored) {
  EXPECT_TRUE(OpenBytes(Forge(kHeader, {}, IndexOf({}))));
  const FileBytes extension(14 + 7);  // as long as this version knows it, and more
  EXPECT_TRUE(OpenBytes(Forge(kHeader, {}, IndexOf({}, extension))));
  EXPECT_TRUE(OpenBytes(Forge(kHeader, {}, IndexOf({}, {}, 7))));
}

TEST(OtherVersionTest, UnknownCodesAskForAnUpgrade) {
  const auto expect_newer = [](const Claims& claims, const char* message) {
    ExpectError(Forge(kHeader, {}, IndexOf(claims)), ErrorKind::kUnsupportedVersion, message);
  };
  expect_newer({.dtype = 23}, "dtype 23 of tensor '' is unknown to this version: upgrade bitsnap");
  expect_newer({.role = 5}, "role 5");
  expect_newer({.storage = 4}, "storage 4");
  for (size_t flag : {0, 5}) {
    FileBytes extension(14);
    extension[flag] = std::byte{2};
    ExpectError(Forge(kHeader, {}, IndexOf({}, extension)), ErrorKind::kUnsupportedVersion,
                "a flag of");
  }
}

// `file` with one byte of header or footer replaced and their checksum made right again.
FileBytes Patch(FileBytes file, size_t piece, size_t covered, size_t offset, uint8_t value) {
  file[piece + offset] = static_cast<std::byte>(value);
  const uint64_t checksum = Checksum64(Bytes(file).subspan(piece, covered));
  std::memcpy(file.data() + piece + covered, &checksum, sizeof(checksum));
  return file;
}

TEST(OtherVersionTest, HeaderAndFooter) {
  const FileBytes file = *WriteSample(FullSample());
  const auto header = [&](size_t offset, uint8_t value) {
    return Patch(file, 0, 56, offset, value);
  };
  const auto footer = [&](size_t offset, uint8_t value) {
    return Patch(file, file.size() - kFooterBytes, 48, offset, value);
  };
  ExpectError(header(8, 4), ErrorKind::kUnsupportedVersion, "format version 4");
  ExpectError(footer(44, 4), ErrorKind::kUnsupportedVersion, "format version 4");
  for (const uint8_t old : {uint8_t{1}, uint8_t{2}}) {
    ExpectError(header(8, old), ErrorKind::kUnsupportedVersion, "by a pre-release");
    ExpectError(footer(44, old), ErrorKind::kUnsupportedVersion, "by a pre-release");
  }
  ExpectError(footer(40, 2), ErrorKind::kUnsupportedVersion, "index coding 2");
  ExpectError(header(8, 0), ErrorKind::kCorrupt, "version 0");
  ExpectError(footer(44, 0), ErrorKind::kCorrupt, "version 0");
  ExpectError(header(20, 1), ErrorKind::kCorrupt, "reserved");
  ExpectError(header(55, 1), ErrorKind::kCorrupt, "reserved");
  ExpectError(footer(41, 1), ErrorKind::kCorrupt, "reserved");
  ExpectError(header(12, 9), ErrorKind::kCorrupt, "rank 9 in a world of 4");
}

}  // namespace
}  // namespace bitsnap
