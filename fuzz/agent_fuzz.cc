// The agent against a hostile client: a session over a real socket, a store, memory and files. The
// input's steps are requests with ids that are valid just then, changed by it, or anything else.
// Afterwards a well-behaved client must be served, and no file stay open.
#include <map>
#include <optional>
#include <thread>

#include "engine/agent/client.h"
#include "engine/agent/session.h"
#include "engine/arena.h"
#include "fuzz/agent_script.h"
#include "io/test_directory.h"

namespace bitsnap::agent {
namespace {

constexpr uint64_t kStateBytes = 256;
constexpr uint64_t kMaxMemory = 64 << 10;

// Goes with the process.
class Folder {
 public:
  Folder() : path_(MakeFolder()) { LimitFiles(); }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }
  void Clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      std::filesystem::remove_all(entry);
    }
  }

 private:
  const std::filesystem::path path_;
};

Manifest SomeManifest() {
  Manifest manifest;
  manifest.bytes = kStateBytes;
  manifest.tensors = {{{"w", DType::kBF16, {8, 8}, std::nullopt, ""}, 0, 128},
                      {{"m", DType::kF32, {32}, Role::kExpAvg, "w"}, 128, 128}};
  return manifest;
}

// A session at one end of a socket; the other end is `client`'s.
class Serving {
 public:
  explicit Serving(Agent& agent) {
    int ends[2];
    Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    client_ = Fd(ends[1]);
    session_.emplace(agent, Fd(ends[0]));
    thread_ = std::thread([this] { session_->Run(); });
  }
  ~Serving() { thread_.join(); }
  Fd& client() { return client_; }

 private:
  Fd client_;
  std::optional<Session> session_;
  std::thread thread_;
};

class HostileClient {
 public:
  HostileClient(int socket, const Store& store) : socket_(socket), store_(store) {}

  void Run(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      if (!Take(step)) break;
    }
    shutdown(socket_, SHUT_WR);
    while (Listen()) {
    }
  }

 private:
  // False when that was the last one.
  bool Take(const Step& step) {
    static const char* const kVerbs[] = {"hello",  "reserve", "reserve spare", "release",
                                         "submit", "cancel",  "cancel save",   "newest",
                                         "settle", "hold",    "end lease",     "held",
                                         "fetch",  "drop",    "leave",         "goodbye"};
    if (step.verb == 0) {  // what follows would be part of whatever this was
      SendRaw(socket_, step.payload);
      return false;
    }
    if (step.verb == 1) {
      const auto body = ParsePayload(step.payload);
      return SendFramed(socket_, step.payload) && (Waits(body.value_or(Json())) || Listen());
    }
    const std::string verb = kVerbs[(step.verb - 2) % std::size(kVerbs)];
    Json request = Changed(Good(verb), step.payload);
    Fd good = verb == "hold" ? *CreateMemoryFileOf({}) : Fd();
    const Fd file = ChooseFile(step.file, std::move(good));
    return SendFrame(socket_, request, file.get()) && (Waits(request) || Listen());
  }

  // Its answer may need more than the agent's own doing.
  static bool Waits(const Json& request) {
    const auto wait = request.find("wait");
    return wait != request.end() && *wait == true;
  }

  Json Good(const std::string& verb) {
    Json request = Fields(verb);
    request["id"] = ++last_id_;
    request["do"] = verb;
    return request;
  }
  Json Fields(const std::string& verb) {
    if (verb == "hello") {
      return ToJson(Hello{.store = store_.directory().native(),
                          .world_size = 4,
                          .max_memory = kMaxMemory,
                          .linger = 60});
    }
    if (verb == "reserve" || verb == "reserve spare") {
      return {{"bytes", kStateBytes}, {"step", 1}, {"overwrite", true}, {"wait", false}};
    }
    if (verb == "release") return {{"arena", arena_}};
    if (verb == "submit") {
      const SaveOptions options{.step = ++save_, .world_size = 4, .threads = 1, .overwrite = true};
      return {{"arena", arena_},
              {"save", save_},
              {"manifest", ToJson(SomeManifest())},
              {"options", ToJson(options)}};
    }
    if (verb == "cancel") return {{"request", last_id_}};
    if (verb == "cancel save") return {{"save", save_}};
    if (verb == "end lease") return {{"lease", lease_}};
    if (verb == "settle") return {{"wait", true}};
    if (verb == "hold" || verb == "fetch") return {{"key", "k"}};
    if (verb == "drop") return {{"keys", {"k"}}};
    return Json::object();
  }

  // Until an answer comes. False when the agent has hung up.
  bool Listen() {
    while (true) {
      auto frame = ReceiveFrame(socket_);
      Require(frame.has_value());  // whatever it was told, it speaks properly
      if (!*frame) return false;
      const Json& body = (*frame)->body;
      if (!body.contains("id")) continue;
      if (const auto ok = body.find("ok"); ok != body.end()) Learn(*ok, std::move((*frame)->fd));
      return true;
    }
  }

  void Learn(const Json& answer, std::optional<Fd> file) {
    if (answer.contains("arena")) {
      arena_ = answer["arena"];
      Require(file && ftruncate(file->get(), 0) != 0);  // nobody may pull the memory away
    }
    if (answer.contains("lease") && !answer["lease"].is_null()) lease_ = answer["lease"];
  }

  const int socket_;
  const Store& store_;
  uint64_t last_id_ = 0, arena_ = 0, lease_ = 0, save_ = 0;
};

void ExpectGoodClientIsServed(Agent& agent) {
  Serving serving(agent);
  std::atomic<bool> saved = false;
  Client client(std::move(serving.client()),
                {[&](const Json& event) { saved = saved || event.contains("report"); }, [] {}});
  const Hello hello{
      .store = agent.store().directory().native(), .rank = 4, .world_size = 5, .linger = 60};
  Require(client.Ask("hello", ToJson(hello)).has_value());
  const auto lent = client.Ask(
      "reserve", {{"bytes", kStateBytes}, {"step", 1}, {"overwrite", false}, {"wait", false}});
  Require(lent && lent->fd && lent->body["busy"] == false);
  const SaveOptions options{.step = 1, .rank = 4, .world_size = 5, .threads = 1};
  Require(client
              .Ask("submit", {{"arena", lent->body["arena"]},
                              {"save", 1},
                              {"manifest", ToJson(SomeManifest())},
                              {"options", ToJson(options)}})
              .has_value());
  Require(client.Ask("settle", {{"wait", true}}).has_value());
  Require(saved);
  Require(client.Ask("goodbye", Json::object()).has_value());
}

void Try(Bytes input) {
  static const Folder folder;
  static const TestDirectory log_folder;
  static const Store store = *Store::OpenOrCreate(folder.path());
  const size_t before = OpenFiles();
  {
    Log log(log_folder.path() / "log");
    Agent agent(store, std::nullopt, log);
    {
      Serving serving(agent);
      HostileClient(serving.client().get(), store).Run(ReadSteps(input));
    }
    while (!agent.is_idle()) std::this_thread::yield();
    folder.Clear();
    ExpectGoodClientIsServed(agent);
    log.End();
  }
  Require(OpenFiles() == before);
  folder.Clear();
}

}  // namespace
}  // namespace bitsnap::agent

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bitsnap::agent::Try(std::as_bytes(std::span(data, size)));
  return 0;
}
