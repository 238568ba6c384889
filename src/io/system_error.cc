#include "io/system_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace bitsnap {
namespace {

ErrorKind KindOf(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return ErrorKind::kOutOfSpace;
    case ENOENT:
      return ErrorKind::kNotFound;
    case EEXIST:
      return ErrorKind::kAlreadyExists;
    default:
      return ErrorKind::kIo;
  }
}

std::string_view RemedyFor(int code) {
  switch (code) {
    case ENOSPC:
      return "; free some space or choose another disk";
    case EDQUOT:
      return "; free some space or ask for a larger quota";
    case EACCES:
    case EPERM:
      return "; check owner and permissions";
    case EROFS:
      return "; choose a place that can be written";
    case EMFILE:
      return "; raise the limit of open files (ulimit -n)";
    case ELOOP:
      return "; give the path of the file itself, not of a link";
    default:
      return "";
  }
}

}  // namespace

tl::unexpected<Error> SystemFail(int code, std::string_view operation,
                                 const std::filesystem::path& path) {
  return Fail(KindOf(code), fmt::format("cannot {} {}: {}{}", operation, path.string(),
                                        std::generic_category().message(code), RemedyFor(code)));
}

bool IsUnsupported(int code) {
  switch (code) {
    case EINVAL:
    case ENOSYS:
    case ENOTTY:
    case EOPNOTSUPP:
#if ENOTSUP != EOPNOTSUPP
    case ENOTSUP:
#endif
      return true;
    default:
      return false;
  }
}

bool IsLinkUnsupported(int code) {
  return IsUnsupported(code) || code == EPERM || code == EMLINK || code == EXDEV;
}

}  // namespace bitsnap
