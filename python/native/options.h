// Names and numbers of Python as the options of a save.
#pragma once

#include <string>
#include <variant>

#include <bitsnap/options.h>

namespace bitsnap::python {

Profile ToProfile(const std::string& name);

using Base = std::variant<uint64_t, std::string>;  // a step, "auto" or "none"
BaseChoice ToBase(const Base& base);

}  // namespace bitsnap::python
