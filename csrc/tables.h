// Asymmetric scores: what the lookup table of a query says of a row's code.
#pragma once

#include <cstdint>

#include "scan.h"

namespace qama {

void table_topk(const Kernels&, const TableArgs&, int threads, Best<float>);

// scores_out: (queries, chosen.each).
void table_rows(const TableArgs&, const ChosenRows& chosen, int threads, float* scores_out);

} // namespace qama
