#include "codec/adam/prepare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "codec/adam/choose_means.h"
#include "codec/adam/sample.h"
#include "codec/adam/sampled_run.h"

namespace bitsnap::adam {
namespace {

// Beyond, a single v could be off by more than a factor of two, whatever the mean error is.
constexpr double kMaxVStep = 2;

// Shares of the bound that the search aims at and that is not worth another pass to come closer.
constexpr double kAim = 0.988, kNearEnough = 0.97;
// The most of it: sums added in another order must keep it too.
constexpr double kMost = 1 - 1e-6;

// A large tensor's grids are settled on a sample, which is then believed to be within so many
// standard deviations of the whole, if these are within this share of the squared error. What comes
// of it is measured when the tensor is coded.
constexpr double kDeviations = 5, kMostDeviation = 0.08, kAimOnSample = 0.998;
// The last step towards it is only foretold: grids that came out of it may have a little less left.
constexpr double kDeviationsToStay = 4.5;

// By how much the length of a whole tensor's update may be off.
constexpr double kLengthTolerance = 0.008;

// Pairs to choose means and grids on, and to fit them more closely.
constexpr size_t kSmallSample = 8192, kLargeSample = 65536, kLargeShare = 16;

// Lossless coding of a pair takes about 54 bits.
constexpr double kPayingBits = 50;

// Error of u, relative, that a grid step of log2 v causes, per step: ln 2 / 2 / sqrt(12).
const double kErrorPerVStep = std::numbers::ln2 / std::sqrt(48.0);

// The steps of log2 v and u that spend half of the squared error each, if all is even.
double EvenVStep(double bound) {
  return std::min(kMaxVStep, bound / std::numbers::sqrt2 / kErrorPerVStep);
}

double EvenUStep(double bound, double rms) { return std::sqrt(6.0) * bound * rms; }

bool IsStraight(const UpdateSums& sums, double tolerance) {
  return std::abs(RelativeLength(sums) - 1) <= tolerance;
}

Stretch Straightened(Stretch stretch, const UpdateSums& sums) {
  return std::clamp(static_cast<float>(stretch / RelativeLength(sums)), kMinStretch, kMaxStretch);
}

struct Found {
  Grid grid;
  Stretch stretch = 1;
  double bits = 0;  // a pair
};

// Sets the step and the stretch of u so that the sample's error is `bound`, given the grid of v;
// false when no step does it.
bool FitU(const Sample& sample, double bound, double rms, Found& found) {
  const bool coarse = IsCoarse(found.grid);
  double low = 0, high = 8 * bound * rms;
  double step = EvenUStep(bound, rms);
  for (int round = 0; round < 8; ++round) {
    found.grid.u_step = static_cast<float>(step);
    const UpdateSums sums = sample.Measure(found.grid, found.stretch);
    const double error = RelativeError(sums);
    if (error <= bound) low = step;
    if (error > bound) high = step;
    const bool straight = !coarse || IsStraight(sums, kLengthTolerance / 4);
    if (error <= bound && error > 0.995 * bound && straight) break;
    if (!straight) found.stretch = Straightened(found.stretch, sums);
    // The squares of both parts add up.
    const double v_part = std::min(found.grid.v_step * kErrorPerVStep, 0.9 * bound);
    const double have = std::max(error * error - v_part * v_part, bound * bound / 64);
    const double want = bound * bound - v_part * v_part;
    const double guess = step * std::sqrt(want / have) * 0.999;
    step = guess > low && guess < high ? guess : (low + high) / 2;
  }
  found.grid.u_step = static_cast<float>(low);
  return low > 0;
}

// The grids that take the fewest bits of the sample within the bound, or roughly so where there is
// no choice and `settled` says that they are fitted to the whole tensor later on.
std::optional<Found> Search(const Sample& sample, double bound, double rms, float eps,
                            bool settled) {
  const double even = EvenVStep(bound);
  std::optional<Found> best;
  const auto consider = [&](Found found) {
    found.bits = sample.Bits(found.grid, found.stretch);
    if (!best || found.bits < best->bits) best = found;
  };
  if (rms == 0) {
    consider({{static_cast<float>(even), 1, eps}});
    return best;
  }
  // Where both grids are fine, half of the squared error each is best; where they are coarse, v may
  // cost nearly nothing.
  const bool fine = bound < 0.03;
  for (double factor : {1.0, 0.5, 0.7, 1.4, 2.0, 2.8}) {
    const double v_step = even * factor;
    if (v_step > kMaxVStep || (fine && factor != 1)) continue;
    Found found{{static_cast<float>(v_step), 0, eps}};
    found.grid.u_step = static_cast<float>(EvenUStep(bound, rms));
    if ((fine && settled) || FitU(sample, bound, rms, found)) consider(found);
  }
  return best;
}

UpdateSums MeasureAll(const AdamTensor& tensor, const Params& params) {
  constexpr size_t kTile = 4096;
  std::vector<float> anchors(kTile);
  UpdateSums sums;
  const size_t elements = tensor.v.size() / sizeof(float);
  for (size_t first = 0; first < elements; first += kTile) {
    const size_t count = std::min(kTile, elements - first);
    const auto tile = [&](Bytes part) {
      return part.subspan(first * sizeof(float), count * sizeof(float));
    };
    const auto tile_anchors = std::span(anchors).first(count);
    FillAnchors(params, first, tile_anchors);
    const UpdateSums part =
        MeasureError(tile(tensor.v), tile(tensor.m), tile_anchors, params.grid, params.stretch);
    sums.Add(part);
  }
  return sums;
}

float RescaleFactor(double factor) { return static_cast<float>(std::clamp(factor, 0.25, 4.0)); }

// By what to scale the step of u so that the squared error becomes `want` where it is `have`, v's
// part of it remaining; nullopt where that is too large.
std::optional<double> FactorOfU(const Grid& grid, double want, double have) {
  const double v_part = grid.v_step * kErrorPerVStep;
  const double u_want = want - v_part * v_part, u_have = have - v_part * v_part;
  if (!(u_want > 0 && u_have > 0)) return std::nullopt;
  return std::sqrt(u_want / u_have);
}

// Which grids may change while they are fitted to the tensor. That of v stays where a base has the
// same: an index there foretells one here.
enum class Free { kBoth, kU };

void Rescale(Grid& grid, double aim, double error, Free free) {
  const auto both = RescaleFactor(aim / error);
  if (free == Free::kU) {
    const auto factor = FactorOfU(grid, aim * aim, error * error);
    grid.u_step *= factor ? RescaleFactor(*factor) : both;
    return;
  }
  grid.v_step = std::min(grid.v_step * both, static_cast<float>(kMaxVStep));
  grid.u_step *= both;
}

// Scales the grids until the whole tensor's error is a little below the bound, and stretches u
// until it is as long as it was, which small tensors may not reach. False when the error stays
// above.
bool SettleOnAll(const AdamTensor& tensor, double bound, Free free, Params& params) {
  constexpr int kRounds = 8, kRoundsForTheBest = 4;
  for (int round = 0; round < kRounds; ++round) {
    const UpdateSums sums = MeasureAll(tensor, params);
    const double error = RelativeError(sums);
    const bool kept = error <= kMost * bound;
    const bool near = error >= kNearEnough * bound || error == 0 || round >= kRoundsForTheBest / 2;
    const bool straight = !IsCoarse(params.grid) || IsStraight(sums, kLengthTolerance);
    if (kept && near && (straight || round >= kRoundsForTheBest)) return true;
    if (!straight) params.stretch = Straightened(params.stretch, sums);
    if (kept && near) continue;
    Rescale(params.grid, kAim * bound, error, free);
  }
  return false;
}

// Error of the whole tensor as a part of it tells: both of RelativeError squared.
struct Estimate {
  double error2 = 0;
  double deviation = std::numeric_limits<double>::infinity();
};

// Requires: IsLarge.
Estimate EstimateError(const AdamTensor& tensor, const Params& params) {
  constexpr size_t kRun = 128, kRuns = kLargeSample / kRun;
  const size_t elements = tensor.v.size() / sizeof(float);
  std::array<UpdateSums, kRuns> runs;
  std::array<float, kRun> anchors;
  UpdateSums sums;
  for (size_t r = 0; r < kRuns; ++r) {
    const size_t first = SampledRun(elements / kRun, r, kRuns) * kRun;
    const auto run = [&](Bytes all) {
      return all.subspan(first * sizeof(float), kRun * sizeof(float));
    };
    FillAnchors(params, first, anchors);
    runs[r] = MeasureError(run(tensor.v), run(tensor.m), anchors, params.grid, params.stretch);
    sums.Add(runs[r]);
  }
  if (!(sums.norm2 > 0)) return {};
  const double error2 = sums.error2 / sums.norm2;
  double square = 0;
  for (const UpdateSums& run : runs) {
    const double distance = run.error2 - error2 * run.norm2;
    square += distance * distance;
  }
  const double unseen = 1 - static_cast<double>(kLargeSample) / static_cast<double>(elements);
  return {error2, std::sqrt(square * unseen) / sums.norm2};
}

// False where the tensor is too uneven for a sample to tell.
bool Tells(const Estimate& estimate) {
  return kDeviations * estimate.deviation <= kMostDeviation * estimate.error2;
}

// By what to scale the step of u so that the bound is kept, almost surely.
std::optional<double> FactorToAim(const Grid& grid, double bound, const Estimate& estimate) {
  const double aim = kAimOnSample * bound;
  return FactorOfU(grid, aim * aim - kDeviations * estimate.deviation, estimate.error2);
}

// Whether a sample is much less than the tensor.
bool IsLarge(const AdamTensor& tensor) {
  return tensor.v.size() / sizeof(float) > 2 * kLargeSample;
}

// Whether its grids are settled on a sample. The stretch of coarse ones needs all pairs.
bool IsSampled(const AdamTensor& tensor, const Grid& grid) {
  return !IsCoarse(grid) && IsLarge(tensor);
}

// Scales a fine grid of u until a sample's error is so far below the bound that the whole tensor's
// is too, almost surely. False when the tensor is too uneven for a sample to tell. The grid of v
// stays: it is that of the base then, and an index there foretells one here.
bool SettleOnSample(const AdamTensor& tensor, double bound, Params& params) {
  constexpr int kRounds = 4;
  for (int round = 0; round < kRounds; ++round) {
    const Estimate estimate = EstimateError(tensor, params);
    if (!Tells(estimate)) return false;
    const auto factor = FactorToAim(params.grid, bound, estimate);
    if (!factor) return false;
    params.grid.u_step *= RescaleFactor(*factor);
    // A small change of the step changes the error about as foretold: see kDeviationsToStay.
    if (std::abs(*factor - 1) < 0.04) return true;
  }
  return false;
}

// Brings grids that suit a small sample nearer to those of the whole tensor.
void FitCloser(const AdamTensor& tensor, double bound, double rms, Params& params) {
  const size_t pairs = std::min(tensor.v.size() / sizeof(float) / kLargeShare, kLargeSample);
  if (rms == 0 || pairs <= kSmallSample) return;
  Sample large(tensor.v, tensor.m, params.grid.eps, pairs);
  large.SetAnchors(params);
  Found closer{params.grid, params.stretch};
  if (!FitU(large, kAim * bound, rms, closer)) return;
  params.grid = closer.grid;
  params.stretch = closer.stretch;
}

bool Settle(const AdamTensor& tensor, double bound, double rms, Free free, Params& params) {
  if (IsSampled(tensor, params.grid) && SettleOnSample(tensor, bound, params)) return true;
  FitCloser(tensor, bound, rms, params);
  return SettleOnAll(tensor, bound, free, params);
}

bool IsServed(const AdamTensor& tensor, double bound) {
  return !tensor.v.empty() && bound > 0 && bound < 1;
}

std::optional<Choice> Store(const Params& params) {
  std::vector<std::byte> bytes = WriteParams(params);
  if (!ReadParams(bytes)) return std::nullopt;
  return Choice{std::move(bytes), params.stretch};
}

// What there is to store of grids that a sample suggests, once they suit the whole tensor.
std::optional<Choice> Finish(const AdamTensor& tensor, double bound, double rms, Free free,
                             const Means& means, const Found& found) {
  Params params = means.View(found.grid);
  params.stretch = found.stretch;
  if (!Settle(tensor, bound, rms, free, params)) return std::nullopt;
  return Store(params);
}

// Whether the base's grid of v is about what the bound asks for: coarser ones leave nothing of the
// error to u, finer ones take bits for nothing.
bool Suits(const Grid& base, double bound) {
  return base.v_step * kErrorPerVStep <= 0.95 * bound && base.v_step >= EvenVStep(bound) / 3;
}

// Whether the params, whose grids are the base's, suit the tensor as they are: what has not changed
// since is then nothing but the base's indices.
bool SuitAlready(const AdamTensor& tensor, double bound, const Params& params) {
  if (IsSampled(tensor, params.grid)) {
    if (const Estimate estimate = EstimateError(tensor, params); Tells(estimate)) {
      const auto factor = FactorToAim(params.grid, bound, estimate);
      const double most = estimate.error2 + kDeviationsToStay * estimate.deviation;
      return most <= kMost * bound * bound && factor && *factor <= 1 / kNearEnough;
    }
  }
  const UpdateSums sums = MeasureAll(tensor, params);
  const double error = RelativeError(sums);
  const bool straight = !IsCoarse(params.grid) || IsStraight(sums, kLengthTolerance);
  return error <= kMost * bound && error >= kNearEnough * bound && straight;
}

}  // namespace

std::optional<Choice> Prepare(const AdamTensor& tensor, double bound, double eps) {
  if (!IsServed(tensor, bound)) return std::nullopt;
  const auto float_eps = static_cast<float>(eps);
  Sample small(tensor.v, tensor.m, float_eps, kSmallSample);
  const Means means = ChooseMeans(tensor.v, tensor.row_words, EvenVStep(bound), small);
  const double rms = small.UpdateRms();
  const auto found = Search(small, kAim * bound, rms, float_eps, IsLarge(tensor));
  if (!found || found->bits > kPayingBits) return std::nullopt;
  return Finish(tensor, bound, rms, Free::kBoth, means, *found);
}

std::optional<Choice> PrepareOnBase(const AdamTensor& tensor, const Params& base, double bound,
                                    double eps) {
  if (!IsServed(tensor, bound) || !Suits(base.grid, bound)) return std::nullopt;
  const auto float_eps = static_cast<float>(eps);
  Sample small(tensor.v, tensor.m, float_eps, kSmallSample);
  const Means means = FollowMeans(tensor.v, base, small);
  const double rms = small.UpdateRms();
  Found found{{base.grid.v_step, base.grid.u_step, float_eps}};
  const bool suits = SuitAlready(tensor, bound, means.View(found.grid));
  if (!suits && rms > 0) {
    found.grid.u_step = static_cast<float>(EvenUStep(bound, rms));
    const bool settled = IsSampled(tensor, found.grid);
    if (!settled && !FitU(small, kAim * bound, rms, found)) return std::nullopt;
  }
  if (small.Bits(found.grid, found.stretch) > kPayingBits) return std::nullopt;
  if (suits) return Store(means.View(found.grid));
  return Finish(tensor, bound, rms, Free::kU, means, found);
}

}  // namespace bitsnap::adam
