// Scores and gradient of a block of uint8 rows in integers, with the byte products of AVX-512 VNNI: four products per
// int32 lane, four times as many per instruction as of float32. Included by kernels_impl.hpp.
//
// Pixels are integers. Templates (rows of W), and the dS of a block, are rounded to integer multiples of a unit, a
// power of two for each class. Such an integer is stored as signed digits of one byte, base 256: three for float32,
// seven for float64, fewer for coarser passes. Sums of products are exact. The errors are the rounding to the unit, at
// most 2^-23 or 2^-55 of the largest number of a class, and the rounding of the sum. So templates whose weights differ
// too much in size are left to FusedBlock (WholeWeights::fine). Slopes are not: if the weights of rows of a block
// differ by more than a factor of 2^23, float32 drops the lightest rows; float64 does not.
#pragma once

#if LINPROBE_VECTOR_BYTES == 64

// How W and the dS of a block become integers: the number of digits of each, and the sizes of the tiles.
struct SingleWhole {
  using Number = float;
  static constexpr int digits = 3, slope_digits = 3;
  static constexpr int rows = 8, templates = 1;   // of a tile of scores: 24 accumulators, the digits of a template, a row
  static constexpr int vectors = 4, classes = 2;  // of a tile of the gradient: 24 accumulators, the vectors, a digit
  static constexpr int64_t chunk = 8;             // rows that stay in the first-level cache for all templates
};
// Slopes of 16 bits: their errors have random signs over the rows.
struct CoarseWhole : SingleWhole {
  static constexpr int slope_digits = 2;
  static constexpr int classes = 3;
};
// And W of 16 or 8 bits, if that is exact (WholeWeights::exact): an error of W would be common to all rows.
struct CoarserWhole : CoarseWhole {
  static constexpr int digits = 2;
};
struct CoarsestWhole : CoarseWhole {
  static constexpr int digits = 1, templates = 3;
};
struct DoubleWhole {
  using Number = double;
  static constexpr int digits = 7, slope_digits = 7;
  static constexpr int rows = 3, templates = 1;
  static constexpr int vectors = 2, classes = 2;
  static constexpr int64_t chunk = 24;
};
// 40 bits, for proofs, which get a bound on the error.
struct ProofWhole : DoubleWhole {
  static constexpr int digits = 5, slope_digits = 5;
  static constexpr int rows = 4;
  static constexpr int64_t chunk = 8;
};

constexpr int64_t kByteSegment = 4096;   // columns at once: sums of products with a digit, 4,096 * 255 * 128, fit int32
constexpr int64_t kByteBlock = 256;      // rows of a block: 256 * 255 * 128 * 257, with two digits, fits int32, too
constexpr int64_t kAskedByGradient = 128;  // rows of the next block that are prefetched while a gradient is computed
constexpr int64_t kByteTemplates = 48;   // whose digits stay in the second-level cache for all rows of a block
// Integers are used if two conditions hold. First: rounding n weights to the unit has an error of about sqrt(n) times
// that of the largest. It must be at most this many times the rounding of the sum of their sizes.
constexpr double kCoarser = 4.0;
// Second: sqrt(n) times the largest weight is at most this. Then the error of a score is at most about 2e-5 (255 /
// sqrt(12) of a pixel times 2^-24), for any pixels. Losses compare differences of scores with 1.
constexpr double kGreatest = 4.5;

// The unit of numbers whose largest size is `most`; 0 if that is 0, NaN if that is not finite.
template <int digits, class T>
inline T unit_of(T most) {
  constexpr int bits = 8 * digits - 1;
  if (most == 0 || !std::isfinite(most)) return most * T(0);
  int exponent;
  const T fraction = std::frexp(most, &exponent);
  const T unit = std::ldexp(T(1), exponent - (fraction < T(0.996) ? bits : bits - 1));  // at most 127 * (1 + 256 + ...)
  return std::max(unit, std::numeric_limits<T>::min());  // with a finite inverse; smaller numbers have fewer digits
}
// Its inverse; 0 if there is none.
template <class T>
inline T per_unit(T unit) { return unit > 0 ? 1 / unit : T(0); }

// Integers in lanes as wide as those of T.
template <class T>
using Wholes = V<std::conditional_t<std::is_same_v<T, float>, int32_t, int64_t>>;
inline V<int32_t> rounded(V<float> x) { return (V<int32_t>)_mm512_cvtps_epi32((__m512)x); }
inline V<int64_t> rounded(V<double> x) { return (V<int64_t>)_mm512_cvtpd_epi64((__m512d)x); }
inline void store_as_int32(int32_t* to, V<int32_t> x) { store<int32_t>(to, x); }
inline void store_as_int32(int32_t* to, V<int64_t> x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32((__m512i)x)); }

// The first n numbers, and zeros.
inline V<float> load_some(const float* p, int64_t n) { return (V<float>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1 << n) - 1), p); }
inline V<double> load_some(const double* p, int64_t n) { return (V<double>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1 << n) - 1), p); }

// of = 65536 * of + x, lane by lane: two vectors of float64 are as many numbers as one of int32.
inline void add_next(V<int32_t> x, V<float>* of) { *of = *of * spread(65536.0f) + (V<float>)_mm512_cvtepi32_ps((__m512i)x); }
inline void add_next(V<int32_t> x, V<double>* of) {
  const auto low = (V<double>)_mm512_cvtepi32_pd(_mm512_castsi512_si256((__m512i)x));
  const auto high = (V<double>)_mm512_cvtepi32_pd(_mm512_extracti64x4_epi64((__m512i)x, 1));
  of[0] = of[0] * 65536.0 + low;
  of[1] = of[1] * 65536.0 + high;
}

inline V<int32_t> dot_bytes(V<int32_t> sums, V<int32_t> bytes, V<int32_t> digits) {
  return (V<int32_t>)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)bytes, (__m512i)digits);
}

// The first n of 64 bytes.
inline __mmask64 first_bytes(int64_t n) { return n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1; }
inline V<int32_t> load_bytes(const uint8_t* p) { return (V<int32_t>)_mm512_loadu_si512(p); }
inline V<int32_t> load_bytes(const uint8_t* p, __mmask64 some) { return (V<int32_t>)_mm512_maskz_loadu_epi8(some, p); }

// The common remainder of the addresses of all rows modulo 64, if there is one: loads that begin so many bytes earlier
// do not cross cache lines.
inline int64_t bytes_over(const Rows& rows) {
  if (rows.column_stride != 1 || rows.row_stride % 64 != 0) return 0;
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(rows.data) % 64);
}

// Templates W (M, ld) as digits[template][64 columns][digit][column], shifted by `over` columns, and their units.
template <class As>
struct WholeWeights {
  using T = typename As::Number;
  static constexpr int n_digits = As::digits;
  int64_t M, over, vectors;
  Buffer<int8_t> digits;
  Buffer<T> unit;
  bool fine = true;   // by kCoarser and kGreatest
  bool exact = true;  // whether no weight was rounded

  // If W must be exact and is not, the result is incomplete.
  WholeWeights(const T* W, int64_t M_, int64_t D, int64_t over_, bool must = false)
      : M(M_), over(over_), vectors((D + over + 63) / 64), digits(M * vectors * 64 * n_digits), unit(M) {
    const int64_t ld = padded(D);
    for (int64_t m = 0; m < M && (exact || !must); ++m) {
      const T* w = W + m * ld;
      T most = 0;
      double all = 0, some = 0;
      for (int64_t d = 0; d < D; ++d) {
        const T size = std::abs(w[d]);
        most = size > most || size != size ? size : most;
        all += size;
        some += size > 0 ? 1.0 : 0.0;
      }
      unit[m] = unit_of<n_digits>(most);
      const double noise = most * std::sqrt(some);
      fine = fine && noise <= kCoarser * all && noise <= kGreatest;  // false for NaN
      const T inverse = per_unit<T>(unit[m]);
      for (int64_t d = 0; d < D && inverse > 0; ++d) {
        int64_t q = std::llrint(w[d] * inverse);
        exact = exact && static_cast<T>(q) == w[d] * inverse;
        const int64_t at = over + d;
        int8_t* to = digits + ((m * vectors + at / 64) * n_digits) * 64 + at % 64;
        for (int i = 0; i < n_digits; ++i, to += 64) {
          *to = static_cast<int8_t>(q & 255);
          q = (q + 128) >> 8;
        }
      }
    }
  }
};

// The sums of the lanes of four vectors, and of eight, in float64: they are less than 2^31.
inline __m512i sums_of_quarters(const V<int32_t>* v) {  // in every 128 bits those of all four vectors
  const auto a = (__m512i)v[0], b = (__m512i)v[1], c = (__m512i)v[2], d = (__m512i)v[3];
  const auto ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const auto cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}
inline __m256d sums_of_lanes(const V<int32_t> (&v)[4]) {
  const auto all = sums_of_quarters(v);
  const auto half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm256_cvtepi32_pd(_mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
}
inline __m512d sums_of_lanes(const V<int32_t> (&v)[8]) {
  const auto low = sums_of_quarters(v), high = sums_of_quarters(v + 4);
  const auto one = _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88), _mm512_shuffle_i32x4(low, high, 0xdd));
  const auto all = _mm512_add_epi32(_mm512_shuffle_i32x4(one, one, 0x88), _mm512_shuffle_i32x4(one, one, 0xdd));
  return _mm512_cvtepi32_pd(_mm512_castsi512_si256(all));
}

// out[r * M + t] (+)= the scores of the rows of a tile, n columns of them but for the first `over`, for N templates.
// `early`: a row to prefetch.
template <class As, int N, class T = typename As::Number>
inline void scores_of_bytes(const uint8_t* const* x, const uint8_t* early, int64_t over, int64_t n, const int8_t* const (&W)[N],
                            const T* unit, T* out, int64_t rows, int64_t M, bool first) {
  constexpr int R = As::rows, P = As::digits;
  V<int32_t> sums[N][P][R <= 4 ? 4 : 8] = {};  // rows after the R-th stay 0
  const uint8_t* row[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) row[r] = x[r];
  int64_t at = 0;  // of W
  auto add = [&](auto&& bytes) {
    V<int32_t> w[N][P];
#pragma GCC unroll 3
    for (int t = 0; t < N; ++t)
#pragma GCC unroll 8
      for (int i = 0; i < P; ++i) w[t][i] = held<int32_t>(load(reinterpret_cast<const int32_t*>(W[t] + at + i * 64)));
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V<int32_t> v = bytes(row[r]);
#pragma GCC unroll 3
      for (int t = 0; t < N; ++t)
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i) sums[t][i][r] = dot_bytes(sums[t][i][r], v, w[t][i]);
    }
    at += 64 * P;
  };
  int64_t d = 0;
  if (over > 0) {
    __builtin_prefetch(early, 0, 2);
    add([some = first_bytes(n) & ~first_bytes(over)](const uint8_t* p) { return load_bytes(p, some); });
    d = 64;
  }
  for (; d + 64 <= n; d += 64) {
    __builtin_prefetch(early + d, 0, 2);
    add([d](const uint8_t* p) { return load_bytes(p + d); });
  }
  if (d < n) add([d, some = first_bytes(n - d)](const uint8_t* p) { return load_bytes(p + d, some); });
#pragma GCC unroll 3
  for (int t = 0; t < N; ++t) {
    auto total = sums_of_lanes(sums[t][P - 1]);
#pragma GCC unroll 8
    for (int i = P - 2; i >= 0; --i) total = total * 256.0 + sums_of_lanes(sums[t][i]);
    total *= static_cast<double>(unit[t]);
    alignas(64) double value[R <= 4 ? 4 : 8];
    std::memcpy(value, &total, sizeof value);
    for (int64_t r = 0; r < std::min<int64_t>(R, rows); ++r)
      out[r * M + t] = static_cast<T>(first ? value[r] : out[r * M + t] + value[r]);
  }
}

// G (C, ldg) += unit * the sums of products of 64 columns, minus their centre, with the numbers of C classes. Only the
// first n columns are written, n a multiple of 16. The rows of x are interleaved by four, and a group is four vectors
// of it. The digits of a group are in q[c]. For each pair of digits, less[c] has the value of these digits summed over
// all rows; with an odd number of digits the last pair has one. Both are 16 apart. The centre is in the order of x.
// With each group a cache line is prefetched: from `early` on, `early_step` bytes apart.
template <class As, int C, class T = typename As::Number>
inline void outer_of_bytes(const uint8_t* x, int64_t groups, const int32_t* const* q, const T* unit, const int32_t* const* less,
                           const int32_t* centre, int64_t n, T* G, int64_t ldg, const uint8_t* early, int64_t early_step) {
  constexpr int P = As::slope_digits, U = As::vectors;
  constexpr int64_t lanes = Vector<T>::size;
  alignas(64) T value[C][64];  // in the order of x
  for (int part = 0; part < 4; part += U) {
    V<int32_t> sums[C][U][P] = {};
    const int32_t* of[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) of[c] = q[c];
    const auto* from = reinterpret_cast<const int32_t*>(x) + 16 * part;
    for (int64_t g = 0; g < groups; ++g, from += 64) {
      V<int32_t> v[U];
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) v[u] = held<int32_t>(load(from + 16 * u));
      __builtin_prefetch(early, 0, 2);
      early += early_step;
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c)
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i) {
          const V<int32_t> digit = held<int32_t>((V<int32_t>)_mm512_set1_epi32(of[c][(g * P + i) * 16]));
#pragma GCC unroll 8
          for (int u = 0; u < U; ++u) sums[c][u][i] = dot_bytes(sums[c][u][i], v[u], digit);
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c)
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) {  // still integers: a constant column adds exactly 0
        const V<int32_t> mean = load(centre + 16 * (part + u));
        V<T> total[16 / lanes] = {};
#pragma GCC unroll 8
        for (int i = (P - 1) / 2 * 2; i >= 0; i -= 2) {
          const V<int32_t> pair = i == P - 1 ? sums[c][u][i] : (sums[c][u][i + 1] << 8) + sums[c][u][i];
          add_next(pair - mean * less[c][16 * (i / 2)], total);
        }
#pragma GCC unroll 8
        for (int j = 0; j < 16 / lanes; ++j) store<T>(value[c] + 16 * (part + u) + lanes * j, total[j]);
      }
  }
  // columns 16 l + 4 u .. + 3 are numbers 16 u + 4 l .. + 3
  typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
#pragma GCC unroll 8
  for (int c = 0; c < C; ++c)
    for (int l = 0; l < 4 && 16 * l < n; ++l)
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) {
        auto* to = reinterpret_cast<Four*>(G + c * ldg + 16 * l + 4 * u);
        *to += *reinterpret_cast<const Four*>(value[c] + 16 * u + 4 * l) * unit[c];
      }
}

// As FusedBlock, for uint8 rows.
template <class As>
struct ByteBlock {
  using T = typename As::Number;
  static constexpr int R = As::rows, P = As::slope_digits, pairs = (P + 1) / 2;
  static constexpr int64_t chunk = As::chunk, lanes = Vector<T>::size;
  const Rows& rows;
  const WholeWeights<As>* const W;  // or null: no scores are needed
  const int64_t D, ld, blocks;     // blocks of 64 columns
  Buffer<int32_t> centre;
  Buffer<uint8_t> contiguous, strip, nothing;
  Buffer<const uint8_t*> row;
  Buffer<int32_t> q, less;
  Buffer<T> unit;
  int64_t next = -1, asked_for = 0;  // the row after the last block, and how many were prefetched from there

  // `columns` of dS, or 0.
  ByteBlock(const Rows& rows_, const WholeWeights<As>* W_, const T* centre_, int64_t columns)
      : rows(rows_), W(W_), D(rows_.D), ld(padded(D)), blocks((D + 63) / 64), centre(blocks * 64),
        contiguous(rows.column_stride == 1 ? 0 : kByteBlock * D), strip(kByteBlock * 64), nothing(blocks * 64), row(kByteBlock + 8),
        q(padded(columns) * kByteBlock / 4 * P), less(padded(columns) * pairs), unit(padded(columns)) {
    for (int64_t d = 0; d < D && centre_ != nullptr; ++d)  // column 16 l + 4 u + i is lane 4 l + i of vector u
      centre[d / 64 * 64 + d % 16 / 4 * 16 + d % 64 / 16 * 4 + d % 4] = static_cast<int32_t>(centre_[d]);
  }

  void open(int64_t first, int64_t n) {
    open_rows<uint8_t>(rows, first, n, contiguous, row);
    for (int64_t r = n; r < n + 8; ++r) row[r] = nothing;
  }

  // out (n, M) = X Wᵀ for the current rows, which begin at `first`. The rows after them, up to `end`, are prefetched,
  // unless the last gradient did so.
  LINPROBE_ONCE void scores(int64_t first, int64_t n, int64_t end, T* out) {
    const int64_t M = W->M, over = W->over, width_of_rows = over + D;
    const int64_t known = first == next ? asked_for : 0;
    // rows of this block to prefetch when those before r are done
    auto goal = [&](int64_t r) { return known == 0 ? r + chunk : std::max(r + chunk, known + (n - known) * r / n); };
    for (int64_t m = 0; m < M; m += kByteTemplates) {
      const int64_t most = std::min(kByteTemplates, M - m);
      for (int64_t r = 0; r < n; r += chunk) {
        const int64_t some = std::min(chunk, n - r), after = first + goal(r);
        const int64_t ahead = m > 0 || rows.column_stride != 1 ? 0 : std::clamp<int64_t>(std::min(end, first + goal(r + some)) - after, 0, chunk);
        for (int64_t d = 0; d < width_of_rows; d += kByteSegment) {
          const int64_t width = std::min(kByteSegment, width_of_rows - d);
          int64_t asked = 0;
          for_class_tiles<As::templates>(most, [&](auto N, int64_t tile) {
            const int64_t k = m + tile;
            const int8_t* digits[N()];
            for (int64_t t = 0; t < N(); ++t) digits[t] = W->digits + ((k + t) * W->vectors * 64 + d) * As::digits;
            for (int64_t i = 0; i < some; i += R) {
              const uint8_t* x[R];
              for (int64_t j = 0; j < R; ++j) x[j] = row[r + i + j] - over + d;
              const uint8_t* const early = asked < ahead ? row_at<uint8_t>(rows, after + asked++) - over + d : x[0];
              scores_of_bytes<As, N()>(x, early, d == 0 ? over : 0, width, digits, W->unit + k, out + (r + i) * M + k, some - i, M, d == 0);
            }
          });
          for (; asked < ahead; ++asked) prefetch(row_at<uint8_t>(rows, after + asked) - over + d, width);
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

  // A bound on the rounding error of the slopes of class k, summed over the rows of the block.
  double lost(int64_t n, int64_t k) const { return 0.5 * static_cast<double>(n) * static_cast<double>(unit[k]); }

  // Of 16 classes at a time: digits[group of four rows][digit][class] and sums[two digits][class].
  int32_t* digits_of(int64_t k, int64_t groups) const { return q + k / 16 * groups * P * 16 + k % 16; }
  int32_t* totals_of(int64_t k) const { return less + k / 16 * pairs * 16 + k % 16; }

  // q, unit and less of dS (n, columns).
  void whole(const T* dS, int64_t n, int64_t columns) {
    for (int64_t k = 0; k < columns; k += lanes) {
      const int64_t width = std::min(lanes, columns - k), groups = (n + 3) / 4;
      auto read = [&](int64_t r) { return load_some(dS + r * columns + k, width); };
      V<T> most{}, misses{};
      for (int64_t r = 0; r < n; ++r) {
        const V<T> x = read(r), size = x < 0 ? -x : x;
        most = size > most ? size : most;
        misses += x * T(0);  // NaN if x is not finite
      }
      V<T> inverse{};
      for (int64_t i = 0; i < width; ++i) {
        unit[k + i] = unit_of<P>(most[i] + misses[i]);
        inverse[i] = per_unit<T>(unit[k + i]);
      }
      int32_t *to = digits_of(k, groups), *totals = totals_of(k);
      Wholes<T> sums[pairs] = {};
      for (int64_t r = 0; r < n; r += 4, to += 16 * P) {
        Wholes<T> digits[P] = {};
        for (int64_t i = 0; i < std::min<int64_t>(4, n - r); ++i) {
          Wholes<T> left = rounded(read(r + i) * inverse), before = left;
#pragma GCC unroll 8
          for (int j = 0; j < P; ++j) {
            digits[j] |= (left & 255) << 8 * i;
            if (j % 2 == 0) before = left;
            left = (left + 128) >> 8;
            if (j % 2 == 1) sums[j / 2] += before - (left << 16);
            else if (j == P - 1) sums[j / 2] += before;
          }
        }
        for (int j = 0; j < P; ++j) store_as_int32(to + 16 * j, digits[j]);
      }
      for (int j = 0; j < pairs; ++j) store_as_int32(totals + 16 * j, sums[j]);
    }
  }

  // G (columns, ld) += dSᵀ X for the current rows, dS (n, columns).
  LINPROBE_ONCE void gradient(int64_t first, int64_t n, int64_t end, const T* dS, int64_t columns, T* G) {
    whole(dS, n, columns);
    const int64_t groups = (n + 3) / 4;
    next = first + n;
    // each tile prefetches a row of the next block, or a part of one
    const int64_t over = bytes_over(rows), pieces = ((over + D + 63) / 64 + groups - 1) / groups;
    const int64_t most = (columns + As::classes - 1) / As::classes * blocks / pieces;
    asked_for = rows.column_stride != 1 ? 0 : std::min({end - next, most, W == nullptr ? kByteBlock : kAskedByGradient});
    int64_t piece = 0;
    for (int64_t block = 0; block < blocks; ++block) {
      interleave(n, block);
      for_class_tiles<As::classes>(columns, [&](auto C, int64_t k) {
        const int32_t *of[C()], *totals[C()];
        const bool asks = piece < asked_for * pieces;
        const uint8_t* const early = asks ? row_at<uint8_t>(rows, next + piece / pieces) - over + piece % pieces * groups * 64 : strip.data;
        ++piece;
        for (int64_t c = 0; c < C(); ++c) {
          of[c] = digits_of(k + c, groups);
          totals[c] = totals_of(k + c);
        }
        outer_of_bytes<As, C()>(strip, groups, of, unit + k, totals, centre + block * 64, ld - block * 64, G + k * ld + block * 64, ld, early, asks ? 64 : 0);
      });
    }
  }
};

#endif
