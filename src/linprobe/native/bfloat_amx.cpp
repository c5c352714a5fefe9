// Products in bfloat16 by AMX: 16 x 16 x 32 per instruction, some 30 times the rate of float32.
#include <immintrin.h>

#include "bfloat.hpp"

namespace linprobe {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, unused[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tiles (i, j) .. (i + down - 1, j + across - 1) of C: tiles 0..3 hold their sums, 4 and 5 those of A, 6 and 7 those of B.
template <int down, int across>
void multiply_tiles(const BfloatProduct& job, int64_t i, int64_t j) {
  float* const C = job.C + i * job.c_down + j * job.c_across;
  const int64_t stride = job.c_row * 4;
  if (job.add) {
    _tile_loadd(0, C, stride);
    if constexpr (across > 1) _tile_loadd(1, C + job.c_across, stride);
    if constexpr (down > 1) _tile_loadd(2, C + job.c_down, stride);
    if constexpr (down > 1 && across > 1) _tile_loadd(3, C + job.c_down + job.c_across, stride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int p = 0; p < job.n_pairs; ++p) {
    const Bfloat* a = job.A + job.pairs[p][0] * job.a_term + i * job.a_panel;
    const Bfloat* b = job.B + job.pairs[p][1] * job.b_term + j * job.b_panel;
    for (int64_t s = 0; s < job.steps; ++s, a += kTileNumbers, b += kTileNumbers) {
      _tile_loadd(4, a, 64);
      _tile_loadd(6, b, 64);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (across > 1) {
        _tile_loadd(7, b + job.b_panel, 64);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (down > 1) {
        _tile_loadd(5, a + job.a_panel, 64);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (across > 1) _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
  _tile_stored(0, C, stride);
  if constexpr (across > 1) _tile_stored(1, C + job.c_across, stride);
  if constexpr (down > 1) _tile_stored(2, C + job.c_down, stride);
  if constexpr (down > 1 && across > 1) _tile_stored(3, C + job.c_down + job.c_across, stride);
}

void multiply(const BfloatProduct& job) {
  const TileConfig config;
  asm volatile("" ::: "memory");  // the compiler does not know what the tile loads read
  _tile_loadconfig(&config);
  for (int64_t i = 0; i < job.m; i += 2)
    for (int64_t j = 0; j < job.n; j += 2) {
      const bool down = i + 1 < job.m, across = j + 1 < job.n;
      if (down && across) multiply_tiles<2, 2>(job, i, j);
      else if (down) multiply_tiles<2, 1>(job, i, j);
      else if (across) multiply_tiles<1, 2>(job, i, j);
      else multiply_tiles<1, 1>(job, i, j);
    }
  _tile_release();  // context switches cost more while tiles are in use
  asm volatile("" ::: "memory");
}

}  // namespace

BfloatKernels bfloat_amx() {
  BfloatKernels kernels = bfloat_avx512();
  kernels.name = "AMX";
  kernels.fast = true;
  kernels.multiply = multiply;
  return kernels;
}

}  // namespace linprobe
