// Names and numbers of Python as the options of a save.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include <bitsnap/options.h>
#include <bitsnap/retention.h>

namespace bitsnap::python {

Profile ToProfile(const std::string& name);

using Base = std::variant<uint64_t, std::string>;  // a step, "auto" or "none"
BaseChoice ToBase(const Base& base);

// A rule of the three, absent or None; no policy when all are.
using Rule = std::optional<uint64_t>;
std::optional<RetentionPolicy> ToRetention(const Rule& keep_last, const Rule& keep_every,
                                           const Rule& drop_optimizer_older_than,
                                           const Rule& whole_up_to);

}  // namespace bitsnap::python
