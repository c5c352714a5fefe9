// Dual coordinate ascent for plain: vectors of 16 bytes.
#define LINPROBE_VECTOR_BYTES 16
#define LINPROBE_ISA plain
#include "dual_common.hpp"

namespace linprobe {
void dual_plain(DualSweep& job) { plain::dual_sweep(job); }
}  // namespace linprobe
