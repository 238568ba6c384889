// Names in a store's directory. docs/store.md shows the whole tree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitsnap {

// "step-00000500"; more digits when the step needs them.
std::string StepFolderName(uint64_t step);
// Only for a name that StepFolderName gives.
std::optional<uint64_t> ParseStepFolderName(std::string_view name);

struct RankFileId {
  uint32_t rank = 0;
  uint32_t world_size = 1;
  auto operator<=>(const RankFileId&) const = default;
};

// "rank-00000-of-00008.bsnap"
std::string RankFileName(const RankFileId& id);
std::optional<RankFileId> ParseRankFileName(std::string_view name);

// "rank-00000-of-00008.base-00000500.bsnap": the hard link to the base of a delta. With the start
// of the base's hash, "….base-00000500-0123456789abcdef.bsnap", where a link of the first name
// leads to another file, on which the rank file to be replaced may lean.
std::string BaseLinkName(const RankFileId& id, uint64_t base_step, std::string_view hash = {});
inline constexpr size_t kBaseLinkHashDigits = 16;

struct BaseLinkId {
  RankFileId delta;
  uint64_t base_step = 0;
};
std::optional<BaseLinkId> ParseBaseLinkName(std::string_view name);
// Whether `name` is a base link of rank file `id`, whatever the base's step.
bool IsBaseLinkOf(std::string_view name, const RankFileId& id);

// ".tmp-<process>-<number>", different in every call.
std::string TemporaryEnding();
// ".<name>.tmp-<process>-<number>": what will be renamed to `name`. What one save makes has one
// ending.
std::string TemporaryName(std::string_view name, std::string_view ending = TemporaryEnding());
// The <name> of a temporary's name; a view into it.
std::optional<std::string_view> TargetOfTemporary(std::string_view temporary);
// The rank file to which a temporary, its own or its base link's, belongs.
std::optional<RankFileId> RankOfTemporary(std::string_view temporary);

// Says that this directory holds the files of some ranks only, and other machines' those of the
// others: a step is then whole here without them.
inline constexpr std::string_view kPartialFileName = "PARTIAL";

// Lies in the folder of a step that a newer run left behind when it went back to an earlier one. It
// is for the case that none of that run's own files can be read any more.
inline constexpr std::string_view kAbandonedFileName = "ABANDONED";

// Names the newest whole step, for people and scripts; BitSnap itself never reads it.
inline constexpr std::string_view kLatestFileName = "LATEST";

}  // namespace bitsnap
