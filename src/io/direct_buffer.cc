#include "io/direct_buffer.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace bitsnap {

void DirectBuffer::Free::operator()(std::byte* memory) const {
  ::operator delete[](memory, std::align_val_t(kAlignment));
}

Bytes DirectBuffer::Fill(Bytes bytes) {
  if (bytes.empty()) return bytes;
  if (!memory_) {
    memory_.reset(static_cast<std::byte*>(::operator new[](kBytes, std::align_val_t(kAlignment))));
  }
  const size_t taken = std::min(bytes.size(), kBytes - used_);
  std::memcpy(memory_.get() + used_, bytes.data(), taken);
  used_ += taken;
  return bytes.subspan(taken);
}

}  // namespace bitsnap
