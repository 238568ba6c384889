#include "snapshot/samples.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <random>

#include <fmt/format.h>

namespace bitsnap {
namespace {

FileBytes Noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  FileBytes bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

TensorRecord Tensor(const std::string& name, DType dtype, std::vector<uint64_t> shape, Role role) {
  TensorRecord tensor;
  tensor.info = {name, dtype, std::move(shape), role, name};
  return tensor;
}

uint64_t BytesOf(const TensorRecord& tensor) {
  return *TensorBytes(tensor.info.dtype, tensor.info.shape);
}

void AddBlock(Sample* sample, TensorRecord* tensor, uint8_t codec, const FileBytes& payload,
              uint64_t raw_checksum) {
  tensor->blocks.push_back(
      {codec, static_cast<uint32_t>(payload.size()), Checksum64(payload), raw_checksum});
  ByteWriter(&sample->payloads).Raw(payload);
}

// Gives the tensor blocks of made-up payloads, at the end of the payloads so far.
void AddBlocks(Sample* sample, TensorRecord* tensor, uint64_t seed) {
  std::mt19937_64 random(seed);
  const uint32_t block_bytes = sample->index.block_bytes;
  const uint64_t bytes = *BlockedBytes(*tensor);
  tensor->data_offset = kHeaderBytes + sample->payloads.size();
  for (uint64_t done = 0; done < bytes; done += block_bytes) {
    const uint64_t raw_bytes = std::min<uint64_t>(block_bytes, bytes - done);
    AddBlock(sample, tensor, static_cast<uint8_t>(random() % 4),
             Noise(random() % (raw_bytes + 1), random()), random());
  }
}

TensorRecord RandomTensor(Sample* sample, size_t number, std::mt19937_64& random) {
  const bool has_base = sample->index.base.has_value();
  TensorRecord tensor = Tensor(fmt::format("{}-{}", std::string(random() % 50, 'n'), number),
                               static_cast<DType>(random() % static_cast<uint64_t>(DType::kF4)), {},
                               static_cast<Role>(random() % kRoleCount));
  for (uint64_t dimensions = random() % 4; dimensions > 0; --dimensions) {
    tensor.info.shape.push_back(random() % 6);
  }
  if (random() % 4 == 0) tensor.params.resize(random() % 30, std::byte{7});
  for (uint64_t metrics = random() % 3; metrics > 0; --metrics) {
    tensor.error.push_back({"metric", std::bit_cast<double>(random())});
  }
  if (has_base && random() % 2) tensor.base_tensor = static_cast<uint32_t>(random());
  if (tensor.base_tensor && random() % 2) {
    tensor.storage = Storage::kSameAsBase;
    tensor.params.clear();
  } else {
    AddBlocks(sample, &tensor, random());
  }
  return tensor;
}

struct Parameter {
  std::string name;
  std::vector<uint64_t> shape;
};

const std::array<Parameter, 12> kLayer = {{{"ln1.weight", {256}},
                                           {"ln1.bias", {256}},
                                           {"attn.qkv.weight", {768, 256}},
                                           {"attn.qkv.bias", {768}},
                                           {"attn.proj.weight", {256, 256}},
                                           {"attn.proj.bias", {256}},
                                           {"ln2.weight", {256}},
                                           {"ln2.bias", {256}},
                                           {"mlp.up.weight", {1024, 256}},
                                           {"mlp.up.bias", {1024}},
                                           {"mlp.down.weight", {256, 1024}},
                                           {"mlp.down.bias", {256}}}};

std::string NameOf(Role role, const std::string& parameter) {
  if (role == Role::kWeight) return fmt::format("model.{}", parameter);
  return fmt::format("optimizer.state.{}.{}", parameter, RoleName(role));
}

// With blocks coded to about two thirds of their size.
void AddParameter(SnapshotIndex* index, Role role, const Parameter& parameter,
                  std::mt19937_64& random) {
  const DType dtype = role == Role::kWeight ? DType::kBF16 : DType::kF32;
  TensorRecord tensor = Tensor(NameOf(role, parameter.name), dtype, parameter.shape, role);
  tensor.info.group = parameter.name;
  tensor.why = index->base ? "exact: bitmask against step 490" : "exact: planes";
  if (index->base) tensor.base_tensor = static_cast<uint32_t>(index->tensors.size());
  const uint64_t bytes = BytesOf(tensor);
  for (uint64_t done = 0; done < bytes; done += index->block_bytes) {
    const uint64_t raw_bytes = std::min<uint64_t>(index->block_bytes, bytes - done);
    const auto coded_bytes = static_cast<uint32_t>(raw_bytes * 2 / 3 + random() % (raw_bytes / 16));
    tensor.blocks.push_back({1, coded_bytes, random(), random()});
  }
  index->tensors.push_back(std::move(tensor));
}

// One tensor's after the other's.
void PlaceBlocks(SnapshotIndex* index) {
  uint64_t offset = kHeaderBytes;
  for (TensorRecord& tensor : index->tensors) {
    tensor.data_offset = offset;
    for (const BlockRecord& block : tensor.blocks) offset += block.coded_bytes;
  }
}

}  // namespace

Sample TinySample() {
  Sample sample;
  sample.header = {.step = 7, .rank = 1, .world_size = 3, .save_id = 0x1122334455667788};
  sample.index.block_bytes = 262144;
  sample.index.profile = "exact";
  TensorRecord tensor = Tensor("w", DType::kBF16, {2}, Role::kWeight);
  tensor.why = "small";
  tensor.data_offset = kHeaderBytes;
  const FileBytes values = {std::byte{0x80}, std::byte{0x3f}, std::byte{0x00}, std::byte{0xc0}};
  AddBlock(&sample, &tensor, 0, values, Checksum64(values));
  sample.index.tensors = {tensor};
  return sample;
}

Sample FullSample() {
  Sample sample;
  sample.header = {.step = 500, .rank = 2, .world_size = 4, .save_id = ~uint64_t{0}};
  SnapshotIndex& index = sample.index;
  index.block_bytes = 16;
  index.profile = "paper";
  index.metadata = std::string("any bytes: \0\xff", 13);
  index.base = BaseReference{490, {0x0123456789abcdef, 0xfedcba9876543210}};

  TensorRecord weight = Tensor("model.weight", DType::kBF16, {5, 4}, Role::kWeight);
  weight.base_tensor = 3;
  TensorRecord moment = Tensor("optimizer.state.exp_avg", DType::kF32, {5, 4}, Role::kExpAvg);
  moment.error = {{"mse", 1e-9}, {"largest", std::bit_cast<double>(0x7ff8000000000001)}};
  moment.why = "cluster: fp32 optimizer state";
  AddBlocks(&sample, &moment, 1);  // first in the file, second in the index
  AddBlocks(&sample, &weight, 2);
  TensorRecord tied = Tensor("head.weight", DType::kBF16, {20}, Role::kWeight);
  tied.storage = Storage::kSameAsTensor;
  tied.same_as = 0;
  TensorRecord frozen = Tensor("frozen", DType::kF16, {3}, Role::kMaster);
  frozen.storage = Storage::kSameAsBase;
  frozen.base_tensor = 0;
  TensorRecord tied_to_frozen = Tensor("frozen.copy", DType::kF16, {3}, Role::kExpAvgSq);
  tied_to_frozen.storage = Storage::kSameAsTensor;
  tied_to_frozen.same_as = 3;
  TensorRecord scalar = Tensor("step", DType::kI64, {}, Role::kOther);
  AddBlocks(&sample, &scalar, 3);
  TensorRecord constant = Tensor("constant", DType::kU8, {16}, Role::kOther);
  constant.data_offset = kHeaderBytes + sample.payloads.size();
  AddBlock(&sample, &constant, 255, {}, 42);  // a payload of no bytes
  TensorRecord empty = Tensor("empty", DType::kC128, {7, 0, uint64_t{1} << 63}, Role::kOther);
  TensorRecord odd = Tensor("not UTF-8: \xff", DType::kF4, {2, 3}, Role::kOther);
  AddBlocks(&sample, &odd, 4);
  TensorRecord variance = Tensor("v", DType::kF32, {3}, Role::kExpAvgSq);
  variance.second = 10;
  variance.params = {std::byte{1}, std::byte{2}};
  AddBlocks(&sample, &variance, 5);
  TensorRecord momentum = Tensor("m", DType::kF32, {3}, Role::kExpAvg);
  momentum.storage = Storage::kSecondOfPair;
  momentum.same_as = 9;
  momentum.base_tensor = 10;
  TensorRecord master = Tensor("master", DType::kF32, {4, 5}, Role::kMaster);
  master.peer = 0;
  AddBlocks(&sample, &master, 6);
  index.tensors = {weight,   moment, tied, frozen,   tied_to_frozen, scalar,
                   constant, empty,  odd,  variance, momentum,       master};
  return sample;
}

namespace {

Lineage RandomLineage(std::mt19937_64& random) {
  Lineage lineage{.run = random() | 1, .order = random() % 1000 + 1};
  if (random() % 2) lineage.parent = ParentSave{random(), random()};
  for (uint64_t i = random() % 4; i > 0; --i) lineage.ancestors.push_back({2 * i, random()});
  return lineage;
}

}  // namespace

Sample RandomSample(uint64_t seed) {
  std::mt19937_64 random(seed);
  Sample sample;
  sample.header.world_size = static_cast<uint32_t>(random() % 1000) + 1;
  sample.header.rank = static_cast<uint32_t>(random() % sample.header.world_size);
  sample.header.step = random();
  sample.header.save_id = random();
  SnapshotIndex& index = sample.index;
  index.block_bytes = static_cast<uint32_t>(random() % 100) + 1;
  index.metadata = std::string(random() % 3 * (random() % 300), 'm');
  if (random() % 2) index.base = BaseReference{random(), {random(), random()}};
  std::vector<size_t> order(random() % 20);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  index.tensors.resize(order.size());
  for (size_t i : order) index.tensors[i] = RandomTensor(&sample, i, random);
  if (!order.empty()) {
    TensorRecord twin = index.tensors.front();
    twin.info.name = "twin";
    twin.storage = Storage::kSameAsTensor;
    twin.base_tensor.reset();
    twin.blocks.clear();
    twin.params.clear();
    index.tensors.push_back(twin);
  }
  if (random() % 2) index.lineage = RandomLineage(random);
  return sample;
}

SnapshotIndex TransformerIndex(bool delta) {
  std::mt19937_64 random(1);
  SnapshotIndex index;
  index.block_bytes = 256 << 10;
  index.profile = "exact";
  if (delta) index.base = BaseReference{490, {random(), random()}};
  for (Role role : {Role::kWeight, Role::kMaster, Role::kExpAvg, Role::kExpAvgSq}) {
    AddParameter(&index, role, {"embedding.weight", {256, 256}}, random);
    for (int layer = 0; layer < 4; ++layer) {
      for (Parameter parameter : kLayer) {
        parameter.name = fmt::format("blocks.{}.{}", layer, parameter.name);
        AddParameter(&index, role, parameter, random);
      }
    }
  }
  PlaceBlocks(&index);
  return index;
}

}  // namespace bitsnap
