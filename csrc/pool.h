// Threads that live for one call.
#pragma once

#include <cstdint>
#include <functional>

namespace qama {

int core_count();

// Runs task(0) .. task(count - 1) on at most `threads` threads, the caller's among them. The first
// exception ends the work and is thrown again here. A thread that cannot start is done without.
void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& task);

} // namespace qama
