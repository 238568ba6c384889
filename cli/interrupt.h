// Ctrl-C and SIGTERM become a flag, so that the library can clean up behind itself.
#pragma once

namespace bitsnap::cli {

// A second signal of the same kind ends the process at once.
void CatchSignals();

// SIGINT or SIGTERM once it came, 0 before.
int InterruptingSignal();

}  // namespace bitsnap::cli
