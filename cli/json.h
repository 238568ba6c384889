// The JSON documents of --json: plain numbers, fields in a fixed order.
#pragma once

#include <optional>
#include <span>

#include <nlohmann/json.hpp>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

using Json = nlohmann::ordered_json;

void PrintJson(const Json& document);
// On one line, out at once: of a stream of them.
void PrintJsonLine(const Json& document);

Json ErrorJson(const Error& error);
Json PassedOverJson(std::span<const PassedOver> steps);
Json OptionalJson(const std::optional<uint64_t>& value);
Json SaveJson(const SaveReport& report, const SaveOptions& options);
Json RatioJson(uint64_t raw_bytes, uint64_t stored_bytes);

}  // namespace bitsnap::cli
