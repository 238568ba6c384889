#include "python/native/watch.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace bitsnap::python {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(20);

// What the worker and the waiting thread tell each other.
class Shared {
 public:
  bool Advance(uint64_t done, uint64_t total) {
    std::lock_guard lock(mutex_);
    done_ = done;
    total_ = total;
    return !cancelled_;
  }

  void Finish(std::exception_ptr failure) {
    std::lock_guard lock(mutex_);
    failure_ = std::move(failure);
    finished_ = true;
    changed_.notify_one();
  }

  void Cancel() {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
  }

  // True when the work is over, false after the poll interval.
  bool Wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPollInterval, [this] { return finished_; });
  }

  std::pair<uint64_t, uint64_t> DoneAndTotal() {
    std::lock_guard lock(mutex_);
    return {done_, total_};
  }

  const std::exception_ptr& failure() const { return failure_; }  // after Wait() returned true

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
  bool cancelled_ = false;
  bool finished_ = false;
  std::exception_ptr failure_;
};

void HandleSignals() {
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

// False when the callback asks to stop.
bool Report(const nb::object& callback, const std::pair<uint64_t, uint64_t>& progress) {
  if (callback.is_none()) return true;
  return !callback(progress.first, progress.second).is(Py_False);
}

}  // namespace

void WatchWhile(const nb::object& callback, const std::function<void(const Progress&)>& work) {
  Shared shared;
  std::jthread worker([&] {
    std::exception_ptr failure;
    try {
      work([&](uint64_t done, uint64_t total) { return shared.Advance(done, total); });
    } catch (...) {
      failure = std::current_exception();
    }
    shared.Finish(failure);
  });

  std::exception_ptr interruption;
  std::pair<uint64_t, uint64_t> reported;
  for (bool finished = false; !finished;) {
    {
      nb::gil_scoped_release release;
      finished = shared.Wait();
    }
    if (interruption) continue;
    try {
      HandleSignals();
      const auto progress = shared.DoneAndTotal();
      if (progress != std::exchange(reported, progress) && !Report(callback, progress)) {
        shared.Cancel();
      }
    } catch (const nb::python_error&) {
      interruption = std::current_exception();
      shared.Cancel();
    }
  }
  if (interruption) std::rethrow_exception(interruption);
  if (shared.failure()) std::rethrow_exception(shared.failure());
}

}  // namespace bitsnap::python
