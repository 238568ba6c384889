// Which steps of a store stay, and what is done about broken ones (docs/store.md, "Retention").
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitsnap {

// Only whole steps of the current line count (docs/store.md, "Lines of descent"). One stays when
// any rule says so; the newest sound one always does. Without keep_last and keep_every all do.
struct RetentionPolicy {
  std::optional<uint64_t> keep_last;   // this many of the newest; at least 1
  std::optional<uint64_t> keep_every;  // steps that this divides; at least 1
  // Steps more than this many training steps before the newest lose their optimizer state.
  std::optional<uint64_t> drop_optimizer_older_than;
  // Where the ranks' files are in directories of their own, on several machines: the newest step
  // that is durable in all of them. Newer ones do not count as whole yet.
  std::optional<uint64_t> whole_up_to;
  // Removes the steps that the current run left behind when it went back to an earlier one.
  bool drop_abandoned = false;
  // Steps that could not be restored: they do not count, whatever their headers say.
  std::vector<uint64_t> passed_over;
  // Steps that stay whatever the rules say, as they are.
  std::vector<uint64_t> keep;

  bool operator==(const RetentionPolicy&) const = default;
};

struct PrunedStep {
  uint64_t step = 0;
  // Really given back: a file that has another hard link gives nothing back yet.
  uint64_t bytes = 0;
};

// A step that the policy would have removed or thinned, and why it was not.
struct LeftAlone {
  uint64_t step = 0;
  std::string why;
};

// What Prune did or, in a dry run, would do. Steps that are not whole are not in it.
struct PruneReport {
  std::vector<uint64_t> kept;         // oldest first, those in the other lists included
  std::vector<PrunedStep> removed;    // in the order of removal
  std::vector<PrunedStep> thinned;    // have lost their optimizer state
  std::vector<LeftAlone> left_alone;  // are in `kept`, as they were
  std::vector<uint64_t> abandoned;    // left behind by the current run; whole, and still there
  uint64_t bytes = 0;                 // of all of them
};

struct RepairOptions {
  // What changed more recently may belong to a save that is still running, and is left alone.
  std::chrono::seconds min_age{3600};
  bool dry_run = false;
};

struct RepairItem {
  std::string path;  // below the store
  uint64_t bytes = 0;
  std::string why;
};

// What Repair did or, in a dry run, would do.
struct RepairReport {
  std::vector<RepairItem> repaired;  // removed or, where it is LATEST, written anew
  std::vector<RepairItem> left;      // not whole, but not Repair's to remove; `why` says what is
  uint64_t bytes = 0;                // really given back
};

}  // namespace bitsnap
