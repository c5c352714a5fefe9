// Dual coordinate ascent for avx2: vectors of 32 bytes.
#define LINPROBE_VECTOR_BYTES 32
#define LINPROBE_ISA avx2
#include "dual_common.hpp"

namespace linprobe {
void dual_avx2(DualSweep& job) { avx2::dual_sweep(job); }
}  // namespace linprobe
