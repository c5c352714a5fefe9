// The instruction sets that the kernels were compiled for, and the one that this process uses. Without Python.
//
// One source for all of them: kernels_impl.hpp, and the parts that it includes, are written with vectors of the compiler
// (`__attribute__((vector_size))`) of LINPROBE_VECTOR_BYTES. kernels_plain.cpp, kernels_avx2.cpp and the like set the width and
// a namespace and include it; CMakeLists.txt gives each the compiler's flags. Code for one instruction set is next to
// its plain loop, behind an #if: the conversions of vectors.hpp, the byte products in moment_impl.hpp and
// neighbors_impl.hpp, and all of bytes_impl.hpp. That file, the passes in integers, is for AVX-512 only. A weight of
// three digits takes three byte products. UDOT, with vectors of 16 bytes, makes 16 products per instruction, float32
// makes 4: a gain of a third at best, less the time to compute the digits.
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
  const char* name;  // its name for users and LINPROBE_INSTRUCTION_SET
  bool here;         // whether this processor has it; if not, the members below are null
  Kernels kernels;
  DualKernels dual;
  CurvedKernels curved;
  HessianKernels hessian;
};

// All compiled sets, the simplest first; `plain` is always among them.
const std::vector<InstructionSet>& instruction_sets();

// The best available set, or the one that the environment variable LINPROBE_INSTRUCTION_SET names, for tests and
// comparisons. Throws std::invalid_argument, on every call, if that was not compiled or the processor lacks it.
const InstructionSet& instruction_set();

// The one of `sets`, the least first, that `wish` names; with an empty `wish`, the last that is here. Throws as above.
const InstructionSet& choose(const std::vector<InstructionSet>& sets, const std::string& wish);

}  // namespace linprobe
