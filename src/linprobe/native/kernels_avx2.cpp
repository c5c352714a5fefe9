// The kernels for avx2: vectors of 32 bytes.
#define LINPROBE_ISA avx2
#define LINPROBE_VECTOR_BYTES 32
#include "kernels_impl.hpp"

namespace linprobe {
Kernels kernels_avx2() { return avx2::kernels(); }
}  // namespace linprobe
