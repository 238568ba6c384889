// Too little memory as an error, at the edge of the public interface.
#pragma once

#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <bitsnap/result.h>

namespace bitsnap {

// What `body` returns, a Result, or kOutOfMemory: "there is too little memory to DO".
template <class F>
std::invoke_result_t<F> WithinMemory(std::string_view to_do, F&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {  // a container that no memory could hold
  }
  return Fail(ErrorKind::kOutOfMemory, "there is too little memory to " + std::string(to_do));
}

}  // namespace bitsnap
