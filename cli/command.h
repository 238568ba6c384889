// What all subcommands share: how they are added to the command line and what they return.
#pragma once

#include <charconv>
#include <concepts>
#include <functional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

// Documented in every --help and in docs/cli.md. Interrupted work exits with 128 + the signal.
enum ExitCode : int {
  kDone = 0,
  kFailedVerification = 1,
  kUsage = 2,
  kIoFailure = 3,
  kBadData = 4,
  kNoBase = 5,
};

int ExitCodeOf(ErrorKind kind);

// The subcommand that the command line chose.
struct Command {
  bool json = false;
  // Prints its result; an error is printed by main().
  std::function<Result<ExitCode>(bool json)> run;
};

// A subcommand with --json and the exit codes in its help.
CLI::App* AddSubcommand(CLI::App& app, Command& command, const std::string& name,
                        const std::string& description, const std::string& examples);

// Each declares one subcommand; parsing a command line that chooses it sets `command.run`.
void AddAgent(CLI::App& app, Command& command);
void AddSave(CLI::App& app, Command& command);
void AddRestore(CLI::App& app, Command& command);
void AddLs(CLI::App& app, Command& command);
void AddInspect(CLI::App& app, Command& command);
void AddVerify(CLI::App& app, Command& command);
void AddBench(CLI::App& app, Command& command);
void AddPrune(CLI::App& app, Command& command);
void AddRepair(CLI::App& app, Command& command);

// A check for options that take a profile's name.
CLI::Validator IsProfile();

// Decimal only: CLI11 itself would take the 00000500 of a step's folder for octal.
template <std::unsigned_integral T>
T ParseNumber(const std::string& option, const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) {
    throw CLI::ValidationError(option, "'" + text + "' is not a whole number from 0 to " +
                                           std::to_string(static_cast<T>(-1)));
  }
  return value;
}

template <class T>
CLI::Option* AddNumber(CLI::App* app, const std::string& option, T* value,
                       const std::string& description) {
  const auto parse = [option, value](const std::string& text) {
    if constexpr (std::unsigned_integral<T>) {
      *value = ParseNumber<T>(option, text);
    } else {
      *value = ParseNumber<typename T::value_type>(option, text);
    }
  };
  return app->add_option_function<std::string>(option, parse, description)->type_name("N");
}

}  // namespace bitsnap::cli
