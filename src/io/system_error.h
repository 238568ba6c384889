// Failed system calls as errors.
#pragma once

#include <filesystem>
#include <string_view>

#include <bitsnap/result.h>

namespace bitsnap {

// "cannot OPERATION PATH: REASON", with the remedy where the code suggests one. `code` is an errno.
tl::unexpected<Error> SystemFail(int code, std::string_view operation,
                                 const std::filesystem::path& path);

// Whether a call that failed with this errno is one that the file system does not have at all:
// file systems differ in how they say so.
bool IsUnsupported(int code);

// The same of link(), which has more ways to say so: no links at all, none more to this file, none
// between these two places, or none to what another user owns.
bool IsLinkUnsupported(int code);

}  // namespace bitsnap
