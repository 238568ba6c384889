#include "engine/agent/messages.h"

#include "base/try.h"
#include "engine/agent/fields.h"
#include "engine/agent/manifest_bytes.h"

namespace bitsnap::agent {
namespace {

Json OptionalJson(const std::optional<uint64_t>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json ToJson(const std::vector<PrunedStep>& steps) {
  Json list = Json::array();
  for (const PrunedStep& step : steps) list.push_back({{"step", step.step}, {"bytes", step.bytes}});
  return list;
}

Json ToJson(const PruneReport& report) {
  Json left = Json::array();
  for (const LeftAlone& each : report.left_alone) {
    left.push_back({{"step", each.step}, {"why", each.why}});
  }
  return {{"kept", report.kept},
          {"removed", ToJson(report.removed)},
          {"thinned", ToJson(report.thinned)},
          {"left", std::move(left)},
          {"abandoned", report.abandoned},
          {"bytes", report.bytes}};
}

Json ToJson(const std::optional<RetentionPolicy>& policy) {
  if (!policy) return nullptr;
  return {{"last", OptionalJson(policy->keep_last)},
          {"every", OptionalJson(policy->keep_every)},
          {"drop", OptionalJson(policy->drop_optimizer_older_than)},
          {"whole_up_to", OptionalJson(policy->whole_up_to)},
          {"drop_abandoned", policy->drop_abandoned},
          {"passed_over", policy->passed_over},
          {"keep", policy->keep}};
}

Json ToJson(const std::optional<Lineage>& lineage) {
  if (!lineage) return nullptr;
  Json ancestors = Json::array();
  for (const Ancestor& ancestor : lineage->ancestors) {
    ancestors.push_back({{"run", ancestor.run}, {"up_to", ancestor.up_to}});
  }
  const ParentSave parent = lineage->parent.value_or(ParentSave());
  return {{"run", lineage->run},
          {"order", lineage->order},
          {"has_parent", lineage->parent.has_value()},
          {"parent_step", parent.step},
          {"parent_save_id", parent.save_id},
          {"ancestors", std::move(ancestors)}};
}

// Numbers that are no code become one that nothing has.
uint8_t ToCode(uint64_t number) { return number < 0xff ? static_cast<uint8_t>(number) : 0xff; }

template <class Item, class Read>
Result<std::vector<Item>> ToList(const Json& array, Read read) {
  std::vector<Item> items;
  for (const Json& each : array) {
    BITSNAP_ASSIGN(Item item, read(each));
    items.push_back(std::move(item));
  }
  return items;
}

Result<uint64_t> ToNumber(const Json& json) {
  if (!json.is_number_unsigned())
    return Fail(ErrorKind::kCorrupt, "a message has no number where one was");
  return json.get<uint64_t>();
}

Result<PrunedStep> ToPrunedStep(const Json& json) {
  Fields fields(json);
  const PrunedStep step{fields.U64("step"), fields.U64("bytes")};
  BITSNAP_TRY(fields.Check());
  return step;
}

Result<LeftAlone> ToLeftAlone(const Json& json) {
  Fields fields(json);
  LeftAlone left{fields.U64("step"), fields.Text("why")};
  BITSNAP_TRY(fields.Check());
  return left;
}

Result<PruneReport> ToPruneReport(const Json& json) {
  Fields fields(json);
  PruneReport report;
  BITSNAP_ASSIGN(report.kept, ToList<uint64_t>(fields.Array("kept"), ToNumber));
  BITSNAP_ASSIGN(report.removed, ToList<PrunedStep>(fields.Array("removed"), ToPrunedStep));
  BITSNAP_ASSIGN(report.thinned, ToList<PrunedStep>(fields.Array("thinned"), ToPrunedStep));
  BITSNAP_ASSIGN(report.left_alone, ToList<LeftAlone>(fields.Array("left"), ToLeftAlone));
  BITSNAP_ASSIGN(report.abandoned, ToList<uint64_t>(fields.Array("abandoned"), ToNumber));
  report.bytes = fields.U64("bytes");
  BITSNAP_TRY(fields.Check());
  return report;
}

Result<Ancestor> ToAncestor(const Json& json) {
  Fields fields(json);
  const Ancestor ancestor{fields.U64("run"), fields.U64("up_to")};
  BITSNAP_TRY(fields.Check());
  return ancestor;
}

Result<Lineage> ToLineage(const Json& json) {
  Fields fields(json);
  Lineage lineage{
      .run = fields.U64("run"), .order = fields.U64("order"), .parent = {}, .ancestors = {}};
  const ParentSave parent{fields.U64("parent_step"), fields.U64("parent_save_id")};
  if (fields.Bool("has_parent")) lineage.parent = parent;
  BITSNAP_ASSIGN(lineage.ancestors, ToList<Ancestor>(fields.Array("ancestors"), ToAncestor));
  BITSNAP_TRY(fields.Check());
  return lineage;
}

Result<RetentionPolicy> ToRetention(const Json& json) {
  Fields fields(json);
  RetentionPolicy policy;
  policy.keep_last = fields.OptionalU64("last");
  policy.keep_every = fields.OptionalU64("every");
  policy.drop_optimizer_older_than = fields.OptionalU64("drop");
  policy.whole_up_to = fields.OptionalU64("whole_up_to");
  policy.drop_abandoned = fields.Bool("drop_abandoned");
  BITSNAP_ASSIGN(policy.passed_over, ToList<uint64_t>(fields.Array("passed_over"), ToNumber));
  BITSNAP_ASSIGN(policy.keep, ToList<uint64_t>(fields.Array("keep"), ToNumber));
  BITSNAP_TRY(fields.Check());
  return policy;
}

}  // namespace

Json BinaryJson(std::string_view bytes) {
  return Json::binary(std::vector<uint8_t>(bytes.begin(), bytes.end()));
}

Json ToJson(const Hello& hello) {
  return {{"version", hello.version},
          {"store", BinaryJson(hello.store)},
          {"rank", hello.rank},
          {"world_size", hello.world_size},
          {"max_memory", hello.max_memory},
          {"linger", hello.linger}};
}

Result<Hello> ToHello(const Json& json) {
  Fields fields(json);
  Hello hello;
  hello.version = fields.U32("version");
  if (hello.version != kProtocolVersion && fields.Check()) return hello;
  hello.store = fields.Binary("store");
  hello.rank = fields.U32("rank");
  hello.world_size = fields.U32("world_size");
  hello.max_memory = fields.U64("max_memory");
  hello.linger = fields.U64("linger");
  if (hello.rank >= hello.world_size) fields.Reject("rank");
  BITSNAP_TRY(fields.Check());
  return hello;
}

Json ToJson(const Error& error) {
  return {{"kind", static_cast<unsigned>(error.kind)}, {"message", error.message}};
}

Result<Error> ToError(const Json& json) {
  Fields fields(json);
  const uint64_t kind = fields.U64("kind");
  Error error{static_cast<ErrorKind>(kind), fields.Text("message")};
  if (kind > static_cast<uint64_t>(ErrorKind::kDurabilityUnknown)) fields.Reject("kind");
  BITSNAP_TRY(fields.Check());
  return error;
}

Json ToJson(const Manifest& manifest) {
  return {{"tensors", Json::binary(ToBytes(manifest.tensors))}, {"bytes", manifest.bytes}};
}

Result<Manifest> ToManifest(const Json& json) {
  Fields fields(json);
  Manifest manifest;
  manifest.bytes = fields.U64("bytes");
  const std::string tensors = fields.Binary("tensors");
  BITSNAP_TRY(fields.Check());
  BITSNAP_ASSIGN(manifest.tensors, ToTensors(AsBytes(tensors)));
  for (const PlacedTensor& tensor : manifest.tensors) {
    if (tensor.offset > manifest.bytes || tensor.bytes > manifest.bytes - tensor.offset) {
      fields.Reject("offset");
    }
  }
  BITSNAP_TRY(fields.Check());
  return manifest;
}

Json ToJson(const SaveOptions& options) {
  return {{"step", options.step},
          {"rank", options.rank},
          {"world_size", options.world_size},
          {"save_id", options.save_id},
          {"profile", ProfileName(options.profile)},
          {"base", static_cast<unsigned>(options.base.kind)},
          {"base_step", options.base.step},
          {"adam_eps", options.adam_eps},
          {"threads", options.threads},
          {"overwrite", options.overwrite},
          {"metadata", BinaryJson(options.metadata)},
          {"lineage", ToJson(options.lineage)},
          {"retention", ToJson(options.retention)}};
}

Result<SaveOptions> ToSaveOptions(const Json& json) {
  Fields fields(json);
  SaveOptions options;
  options.step = fields.U64("step");
  options.rank = fields.U32("rank");
  options.world_size = fields.U32("world_size");
  options.save_id = fields.U64("save_id");
  const auto profile = ParseProfile(fields.Text("profile"));
  if (!profile) fields.Reject("profile");
  const uint64_t base = fields.U64("base");
  if (base > static_cast<uint64_t>(BaseChoice::Kind::kStep)) fields.Reject("base");
  options.base = {static_cast<BaseChoice::Kind>(base), fields.U64("base_step")};
  options.adam_eps = fields.Double("adam_eps");
  options.threads = fields.U32("threads");
  options.overwrite = fields.Bool("overwrite");
  options.metadata = fields.Binary("metadata");
  if (json.contains("lineage") && !json["lineage"].is_null()) {
    BITSNAP_ASSIGN(options.lineage, ToLineage(json["lineage"]));
  }
  if (json.contains("retention") && !json["retention"].is_null()) {
    BITSNAP_ASSIGN(options.retention, ToRetention(json["retention"]));
  }
  BITSNAP_TRY(fields.Check());
  options.profile = *profile;
  return options;
}

Json ToJson(const SaveReport& report) {
  Json roles = Json::array();
  for (const auto& [role, bytes] : report.roles) {
    roles.push_back({{"role", static_cast<unsigned>(role)},
                     {"raw", bytes.raw_bytes},
                     {"stored", bytes.stored_bytes}});
  }
  return {{"step", report.step},
          {"raw_bytes", report.raw_bytes},
          {"stored_bytes", report.stored_bytes},
          {"base_step", OptionalJson(report.base_step)},
          {"base_reason", report.base_reason},
          {"seconds", report.seconds},
          {"roles", std::move(roles)},
          {"pruned", report.pruned ? ToJson(*report.pruned) : Json()},
          {"prune_error", report.prune_error ? ToJson(*report.prune_error) : Json()}};
}

Result<SaveReport> ToSaveReport(const Json& json) {
  Fields fields(json);
  SaveReport report;
  report.step = fields.U64("step");
  report.raw_bytes = fields.U64("raw_bytes");
  report.stored_bytes = fields.U64("stored_bytes");
  report.base_step = fields.OptionalU64("base_step");
  report.base_reason = fields.Text("base_reason");
  report.seconds = fields.Double("seconds");
  for (const Json& each : fields.Array("roles")) {
    Fields role(each);
    const auto which = RoleFromCode(ToCode(role.U64("role")));
    const RoleBytes bytes{role.U64("raw"), role.U64("stored")};
    if (!which) role.Reject("role");
    BITSNAP_TRY(role.Check());
    report.roles[*which] = bytes;
  }
  BITSNAP_TRY(fields.Check());
  if (const auto pruned = json.find("pruned"); pruned != json.end() && !pruned->is_null()) {
    BITSNAP_ASSIGN(report.pruned, ToPruneReport(*pruned));
  }
  if (const auto error = json.find("prune_error"); error != json.end() && !error->is_null()) {
    BITSNAP_ASSIGN(report.prune_error, ToError(*error));
  }
  return report;
}

}  // namespace bitsnap::agent
