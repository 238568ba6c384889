// Text for people.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

// "812 MB", "1.2 GB": powers of 1000.
std::string HumanBytes(uint64_t bytes);

// "1.48x"; "-" when nothing was stored.
std::string HumanRatio(uint64_t raw_bytes, uint64_t stored_bytes);

// Names and messages may come from a hostile file: control characters become '?'.
std::string Printable(std::string_view text);

// Columns aligned by `alignment`, one '<' or '>' a column; the first row is the heading.
std::string FormatTable(std::string_view alignment,
                        const std::vector<std::vector<std::string>>& rows);

std::string FormatRoles(const std::map<Role, RoleBytes>& roles);

// A line on stderr, in the command's name.
void Note(std::string_view message);

}  // namespace bitsnap::cli
