// A tile of 16 x 16 pairs of bfloat16, transposed. Included inside a namespace without a name, after <immintrin.h> and
// bfloat.hpp, by files that are compiled for AVX-512.
#pragma once

// 16 vectors of 16 pairs, transposed and stored.
inline void store_transposed(__m512i (&x)[16], Bfloat* to) {
  __m512i y[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    x[4 * i] = _mm512_unpacklo_epi64(y[4 * i], y[4 * i + 2]);
    x[4 * i + 1] = _mm512_unpackhi_epi64(y[4 * i], y[4 * i + 2]);
    x[4 * i + 2] = _mm512_unpacklo_epi64(y[4 * i + 1], y[4 * i + 3]);
    x[4 * i + 3] = _mm512_unpackhi_epi64(y[4 * i + 1], y[4 * i + 3]);
  }
  // x[4 i + k] has pair 4 l + k of rows 4 i .. 4 i + 3 in its quarter l
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const auto low02 = _mm512_shuffle_i32x4(x[k], x[4 + k], 0x88), low13 = _mm512_shuffle_i32x4(x[k], x[4 + k], 0xdd);
    const auto high02 = _mm512_shuffle_i32x4(x[8 + k], x[12 + k], 0x88), high13 = _mm512_shuffle_i32x4(x[8 + k], x[12 + k], 0xdd);
    _mm512_store_si512(to + k * 32, _mm512_shuffle_i32x4(low02, high02, 0x88));
    _mm512_store_si512(to + (4 + k) * 32, _mm512_shuffle_i32x4(low13, high13, 0x88));
    _mm512_store_si512(to + (8 + k) * 32, _mm512_shuffle_i32x4(low02, high02, 0xdd));
    _mm512_store_si512(to + (12 + k) * 32, _mm512_shuffle_i32x4(low13, high13, 0xdd));
  }
}
