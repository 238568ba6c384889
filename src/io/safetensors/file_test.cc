#include <bitsnap/safetensors.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "io/safetensors/test_files.h"
#include "io/test_directory.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// A file with one U8 tensor.
std::string OneTensor(const std::string& name, std::string_view data,
                      const std::string& metadata = "") {
  const std::string size = std::to_string(data.size());
  return FileOf("{" + metadata + "\"" + name + R"(":{"dtype":"U8","shape":[)" + size +
                    R"(],"data_offsets":[0,)" + size + "]}}",
                data);
}

class SafetensorsFileTest : public ::testing::Test {
 protected:
  fs::path At(const char* name) { return directory_.path() / name; }

  void ExpectFails(const fs::path& path, ErrorKind kind, const std::string& reason) {
    const auto file = SafetensorsFile::Open(path);
    ASSERT_FALSE(file) << reason;
    EXPECT_EQ(ErrorKindName(file.error().kind), std::string(ErrorKindName(kind))) << reason;
    EXPECT_THAT(file.error().message, HasSubstr(path.string()));
    EXPECT_THAT(file.error().message, HasSubstr(reason));
  }

 private:
  TestDirectory directory_;
};

TEST_F(SafetensorsFileTest, ViewsStayValidWhenMoved) {
  WriteFile(At("x"), OneTensor("w", "abc", R"("__metadata__":{"format":"pt"},)"));
  auto opened = SafetensorsFile::Open(At("x"));
  ASSERT_TRUE(opened) << opened.error().message;
  const Bytes view = opened->tensors()[0].bytes;
  const SafetensorsFile file = *std::move(opened);
  EXPECT_EQ(Text(view), "abc");
  EXPECT_EQ(file.tensors()[0].bytes.data(), view.data());
  EXPECT_THAT(file.metadata(), ElementsAre(Pair("format", "pt")));
}

TEST_F(SafetensorsFileTest, OpensThroughASymbolicLink) {
  WriteFile(At("blob"), OneTensor("w", "abc"));
  fs::create_symlink(At("blob"), At("x.safetensors"));
  EXPECT_TRUE(SafetensorsFile::Open(At("x.safetensors")));
}

TEST_F(SafetensorsFileTest, WhatIsNoFile) {
  ExpectFails(At("none"), ErrorKind::kNotFound, "No such file");
  fs::create_directory(At("d"));
  ExpectFails(At("d"), ErrorKind::kIo, "not a regular file");
  ASSERT_EQ(mkfifo(At("fifo").c_str(), 0600), 0);
  ExpectFails(At("fifo"), ErrorKind::kIo, "not a regular file");
  WriteFile(At("empty"), "");
  ExpectFails(At("empty"), ErrorKind::kTruncated, "is empty");
  WriteFile(At("text"), "this is no safetensors file");
  ExpectFails(At("text"), ErrorKind::kCorrupt, "limit");
}

TEST_F(SafetensorsFileTest, ShardsAreOneFile) {
  WriteFile(At("m-2.safetensors"), OneTensor("a", "2", R"("__metadata__":{"k":"2","l":"2"},)"));
  WriteFile(At("m-1.safetensors"), OneTensor("b", "1", R"("__metadata__":{"k":"1"},)"));
  WriteFile(At("m.safetensors.index.json"),
            R"({"metadata":{"total_size":2,"more":[null,true,-1,0.5,{"weight_map":{}}]},)"
            R"("weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors"},"version":"1"})"
            "\n");
  const auto file = SafetensorsFile::Open(At("m.safetensors.index.json"));
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[0].info.name, "b");
  EXPECT_EQ(Text(file->tensors()[0].bytes), "1");
  EXPECT_EQ(file->tensors()[1].info.name, "a");
  EXPECT_EQ(Text(file->tensors()[1].bytes), "2");
  EXPECT_THAT(file->metadata(), ElementsAre(Pair("k", "1"), Pair("l", "2")));
}

TEST_F(SafetensorsFileTest, EmptyWeightMapHasNoTensors) {
  WriteFile(At("m.index.json"), R"({"weight_map":{}})");
  const auto file = SafetensorsFile::Open(At("m.index.json"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_THAT(file->tensors(), IsEmpty());
}

TEST_F(SafetensorsFileTest, BrokenIndexIsCorrupt) {
  const std::pair<std::string, const char*> cases[] = {
      {"[]", "start with '{'"},
      {"{}", "no weight_map"},
      {R"({"metadata":{"weight_map":{}}})", "no weight_map"},
      {R"({"weight_map":{})", "not valid JSON"},
      {R"({"weight_map":{}}x)", "not valid JSON"},
      {"{\"weight_map\":{\"\xff\":\"s\"}}", "not valid UTF-8"},
      {R"({"weight_map":[]})", "weight_map has an array"},
      {R"({"weight_map":"s"})", "weight_map has a string"},
      {R"({"weight_map":{"w":1}})", "weight_map has a number"},
      {R"({"weight_map":{"w":{}}})", "weight_map has an object"},
      {R"({"weight_map":{"w":["s"]}})", "weight_map has an array"},
      {R"({"weight_map":{"w":null}})", "weight_map has null"},
      {R"({"weight_map":{"w":"s","w":"s"}})", "tensor \"w\" is there twice"},
      {R"({"weight_map":{},"weight_map":{}})", "weight_map is there twice"},
      {R"({"weight_map":{"w":"../s"}})", "shard \"../s\" is no plain file name"},
      {R"({"weight_map":{"w":"/etc/passwd"}})", "no plain file name"},
      {R"({"weight_map":{"w":".."}})", "no plain file name"},
      {R"({"weight_map":{"w":"."}})", "no plain file name"},
      {R"({"weight_map":{"w":""}})", "no plain file name"},
      {R"({"weight_map":{"w":"s\u0000t"}})", "no plain file name"},
      {std::string("{\"metadata\":").append(1'000'000, '['), "nests deeper than 16"},
  };
  for (const auto& [text, reason] : cases) {
    WriteFile(At("m.index.json"), text);
    ExpectFails(At("m.index.json"), ErrorKind::kCorrupt, reason);
  }
}

TEST_F(SafetensorsFileTest, IndexAndShardsMustAgree) {
  WriteFile(At("m-1"), OneTensor("a", "1"));
  WriteFile(At("m-2"), OneTensor("b", "2"));
  const fs::path index = At("m.index.json");
  WriteFile(index, R"({"weight_map":{"a":"m-1","c":"m-1"}})");
  ExpectFails(index, ErrorKind::kCorrupt, "puts tensor \"c\" into m-1, which does not hold it");
  WriteFile(index, R"({"weight_map":{"x":"m-1"}})");
  ExpectFails(index, ErrorKind::kCorrupt, "does not put tensor \"a\" into m-1, which holds it");
  WriteFile(index, R"({"weight_map":{"a":"m-2","b":"m-1"}})");
  ExpectFails(index, ErrorKind::kCorrupt, "does not put tensor \"a\" into m-1, which holds it");
}

TEST_F(SafetensorsFileTest, BrokenShardsAreNamed) {
  const fs::path index = At("m.index.json");
  WriteFile(index, R"({"weight_map":{"a":"m-1"}})");
  auto file = SafetensorsFile::Open(index);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(file.error().message, HasSubstr(At("m-1").string()));

  WriteFile(At("m-1"), OneTensor("a", "1").substr(0, 20));
  file = SafetensorsFile::Open(index);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind, ErrorKind::kTruncated);
  EXPECT_THAT(file.error().message, HasSubstr(At("m-1").string()));
}

}  // namespace
}  // namespace bitsnap
