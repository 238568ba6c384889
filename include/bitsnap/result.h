// Errors as values. BitSnap never throws across its public interface, never aborts and never
// prints.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace bitsnap {

enum class ErrorKind {
  kInvalidArgument,     // the caller asked for something that cannot be done
  kNotFound,            // no such store, step, rank or tensor
  kAlreadyExists,       // the step is there and overwriting was not asked for
  kCorrupt,             // bytes that do not match their checksum or break the format
  kTruncated,           // a file that ends before its format says so
  kUnsupportedVersion,  // written by a newer BitSnap, or by a pre-release
  kMissingBase,         // a delta whose base is gone or was replaced
  kOutOfSpace,          // the disk or quota is full
  kOutOfMemory,
  kIo,                 // any other failed system call
  kCancelled,          // the progress callback asked to stop
  kBusy,               // earlier work is not finished, and the caller did not want to wait for it
  kDurabilityUnknown,  // written and in place, but the disk did not confirm that it keeps it
};

// A short lower-case name for `kind`, e.g. "missing base".
const char* ErrorKindName(ErrorKind kind);

struct Error {
  ErrorKind kind;
  // One sentence that names the file or tensor concerned and, where there is one, the remedy.
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> Fail(ErrorKind kind, std::string message) {
  return tl::make_unexpected(Error{kind, std::move(message)});
}

}  // namespace bitsnap
