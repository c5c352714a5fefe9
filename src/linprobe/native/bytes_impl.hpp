// The two products of a block of rows of bytes in whole numbers, where the processor multiplies bytes (AVX-512 VNNI): four
// products an int32 lane, four times as many an instruction as float32 has. Included by kernels_impl.hpp.
//
// Bytes are whole numbers already; templates, and the dS of a block, become whole multiples of a unit, a power of two for
// each class, less than 2^23 of them: three digits of a byte, base 256, with signs. Sums of products are exact. What is lost
// is the rounding to the unit, 2^-24 of the greatest number of a class, and that of the sum, once, to float32.
#pragma once

#if LINPROBE_VECTOR_BYTES == 64

constexpr int kDigits = 3;
constexpr int64_t kByteChunk = 8;        // rows that stay in the first-level cache while all templates pass
constexpr int64_t kByteSegment = 4096;   // columns of them; the sums of two digits, 4,096 / 16 * 255 * 128 * 257, fit int32
constexpr int64_t kByteBlock = 256;      // rows of a block: 256 * 255 * 128 * 257 fits int32, too
constexpr int64_t kByteTemplates = 48;   // whose digits stay in the second-level cache while the rows of a block pass
// How much coarser than float32 whole numbers may be: the roundings of n weights to the unit, of random signs, against one
// of the sum of their sizes.
constexpr double kCoarser = 4.0;

// The unit of numbers of which `most` is the greatest in size; 0 if that is nothing, NaN if it is no number.
inline float unit_of(float most) {
  if (most == 0.0f || !std::isfinite(most)) return most * 0.0f;
  int exponent;
  const float fraction = std::frexp(most, &exponent);
  return std::ldexp(1.0f, exponent - (fraction < 0.996f ? 23 : 22));  // 0.996 * 2^23 < 127 * (1 + 256 + 65536)
}

// The digit of lowest worth of q, in its last byte; q becomes what the others stand for.
inline V<int32_t> next_digit(V<int32_t>& q) {
  const V<int32_t> digit = q & 255;
  q = (q + 128) >> 8;
  return digit;
}

// 65536 * high + low.
inline V<float> value_of(V<int32_t> high, V<int32_t> low) {
  return (V<float>)_mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)high), _mm512_set1_ps(65536.0f), _mm512_cvtepi32_ps((__m512i)low));
}

inline V<int32_t> dot_bytes(V<int32_t> sums, V<int32_t> bytes, V<int32_t> digits) {
  return (V<int32_t>)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)bytes, (__m512i)digits);
}

// The first n of 64 bytes.
inline __mmask64 first_bytes(int64_t n) { return n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1; }
inline V<int32_t> load_bytes(const uint8_t* p) { return (V<int32_t>)_mm512_loadu_si512(p); }
inline V<int32_t> load_bytes(const uint8_t* p, __mmask64 some) { return (V<int32_t>)_mm512_maskz_loadu_epi8(some, p); }

// Templates W (M, ld) as digits[template][64 columns][digit][column], and their units.
struct WholeWeights {
  int64_t M, vectors;
  Buffer<int8_t> digits;
  Buffer<float> unit;
  bool fine = true;  // no coarser than kCoarser allows

  WholeWeights(const float* W, int64_t M_, int64_t D) : M(M_), vectors((D + 63) / 64), digits(M * vectors * 64 * kDigits), unit(M) {
    const int64_t ld = padded(D);
    for (int64_t m = 0; m < M; ++m) {
      const float* w = W + m * ld;
      float most = 0;
      double all = 0, some = 0;
      for (int64_t d = 0; d < D; ++d) {
        const float size = std::abs(w[d]);
        most = size > most || size != size ? size : most;
        all += size;
        some += size > 0 ? 1.0 : 0.0;
      }
      unit[m] = unit_of(most);
      fine = fine && most * std::sqrt(some) <= kCoarser * all;  // not of NaN
      if (!(unit[m] > 0)) continue;
      const double inverse = 1.0 / static_cast<double>(unit[m]);
      for (int64_t d = 0; d < D; ++d) {
        int32_t q = static_cast<int32_t>(std::lrint(static_cast<double>(w[d]) * inverse));
        int8_t* to = digits + ((m * vectors + d / 64) * kDigits) * 64 + d % 64;
        for (int i = 0; i < kDigits; ++i, to += 64) {
          *to = static_cast<int8_t>(q & 255);
          q = (q + 128) >> 8;
        }
      }
    }
  }
};

// The sums of the lanes of eight vectors.
inline __m256 sums_of_lanes(const V<float> (&v)[kByteChunk]) {
  __m512 four[4], two[2];
  for (int i = 0; i < 4; ++i) {
    const auto a = (__m512)v[2 * i], b = (__m512)v[2 * i + 1];
    four[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));  // lanes a b a b of every 128 bits
  }
  for (int i = 0; i < 2; ++i) {
    const auto a = _mm512_castps_pd(four[2 * i]), b = _mm512_castps_pd(four[2 * i + 1]);
    two[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  const auto low = _mm512_shuffle_f32x4(two[0], two[1], 0x88), high = _mm512_shuffle_f32x4(two[0], two[1], 0xdd);
  const auto one = _mm512_add_ps(low, high);  // 128 bits each: rows 0-3, 0-3, 4-7, 4-7
  const auto even = _mm512_shuffle_f32x4(one, one, 0x88), odd = _mm512_shuffle_f32x4(one, one, 0xdd);
  return _mm512_castps512_ps256(_mm512_add_ps(even, odd));
}

// out[r * M] (+)= the scores of eight rows, n columns of them, for one template. `early`: a row that is asked for meanwhile.
inline void scores_of_bytes(const uint8_t* const* x, const uint8_t* early, int64_t n, const int8_t* W, float unit, float* out, int64_t rows, int64_t M, bool first) {
  V<int32_t> sums[kByteChunk][kDigits] = {};
  const uint8_t* row[kByteChunk];
#pragma GCC unroll 8
  for (int r = 0; r < kByteChunk; ++r) row[r] = x[r];
  auto add = [&](auto&& bytes) {
    V<int32_t> w[kDigits];
#pragma GCC unroll 8
    for (int i = 0; i < kDigits; ++i) w[i] = held<int32_t>(load(reinterpret_cast<const int32_t*>(W + i * 64)));
#pragma GCC unroll 8
    for (int r = 0; r < kByteChunk; ++r) {
      const V<int32_t> v = bytes(row[r]);
#pragma GCC unroll 8
      for (int i = 0; i < kDigits; ++i) sums[r][i] = dot_bytes(sums[r][i], v, w[i]);
    }
    W += 64 * kDigits;
  };
  int64_t d = 0;
  for (; d + 64 <= n; d += 64) {
    __builtin_prefetch(early + d, 0, 2);
    add([d](const uint8_t* p) { return load_bytes(p + d); });
  }
  if (d < n) add([d, some = first_bytes(n - d)](const uint8_t* p) { return load_bytes(p + d, some); });
  V<float> value[kByteChunk];
#pragma GCC unroll 8
  for (int r = 0; r < kByteChunk; ++r) value[r] = value_of(sums[r][2], (sums[r][1] << 8) + sums[r][0]);
  alignas(32) float eight[kByteChunk];
  _mm256_store_ps(eight, _mm256_mul_ps(sums_of_lanes(value), _mm256_set1_ps(unit)));
  for (int64_t r = 0; r < rows; ++r) out[r * M] = first ? eight[r] : out[r * M] + eight[r];
}

// G (C, ldg) += unit * the sums of products of 64 columns, less their centre, with the numbers of C classes, in the first n
// columns, a multiple of 16. x has four rows interleaved, and four vectors of them a group; q[c] three digits a group, 16
// apart; high[c] and low[c] are the sums over all rows of the third digits, and of what the others stand for; centre is in
// the order of x.
template <int C>
inline void outer_of_bytes(const uint8_t* x, int64_t groups, const int32_t* const* q, const float* unit, const int32_t* high,
                           const int32_t* low, const int32_t* centre, int64_t n, float* G, int64_t ldg) {
  V<int32_t> sums[C][4][kDigits] = {};
  const int32_t* of[C];
#pragma GCC unroll 8
  for (int c = 0; c < C; ++c) of[c] = q[c];
  for (int64_t g = 0; g < groups; ++g, x += 256) {
    V<int32_t> v[4];
#pragma GCC unroll 8
    for (int u = 0; u < 4; ++u) v[u] = held<int32_t>(load(reinterpret_cast<const int32_t*>(x) + 16 * u));
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 8
      for (int i = 0; i < kDigits; ++i) {
        const V<int32_t> digit = held<int32_t>((V<int32_t>)_mm512_set1_epi32(of[c][(g * kDigits + i) * 16]));
#pragma GCC unroll 8
        for (int u = 0; u < 4; ++u) sums[c][u][i] = dot_bytes(sums[c][u][i], v[u], digit);
      }
  }
#pragma GCC unroll 8
  for (int c = 0; c < C; ++c) {
    __m512 t[4];
#pragma GCC unroll 8
    for (int u = 0; u < 4; ++u) {  // whole numbers still: what a constant column adds is 0
      const V<int32_t> less = load(centre + 16 * u);
      t[u] = (__m512)value_of(sums[c][u][2] - less * high[c], (sums[c][u][1] << 8) + sums[c][u][0] - less * low[c]);
    }
    // columns 16 l + 4 u .. + 3 are lane l of vector u: to vectors of 16 columns
    const auto a = _mm512_shuffle_f32x4(t[0], t[1], 0x88), b = _mm512_shuffle_f32x4(t[0], t[1], 0xdd);
    const auto e = _mm512_shuffle_f32x4(t[2], t[3], 0x88), f = _mm512_shuffle_f32x4(t[2], t[3], 0xdd);
    const __m512 column[4] = {_mm512_shuffle_f32x4(a, e, 0x88), _mm512_shuffle_f32x4(b, f, 0x88), _mm512_shuffle_f32x4(a, e, 0xdd),
                              _mm512_shuffle_f32x4(b, f, 0xdd)};
    for (int u = 0; u < 4 && 16 * u < n; ++u) {
      float* to = G + c * ldg + 16 * u;
      store<float>(to, load(to) + (V<float>)column[u] * spread(unit[c]));
    }
  }
}

// As FusedBlock, of bytes.
struct ByteBlock {
  const Rows& rows;
  const WholeWeights* const W;    // or null: no scores are needed
  const int64_t D, ld, blocks;    // blocks of 64 columns
  Buffer<int32_t> centre;
  Buffer<uint8_t> contiguous, strip, nothing;
  Buffer<const uint8_t*> row;
  Buffer<int32_t> q, high, low;
  Buffer<float> unit;

  // `columns` of dS, or 0.
  ByteBlock(const Rows& rows_, const WholeWeights* W_, const float* centre_, int64_t columns)
      : rows(rows_), W(W_), D(rows_.D), ld(padded(D)), blocks((D + 63) / 64),
        centre(blocks * 64), contiguous(rows.column_stride == 1 ? 0 : kByteBlock * D), strip(kByteBlock * 64), nothing(blocks * 64),
        row(kByteBlock + kByteChunk), q(padded(columns) * kByteBlock / 4 * kDigits), high(padded(columns)), low(padded(columns)),
        unit(padded(columns)) {
    for (int64_t d = 0; d < D && centre_ != nullptr; ++d)  // column 16 l + 4 u + i is lane 4 l + i of vector u
      centre[d / 64 * 64 + d % 16 / 4 * 16 + d % 64 / 16 * 4 + d % 4] = static_cast<int32_t>(centre_[d]);
  }

  const uint8_t* at(int64_t i) const { return static_cast<const uint8_t*>(rows.data) + row_of(rows, i) * rows.row_stride; }

  void open(int64_t first, int64_t n) {
    for (int64_t r = 0; r < n; ++r) {
      row[r] = at(first + r);
      if (rows.column_stride == 1) continue;
      uint8_t* to = contiguous + r * D;
      for (int64_t d = 0; d < D; ++d) to[d] = row[r][d * rows.column_stride];
      row[r] = to;
    }
    for (int64_t r = n; r < (n + kByteChunk - 1) / kByteChunk * kByteChunk; ++r) row[r] = nothing;
  }

  // out (n, M) = X Wᵀ for the rows that are open; `first` and `end` tell which rows come next, to ask for them early.
  LINPROBE_ONCE void scores(int64_t first, int64_t n, int64_t end, float* out) {
    const int64_t M = W->M;
    for (int64_t m = 0; m < M; m += kByteTemplates) {
      const int64_t most = std::min(kByteTemplates, M - m);
      for (int64_t r = 0; r < n; r += kByteChunk) {
        const uint8_t* next[kByteChunk];
        const int64_t ahead = m > 0 || rows.column_stride != 1 ? 0 : std::clamp<int64_t>(end - (first + r + kByteChunk), 0, kByteChunk);
        for (int64_t i = 0; i < ahead; ++i) next[i] = at(first + r + kByteChunk + i);
        for (int64_t d = 0; d < D; d += kByteSegment) {
          const uint8_t* x[kByteChunk];
          for (int64_t i = 0; i < kByteChunk; ++i) x[i] = row[r + i] + d;
          for (int64_t i = most; i < ahead; ++i)
            for (int64_t e = d; e < std::min(D, d + kByteSegment); e += 64) __builtin_prefetch(next[i] + e, 0, 2);
          for (int64_t k = m; k < m + most; ++k) {
            const uint8_t* const early = k - m < ahead ? next[k - m] + d : x[0];
            scores_of_bytes(x, early, std::min(kByteSegment, D - d), W->digits + (k * blocks * 64 + d) * kDigits, W->unit[k], out + r * M + k,
                            std::min(kByteChunk, n - r), M, d == 0);
          }
        }
      }
    }
  }

  // Columns 64 * block.. of the rows into `strip`, four rows at a time: the bytes of a column next to each other.
  void interleave(int64_t n, int64_t block) {
    auto with = [&](auto&& bytes) {
      auto* to = reinterpret_cast<__m512i*>(strip.data);
      const uint8_t* const* from = row;
      for (int64_t r = 0; r < n; r += 4, from += 4, to += 4) {
        __m512i x[4];
        for (int i = 0; i < 4; ++i) x[i] = (__m512i)bytes(from[i] + block * 64);
        const __m512i low[2] = {_mm512_unpacklo_epi8(x[0], x[1]), _mm512_unpacklo_epi8(x[2], x[3])};
        const __m512i high[2] = {_mm512_unpackhi_epi8(x[0], x[1]), _mm512_unpackhi_epi8(x[2], x[3])};
        _mm512_store_si512(to, _mm512_unpacklo_epi16(low[0], low[1]));
        _mm512_store_si512(to + 1, _mm512_unpackhi_epi16(low[0], low[1]));
        _mm512_store_si512(to + 2, _mm512_unpacklo_epi16(high[0], high[1]));
        _mm512_store_si512(to + 3, _mm512_unpackhi_epi16(high[0], high[1]));
      }
    };
    if (D - block * 64 >= 64) with([](const uint8_t* p) { return load_bytes(p); });
    else with([some = first_bytes(D - block * 64)](const uint8_t* p) { return load_bytes(p, some); });
  }

  // q, unit, high and low of dS (n, columns): 16 classes at a time, for each of them [group of four rows][digit][class].
  void whole(const float* dS, int64_t n, int64_t columns) {
    int32_t* to = q;
    for (int64_t k = 0; k < columns; k += 16) {
      const auto some = static_cast<__mmask16>(first_bytes(std::min<int64_t>(16, columns - k)));
      auto most = _mm512_setzero_ps(), misses = _mm512_setzero_ps();
      for (int64_t r = 0; r < n; ++r) {
        const auto x = _mm512_abs_ps(_mm512_maskz_loadu_ps(some, dS + r * columns + k));
        most = _mm512_max_ps(most, x);
        misses = _mm512_fmadd_ps(x, _mm512_setzero_ps(), misses);  // NaN of what is no number, which max may pass over
      }
      alignas(64) float inverse[16], greatest[16], miss[16];
      _mm512_store_ps(greatest, most), _mm512_store_ps(miss, misses);
      for (int i = 0; i < 16; ++i) {
        const float of = unit_of(greatest[i] + miss[i]);
        unit[k + i] = of;
        inverse[i] = of > 0 && std::isfinite(1 / of) ? 1 / of : 0.0f;
      }
      const auto scale = _mm512_load_ps(inverse);
      V<int32_t> highs{}, lows{};
      for (int64_t r = 0; r < n; r += 4, to += 16 * kDigits) {
        V<int32_t> digits[kDigits] = {};
        for (int64_t i = 0; i < std::min<int64_t>(4, n - r); ++i) {
          const auto x = _mm512_maskz_loadu_ps(some, dS + (r + i) * columns + k);
          auto left = (V<int32_t>)_mm512_cvtps_epi32(_mm512_mul_ps(x, scale));
          lows += left;
          for (int j = 0; j < kDigits - 1; ++j) digits[j] |= next_digit(left) << static_cast<int>(8 * i);
          digits[kDigits - 1] |= (left & 255) << static_cast<int>(8 * i);
          highs += left;
        }
        for (int j = 0; j < kDigits; ++j) store<int32_t>(to + 16 * j, digits[j]);
      }
      store<int32_t>(high + k, highs);
      store<int32_t>(low + k, lows - (highs << 16));  // right again where a part of it is not: it fits int32
    }
  }

  // G (columns, ld) += dSᵀ X for the rows that are open, dS (n, columns).
  LINPROBE_ONCE void gradient(int64_t n, const float* dS, int64_t columns, float* G) {
    whole(dS, n, columns);
    const int64_t groups = (n + 3) / 4;
    for (int64_t block = 0; block < blocks; ++block) {
      interleave(n, block);
      for_class_tiles<2>(columns, [&](auto C, int64_t k) {
        const int32_t* of[C()];
        for (int64_t c = 0; c < C(); ++c) of[c] = q + (k + c) / 16 * groups * 16 * kDigits + (k + c) % 16;
        outer_of_bytes<C()>(strip, groups, of, unit + k, high + k, low + k, centre + block * 64, ld - block * 64, G + k * ld + block * 64, ld);
      });
    }
  }
};

#endif
