// Frames and messages from a hostile or broken other end.
#include <gmock/gmock.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "engine/agent/messages.h"
#include "engine/agent/wire.h"

namespace bitsnap::agent {
namespace {

using testing::HasSubstr;

class WireTest : public testing::Test {
 protected:
  WireTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ours_ = Fd(ends[0]);
    theirs_ = Fd(ends[1]);
  }

  void Write(std::string_view bytes) {
    ASSERT_EQ(write(theirs_.get(), bytes.data(), bytes.size()), std::ssize(bytes));
  }
  void WriteFrame(std::string_view body) {
    const auto size = static_cast<uint32_t>(body.size());
    Write({reinterpret_cast<const char*>(&size), sizeof(size)});
    Write(body);
  }
  void Hangup() { theirs_ = Fd(); }
  // `count` open files with the one byte that goes out.
  void SendFds(int count) {
    char control[CMSG_SPACE(sizeof(int) * 8)] = {};
    char byte = 0;
    iovec bytes = {&byte, 1};
    msghdr message = {};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (int i = 0; i < count; ++i) {
      const int fd = ours_.get();
      std::memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(int));
    }
    ASSERT_EQ(sendmsg(theirs_.get(), &message, 0), 1);
  }

  Fd ours_, theirs_;
};

size_t OpenFiles() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

TEST_F(WireTest, BringsBodyAndFile) {
  const Fd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Json body = {{"id", 7}, {"do", "hold"}, {"bytes", BinaryJson(std::string("\0\xff", 2))}};
  ASSERT_TRUE(SendFrame(theirs_.get(), body, file.get()));
  ASSERT_TRUE(SendFrame(theirs_.get(), {{"id", 8}}));
  auto first = ReceiveFrame(ours_.get());
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->body, body);
  ASSERT_TRUE((*first)->fd);
  EXPECT_EQ(fcntl((*first)->fd->get(), F_GETFD), FD_CLOEXEC);
  auto second = ReceiveFrame(ours_.get());
  ASSERT_TRUE(second && *second);
  EXPECT_EQ((*second)->body, Json({{"id", 8}}));
  EXPECT_FALSE((*second)->fd);
}

TEST_F(WireTest, BringsLargeFrames) {
  const Json body = {{"text", std::string(3'000'001, 'x')}};
  std::jthread sender([&] { EXPECT_TRUE(SendFrame(theirs_.get(), body)); });
  auto frame = ReceiveFrame(ours_.get());
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ((*frame)->body, body);
}

TEST_F(WireTest, AnEndIsToldFromDamage) {
  Hangup();
  const auto frame = ReceiveFrame(ours_.get());
  ASSERT_TRUE(frame);
  EXPECT_FALSE(*frame);
  EXPECT_EQ(SendFrame(ours_.get(), {{"id", 1}}).error().kind, ErrorKind::kIo);
}

TEST_F(WireTest, EveryTruncatedFrameIsAnEnd) {
  std::vector<uint8_t> cbor = Json::to_cbor({{"id", 1}, {"do", "held"}});
  std::string whole(4, '\0');
  whole[0] = static_cast<char>(cbor.size());
  whole.append(cbor.begin(), cbor.end());
  for (size_t size = 0; size < whole.size(); ++size) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const Fd reader(ends[0]);
    {
      const Fd writer(ends[1]);
      ASSERT_EQ(write(writer.get(), whole.data(), size), static_cast<ssize_t>(size));
    }
    const auto frame = ReceiveFrame(reader.get());
    ASSERT_TRUE(frame) << size;
    EXPECT_FALSE(*frame) << size;
  }
}

TEST_F(WireTest, LyingLengthsAreRefusedBeforeAnyMemoryIsTaken) {
  Write(std::string("\xff\xff\xff\xff", 4));
  EXPECT_EQ(ReceiveFrame(ours_.get()).error().kind, ErrorKind::kCorrupt);
}

TEST_F(WireTest, ALengthLongerThanTheMessageIsAnEnd) {
  Write(std::string("\x00\x00\x00\x03", 4));  // 48 MiB
  Write("a");
  Hangup();
  const auto frame = ReceiveFrame(ours_.get());
  ASSERT_TRUE(frame);
  EXPECT_FALSE(*frame);
}

TEST_F(WireTest, WhatIsNoMessageIsRefused) {
  const std::string deep(100'000, '\x81');                                      // arrays of one
  const std::string objects = "\xa1\x61\x61" + std::string("\xa1\x61\x61", 3);  // cut short
  for (const std::string& body :
       {std::string(), std::string("\x80"), std::string("\x01"), std::string("\xff"), deep, objects,
        std::string("\xa1\x61\x61\x01\x00", 5),               // bytes behind the object
        std::string("\xbb\xff\xff\xff\xff\xff\xff\xff\xff"),  // an object of 2^64 - 1
        std::string("\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"),  // bytes, as many
        std::string("\xc0\xa0")}) {                           // a tag
    WriteFrame(body);
    const auto frame = ReceiveFrame(ours_.get());
    ASSERT_FALSE(frame) << body.substr(0, 20);
    EXPECT_EQ(frame.error().kind, ErrorKind::kCorrupt);
  }
}

TEST_F(WireTest, MoreFilesThanAFrameHasAreRefusedAndClosed) {
  const size_t before = OpenFiles();
  SendFds(5);
  Write("\0\0\0");
  EXPECT_EQ(ReceiveFrame(ours_.get()).error().kind, ErrorKind::kCorrupt);
  EXPECT_EQ(OpenFiles(), before);
}

TEST_F(WireTest, FilesInTheMiddleOfAFrameAreClosed) {
  const size_t before = OpenFiles();
  Write(std::string("\x01\0\0\0", 4));
  SendFds(1);
  EXPECT_FALSE(ReceiveFrame(ours_.get()));  // a zero is no object
  EXPECT_EQ(OpenFiles(), before);
}

TEST_F(WireTest, ATooLargeMessageIsRefusedBySending) {
  const auto sent = SendFrame(theirs_.get(), {{"text", std::string(kMaxFrameBytes, 'x')}});
  EXPECT_EQ(sent.error().kind, ErrorKind::kInvalidArgument);
}

TEST_F(WireTest, WhoDoesNotReadIsNotWaitedFor) {
  const Json event = {{"text", std::string(1000, 'x')}};
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(SendFrame(theirs_.get(), event, -1, /*may_block=*/false));
  }
  // What did arrive is whole frames.
  Hangup();
  size_t count = 0;
  while (true) {
    const auto frame = ReceiveFrame(ours_.get());
    ASSERT_TRUE(frame);
    if (!*frame) break;
    EXPECT_EQ((*frame)->body, event);
    ++count;
  }
  EXPECT_GT(count, 10);
  EXPECT_LT(count, 10'000);
}

Manifest SomeManifest() {
  Manifest manifest;
  manifest.bytes = 128;
  manifest.tensors = {{{"w", DType::kBF16, {3, 4}, Role::kWeight, "w"}, 64, 24},
                      {{"\xff not UTF-8", DType::kU8, {0}, std::nullopt, ""}, 128, 0}};
  return manifest;
}

// As the other end gets it.
Json Sent(const Json& body) { return *ParseBody(Json::to_cbor(body)); }

TEST(Messages, RoundTrip) {
  const Json manifest = ToJson(SomeManifest());
  EXPECT_EQ(ToJson(*ToManifest(manifest)), manifest);

  SaveOptions options{.step = ~uint64_t{0}, .rank = 3, .world_size = 4, .save_id = 5};
  options.profile = Profile::kTiny;
  options.base = {BaseChoice::Kind::kStep, 9};
  options.adam_eps = 1e-15;
  options.overwrite = true;
  options.metadata = std::string("\0\xff", 2);
  options.lineage =
      Lineage{.run = 6, .order = 7, .parent = ParentSave{8, 9}, .ancestors = {{1, 2}}};
  options.retention = RetentionPolicy{1, 2, 3, 4, true, {5, 6}, {7}};
  const SaveOptions got = *ToSaveOptions(Sent(ToJson(options)));
  EXPECT_EQ(got.lineage, options.lineage);
  EXPECT_EQ(*got.retention, *options.retention);
  EXPECT_EQ(ToJson(*ToSaveOptions(ToJson(options))), ToJson(options));
  options.retention.reset();
  EXPECT_EQ(ToJson(*ToSaveOptions(ToJson(options))), ToJson(options));

  SaveReport report{.step = 1, .raw_bytes = 2, .stored_bytes = 3, .base_step = 4};
  report.base_reason = "why";
  report.seconds = 0.25;
  report.roles[Role::kMaster] = {5, 6};
  report.pruned = PruneReport{{1, 2}, {{3, 4}}, {{5, 6}}, {{7, "so"}}, {9}, 8};
  EXPECT_EQ(ToSaveReport(ToJson(report))->pruned->abandoned, std::vector<uint64_t>{9});
  report.prune_error = Error{ErrorKind::kBusy, "later"};
  EXPECT_EQ(ToJson(*ToSaveReport(ToJson(report))), ToJson(report));
  EXPECT_EQ(ToSaveReport(ToJson(report))->prune_error->message, "later");
}

// Every field removed, and every one of another type.
template <class Decode>
void ExpectAllFieldsChecked(const Json& good, Decode decode) {
  ASSERT_TRUE(decode(good));
  for (const auto& [key, value] : good.items()) {
    Json without = good;
    without.erase(key);
    const bool is_optional =
        value.is_null() || key == "retention" || key == "pruned" || key == "prune_error";
    if (!is_optional) {
      EXPECT_EQ(decode(without).error().kind, ErrorKind::kCorrupt) << key;
    }
    for (const Json& wrong : {Json(-1), Json("text"), Json::array({Json::array()}), Json(0.5)}) {
      if (wrong.type() == value.type() || (wrong.is_number() && value.is_number_float())) continue;
      Json changed = good;
      changed[key] = wrong;
      const auto decoded = decode(changed);
      EXPECT_FALSE(decoded) << key << " as " << wrong;
    }
  }
  EXPECT_FALSE(decode(Json::array()));
  EXPECT_FALSE(decode(Json()));
}

TEST(Messages, WrongFieldsAreRefused) {
  Hello hello{.store = "/a"};
  ExpectAllFieldsChecked(ToJson(hello), ToHello);
  ExpectAllFieldsChecked(ToJson(Error{ErrorKind::kIo, "text"}), ToError);
  ExpectAllFieldsChecked(ToJson(SomeManifest()), ToManifest);
  ExpectAllFieldsChecked(ToJson(SaveOptions{}), ToSaveOptions);
  ExpectAllFieldsChecked(ToJson(SaveReport{.base_reason = "x"}), ToSaveReport);
}

TEST(Messages, WhatLiesOutsideOfItsRangeIsRefused) {
  const auto refused = [](const auto& change) {
    Manifest manifest = SomeManifest();
    change(manifest.tensors[0]);
    return !ToManifest(Sent(ToJson(manifest)));
  };
  EXPECT_TRUE(refused([](PlacedTensor& tensor) { tensor.offset = 105; }));
  EXPECT_TRUE(refused([](PlacedTensor& tensor) { tensor.offset = ~uint64_t{0}; }));
  EXPECT_TRUE(refused([](PlacedTensor& tensor) { tensor.bytes = ~uint64_t{0}; }));
  EXPECT_TRUE(refused([](PlacedTensor& tensor) { tensor.info.dtype = DType{99}; }));
  EXPECT_TRUE(refused([](PlacedTensor& tensor) { tensor.info.role = Role{99}; }));
  EXPECT_FALSE(refused([](PlacedTensor& tensor) { tensor.offset = 104; }));
  Json options = ToJson(SaveOptions{});
  options["base"] = 3;
  EXPECT_FALSE(ToSaveOptions(Sent(options)));
  options = ToJson(SaveOptions{});
  options["profile"] = "best";
  EXPECT_FALSE(ToSaveOptions(Sent(options)));
  options = ToJson(SaveOptions{});
  options["rank"] = uint64_t{1} << 32;
  EXPECT_FALSE(ToSaveOptions(Sent(options)));
  EXPECT_FALSE(ToError(Sent({{"kind", 13}, {"message", ""}})));
}

// Cut short anywhere, or with any byte changed, it is refused or is another manifest.
TEST(Messages, TensorsThatAreNoneAreRefused) {
  const Json good = ToJson(SomeManifest());
  const std::vector<uint8_t>& bytes = good["tensors"].get_binary();
  const auto decode = [&](std::vector<uint8_t> changed) {
    return ToManifest(Sent({{"bytes", 128}, {"tensors", Json::binary(std::move(changed))}}));
  };
  size_t whole = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    whole += decode({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)}).has_value();
  }
  EXPECT_EQ(whole, 2u);  // no tensor, and the first alone
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int value : {0x00, 0x01, 0x7f, 0xff}) {
      std::vector<uint8_t> changed = bytes;
      changed[i] = static_cast<uint8_t>(value);
      const auto decoded = decode(changed);
      if (!decoded) continue;
      EXPECT_EQ(ToJson(*decoded)["tensors"].get_binary(), changed);
    }
  }
}

TEST(Messages, AnotherVersionsHelloIsReadAsFarAsItsVersion) {
  const auto hello = ToHello(Sent({{"version", 2}, {"something", "new"}}));
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->version, 2);
}

}  // namespace
}  // namespace bitsnap::agent
