// Every codec's decoder against payloads that no encoder made: it may fail with kCorrupt or give
// back any bytes, but not crash, write outside its output, or allocate by what the payload says.
// The address sanitizer's run of this test sees what reads outside the payload.
#include <algorithm>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include "codec/codec.h"
#include "tests/support/allocations.h"
#include "tests/support/codec_blocks.h"
#include "tests/support/guarded.h"

namespace bitsnap {
namespace {

using test::Block;
using Buffer = std::vector<std::byte>;

constexpr size_t kMostRawBytes = 2100;

class HostilePayloadTest : public testing::TestWithParam<const Codec*> {
 protected:
  const Codec& codec() const { return *GetParam(); }

  // Every valid payload of all small blocks and of the large ones up to kMostRawBytes.
  void ForEachPayload(const std::function<void(const Block&, const Buffer&)>& body) {
    const auto with_payload = [&](const Block& block) {
      SCOPED_TRACE(block.label);
      if (testing::Test::HasFatalFailure()) return;
      const auto coded = test::EncodeBlock(codec(), block, scratch_);
      if (coded) body(block, *coded);
    };
    test::ForEachSmallBlock(codec(), with_payload);
    test::ForEachLargeBlock(codec(), kMostRawBytes, with_payload);
  }

  // `payload` is by value: of exactly its size, on the heap, for the address sanitizer.
  void Survives(const Block& block, Buffer payload) {
    payload.shrink_to_fit();
    const BlockContext context = block.context();
    const MutableBytes out = out_.Reset(block.raw.size());
    const size_t before = test::AllocatedBytes();
    const auto done = codec().Decode(context, payload, block.MutableLike(out), scratch_);
    ASSERT_LE(test::AllocatedBytes() - before, 4 * kBlockBytes);
    ASSERT_TRUE(out_.intact());
    if (done) return;
    ASSERT_EQ(done.error().kind, ErrorKind::kCorrupt);
    ASSERT_FALSE(done.error().message.empty());
  }

  Scratch scratch_;
  test::Guarded out_;
};

TEST_P(HostilePayloadTest, CutAtEveryLength) {
  ForEachPayload([this](const Block& block, const Buffer& payload) {
    for (size_t size = 0; size < payload.size(); ++size) {
      Survives(block, Buffer(payload.begin(), payload.begin() + size));
    }
  });
}

TEST_P(HostilePayloadTest, BytesAppended) {
  ForEachPayload([this](const Block& block, Buffer payload) {
    for (size_t more : {1, 8, 1000}) {
      Buffer longer = payload;
      longer.resize(payload.size() + more, std::byte{0x01});
      Survives(block, longer);
    }
  });
}

TEST_P(HostilePayloadTest, EveryByteFlipped) {
  ForEachPayload([this](const Block& block, Buffer payload) {
    for (std::byte& byte : payload) {
      for (std::byte flip : {std::byte{0x01}, std::byte{0x80}, std::byte{0xff}}) {
        byte ^= flip;
        Survives(block, payload);
        byte ^= flip;
      }
    }
  });
}

TEST_P(HostilePayloadTest, ExtremeFields) {
  ForEachPayload([this](const Block& block, const Buffer& payload) {
    for (size_t width : {2, 4, 8}) {
      for (size_t at = 0; at + width <= std::min<size_t>(payload.size(), 64); ++at) {
        for (std::byte top : {std::byte{0x00}, std::byte{0x7f}, std::byte{0x80}, std::byte{0xff}}) {
          Buffer changed = payload;
          std::fill_n(changed.begin() + at, width, top == std::byte{0} ? top : std::byte{0xff});
          changed[at + width - 1] = top;
          Survives(block, changed);
        }
      }
    }
  });
}

TEST_P(HostilePayloadTest, PayloadOfAnotherBlock) {
  std::vector<Buffer> payloads;
  ForEachPayload([&](const Block&, const Buffer& payload) { payloads.push_back(payload); });
  std::mt19937_64 random(5);
  ForEachPayload([&](const Block& block, const Buffer&) {
    for (int i = 0; i < 20; ++i) Survives(block, payloads[random() % payloads.size()]);
  });
}

TEST_P(HostilePayloadTest, RandomGarbage) {
  std::mt19937_64 random(7);
  ForEachPayload([&](const Block& block, const Buffer& payload) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{40}, payload.size(),
                        size_t{1500}, 2 * kBlockBytes / 64}) {
      Buffer garbage(size);
      for (std::byte& byte : garbage) byte = static_cast<std::byte>(random());
      Survives(block, garbage);
      // Behind a head that looks right.
      std::copy_n(payload.begin(), std::min<size_t>({payload.size(), size, 8}), garbage.begin());
      Survives(block, garbage);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Codecs, HostilePayloadTest,
                         testing::ValuesIn(AllCodecs().begin(), AllCodecs().end()),
                         [](const auto& test) { return std::string(test.param->name()); });

}  // namespace
}  // namespace bitsnap
