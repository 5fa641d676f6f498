// Hamming distances, plain and of bit pairs.
#pragma once

#include <cstdint>

#include "scan.h"

namespace qama {

void hamming_topk(const Kernels&, const HammingArgs&, int threads, Best<std::int32_t>);

// distances_out: (queries, chosen.each).
void hamming_rows(const HammingArgs&, const ChosenRows& chosen, int threads,
                  std::int32_t* distances_out);

} // namespace qama
