// Descent on the second-order model of a data loss, image by image, with |W|. Plain C++ over pointers and sizes.
//
//   slope·D + 1/2 sum_i ds_i·H_i ds_i + 1/2 ridge W² + 1/2 damp (W - W_0)² + size |W|,   D = W - W_0, ds_i = D x_i
//
// H_i = diag(d_i) - v_i w_iᵀ - w_i v_iᵀ of the scores of image i, K x K; only entries (i, k) with curvature are listed, class by
// class. W has a row for the bias below those of the features, with an x of 1 and without ridge and size.
//
// All sums are float64, on the calling thread: the result does not depend on the number of threads.
#pragma once

#include <cstdint>

namespace linprobe {

struct Curved {
  int64_t n, N, K;       // features, images, classes
  bool singles;          // X is float32, else float64
  const void* X;         // (n, N), feature by feature
  const int64_t* ends;   // (K + 1): entries ends[k]..ends[k + 1] - 1 are those of class k
  const int64_t* image;  // (P) image of each entry, ascending within a class
  const double *d, *v, *w;  // (P)
  const double* slope;   // (n + 1, K) at W_0, of the data loss
  const double* curvatures;   // (n, K) second derivative of the model in each weight
  const double* inverse; // (K, K) of the bias
  double ridge, size;
  const double* damp;    // (n + 1)
  const double* start;   // (n + 1, K): W_0
  double* W;             // (n + 1, K) in place
  double* z;             // (P) in place: ds of each entry
  double *c, *e;         // (N) in place: v_i·ds_i, w_i·ds_i
  bool all;              // sweep over all weights, else over those that are not 0
  int64_t most;          // of `krylov`: iterations
  double share;          // of `krylov`: of the residual at which it ends
  double largest;        // out of `sweep`: the largest change of a slope
  int64_t steps;         // out of `krylov`: iterations, negative if the step was rejected
};

struct CurvedKernels {
  void (*sweep)(Curved&);
  void (*krylov)(Curved&);
};

CurvedKernels curved_plain();
CurvedKernels curved_avx2();    // call only on a processor with avx2, fma, f16c
CurvedKernels curved_avx512();  // likewise with avx512 f, bw, dq, vl, vnni

}  // namespace linprobe
