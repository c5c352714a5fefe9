// Products in bfloat16 by AVX-512 BF16: 32 per instruction, twice as many as of float32.
#include <immintrin.h>

#include "bfloat.hpp"

namespace linprobe {
namespace {

__mmask16 first(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1); }

// The first terms of 32 numbers; the remainders are left in `low` and `high`.
__m512i term(__m512& low, __m512& high, bool more) {
  const auto x = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  if (more) {
    low = _mm512_sub_ps(low, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(x)), 16)));
    high = _mm512_sub_ps(high, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(x, 1)), 16)));
  }
  return x;
}

#include "transpose_avx512.hpp"

// 16 rows x 32 columns into tiles of the transpose and of themselves.
template <bool half, bool shifted>
void convert_tile(const BfloatRows& job, int64_t tile, int64_t step) {
  const int64_t row_steps = job.row_tiles / 2, d = step * kTileDepth, first_row = tile * kTileSide, count = job.n - first_row;
  const __mmask16 low_some = first(job.D - d), high_some = first(job.D - d - 16);
  __m512 low_shift{}, high_shift{};
  if constexpr (shifted) low_shift = _mm512_maskz_loadu_ps(low_some, job.shift + d), high_shift = _mm512_maskz_loadu_ps(high_some, job.shift + d + 16);
  auto read = [&](int64_t r, __m512& low, __m512& high) {
    low = high = __m512{};
    if (r >= count) return;
    const void* const row = job.row[first_row + r];
    if constexpr (half) {
      low = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(low_some, static_cast<const uint16_t*>(row) + d));
      high = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(high_some, static_cast<const uint16_t*>(row) + d + 16));
    } else {
      low = _mm512_maskz_loadu_ps(low_some, static_cast<const float*>(row) + d);
      high = _mm512_maskz_loadu_ps(high_some, static_cast<const float*>(row) + d + 16);
    }
    if constexpr (shifted) low = _mm512_add_ps(low, low_shift), high = _mm512_add_ps(high, high_shift);
  };
  auto ask = [&](int64_t r) {  // prefetch the row at this place of the next tile
    if (r + kTileSide >= count + job.ahead) return;
    const auto* early = static_cast<const char*>(job.row[first_row + kTileSide + r]) + d * (half ? 2 : 4);
    _mm_prefetch(early, _MM_HINT_T1);
    if constexpr (!half) _mm_prefetch(early + 64, _MM_HINT_T1);
  };
  auto put = [&](__m512i (&x)[16], int t) {
    if (job.gradient != nullptr) {
      const auto near = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), far = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
      Bfloat* to = job.gradient + ((t * job.column_tiles + 2 * step) * row_steps + tile / 2) * kTileNumbers + tile % 2 * 256;
      const bool both = 2 * step + 1 < job.column_tiles;
#pragma GCC unroll 8
      for (int p = 0; p < 8; ++p) {
        const auto a = _mm512_unpacklo_epi16(x[2 * p], x[2 * p + 1]), b = _mm512_unpackhi_epi16(x[2 * p], x[2 * p + 1]);
        _mm512_store_si512(to + p * 32, _mm512_permutex2var_epi64(a, near, b));
        if (both) _mm512_store_si512(to + row_steps * kTileNumbers + p * 32, _mm512_permutex2var_epi64(a, far, b));
      }
    }
    if (job.scores != nullptr) store_transposed(x, job.scores + ((t * job.row_tiles + tile) * job.depth + step) * kTileNumbers);
  };
  __m512i x[16];
  if (job.terms == 1) {
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) {
      __m512 low, high;
      read(r, low, high);
      x[r] = (__m512i)_mm512_cvtne2ps_pbh(high, low);
      ask(r);
    }
    put(x, 0);
    return;
  }
  __m512 low[16], high[16];
  for (int r = 0; r < 16; ++r) read(r, low[r], high[r]), ask(r);
  for (int t = 0; t < job.terms; ++t) {
    for (int r = 0; r < 16; ++r) x[r] = term(low[r], high[r], t + 1 < job.terms);
    put(x, t);
  }
}

void convert(const BfloatRows& job) {
  const auto tile = job.half ? (job.shift != nullptr ? convert_tile<true, true> : convert_tile<true, false>)
                             : (job.shift != nullptr ? convert_tile<false, true> : convert_tile<false, false>);
  const int64_t n_tiles = (job.n + kTileDepth - 1) / kTileDepth * 2;
  for (int64_t i = 0; i < n_tiles; ++i)
    for (int64_t step = 0; step < job.depth; ++step) tile(job, i, step);
}

int pack(const float* from, int64_t ld, int64_t m, int64_t n, int terms, int64_t panel, Bfloat* to) {
  const int64_t panels = (m + kTileSide - 1) / kTileSide, columns = (n + kTileDepth - 1) / kTileDepth;
  __m512i seen[kMostTerms] = {};
  for (int64_t r = 0; r < panels * kTileSide; ++r)
    for (int64_t s = 0; s < columns; ++s) {
      const int64_t c = s * kTileDepth;
      const float* p = from + r * ld + c;
      __m512 low{}, high{};
      if (r < m) low = _mm512_maskz_loadu_ps(first(n - c), p), high = _mm512_maskz_loadu_ps(first(n - c - 16), p + 16);
      for (int t = 0; t < terms; ++t) {
        const auto x = term(low, high, t + 1 < terms);
        seen[t] = _mm512_or_si512(seen[t], x);
        _mm512_store_si512(to + (t * panels + r / 16) * panel + s * kTileNumbers + r % 16 * 32, x);
      }
    }
  int used = 1;
  for (int t = 1; t < terms; ++t)
    if (_mm512_test_epi16_mask(seen[t], _mm512_set1_epi16(0x7fff)) != 0) used = t + 1;
  return used;
}

// 8 rows of a tile of A with V tiles of B: 8 V sums, V vectors of B, a pair of A.
template <int V>
void multiply_tiles(const BfloatProduct& job, int64_t i, int64_t j) {
  for (int64_t half = 0; half < 2; ++half) {
    __m512 sums[8][V];
    float* const C = job.C + i * job.c_down + j * job.c_across + half * 8 * job.c_row;
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[r][v] = job.add ? _mm512_loadu_ps(C + v * job.c_across + r * job.c_row) : __m512{};
    for (int p = 0; p < job.n_pairs; ++p) {
      const Bfloat* a = job.A + job.pairs[p][0] * job.a_term + i * job.a_panel + half * 256;
      const Bfloat* b = job.B + job.pairs[p][1] * job.b_term + j * job.b_panel;
      for (int64_t s = 0; s < job.steps; ++s, a += kTileNumbers, b += kTileNumbers)
        for (int k = 0; k < 16; ++k) {
          __m512i w[V];
#pragma GCC unroll 2
          for (int v = 0; v < V; ++v) w[v] = _mm512_load_si512(b + v * job.b_panel + k * 32);
#pragma GCC unroll 8
          for (int r = 0; r < 8; ++r) {
            int pair;
            __builtin_memcpy(&pair, a + r * kTileDepth + 2 * k, 4);
            const auto x = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
            for (int v = 0; v < V; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], x, (__m512bh)w[v]);
          }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) _mm512_storeu_ps(C + v * job.c_across + r * job.c_row, sums[r][v]);
  }
}

void multiply(const BfloatProduct& job) {
  for (int64_t i = 0; i < job.m; ++i)
    for (int64_t j = 0; j < job.n; j += 2) j + 1 < job.n ? multiply_tiles<2>(job, i, j) : multiply_tiles<1>(job, i, j);
}

}  // namespace

BfloatKernels bfloat_avx512() { return {"AVX-512", false, convert, pack, multiply}; }

}  // namespace linprobe
