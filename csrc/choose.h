// Joint choice of the codewords of an additive code, by beam search and coordinate descent.
#pragma once

#include <cstdint>

#include "scan.h"

namespace qama {

// Fills choice.codes and choice.residuals for `count` rows.
void choose_codewords(const Kernels&, const Choice&, std::int64_t count, int threads);

// Fills p.products for `count` rows.
void multiply(const Kernels&, const Products& p, std::int64_t count, int threads);

} // namespace qama
