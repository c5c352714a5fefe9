// Descent on a second-order model for avx2: vectors of 32 bytes.
#define LINPROBE_VECTOR_BYTES 32
#define LINPROBE_ISA avx2
#include "curved_common.hpp"

namespace linprobe {
void sweep_avx2(Curved& job) { avx2::curved_sweep(job); }
void krylov_avx2(Curved& job) { avx2::curved_krylov(job); }
}  // namespace linprobe
