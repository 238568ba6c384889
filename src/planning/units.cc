#include "planning/units.h"

#include <algorithm>

#include <bitsnap/roles.h>

#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/decode_block.h"
#include "planning/repeats.h"

namespace bitsnap {
namespace {

// Words in the last dimension; of 0 or 1 dimensions all.
uint64_t RowWords(const TensorInfo& info) {
  const uint64_t words = *TensorBytes(info.dtype, info.shape) / WordBytes(info.dtype);
  if (info.shape.size() < 2 || words == 0) return words;
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < info.shape.size(); ++i) rows *= info.shape[i];
  return words / rows;
}

bool NeedsPeer(const UnitPlan& plan) {
  return std::ranges::any_of(plan.codecs, [](CodecId id) { return GetCodec(id).needs_peer(); });
}

}  // namespace

UnitMaker::UnitMaker(std::span<const TensorView> tensors, const PlanOptions& options,
                     const SnapshotReader* base)
    : options_(options), base_(base), input_(std::make_shared<EncodeInput>()) {
  input_->tensors.assign(tensors.begin(), tensors.end());
  std::vector<const TensorInfo*> infos;
  for (TensorView& tensor : input_->tensors) {
    InferRoles({&tensor.info, 1});
    infos.push_back(&tensor.info);
  }
  input_->same_as = FindRepeats(input_->tensors);
  relations_ = FindRelations(infos);
  if (base == nullptr) return;
  const auto& records = base->index().tensors;
  for (uint32_t i = 0; i < records.size(); ++i) base_by_name_.emplace(records[i].info.name, i);
}

std::vector<uint32_t> UnitMaker::FindInBase(std::span<const uint32_t> tensors) const {
  std::vector<uint32_t> found;
  for (uint32_t tensor : tensors) {
    const TensorView& view = input_->tensors[tensor];
    const auto entry = base_by_name_.find(view.info.name);
    if (entry == base_by_name_.end()) return {};
    const TensorRecord& record = base_->index().tensors[entry->second];
    const bool fits = record.info.dtype == view.info.dtype && RawBytes(record) == view.bytes.size();
    if (!fits) return {};
    found.push_back(entry->second);
  }
  return found;
}

Bytes UnitMaker::ParamsInBase(const Unit& unit) const {
  if (unit.base_tensors.empty()) return {};
  const auto place = LocateUnit({base_, nullptr}, unit.base_tensors);
  return place ? Bytes(base_->index().tensors[place->tensor].params) : Bytes();
}

Unit UnitMaker::Planned(Profile profile, std::vector<uint32_t> tensors,
                        std::vector<uint32_t> base_tensors, std::optional<uint32_t> weight) const {
  Unit unit{.tensors = std::move(tensors), .base_tensors = std::move(base_tensors)};
  std::vector<const TensorInfo*> infos;
  for (uint32_t tensor : unit.tensors) infos.push_back(&input_->tensors[tensor].info);
  unit.plan = PlanUnit(profile, infos,
                       {.base = !unit.base_tensors.empty(),
                        .coded_base = infos.size() > 1 && !ParamsInBase(unit).empty(),
                        .weight = weight.has_value()});
  unit.why_others = unit.plan.why;
  if (NeedsPeer(unit.plan)) unit.peer = weight;
  if (BaseFormOf(unit.plan) == BaseForm::kNone) unit.base_tensors.clear();
  return unit;
}

Unit UnitMaker::Single(uint32_t tensor) const {
  const std::vector<uint32_t> base_tensors = FindInBase({&tensor, 1});
  Unit unit = Planned(options_.profile, {tensor}, base_tensors, relations_[tensor].weight);
  if (Prepare(unit)) return unit;
  return Planned(Profile::kExact, {tensor}, base_tensors);
}

bool UnitMaker::Prepare(Unit& unit) const {
  UnitContext context{.parts = {},
                      .row_words = RowWords(input_->tensors[unit.tensors.front()].info),
                      .accepted = AcceptedBy(options_.profile),
                      .base_params = ParamsInBase(unit)};
  context.accepted.eps = options_.adam_eps;
  if (unit.peer) context.peer = input_->tensors[*unit.peer].info.dtype;
  for (uint32_t tensor : unit.tensors) {
    const TensorView& view = input_->tensors[tensor];
    context.parts.push_back({view.info.dtype, view.bytes});
  }
  std::vector<CodecId> candidates = unit.plan.codecs, served;
  candidates.insert(candidates.end(), unit.plan.others.begin(), unit.plan.others.end());
  for (CodecId id : candidates) {
    // What all blocks share is what the first codec of a lossy plan chose.
    if (unit.plan.lossy && !served.empty()) {
      served.push_back(id);
    } else if (auto prepared = GetCodec(id).Prepare(context)) {
      served.push_back(id);
      if (prepared->params.empty()) continue;
      unit.params = std::move(prepared->params);
      unit.advice = std::move(prepared->advice);
    }
  }
  if (unit.plan.lossy && served.empty()) return false;
  const auto first_other = served.begin() + (unit.plan.lossy ? 1 : served.size());
  unit.plan.codecs.assign(served.begin(), first_other);
  unit.plan.others.assign(first_other, served.end());
  return true;
}

Result<std::vector<bool>> UnitMaker::PrepareAll(std::span<Unit* const> units) const {
  std::vector<bool> served(units.size());
  std::vector<uint8_t> slots(std::max<size_t>(1, units.size()));
  BITSNAP_TRY(RunOrdered({
      .count = units.size(),
      .threads = options_.threads,
      .slots = slots.size(),
      .produce = [&](size_t item, size_t slot, unsigned) -> Result<void> {
        slots[slot] = Prepare(*units[item]);
        return {};
      },
      .consume = [&](size_t item, size_t slot) -> Result<void> {
        served[item] = slots[slot] != 0;
        return {};
      },
  }));
  return served;
}

Result<void> UnitMaker::AddMoments() {
  std::vector<Unit> units;
  for (uint32_t i = 0; i < relations_.size(); ++i) {
    const auto exp_avg = relations_[i].exp_avg;
    if (!exp_avg || input_->same_as[i] || input_->same_as[*exp_avg]) continue;
    const std::vector<uint32_t> tensors{i, *exp_avg};
    Unit unit = Planned(options_.profile, tensors, FindInBase(tensors));
    unit.update_error = AcceptedBy(options_.profile).update_error;
    if (!unit.plan.codecs.empty()) units.push_back(std::move(unit));
  }
  std::vector<Unit*> all;
  for (Unit& unit : units) all.push_back(&unit);
  BITSNAP_ASSIGN(const std::vector<bool> served, PrepareAll(all));
  for (size_t i = 0; i < units.size(); ++i) {
    if (served[i]) input_->units.push_back(std::move(units[i]));
  }
  return {};
}

Result<void> UnitMaker::Make() {
  BITSNAP_TRY(AddMoments());
  std::vector<bool> has_unit(input_->tensors.size());
  for (const Unit& unit : input_->units) {
    for (uint32_t tensor : unit.tensors) has_unit[tensor] = true;
  }
  for (uint32_t i = 0; i < has_unit.size(); ++i) {
    if (!has_unit[i] && !input_->same_as[i]) input_->units.push_back(Single(i));
  }
  SeparateFromLossy();
  std::ranges::sort(input_->units, {}, [](const Unit& unit) { return unit.tensors.front(); });
  return {};
}

void UnitMaker::SeparateFromLossy() {
  auto& same_as = input_->same_as;
  std::vector<const Unit*> unit_of(same_as.size());
  for (const Unit& unit : input_->units) {
    for (uint32_t tensor : unit.tensors) unit_of[tensor] = &unit;
  }
  std::vector<bool> agreed(same_as.size());
  for (uint32_t i = 0; i < same_as.size(); ++i) {
    const auto other = relations_[i].exp_avg;
    if (!other || !same_as[i] || !same_as[*other]) continue;
    const std::vector twins{*same_as[i], *same_as[*other]};
    agreed[i] = agreed[*other] = unit_of[twins[0]]->tensors == twins;
  }
  std::vector<Unit> separate;
  for (uint32_t i = 0; i < same_as.size(); ++i) {
    if (!same_as[i] || agreed[i] || !unit_of[*same_as[i]]->plan.lossy) continue;
    same_as[i].reset();
    separate.push_back(Single(i));
  }
  std::ranges::move(separate, std::back_inserter(input_->units));
}

Result<void> UnitMaker::Narrow(std::span<const UnitSample> samples, bool with_base) {
  std::vector<Unit*> left_alone;
  for (size_t i = 0; i < samples.size(); ++i) {
    Unit& unit = input_->units[i];
    const BaseForm form = BaseFormOf(unit.plan);
    unit.plan = bitsnap::Narrow(std::move(unit.plan), samples[i], with_base);
    // What is coded alone must not wait for its base's blocks.
    const BaseForm left = BaseFormOf(unit.plan);
    if (!with_base || left == BaseForm::kNone) unit.base_tensors.clear();
    if (form != BaseForm::kCoded || left == form) continue;
    unit.base_tensors.clear();
    unit.plan.others.clear();
    unit.why_others = unit.plan.why;
    left_alone.push_back(&unit);
  }
  // One that its codec refuses now stays as the base's grids made it.
  BITSNAP_TRY(PrepareAll(left_alone));
  for (Unit& unit : input_->units) {
    for (size_t k = 0; k < unit.tensors.size() && unit.tensors.size() > 1; ++k) {
      std::vector<uint32_t> base_tensors;
      if (!unit.base_tensors.empty()) base_tensors = {unit.base_tensors[k]};
      unit.exact.push_back(Planned(Profile::kExact, {unit.tensors[k]}, std::move(base_tensors)));
    }
  }
  return {};
}

}  // namespace bitsnap
