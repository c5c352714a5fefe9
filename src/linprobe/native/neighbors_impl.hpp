// Exact nearest rows of each query. Included by kernels_impl.hpp.
//
// The exact distance of two rows is a plain sum: in integers for bytes, in float64 for others. The search is fast
// because few of them are computed. Every row has a code of int16: its coordinates along the directions with most of
// the variance, scaled and rounded, and the length of the residual. The distance of two codes is a lower bound on the
// distance of the rows; `margin` covers the rounding. A row is skipped if its bound exceeds the k-th smallest distance
// found so far. A prefix of the codes is compared first (a matrix product of int16), then the whole code. If no few
// directions hold most of the variance, the code has all coordinates and is its own prefix; its distances are right up
// to rounding. For l1 distances a row has kSums bytes instead, the means of groups of columns. The sum of their
// absolute differences is the bound.
//
// Which rows are compared depends on their order and on the bounds; the result does not.
#pragma once

constexpr int64_t kPanelVectors = 3;  // vectors of int32 that one row of a panel fills
constexpr int64_t kPanelHeight = 4;   // rows multiplied with a panel at once, in registers
constexpr int64_t kPanelWidth = kPanelVectors * Vector<int32_t>::size;
constexpr int64_t kChunk = 8 * kPanelWidth;  // rows of which the smallest bound is kept
constexpr int64_t kBoundShift = 15;          // bounds are kept as uint16: squared distances of codes are below 2^31
constexpr uint16_t kNoBound = 65535;         // above every bound: (16,000 + 30,000)² >> 15 is 64,575
constexpr int64_t kDistanceColumns = 1024;   // columns summed before the sum is compared with the limit
constexpr int64_t kProjectedRows = 64;       // rows projected at once
constexpr int64_t kProjectedPairs = 256;     // pairs of columns of a panel that stay in the first cache

// sums of two products each, of the low and the high int16 of every lane.
inline V<int32_t> products_of_signed_pairs(V<int32_t> a, V<int32_t> b) {
#if LINPROBE_VECTOR_BYTES == 64
  return (V<int32_t>)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif LINPROBE_VECTOR_BYTES == 32
  return (V<int32_t>)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__aarch64__)
  const auto x = (int16x8_t)a, y = (int16x8_t)b;
  return (V<int32_t>)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
#else
  return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

// sums += the products of `pairs` pairs: kPanelHeight rows of pairs, `lda` apart, with a panel laid out as
// [pair][row of the panel].
inline void add_panel(const int32_t* a, int64_t lda, const int32_t* panel, int64_t pairs,
                      V<int32_t> (&sums)[kPanelHeight][kPanelVectors]) {
  for (int64_t p = 0; p < pairs; ++p, panel += kPanelWidth) {
    V<int32_t> row[kPanelVectors];
#pragma GCC unroll 3
    for (int64_t v = 0; v < kPanelVectors; ++v) row[v] = load(panel + v * Vector<int32_t>::size);
#pragma GCC unroll 4
    for (int64_t i = 0; i < kPanelHeight; ++i) {
      const V<int32_t> one = V<int32_t>{} + a[i * lda + p];
#pragma GCC unroll 3
      for (int64_t v = 0; v < kPanelVectors; ++v) sums[i][v] += products_of_signed_pairs(one, row[v]);
    }
  }
}

// Two int16 of memory as the halves of an int32.
inline int32_t pair_at(const int16_t* p) {
  int32_t pair;
  std::memcpy(&pair, p, sizeof pair);
  return pair;
}

// ---- Projection of bytes --------------------------------------------------------------------------------------------

// out (n, m) = (x - centre) basisᵀ and squares (n) = |x - centre|², in integers: exact.
bool run_projection(Projection& job) {
  const int64_t n = job.rows.n, D = job.rows.D, pairs = (D + 1) / 2, panels = (job.m + kPanelWidth - 1) / kPanelWidth;
  Buffer<int32_t> packed(panels * pairs * kPanelWidth);
  Buffer<int16_t> centre(2 * pairs);
  std::copy_n(job.centre, D, centre.data);
  for (int64_t j = 0; j < job.m; ++j) {
    int32_t* to = packed + j / kPanelWidth * pairs * kPanelWidth + j % kPanelWidth;
    for (int64_t p = 0; p < pairs; ++p) {
      const int16_t two[2] = {job.basis[j * D + 2 * p], 2 * p + 1 < D ? job.basis[j * D + 2 * p + 1] : int16_t(0)};
      to[p * kPanelWidth] = pair_at(two);
    }
  }
  const int64_t blocks = (n + kProjectedRows - 1) / kProjectedRows, width = panels * kPanelWidth;
  std::atomic<int64_t> next{0};
  std::atomic<bool> stopped{false};
  pool().run(job.threads, [&](int member, int) {
    Buffer<int16_t> x(kProjectedRows * 2 * pairs);
    Buffer<int32_t> part(kProjectedRows * width);
    for (int64_t block; !stopped && (block = next.fetch_add(1)) < blocks;) {
      const int64_t first = block * kProjectedRows, rows = std::min(kProjectedRows, n - first);
      for (int64_t i = 0; i < rows; ++i) {
        const uint8_t* from = row_at<uint8_t>(job.rows, first + i);
        int16_t* to = x + i * 2 * pairs;
        if (job.rows.column_stride == 1)
          for (int64_t d = 0; d < D; ++d) to[d] = static_cast<int16_t>(from[d] - centre[d]);
        else
          for (int64_t d = 0; d < D; ++d) to[d] = static_cast<int16_t>(from[d * job.rows.column_stride] - centre[d]);
        int64_t square = 0;
        for (int64_t begin = 0; begin < D; begin += kDistanceColumns) {
          int32_t sum = 0;  // 1,024 * 255² is below 2^31
          for (int64_t d = begin; d < std::min(D, begin + kDistanceColumns); ++d) sum += to[d] * to[d];
          square += sum;
        }
        job.squares[first + i] = square;
      }
      std::memset(part.data, 0, kProjectedRows * width * sizeof(int32_t));
      for (int64_t begin = 0; begin < pairs; begin += kProjectedPairs) {
        const int64_t depth = std::min(kProjectedPairs, pairs - begin);
        for (int64_t panel = 0; panel < panels; ++panel)
          for (int64_t i = 0; i < rows; i += kPanelHeight) {
            V<int32_t> sums[kPanelHeight][kPanelVectors];
            int32_t* to = part + i * width + panel * kPanelWidth;
#pragma GCC unroll 4
            for (int64_t r = 0; r < kPanelHeight; ++r)
#pragma GCC unroll 3
              for (int64_t v = 0; v < kPanelVectors; ++v) sums[r][v] = load(to + r * width + v * Vector<int32_t>::size);
            add_panel(reinterpret_cast<const int32_t*>(x.data) + i * pairs + begin, pairs,
                      packed + (panel * pairs + begin) * kPanelWidth, depth, sums);
#pragma GCC unroll 4
            for (int64_t r = 0; r < kPanelHeight; ++r)
#pragma GCC unroll 3
              for (int64_t v = 0; v < kPanelVectors; ++v)
                store<int32_t>(to + r * width + v * Vector<int32_t>::size, sums[r][v]);
          }
      }
      for (int64_t i = 0; i < rows; ++i) std::copy_n(part + i * width, job.m, job.out + (first + i) * job.m);
      if (member == 0 && job.interrupted()) stopped = true;
    }
  });
  return !stopped;
}

// ---- Distances of two rows ------------------------------------------------------------------------------------------

// Each prepares the query (`prepare`) and computes the key of a row, by which rows are ordered. A key above `limit` may
// be a partial sum.

struct BytesL2 {
  using Number = uint8_t;
  using Query = uint8_t;
  static double reach(double key) { return std::sqrt(key); }
  static double key(const uint8_t* q, double, const uint8_t* x, int64_t n, double limit) {
    int64_t total = 0, d = 0;
    while (d < n) {
      const int64_t end = std::min(n, d + kDistanceColumns);
#if LINPROBE_VECTOR_BYTES == 64
      __m512i one = _mm512_setzero_si512(), two = one;
      const __m512i zero = one;
      for (; d + 64 <= end; d += 64) {
        const __m512i a = _mm512_loadu_si512(q + d), b = _mm512_loadu_si512(x + d);
        const __m512i gap = _mm512_sub_epi8(_mm512_max_epu8(a, b), _mm512_min_epu8(a, b));
        const __m512i low = _mm512_unpacklo_epi8(gap, zero), high = _mm512_unpackhi_epi8(gap, zero);
        one = _mm512_add_epi32(one, _mm512_madd_epi16(low, low));
        two = _mm512_add_epi32(two, _mm512_madd_epi16(high, high));
      }
      total += sum<int32_t>((V<int32_t>)_mm512_add_epi32(one, two));
#elif LINPROBE_VECTOR_BYTES == 32
      __m256i one = _mm256_setzero_si256(), two = one;
      const __m256i zero = one;
      for (; d + 32 <= end; d += 32) {
        const __m256i a = _mm256_loadu_si256((const __m256i*)(q + d)), b = _mm256_loadu_si256((const __m256i*)(x + d));
        const __m256i gap = _mm256_sub_epi8(_mm256_max_epu8(a, b), _mm256_min_epu8(a, b));
        const __m256i low = _mm256_unpacklo_epi8(gap, zero), high = _mm256_unpackhi_epi8(gap, zero);
        one = _mm256_add_epi32(one, _mm256_madd_epi16(low, low));
        two = _mm256_add_epi32(two, _mm256_madd_epi16(high, high));
      }
      total += sum<int32_t>((V<int32_t>)_mm256_add_epi32(one, two));
#elif defined(__ARM_FEATURE_DOTPROD)
      uint32x4_t one = vdupq_n_u32(0);  // 1,024 * 255² is below 2^32
      for (; d + 16 <= end; d += 16) {
        const uint8x16_t gap = vabdq_u8(vld1q_u8(q + d), vld1q_u8(x + d));
        one = vdotq_u32(one, gap, gap);
      }
      total += vaddvq_u32(one);
#endif
      int32_t rest = 0;
      for (; d < end; ++d) rest += (q[d] - x[d]) * (q[d] - x[d]);
      total += rest;
      if (static_cast<double>(total) > limit) break;
    }
    return static_cast<double>(total);
  }
};

struct BytesL1 {
  using Number = uint8_t;
  using Query = uint8_t;
  static double reach(double key) { return key; }
  static double key(const uint8_t* q, double, const uint8_t* x, int64_t n, double limit) {
    int64_t total = 0, d = 0;
    while (d < n) {
      const int64_t end = std::min(n, d + kDistanceColumns / 2);
#if LINPROBE_VECTOR_BYTES == 64
      __m512i one = _mm512_setzero_si512();
      for (; d + 64 <= end; d += 64)
        one = _mm512_add_epi64(one, _mm512_sad_epu8(_mm512_loadu_si512(q + d), _mm512_loadu_si512(x + d)));
      total += sum<int64_t>((V<int64_t>)one);
#elif LINPROBE_VECTOR_BYTES == 32
      __m256i one = _mm256_setzero_si256(), two = one;
      for (; d + 64 <= end; d += 64) {
        one = _mm256_add_epi64(one, _mm256_sad_epu8(_mm256_loadu_si256((const __m256i*)(q + d)),
                                                    _mm256_loadu_si256((const __m256i*)(x + d))));
        two = _mm256_add_epi64(two, _mm256_sad_epu8(_mm256_loadu_si256((const __m256i*)(q + d + 32)),
                                                    _mm256_loadu_si256((const __m256i*)(x + d + 32))));
      }
      total += sum<int64_t>((V<int64_t>)_mm256_add_epi64(one, two));
#elif defined(__ARM_FEATURE_DOTPROD)
      uint32x4_t one = vdupq_n_u32(0);
      for (; d + 16 <= end; d += 16) one = vdotq_u32(one, vabdq_u8(vld1q_u8(q + d), vld1q_u8(x + d)), vdupq_n_u8(1));
      total += vaddvq_u32(one);
#endif
      int32_t rest = 0;
      for (; d < end; ++d) rest += q[d] > x[d] ? q[d] - x[d] : x[d] - q[d];
      total += rest;
      if (static_cast<double>(total) > limit) break;
    }
    return static_cast<double>(total);
  }
};

// In float64 for any rows. The factor of `reach` covers the rounding of the sum, the summand its underflow.
template <class S>
struct VectorsL2 {
  using Number = S;
  using Query = double;
  static double reach(double key) { return std::sqrt(key) * (1 + 1e-9) + 1e-140; }
  static double key(const double* q, double, const S* x, int64_t n, double) {
    V<double> one{}, two{};
    constexpr int64_t step = Vector<double>::size;
    int64_t d = 0;
    for (; d + 2 * step <= n; d += 2 * step) {
      const V<double> a = load(q + d) - Widen<double, S>::run(x + d);
      const V<double> b = load(q + d + step) - Widen<double, S>::run(x + d + step);
      one += a * a, two += b * b;
    }
    double total = sum<double>(one + two);
    for (; d < n; ++d) total += (q[d] - convert<double>(x[d])) * (q[d] - convert<double>(x[d]));
    return total;
  }
};

// 1 - cos, 1 where a vector is 0; q has length 1 or 0 (`scale`: 1 / its length).
template <class S>
struct VectorsCosine {
  using Number = S;
  using Query = double;
  static double reach(double key) { return std::sqrt(2 * key + 1e-12); }  // |u - v|² = 2 (1 - cos) of unit vectors
  static double key(const double* q, double length, const S* x, int64_t n, double) {
    V<double> products{}, squares{};
    constexpr int64_t step = Vector<double>::size;
    int64_t d = 0;
    for (; d + step <= n; d += step) {
      const V<double> a = Widen<double, S>::run(x + d);
      products += load(q + d) * a, squares += a * a;
    }
    double product = sum<double>(products), square = sum<double>(squares);
    for (; d < n; ++d) {
      const double a = convert<double>(x[d]);
      product += q[d] * a, square += a * a;
    }
    const double lengths = length * std::sqrt(square);
    return lengths > 0 ? std::max(0.0, 1 - product / lengths) : 1.0;
  }
};

// ---- The k nearest --------------------------------------------------------------------------------------------------

struct Near {
  double key;
  int64_t position;
  bool operator<(const Near& other) const {
    return key < other.key || (key == other.key && position < other.position);
  }
};

// The k smallest of the offered keys; of equal keys those with the smaller position. The order of offers does not
// matter.
struct Nearest {
  Near* items;  // (k) a heap, the largest first
  int64_t k, count = 0;
  double limit() const { return count < k ? INFINITY : items[0].key; }
  void offer(double key, int64_t position) {
    const Near one{key, position};
    if (count < k) {
      items[count++] = one;
      std::push_heap(items, items + count);
    } else if (one < items[0]) {
      std::pop_heap(items, items + k);
      items[k - 1] = one;
      std::push_heap(items, items + k);
    }
  }
};

struct Bound {
  int64_t squared;  // distance of the codes; of sums the distance itself
  int64_t position;
  bool operator<(const Bound& other) const {
    return squared < other.squared || (squared == other.squared && position < other.position);
  }
};

// The row at a position, contiguous: in place, or copied to `scratch` if its columns are strided.
template <class S>
inline const S* row_at(const Rows& rows, int64_t position, S* scratch) {
  const S* row = row_at<S>(rows, position);
  if (rows.column_stride == 1) return row;
  for (int64_t d = 0; d < rows.D; ++d) scratch[d] = row[d * rows.column_stride];
  return scratch;
}

inline int64_t product_of_codes(const int16_t* a, const int16_t* b, int64_t n) {
  V<int32_t> total{};
  for (int64_t d = 0; d < n; d += 2 * Vector<int32_t>::size)
    total += products_of_signed_pairs(load(reinterpret_cast<const int32_t*>(a + d)),
                                      load(reinterpret_cast<const int32_t*>(b + d)));
  return sum<int32_t>(total);
}

inline int64_t square_of(const int16_t* code, int64_t n) {
  int32_t total = 0;
  for (int64_t d = 0; d < n; ++d) total += code[d] * code[d];
  return total;
}

// Codes of the rows, their prefixes as panels, and the squares of both.
struct Codes {
  int64_t n, panels, chunks, pairs;  // pairs: of a prefix
  Buffer<int32_t> packed;            // (panels, pairs, kPanelWidth)
  Buffer<uint32_t> prefix_squares;   // (panels * kPanelWidth)
  Buffer<int32_t> squares;           // (n)

  explicit Codes(const Neighbors& job)
      : n(job.codes != nullptr || job.sums != nullptr ? job.rows.n : 0),
        panels((n + kChunk - 1) / kChunk * (kChunk / kPanelWidth)),
        chunks(panels * kPanelWidth / kChunk),
        pairs(job.prefix / 2),
        packed(job.codes != nullptr ? panels * pairs * kPanelWidth : 0),
        prefix_squares(job.codes != nullptr ? panels * kPanelWidth : 0),
        squares(job.codes != nullptr ? n : 0) {
    if (job.codes == nullptr) return;
    share_out(job.threads, chunks, [&](int64_t chunk) {
      for (int64_t i = chunk * kChunk; i < std::min(n, (chunk + 1) * kChunk); ++i) {
        const int16_t* code = job.codes + i * job.code;
        int32_t* to = packed + i / kPanelWidth * pairs * kPanelWidth + i % kPanelWidth;
        for (int64_t p = 0; p < pairs; ++p) to[p * kPanelWidth] = pair_at(code + 2 * p);
        prefix_squares[i] = static_cast<uint32_t>(square_of(code, job.prefix));
        squares[i] = static_cast<int32_t>(square_of(code, job.code));
      }
    });
  }
};

// bounds (kPanelHeight queries, ld): squared distances of the prefixes, shifted.
inline void bound_by_prefixes(const Codes& codes, const int32_t* queries, const uint32_t* squares, int64_t panel,
                              uint16_t* bounds, int64_t ld) {
  typedef uint16_t Narrow __attribute__((vector_size(LINPROBE_VECTOR_BYTES / 2)));
  V<int32_t> sums[kPanelHeight][kPanelVectors] = {};
  add_panel(queries, codes.pairs, codes.packed + panel * codes.pairs * kPanelWidth, codes.pairs, sums);
#pragma GCC unroll 4
  for (int64_t i = 0; i < kPanelHeight; ++i)
#pragma GCC unroll 3
    for (int64_t v = 0; v < kPanelVectors; ++v) {
      const uint32_t* of_rows = codes.prefix_squares + panel * kPanelWidth + v * Vector<int32_t>::size;
      const V<uint32_t> both = load(of_rows) + squares[i];
      const V<uint32_t> squared = both - 2 * (V<uint32_t>)sums[i][v];
      const Narrow shifted = __builtin_convertvector(squared >> kBoundShift, Narrow);
      std::memcpy(bounds + i * ld + panel * kPanelWidth + v * Vector<int32_t>::size, &shifted, sizeof shifted);
    }
}

// bounds (4) of four rows of kSums bytes, one after the other: sums of absolute differences to those of a query. A sum
// of all fits 16 bits, and so do the parts of it that four rows have in the four quarters of each 64 bits.
inline void bound_by_sums(const uint8_t* query, const uint8_t* rows, uint16_t* bounds) {
#if LINPROBE_VECTOR_BYTES == 64
  __m512i part[4];
#pragma GCC unroll 4
  for (int64_t i = 0; i < 4; ++i) {
    part[i] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int64_t d = 0; d < kSums; d += 64)
      part[i] = _mm512_add_epi64(part[i], _mm512_sad_epu8(_mm512_loadu_si512(query + d),
                                                          _mm512_loadu_si512(rows + i * kSums + d)));
  }
  const __m512i all = _mm512_or_si512(_mm512_or_si512(part[0], _mm512_slli_epi64(part[1], 16)),
                                      _mm512_or_si512(_mm512_slli_epi64(part[2], 32), _mm512_slli_epi64(part[3], 48)));
  const __m256i half = _mm256_add_epi16(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
#elif LINPROBE_VECTOR_BYTES == 32
  __m256i part[4];
#pragma GCC unroll 4
  for (int64_t i = 0; i < 4; ++i) {
    part[i] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int64_t d = 0; d < kSums; d += 32)
      part[i] = _mm256_add_epi64(part[i], _mm256_sad_epu8(_mm256_loadu_si256((const __m256i*)(query + d)),
                                                          _mm256_loadu_si256((const __m256i*)(rows + i * kSums + d))));
  }
  const __m256i half = _mm256_or_si256(_mm256_or_si256(part[0], _mm256_slli_epi64(part[1], 16)),
                                       _mm256_or_si256(_mm256_slli_epi64(part[2], 32), _mm256_slli_epi64(part[3], 48)));
#endif
#if LINPROBE_VECTOR_BYTES > 16
  const __m128i quarter = _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i last = _mm_add_epi16(quarter, _mm_unpackhi_epi64(quarter, quarter));
  _mm_storel_epi64((__m128i*)bounds, last);
#elif defined(__ARM_FEATURE_DOTPROD)
  for (int64_t i = 0; i < 4; ++i) {
    uint32x4_t one = vdupq_n_u32(0);
    for (int64_t d = 0; d < kSums; d += 16)
      one = vdotq_u32(one, vabdq_u8(vld1q_u8(query + d), vld1q_u8(rows + i * kSums + d)), vdupq_n_u8(1));
    bounds[i] = static_cast<uint16_t>(vaddvq_u32(one));
  }
#else
  for (int64_t i = 0; i < 4; ++i) {
    int32_t total = 0;
    for (int64_t d = 0; d < kSums; ++d) total += std::abs(query[d] - rows[i * kSums + d]);
    bounds[i] = static_cast<uint16_t>(total);
  }
#endif
}

inline uint16_t smallest(const uint16_t* bounds) {
  V<uint16_t> least = load(bounds);
  for (int64_t i = Vector<uint16_t>::size; i < kChunk; i += Vector<uint16_t>::size) {
    const V<uint16_t> more = load(bounds + i);
    least = more < least ? more : least;
  }
  uint16_t result = least[0];
  for (int64_t i = 1; i < Vector<uint16_t>::size; ++i) result = std::min<uint16_t>(result, least[i]);
  return result;
}

// Whether a vector of bounds has one of at most `most`.
inline bool any_up_to(const uint16_t* bounds, uint16_t most) {
#if LINPROBE_VECTOR_BYTES == 64
  return _mm512_cmple_epu16_mask(_mm512_loadu_si512(bounds), _mm512_set1_epi16(static_cast<short>(most))) != 0;
#elif LINPROBE_VECTOR_BYTES == 32
  const __m256i b = _mm256_loadu_si256((const __m256i*)bounds);
  const __m256i least = _mm256_min_epu16(b, _mm256_set1_epi16(static_cast<short>(most)));
  return _mm256_movemask_epi8(_mm256_cmpeq_epi16(b, least)) != 0;
#elif defined(__aarch64__)
  return vminvq_u16(vld1q_u16(bounds)) <= most;
#else
  for (int64_t i = 0; i < Vector<uint16_t>::size; ++i)
    if (bounds[i] <= most) return true;
  return false;
#endif
}

template <class Metric>
class Search {
 public:
  explicit Search(Neighbors& job) : job_(job), codes_(job) {}

  bool run() {
    const int64_t n = job_.queries.n, blocks = (n + kQueries - 1) / kQueries;
    std::atomic<int64_t> next{0};
    std::atomic<bool> stopped{false};
    pool().run(job_.threads, [&](int member, int) {
      Scratch scratch(job_, codes_);
      for (int64_t block; !stopped && (block = next.fetch_add(1)) < blocks;) {
        const int64_t first = block * kQueries, queries = std::min(kQueries, n - first);
        auto ask = [&] {
          if (member == 0 && job_.interrupted()) stopped = true;
          return stopped.load();
        };
        prepare(first, queries, scratch);
        if (job_.codes != nullptr) by_codes(first, queries, scratch);
        if (job_.sums != nullptr) by_sums(first, queries, scratch);
        by_all(first, queries, scratch, ask);
        for (int64_t i = 0; i < queries; ++i) {
          Near* items = scratch.items + i * job_.k;
          std::sort_heap(items, items + scratch.nearest[i].count);
          for (int64_t r = 0; r < job_.k; ++r) {
            job_.keys[(first + i) * job_.k + r] = items[r].key;
            job_.positions[(first + i) * job_.k + r] = items[r].position;
          }
        }
        ask();
      }
    });
    return !stopped;
  }

 private:
  using Number = typename Metric::Number;
  using Query = typename Metric::Query;
  static constexpr int64_t kQueries = 32;       // a multiple of kPanelHeight
  static constexpr int64_t kMoreSeeds = 8;      // rows compared first, beyond k
  static constexpr int64_t kChunksAtOnce = 32;  // rows between two checks of the limit
  static constexpr int64_t kRows = 64;          // that stay in a cache while all queries of a block pass

  struct Scratch {
    int64_t ld;
    Buffer<Query> queries;       // (kQueries, D)
    Buffer<Number> row;
    Buffer<Near> items;          // (kQueries, k)
    Buffer<int32_t> prefixes;    // (kQueries, pairs): zeros below the last query
    Buffer<uint16_t> bounds;     // (kQueries, ld)
    Buffer<Bound> least, left;   // (chunks), (n)
    Nearest nearest[kQueries];
    double length[kQueries];
    bool all[kQueries];          // whether the query is compared with every row

    Scratch(const Neighbors& job, const Codes& codes)
        : ld(codes.panels * kPanelWidth),
          queries(kQueries * job.rows.D),
          row(job.rows.D),
          items(kQueries * job.k),
          prefixes(kQueries * codes.pairs),
          bounds(kQueries * ld),
          least(codes.chunks),
          left(codes.n) {}
  };

  void prepare(int64_t first, int64_t queries, Scratch& scratch) {
    const int64_t D = job_.rows.D;
    for (int64_t i = 0; i < queries; ++i) {
      scratch.nearest[i] = Nearest{scratch.items + i * job_.k, job_.k};
      scratch.all[i] = job_.codes != nullptr ? job_.beyond[first + i] != 0 : job_.sums == nullptr;
      const Number* from = row_at(job_.queries, first + i, scratch.row.data);
      double square = 0;
      for (int64_t d = 0; d < D; ++d) {
        if constexpr (std::is_same_v<Query, uint8_t>) scratch.queries[i * D + d] = from[d];
        else {
          const double x = convert<double>(from[d]);
          scratch.queries[i * D + d] = x;
          square += x * x;
        }
      }
      scratch.length[i] = std::sqrt(square);
    }
  }

  double key_of(Scratch& scratch, int64_t query, int64_t position, double limit) {
    const int64_t D = job_.rows.D;
    const Number* row = row_at(job_.rows, position, scratch.row.data);
    return Metric::key(scratch.queries + query * D, scratch.length[query], row, D, limit);
  }

  // Queries without bounds: every row, a few at a time for all of them.
  template <class Ask>
  void by_all(int64_t, int64_t queries, Scratch& scratch, Ask&& ask) {
    if (std::none_of(scratch.all, scratch.all + queries, [](bool one) { return one; })) return;
    const int64_t n = job_.rows.n;
    for (int64_t begin = 0; begin < n; begin += kRows) {
      for (int64_t i = 0; i < queries; ++i)
        for (int64_t j = begin; scratch.all[i] && j < std::min(n, begin + kRows); ++j) compare(scratch, i, j);
      if (begin / kRows % 64 == 63 && ask()) return;
    }
  }

  // The squared distance of codes up to which a row can have a key up to `key`.
  int64_t allowed(double key, double margin) const {
    const double distance = job_.scale * Metric::reach(key) + margin;
    return static_cast<int64_t>(std::min(distance * distance * (1 + 1e-9) + 1, 0x1p40));
  }

  void by_codes(int64_t first, int64_t queries, Scratch& scratch) {
    const int64_t n = codes_.n, ld = scratch.ld;
    uint32_t squares[kQueries] = {};
    std::memset(scratch.prefixes.data, 0, kQueries * codes_.pairs * sizeof(int32_t));
    for (int64_t i = 0; i < queries; ++i) {
      if (scratch.all[i]) continue;
      const int16_t* code = job_.query_codes + (first + i) * job_.code;
      std::memcpy(scratch.prefixes + i * codes_.pairs, code, job_.prefix * sizeof(int16_t));
      squares[i] = static_cast<uint32_t>(square_of(code, job_.prefix));
    }
    for (int64_t panel = 0; panel < codes_.panels; ++panel)
      for (int64_t i = 0; i < queries; i += kPanelHeight)
        bound_by_prefixes(codes_, scratch.prefixes + i * codes_.pairs, squares + i, panel, scratch.bounds + i * ld, ld);
    for (int64_t i = 0; i < queries; ++i) {
      if (scratch.all[i]) continue;
      uint16_t* bounds = scratch.bounds + i * ld;
      std::fill(bounds + n, bounds + ld, kNoBound);
      by_bounds_of(first + i, i, bounds, scratch);
    }
  }

  void by_sums(int64_t first, int64_t queries, Scratch& scratch) {
    const int64_t n = codes_.n, ld = scratch.ld;
    uint8_t last[4 * kSums] = {};
    std::memcpy(last, job_.sums + n / 4 * 4 * kSums, n % 4 * kSums);
    for (int64_t begin = 0; begin < n; begin += kRows)
      for (int64_t i = 0; i < queries; ++i)
        for (int64_t j = begin; j < std::min(n, begin + kRows); j += 4) {
          const uint8_t* four = j + 4 <= n ? job_.sums + j * kSums : last;
          bound_by_sums(job_.query_sums + (first + i) * kSums, four, scratch.bounds + i * ld + j);
        }
    for (int64_t i = 0; i < queries; ++i) {
      std::fill(scratch.bounds + i * ld + n, scratch.bounds + (i + 1) * ld, kNoBound);
      by_bounds_of(first + i, i, scratch.bounds + i * ld, scratch);
    }
  }

  // The bound up to which a row can have a key up to `key`.
  uint16_t most_bound(double key) const {
    const int64_t most = job_.sums != nullptr
                             ? static_cast<int64_t>(std::min(job_.scale * (1 + 1e-9) * key + job_.margin, 0x1p40))
                             : allowed(key, job_.margin_prefix) >> kBoundShift;
    return static_cast<uint16_t>(std::min<int64_t>(most, kNoBound - 1));
  }

  void by_bounds_of(int64_t query, int64_t i, uint16_t* bounds, Scratch& scratch) {
    Nearest& nearest = scratch.nearest[i];
    Bound* least = scratch.least;
    for (int64_t c = 0; c < codes_.chunks; ++c) least[c] = {smallest(bounds + c * kChunk), c};
    std::sort(least, least + codes_.chunks);
    // The rows with the smallest bounds of different chunks come first: they lower the limit for the others.
    const int64_t seeds = std::min(job_.k + kMoreSeeds, codes_.chunks);
    for (int64_t s = 0; s < seeds; ++s) {
      uint16_t* chunk = bounds + least[s].position * kChunk;
      int64_t at = 0;
      while (chunk[at] != least[s].squared) ++at;
      chunk[at] = kNoBound;  // done
      compare(scratch, i, least[s].position * kChunk + at);
    }
    const bool longer = job_.codes != nullptr && job_.prefix < job_.code;
    for (int64_t c = 0; c < codes_.chunks; c += kChunksAtOnce) {
      const uint16_t most = most_bound(nearest.limit());
      if (least[c].squared > most) break;
      int64_t found = 0;
      for (int64_t at = c; at < std::min(codes_.chunks, c + kChunksAtOnce) && least[at].squared <= most; ++at) {
        const int64_t begin = least[at].position * kChunk;
        for (int64_t j = begin; j < begin + kChunk; j += Vector<uint16_t>::size) {
          if (!any_up_to(bounds + j, most)) continue;
          for (int64_t lane = j; lane < j + Vector<uint16_t>::size; ++lane)
            if (bounds[lane] <= most) {
              scratch.left[found++] = {bounds[lane], lane};
              for (int64_t byte = 0; longer && byte < job_.code * 2; byte += 64)
                __builtin_prefetch(reinterpret_cast<const char*>(job_.codes + lane * job_.code) + byte);
            }
        }
      }
      if (longer) found = by_whole_codes(query, nearest.limit(), scratch.left, found);
      std::sort(scratch.left.data, scratch.left.data + found);
      for (int64_t f = 0; f < found; ++f) {
        const int64_t bound = scratch.left[f].squared;
        if (bound > (longer ? allowed(nearest.limit(), job_.margin) : most_bound(nearest.limit()))) break;
        compare(scratch, i, scratch.left[f].position);
      }
    }
  }

  // Keeps those of the `found` rows that their whole codes do not exclude, with the squared distances of the codes;
  // returns how many.
  int64_t by_whole_codes(int64_t query, double limit, Bound* rows, int64_t found) const {
    const int16_t* code = job_.query_codes + query * job_.code;
    const int64_t square = square_of(code, job_.code), most = allowed(limit, job_.margin);
    int64_t left = 0;
    for (int64_t f = 0; f < found; ++f) {
      const int64_t j = rows[f].position;
      const int16_t* other = job_.codes + j * job_.code;
      // the residual length of the prefix is not a coordinate of the whole code
      const int64_t rest = code[job_.prefix - 1] - other[job_.prefix - 1];
      const int64_t squared = square + codes_.squares[j] - 2 * product_of_codes(code, other, job_.code) - rest * rest;
      if (squared <= most) rows[left++] = {squared, j};
    }
    return left;
  }

  void compare(Scratch& scratch, int64_t query, int64_t position) {
    const double limit = scratch.nearest[query].limit(), key = key_of(scratch, query, position, limit);
    if (key <= limit) scratch.nearest[query].offer(key, position);
  }

  Neighbors& job_;
  Codes codes_;
};

bool run_neighbors(Neighbors& job) {
  bool finished = false;
  with_type(job.rows.dtype, [&](auto* type) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    if constexpr (std::is_same_v<S, uint8_t>)
      finished = job.metric == Metric::l1 ? Search<BytesL1>(job).run() : Search<BytesL2>(job).run();
    else
      finished = job.metric == Metric::cosine ? Search<VectorsCosine<S>>(job).run() : Search<VectorsL2<S>>(job).run();
  });
  return finished;
}
