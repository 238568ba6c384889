// The JSON documents of --json: plain numbers, fields in a fixed order.
#pragma once

#include <optional>
#include <span>

#include <nlohmann/json.hpp>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

using Json = nlohmann::ordered_json;

void PrintJson(const Json& document);

Json ErrorJson(const Error& error);
Json PassedOverJson(std::span<const PassedOver> steps);
Json OptionalJson(const std::optional<uint64_t>& value);
Json RatioJson(uint64_t raw_bytes, uint64_t stored_bytes);

}  // namespace bitsnap::cli
