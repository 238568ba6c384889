// The files that save and bench read.
#pragma once

#include <filesystem>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

// SafetensorsFile::Open; for a folder, or a file of another kind, the error says what it is and how
// to save what is in it.
Result<SafetensorsFile> OpenInput(const std::filesystem::path& path);

}  // namespace bitsnap::cli
