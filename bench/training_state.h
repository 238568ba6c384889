// A whole training state of mixed-precision Adam, 14 bytes a parameter: made up, or from files.
#pragma once

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <bitsnap/safetensors.h>
#include <bitsnap/tensor.h>

namespace bitsnap::bench {

using Buffer = std::vector<std::byte>;

// What a save is given, and the memory behind it.
struct State {
  std::vector<TensorInfo> infos;
  std::vector<Buffer> buffers;

  std::vector<TensorView> views() const {
    std::vector<TensorView> views;
    for (size_t i = 0; i < infos.size(); ++i) views.push_back({infos[i], buffers[i]});
    return views;
  }
  size_t bytes() const {
    size_t sum = 0;
    for (const Buffer& buffer : buffers) sum += buffer.size();
    return sum;
  }
};

template <class T>
void Add(State& state, std::string name, DType dtype, std::vector<uint64_t> shape, Role role,
         const std::string& group, const std::vector<T>& values) {
  state.infos.push_back({std::move(name), dtype, std::move(shape), role, group});
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  state.buffers.emplace_back(bytes, bytes + values.size() * sizeof(T));
}

// Nearly normal, and quick.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  float Normal() {
    uint64_t sum = 0;
    const uint64_t bits = Bits();
    for (int k = 0; k < 4; ++k) sum += bits >> 16 * k & 0xffff;
    return (static_cast<float>(sum) + static_cast<float>(Bits() >> 50) / 16384 - 131070) / 37837;
  }

 private:
  uint64_t Bits() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = (state_ ^ state_ >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  uint64_t state_;
};

inline uint16_t ToBF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// A parameter of `rows` x `columns` in all its roles, `steps` steps of Adam after the seed's start.
inline void AddParameter(State& state, const std::string& name, uint64_t rows, uint64_t columns,
                         double steps) {
  const size_t count = rows * columns;
  Random start(std::hash<std::string>()(name)), later(start);
  std::vector<uint16_t> weight(count);
  std::vector<float> master(count), exp_avg(count), exp_avg_sq(count);
  constexpr double kRate = 2e-4;
  for (size_t i = 0; i < count; ++i) {
    const float scale = 1e-4f * (1 + static_cast<float>(i / columns % 7));
    const float first = 0.02f * start.Normal(), update = 0.3f * start.Normal();
    const float drift = 0.1f * start.Normal() * static_cast<float>(std::sqrt(steps));
    master[i] =
        first + static_cast<float>(kRate * steps) * update + static_cast<float>(kRate) * drift;
    const float noise = std::exp(0.3f * start.Normal());
    exp_avg_sq[i] = scale * scale * noise * (1 + 0.01f * static_cast<float>(steps));
    exp_avg[i] = std::sqrt(exp_avg_sq[i]) * (update + drift);
    weight[i] = ToBF16(master[i]);
  }
  const std::vector<uint64_t> shape{rows, columns};
  Add(state, "model." + name, DType::kBF16, shape, Role::kWeight, name, weight);
  Add(state, "master." + name, DType::kF32, shape, Role::kMaster, name, master);
  Add(state, "exp_avg." + name, DType::kF32, shape, Role::kExpAvg, name, exp_avg);
  Add(state, "exp_avg_sq." + name, DType::kF32, shape, Role::kExpAvgSq, name, exp_avg_sq);
}

// Two layers of width 768: 14 M parameters, 198 MB.
inline State MakeState(double steps) {
  constexpr uint64_t kWidth = 768;
  State state;
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    AddParameter(state, prefix + "qkv", 3 * kWidth, kWidth, steps);
    AddParameter(state, prefix + "out", kWidth, kWidth, steps);
    AddParameter(state, prefix + "up", 4 * kWidth, kWidth, steps);
    AddParameter(state, prefix + "down", kWidth, 4 * kWidth, steps);
    AddParameter(state, prefix + "norm", 1, kWidth, steps);
  }
  return state;
}

inline State Load(const char* path) {
  State state;
  const auto file = SafetensorsFile::Open(path);
  if (!file) {
    fmt::print(stderr, "{}\n", file.error().message);
    std::exit(1);
  }
  for (const TensorView& view : file->tensors()) {
    state.infos.push_back(view.info);
    state.buffers.emplace_back(view.bytes.begin(), view.bytes.end());
  }
  return state;
}

}  // namespace bitsnap::bench
