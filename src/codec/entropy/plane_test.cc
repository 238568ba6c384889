#include "codec/entropy/plane.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>
#include <vector>

#include "codec/entropy/even.h"
#include "tests/support/guarded.h"

namespace bitsnap {
namespace {

using Buffer = std::vector<std::byte>;
constexpr size_t kSize = 65536;

Buffer Make(size_t size, auto&& next) {
  Buffer plane(size);
  for (std::byte& b : plane) b = static_cast<std::byte>(next());
  return plane;
}

// Writes the plane as asked, reads it back, and returns the kind that it was stored in.
PlaneKind StoredKind(const Buffer& plane, PlaneKind kind) {
  test::Guarded out, buffer;
  PlaneWriter writer(out.Reset(PlaneBound(plane.size())));
  writer.Write(kind, plane);
  EXPECT_TRUE(out.intact());
  const Buffer coded(out.bytes().begin(), out.bytes().begin() + writer.size());
  Buffer work(kPlaneWorkBytes);
  ByteReader reader(coded);
  const std::byte* read = ReadPlane(reader, buffer.Reset(plane.size()), work);
  EXPECT_TRUE(buffer.intact());
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_NE(read, nullptr);
  EXPECT_TRUE(read != nullptr && std::equal(plane.begin(), plane.end(), read));
  return PlaneKind{std::to_integer<uint8_t>(coded[0])};
}

PlaneKind StoredKind(const Buffer& plane) { return StoredKind(plane, PlanPlane(plane).kind); }

class PlaneTest : public testing::Test {
 protected:
  std::mt19937 random_{1};
  Buffer exponents_ =
      Make(kSize, [this] { return 120 - std::countl_zero(static_cast<uint32_t>(random_()) | 1); });
  Buffer noise_ = Make(kSize, [this] { return random_(); });
  Buffer even_ = Make(kSize, [this] { return random_() << 1; });
};

TEST_F(PlaneTest, EachKindWhereItIsBest) {
  EXPECT_EQ(StoredKind(Buffer(kSize, std::byte{9})), PlaneKind::kConstant);
  EXPECT_EQ(StoredKind(noise_), PlaneKind::kRaw);
  EXPECT_EQ(StoredKind(even_), PlaneKind::kEven);
  EXPECT_EQ(StoredKind(exponents_), PlaneKind::kHuffman);
  EXPECT_EQ(StoredKind(Make(kSize, [this] { return random_() % 20 == 0; })), PlaneKind::kRans);
  EXPECT_EQ(StoredKind(Buffer(1, std::byte{9})), PlaneKind::kConstant);
  EXPECT_EQ(StoredKind({std::byte{9}, std::byte{2}}), PlaneKind::kRaw);
}

// What stands between the sampled runs comes as a surprise.
TEST_F(PlaneTest, ExceptionsTheSampleDoesNotSee) {
  for (std::byte exception : {std::byte{1}, std::byte{200}, std::byte{255}}) {
    for (Buffer plane : {Buffer(kSize, std::byte{9}), exponents_, even_}) {
      for (size_t at : {size_t{70}, kSize - 1}) {
        plane[at] = exception;
        const PlaneKind planned = PlanPlane(plane).kind;
        EXPECT_NE(planned, PlaneKind::kConstant);
        StoredKind(plane, planned);
      }
    }
  }
}

TEST_F(PlaneTest, AnyKindMayBeAskedForAnyPlane) {
  for (size_t size : {size_t{1001}, kSize}) {
    for (Buffer plane : {Buffer(kSize, std::byte{9}), exponents_, noise_, even_}) {
      plane.resize(size);
      for (uint8_t kind = 0; kind <= 4; ++kind) {
        SCOPED_TRACE(testing::Message() << size << " as " << int{kind});
        StoredKind(plane, PlaneKind{kind});
      }
    }
  }
}

TEST(Even, PacksAndUnpacksEverySize) {
  std::mt19937 random(3);
  for (size_t size = 1; size < 100; ++size) {
    const Buffer plane = Make(size, [&] { return random() << 1; });
    ASSERT_TRUE(even::IsEven(plane));
    test::Guarded out, back;
    const MutableBytes room = out.Reset(even::PackedBytes(size) + even::kPackSlack);
    even::Pack(plane, room.data());
    ASSERT_TRUE(out.intact());
    Buffer packed(room.begin(), room.begin() + even::PackedBytes(size));
    ASSERT_TRUE(even::Unpack(packed, back.Reset(size)));
    ASSERT_TRUE(back.intact());
    ASSERT_TRUE(std::ranges::equal(back.bytes(), plane));
    // A bit at a time, as the spec says it.
    for (size_t i = 0; i < 7 * size; ++i) {
      const auto want = std::to_integer<unsigned>(plane[i / 7]) >> (i % 7 + 1) & 1;
      ASSERT_EQ(std::to_integer<unsigned>(packed[i / 8]) >> i % 8 & 1, want);
    }
    if (size % 8 == 0) continue;
    packed.back() |= std::byte{0x80};
    EXPECT_FALSE(even::Unpack(packed, back.Reset(size)));
  }
}

TEST(Even, AnOddByteIsSeenAnywhere) {
  for (size_t size : {1, 7, 8, 9, 33}) {
    for (size_t at = 0; at < size; ++at) {
      Buffer plane(size, std::byte{0xfe});
      plane[at] = std::byte{1};
      EXPECT_FALSE(even::IsEven(plane));
    }
  }
}

}  // namespace
}  // namespace bitsnap
