// Dual coordinate ascent for avx512: vectors of 64 bytes.
#define LINPROBE_VECTOR_BYTES 64
#define LINPROBE_ISA avx512
#include "dual_common.hpp"

namespace linprobe {
void dual_avx512(DualSweep& job) { avx512::dual_sweep(job); }
void dual_pairs_avx512(DualPairs& job) { avx512::dual_pairs(job); }
void dual_sums_avx512(const DualSums& job) { avx512::dual_sums(job); }
}  // namespace linprobe
