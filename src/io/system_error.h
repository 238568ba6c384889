// Failed system calls as errors.
#pragma once

#include <filesystem>
#include <string_view>

#include <bitsnap/result.h>

namespace bitsnap {

// "cannot OPERATION PATH: REASON", with the remedy where the code suggests one. `code` is an errno.
tl::unexpected<Error> SystemFail(int code, std::string_view operation,
                                 const std::filesystem::path& path);

}  // namespace bitsnap
