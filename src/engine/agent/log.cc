#include "engine/agent/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/rotating_file_sink.h>

namespace bitsnap::agent {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 20;
constexpr size_t kOlderFiles = 1;

std::unique_ptr<spdlog::logger> Open(const std::filesystem::path& path) {
  try {
    auto file = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path.string(), kMaxBytes,
                                                                       kOlderFiles);
    auto logger = std::make_unique<spdlog::logger>("bitsnap agent", std::move(file));
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e [%P] %l: %v");
    logger->flush_on(spdlog::level::trace);
    logger->set_error_handler([](const std::string&) {});  // the default one prints
    return logger;
  } catch (const spdlog::spdlog_ex&) {
    return nullptr;
  }
}

}  // namespace

Log::Log(std::filesystem::path path) : path_(std::move(path)), logger_(Open(path_)) {}

Log::~Log() = default;

void Log::End() {
  logger_.reset();
  if (keeps_files_) return;
  std::error_code ignored;
  for (size_t i = 0; i <= kOlderFiles; ++i) {
    std::filesystem::remove(spdlog::sinks::rotating_file_sink_mt::calc_filename(path_.string(), i),
                            ignored);
  }
}

void Log::Tell(const std::string& line) {
  if (logger_) logger_->info(line);
}

void Log::Warn(const std::string& line) {
  keeps_files_ = true;
  if (logger_) logger_->warn(line);
}

}  // namespace bitsnap::agent
