// Dual coordinate ascent for avx2: vectors of 32 bytes.
#define LINPROBE_VECTOR_BYTES 32
#define LINPROBE_ISA avx2
#include "dual_common.hpp"

namespace linprobe {
void dual_avx2(DualSweep& job) { avx2::dual_sweep(job); }
void dual_pairs_avx2(DualPairs& job) { avx2::dual_pairs(job); }
void dual_sums_avx2(const DualSums& job) { avx2::dual_sums(job); }
}  // namespace linprobe
