#include "cli/command.h"

#include "cli/interrupt.h"

namespace bitsnap::cli {

namespace {

constexpr char kExitCodes[] =
    "Exit codes:\n"
    "  0    done\n"
    "  1    verification failed\n"
    "  2    usage: bad arguments, a step that exists, no such store, step, rank or tensor\n"
    "  3    I/O, a full disk or too little memory\n"
    "  4    corrupt, truncated, or of a version of the format that this one cannot read\n"
    "  5    the base of a delta is missing or was replaced\n"
    "  130  interrupted (128 + signal); nothing is left behind\n";

}  // namespace

int ExitCodeOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
    case ErrorKind::kNotFound:
    case ErrorKind::kAlreadyExists:
      return kUsage;
    case ErrorKind::kCorrupt:
    case ErrorKind::kTruncated:
    case ErrorKind::kUnsupportedVersion:
      return kBadData;
    case ErrorKind::kMissingBase:
      return kNoBase;
    case ErrorKind::kOutOfSpace:
    case ErrorKind::kOutOfMemory:
    case ErrorKind::kIo:
    case ErrorKind::kBusy:
    case ErrorKind::kDurabilityUnknown:
      return kIoFailure;
    case ErrorKind::kCancelled:
      return 128 + InterruptingSignal();
  }
  return kIoFailure;
}

CLI::Validator IsProfile() {
  std::vector<std::string> names;
  for (const Profile profile : AllProfiles()) names.emplace_back(ProfileName(profile));
  return CLI::IsMember(names, CLI::ignore_case).description("");
}

CLI::App* AddSubcommand(CLI::App& app, Command& command, const std::string& name,
                        const std::string& description, const std::string& examples) {
  CLI::App* subcommand = app.add_subcommand(name, description);
  subcommand->add_flag("--json", command.json, "Print one JSON document on stdout");
  subcommand->footer("Examples:\n" + examples + "\n" + kExitCodes);
  return subcommand;
}

}  // namespace bitsnap::cli
