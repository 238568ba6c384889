// Long C++ work under Python: without the GIL, with progress, and stopped by Ctrl-C.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <utility>

#include <bitsnap/store.h>
#include <nanobind/nanobind.h>

#include "python/native/errors.h"

namespace bitsnap::python {

// Runs `work` on a thread of its own and waits for it, the GIL released. Now and then the waiting
// thread lets Python handle signals and calls `callback` (a callable or None) with the progress. An
// exception of either makes the Progress given to `work` return false, and is thrown once `work`
// has returned.
void WatchWhile(const nb::object& callback, const std::function<void(const Progress&)>& work);

// The same without progress: the exception of a signal's handler stops the token given to `work`.
void WatchWaiting(const std::function<void(std::stop_token)>& work);

template <class Work>
auto RunStoppable(Work work) {
  std::optional<std::invoke_result_t<Work, std::stop_token>> result;
  WatchWaiting([&](std::stop_token stop) { result = work(stop); });
  return ValueOrThrow(std::move(*result));
}

template <class Work>
auto RunWatched(const nb::object& callback, Work work) {
  std::optional<std::invoke_result_t<Work, const Progress&>> result;
  WatchWhile(callback, [&](const Progress& progress) { result = work(progress); });
  return ValueOrThrow(std::move(*result));
}

}  // namespace bitsnap::python
