// See bfloat_hessian.hpp, with vectors of 64 bytes.
#define LINPROBE_ISA avx512
#define LINPROBE_VECTOR_BYTES 64
#include "bfloat_hessian_impl.hpp"

namespace linprobe {
HessianKernels hessian_avx512() { return {avx512::run_weights, avx512::run_product, avx512::run_block, avx512::run_solve}; }
}  // namespace linprobe
