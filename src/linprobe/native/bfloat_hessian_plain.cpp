// See bfloat_hessian.hpp, with vectors of 16 bytes.
#define LINPROBE_ISA plain
#define LINPROBE_VECTOR_BYTES 16
#include "bfloat_hessian_impl.hpp"

namespace linprobe {
HessianKernels hessian_plain() { return {plain::run_weights, plain::run_product, plain::run_block, plain::run_solve}; }
}  // namespace linprobe
