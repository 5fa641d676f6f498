// The scan for CPUs with AVX-512 F, BW, VL, VBMI, BITALG and VNNI.
#include "scan.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && \
    defined(__AVX512VBMI__) && defined(__AVX512BITALG__) && defined(__AVX512VNNI__)
#include "avx512.h"

namespace qama {
namespace {

constexpr Kernels kKernels = kernels_of<Avx512>("avx512");

} // namespace

const Kernels* avx512_kernels() { return &kKernels; }

} // namespace qama
#else
const qama::Kernels* qama::avx512_kernels() { return nullptr; }
#endif
