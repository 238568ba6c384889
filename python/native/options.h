// Names and numbers of Python as the options of a save.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include <bitsnap/lineage.h>
#include <bitsnap/options.h>
#include <bitsnap/retention.h>
#include <nanobind/nanobind.h>

namespace bitsnap::python {

Profile ToProfile(const std::string& name);

using Base = std::variant<uint64_t, std::string>;  // a step, "auto" or "none"
BaseChoice ToBase(const Base& base);

using Rule = std::optional<uint64_t>;
// No policy when it asks for nothing.
std::optional<RetentionPolicy> ToRetention(RetentionPolicy policy);

// A Lineage of bitsnap/records.py, or None.
std::optional<Lineage> ToLineage(const nanobind::handle& record);

}  // namespace bitsnap::python
