// What each dual_*.cpp compiles, in a namespace and with a vector width of its own: see kernels_impl.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>

#include "dual.hpp"
#include "kernels.hpp"
#include "pool.hpp"

#include "intrinsics.hpp"

namespace linprobe::LINPROBE_ISA {
namespace {
#include "vectors.hpp"
#include "dual_impl.hpp"
#include "dual_pairs_impl.hpp"
}  // namespace

void dual_sweep(DualSweep& job) { job.singles ? run_dual_sweep<float>(job) : run_dual_sweep<double>(job); }
void dual_pairs(DualPairs& job) { run_dual_pairs(job); }
void dual_sums(const DualSums& job) { run_dual_sums(job); }

}  // namespace linprobe::LINPROBE_ISA
