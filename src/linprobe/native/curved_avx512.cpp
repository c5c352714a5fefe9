// Descent on a second-order model for avx512: vectors of 64 bytes.
#define LINPROBE_VECTOR_BYTES 64
#define LINPROBE_ISA avx512
#include "curved_common.hpp"

namespace linprobe {
CurvedKernels curved_avx512() { return {avx512::curved_sweep, avx512::curved_krylov}; }
}  // namespace linprobe
