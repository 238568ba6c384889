#include <bitsnap/store.h>

#include "base/try.h"
#include "store/snapshot.h"
#include "store/step.h"

namespace bitsnap {
namespace {

struct SurveyedStep {
  uint64_t step = 0;
  StepSurvey survey;
};

uint64_t RawBytes(const std::vector<SurveyedStep>& steps) {
  uint64_t bytes = 0;
  for (const SurveyedStep& each : steps) {
    for (const auto& [id, file] : each.survey.files) bytes += file ? file->raw_bytes : 0;
  }
  return bytes;
}

// What can be told without decoding: files that do not open, and steps that are not whole.
void ReportSurvey(const SurveyedStep& surveyed, VerifyReport& report) {
  const auto& [step, survey] = surveyed;
  if (survey.problem) report.broken.push_back({step, *survey.problem});
  for (const auto& [id, file] : survey.files) {
    ++report.files;
    const bool is_the_problem =
        !file && survey.problem && survey.problem->message == file.error().message;
    if (!file && !is_the_problem) report.broken.push_back({step, file.error()});
  }
}

Result<void> VerifyFile(const StoreLocation& store, uint64_t step, const RankFileId& id,
                        unsigned threads, const Progress& progress) {
  BITSNAP_ASSIGN(const Snapshot snapshot, OpenSnapshot(store, step, id));
  return snapshot.Verify(threads, progress);
}

}  // namespace

Result<VerifyReport> Store::Verify(std::optional<uint64_t> only, unsigned threads,
                                   const Progress& progress) const {
  const StoreLocation store{directory_, file_system_};
  std::vector<uint64_t> steps;
  if (only) {
    BITSNAP_TRY(ListRankFiles(store, *only));  // kNotFound for a step that is not there
    steps = {*only};
  } else {
    BITSNAP_ASSIGN(steps, ListSteps(store));
  }
  std::vector<SurveyedStep> surveyed;
  for (uint64_t step : steps) surveyed.push_back({step, SurveyStep(store, step)});

  VerifyReport report;
  const uint64_t total = RawBytes(surveyed);
  for (const SurveyedStep& each : surveyed) {
    ReportSurvey(each, report);
    for (const auto& [id, file] : each.survey.files) {
      if (!file) continue;
      const Progress over_all = [&](uint64_t done, uint64_t) {
        return !progress || progress(report.raw_bytes + done, total);
      };
      Result<void> verified = VerifyFile(store, each.step, id, threads, over_all);
      if (!verified && verified.error().kind == ErrorKind::kCancelled) {
        return tl::make_unexpected(std::move(verified).error());
      }
      if (!verified) report.broken.push_back({each.step, std::move(verified).error()});
      report.raw_bytes += file->raw_bytes;
    }
  }
  return report;
}

}  // namespace bitsnap
