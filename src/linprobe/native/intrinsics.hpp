// The intrinsics of the instruction set that a file is compiled for, which the compiler's vectors do not cover.
#pragma once

#if LINPROBE_VECTOR_BYTES > 16
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
