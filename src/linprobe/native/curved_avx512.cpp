// Descent on a second-order model for avx512: vectors of 64 bytes.
#define LINPROBE_VECTOR_BYTES 64
#define LINPROBE_ISA avx512
#include "curved_common.hpp"

namespace linprobe {
void sweep_avx512(Curved& job) { avx512::curved_sweep(job); }
void krylov_avx512(Curved& job) { avx512::curved_krylov(job); }
}  // namespace linprobe
