#include "cli/interrupt.h"

#include <atomic>
#include <csignal>

namespace bitsnap::cli {

namespace {

std::atomic<int> signal_caught = 0;
static_assert(std::atomic<int>::is_always_lock_free, "stored from a signal handler");

}  // namespace

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int number) { signal_caught = number; };
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  for (const int number : {SIGINT, SIGTERM}) {
    sigaction(number, &action, nullptr);
  }
  // Work goes on when nobody reads what is told of it.
  signal(SIGPIPE, SIG_IGN);
}

int InterruptingSignal() { return signal_caught; }

}  // namespace bitsnap::cli
