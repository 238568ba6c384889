#include "engine/save_queue.h"

#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "engine/guard.h"

namespace bitsnap {
namespace {

// A quarter of a core where the training competes for it, all of the machine in the training's
// pauses, and seldom between two threads that wait for each other.
constexpr int kNiceness = 5;

}  // namespace

SaveQueue::SaveQueue(Store store) : store_(std::move(store)), thread_([this] { Run(); }) {}

void SaveQueue::Push(SaveJob job) {
  std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

void SaveQueue::Close() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  changed_.notify_all();
  std::thread thread = std::exchange(thread_, {});
  lock.unlock();
  if (thread.joinable()) thread.join();
}

void SaveQueue::Run() {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !jobs_.empty() || closing_; });
    if (jobs_.empty()) return;
    const SaveJob job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job.done(WithoutExceptions(
        [&] { return store_.Save(ViewsOf(job.manifest, job.memory), job.options); }));
    lock.lock();
  }
}

}  // namespace bitsnap
