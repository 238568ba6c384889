// Text for people.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <bitsnap/bitsnap.h>

#include "cli/print.h"

namespace bitsnap::cli {

// "812 MB", "1.2 GB": powers of 1000.
std::string HumanBytes(uint64_t bytes);

// "1.48x"; "-" when nothing was stored.
std::string HumanRatio(uint64_t raw_bytes, uint64_t stored_bytes);

// Columns aligned by `alignment`, one '<' or '>' a column; the first row is the heading.
std::string FormatTable(std::string_view alignment,
                        const std::vector<std::vector<std::string>>& rows);

std::string FormatRoles(const std::map<Role, RoleBytes>& roles);

}  // namespace bitsnap::cli
