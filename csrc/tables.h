// Asymmetric scores: a table of 256 entries per byte, or of 16 per nibble, of the code.
#pragma once

#include <cstdint>

#include "filter.h"
#include "hamming.h"
#include "scan.h"

namespace qama {

// rows_out, scores_out: (queries, k).
void table_topk(const Kernels&, const Blocks&, const Rows&, const TableQueries&, const Factors&,
                std::int64_t k, int threads, std::int64_t* rows_out, float* scores_out);

// rows, scores_out: (queries, each).
void table_rows(const Blocks&, const std::int64_t* rows, std::int64_t each, const TableQueries&,
                const Factors&, int threads, float* scores_out);

} // namespace qama
