// What the agent keeps for one rank: its bound, the newest state, and who may have which memory.
#include "engine/agent/lane.h"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "engine/memory_file.h"
#include "engine/saver_test_util.h"

namespace bitsnap::agent {
namespace {

using namespace testing_util;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class LaneTest : public SaverTest {
 protected:
  static bool Heard(const Result<SaveReport>&) { return true; }

  Result<std::optional<Lent>> Reserve(uint64_t step, bool wait = false, const Contents* state = {},
                                      std::stop_token stop = {}) {
    const uint64_t bytes = Place(Views(state != nullptr ? *state : state_)).bytes;
    return lane_.Reserve(bytes, step, /*overwrite=*/false, wait, std::move(stop));
  }

  // As a client does: maps what was lent, copies and hands over.
  uint64_t HandOver(const Lent& lent, const SaveOptions& options, const Contents& state,
                    Lane::Tell tell = Heard) {
    const auto views = Views(state);
    Manifest manifest = Place(views);
    const Arena memory = *Arena::MapOf(Fd(dup(lent.fd)), lent.bytes, /*writable=*/true);
    EXPECT_TRUE(CopyInto(views, manifest, memory.bytes(), 1));
    EXPECT_TRUE(lane_.Submit(lent.id, std::move(manifest), options, std::move(tell)));
    return lent.id;
  }
  uint64_t HandOver(const SaveOptions& options) {
    return HandOver(**Reserve(options.step, /*wait=*/true), options, state_);
  }

  // Before the gate goes, nothing may wait for it any more.
  void Finish(Gate& gate) {
    gate.Open();
    static_cast<void>(lane_.Settle({}));
  }

  std::optional<uint64_t> NewestStep() {
    const auto lease = lane_.LeaseNewest();
    if (!lease) return std::nullopt;
    lane_.EndLease(lease->id, true);
    return lease->options.step;
  }

  const Contents state_ = SmallState(1, 5'000);
  Lane lane_{store_};
};

TEST_F(LaneTest, TheNewestStateStaysUntilANewerOneIsThereCompletely) {
  EXPECT_EQ(NewestStep(), std::nullopt);
  HandOver(At(1));
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_EQ(NewestStep(), 1);
  const auto lent = Reserve(2);
  ASSERT_TRUE(lent && *lent);
  EXPECT_EQ(NewestStep(), 1);  // lent, not handed over
  HandOver(**lent, At(2), state_);
  EXPECT_EQ(NewestStep(), 2);
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_TRUE(lane_.remembers());
  EXPECT_TRUE(lane_.is_idle());
  ExpectStep(store_, 1, state_);
  ExpectStep(store_, 2, state_);
}

TEST_F(LaneTest, TwoStatesFitWithoutASettingAndTakeTheSameMemoryInTurn) {
  Gate gate;
  const uint64_t first = HandOver(gate.At(1));
  const uint64_t second = HandOver(At(2));
  EXPECT_NE(first, second);
  EXPECT_FALSE(*Reserve(3));
  gate.Open();
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_EQ(HandOver(At(3)), first);
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_EQ(HandOver(At(4)), second);
}

// Should the agent die before it told, the client saves the state once more from its memory.
TEST_F(LaneTest, MemoryIsNotLentBeforeItsClientKnowsThatTheSaveIsOver) {
  std::atomic<bool> is_told = false;
  std::jthread waiting;
  const auto ask_for_memory = [&](const Result<SaveReport>&) {
    waiting = std::jthread([&] {
      EXPECT_TRUE(*Reserve(3, /*wait=*/true));
      EXPECT_TRUE(is_told);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    is_told = true;
    return true;
  };
  Gate gate;
  HandOver(**Reserve(1), gate.At(1), state_, ask_for_memory);
  HandOver(At(2));
  Finish(gate);
}

TEST_F(LaneTest, WhoWasToldFindsTheMemoryFree) {
  std::jthread asking;
  const auto tell = [&](const Result<SaveReport>&) {
    asking = std::jthread([&] { EXPECT_TRUE(*Reserve(3)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return true;
  };
  Gate gate;
  HandOver(**Reserve(1), gate.At(1), state_, tell);
  HandOver(At(2));
  Finish(gate);
}

// It may live, and save the state once more from there.
TEST_F(LaneTest, MemoryOfAClientThatCannotBeToldIsNotUsedAgain) {
  const auto lent = *Reserve(1);
  HandOver(*lent, At(1), state_, [](const Result<SaveReport>&) { return false; });
  HandOver(At(2));
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_THAT((*Reserve(3))->alive, Not(Contains(lent->id)));
}

TEST_F(LaneTest, MemoryMadeBeforehandIsWhatTheNextStateGets) {
  const uint64_t first = HandOver(At(1));
  ASSERT_TRUE(lane_.Settle({}));
  const auto spare = lane_.ReserveSpare(Place(Views(state_)).bytes);
  ASSERT_TRUE(spare && *spare);
  EXPECT_NE((*spare)->id, first);
  EXPECT_FALSE(*lane_.ReserveSpare(1));  // no room for more
  lane_.Release((*spare)->id, /*is_intact=*/true);
  EXPECT_EQ(HandOver(At(2)), (*spare)->id);
}

TEST_F(LaneTest, NothingIsGivenUpForMemoryBeforehand) {
  lane_.Enter(RoundUpToPages(Place(Views(state_)).bytes));
  HandOver(At(1));
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_FALSE(*lane_.ReserveSpare(1));
  EXPECT_EQ(NewestStep(), 1);
}

TEST_F(LaneTest, WhereThereIsRoomForOneTheNewestIsGivenUpOnceItIsSaved) {
  lane_.Enter(RoundUpToPages(Place(Views(state_)).bytes));
  Gate gate;
  HandOver(gate.At(1));
  EXPECT_FALSE(*Reserve(2));
  EXPECT_EQ(NewestStep(), 1);
  std::jthread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    gate.Open();
  });
  const auto lent = Reserve(2, /*wait=*/true);
  ASSERT_TRUE(lent && *lent);
  EXPECT_EQ(NewestStep(), std::nullopt);
  EXPECT_FALSE(*Reserve(3));
}

TEST_F(LaneTest, WhatWasAskedForInVainIsNotInTheBound) {
  for (const uint64_t bytes : {~uint64_t{0}, ~uint64_t{0} - 4096, uint64_t{1} << 62}) {
    EXPECT_EQ(lane_.Reserve(bytes, 1, false, false, {}).error().kind, ErrorKind::kOutOfMemory);
  }
  Gate gate;
  HandOver(gate.At(1));
  HandOver(At(2));
  EXPECT_FALSE(*Reserve(3));
  Finish(gate);
}

TEST_F(LaneTest, WhatIsForgottenIsSavedAllTheSame) {
  Gate gate;
  HandOver(gate.At(1));
  lane_.Forget();
  EXPECT_EQ(lane_.under_way(), 1);
  Finish(gate);
  ExpectStep(store_, 1, state_);
  EXPECT_FALSE(lane_.remembers());
  lane_.Enter(0);
  HandOver(At(2));
  lane_.Forget();  // somebody is there
  EXPECT_EQ(NewestStep(), 2);
  ASSERT_TRUE(lane_.Settle({}));
}

TEST_F(LaneTest, WaitingCanBeStopped) {
  Gate gate;
  HandOver(gate.At(1));
  HandOver(At(2));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(Reserve(3, true, {}, stop.get_token()).error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(lane_.Settle(stop.get_token()).error().kind, ErrorKind::kCancelled);
  Finish(gate);
}

TEST_F(LaneTest, AStateBeyondTheBoundOrSavedAlreadyIsRefused) {
  lane_.Enter(4096);
  EXPECT_EQ(Reserve(1).error().kind, ErrorKind::kInvalidArgument);
  lane_.Enter(0);
  Gate gate;
  HandOver(gate.At(1));
  EXPECT_EQ(Reserve(1).error().kind, ErrorKind::kAlreadyExists);
  EXPECT_TRUE(*lane_.Reserve(1, 1, /*overwrite=*/true, false, {}));
  Finish(gate);
}

TEST_F(LaneTest, MemoryOfAClientThatMayStillWriteIsNotUsedAgain) {
  const uint64_t abandoned = (*Reserve(1))->id;
  lane_.Release(abandoned, /*is_intact=*/false);
  const uint64_t next = (*Reserve(1))->id;
  EXPECT_NE(next, abandoned);
  EXPECT_THAT((*Reserve(1))->alive, Not(Contains(abandoned)));
  lane_.Release(next, /*is_intact=*/true);
  EXPECT_EQ((*Reserve(1))->id, next);
}

TEST_F(LaneTest, OnlyWhatWasLentCanBeHandedOver) {
  const auto lent = *Reserve(1);
  Manifest manifest = Place(Views(state_));
  EXPECT_FALSE(lane_.Submit(lent->id + 1, manifest, At(1), Heard));
  manifest.bytes = lent->bytes + 1;
  EXPECT_FALSE(lane_.Submit(lent->id, manifest, At(1), Heard));
  HandOver(*lent, At(1), state_);
  EXPECT_FALSE(lane_.Submit(lent->id, Place(Views(state_)), At(1), Heard));
}

TEST_F(LaneTest, AGrowingStateLetsGoOfSmallerMemory) {
  const uint64_t small = HandOver(At(1));
  ASSERT_TRUE(lane_.Settle({}));
  const Contents large = SmallState(2, 50'000);
  for (uint64_t step : {2, 3}) {
    HandOver(**Reserve(step, true, &large), At(step), large);
    ASSERT_TRUE(lane_.Settle({}));
  }
  EXPECT_THAT((*Reserve(4, true, &large))->alive, Not(Contains(small)));
}

TEST_F(LaneTest, ALeasedStateIsNotOverwritten) {
  HandOver(At(1));
  const auto lease = lane_.LeaseNewest();
  ASSERT_TRUE(lease);
  const Arena memory =
      *Arena::MapOf(Fd(dup(lease->fd)), *MemoryFileSize(lease->fd), /*writable=*/false);
  HandOver(At(2));
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_FALSE(*Reserve(3));  // one is leased, one the newest
  const auto views = ViewsOf(lease->manifest, memory.bytes());
  for (size_t i = 0; i < views.size(); ++i) {
    EXPECT_TRUE(std::equal(views[i].bytes.begin(), views[i].bytes.end(), state_[i].second.begin()));
  }
  lane_.EndLease(lease->id, true);
  EXPECT_TRUE(*Reserve(3));
}

TEST_F(LaneTest, WhatWasRemovedOrReplacedOnDiskIsNotOffered) {
  HandOver(At(1));
  ASSERT_TRUE(lane_.Settle({}));
  SaveOptions again = At(1);
  again.save_id = 5;
  again.overwrite = true;
  ASSERT_TRUE(Save(store_, state_, again));
  EXPECT_EQ(NewestStep(), std::nullopt);
  HandOver(At(2));
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_EQ(NewestStep(), 2);
  std::filesystem::remove_all(store_.directory() / "step-00000002");
  EXPECT_EQ(NewestStep(), std::nullopt);
}

TEST_F(LaneTest, AStoreMadeAnewIsAnotherOne) {
  Gate gate;
  HandOver(gate.At(1));
  EXPECT_EQ(NewestStep(), 1);
  const auto old = directory_.path() / "old";
  std::filesystem::rename(store_.directory(), old);
  EXPECT_EQ(NewestStep(), std::nullopt);
  std::filesystem::create_directory(store_.directory());
  EXPECT_EQ(NewestStep(), std::nullopt);
  Finish(gate);
}

TEST_F(LaneTest, AFailureThatNobodyHeardIsToldToTheNextClient) {
  Gate gate;
  HandOver(**Reserve(1), gate.At(1), state_, [](const Result<SaveReport>&) { return false; });
  std::filesystem::remove_all(store_.directory());
  gate.Open();
  const auto failures = lane_.Settle({});
  ASSERT_TRUE(failures);
  ASSERT_THAT(*failures, SizeIs(1));
  EXPECT_THAT((*failures)[0], HasSubstr("step 1, which an earlier process handed"));
  EXPECT_THAT(*lane_.Settle({}), IsEmpty());
}

TEST_F(LaneTest, TheLastGoodbyeTakesTheStateWithIt) {
  lane_.Enter(0);
  lane_.Enter(0);
  HandOver(At(1));
  ASSERT_TRUE(lane_.Settle({}));
  EXPECT_FALSE(lane_.Leave(/*forget=*/true));
  EXPECT_TRUE(lane_.remembers());
  EXPECT_TRUE(lane_.Leave(/*forget=*/true));
  EXPECT_FALSE(lane_.remembers());
}

}  // namespace
}  // namespace bitsnap::agent
