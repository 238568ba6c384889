// The agent's main loop.
#include <bitsnap/agent.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <list>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/try.h"
#include "engine/agent/listener.h"
#include "engine/agent/session.h"
#include "engine/guard.h"

namespace bitsnap::agent {
namespace {

// Whoever started a detached agent comes soon, or has died.
constexpr std::chrono::seconds kPatience(30);
// How often saves are looked at that are all that is left to do.
constexpr std::chrono::milliseconds kPoll(50);
// How long nobody is accepted once there are no descriptors or memory for one more.
constexpr std::chrono::milliseconds kRest(100);

// SIGINT, SIGTERM and SIGHUP (unless ignored, by nohup) as a file to poll; blocked in all threads
// begun afterwards.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, number);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    fd_ = Fd(signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK));
    signal(SIGPIPE, SIG_IGN);
  }
  int fd() const { return fd_.get(); }
  // The next one ends the process as if nobody had caught it, but for SIGHUP, of which a terminal
  // that is closed may send several.
  void Restore() {
    signalfd_siginfo taken;
    static_cast<void>(!read(fd_.get(), &taken, sizeof(taken)));
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigdelset(&set_, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
  }

 private:
  sigset_t set_;
  Fd fd_;
};

// Sessions on threads of their own. One thread at a time.
class Sessions {
 public:
  explicit Sessions(Agent& agent) : agent_(agent), over_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Sessions() {
    for (Running& each : running_) each.session.Stop();
    for (Running& each : running_) each.thread.join();
  }

  void Start(Fd client) {
    Running& running = running_.emplace_back(agent_, std::move(client));
    try {
      running.thread = std::thread([this, &running] {
        running.session.Run();
        running.is_over = true;
        const uint64_t one = 1;
        static_cast<void>(!write(over_.get(), &one, sizeof(one)));
      });
    } catch (const std::system_error&) {  // no more threads: this client is turned away
      running_.pop_back();
    }
  }
  // Readable when one is over.
  int fd() const { return over_.get(); }
  void Reap() {
    uint64_t count;
    static_cast<void>(!read(over_.get(), &count, sizeof(count)));
    running_.remove_if([](Running& each) {
      if (!each.is_over) return false;
      each.thread.join();
      return true;
    });
  }

 private:
  struct Running {
    Running(Agent& agent, Fd client) : session(agent, std::move(client)) {}
    Session session;
    std::atomic<bool> is_over = false;
    std::thread thread;
  };
  Agent& agent_;
  const Fd over_;
  std::list<Running> running_;
};

int Milliseconds(std::optional<Clock::duration> duration) {
  if (!duration) return -1;
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(*duration);
  return static_cast<int>(std::min<int64_t>(rounded.count(), 3'600'000));
}

void ServeClients(Agent& agent, Listener& listener, Signals& signals) {
  Sessions sessions(agent);
  bool is_full = false;  // who waits to be accepted would wake the loop again and again
  while (true) {
    std::optional<Clock::duration> left = agent.TimeLeft();
    const bool is_ending = agent.is_ending();
    if (left == Clock::duration::zero() || (is_ending && agent.is_idle())) break;
    if (is_ending || !agent.is_idle()) left = kPoll;
    if (is_full) left = std::min<Clock::duration>(left.value_or(kRest), kRest);
    pollfd events[] = {{is_full ? -1 : listener.socket(), POLLIN, 0},
                       {sessions.fd(), POLLIN, 0},
                       {is_ending ? -1 : signals.fd(), POLLIN, 0}};
    if (poll(events, 3, Milliseconds(left)) < 0 && errno != EINTR) break;
    is_full = false;
    if (events[0].revents != 0) {
      Result<Fd> client = listener.Accept();
      is_full = !client;
      if (client && *client) sessions.Start(*std::move(client));
    }
    if (events[1].revents != 0) sessions.Reap();
    if (events[2].revents != 0) {
      listener.Close();  // who comes now gets another agent
      agent.End();
      signals.Restore();
    }
  }
}

void Serve(Agent& agent, Listener& listener, Signals& signals) {
  ServeClients(agent, listener, signals);
  if (!listener.HasSuccessor()) agent.log().End();
  listener.Close();
}

void CloseAllButStandardFiles() {
#ifdef SYS_close_range
  syscall(SYS_close_range, 3U, ~0U, 0U);
#endif
}

// A rank may be pinned to a core or to the memory of a socket, or run in real time; the agent
// serves all ranks. Control groups still hold.
void Unpin() {
  std::vector<cpu_set_t> all(8);  // more cores than Linux can have
  std::memset(all.data(), 0xff, all.size() * sizeof(cpu_set_t));
  sched_setaffinity(0, all.size() * sizeof(cpu_set_t), all.data());
  const sched_param none = {};
  const int policy = sched_getscheduler(0);
  if (policy == SCHED_FIFO || policy == SCHED_RR) sched_setscheduler(0, SCHED_OTHER, &none);
  constexpr int kDefaultPolicy = 0;
  syscall(SYS_set_mempolicy, kDefaultPolicy, nullptr, 0);
}

// Lets go of the terminal and of what may be a pipe that somebody reads to its end.
void Detach() {
  setsid();
  // Where the scheduler shares the machine out among sessions, a thread's niceness counts only
  // within its own: this one gets that of the thread that saves (SaveQueue).
  const int group = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  static_cast<void>(!write(group, "5", 1));
  close(group);
  static_cast<void>(!chdir("/"));
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int standard : {0, 1, 2}) dup2(null, standard);
  close(null);
  Unpin();
}

}  // namespace
}  // namespace bitsnap::agent

namespace bitsnap {

Result<void> RunAgent(const std::filesystem::path& directory, const AgentEvents& events) {
  return WithoutExceptions([&]() -> Result<void> {
    BITSNAP_ASSIGN(const Store opened, Store::OpenOrCreate(directory));
    agent::Signals signals;
    BITSNAP_ASSIGN(auto listener, agent::Listener::Start(opened.directory()));
    if (!listener) {
      return Fail(ErrorKind::kBusy,
                  fmt::format("{}: this store has an agent already", directory.string()));
    }
    BITSNAP_ASSIGN(Store store, Store::Open(listener->address().store));
    agent::Log log(listener->address().log);
    agent::Agent running(std::move(store), std::nullopt, log, events);
    if (events.listening) events.listening(listener->address().socket);
    agent::Serve(running, *listener, signals);
    return {};
  });
}

Result<void> StartDetachedAgent(const std::filesystem::path& directory) {
  agent::CloseAllButStandardFiles();
  return WithoutExceptions([&]() -> Result<void> {
    BITSNAP_ASSIGN(const Store opened, Store::OpenOrCreate(directory));
    BITSNAP_ASSIGN(auto listener, agent::Listener::Start(opened.directory()));
    if (!listener) return {};  // somebody else was quicker
    BITSNAP_ASSIGN(Store store, Store::Open(listener->address().store));
    const pid_t child = fork();
    if (child < 0) return Fail(ErrorKind::kIo, "cannot start a process for the agent");
    if (child > 0) _exit(0);  // the listener is the child's now
    agent::Detach();
    agent::Signals signals;
    agent::Log log(listener->address().log);
    agent::Agent running(std::move(store), agent::kPatience, log);
    agent::Serve(running, *listener, signals);
    return {};
  });
}

}  // namespace bitsnap
