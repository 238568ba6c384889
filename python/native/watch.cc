#include "python/native/watch.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace bitsnap::python {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(20);

// Says when the worker is done.
class Completion {
 public:
  void Finish(std::exception_ptr failure) {
    std::lock_guard lock(mutex_);
    failure_ = std::move(failure);
    finished_ = true;
    changed_.notify_one();
  }

  // True when the work is over, false after the poll interval.
  bool Wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPollInterval, [this] { return finished_; });
  }

  const std::exception_ptr& failure() const { return failure_; }  // after Wait() returned true

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;
  std::exception_ptr failure_;
};

void HandleSignals() {
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

// Runs `work` on another thread and `tick`, with the GIL, now and then on this one. Stops the token
// given to `work` when `tick` returns false or raises; what it raised is raised once `work` has
// returned.
void RunBeside(const std::function<void(std::stop_token)>& work,
               const std::function<bool()>& tick) {
  Completion completion;
  std::jthread worker([&](std::stop_token stop) {
    std::exception_ptr failure;
    try {
      work(std::move(stop));
    } catch (...) {
      failure = std::current_exception();
    }
    completion.Finish(failure);
  });

  std::exception_ptr interruption;
  for (bool finished = false; !finished;) {
    {
      nb::gil_scoped_release release;
      finished = completion.Wait();
    }
    if (interruption) continue;
    try {
      HandleSignals();
      if (!tick()) worker.request_stop();
    } catch (const nb::python_error&) {
      interruption = std::current_exception();
      worker.request_stop();
    }
  }
  if (interruption) std::rethrow_exception(interruption);
  if (completion.failure()) std::rethrow_exception(completion.failure());
}

}  // namespace

void WatchWhile(const nb::object& callback, const std::function<void(const Progress&)>& work) {
  using DoneAndTotal = std::pair<uint64_t, uint64_t>;
  std::mutex mutex;
  DoneAndTotal latest;    // guarded by mutex
  DoneAndTotal reported;  // this thread's
  const auto run = [&](const std::stop_token& stop) {
    work([&](uint64_t done, uint64_t total) {
      std::lock_guard lock(mutex);
      latest = {done, total};
      return !stop.stop_requested();
    });
  };
  const auto report = [&] {
    DoneAndTotal now;
    {
      std::lock_guard lock(mutex);
      now = latest;
    }
    if (callback.is_none() || std::exchange(reported, now) == now) return true;
    return !callback(now.first, now.second).is(Py_False);
  };
  RunBeside(run, report);
}

void WatchWaiting(const std::function<void(std::stop_token)>& work) {
  RunBeside(work, [] { return true; });
}

}  // namespace bitsnap::python
