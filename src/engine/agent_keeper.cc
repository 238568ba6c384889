#include "engine/agent_keeper.h"

#include <utility>

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {
namespace {

// An agent that dies while it is asked gets one successor.
constexpr int kAttempts = 2;
// It keeps the newest state, so that the next one needs other memory.
constexpr size_t kArenas = 2;

agent::Hello ToHello(const Store& store, const SaverOptions& options) {
  return {.store = store.directory().native(),
          .rank = options.agent->rank,
          .world_size = options.agent->world_size,
          .max_memory = options.max_memory,
          .linger = static_cast<uint64_t>(options.agent->linger.count())};
}

}  // namespace

class AgentKeeper::Lent final : public Reservation {
 public:
  Lent(AgentKeeper& keeper, std::shared_ptr<agent::Connection> connection, agent::Borrowed borrowed)
      : keeper_(keeper), connection_(std::move(connection)), borrowed_(std::move(borrowed)) {}
  ~Lent() override {
    if (borrowed_.memory) connection_->Release(borrowed_);
  }

  MutableBytes bytes() const override { return borrowed_.memory->bytes(); }

  void Submit(Manifest manifest, SaveOptions options, SaveDone done) override {
    const agent::Borrowed borrowed = std::exchange(borrowed_, {});
    SaveJob job{std::move(manifest), borrowed.memory->bytes(), std::move(options),
                [memory = borrowed.memory, done = std::move(done)](Result<SaveReport> report) {
                  done(std::move(report));
                }};
    std::optional<SaveJob> refused = connection_->Submit(borrowed, std::move(job));
    if (!refused) return;
    if (!connection_->is_lost()) {
      keeper_.Warn(fmt::format("the agent did not take step {}; it is saved in this process",
                               refused->options.step));
    }
    // The memory is the agent's to lend again once the state is saved from it.
    refused->done = [connection = connection_, borrowed,
                     next = std::move(refused->done)](Result<SaveReport> report) {
      next(std::move(report));
      connection->Release(borrowed);
    };
    keeper_.SaveHere(*std::move(refused));
  }

 private:
  AgentKeeper& keeper_;
  const std::shared_ptr<agent::Connection> connection_;
  agent::Borrowed borrowed_;  // empty once submitted
};

AgentKeeper::AgentKeeper(Store store, const SaverOptions& options)
    : store_(store),
      options_(*options.agent),
      hello_(ToHello(store, options)),
      local_(std::move(store), options.max_memory) {}

AgentKeeper::~AgentKeeper() { Close(false); }

Result<std::unique_ptr<Keeper>> AgentKeeper::Start(Store store, const SaverOptions& options) {
  std::unique_ptr<AgentKeeper> keeper(new AgentKeeper(std::move(store), options));
  BITSNAP_TRY(keeper->Connect());
  return keeper;
}

// Requires: connecting_ held, or no other thread.
Result<void> AgentKeeper::Connect() {
  BITSNAP_ASSIGN(auto connection, agent::Connection::Open(hello_, options_.executable,
                                                          [this](std::vector<SaveJob> unfinished) {
                                                            TakeOver(std::move(unfinished));
                                                          }));
  std::lock_guard lock(mutex_);
  connection_.swap(connection);
  return {};
}

std::shared_ptr<agent::Connection> AgentKeeper::Agent() {
  std::lock_guard connecting(connecting_);
  {
    std::lock_guard lock(mutex_);
    if (is_alone_ || !connection_->is_lost()) return is_alone_ ? nullptr : connection_;
  }
  const Result<void> connected = Connect();
  std::lock_guard lock(mutex_);
  if (connected) return connection_;
  is_alone_ = true;
  warnings_.push_back(
      fmt::format("{}; from now on this process saves for itself", connected.error().message));
  return nullptr;
}

template <class Question>
auto AgentKeeper::Ask(const Question& question)
    -> decltype(question(std::declval<std::shared_ptr<agent::Connection>>())) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto connection = Agent();
    if (!connection) break;
    auto answer = question(connection);
    if (answer || !connection->is_lost()) return answer;
  }
  return Fail(ErrorKind::kIo, "there is no agent any more");
}

Result<std::unique_ptr<Reservation>> AgentKeeper::Reserve(uint64_t bytes,
                                                          const SaveOptions& options, bool wait,
                                                          std::stop_token stop) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto connection = Agent();
    if (!connection) break;
    auto borrowed = connection->Reserve(bytes, options, wait, stop);
    if (borrowed && *borrowed) return std::make_unique<Lent>(*this, connection, **borrowed);
    if (borrowed) return nullptr;
    if (!connection->is_lost()) return tl::make_unexpected(std::move(borrowed).error());
  }
  return local_.Reserve(bytes, options, wait, std::move(stop));
}

bool AgentKeeper::is_prepared() {
  std::lock_guard lock(mutex_);
  return is_alone_ ? local_.is_prepared() : connection_->mapped() >= kArenas;
}

// Starts no agent: where it died, the next save does.
void AgentKeeper::Prepare(uint64_t bytes) {
  std::shared_ptr<agent::Connection> connection;
  {
    std::lock_guard lock(mutex_);
    if (!is_alone_) connection = connection_;
  }
  if (!connection) return local_.Prepare(bytes);
  if (connection->mapped() < kArenas) connection->WarmSpare(bytes);
}

// On the thread of a connection whose agent is gone.
void AgentKeeper::TakeOver(std::vector<SaveJob> unfinished) {
  Warn(
      fmt::format("the agent of {} is gone; {} unfinished save(s) are finished in this process, "
                  "and the next one starts another agent",
                  store_.directory().string(), unfinished.size()));
  for (SaveJob& job : unfinished) SaveHere(std::move(job));
}

void AgentKeeper::SaveHere(SaveJob job) {
  job.options.overwrite = true;  // the agent may have committed it just before it died
  local_.Save(std::move(job));
}

void AgentKeeper::Warn(std::string warning) {
  std::lock_guard lock(mutex_);
  warnings_.push_back(std::move(warning));
}

std::vector<std::string> AgentKeeper::TakeWarnings() {
  std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

void AgentKeeper::Close(bool forget) {
  std::shared_ptr<agent::Connection> connection;
  {
    std::lock_guard lock(mutex_);
    connection = connection_;
  }
  if (connection) connection->Leave(forget);
  local_.Close(forget);
}

Result<void> AgentKeeper::Settle(std::stop_token stop) {
  std::shared_ptr<agent::Connection> connection;
  {
    std::lock_guard lock(mutex_);
    connection = connection_;
  }
  Result<std::vector<std::string>> failures = connection->Settle(std::move(stop));
  if (!failures) {
    if (connection->is_lost()) return {};  // it has nothing under way any more
    return tl::make_unexpected(std::move(failures).error());
  }
  for (std::string& failure : *failures) Warn(std::move(failure));
  return {};
}

Result<std::optional<Snapshot>> AgentKeeper::Newest() {
  const auto connection = Agent();
  if (!connection) return std::nullopt;
  auto newest = agent::Connection::Newest(connection);
  if (!newest && connection->is_lost()) return std::nullopt;  // with all that it remembered
  return newest;
}

Result<void> AgentKeeper::Hold(const std::string& key, Bytes content) {
  return Ask([&](const auto& connection) { return connection->Hold(key, content); });
}

// An agent that is gone holds nothing: what it held is no error to whoever looks for it elsewhere.

Result<std::vector<std::string>> AgentKeeper::Held() {
  auto keys = Ask([](const auto& connection) { return connection->Held(); });
  if (!keys && !Agent()) return std::vector<std::string>();
  return keys;
}

Result<std::shared_ptr<const Arena>> AgentKeeper::Fetch(const std::string& key) {
  return Ask([&](const auto& connection) { return connection->Fetch(key); });
}

Result<void> AgentKeeper::Drop(const std::vector<std::string>& keys) {
  const auto dropped = Ask([&](const auto& connection) { return connection->Drop(keys); });
  if (!dropped && !Agent()) return {};
  return dropped;
}

}  // namespace bitsnap
