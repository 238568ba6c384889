// What stands before the states: runs, classes, and the tables that both sides make of the counts.
#pragma once

#include <array>
#include <span>

#include "codec/codec.h"
#include "codec/delta/classes.h"
#include "codec/delta/runs.h"
#include "codec/entropy/context_rans.h"

namespace bitsnap::delta {

inline constexpr size_t kMaxHeaderBytes =
    1 + Runs::kMaxBytes + kMaxClasses + kMaxClasses * context_rans::kMaxTableBits / 8 + 1;

// Classes of words as the payload has them.
struct ClassPlan {
  Partition<kMaxClasses> by_exponent;
  std::array<context_rans::Counts*, kMaxClasses> counts;  // in the scratch
  size_t estimate;                                        // bytes of the payload
};

// Rounds the counts and fills the table; returns the end of what it wrote. `lanes_choice` is an
// index of kLaneChoices.
std::byte* WriteHeader(const Runs& runs, size_t groups, const ClassPlan& plan,
                       unsigned lanes_choice, context_rans::EncodeTable& table, std::byte* out);

struct Header {
  Runs runs;
  size_t lanes;
  Partition<kMaxClasses> by_exponent;
  std::span<uint32_t> table;  // in the scratch
  Bytes body;                 // what follows the header
};

Result<Header> ReadHeader(DType dtype, size_t groups, Bytes payload, Scratch& scratch);

}  // namespace bitsnap::delta
