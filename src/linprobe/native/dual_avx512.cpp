// Dual coordinate ascent for avx512: vectors of 64 bytes.
#define LINPROBE_VECTOR_BYTES 64
#define LINPROBE_ISA avx512
#include "dual_common.hpp"

namespace linprobe {
DualKernels dual_avx512() { return {avx512::dual_sweep, avx512::dual_pairs, avx512::dual_sums}; }
}  // namespace linprobe
