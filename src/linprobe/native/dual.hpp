// Dual coordinate ascent for losses that are a sum over margins. Plain C++ over pointers and sizes, no Python.
//
// Primal: sum_i a_i sum_{j != y} h(s_ij - s_iy + delta) + (lambda / 2) |W|² + size |W|_1 + |b - centre|² / (2 bias).
// h' rises from 0 with slope `curvature` up to `most`; 1 and inf for the hinge, inf and 2 for its square. A is the
// dual point, 0 <= A_ij <= a_i most, and A_iy = 0. With V = sum_i (sum_j A_ij e_y - A_i) x_iᵀ the weights are
// W = soft(V, size) / lambda.
//
// Sums are float64 unless said otherwise. The result does not depend on the number of threads: a sweep runs on one.
#pragma once

#include <cstdint>

namespace linprobe {

struct DualSweep {
  int64_t N, K, D;        // images, classes, numbers in a row
  int64_t n;              // images visited
  const int64_t* order;   // (n) the images in the order of their visits
  const int64_t* y;       // (N)
  const double* share;    // (N) a_i > 0
  const double* squares;  // (N) |x_i|²
  bool gram;              // rows are those of the Gram matrix, D = N; else those of the images
  bool singles;           // rows are float32, else float64
  const void* rows;       // (N, D)
  double lambda, size;    // size is 0 in the Gram form
  double bias, delta, most, curvature;
  bool all;               // visit all coordinates, else those that are not 0
  double threshold;       // images with a predicted gain of at most this are skipped
  double* A;              // (N, K) in place
  double* V;              // (K, D) in place; in the Gram form lambda times the scores without the bias
  double* W;              // (K, D) in place; unused in the Gram form
  double* b;              // (K) in place
  double gain;            // out: sum of the predicted gains
  int64_t products;       // out: rows of length D that were multiplied or added
};

// The same over listed pairs of image and class, for many images. Products are summed in float32; the equation of each
// image is solved in float64. V accumulates the rounding of its updates: see dual_sums. One thread.
struct DualPairs {
  int64_t N, K, D, n;
  const int64_t* order;    // (n) the images in the order of their visits
  const int64_t* y;        // (N)
  const double* share;     // (N)
  const double* squares;   // (N)
  const float* rows;       // (N, D)
  double lambda, size, bias, delta, most, curvature;
  bool all;                // visit all listed pairs, else those that are not 0
  double threshold;
  const int64_t* ends;     // (N + 1) pairs ends[i]..ends[i + 1] - 1 are those of image i
  const int32_t* classes;  // (P) never the label
  double* A;               // (P) in place
  float* V;                // (K, D) in place
  float* W;                // (K, D) in place; null where size is 0, then W = V / lambda
  double* b;               // (K) in place
  double gain;             // out
  int64_t products;        // out
};

// V = -sum_i G_i x_iᵀ (K, D) of the listed pairs, in float64. The features are split among threads: the sums of each are
// in the order of the images, so that the bits are the same for any number of threads.
struct DualSums {
  int64_t N, K, D;
  const int64_t* y;
  const float* rows;       // (N, D)
  const int64_t* ends;     // (N + 1)
  const int32_t* classes;  // (P)
  const double* A;         // (P)
  double* V;               // (K, D), out
  int threads;
};

struct DualKernels {
  void (*sweep)(DualSweep&);
  void (*pairs)(DualPairs&);
  void (*sums)(const DualSums&);
};

DualKernels dual_plain();
DualKernels dual_avx2();    // call only on a processor with avx2, fma, f16c
DualKernels dual_avx512();  // likewise with avx512 f, bw, dq, vl, vnni

}  // namespace linprobe
