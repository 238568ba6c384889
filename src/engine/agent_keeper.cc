#include "engine/agent_keeper.h"

#include <utility>

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {
namespace {

// The agent keeps the newest state, so that the next one needs other memory.
constexpr size_t kArenas = 2;

agent::Hello ToHello(const Store& store, const SaverOptions& options) {
  return {.store = store.directory().native(),
          .rank = options.agent->rank,
          .world_size = options.agent->world_size,
          .max_memory = options.max_memory,
          .linger = static_cast<uint64_t>(options.agent->linger.count())};
}

}  // namespace

class AgentKeeper::AgentReservation final : public Reservation {
 public:
  AgentReservation(AgentKeeper& keeper, std::shared_ptr<agent::Connection> connection,
                   agent::Borrowed borrowed)
      : keeper_(keeper), connection_(std::move(connection)), borrowed_(std::move(borrowed)) {}
  ~AgentReservation() override {
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
      keeper_.link_->Warn(fmt::format("the agent did not take step {}; it is saved in this process",
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
    : local_(std::move(store), options.max_memory) {}

AgentKeeper::~AgentKeeper() { Close(false); }

Result<std::unique_ptr<AgentKeeper>> AgentKeeper::Start(Store store, const SaverOptions& options) {
  const agent::Hello hello = ToHello(store, options);
  std::unique_ptr<AgentKeeper> keeper(new AgentKeeper(std::move(store), options));
  // On the thread of a connection whose agent is gone.
  const auto take_over = [self = keeper.get()](std::vector<SaveJob> unfinished) {
    for (SaveJob& job : unfinished) self->SaveHere(std::move(job));
  };
  BITSNAP_ASSIGN(keeper->link_, AgentLink::Open(hello, options.agent->executable, take_over));
  return keeper;
}

Result<std::unique_ptr<Reservation>> AgentKeeper::Reserve(uint64_t bytes,
                                                          const SaveOptions& options, bool wait,
                                                          std::stop_token stop) {
  for (int attempt = 0; attempt < AgentLink::kAttempts; ++attempt) {
    const auto connection = link_->Agent();
    if (!connection) break;
    auto borrowed = connection->Reserve(bytes, options, wait, stop);
    if (borrowed && *borrowed) {
      return std::make_unique<AgentReservation>(*this, connection, **borrowed);
    }
    if (borrowed) return nullptr;
    if (!connection->is_lost()) return tl::make_unexpected(std::move(borrowed).error());
  }
  return local_.Reserve(bytes, options, wait, std::move(stop));
}

bool AgentKeeper::is_prepared() {
  const auto connection = link_->Current();
  return connection ? connection->mapped() >= kArenas : local_.is_prepared();
}

// Starts no agent: when it died, the next save does.
void AgentKeeper::Prepare(uint64_t bytes) {
  const auto connection = link_->Current();
  if (!connection) return local_.Prepare(bytes);
  if (connection->mapped() < kArenas) connection->WarmSpare(bytes);
}

void AgentKeeper::SaveHere(SaveJob job) {
  job.options.overwrite = true;  // the agent may have committed it just before it died
  local_.Save(std::move(job));
}

void AgentKeeper::Close(bool forget) {
  if (link_) link_->Close(forget);
  local_.Close(forget);
}

Result<void> AgentKeeper::Settle(std::stop_token stop) {
  const auto connection = link_->Current();
  if (!connection) return {};
  Result<std::vector<std::string>> failures = connection->Settle(std::move(stop));
  if (!failures) {
    if (connection->is_lost()) return {};  // it has nothing under way any more
    return tl::make_unexpected(std::move(failures).error());
  }
  for (std::string& failure : *failures) link_->Warn(std::move(failure));
  return {};
}

}  // namespace bitsnap
