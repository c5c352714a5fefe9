// The kernels for plain: vectors of 16 bytes.
#define LINPROBE_ISA plain
#define LINPROBE_ISA_NAME "plain"
#define LINPROBE_VECTOR_BYTES 16
#include "kernels_impl.hpp"

namespace linprobe {
Kernels kernels_plain() {
  return {LINPROBE_ISA_NAME, plain::pass, plain::sgd_epoch, plain::moment, plain::descent, plain::split, plain::factor, plain::triangle, plain::patches, plain::projection, plain::neighbors, plain::curvature};
}
}  // namespace linprobe
