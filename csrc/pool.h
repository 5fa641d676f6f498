// Threads that live for one call.
#pragma once

#include <cstdint>
#include <functional>

namespace qama {

// How many threads to use: `asked`, or for 0 as many as there are cores, but fewer where the work
// would not pay for starting them. `work` counts bytes or operations, some 4 million to a thread.
int thread_count(int asked, double work);

// Runs task(0) .. task(count - 1) on at most `threads` threads, the caller's among them. The first
// exception ends the work and is thrown again here. A thread that cannot start is done without.
void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& task);

} // namespace qama
