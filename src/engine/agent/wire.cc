#include "engine/agent/wire.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap::agent {
namespace {

constexpr size_t kMaxDepth = 8;
// What is not there yet gets no memory, whatever the length says.
constexpr size_t kPieceBytes = size_t{1} << 20;

tl::unexpected<Error> Corrupt(std::string what) {
  return Fail(ErrorKind::kCorrupt, "the other end of the agent's socket sent " + std::move(what));
}

// Lets everything through but deep nesting: the parser calls itself for each level.
class DepthCheck final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool key(string_t&) override { return true; }
  bool start_object(size_t) override { return ++depth_ <= kMaxDepth; }
  bool start_array(size_t) override { return ++depth_ <= kMaxDepth; }
  bool end_object() override { return depth_-- > 0; }
  bool end_array() override { return depth_-- > 0; }
  bool parse_error(size_t, const std::string&, const Json::exception&) override { return false; }

 private:
  size_t depth_ = 0;
};

// A message of bytes and perhaps an open file, as sendmsg and recvmsg want it.
class SocketMessage {
 public:
  SocketMessage(void* bytes, size_t size) : bytes_{bytes, size} {
    header_.msg_iov = &bytes_;
    header_.msg_iovlen = 1;
  }

  void Attach(int fd) {
    ReserveFd();
    cmsghdr* control = CMSG_FIRSTHDR(&header_);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(control), &fd, sizeof(int));
  }
  void ReserveFd() {
    header_.msg_control = control_;
    header_.msg_controllen = sizeof(control_);
  }
  // What came with the bytes.
  std::optional<Fd> TakeFd() {
    std::optional<Fd> taken;
    for (cmsghdr* control = CMSG_FIRSTHDR(&header_); control != nullptr;
         control = CMSG_NXTHDR(&header_, control)) {
      if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
        taken.emplace(fd);
      }
    }
    return taken;
  }
  bool truncated() const { return (header_.msg_flags & MSG_CTRUNC) != 0; }
  msghdr* header() { return &header_; }

 private:
  iovec bytes_;
  msghdr header_ = {};
  alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(int) * kMaxFrameFds)] = {};
};

// Sends all, `fd` with the first of it. False when nothing can be sent now and `flags` say not to
// wait.
Result<bool> SendAll(int socket, std::span<std::byte> bytes, int fd, int flags) {
  while (!bytes.empty()) {
    SocketMessage message(bytes.data(), bytes.size());
    if (fd >= 0) message.Attach(fd);
    const ssize_t sent = sendmsg(socket, message.header(), flags | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (sent < 0) {
      return Fail(ErrorKind::kIo, fmt::format("the other end of the agent's socket is gone: {}",
                                              std::generic_category().message(errno)));
    }
    bytes = bytes.subspan(static_cast<size_t>(sent));
    fd = -1;
    flags = 0;  // half a frame is none
  }
  return true;
}

// Fills `out`, and `fd` where it is not null. False when the other end is gone.
Result<bool> ReceiveAll(int socket, std::span<uint8_t> out, std::optional<Fd>* fd) {
  while (!out.empty()) {
    SocketMessage message(out.data(), out.size());
    if (fd != nullptr) message.ReserveFd();
    const ssize_t received = recvmsg(socket, message.header(), MSG_CMSG_CLOEXEC);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return false;
    if (fd != nullptr) {
      std::optional<Fd> taken = message.TakeFd();
      if (message.truncated()) return Corrupt("more open files than a message has");
      if (taken) *fd = std::move(taken);
    }
    out = out.subspan(static_cast<size_t>(received));
  }
  return true;
}

}  // namespace

Result<void> SendFrame(int socket, const Json& body, int fd, bool may_block) {
  std::vector<uint8_t> frame(sizeof(uint32_t));
  Json::to_cbor(body, frame);
  const size_t size = frame.size() - sizeof(uint32_t);
  if (size > kMaxFrameBytes) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("a message of {} bytes is too large for the agent: give large lists of "
                            "numbers as tensors, not as metadata",
                            size));
  }
  const auto prefix = static_cast<uint32_t>(size);
  std::memcpy(frame.data(), &prefix, sizeof(prefix));
  BITSNAP_ASSIGN(const bool sent, SendAll(socket, std::as_writable_bytes(std::span(frame)), fd,
                                          may_block ? 0 : MSG_DONTWAIT));
  if (sent || !may_block) return {};
  return Fail(ErrorKind::kIo, "the other end of the agent's socket does not listen any more");
}

Result<std::optional<Frame>> ReceiveFrame(int socket) {
  uint32_t size = 0;
  Frame frame;
  uint8_t prefix[sizeof(size)];
  BITSNAP_ASSIGN(const bool started, ReceiveAll(socket, prefix, &frame.fd));
  if (!started) return std::nullopt;
  std::memcpy(&size, prefix, sizeof(size));
  if (size > kMaxFrameBytes) return Corrupt(fmt::format("a message of {} bytes", size));
  std::vector<uint8_t> body;
  while (body.size() < size) {
    const size_t begin = body.size(), piece = std::min<size_t>(kPieceBytes, size - begin);
    body.resize(begin + piece);
    BITSNAP_ASSIGN(const bool complete,
                   ReceiveAll(socket, std::span(body).subspan(begin), nullptr));
    if (!complete) return std::nullopt;
  }
  BITSNAP_ASSIGN(frame.body, ParseBody(body));
  return frame;
}

Result<Json> ParseBody(std::span<const uint8_t> cbor) {
  DepthCheck check;
  if (!Json::sax_parse(cbor.begin(), cbor.end(), &check, Json::input_format_t::cbor)) {
    return Corrupt("what is no message");
  }
  Json body = Json::from_cbor(cbor.begin(), cbor.end(), /*strict=*/true,
                              /*allow_exceptions=*/false);
  if (!body.is_object()) return Corrupt("what is no message");
  return body;
}

}  // namespace bitsnap::agent
