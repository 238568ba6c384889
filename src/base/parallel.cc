#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

namespace bitsnap {
namespace {

// Lock rule: every member below `mutex_` is guarded by it; produce and consume run without it.
class OrderedRun {
 public:
  explicit OrderedRun(const OrderedWork& work) : work_(work), ready_(work.slots, false) {}

  void Work(unsigned worker) {
    std::unique_lock lock(mutex_);
    while (const std::optional<size_t> item = Take(lock)) {
      lock.unlock();
      Result<void> result = Guarded([&] { return work_.produce(*item, Slot(*item), worker); });
      lock.lock();
      if (!result) return Stop(std::move(result).error());
      ready_[Slot(*item)] = true;
      Drain(lock);
    }
  }

  Result<void> result() const {
    if (error_) return tl::make_unexpected(*error_);
    return {};
  }

 private:
  size_t Slot(size_t item) const { return item % work_.slots; }

  // The next item to produce, once its slot is free; nullopt when there is none left.
  std::optional<size_t> Take(std::unique_lock<std::mutex>& lock) {
    changed_.wait(
        lock, [&] { return error_ || next_ == work_.count || next_ < consumed_ + work_.slots; });
    if (error_ || next_ == work_.count) return std::nullopt;
    return next_++;
  }

  // Consumes all items that are due, unless another thread is at it: that one will see them.
  void Drain(std::unique_lock<std::mutex>& lock) {
    if (draining_) return;
    draining_ = true;
    while (!error_ && consumed_ < work_.count && ready_[Slot(consumed_)]) {
      const size_t item = consumed_;
      lock.unlock();
      Result<void> result = Guarded([&] { return work_.consume(item, Slot(item)); });
      lock.lock();
      if (!result) {
        Stop(std::move(result).error());
        break;
      }
      ready_[Slot(item)] = false;
      ++consumed_;
      changed_.notify_all();
    }
    draining_ = false;
  }

  void Stop(Error error) {
    if (!error_) error_ = std::move(error);
    changed_.notify_all();
  }

  template <class F>
  static Result<void> Guarded(F&& body) {
    try {
      return body();
    } catch (const std::bad_alloc&) {
      return Fail(ErrorKind::kOutOfMemory, "out of memory");
    }
  }

  const OrderedWork& work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> ready_;  // slot holds a produced item that is not consumed yet
  size_t next_ = 0;          // to be produced
  size_t consumed_ = 0;
  bool draining_ = false;
  std::optional<Error> error_;
};

}  // namespace

unsigned ThreadCount(unsigned requested) {
  if (requested != 0) return requested;
  // More cores than Linux can have.
  std::vector<cpu_set_t> cores(8);
  const size_t bytes = cores.size() * sizeof(cpu_set_t);
  if (sched_getaffinity(0, bytes, cores.data()) == 0) {
    return std::max(1, CPU_COUNT_S(bytes, cores.data()));
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

Result<void> RunOrdered(const OrderedWork& work) {
  OrderedRun run(work);
  {
    std::vector<std::jthread> helpers;
    // Fewer than wanted do the same work.
    try {
      for (unsigned worker = 1; worker < std::min<size_t>(work.threads, work.count); ++worker) {
        helpers.emplace_back([&run, worker] { run.Work(worker); });
      }
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    run.Work(0);
  }
  return run.result();
}

}  // namespace bitsnap
