// Reads of a mapped file that another process has cut: zeros, and a note, instead of a signal that
// kills.
#pragma once

#include <cstddef>

namespace qama {

// Guards a range of addresses; returns its place, or -1 where it cannot be guarded.
int guard(const void* begin, std::size_t bytes);

// Ends that; does nothing for -1.
void unguard(int place);

// Whether a read in the range met the end of its file; false for -1.
bool faulted(int place);

} // namespace qama
