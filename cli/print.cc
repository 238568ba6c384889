#include "cli/print.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <optional>

namespace bitsnap::cli {

namespace {

int stdout_failure = 0;  // errno of the first write that failed

struct Character {
  uint32_t code;
  size_t bytes;
};

// The first character of `text`; nullopt where that is no UTF-8.
std::optional<Character> Decode(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return Character{first, 1};
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || bytes > text.size()) return std::nullopt;
  uint32_t code = first & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return std::nullopt;
    code = code << 6 | (next & 0x3F);
  }
  constexpr std::array<uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < kLeast[bytes] || code > 0x10FFFF || surrogate) return std::nullopt;
  return Character{code, bytes};
}

bool IsHarmful(uint32_t code) {
  struct Range {
    uint32_t first, last;
  };
  static constexpr Range kRanges[] = {
      {0x00, 0x1F},     {0x7F, 0x9F},  // control characters
      {0xAD, 0xAD},     {0x61C, 0x61C},   {0x180E, 0x180E}, {0x200B, 0x200F},   {0x2028, 0x202E},
      {0x2060, 0x206F}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F},
  };
  return std::ranges::any_of(
      kRanges, [&](const Range& range) { return code >= range.first && code <= range.last; });
}

std::string Escape(std::string_view text, bool keep_line_ends) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::optional<Character> character = Decode(text);
    const size_t bytes = character ? character->bytes : 1;
    if (!character) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
    } else if (!IsHarmful(character->code) || (keep_line_ends && character->code == '\n')) {
      result += text.substr(0, bytes);
    } else {
      const char* const form = character->code < 0x80      ? "\\x{:02x}"
                               : character->code < 0x10000 ? "\\u{:04x}"
                                                           : "\\U{:08x}";
      result += fmt::format(fmt::runtime(form), character->code);
    }
    text.remove_prefix(bytes);
  }
  return result;
}

}  // namespace

std::string Printable(std::string_view text) { return Escape(text, false); }

void WriteOut(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && stdout_failure == 0) {
    stdout_failure = errno;
  }
}

void WriteError(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void PrintLines(std::string_view text) { WriteOut(Escape(text, true)); }

void Note(std::string_view message) { WriteError("bitsnap: " + Printable(message) + "\n"); }

void HoldStandardFiles() {
  for (const int fd : {0, 1, 2}) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is this one. Nobody can write to what is open for reading.
    static_cast<void>(open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY));
  }
}

int FinishOutput() {
  if (std::fflush(stdout) != 0 && stdout_failure == 0) stdout_failure = errno;
  return stdout_failure;
}

}  // namespace bitsnap::cli
