// Runs a fuzz target without libFuzzer: NAME_fuzz CORPUS INPUT COUNT tries every file of the folder
// CORPUS and then COUNT mutations of them, the same ones each time. The input being tried lies in
// the file INPUT, so that after a crash it is there to be tried again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;
using Random = std::mt19937_64;

std::vector<Input> ReadCorpus(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Input> inputs = {{}};
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

void MutateOnce(Input& input, const std::vector<Input>& seeds, Random& random) {
  const size_t at = input.empty() ? 0 : random() % input.size();
  switch (random() % 6) {
    case 0:  // cut
      input.resize(at);
      break;
    case 1:  // insert
      input.insert(input.begin() + at, 1 + random() % 16, static_cast<uint8_t>(random()));
      break;
    case 2: {  // go on with another seed
      const Input& other = seeds[random() % seeds.size()];
      input.resize(at);
      input.insert(input.end(), other.begin() + std::min(at, other.size()), other.end());
      break;
    }
    case 3:  // an extreme in a field
      std::fill_n(input.begin() + at,
                  std::min<size_t>(size_t{1} << random() % 4, input.size() - at),
                  random() % 2 ? 0xff : 0);
      break;
    default:
      if (!input.empty()) input[at] ^= static_cast<uint8_t>(1 + random() % 255);
  }
}

void Try(const Input& input, const char* input_path) {
  std::ofstream(input_path, std::ios::binary)
      .write(reinterpret_cast<const char*>(input.data()), input.size());
  // A copy of the exact size, so that the address sanitizer sees reads past the end.
  const std::vector<uint8_t> exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s CORPUS INPUT COUNT\n", argv[0]);
    return 2;
  }
  const std::vector<Input> seeds = ReadCorpus(argv[1]);
  for (const Input& seed : seeds) Try(seed, argv[2]);
  Random random(1);
  for (long i = std::atol(argv[3]); i > 0; --i) {
    Input input = seeds[random() % seeds.size()];
    for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) MutateOnce(input, seeds, random);
    Try(input, argv[2]);
  }
  std::filesystem::remove(argv[2]);
}
