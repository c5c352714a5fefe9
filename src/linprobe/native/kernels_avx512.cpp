// The kernels for avx512: vectors of 64 bytes.
#define LINPROBE_ISA avx512
#define LINPROBE_VECTOR_BYTES 64
#include "kernels_impl.hpp"

namespace linprobe {
Kernels kernels_avx512() { return avx512::kernels(); }
}  // namespace linprobe
