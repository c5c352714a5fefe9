// Dual coordinate ascent for plain: vectors of 16 bytes.
#define LINPROBE_VECTOR_BYTES 16
#define LINPROBE_ISA plain
#include "dual_common.hpp"

namespace linprobe {
DualKernels dual_plain() { return {plain::dual_sweep, plain::dual_pairs, plain::dual_sums}; }
}  // namespace linprobe
