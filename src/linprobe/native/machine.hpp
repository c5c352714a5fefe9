// The instruction sets that the kernels were compiled for, and the one that this process uses. Nothing of Python here.
//
// One source for all of them: kernels_impl.hpp, and the parts that it includes, are written with vectors of the compiler
// (`__attribute__((vector_size))`) of LINPROBE_VECTOR_BYTES. kernels_plain.cpp, kernels_avx2.cpp and the like set the width and
// a namespace and include it; CMakeLists.txt gives each the compiler's flags. What an instruction set has beyond that stands
// beside its plain loop, behind an #if: the conversions of vectors.hpp, the products of bytes in moment_impl.hpp and
// neighbors_impl.hpp, and all of bytes_impl.hpp.
// That file, the passes in whole numbers, is AVX-512's alone: three digits of a weight take three products of bytes, and with
// vectors of 16 bytes UDOT makes 16 an instruction where float32 makes 4: a third more at best, before the digits are made.
//
//     set      compiled for         vectors   products of bytes        asked of the processor
//     plain    x86-64, aarch64, *   16 bytes  no                       nothing
//     avx2     x86-64               32 bytes  pairs of int16           avx2, fma, f16c
//     avx512   x86-64               64 bytes  fours of uint8 (VNNI)    avx512 f, bw, dq, vl, vnni besides
//     neon     aarch64              16 bytes  fours of uint8 (UDOT)    the dot products of ARMv8.2
#pragma once

#include <string>
#include <vector>

#include "bfloat_hessian.hpp"
#include "curved.hpp"
#include "dual.hpp"
#include "kernels.hpp"

namespace linprobe {

struct InstructionSet {
  const char* name;  // as LINPROBE_INSTRUCTION_SET and the user see it
  bool here;         // whether this processor has it; if not, all that follows is null
  Kernels kernels;
  DualKernels dual;
  CurvedKernels curved;
  HessianKernels hessian;
};

// All that were compiled, the least first; `plain` is always here.
const std::vector<InstructionSet>& instruction_sets();

// The best that is here, or the one that the environment variable LINPROBE_INSTRUCTION_SET names, for tests and comparisons.
// Throws std::invalid_argument, on every call, where that was not compiled or the processor lacks it.
const InstructionSet& instruction_set();

// The one of `sets`, the least first, that `wish` names; with an empty `wish`, the last that is here. Throws as above.
const InstructionSet& choose(const std::vector<InstructionSet>& sets, const std::string& wish);

}  // namespace linprobe
