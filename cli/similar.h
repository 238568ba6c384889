// Help for a mistyped tensor name.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

// "; did you mean a, b or c?" with the names nearest to `name`, or "" when none is near.
std::string SimilarNames(std::string_view name, std::span<const StoredTensor> tensors);

}  // namespace bitsnap::cli
