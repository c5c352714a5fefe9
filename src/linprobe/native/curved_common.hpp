// What each curved_*.cpp compiles, in a namespace and with a vector width of its own: see kernels_impl.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "curved.hpp"
#include "kernels.hpp"
#include "pool.hpp"

#include "intrinsics.hpp"

namespace linprobe::LINPROBE_ISA {
namespace {
#include "vectors.hpp"
#include "curved_impl.hpp"
}  // namespace

void curved_sweep(Curved& job) { job.singles ? CurvedModel<float>(job).sweep() : CurvedModel<double>(job).sweep(); }
void curved_krylov(Curved& job) { job.singles ? CurvedModel<float>(job).krylov() : CurvedModel<double>(job).krylov(); }

}  // namespace linprobe::LINPROBE_ISA
