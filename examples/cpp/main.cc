// Saves two tensors, reads them back and tells how they are stored.
//
//   cmake -S examples/cpp -B build/example -D CMAKE_PREFIX_PATH=/where/bitsnap/is/installed
//   cmake --build build/example && build/example/example /tmp/store

#include <algorithm>
#include <iostream>
#include <numeric>
#include <vector>

#include <bitsnap/bitsnap.h>

namespace {

bitsnap::TensorView View(std::string name, bitsnap::DType dtype, std::vector<uint64_t> shape,
                         std::span<const std::byte> bytes) {
  return {{.name = std::move(name), .dtype = dtype, .shape = std::move(shape)}, bytes};
}

bitsnap::Result<void> Run(const std::filesystem::path& directory) {
  std::vector<float> weight(256 * 64);
  std::iota(weight.begin(), weight.end(), 0.5f);
  const std::vector<uint16_t> bias(64, 0x3F80);  // ones, as bf16
  const std::vector<bitsnap::TensorView> tensors = {
      View("model.weight", bitsnap::DType::kF32, {256, 64}, std::as_bytes(std::span(weight))),
      View("model.bias", bitsnap::DType::kBF16, {64}, std::as_bytes(std::span(bias))),
  };

  auto store = bitsnap::Store::OpenOrCreate(directory);
  if (!store) return tl::make_unexpected(store.error());
  const auto report = store->Save(tensors, {.step = 500, .overwrite = true});
  if (!report) return tl::make_unexpected(report.error());
  std::cout << "saved " << report->raw_bytes << " bytes in " << report->stored_bytes << "\n";

  // Restores from the newest whole step, and from an older one where that is broken.
  std::vector<float> restored(weight.size());
  const auto step = store->RestoreNewest(0, [&](const bitsnap::Snapshot& snapshot) {
    for (const bitsnap::StoredTensor& tensor : snapshot.tensors()) {
      std::cout << tensor.info.name << ": " << tensor.codec << ", " << tensor.why << "\n";
    }
    const bitsnap::ReadRequest request = {.tensor = *snapshot.Find("model.weight"),
                                          .out = std::as_writable_bytes(std::span(restored))};
    return snapshot.Read({&request, 1});
  });
  if (!step) return tl::make_unexpected(step.error());
  const bool equal = std::equal(weight.begin(), weight.end(), restored.begin());
  std::cout << "restored step " << *step << (equal ? ", all bits back\n" : ", WRONG\n");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: example STORE\n";
    return 2;
  }
  const bitsnap::Result<void> done = Run(argv[1]);
  if (done) return 0;
  std::cerr << done.error().message << "\n";
  return 1;
}
