// A client of the agent against a hostile agent: the calls that a Saver makes, and answers, events
// and files from the input, changed from what they should be. Memory must be of the size asked for.
#include <cstring>
#include <optional>
#include <thread>

#include "engine/agent/connection.h"
#include "engine/agent/listener.h"
#include "fuzz/agent_script.h"

namespace bitsnap::agent {
namespace {

constexpr uint64_t kStateBytes = 5000;

Listener ListenIn(const std::filesystem::path& folder) {
  LimitFiles();
  setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);
  return **Listener::Start(folder);
}

// Where the hostile agent listens; goes with the process.
class Place {
 public:
  ~Place() { std::filesystem::remove_all(folder_); }
  const Listener& listener() const { return listener_; }

 private:
  const std::filesystem::path folder_ = MakeFolder();
  const Listener listener_ = ListenIn(folder_);
};

Manifest SomeManifest() {
  Manifest manifest;
  manifest.bytes = kStateBytes;
  manifest.tensors = {{{"w", DType::kF32, {1000}, std::nullopt, ""}, 0, 4000},
                      {{"m", DType::kU8, {10, 100}, Role::kOther, "w"}, 4000, 1000}};
  return manifest;
}

class HostileAgent {
 public:
  HostileAgent(Fd socket, const std::vector<Step>& steps)
      : socket_(std::move(socket)), steps_(steps) {}

  // Answers what is asked; the end of the steps is the agent's.
  void Run() {
    while (const auto request = Listen()) {
      if (!Answer(*request)) break;
    }
    shutdown(socket_.get(), SHUT_RDWR);
  }

 private:
  std::optional<Json> Listen() {
    auto frame = ReceiveFrame(socket_.get());
    Require(frame.has_value());  // whatever it was told, it speaks properly
    if (!*frame) return std::nullopt;
    return std::move((*frame)->body);
  }

  // Steps up to the one that is an answer. False when there is none.
  bool Answer(const Json& request) {
    const uint64_t id = request["id"];
    const std::string verb = request["do"];
    if (verb == "submit") save_ = request["save"];
    if (verb == "hello" || verb == "release" || id == 0)
      return Send({{"id", id}, {"ok", Json::object()}});
    while (next_ < steps_.size()) {
      const Step& step = steps_[next_++];
      switch (step.verb % 6) {
        case 0:
          SendRaw(socket_.get(), step.payload);
          return false;
        case 1:
          if (!SendFramed(socket_.get(), step.payload)) return false;
          break;
        case 2:
          if (!Send(Changed({{"save", save_}, {"done", 1}, {"total", 2}}, step.payload)))
            return false;
          break;
        case 3:
          if (!Send(Changed({{"save", save_}, {"report", ToJson(SaveReport{.step = 1})}},
                            step.payload))) {
            return false;
          }
          break;
        case 4:
          return Send(Changed({{"id", id}, {"error", ToJson(Error{ErrorKind::kBusy, "no"})}},
                              step.payload));
        default:
          return Send({{"id", id}, {"ok", Changed(Good(verb), step.payload)}},
                      ChooseFile(step.file, GoodFile(verb)));
      }
    }
    return false;
  }

  bool Send(const Json& body, const Fd& file = Fd()) {
    return SendFrame(socket_.get(), body, file.get()).has_value();
  }

  static Json Good(const std::string& verb) {
    if (verb == "reserve" || verb == "reserve spare") {
      return {{"busy", false}, {"arena", 1}, {"bytes", kStateBytes}, {"alive", {1}}};
    }
    if (verb == "newest") {
      return {
          {"lease", 1}, {"manifest", ToJson(SomeManifest())}, {"options", ToJson(SaveOptions{})}};
    }
    if (verb == "settle") return {{"failures", {"one"}}};
    if (verb == "held") return {{"keys", {"k"}}};
    return Json::object();
  }
  static Fd GoodFile(const std::string& verb) {
    if (verb == "fetch") return *CreateMemoryFileOf(std::as_bytes(std::span("content")));
    const bool has_memory = verb == "reserve" || verb == "reserve spare" || verb == "newest";
    return has_memory ? *CreateMemoryFile(kStateBytes) : Fd();
  }

  const Fd socket_;
  const std::vector<Step>& steps_;
  size_t next_ = 0;
  uint64_t save_ = 0;
};

// All that a tensor is said to have must be there to be read.
void ReadAll(const Snapshot& snapshot) {
  for (size_t i = 0; i < snapshot.tensors().size(); ++i) {
    std::vector<std::byte> out(std::min<uint64_t>(snapshot.tensors()[i].raw_bytes, 1 << 20));
    const ReadRequest request{.tensor = i, .out = out};
    Require(snapshot.Read({&request, 1}, 1).has_value());
  }
}

void Save(Connection& connection) {
  const SaveOptions options{
      .step = 1, .threads = 1, .progress = [](uint64_t done, uint64_t) { return done != 7; }};
  const auto lent = connection.Reserve(kStateBytes, options, /*wait=*/false, {});
  if (!lent || !*lent) return;
  const MutableBytes memory = (*lent)->memory->bytes();
  Require(memory.size() >= kStateBytes);
  std::memset(memory.data(), 1, kStateBytes);
  static_cast<void>(
      connection.Submit(**lent, {SomeManifest(), memory, options, [](const auto&) {}}));
}

void UseAgent(Connection& connection, std::shared_ptr<Connection> shared) {
  Save(connection);
  connection.WarmSpare(kStateBytes);
  Save(connection);
  static_cast<void>(connection.Settle({}));
  if (const auto newest = Connection::Newest(std::move(shared)); newest && *newest)
    ReadAll(**newest);
  static_cast<void>(connection.Hold("k", std::as_bytes(std::span("content"))));
  static_cast<void>(connection.Held());
  if (const auto fetched = connection.Fetch("k")) {
    Require(std::memchr((*fetched)->bytes().data(), 0xff, (*fetched)->bytes().size()) == nullptr);
  }
  static_cast<void>(connection.Drop({"k"}));
  connection.Leave(/*is_goodbye=*/true);
}

void Try(Bytes input) {
  static const Place place;
  const std::vector<Step> steps = ReadSteps(input);
  const size_t before = OpenFiles();
  {
    std::jthread agent([&] { HostileAgent(*place.listener().Accept(), steps).Run(); });
    const Hello hello{.store = place.listener().address().store.native()};
    const auto connection = Connection::Open(hello, place.listener().address(), "/bin/false",
                                             [](std::vector<SaveJob>) {});
    Require(connection.has_value());
    UseAgent(**connection, *connection);
  }
  Require(OpenFiles() == before);
}

}  // namespace
}  // namespace bitsnap::agent

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bitsnap::agent::Try(std::as_bytes(std::span(data, size)));
  return 0;
}
