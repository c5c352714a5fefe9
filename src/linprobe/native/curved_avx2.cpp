// Descent on a second-order model for avx2: vectors of 32 bytes.
#define LINPROBE_VECTOR_BYTES 32
#define LINPROBE_ISA avx2
#include "curved_common.hpp"

namespace linprobe {
CurvedKernels curved_avx2() { return {avx2::curved_sweep, avx2::curved_krylov}; }
}  // namespace linprobe
