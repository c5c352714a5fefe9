// The kernels for avx512: vectors of 64 bytes.
#define LINPROBE_ISA avx512
#define LINPROBE_ISA_NAME "avx512"
#define LINPROBE_VECTOR_BYTES 64
#include "kernels_impl.hpp"

namespace linprobe {
Kernels kernels_avx512() {
  return {LINPROBE_ISA_NAME, avx512::pass, avx512::sgd_epoch, avx512::moment, avx512::descent, avx512::split, avx512::factor, avx512::triangle, avx512::patches, avx512::projection, avx512::neighbors, avx512::curvature};
}
}  // namespace linprobe
