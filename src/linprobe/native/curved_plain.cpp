// Descent on a second-order model for plain: vectors of 16 bytes.
#define LINPROBE_VECTOR_BYTES 16
#define LINPROBE_ISA plain
#include "curved_common.hpp"

namespace linprobe {
void sweep_plain(Curved& job) { plain::curved_sweep(job); }
void krylov_plain(Curved& job) { plain::curved_krylov(job); }
}  // namespace linprobe
