// The nodes of a MemoryFileSystem and handles on its files.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "io/file_system.h"

namespace bitsnap {

struct MemoryNode {
  using Entries = std::map<std::string, std::shared_ptr<MemoryNode>>;

  bool is_directory = false;
  std::chrono::system_clock::time_point created = std::chrono::system_clock::now();
  // Of a file. It only grows, so what is durable is a prefix.
  std::vector<std::byte> content;
  size_t durable_size = 0;
  bool being_written = false;
  // Of a directory.
  Entries entries;
  Entries durable_entries;
  std::mutex lock;  // what LockDirectory locks
};

struct MemoryTree {
  std::shared_mutex mutex;  // guards all nodes; shared by those who only read
  std::shared_ptr<MemoryNode> root;
};

// What both handles hold; keeps file and mutex alive when the name or the file system is gone.
struct MemoryHandle {
  std::shared_ptr<MemoryTree> tree;
  std::shared_ptr<MemoryNode> node;
  std::filesystem::path path;
};

// Both require: the tree's mutex is held.
std::unique_ptr<WritableFile> MakeMemoryWritable(MemoryHandle handle);
std::unique_ptr<ReadableFile> MakeMemoryReadable(MemoryHandle handle);

}  // namespace bitsnap
