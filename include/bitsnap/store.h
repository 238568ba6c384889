// A store: a directory of snapshots, one folder a step, one file a rank (docs/store.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <bitsnap/descent.h>
#include <bitsnap/options.h>
#include <bitsnap/result.h>
#include <bitsnap/retention.h>
#include <bitsnap/tensor.h>

namespace bitsnap {

class FileSystem;

struct SaveOptions {
  uint64_t step = 0;
  uint32_t rank = 0;
  uint32_t world_size = 1;
  // The same for all ranks of one save, different for each try: a step is whole only when its rank
  // files agree on it, so a half-overwritten step is never taken for whole.
  uint64_t save_id = 0;
  Profile profile = Profile::kExact;
  BaseChoice base;
  // A lossy profile's bound is about m / (sqrt(v) + adam_eps) with m and v as they are stored.
  // Where the optimizer corrects the bias of v first, as torch's Adam does, that is its eps times
  // sqrt(1 - beta2^step): only then is the bound about its update, also early on.
  double adam_eps = 1e-8;
  unsigned threads = 0;    // 0: one for each core this process may use
  bool overwrite = false;  // replace this rank's file of the step if it is there
  std::string metadata;    // opaque to BitSnap, given back by Snapshot::metadata()
  // Whose save it is, the same for all ranks: see Store::NextLineage. Absent: the store's current
  // run's.
  std::optional<Lineage> lineage;
  // Rank 0 prunes the store by this as soon as its file is durable; with whole_up_to each rank does
  // that is given one.
  std::optional<RetentionPolicy> retention;
  Progress progress;
};

struct RoleBytes {
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
};

struct SaveReport {
  uint64_t step = 0;
  uint64_t raw_bytes = 0;             // of all tensors
  uint64_t stored_bytes = 0;          // what this save added on disk
  std::optional<uint64_t> base_step;  // absent: stands alone
  std::string base_reason;            // why this base, or why none
  double seconds = 0;
  std::map<Role, RoleBytes> roles;  // coded blocks only; the index is in stored_bytes alone
  std::optional<PruneReport> pruned;
  // Why pruning failed: what was saved is saved all the same.
  std::optional<Error> prune_error;
};

struct StoredTensor {
  TensorInfo info;
  std::string codec;  // of its blocks, most used first, e.g. "bitmask" or "planes+raw"
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  std::vector<Metric> error;
  std::string why;  // the policy's reason
};

// One rank's part of a step, to be read: a file, with the base it leans on, or a state in the
// agent's memory. Safe to use from several threads.
class Snapshot {
 public:
  struct Impl;
  explicit Snapshot(std::unique_ptr<Impl> impl);
  Snapshot(Snapshot&&) noexcept;
  Snapshot& operator=(Snapshot&&) noexcept;
  ~Snapshot();

  uint64_t step() const;
  uint32_t rank() const;
  uint32_t world_size() const;
  uint64_t save_id() const;  // of SaveOptions
  std::optional<uint64_t> base_step() const;
  std::string_view profile() const;
  std::string_view metadata() const;
  const Lineage& lineage() const;
  const std::vector<StoredTensor>& tensors() const;
  std::optional<size_t> Find(std::string_view name) const;

  // Decodes the asked-for byte ranges, reading only the blocks they touch. On error the contents of
  // the `out` spans are unspecified.
  Result<void> Read(std::span<const ReadRequest> requests, unsigned threads = 0,
                    const Progress& progress = {}) const;

  // Decodes every block and checks that it is what was saved.
  Result<void> Verify(unsigned threads = 0, const Progress& progress = {}) const;

 private:
  std::unique_ptr<Impl> impl_;
};

// A step that restore did not take, and why.
struct PassedOver {
  uint64_t step = 0;
  Error error;
};

struct StepInfo {
  uint64_t step = 0;
  uint32_t world_size = 0;            // as its rank files announce; 0 when no rank file can be read
  std::vector<uint32_t> ranks;        // present, in order
  bool whole = false;                 // every announced rank file and its base is there and sound
  std::string why_not;                // empty when whole
  bool abandoned = false;             // by the current run, which went back to an earlier step
  uint64_t stored_bytes = 0;          // of the rank files, without hard-linked bases
  std::optional<uint64_t> base_step;  // of its lowest rank
};

// A rank file by its name alone.
struct RankOfStep {
  uint64_t step = 0;
  uint32_t rank = 0;
  uint32_t world_size = 1;
};

// A rank file that can be opened: header, index and footer are sound.
struct StoredFile {
  std::filesystem::path path;  // empty when it is not on disk
  RankOfStep id;
  uint64_t save_id = 0;
  Lineage lineage;
  uint64_t bytes = 0;
  std::string hash;  // of header and index, in hex: tells apart any two files that differ
  std::optional<uint64_t> base_step;
  std::string base_hash;  // its base's `hash`, or empty
};

// Checks all checksums of a rank file's bytes, those of the blocks too; nothing is decoded.
Result<StoredFile> CheckRankFile(std::span<const std::byte> content);

struct VerifyReport {
  uint64_t files = 0;      // rank files checked
  uint64_t raw_bytes = 0;  // decoded and compared with their checksums
  std::vector<PassedOver> broken;
};

// Safe to use from several threads and processes at once.
class Store {
 public:
  // `file_system` is for tests; null means the real one. It must outlive the store.
  static Result<Store> Open(const std::filesystem::path& directory,
                            FileSystem* file_system = nullptr);
  static Result<Store> OpenOrCreate(const std::filesystem::path& directory,
                                    FileSystem* file_system = nullptr);

  const std::filesystem::path& directory() const { return directory_; }

  // Whose save `step` is that comes after `from`; absent: nothing was restored or saved. It goes on
  // with the run of `from` or, where newer steps are there, begins a run that leaves them behind.
  // A number below the newest step's, after nothing, begins a run that descends from none. Of what
  // several directories answer, the one of the highest order and run is right for all.
  Result<Lineage> NextLineage(uint64_t step, const std::optional<Predecessor>& from) const;

  // Where one rank's file comes from; its header, index and footer are checked.
  Result<StepOrigin> OriginOf(const RankOfStep& id) const;

  // What Save refuses without looking into the tensors or writing: kInvalidArgument,
  // kAlreadyExists, or the store cannot be read.
  Result<void> Check(std::span<const TensorView> tensors, const SaveOptions& options) const;

  // Writes one rank's part of a step and commits it durably, or leaves the store as it was.
  Result<SaveReport> Save(std::span<const TensorView> tensors, const SaveOptions& options);

  // Opens one rank of one step; the step must be whole.
  Result<Snapshot> OpenStep(uint64_t step, uint32_t rank = 0) const;

  // Opens one rank's file, whatever else there is of its step: the other ranks' files may be in
  // other directories.
  Result<Snapshot> OpenRank(const RankOfStep& id) const;

  // All rank files, oldest step first, whether they can be read or not. Steps whose folders cannot
  // be listed are appended to `unreadable`: they are there, and what they hold is unknown.
  Result<std::vector<RankOfStep>> ListRanks(std::vector<PassedOver>* unreadable = nullptr) const;

  // One rank's file and, when it is a delta, its base's: all that is needed to read it.
  Result<std::vector<StoredFile>> FilesOf(const RankOfStep& id) const;

  // Takes in a copy of a rank file of another directory, which CheckRankFile must find sound, and
  // of its base if it has one; durable when it returns. A file in its place is replaced.
  Result<StoredFile> Adopt(std::span<const std::byte> content,
                           std::span<const std::byte> base_content = {});

  // Opens the newest whole step of the current line and calls `use` with it. When the step cannot
  // be opened, or `use`
  // fails for what is on disk (corrupt, truncated, newer version, missing base, I/O), appends it to
  // `passed_over` and goes on with the next older one; any other error of `use` is returned as is.
  // kNotFound when no step is left. Returns the step used.
  Result<uint64_t> RestoreNewest(uint32_t rank,
                                 const std::function<Result<void>(const Snapshot&)>& use,
                                 std::vector<PassedOver>* passed_over = nullptr) const;

  // All steps, oldest first, broken ones included.
  Result<std::vector<StepInfo>> List() const;

  // Decodes every block of the given step, or of all, and checks it.
  Result<VerifyReport> Verify(std::optional<uint64_t> step = {}, unsigned threads = 0,
                              const Progress& progress = {}) const;

  // Removes the whole steps that `policy` does not keep and drops old optimizer state. Before, it
  // reads the newest steps that stay, unless this process has written or read them: damaged ones do
  // not count. Other processes may save and restore meanwhile. Whatever stops it, all that is kept
  // can be restored.
  Result<PruneReport> Prune(const RetentionPolicy& policy, bool dry_run = false,
                            const Progress& progress = {});

  // Removes what can never be restored: what killed saves left, and steps that are not whole.
  // Blocks are not read; that is Verify's work.
  Result<RepairReport> Repair(const RepairOptions& options);

 private:
  Store(std::filesystem::path directory, FileSystem* file_system);
  std::filesystem::path directory_;
  FileSystem* file_system_;
};

}  // namespace bitsnap
