#include "cli/progress.h"

#include <unistd.h>

#include <fmt/core.h>

#include "cli/format.h"
#include "cli/interrupt.h"

namespace bitsnap::cli {

namespace {

constexpr auto kQuietStart = std::chrono::milliseconds(500);
constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr int kBarCells = 24;
constexpr char kClearLine[] = "\r\033[K";

}  // namespace

ProgressBar::ProgressBar(std::string what)
    : what_(std::move(what)),
      terminal_(isatty(STDERR_FILENO) == 1),
      next_draw_(start_ + kQuietStart) {}

ProgressBar::~ProgressBar() {
  if (drawn_) WriteError(kClearLine);
}

bool ProgressBar::Update(uint64_t done, uint64_t total) {
  const Clock::time_point now = Clock::now();
  if (terminal_ && now >= next_draw_ && total > 0) {
    Draw(done, total, std::chrono::duration<double>(now - start_).count());
    next_draw_ = now + kRedraw;
  }
  return InterruptingSignal() == 0;
}

Progress ProgressBar::Callback() {
  return [this](uint64_t done, uint64_t total) { return Update(done, total); };
}

void ProgressBar::Draw(uint64_t done, uint64_t total, double seconds) {
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const double rate = static_cast<double>(done) / seconds;
  const std::string left =
      done > 0 ? fmt::format("{:.0f} s left", static_cast<double>(total - done) / rate) : "";
  const int cells = static_cast<int>(part * kBarCells);
  WriteError(fmt::format("{}{} [{:=<{}}{:{}}] {:3.0f} %  {} of {}  {}/s  {}", kClearLine, what_, "",
                         cells, "", kBarCells - cells, 100 * part, HumanBytes(done),
                         HumanBytes(total), HumanBytes(static_cast<uint64_t>(rate)), left));
  drawn_ = true;
}

}  // namespace bitsnap::cli
