// Descent on a second-order model for plain: vectors of 16 bytes.
#define LINPROBE_VECTOR_BYTES 16
#define LINPROBE_ISA plain
#include "curved_common.hpp"

namespace linprobe {
CurvedKernels curved_plain() { return {plain::curved_sweep, plain::curved_krylov}; }
}  // namespace linprobe
