// Dual coordinate ascent for avx512: vectors of 64 bytes.
#define LINPROBE_VECTOR_BYTES 64
#define LINPROBE_ISA avx512
#include "dual_common.hpp"

namespace linprobe {
void dual_avx512(DualSweep& job) { avx512::dual_sweep(job); }
}  // namespace linprobe
