// The Hessian of a data loss in bfloat16 (bfloat.hpp): its products with (V, c), its weights, and its diagonal blocks. Plain C++.
//
//   out = sum_i A_i (V x_i + c) [x_i, 1]ᵀ,   A_i = a_i (diag(q_i) - q_i q_iᵀ / sum q_i),
//                                          or  a_i sum_j q_ij (e_j - e_y)(e_j - e_y)ᵀ, a star
//
// All classes of all rows are multiplied: bfloat16 products are so fast that leaving out classes without curvature
// gains nothing. Rows, and A_i V x_i, are rounded to 8 bits, V to 16; sums are float32. Groups of rows are added in
// their order: the bits do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels.hpp"

namespace linprobe {

constexpr int64_t kHessianRows = 256;  // of a block; its q are stored class by class, kHessianRows numbers each

struct HessianProduct {
  Rows rows;
  int64_t K;
  const uint16_t* q;     // (blocks, K, kHessianRows) float16, padded with 0; 0 at the label of a star
  const float* share;    // (n) a_i
  const int64_t* y;      // (n) labels of a star, or null
  const double* V;       // (K, D)
  const double* c;       // (K)
  double* out_V;         // (K, D) out
  double* out_c;         // (K) out
  int threads;
  std::function<bool()> interrupted;
};

// sum_i [r_i x_i, r_i] [r_i x_i, r_i]ᵀ, added to the upper triangle of `out`, whose blocks on the diagonal are added in full.
struct HessianBlock {
  Rows rows;
  const float* root;     // (n) r_i
  float* out;            // (side, side) of side = hessian_side(D)
};

// D + 1 padded to whole tiles.
inline constexpr int64_t hessian_side(int64_t D) { return (D + 16) / 16 * 16; }

// q of all rows, of the softmax loss or of the squared hinge, from scores with 16 bits of W and of the rows.
struct HessianWeights {
  Rows rows;
  int64_t K;
  const int64_t* y;      // (n) labels
  const double* W;       // (K, D)
  const double* b;       // (K)
  LossKind loss;
  double delta;          // of the squared hinge
  uint16_t* q;           // (blocks, K, kHessianRows) float16 out
  int threads;
  std::function<bool()> interrupted;
};

// x becomes (UᵀU)⁻¹ x, for one x: U in blocks as Triangle has it, each number the upper half of a float32.
struct HessianSolve {
  int64_t n;
  const uint16_t* U;
  float* x;              // (n)
};

struct HessianKernels {
  bool (*weights)(HessianWeights&);  // false: interrupted
  bool (*product)(HessianProduct&);  // likewise
  void (*block)(HessianBlock&);      // on the calling thread
  void (*solve)(HessianSolve&);      // likewise
};

HessianKernels hessian_plain();
HessianKernels hessian_avx512();  // call only on a processor with avx512 f, bw, dq, vl

}  // namespace linprobe
