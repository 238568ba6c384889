// Exceptions of the standard library as errors.
#pragma once

#include <exception>
#include <new>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include <bitsnap/result.h>

namespace bitsnap {

template <class F>
std::invoke_result_t<F> WithoutExceptions(F&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Fail(ErrorKind::kOutOfMemory, "out of memory while saving; lower max_memory");
  } catch (const std::exception& exception) {
    return Fail(ErrorKind::kIo, fmt::format("saving failed: {}", exception.what()));
  }
}

}  // namespace bitsnap
