#include "store/descent.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <mutex>
#include <numeric>
#include <random>
#include <tuple>

#include <fmt/format.h>

#include "base/try.h"
#include "snapshot/index_rules.h"
#include "snapshot/layout.h"
#include "store/folder.h"
#include "store/replace.h"

namespace bitsnap {
namespace {

constexpr std::string_view kOrderPrefix = "order ";
constexpr size_t kMaxMarkBytes = 4096;
// Directories of machines do not see each other's steps: there ancestors stay that have none.
constexpr size_t kKeptAncestors = 256;

// An index's hash names its content, so that nothing here can be out of date.
class LineageCache {
 public:
  std::optional<Lineage> Find(const Hash128& hash) {
    const std::lock_guard lock(mutex_);
    const auto found = lineages_.find({hash.low, hash.high});
    return found == lineages_.end() ? std::nullopt : std::optional(found->second);
  }

  void Add(const Hash128& hash, const Lineage& lineage) {
    const std::lock_guard lock(mutex_);
    if (lineages_.size() >= kMaxEntries) lineages_.clear();
    lineages_.emplace(std::pair(hash.low, hash.high), lineage);
  }

 private:
  static constexpr size_t kMaxEntries = 1 << 16;
  std::mutex mutex_;
  std::map<std::pair<uint64_t, uint64_t>, Lineage> lineages_;  // guarded by mutex_
};

LineageCache& Cache() {
  static LineageCache cache;
  return cache;
}

struct FileEnds {
  SnapshotHeader header;
  Hash128 index_hash;
};

// Header and footer, which are enough to know an index that was read before.
Result<FileEnds> ReadEnds(const ReadableFile& file) {
  if (file.size() < kHeaderBytes + kFooterBytes) return Fail(ErrorKind::kTruncated, "no snapshot");
  std::vector<std::byte> bytes(kHeaderBytes);
  BITSNAP_TRY(file.Read(0, bytes));
  BITSNAP_ASSIGN(const SnapshotHeader header, ParseHeader(bytes));
  bytes.resize(kFooterBytes);
  BITSNAP_TRY(file.Read(file.size() - kFooterBytes, bytes));
  BITSNAP_ASSIGN(const Footer footer, ParseFooter(bytes));
  return FileEnds{header, footer.index_hash};
}

std::optional<StepOrigin> FindInCache(const StoreLocation& store, uint64_t step,
                                      const RankFileId& id) {
  const auto file = store.file_system->Open(store.StepFolder(step) / RankFileName(id));
  if (!file) return std::nullopt;
  const auto ends = ReadEnds(**file);
  if (!ends || ends->header.step != step) return std::nullopt;
  std::optional<Lineage> lineage = Cache().Find(ends->index_hash);
  if (!lineage) return std::nullopt;
  return StepOrigin{step, ends->header.save_id, std::move(lineage), {}};
}

bool IsMarked(const StepOrigin& origin, uint64_t order) {
  return origin.left_behind && *origin.left_behind > order;
}

uint64_t HighestOrder(const Line& line) {
  uint64_t order = 0;
  for (const StepOrigin& origin : line.steps) {
    if (origin.lineage) order = std::max(order, origin.lineage->order);
    // A mark that somebody made by hand is above all orders.
    if (origin.left_behind && *origin.left_behind <= kMaxRunOrder) {
      order = std::max(order, *origin.left_behind);
    }
  }
  return order;
}

// Whether another run has the same order: both began at once, and the one that saves next begins
// another.
bool HasRunBeside(const Line& line, const Lineage& lineage) {
  return std::ranges::any_of(line.steps, [&](const StepOrigin& origin) {
    return origin.lineage && origin.lineage->order == lineage.order &&
           origin.lineage->run != lineage.run;
  });
}

// The newest step on the line of `lineage`; not all of its ranks need be there.
const StepOrigin* NewestOf(const Line& line, const Lineage& lineage) {
  for (auto origin = line.steps.rbegin(); origin != line.steps.rend(); ++origin) {
    if (origin->lineage && lineage.Includes(origin->lineage->run, origin->step)) return &*origin;
  }
  return nullptr;
}

bool Has(const Line& line, const Lineage& lineage, uint64_t step) {
  return std::ranges::any_of(line.steps, [&](const StepOrigin& origin) {
    return origin.step == step && origin.lineage &&
           lineage.Includes(origin.lineage->run, origin.step);
  });
}

uint64_t NewRunId() {
  std::random_device random;
  const uint64_t id = (uint64_t{random()} << 32) | random();
  return id == 0 ? 1 : id;
}

bool HasStepOf(const Line& line, const Ancestor& ancestor) {
  return std::ranges::any_of(line.steps, [&](const StepOrigin& origin) {
    return origin.lineage && origin.lineage->run == ancestor.run && origin.step <= ancestor.up_to;
  });
}

Result<Lineage> NewRun(uint64_t order) {
  if (order >= kMaxRunOrder) {
    return Fail(ErrorKind::kInvalidArgument,
                "the store counts more runs than can be; save in another directory");
  }
  return Lineage{.run = NewRunId(), .order = order + 1, .parent = {}, .ancestors = {}};
}

// A run that goes on from `from` with `step`. What it goes back behind is not of its line.
Result<Lineage> Branch(const StoreLocation& store, const Line& line, uint64_t step,
                       const Predecessor& from, uint64_t order) {
  BITSNAP_ASSIGN(Lineage lineage, NewRun(order));
  lineage.parent = ParentSave{from.step, from.save_id};
  std::vector<Ancestor> ancestors{{from.lineage.run, from.step}};
  ancestors.insert(ancestors.end(), from.lineage.ancestors.begin(), from.lineage.ancestors.end());
  BITSNAP_ASSIGN(const bool keeps_all, IsPartial(store));
  for (Ancestor& ancestor : ancestors) {
    if (step < from.step && step == 0) break;
    if (step < from.step) ancestor.up_to = std::min(ancestor.up_to, step - 1);
    const bool is_nearest = lineage.ancestors.empty();
    if (is_nearest || keeps_all || HasStepOf(line, ancestor)) lineage.ancestors.push_back(ancestor);
    if (lineage.ancestors.size() == kKeptAncestors) break;
  }
  return lineage;
}

Lineage After(Lineage lineage, uint64_t step, uint64_t save_id) {
  if (lineage.run != 0) lineage.parent = ParentSave{step, save_id};
  return lineage;
}

Result<Lineage> ContinueWith(const StoreLocation& store, const Line& line, uint64_t step,
                             const Predecessor& from, uint64_t order) {
  order = std::max(order, from.lineage.order);
  const StepOrigin* newest = NewestOf(line, from.lineage);
  const bool is_newest = !from.passed_over_newer && from.lineage.order == order &&
                         !HasRunBeside(line, from.lineage) &&
                         (newest == nullptr || newest->step <= from.step);
  // A number that is there is refused, or replaced if that is asked for.
  const bool is_there = !from.is_restored && Has(line, from.lineage, step);
  if ((is_newest && step >= from.step) || is_there) {
    return After(from.lineage, from.step, from.save_id);
  }
  return Branch(store, line, step, from, order);
}

std::string MarkContent(const StepOrigin& head) {
  return fmt::format(
      "{}{}\nA newer run ({:016x}) went back to an earlier step and has saved step {}: restoring "
      "the newest step does not come here.\n`bitsnap prune --abandoned` removes this step.\n",
      kOrderPrefix, head.lineage->order, head.lineage->run, head.step);
}

}  // namespace

Descent FindDescent(std::span<const StepOrigin> steps,
                    const std::function<bool(size_t)>& is_whole) {
  std::vector<size_t> newest_first;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].lineage) newest_first.push_back(i);
  }
  std::sort(newest_first.begin(), newest_first.end(), [&](size_t a, size_t b) {
    const auto rank = [&](size_t i) {
      return std::tuple(steps[i].lineage->order, steps[i].lineage->run, steps[i].step);
    };
    return rank(a) > rank(b);
  });
  Descent descent;
  for (const size_t i : newest_first) {
    if (IsMarked(steps[i], steps[i].lineage->order) || !is_whole(i)) continue;
    descent.head = i;
    break;
  }
  const Lineage* head = descent.head ? &*steps[*descent.head].lineage : nullptr;
  for (const StepOrigin& each : steps) {
    // One of a higher order is not whole yet. Runs that began at once have the same, and neither
    // left the other behind.
    const bool is_elsewhere = head && each.lineage && each.lineage->order < head->order &&
                              !head->Includes(each.lineage->run, each.step);
    descent.is_abandoned.push_back(is_elsewhere || IsMarked(each, head ? head->order : 0));
  }
  return descent;
}

std::optional<uint64_t> ReadLeftBehind(const StoreLocation& store, uint64_t step) {
  const auto path = store.StepFolder(step) / kAbandonedFileName;
  if (store.file_system->Type(path) != FileType::kFile) return std::nullopt;
  uint64_t order = std::numeric_limits<uint64_t>::max();
  const auto file = store.file_system->Open(path);
  if (!file) return order;
  std::string text(std::min<uint64_t>((*file)->size(), kMaxMarkBytes), '\0');
  if (!(*file)->Read(0, std::as_writable_bytes(std::span(text)))) return order;
  if (!text.starts_with(kOrderPrefix)) return order;
  uint64_t number = 0;
  const char* digits = text.data() + kOrderPrefix.size();
  const auto parsed = std::from_chars(digits, text.data() + text.size(), number);
  return parsed.ec == std::errc() ? number : order;
}

Result<StepOrigin> ReadOrigin(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  if (auto origin = FindInCache(store, step, id)) return *std::move(origin);
  return OpenOrigin(store, step, id);
}

Result<StepOrigin> OpenOrigin(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  BITSNAP_ASSIGN(const SnapshotReader file, OpenRankFile(store, step, id));
  Cache().Add(file.index_hash(), file.index().lineage);
  return StepOrigin{step, file.header().save_id, file.index().lineage, {}};
}

StepOrigin ReadOrigin(const StoreLocation& store, uint64_t step) {
  StepOrigin origin{.step = step, .save_id = 0, .lineage = {}, .left_behind = {}};
  const auto ids = ListRankFiles(store, step);
  if (!ids) return origin;
  for (const RankFileId& id : *ids) {
    Result<StepOrigin> read = ReadOrigin(store, step, id);
    if (!read) continue;
    origin = *std::move(read);
    break;
  }
  origin.left_behind = ReadLeftBehind(store, step);
  return origin;
}

StepOrigin OriginOf(const StoreLocation& store, uint64_t step, const StepSurvey& survey) {
  StepOrigin origin{step, 0, std::nullopt, ReadLeftBehind(store, step)};
  for (const auto& [id, file] : survey.files) {
    // Where the step is whole, of the world that makes it so.
    if (!file || (!survey.problem && id.world_size != survey.world_size)) continue;
    origin.save_id = file->header.save_id;
    origin.lineage = file->lineage;
    break;
  }
  return origin;
}

std::vector<uint64_t> Line::NotAbandoned() const {
  std::vector<uint64_t> numbers;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!descent.is_abandoned[i]) numbers.push_back(steps[i].step);
  }
  return numbers;
}

std::vector<uint64_t> Line::Abandoned() const {
  std::vector<uint64_t> numbers;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (descent.is_abandoned[i]) numbers.push_back(steps[i].step);
  }
  return numbers;
}

bool Line::IsAbandoned(uint64_t step) const {
  return std::ranges::binary_search(Abandoned(), step);
}

Result<Line> ReadLine(const StoreLocation& store) {
  BITSNAP_ASSIGN(const std::vector<uint64_t> steps, ListSteps(store));
  Line line;
  for (const uint64_t step : steps) line.steps.push_back(ReadOrigin(store, step));
  line.descent = FindDescent(
      line.steps, [&](size_t i) { return !SurveyStep(store, line.steps[i].step).problem; });
  return line;
}

void RemoveMark(const StoreLocation& store, uint64_t step) {
  const auto folder = store.StepFolder(step);
  const auto path = folder / kAbandonedFileName;
  if (store.file_system->Type(path) == FileType::kNone) return;
  (void)RemoveIfThere(*store.file_system, path);
  // A power cut must not bring it back: it would count once the newer run cannot be read any more.
  (void)store.file_system->SyncDirectory(folder);
}

void MarkAbandoned(const StoreLocation& store, const Line& line) {
  const StepOrigin* head = line.head();
  if (head == nullptr) return;
  for (size_t i = 0; i < line.steps.size(); ++i) {
    const StepOrigin& origin = line.steps[i];
    const auto path = store.StepFolder(origin.step) / kAbandonedFileName;
    const bool is_marked = origin.left_behind.has_value();
    // One of before the step was saved anew counts for nothing.
    const bool counts = is_marked && (!origin.lineage || IsMarked(origin, origin.lineage->order));
    if (line.descent.is_abandoned[i] && !counts) {
      (void)ReplaceFile(*store.file_system, path, [&](WritableFile& file) {
        return file.Append(AsBytes(MarkContent(*head)));
      });
    } else if (!line.descent.is_abandoned[i] && is_marked) {
      RemoveMark(store, origin.step);
    }
  }
}

Result<Lineage> JoinLine(const StoreLocation& store) {
  BITSNAP_ASSIGN(const Line line, ReadLine(store));
  const StepOrigin* head = line.head();
  if (head == nullptr) return Lineage();
  return After(*head->lineage, head->step, head->save_id);
}

Result<Lineage> ContinueLine(const StoreLocation& store, uint64_t step,
                             const std::optional<Predecessor>& from) {
  BITSNAP_ASSIGN(const Line line, ReadLine(store));
  const uint64_t order = HighestOrder(line);
  if (from) return ContinueWith(store, line, step, *from, order);
  // While no step is whole, the other ranks of the first one may be on their way.
  const Descent with_broken = FindDescent(line.steps, [](size_t) { return true; });
  const StepOrigin* head = line.head();
  if (head == nullptr && with_broken.head) head = &line.steps[*with_broken.head];
  if (head == nullptr) return NewRun(order);
  const StepOrigin* newest = NewestOf(line, *head->lineage);
  if (step < newest->step && !Has(line, *head->lineage, step)) return NewRun(order);
  return ContinueWith(store, line, step,
                      {newest->step, newest->save_id, *head->lineage, false, false}, order);
}

namespace {

// A newer run, or one that began at the same time, was not left behind: its steps are not replaced.
bool IsBehind(const StepOrigin& origin, const Lineage& lineage) {
  return origin.lineage->order < lineage.order &&
         !lineage.Includes(origin.lineage->run, origin.step);
}

}  // namespace

bool IsLeftBehind(const StoreLocation& store, const SaveOptions& options, const Lineage& lineage) {
  const auto ids = ListRankFiles(store, options.step);
  if (!ids) return false;
  const std::optional<uint64_t> mark = ReadLeftBehind(store, options.step);
  const bool is_marked = mark && *mark <= lineage.order;
  bool is_any_left_behind = false;
  for (const RankFileId& id : *ids) {
    const Result<StepOrigin> origin = OpenOrigin(store, options.step, id);
    if (origin ? IsBehind(*origin, lineage) : is_marked) {
      is_any_left_behind = true;
    } else if (!origin || origin->save_id != options.save_id || id.rank == options.rank) {
      return false;
    }
  }
  return is_any_left_behind;
}

}  // namespace bitsnap
