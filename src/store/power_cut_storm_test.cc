// Power cuts at random file operations of random saves, overwrites, rollbacks, prunes and repairs,
// on a disk that also loses bits. BITSNAP_STORM_ROUNDS makes the storm longer (`make soak`), and
// BITSNAP_STORM_SEED another one.
#include <cstdlib>
#include <set>

#include <fmt/format.h>

#include "store/fault_test_util.h"
#include "store/storm_account.h"

namespace bitsnap {
namespace {

using namespace testing_util;

constexpr uint64_t kOperationsOfASave = 60;  // about so many
constexpr size_t kTold = 40;                 // so much of what was done is told of a failure

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Of a save; some share all but the weight.
Contents ContentOf(uint64_t number, uint32_t rank) {
  return Step(SmallState(number / 3 + 100 * rank, 300), number);
}

class Storm {
 public:
  Storm(uint64_t seed, uint32_t ranks) : random_(seed), ranks_(ranks) {
    EXPECT_TRUE(memory_.CreateDirectory("/s"));
    EXPECT_TRUE(memory_.SyncDirectory("/"));
    StartProcess();
  }

  // What was done last.
  std::string Told() const {
    std::string told = account_.Told();
    for (size_t i = history_.size() - std::min<size_t>(history_.size(), kTold); i < history_.size();
         ++i) {
      told += "\n  " + history_[i];
    }
    return told;
  }

  // Saves, prunes or repairs until something is durable, or the power goes; and looks.
  void Round() {
    held_ = HeldSaves();
    held_ = HeldSaves();
    held_ = HeldSaves();
    const bool cut = account_.floor() != nullptr && Chance(60);
    if (cut) fs_.Set(Fault{1 + random_() % kOperationsOfASave, ErrorKind::kIo, Chance(50), true});
    Act();
    const uint64_t operations = fs_.operations();
    fs_.Set({});
    if (cut) history_.push_back(fmt::format("power cut after {} operations", operations));
    if (cut) memory_.PowerCut([&] { return Chance(50); });
    if (cut || Chance(30)) StartProcess();
    Look();
    if (Chance(15)) Damage();
  }

  uint64_t durable() const { return durable_; }

 private:
  bool Chance(unsigned percent) { return random_() % 100 < percent; }

  void StartProcess() {
    if (auto store = Store::Open("/s", &fs_)) store_ = *std::move(store);
    from_.reset();
  }

  void Act() {
    const uint64_t kind = random_() % 100;
    if (account_.floor() == nullptr || kind < 45) {
      SaveNext();
    } else if (kind < 60) {
      GoBack();
    } else if (kind < 65) {
      StartAfresh();
    } else if (kind < 75) {
      Overwrite();
    } else if (kind < 90) {
      history_.push_back("prune");
      (void)store_->Prune(RandomPolicy());
    } else {
      history_.push_back("repair");
      (void)store_->Repair({.min_age = std::chrono::seconds(0)});
    }
  }

  RetentionPolicy RandomPolicy() {
    RetentionPolicy policy;
    const uint64_t kind = random_() % 8;
    if (kind != 0) policy.keep_last = 1 + random_() % 3;
    if (kind < 3) policy.drop_optimizer_older_than = random_() % 4;
    if (kind == 4) policy.keep_every = 3;
    return policy;
  }

  // What a run does.

  void SaveNext() {
    if (!from_) Restore();
    const StormSave* parent = from_ ? account_.Find(from_->save_id) : nullptr;
    SaveAll(parent ? parent->step + 1 + random_() % 2 : 1, parent);
  }

  void GoBack() {
    const StormSave* parent = std::next(held_.begin(), random_() % held_.size())->second;
    const auto snapshot = store_->OpenStep(parent->step);
    if (!snapshot) return;  // the power is gone
    from_ = Predecessor{parent->step, parent->number, snapshot->lineage(), true, false};
    SaveAll(parent->step + 1, parent);
  }

  void StartAfresh() {
    if (account_.floor()->step < 2) return;
    StartProcess();
    SaveAll(1, nullptr);
  }

  // Of two ranks one may come through and the other not, which is the end of the step.
  void Overwrite() {
    Restore();
    const StormSave* newest = account_.floor();
    if (ranks_ > 1) {
      if (account_.Fallback(held_, {newest}) == nullptr) return;
      account_.Damage(held_, {newest});
    }
    SaveAll(newest->step, newest->parent, /*overwrite=*/true);
  }

  void SaveAll(uint64_t step, const StormSave* parent, bool overwrite = false) {
    const auto lineage = store_->NextLineage(step, from_);
    if (!lineage) return;  // the power is gone
    const StormSave* save = account_.Attempt(step, parent);
    history_.push_back(
        fmt::format("save {}@{} after {}{}", save->number, step,
                    parent ? fmt::format("{}@{}", parent->number, parent->step) : "nothing",
                    overwrite ? ", overwriting" : ""));
    for (uint32_t rank = 0; rank < ranks_; ++rank) {
      SaveOptions options{.step = step, .rank = rank, .world_size = ranks_};
      options.save_id = save->number;
      options.profile = Chance(50) ? Profile::kFast : Profile::kExact;
      options.overwrite = overwrite;
      options.lineage = *lineage;
      if (Chance(60)) options.retention = RandomPolicy();
      if (!Save(*store_, ContentOf(save->number, rank), options)) return;
    }
    account_.Durable(save);
    history_.push_back("durable");
    from_ = Predecessor{step, save->number, *lineage, false, false};
    ++durable_;
  }

  // What the store gives.

  void Restore() {
    std::vector<PassedOver> passed_over;
    for (uint32_t rank = 0; rank < ranks_; ++rank) {
      passed_over.clear();
      (void)store_->RestoreNewest(
          rank,
          [&](const Snapshot& snapshot) {
            from_ =
                Predecessor{snapshot.step(), snapshot.save_id(), snapshot.lineage(), true, false};
            return ReadAll(snapshot).map([](const Contents&) {});
          },
          &passed_over);
    }
    if (from_) from_->passed_over_newer = !passed_over.empty();
  }

  // As a run of all ranks restores: the newest save that each of them can read.
  void Look() {
    if (account_.floor() == nullptr) return;
    std::set<const StormSave*> restored;
    uint64_t lowest = UINT64_MAX;
    for (uint32_t rank = 0; rank < ranks_; ++rank) {
      const auto step = store_->RestoreNewest(rank, [&](const Snapshot& snapshot) {
        return Take(snapshot, rank).map([&](const StormSave* save) { restored.insert(save); });
      });
      ASSERT_TRUE(step) << step.error().message;
      lowest = std::min(lowest, *step);
    }
    ASSERT_TRUE(restored.size() == 1 || has_damage_) << "ranks restored different saves";
    const StormSave* save = restored.size() == 1 ? *restored.begin() : NewestOfAllRanks(lowest);
    ASSERT_NE(save, nullptr);
    ASSERT_TRUE(account_.IsAllowed(save))
        << account_.Told() << "; restored " << save->number << "@" << save->step;
    account_.Restored(save);
    history_.push_back(fmt::format("restored {}@{}", save->number, save->step));
  }

  const StormSave* NewestOfAllRanks(uint64_t highest) {
    const auto steps = *store_->List();
    for (auto info = steps.rbegin(); info != steps.rend(); ++info) {
      if (info->step > highest || info->abandoned) continue;
      if (const StormSave* save = TakeOfAllRanks(*info)) return save;
    }
    return nullptr;
  }

  // Null where one cannot read the step.
  const StormSave* TakeOfAllRanks(const StepInfo& info) {
    const StormSave* save = nullptr;
    for (uint32_t rank = 0; info.whole && rank < ranks_; ++rank) {
      const auto snapshot = store_->OpenStep(info.step, rank);
      const auto taken = snapshot ? Take(*snapshot, rank) : tl::make_unexpected(snapshot.error());
      if (!taken) return nullptr;
      save = *taken;
    }
    return save;
  }

  Result<const StormSave*> Take(const Snapshot& snapshot, uint32_t rank) {
    const auto content = ReadAll(snapshot);
    if (!content) return tl::make_unexpected(content.error());
    const StormSave* save = account_.Find(snapshot.save_id());
    ExpectContent(*content, save, rank);
    return save;
  }

  void ExpectContent(const Contents& got, const StormSave* save, uint32_t rank) {
    Contents want = ContentOf(save->number, rank);
    if (got.size() < want.size() && save->has_later) {
      std::erase_if(want,
                    [](const auto& each) { return each.first.name.starts_with("optimizer."); });
    }
    ExpectSame(got, want);
  }

  // The saves that all ranks can read, by step.
  StormAccount::Held HeldSaves() {
    StormAccount::Held held;
    const auto steps = *store_->List();
    for (const StepInfo& info : steps) {
      if (const StormSave* save = TakeOfAllRanks(info)) held[info.step] = save;
    }
    return held;
  }

  // A bit flips in a file, or it ends early, or is gone; never the last one that restores.

  void Damage() {
    if (account_.floor() == nullptr) return;
    held_ = HeldSaves();
    const auto path = RandomFile();
    const bool deleted = Chance(25);
    const auto same = deleted ? std::vector{path} : LinksOf(path);
    std::vector<const StormSave*> spoilt;
    for (const auto& [step, save] : held_) {
      if (std::ranges::any_of(same, [&](const auto& each) {
            return each.parent_path() == path.parent_path().parent_path() / StepName(step);
          })) {
        spoilt.push_back(save);
      }
    }
    if (account_.Fallback(held_, spoilt) == nullptr) return;
    account_.Damage(held_, spoilt);
    has_damage_ = true;
    if (deleted) history_.push_back("deleted: " + path.string());
    Replace(same, deleted ? std::nullopt : std::optional(Damaged(path)));
    Look();
  }

  static std::string StepName(uint64_t step) { return fmt::format("step-{:08}", step); }

  std::vector<std::filesystem::path> Files() {
    std::vector<std::filesystem::path> files;
    for (const std::string& name : Tree(memory_, "/s")) {
      if (name.ends_with(".bsnap")) files.push_back(std::filesystem::path("/s") / name);
    }
    return files;
  }

  std::filesystem::path RandomFile() {
    std::vector<std::filesystem::path> files = Files();
    const auto folder = std::filesystem::path("/s") / StepName(account_.floor()->step);
    if (Chance(50)) std::erase_if(files, [&](const auto& p) { return p.parent_path() != folder; });
    return files[random_() % files.size()];
  }

  std::vector<std::filesystem::path> LinksOf(const std::filesystem::path& path) {
    auto files = Files();
    const uint64_t id = memory_.Status(path)->id;
    std::erase_if(files, [&](const auto& each) { return memory_.Status(each)->id != id; });
    return files;
  }

  std::vector<std::byte> Damaged(const std::filesystem::path& path) {
    const auto file = *memory_.Open(path);
    std::vector<std::byte> content(file->size());
    EXPECT_TRUE(file->Read(0, content));
    history_.push_back("damaged: " + path.string());
    if (Chance(25)) {
      content.resize(random_() % content.size());
    } else if (!content.empty()) {
      // The ends of a file, which say how to read it, as often as all else.
      const uint64_t reach = Chance(50) ? std::min<uint64_t>(content.size(), 400) : content.size();
      const uint64_t at = content.size() - 1 - random_() % reach;
      content[at] ^= std::byte{1} << random_() % 8;
    }
    return content;
  }

  // Puts one file with that content in the place of all, or nothing; durably.
  void Replace(const std::vector<std::filesystem::path>& paths,
               const std::optional<std::vector<std::byte>>& content) {
    for (const auto& path : paths) {
      ASSERT_TRUE(memory_.Remove(path));
      if (content && path == paths.front()) {
        const auto file = *memory_.Create(path);
        ASSERT_TRUE(file->Append(*content) && file->Sync() && file->Close());
      } else if (content) {
        ASSERT_TRUE(memory_.Link(paths.front(), path));
      }
      ASSERT_TRUE(memory_.SyncDirectory(path.parent_path()));
    }
  }

  MemoryFileSystem memory_;
  FaultFileSystem fs_{&memory_};
  std::mt19937_64 random_;
  const uint32_t ranks_;
  std::optional<Store> store_;
  std::optional<Predecessor> from_;  // of the process that runs
  StormAccount account_;
  StormAccount::Held held_;  // before the round's work
  bool has_damage_ = false;
  std::vector<std::string> history_;
  uint64_t durable_ = 0;
};

class PowerCutStormTest : public testing::TestWithParam<uint32_t> {};

TEST_P(PowerCutStormTest, WhatWasDurableIsThereOrALaterSaveOfItsLine) {
  const uint64_t rounds = FromEnvironment("BITSNAP_STORM_ROUNDS", 300);
  const uint64_t first = FromEnvironment("BITSNAP_STORM_SEED", 1);
  // Stores that begin anew, since an old one has seen everything once.
  for (uint64_t seed = first; seed < first + (rounds + 99) / 100; ++seed) {
    SCOPED_TRACE(fmt::format("BITSNAP_STORM_SEED={}", seed));
    Storm storm(seed, GetParam());
    for (uint64_t round = 0; round < 100; ++round) {
      SCOPED_TRACE(fmt::format("round {}", round));
      storm.Round();
      ASSERT_FALSE(HasFailure()) << storm.Told();
    }
    EXPECT_GT(storm.durable(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, PowerCutStormTest, testing::Values(1, 2));

}  // namespace
}  // namespace bitsnap
