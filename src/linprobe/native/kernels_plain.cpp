// The kernels for plain: vectors of 16 bytes.
#define LINPROBE_ISA plain
#define LINPROBE_VECTOR_BYTES 16
#include "kernels_impl.hpp"

namespace linprobe {
Kernels kernels_plain() { return plain::kernels(); }
}  // namespace linprobe
