#include <bitsnap/result.h>

namespace bitsnap {

const char* ErrorKindName(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return "invalid argument";
    case ErrorKind::kNotFound:
      return "not found";
    case ErrorKind::kAlreadyExists:
      return "already exists";
    case ErrorKind::kCorrupt:
      return "corrupt";
    case ErrorKind::kTruncated:
      return "truncated";
    case ErrorKind::kUnsupportedVersion:
      return "unsupported version";
    case ErrorKind::kMissingBase:
      return "missing base";
    case ErrorKind::kOutOfSpace:
      return "out of space";
    case ErrorKind::kOutOfMemory:
      return "out of memory";
    case ErrorKind::kIo:
      return "I/O error";
    case ErrorKind::kCancelled:
      return "cancelled";
    case ErrorKind::kBusy:
      return "busy";
    case ErrorKind::kDurabilityUnknown:
      return "durability unknown";
  }
  return "unknown error";
}

}  // namespace bitsnap
