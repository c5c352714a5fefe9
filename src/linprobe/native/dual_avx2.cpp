// Dual coordinate ascent for avx2: vectors of 32 bytes.
#define LINPROBE_VECTOR_BYTES 32
#define LINPROBE_ISA avx2
#include "dual_common.hpp"

namespace linprobe {
DualKernels dual_avx2() { return {avx2::dual_sweep, avx2::dual_pairs, avx2::dual_sums}; }
}  // namespace linprobe
