#include <bitsnap/safetensors.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "io/safetensors/test_files.h"
#include "io/test_directory.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class SafetensorsWriterTest : public ::testing::Test {
 protected:
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  TestDirectory directory_;
  const fs::path path_ = directory_.path() / "out.safetensors";
};

TensorInfo Info(std::string name, DType dtype, std::vector<uint64_t> shape) {
  return {.name = std::move(name), .dtype = dtype, .shape = std::move(shape)};
}

TEST_F(SafetensorsWriterTest, WritesTheBytesOfTheFormat) {
  const TensorInfo tensors[] = {Info("b\"é", DType::kF16, {1, 2}), Info("a", DType::kU8, {})};
  auto writer = SafetensorsWriter::Create(path_, tensors, {{"format", "pt"}, {"by", "x\n"}});
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE(writer->Append(AsBytes("12")));
  ASSERT_TRUE(writer->Append(AsBytes("345")));
  ASSERT_TRUE(writer->Finish());
  const std::string header = R"({"__metadata__":{"by":"x\n","format":"pt"},)"
                             R"("b\"é":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]},)"
                             R"("a":{"dtype":"U8","shape":[],"data_offsets":[4,5]}})";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(ReadFile(path_), FileOf(header + padding, "12345"));
  EXPECT_THAT(Names(), UnorderedElementsAre("out.safetensors"));
}

TEST_F(SafetensorsWriterTest, NoTensors) {
  auto writer = SafetensorsWriter::Create(path_, {});
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Finish());
  EXPECT_EQ(ReadFile(path_), FileOf("{}      ", ""));
}

TEST_F(SafetensorsWriterTest, EveryDTypeAndShapeComesBack) {
  std::vector<TensorInfo> tensors;
  std::string data;
  for (size_t code = 0; code < kDTypeCount; ++code) {
    const DType dtype = *DTypeFromCode(static_cast<uint8_t>(code));
    if (dtype == DType::kC128) continue;
    for (const std::vector<uint64_t>& shape :
         {std::vector<uint64_t>{}, {0}, {8}, {3, 8, 5}, {2, 0, 7}}) {
      if (!TensorBytes(dtype, shape)) continue;  // half a byte
      tensors.push_back(Info(std::to_string(tensors.size()), dtype, shape));
      for (uint64_t i = *TensorBytes(dtype, shape); i > 0; --i) {
        data.push_back(static_cast<char>(data.size() * 167));
      }
    }
  }
  auto writer = SafetensorsWriter::Create(path_, tensors, {{"k", "größe"}});
  ASSERT_TRUE(writer) << writer.error().message;
  for (size_t at = 0; at < data.size(); at += 7) {
    ASSERT_TRUE(writer->Append(AsBytes(std::string_view(data).substr(at, 7))));
  }
  ASSERT_TRUE(writer->Finish());

  const auto file = SafetensorsFile::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_THAT(file->metadata(), UnorderedElementsAre(Pair("k", "größe")));
  ASSERT_EQ(file->tensors().size(), tensors.size());
  std::string read;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorView& tensor = file->tensors()[i];
    EXPECT_EQ(tensor.info.name, tensors[i].name);
    EXPECT_EQ(tensor.info.dtype, tensors[i].dtype);
    EXPECT_EQ(tensor.info.shape, tensors[i].shape);
    read += Text(tensor.bytes);
  }
  EXPECT_EQ(read, data);
}

TEST_F(SafetensorsWriterTest, UnfinishedLeavesWhatWasThere) {
  WriteFile(path_, "old");
  {
    auto writer = SafetensorsWriter::Create(path_, std::vector{Info("a", DType::kU8, {2})});
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->Append(AsBytes("x")));
    const SafetensorsWriter moved = *std::move(writer);
    EXPECT_EQ(Names().size(), 2u);
  }
  EXPECT_THAT(Names(), UnorderedElementsAre("out.safetensors"));
  EXPECT_EQ(ReadFile(path_), "old");
}

TEST_F(SafetensorsWriterTest, CountsTheBytes) {
  auto writer = SafetensorsWriter::Create(path_, std::vector{Info("a", DType::kU8, {2})});
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Append(AsBytes("x")));
  const auto early = writer->Finish();
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().kind, ErrorKind::kInvalidArgument);
  const auto more = writer->Append(AsBytes("yz"));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(more.error().message, HasSubstr(path_.string()));
  ASSERT_TRUE(writer->Append(AsBytes("y")));
  EXPECT_TRUE(writer->Finish());
}

TEST_F(SafetensorsWriterTest, TwoWritersOfOnePathDoNotMeet) {
  const std::vector tensors = {Info("a", DType::kU8, {1})};
  auto first = SafetensorsWriter::Create(path_, tensors);
  auto second = SafetensorsWriter::Create(path_, tensors);
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(first->Append(AsBytes("1")));
  ASSERT_TRUE(second->Append(AsBytes("2")));
  ASSERT_TRUE(first->Finish());
  ASSERT_TRUE(second->Finish());
  EXPECT_THAT(ReadFile(path_), ::testing::EndsWith("2"));
}

TEST_F(SafetensorsWriterTest, RefusesWhatTheFormatCannotHold) {
  const std::pair<std::vector<TensorInfo>, const char*> cases[] = {
      {{Info("w", DType::kC128, {1})}, "tensor \"w\" cannot be stored as safetensors"},
      {{Info("w", DType::kU8, {1}), Info("w", DType::kF32, {1})}, "two tensors are named \"w\""},
      {{Info("__metadata__", DType::kU8, {1})}, "reserved"},
      {{Info("w\xff", DType::kU8, {1})}, "\"w\\xff\" is not valid UTF-8"},
      {{Info("w", DType::kF4, {3})}, "tensor \"w\""},
      {{Info("w", DType::kF32, {1ull << 62})}, "tensor \"w\""},
  };
  for (const auto& [tensors, reason] : cases) {
    const auto writer = SafetensorsWriter::Create(path_, tensors);
    ASSERT_FALSE(writer) << reason;
    EXPECT_EQ(writer.error().kind, ErrorKind::kInvalidArgument);
    EXPECT_THAT(writer.error().message, HasSubstr(reason));
  }
  EXPECT_TRUE(Names().empty());
}

TEST_F(SafetensorsWriterTest, RefusesPlacesItCannotWriteTo) {
  const auto directory = SafetensorsWriter::Create(directory_.path(), {});
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(directory.error().message, HasSubstr(directory_.path().string()));

  const fs::path nowhere = directory_.path() / "none" / "x";
  const auto missing = SafetensorsWriter::Create(nowhere, {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr(nowhere.parent_path().string()));
}

}  // namespace
}  // namespace bitsnap
