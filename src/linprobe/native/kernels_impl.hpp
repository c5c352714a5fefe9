// The kernels themselves; each kernels_*.cpp includes this once, in a namespace and with a vector width of its own.
// Only code with internal linkage or in that namespace is defined here: a shared inline function would be compiled for
// several instruction sets, and the linker might keep a copy that the processor cannot run.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <thread>
#include <type_traits>
#include <vector>

#include "bfloat.hpp"
#include "kernels.hpp"
#include "pool.hpp"

#include "intrinsics.hpp"

namespace linprobe::LINPROBE_ISA {
namespace {

// Calls f(i) for every i < n, each on the first free thread.
template <class F>
void share_out(int threads, int64_t n, F&& f) {
  std::atomic<int64_t> next{0};
  pool().run(threads, [&](int, int) {
    for (int64_t i; (i = next.fetch_add(1)) < n;) f(i);
  });
}

#include "vectors.hpp"
#include "tiles.hpp"
#include "bytes_impl.hpp"
#include "loss_block.hpp"
#include "softmax_block.hpp"
#include "bfloat_block.hpp"
#include "pass_impl.hpp"
#include "sgd_impl.hpp"
#include "moment_impl.hpp"
#include "descent_impl.hpp"
#include "split_impl.hpp"
#include "cholesky_impl.hpp"
#include "patches_impl.hpp"
#include "neighbors_impl.hpp"
#include "curvature_impl.hpp"

}  // namespace

bool pass(Pass& job) {
  const bool doubles = job.precision >= Precision::proof || job.rows.dtype == Dtype::f64;
  return doubles ? run_pass<double>(job) : run_pass<float>(job);
}
bool sgd_epoch(Epoch& job) { return job.rows.dtype == Dtype::f64 ? SgdLoop<double>(job).run() : SgdLoop<float>(job).run(); }
bool moment(Moment& job) { return run_moment(job); }
void descent(Descent& job) { run_descent(job); }
bool split(Split& job) { return run_split(job); }
bool factor(Factor& job) { return run_factor(job); }
void triangle(Triangle& job) { run_triangle(job); }
bool patches(Patches& job) { return run_patches(job); }
bool projection(Projection& job) { return run_projection(job); }
bool neighbors(Neighbors& job) { return run_neighbors(job); }
bool curvature(Curvature& job) { return run_curvature(job); }

Kernels kernels() {
  return {pass, sgd_epoch, moment, descent, split, factor, triangle, patches, projection, neighbors, curvature};
}

}  // namespace linprobe::LINPROBE_ISA
