// The kernels for neon: vectors of 16 bytes, as plain, with the dot products of bytes of ARMv8.2.
#define LINPROBE_ISA neon
#define LINPROBE_VECTOR_BYTES 16
#include "kernels_impl.hpp"

namespace linprobe {
Kernels kernels_neon() { return neon::kernels(); }
}  // namespace linprobe
