// Where the steps of a store come from, and the files that say which were left behind.
#pragma once

#include <vector>

#include <bitsnap/descent.h>

#include "store/step.h"

namespace bitsnap {

// The order in a step's file kAbandonedFileName, the highest where that says none; nullopt when
// there is none.
std::optional<uint64_t> ReadLeftBehind(const StoreLocation& store, uint64_t step);

// What the file's index says; read once a process for each content.
Result<StepOrigin> ReadOrigin(const StoreLocation& store, uint64_t step, const RankFileId& id);

// The same, and the index is read in any case: whether it can be may have changed.
Result<StepOrigin> OpenOrigin(const StoreLocation& store, uint64_t step, const RankFileId& id);

// Of the first rank file that can be opened.
StepOrigin ReadOrigin(const StoreLocation& store, uint64_t step);

// The same of a step that has been surveyed.
StepOrigin OriginOf(const StoreLocation& store, uint64_t step, const StepSurvey& survey);

// The steps of a store with what they descend from.
struct Line {
  std::vector<StepOrigin> steps;  // oldest first
  Descent descent;

  const StepOrigin* head() const { return descent.head ? &steps[*descent.head] : nullptr; }
  // The steps that RestoreNewest may try, oldest first.
  std::vector<uint64_t> NotAbandoned() const;
  std::vector<uint64_t> Abandoned() const;
  bool IsAbandoned(uint64_t step) const;
};

Result<Line> ReadLine(const StoreLocation& store);

// Takes from a step the file that says it was left behind, durably. Errors are left alone.
void RemoveMark(const StoreLocation& store, uint64_t step);

// Gives the steps that `line` abandons the file that says so, and takes it from the others. Errors
// are left alone: the next save does it again.
void MarkAbandoned(const StoreLocation& store, const Line& line);

// The lineage for a save that does not say its own: that of the current run.
Result<Lineage> JoinLine(const StoreLocation& store);

// Store::NextLineage.
Result<Lineage> ContinueLine(const StoreLocation& store, uint64_t step,
                             const std::optional<Predecessor>& from);

// Whether what is in the folder of the step that `options` are about was left behind by their run,
// which `lineage` names: it is replaced without being asked. Other ranks may have replaced theirs.
bool IsLeftBehind(const StoreLocation& store, const SaveOptions& options, const Lineage& lineage);

}  // namespace bitsnap
