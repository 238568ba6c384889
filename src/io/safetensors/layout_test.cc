#include "io/safetensors/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "io/safetensors/test_files.h"

namespace bitsnap {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr std::string_view kHeader =
    R"({"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[2,2],"data_offsets":[2,10]},)"
    R"("b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}   )";
constexpr std::string_view kData = "bbWWWWWWWW";

Result<SafetensorsLayout> Parse(std::string_view file) {
  return ParseSafetensors(AsBytes(file), "dir/x.safetensors");
}

TEST(SafetensorsLayoutTest, DescribesAFile) {
  const std::string file = FileOf(kHeader, kData);
  const auto layout = Parse(file);
  ASSERT_TRUE(layout) << layout.error().message;
  EXPECT_THAT(layout->metadata, ElementsAre(std::pair("format", "pt")));
  ASSERT_EQ(layout->tensors.size(), 2u);
  EXPECT_EQ(layout->tensors[0].info.name, "b");
  EXPECT_EQ(Text(layout->tensors[0].bytes), "bb");
  const TensorView& w = layout->tensors[1];
  EXPECT_EQ(w.info.name, "w");
  EXPECT_EQ(w.info.dtype, DType::kBF16);
  EXPECT_THAT(w.info.shape, ElementsAre(2, 2));
  EXPECT_EQ(w.info.role, std::nullopt);
  EXPECT_EQ(Text(w.bytes), "WWWWWWWW");
}

TEST(SafetensorsLayoutTest, NothingIsAFileToo) {
  const auto layout = Parse(FileOf("{}", ""));
  ASSERT_TRUE(layout);
  EXPECT_THAT(layout->tensors, IsEmpty());
}

TEST(SafetensorsLayoutTest, EmptyAndScalarTensors) {
  const std::string file = FileOf(R"({"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                                  R"("empty":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]},)"
                                  R"("last":{"dtype":"I64","shape":[0],"data_offsets":[4,4]}})",
                                  "1234");
  const auto layout = Parse(file);
  ASSERT_TRUE(layout) << layout.error().message;
  ASSERT_EQ(layout->tensors.size(), 3u);
  EXPECT_EQ(layout->tensors[0].info.name, "empty");
  EXPECT_EQ(layout->tensors[1].info.name, "scalar");
  EXPECT_THAT(layout->tensors[1].info.shape, IsEmpty());
  EXPECT_EQ(layout->tensors[2].info.name, "last");
}

TEST(SafetensorsLayoutTest, NamesAreAnyUtf8) {
  const auto layout = Parse(
      FileOf(R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
             R"("../\u00e9\n\u0000größe/\"😀":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
             "x"));
  ASSERT_TRUE(layout) << layout.error().message;
  EXPECT_EQ(layout->tensors[0].info.name, "");
  EXPECT_EQ(layout->tensors[1].info.name, "../é\n\0größe/\"😀"s);
}

// One tensor with the given members, and what else belongs into the document.
std::string Tensor(std::string_view members, std::string_view more = "") {
  return "{\"w\":{" + std::string(members) + "}" + std::string(more) + "}";
}

struct BadHeader {
  const char* what;
  std::string header;
  const char* reason;  // part of the message
  std::string data = "12345678";
};

std::vector<BadHeader> BadHeaders() {
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  return {
      {"empty", "", "start with '{'"},
      {"leading space", std::string(" ").append(Tensor(good)), "start with '{'"},
      {"leading byte order mark", std::string("\xef\xbb\xbf").append(Tensor(good)),
       "start with '{'"},
      {"array", "[]", "start with '{'"},
      {"unfinished", "{\"w\":{", "not valid JSON"},
      {"text after it", Tensor(good) + " x", "not valid JSON"},
      {"zero bytes after it", Tensor(good) + std::string(8, '\0'), "not valid JSON"},
      {"trailing comma", Tensor(good, ","), "not valid JSON"},
      {"comment", Tensor("/**/" + good), "not valid JSON"},
      {"control character", "{\"a\nb\":{" + good + "}}", "not valid JSON"},
      {"lone surrogate", R"({"\ud800":{)" + good + "}}", "not valid JSON"},
      {"not UTF-8", "{\"\xff\":{" + good + "}}", "not valid UTF-8"},
      {"cut UTF-8", "{\"\xc3\":{" + good + "}}", "not valid UTF-8"},
      {"overlong UTF-8", "{\"\xc0\xaf\":{" + good + "}}", "not valid UTF-8"},
      {"not UTF-8 in metadata", Tensor(good, ",\"__metadata__\":{\"a\":\"\xff\"}"),
       "not valid UTF-8"},
      {"name twice", Tensor(good, R"(,"w":{"dtype":"F32","shape":[0],"data_offsets":[8,8]})"),
       "tensor \"w\" is there twice"},
      {"name twice by an escape", Tensor(good, R"(,"\u0077":{})"), "tensor \"w\" is there twice"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", "__metadata__ is there twice"},
      {"metadata key twice", R"({"__metadata__":{"a":"1","a":"2"}})", "the key \"a\" twice"},
      {"dtype twice", Tensor(good + R"(,"dtype":"F32")"), "tensor \"w\" has dtype twice"},
      {"shape twice", Tensor(good + R"(,"shape":[2])"), "tensor \"w\" has shape twice"},
      {"offsets twice", Tensor(good + R"(,"data_offsets":[0,8])"), "has data_offsets twice"},
      {"unknown key", Tensor(good + R"(,"strides":[1])"), "unknown key \"strides\""},
      {"no dtype", Tensor(R"("shape":[2],"data_offsets":[0,8])"), "\"w\" lacks one of"},
      {"no shape", Tensor(R"("dtype":"F32","data_offsets":[0,8])"), "\"w\" lacks one of"},
      {"no offsets", Tensor(R"("dtype":"F32","shape":[2])"), "\"w\" lacks one of"},
      {"no members", Tensor(""), "\"w\" lacks one of"},
      {"tensor is null", R"({"w":null})", "\"w\" has null"},
      {"tensor is a number", R"({"w":1})", "\"w\" has a number"},
      {"tensor is an array", R"({"w":[]})", "\"w\" has an array"},
      {"tensor is a string", R"({"w":"F32"})", "\"w\" has a string"},
      {"metadata is a string", R"({"__metadata__":"a"})", "__metadata__ has a string"},
      {"metadata holds a number", R"({"__metadata__":{"a":1}})", "__metadata__ has a number"},
      {"metadata holds an object", R"({"__metadata__":{"a":{}}})", "__metadata__ has an object"},
      {"metadata holds null", R"({"__metadata__":{"a":null}})", "__metadata__ has null"},
      {"dtype is a number", Tensor(R"("dtype":1,"shape":[2],"data_offsets":[0,8])"), "a number"},
      {"dtype is an array", Tensor(R"("dtype":[],"shape":[2],"data_offsets":[0,8])"), "an array"},
      {"shape is a number", Tensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), "a number"},
      {"shape is an object", Tensor(R"("dtype":"F32","shape":{},"data_offsets":[0,8])"),
       "an object"},
      {"negative size", Tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "a negative"},
      {"minus zero", Tensor(R"("dtype":"F32","shape":[-0],"data_offsets":[0,0])"), "a negative"},
      {"fraction", Tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), "no unsigned"},
      {"exponent", Tensor(R"("dtype":"F32","shape":[2e0],"data_offsets":[0,8])"), "no unsigned"},
      {"size of 2^64",
       Tensor(R"("dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8])"),
       "no unsigned"},
      {"size of 1e999", Tensor(R"("dtype":"F32","shape":[1e999],"data_offsets":[0,8])"),
       "not valid JSON"},
      {"string in a shape", Tensor(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])"),
       "a string"},
      {"nested shape", Tensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), "an array"},
      {"deep arrays", Tensor(std::string("\"shape\":").append(1'000'000, '[')), "an array"},
      {"deep objects",
       [] {
         std::string text = "{";
         for (int i = 0; i < 1'000'000; ++i) text += "\"w\":{";
         return text;
       }(),
       "unknown key \"w\""},
      {"one offset", Tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "fewer than two"},
      {"no offset", Tensor(R"("dtype":"F32","shape":[2],"data_offsets":[])"), "fewer than two"},
      {"three offsets", Tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"),
       "more than two"},
      {"unknown dtype", Tensor(R"("dtype":"F33","shape":[2],"data_offsets":[0,8])"),
       "tensor \"w\" has the unknown dtype \"F33\""},
      {"lower-case dtype", Tensor(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])"),
       "the unknown dtype \"f32\""},
      {"dtype that the format lacks", Tensor(R"("dtype":"C128","shape":[],"data_offsets":[0,16])"),
       "the unknown dtype \"C128\"", "1234567812345678"},
      {"too many bytes for the shape", Tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])"),
       "tensor \"w\" has a shape and dtype"},
      {"too few bytes for the shape", Tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"),
       "tensor \"w\" has a shape and dtype"},
      {"product overflows to 8 bytes",
       Tensor(R"("dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8])"),
       "tensor \"w\" has a shape and dtype"},
      {"product overflows to 0 bytes",
       Tensor(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])"),
       "tensor \"w\" has a shape and dtype"},
      {"half a byte", Tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])"),
       "tensor \"w\" has a shape and dtype", "x"},
      {"starts late", Tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"),
       "tensor \"w\" has the data_offsets 4 and 8, but must start at 0"},
      {"ends before it starts", Tensor(R"("dtype":"F32","shape":[0],"data_offsets":[8,0])"),
       "tensor \"w\" has the data_offsets 8 and 0"},
      {"hole",
       R"({"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("w":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}})",
       "tensor \"w\" has the data_offsets 3 and 8, but must start at 2"},
      {"overlap",
       R"({"v":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("w":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}})",
       "tensor \"w\" has the data_offsets 3 and 8, but must start at 4"},
      {"same bytes twice",
       R"({"v":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
       R"("w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
       "tensor \"w\" has the data_offsets 0 and 8, but must start at 8"},
      {"data after the last tensor", Tensor(good), "2 bytes after its last tensor", "1234567890"},
      {"data without tensors", "{}", "8 bytes after its last tensor"},
  };
}

TEST(SafetensorsLayoutTest, BrokenHeadersAreCorrupt) {
  for (const BadHeader& bad : BadHeaders()) {
    const auto layout = Parse(FileOf(bad.header, bad.data));
    ASSERT_FALSE(layout) << bad.what;
    EXPECT_EQ(layout.error().kind, ErrorKind::kCorrupt) << bad.what;
    EXPECT_THAT(layout.error().message, StartsWith("dir/x.safetensors is not")) << bad.what;
    EXPECT_THAT(layout.error().message, HasSubstr(bad.reason)) << bad.what;
  }
}

TEST(SafetensorsLayoutTest, HeaderLengthBeyondTheLimitIsCorrupt) {
  for (uint64_t length : {kMaxHeaderBytes + 1, uint64_t{1} << 63, UINT64_MAX}) {
    const auto layout = Parse(LengthBytes(length) + "{}");
    ASSERT_FALSE(layout);
    EXPECT_EQ(layout.error().kind, ErrorKind::kCorrupt);
    EXPECT_THAT(layout.error().message, HasSubstr(std::to_string(length)));
  }
}

TEST(SafetensorsLayoutTest, HeaderLengthBeyondTheFileIsTruncated) {
  for (uint64_t length : {uint64_t{3}, kMaxHeaderBytes}) {
    const auto layout = Parse(LengthBytes(length) + "{}");
    ASSERT_FALSE(layout);
    EXPECT_EQ(layout.error().kind, ErrorKind::kTruncated);
  }
}

TEST(SafetensorsLayoutTest, OffsetsBeyondTheFileAreTruncated) {
  const auto layout = Parse(FileOf(
      R"({"w":{"dtype":"U8","shape":[1152921504606846976],"data_offsets":[0,1152921504606846976]}})",
      "x"));
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().kind, ErrorKind::kTruncated);
  EXPECT_THAT(layout.error().message, HasSubstr("tensor \"w\" ends at byte 1152921504606846976"));
}

TEST(SafetensorsLayoutTest, HostileNamesAreShownEscapedAndCut) {
  const std::string name = "\\u001b[2J" + std::string(100'000, 'a');
  const auto layout = Parse(FileOf("{\"" + name + "\":{}}", ""));
  ASSERT_FALSE(layout);
  EXPECT_THAT(layout.error().message, HasSubstr("\"\\x1b[2Jaaa"));
  EXPECT_LT(layout.error().message.size(), 500u);
}

TEST(SafetensorsLayoutTest, EveryCutIsTruncated) {
  const std::string file = FileOf(kHeader, kData);
  for (size_t size = 0; size < file.size(); ++size) {
    const auto layout = Parse(std::string_view(file).substr(0, size));
    ASSERT_FALSE(layout) << size;
    EXPECT_EQ(layout.error().kind, ErrorKind::kTruncated) << size;
  }
}

// A changed name or metadata value is another valid file; anything else must be refused, and what
// is accepted must lie in the file.
TEST(SafetensorsLayoutTest, AnyByteOfTheFrontMayChange) {
  const std::string file = FileOf(kHeader, kData);
  size_t refused = 0;
  for (size_t at = 0; at < kLengthBytes + kHeader.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = file;
      changed[at] = static_cast<char>(value);
      const auto layout = Parse(changed);
      if (!layout) {
        ++refused;
        continue;
      }
      size_t bytes = 0;
      for (const TensorView& tensor : layout->tensors) bytes += Text(tensor.bytes).size();
      EXPECT_EQ(bytes, kData.size());
    }
  }
  EXPECT_GT(refused, 200 * kHeader.size() / 2);
}

}  // namespace
}  // namespace bitsnap
