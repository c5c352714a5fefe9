// Dual coordinate ascent for plain: vectors of 16 bytes.
#define LINPROBE_VECTOR_BYTES 16
#define LINPROBE_ISA plain
#include "dual_common.hpp"

namespace linprobe {
void dual_plain(DualSweep& job) { plain::dual_sweep(job); }
void dual_pairs_plain(DualPairs& job) { plain::dual_pairs(job); }
void dual_sums_plain(const DualSums& job) { plain::dual_sums(job); }
}  // namespace linprobe
