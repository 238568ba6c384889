// Text on stdout and stderr. Nothing here throws or ends the process: who reads may have gone, and
// the disk be full.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

namespace bitsnap::cli {

// What could act on a terminal or deceive who reads is escaped, as \x1b or \u202e: control
// characters, those that change the direction of text or cannot be seen, and bytes that are no
// UTF-8. For names and messages, which may come from a hostile file.
std::string Printable(std::string_view text);

// On stdout, as it is.
void WriteOut(std::string_view text);
// On stderr, as it is; lost where it cannot be written.
void WriteError(std::string_view text);

// Lines for people on stdout. Escaped like Printable, in case a name was not.
void PrintLines(std::string_view text);

template <class... Args>
void Print(fmt::format_string<Args...> format, Args&&... args) {
  PrintLines(fmt::format(format, std::forward<Args>(args)...));
}

// A line on stderr, in the command's name.
void Note(std::string_view message);

// Opens those of stdin, stdout and stderr that are closed, so that no file of ours takes their
// place: what is written to them fails. To be called first.
void HoldStandardFiles();

// Writes what is left; 0, or the errno of what could not be written to stdout.
int FinishOutput();

}  // namespace bitsnap::cli
