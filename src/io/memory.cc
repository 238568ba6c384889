#include "io/memory.h"

#include <fmt/format.h>

#include <cerrno>
#include <mutex>

#include "io/memory_file.h"
#include "io/system_error.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;
using NodePtr = std::shared_ptr<MemoryNode>;
template <class T>
using OrErrno = tl::expected<T, int>;

class MemoryDirectoryLock final : public DirectoryLock {
 public:
  explicit MemoryDirectoryLock(NodePtr node) : node_(std::move(node)), lock_(node_->lock) {}

 private:
  const NodePtr node_;
  const std::lock_guard<std::mutex> lock_;
};

// Absolute, without "." and "..", without a slash at the end.
fs::path Normal(const fs::path& path) {
  fs::path normal = ("/" / path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

NodePtr FindEntry(const MemoryNode& directory, const std::string& name) {
  const auto found = directory.entries.find(name);
  return found == directory.entries.end() ? nullptr : found->second;
}

OrErrno<NodePtr> FindNode(const MemoryTree& tree, const fs::path& path) {
  NodePtr node = tree.root;
  for (const fs::path& name : Normal(path).relative_path()) {
    if (!node->is_directory) return tl::make_unexpected(ENOTDIR);
    node = FindEntry(*node, name.string());
    if (!node) return tl::make_unexpected(ENOENT);
  }
  return node;
}

OrErrno<NodePtr> FindDirectory(const MemoryTree& tree, const fs::path& path) {
  OrErrno<NodePtr> node = FindNode(tree, path);
  if (node && !(*node)->is_directory) return tl::make_unexpected(ENOTDIR);
  return node;
}

// Where an entry is or could be.
struct Place {
  NodePtr directory;
  std::string name;
  NodePtr node;  // null when there is no such entry
};

OrErrno<Place> FindPlace(const MemoryTree& tree, const fs::path& path) {
  const fs::path normal = Normal(path);
  OrErrno<NodePtr> directory = FindDirectory(tree, normal.parent_path());
  if (!directory) return tl::make_unexpected(directory.error());
  std::string name = normal.filename().string();
  NodePtr node = name.empty() ? tree.root : FindEntry(**directory, name);
  return Place{*directory, std::move(name), std::move(node)};
}

// Adds an empty node at `path`. Returns it, or the reason as an errno.
OrErrno<NodePtr> AddNode(const MemoryTree& tree, const fs::path& path, bool is_directory) {
  OrErrno<Place> place = FindPlace(tree, path);
  if (!place) return tl::make_unexpected(place.error());
  if (place->node) return tl::make_unexpected(EEXIST);
  auto node = std::make_shared<MemoryNode>();
  node->is_directory = is_directory;
  place->directory->entries[place->name] = node;
  return node;
}

// 0 if `from` may take the place of `to`, else an errno.
int WhyNotReplace(const Place& from, const Place& to) {
  // Keeps the durable entries a tree too.
  if (from.node->is_directory && from.directory != to.directory) return EXDEV;
  if (!to.node) return 0;
  if (to.node->is_directory && !from.node->is_directory) return EISDIR;
  if (from.node->is_directory && !to.node->is_directory) return ENOTDIR;
  return to.node->entries.empty() ? 0 : ENOTEMPTY;
}

int RenameNode(const MemoryTree& tree, const fs::path& from_path, const fs::path& to_path,
               bool replace) {
  const OrErrno<Place> from = FindPlace(tree, from_path);
  const OrErrno<Place> to = FindPlace(tree, to_path);
  if (!from || !to) return from ? to.error() : from.error();
  if (!from->node) return ENOENT;
  if (to->node && !replace) return EEXIST;
  if (to->node == from->node) return 0;  // two links to one file: POSIX does nothing
  if (const int code = WhyNotReplace(*from, *to); code != 0) return code;
  to->directory->entries[to->name] = from->node;
  from->directory->entries.erase(from->name);
  return 0;
}

int LinkNode(const MemoryTree& tree, const fs::path& from, const fs::path& to_path) {
  const OrErrno<NodePtr> node = FindNode(tree, from);
  const OrErrno<Place> to = FindPlace(tree, to_path);
  if (!node || !to) return node ? to.error() : node.error();
  if (to->node) return EEXIST;
  if ((*node)->is_directory) return EPERM;
  to->directory->entries[to->name] = *node;
  return 0;
}

int RemoveNode(const MemoryTree& tree, const fs::path& path) {
  const OrErrno<Place> place = FindPlace(tree, path);
  if (!place) return place.error();
  if (!place->node) return ENOENT;
  if (place->node == tree.root) return EBUSY;
  if (!place->node->entries.empty()) return ENOTEMPTY;
  place->directory->entries.erase(place->name);
  return 0;
}

uint64_t CountLinks(const MemoryNode& directory, const NodePtr& node) {
  uint64_t links = 0;
  for (const auto& [name, child] : directory.entries) {
    links += child == node ? 1 : CountLinks(*child, node);
  }
  return links;
}

// The entries of a directory after a power cut.
MemoryNode::Entries SurvivingEntries(const MemoryNode& node,
                                     const std::function<bool()>& survives) {
  MemoryNode::Entries entries = node.durable_entries;
  for (const auto& [name, child] : node.entries) {
    const auto durable = node.durable_entries.find(name);
    const bool is_durable = durable != node.durable_entries.end() && durable->second == child;
    if (!is_durable && survives()) entries[name] = child;
  }
  for (const auto& [name, child] : node.durable_entries) {
    if (!node.entries.contains(name) && survives()) entries.erase(name);
  }
  return entries;
}

void CutPower(MemoryNode& node, const std::function<bool()>& survives) {
  if (node.content.size() > node.durable_size && !survives()) {
    node.content.resize(node.durable_size);
  }
  node.durable_size = node.content.size();
  node.entries = node.durable_entries = SurvivingEntries(node, survives);
  for (const auto& [name, child] : node.entries) CutPower(*child, survives);
}

Result<void> Check(int code, std::string_view operation, const fs::path& path) {
  if (code != 0) return SystemFail(code, operation, path);
  return {};
}

Result<void> CheckPair(int code, std::string_view operation, const fs::path& from,
                       const fs::path& to) {
  if (code == 0) return {};
  return SystemFail(code, fmt::format("{} {} to", operation, from.string()), to);
}

}  // namespace

MemoryFileSystem::MemoryFileSystem() : tree_(std::make_shared<MemoryTree>()) {
  tree_->root = std::make_shared<MemoryNode>();
  tree_->root->is_directory = true;
}

MemoryFileSystem::~MemoryFileSystem() = default;

void MemoryFileSystem::PowerCut() {
  PowerCut([] { return false; });
}

void MemoryFileSystem::PowerCut(const std::function<bool()>& survives) {
  const std::lock_guard lock(tree_->mutex);
  CutPower(*tree_->root, survives);
}

Result<std::unique_ptr<WritableFile>> MemoryFileSystem::Create(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  const OrErrno<NodePtr> node = AddNode(*tree_, path, /*is_directory=*/false);
  if (!node) return SystemFail(node.error(), "create", path);
  return MakeMemoryWritable({tree_, *node, path});
}

Result<std::unique_ptr<ReadableFile>> MemoryFileSystem::Open(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  const OrErrno<NodePtr> node = FindNode(*tree_, path);
  if (!node) return SystemFail(node.error(), "open", path);
  if ((*node)->is_directory) return SystemFail(EISDIR, "open", path);
  return MakeMemoryReadable({tree_, *node, path});
}

Result<FileType> MemoryFileSystem::Type(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  const OrErrno<NodePtr> node = FindNode(*tree_, path);
  if (!node) return FileType::kNone;
  return (*node)->is_directory ? FileType::kDirectory : FileType::kFile;
}

Result<FileStatus> MemoryFileSystem::Status(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  const OrErrno<NodePtr> node = FindNode(*tree_, path);
  if (!node) return SystemFail(node.error(), "look at", path);
  return FileStatus{(*node)->is_directory ? FileType::kDirectory : FileType::kFile,
                    (*node)->content.size(),
                    reinterpret_cast<uint64_t>(node->get()),
                    CountLinks(*tree_->root, *node),
                    (*node)->created,
                    (*node)->created};
}

Result<std::vector<std::string>> MemoryFileSystem::List(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  const OrErrno<NodePtr> node = FindDirectory(*tree_, path);
  if (!node) return SystemFail(node.error(), "list", path);
  std::vector<std::string> names;
  for (const auto& [name, child] : (*node)->entries) names.push_back(name);
  return names;
}

Result<void> MemoryFileSystem::CreateDirectory(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  const OrErrno<NodePtr> node = AddNode(*tree_, path, /*is_directory=*/true);
  return Check(node ? 0 : node.error(), "create directory", path);
}

Result<void> MemoryFileSystem::Rename(const fs::path& from, const fs::path& to) {
  const std::lock_guard lock(tree_->mutex);
  return CheckPair(RenameNode(*tree_, from, to, /*replace=*/true), "rename", from, to);
}

Result<void> MemoryFileSystem::RenameNoReplace(const fs::path& from, const fs::path& to) {
  const std::lock_guard lock(tree_->mutex);
  return CheckPair(RenameNode(*tree_, from, to, /*replace=*/false), "rename", from, to);
}

Result<void> MemoryFileSystem::Link(const fs::path& from, const fs::path& to) {
  const std::lock_guard lock(tree_->mutex);
  return CheckPair(LinkNode(*tree_, from, to), "link", from, to);
}

Result<void> MemoryFileSystem::Remove(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  return Check(RemoveNode(*tree_, path), "remove", path);
}

Result<std::unique_ptr<DirectoryLock>> MemoryFileSystem::LockDirectory(const fs::path& path) {
  NodePtr node;
  {
    const std::lock_guard lock(tree_->mutex);
    const OrErrno<NodePtr> found = FindDirectory(*tree_, path);
    if (!found) return SystemFail(found.error(), "lock", path);
    node = *found;
  }
  return std::make_unique<MemoryDirectoryLock>(std::move(node));
}

Result<bool> MemoryFileSystem::IsBeingWritten(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  const OrErrno<NodePtr> node = FindNode(*tree_, path);
  if (!node) return SystemFail(node.error(), "look at", path);
  return (*node)->being_written;
}

Result<void> MemoryFileSystem::SyncDirectory(const fs::path& path) {
  const std::lock_guard lock(tree_->mutex);
  const OrErrno<NodePtr> node = FindDirectory(*tree_, path);
  if (!node) return SystemFail(node.error(), "sync directory", path);
  (*node)->durable_entries = (*node)->entries;
  return {};
}

}  // namespace bitsnap
