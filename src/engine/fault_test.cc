// Saving in the background on a disk that fails at every single operation in turn, and one that
// loses power there; StoreFaultTest has the same for the store alone.
#include <gmock/gmock.h>

#include "engine/saver_test_util.h"
#include "store/fault_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

class SaverFaultTest : public FaultTest {
 protected:
  static SaveOptions At(uint64_t step, bool overwrite = false) {
    return {.step = step, .threads = 1, .overwrite = overwrite};
  }
};

TEST_P(SaverFaultTest, AFailureIsToldOnceAndTheNextSaveWorks) {
  for (uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    MemoryFileSystem memory;
    FaultFileSystem fs(&memory);
    Saver saver = *Saver::Start(*Store::OpenOrCreate("/s", &fs));
    ASSERT_TRUE(saver.Save(Views(first_), At(1)));
    ASSERT_TRUE(saver.Wait());

    fs.Set(GetParam().At(at));
    const auto ticket = saver.Save(Views(second_), At(2));
    const auto waited = saver.Wait();
    const bool all_done = fs.operations() < at;
    fs.Set({});
    EXPECT_EQ(saver.pending(), 0u);
    if (ticket && waited) {
      EXPECT_EQ(saver.last_durable_step(), 2);
    } else {
      EXPECT_FALSE(all_done);
      EXPECT_EQ(saver.last_durable_step(), 1);
      EXPECT_FALSE((ticket ? waited.error() : ticket.error()).message.empty());
    }
    EXPECT_TRUE(saver.Wait());  // told already

    const Store store = *Store::Open("/s", &memory);
    ExpectStep(store, 1, first_);
    ASSERT_TRUE(saver.Save(Views(second_), At(2, true)));
    ASSERT_TRUE(saver.Close());
    ExpectStep(store, 2, second_);
    if (all_done) break;
    ASSERT_LT(at, 1000u);
  }
}

TEST_P(SaverFaultTest, APowerCutNeverTakesTheLastDurableStep) {
  for (uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    MemoryFileSystem memory;
    FaultFileSystem fs(&memory);
    ASSERT_TRUE(memory.CreateDirectory("/s"));
    ASSERT_TRUE(memory.SyncDirectory("/"));
    std::optional<uint64_t> durable;
    bool all_done = false;
    {
      Saver saver = *Saver::Start(*Store::Open("/s", &fs));
      Fault fault = GetParam().At(at);
      fault.lasting = true;
      fs.Set(fault);
      static_cast<void>(saver.Save(Views(first_), At(1)));
      static_cast<void>(saver.Save(Views(second_), At(2)));
      static_cast<void>(saver.Close());
      durable = saver.last_durable_step();
      all_done = fs.operations() < at;
    }
    memory.PowerCut();
    // As after a reboot: another process restores, and training goes on.
    Store store = *Store::OpenOrCreate("/s", &memory);
    if (durable) ExpectStep(store, *durable, *durable == 1 ? first_ : second_);
    Saver saver = *Saver::Start(store);
    ASSERT_TRUE(saver.Save(Views(first_), At(3)));
    ASSERT_TRUE(saver.Close());
    ExpectStep(store, 3, first_);
    if (all_done) {
      EXPECT_EQ(durable, 2);
      break;
    }
    ASSERT_LT(at, 1000u);
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, SaverFaultTest, testing::ValuesIn(kFaultCases));

}  // namespace
}  // namespace bitsnap
