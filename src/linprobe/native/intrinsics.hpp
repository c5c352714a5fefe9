// The instructions of the set that a file is compiled for, where the compiler's vectors do not reach them.
#pragma once

#if LINPROBE_VECTOR_BYTES > 16
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
