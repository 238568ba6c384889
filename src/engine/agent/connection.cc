#include "engine/agent/connection.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "base/try.h"
#include "engine/agent/fields.h"
#include "engine/agent/listener.h"
#include "engine/agent/spawn.h"
#include "engine/memory_file.h"
#include "engine/memory_snapshot.h"

namespace bitsnap::agent {
namespace {

// An agent that ends gives way to the next one within milliseconds.
constexpr std::chrono::seconds kPatience(10);
constexpr std::chrono::milliseconds kPause(20);

Result<std::vector<std::string>> ToTexts(const Json& answer, const char* key) {
  Fields fields(answer);
  std::vector<std::string> texts;
  for (const Json& text : fields.Array(key)) {
    if (text.is_string()) texts.push_back(text.get<std::string>());
  }
  BITSNAP_TRY(fields.Check());
  return texts;
}

}  // namespace

Result<std::shared_ptr<Connection>> Connection::Open(Hello hello, const Address& address,
                                                     const std::filesystem::path& executable,
                                                     Lost lost) {
  hello.store = address.store.native();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    BITSNAP_ASSIGN(std::optional<Fd> socket, Connect(address));
    if (socket) {
      std::shared_ptr<Connection> connection(new Connection(lost));
      Connection* self = connection.get();
      // Not lost before it was won: until it has greeted, nobody is told.
      connection->client_ = std::make_unique<Client>(
          *std::move(socket), Client::Events{[self](const Json& event) { self->OnTold(event); },
                                             [self] { self->OnLost(); }});
      const Result<Frame> greeted = connection->client_->Ask("hello", ToJson(hello));
      if (greeted) {
        connection->Greeted();
        return connection;
      }
      if (greeted.error().kind != ErrorKind::kIo) return tl::make_unexpected(greeted.error());
    } else {
      BITSNAP_TRY(Spawn(executable, address.store));
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return Fail(ErrorKind::kIo, fmt::format("no agent listens at {} for long enough to be asked",
                                              address.socket.string()));
    }
    std::this_thread::sleep_for(kPause);
  }
}

Result<std::optional<Borrowed>> Connection::Reserve(uint64_t bytes, const SaveOptions& options,
                                                    bool wait, std::stop_token stop) {
  BITSNAP_ASSIGN(Frame answer, client_->Ask("reserve",
                                            {{"bytes", bytes},
                                             {"step", options.step},
                                             {"overwrite", options.overwrite},
                                             {"wait", wait}},
                                            -1, std::move(stop)));
  return ToBorrowed(std::move(answer), bytes);
}

void Connection::WarmSpare(uint64_t bytes) {
  Result<Frame> answer = client_->Ask("reserve spare", {{"bytes", bytes}});
  if (!answer) return;
  const auto spare = ToBorrowed(*std::move(answer), bytes);
  if (spare && *spare) Release(**spare);
}

Result<std::optional<Borrowed>> Connection::ToBorrowed(Frame answer, uint64_t wanted) {
  Fields fields(answer.body);
  if (fields.Bool("busy")) return std::nullopt;
  const uint64_t arena = fields.U64("arena"), size = fields.U64("bytes");
  const Json& alive = fields.Array("alive");
  BITSNAP_TRY(fields.Check());
  auto memory = MemoryOf(arena, size, std::move(answer.fd), alive);
  if (memory && (*memory)->bytes().size() < wanted) {
    memory = Fail(ErrorKind::kCorrupt, "the agent lent less memory than was asked for");
  }
  if (!memory) {
    Release({arena, nullptr});
    return tl::make_unexpected(std::move(memory).error());
  }
  return Borrowed{arena, *std::move(memory)};
}

size_t Connection::mapped() {
  std::lock_guard lock(mutex_);
  return mapped_.size();
}

// The arena as mapped before, or mapped now; those that the agent has no more are let go.
Result<std::shared_ptr<const Arena>> Connection::MemoryOf(uint64_t arena, uint64_t bytes,
                                                          std::optional<Fd> fd, const Json& alive) {
  std::lock_guard lock(mutex_);
  const auto is_its = [&](const auto& save) { return save.second.arena == arena; };
  if (std::any_of(saves_.begin(), saves_.end(), is_its)) {
    return Fail(ErrorKind::kCorrupt, "the agent lent the memory of a save that is under way");
  }
  std::erase_if(mapped_, [&](const auto& entry) {
    return std::find(alive.begin(), alive.end(), entry.first) == alive.end();
  });
  auto& memory = mapped_[arena];
  if (memory) return memory;
  auto mapped = Arena::MapOf(fd ? *std::move(fd) : Fd(), bytes, /*writable=*/true);
  if (!mapped) {
    mapped_.erase(arena);
    return tl::make_unexpected(std::move(mapped).error());
  }
  memory = std::make_shared<const Arena>(*std::move(mapped));
  return memory;
}

void Connection::Release(const Borrowed& borrowed) {
  static_cast<void>(client_->Ask("release", {{"arena", borrowed.arena}}));
}

std::optional<SaveJob> Connection::Submit(const Borrowed& borrowed, SaveJob job) {
  Json request = {{"arena", borrowed.arena},
                  {"manifest", ToJson(job.manifest)},
                  {"options", ToJson(job.options)}};
  uint64_t save;
  {
    std::lock_guard lock(mutex_);
    save = ++last_save_;
    saves_.emplace(save, UnderWay{borrowed.arena, std::move(job)});
  }
  request["save"] = save;
  if (client_->Ask("submit", std::move(request))) return std::nullopt;
  // Nobody has it where it is still here: OnLost takes all there are.
  std::lock_guard lock(mutex_);
  const auto found = saves_.find(save);
  if (found == saves_.end()) return std::nullopt;
  std::optional<SaveJob> back = std::move(found->second.job);
  saves_.erase(found);
  return back;
}

void Connection::Greeted() {
  std::lock_guard lock(mutex_);
  is_greeted_ = true;
}

void Connection::OnTold(const Json& event) {
  Fields fields(event);
  const uint64_t save = fields.U64("save");
  if (event.contains("done")) {
    const uint64_t done = fields.U64("done"), total = fields.U64("total");
    Progress progress;
    {
      std::lock_guard lock(mutex_);
      const auto found = saves_.find(save);
      if (found == saves_.end() || !fields.Check()) return;
      progress = found->second.job.options.progress;
    }
    if (progress && !progress(done, total)) client_->Tell("cancel save", {{"save", save}});
    return;
  }
  std::unique_lock lock(mutex_);
  const auto found = saves_.find(save);
  if (found == saves_.end()) return;
  const SaveJob job = std::move(found->second.job);
  saves_.erase(found);
  lock.unlock();
  if (const auto error = event.find("error"); error != event.end()) {
    const Result<Error> told = ToError(*error);
    job.done(tl::make_unexpected(told ? *told : told.error()));
  } else {
    job.done(event.contains("report") ? ToSaveReport(event["report"])
                                      : Fail(ErrorKind::kCorrupt, "the agent told no report"));
  }
}

void Connection::OnLost() {
  std::vector<SaveJob> unfinished;
  {
    std::lock_guard lock(mutex_);
    if (!is_greeted_ || is_leaving_) return;
    for (auto& [save, state] : saves_) unfinished.push_back(std::move(state.job));
    saves_.clear();
  }
  lost_(std::move(unfinished));
}

Result<std::vector<std::string>> Connection::Settle(std::stop_token stop) {
  BITSNAP_ASSIGN(const Frame answer, client_->Ask("settle", {{"wait", true}}, -1, std::move(stop)));
  return ToTexts(answer.body, "failures");
}

Result<std::optional<Snapshot>> Connection::Newest(std::shared_ptr<Connection> connection) {
  BITSNAP_ASSIGN(Frame answer, connection->client_->Ask("newest", Json::object()));
  Fields fields(answer.body);
  const std::optional<uint64_t> lease = fields.OptionalU64("lease");
  BITSNAP_TRY(fields.Check());
  if (!lease) return std::nullopt;
  std::shared_ptr<void> end(nullptr, [connection, lease](void*) {
    static_cast<void>(connection->client_->Ask("end lease", {{"lease", *lease}}));
  });
  BITSNAP_ASSIGN(const Manifest manifest, ToManifest(fields.Object("manifest")));
  BITSNAP_ASSIGN(const SaveOptions options, ToSaveOptions(fields.Object("options")));
  return OpenMemory(manifest, options, answer.fd ? *std::move(answer.fd) : Fd(), std::move(end));
}

void Connection::Leave(bool is_goodbye) {
  {
    std::lock_guard lock(mutex_);
    is_leaving_ = true;
    mapped_.clear();
  }
  static_cast<void>(client_->Ask(is_goodbye ? "goodbye" : "leave", Json::object()));
  client_->Disconnect();
}

Result<void> Connection::Hold(const std::string& key, Bytes content) {
  BITSNAP_ASSIGN(const Fd file, CreateMemoryFileOf(content));
  return client_->Ask("hold", {{"key", key}}, file.get()).map([](const Frame&) {});
}

Result<std::vector<std::string>> Connection::Held() {
  BITSNAP_ASSIGN(const Frame answer, client_->Ask("held", Json::object()));
  return ToTexts(answer.body, "keys");
}

Result<std::shared_ptr<const Arena>> Connection::Fetch(const std::string& key) {
  BITSNAP_ASSIGN(Frame answer, client_->Ask("fetch", {{"key", key}}));
  BITSNAP_ASSIGN(const uint64_t bytes, ConstantMemoryFileSize(answer.fd ? answer.fd->get() : -1));
  if (bytes == 0) return std::make_shared<const Arena>();
  BITSNAP_ASSIGN(Arena content, Arena::MapOf(*std::move(answer.fd), bytes, /*writable=*/false));
  return std::make_shared<const Arena>(std::move(content));
}

Result<void> Connection::Drop(const std::vector<std::string>& keys) {
  return client_->Ask("drop", {{"keys", keys}}).map([](const Frame&) {});
}

}  // namespace bitsnap::agent
