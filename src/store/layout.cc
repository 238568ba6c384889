#include "store/layout.h"

#include <unistd.h>

#include <atomic>
#include <charconv>

#include <fmt/format.h>

namespace bitsnap {
namespace {

// Takes digits off the front of `text`; nullopt when there are none or they overflow.
template <class T>
std::optional<T> TakeNumber(std::string_view& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string RankStem(const RankFileId& id) {
  return fmt::format("rank-{:05}-of-{:05}", id.rank, id.world_size);
}

}  // namespace

std::string StepFolderName(uint64_t step) { return fmt::format("step-{:08}", step); }

std::optional<uint64_t> ParseStepFolderName(std::string_view name) {
  std::string_view rest = name;
  if (!TakePrefix(rest, "step-")) return std::nullopt;
  const auto step = TakeNumber<uint64_t>(rest);
  if (!step || StepFolderName(*step) != name) return std::nullopt;
  return step;
}

std::string RankFileName(const RankFileId& id) { return RankStem(id) + ".bsnap"; }

std::optional<RankFileId> ParseRankFileName(std::string_view name) {
  std::string_view rest = name;
  if (!TakePrefix(rest, "rank-")) return std::nullopt;
  const auto rank = TakeNumber<uint32_t>(rest);
  if (!rank || !TakePrefix(rest, "-of-")) return std::nullopt;
  const auto world_size = TakeNumber<uint32_t>(rest);
  if (!world_size || *rank >= *world_size) return std::nullopt;
  const RankFileId id{*rank, *world_size};
  if (RankFileName(id) != name) return std::nullopt;
  return id;
}

std::optional<BaseLinkId> ParseBaseLinkName(std::string_view name) {
  constexpr std::string_view kMark = ".base-";
  const size_t mark = name.find(kMark);
  if (mark == std::string_view::npos) return std::nullopt;
  const auto delta = ParseRankFileName(std::string(name.substr(0, mark)) + ".bsnap");
  std::string_view rest = name.substr(mark + kMark.size());
  const auto base_step = TakeNumber<uint64_t>(rest);
  std::string_view hash;
  if (TakePrefix(rest, "-")) hash = rest.substr(0, kBaseLinkHashDigits);
  const bool is_hex = hash.find_first_not_of("0123456789abcdef") == hash.npos;
  if (!delta || !base_step || !is_hex || BaseLinkName(*delta, *base_step, hash) != name) {
    return std::nullopt;
  }
  return BaseLinkId{*delta, *base_step};
}

std::string BaseLinkName(const RankFileId& id, uint64_t base_step, std::string_view hash) {
  if (hash.empty()) return fmt::format("{}.base-{:08}.bsnap", RankStem(id), base_step);
  return fmt::format("{}.base-{:08}-{}.bsnap", RankStem(id), base_step,
                     hash.substr(0, kBaseLinkHashDigits));
}

bool IsBaseLinkOf(std::string_view name, const RankFileId& id) {
  return name.starts_with(RankStem(id) + ".base-");
}

std::string TemporaryEnding() {
  static std::atomic<uint64_t> counter = 0;
  return fmt::format(".tmp-{}-{}", getpid(), counter++);
}

std::string TemporaryName(std::string_view name, std::string_view ending) {
  return fmt::format(".{}{}", name, ending);
}

std::optional<std::string_view> TargetOfTemporary(std::string_view temporary) {
  constexpr std::string_view kMark = ".tmp-";
  const size_t mark = temporary.rfind(kMark);
  if (!temporary.starts_with('.') || mark == std::string_view::npos || mark == 0) {
    return std::nullopt;
  }
  std::string_view rest = temporary.substr(mark + kMark.size());
  if (!TakeNumber<uint64_t>(rest) || !TakePrefix(rest, "-") || !TakeNumber<uint64_t>(rest) ||
      !rest.empty()) {
    return std::nullopt;
  }
  return temporary.substr(1, mark - 1);
}

std::optional<RankFileId> RankOfTemporary(std::string_view temporary) {
  const auto target = TargetOfTemporary(temporary);
  if (!target) return std::nullopt;
  if (const auto link = ParseBaseLinkName(*target)) return link->delta;
  return ParseRankFileName(*target);
}

}  // namespace bitsnap
