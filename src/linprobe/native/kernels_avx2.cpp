// The kernels for avx2: vectors of 32 bytes.
#define LINPROBE_ISA avx2
#define LINPROBE_ISA_NAME "avx2"
#define LINPROBE_VECTOR_BYTES 32
#include "kernels_impl.hpp"

namespace linprobe {
Kernels kernels_avx2() {
  return {LINPROBE_ISA_NAME, avx2::pass, avx2::sgd_epoch, avx2::moment, avx2::descent, avx2::split, avx2::factor, avx2::triangle, avx2::patches, avx2::projection, avx2::neighbors, avx2::curvature};
}
}  // namespace linprobe
