// The second moment of the rows, sum_i w_i x'_i x'_iᵀ: in integers for bytes, else by the BLAS. For bytes also their
// Gram matrix. Included by kernels_impl.hpp.
#pragma once

#if defined(__ARM_FEATURE_DOTPROD)
constexpr int64_t kByteVectors = 4;   // vectors of int32 that one row of a panel fills: 16 bytes of four rows
#else
constexpr int64_t kByteVectors = 3;
#endif
constexpr int64_t kByteWidth = kByteVectors * Vector<int32_t>::size;  // columns of a panel, a multiple of kByteHeight
constexpr int64_t kByteTiles = 4;     // panels along the side of a square of tiles, which stay in the second-level cache
#if LINPROBE_VECTOR_BYTES == 64
constexpr int64_t kByteTogether = 4;  // rows whose bytes lie in one int32, and are multiplied at once
constexpr int64_t kByteHeight = 8;    // columns multiplied with a panel at once, in registers
constexpr int64_t kByteRows = 2048;   // rows of bytes interleaved at once, a divisor of kByteWhole
constexpr int64_t kByteDeep = 64;     // int32 of them whose panels stay in the first-level cache
constexpr int64_t kByteLess = 128;    // subtracted from one factor: the instruction needs a signed one
constexpr int64_t kByteWhole = 65536;  // rows whose products int32 holds: 65,536 * 255 * 128 < 2^31
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr int64_t kByteTogether = 4, kByteHeight = 4, kByteRows = 2048, kByteDeep = 128, kByteLess = 0;
constexpr int64_t kByteWhole = 32768;  // 32,768 * 255² < 2^31
#else
constexpr int64_t kByteTogether = 2, kByteHeight = 4, kByteRows = 512, kByteDeep = 256, kByteLess = 0;
constexpr int64_t kByteWhole = 16384;  // 16,384 * 255² < 2^31
#endif

// sums + kByteTogether products in every lane: of the bytes of `one`, which have a sign where kByteLess was taken from them,
// with those of the vector `row`, which have none.
inline V<int32_t> add_products(V<int32_t> sums, int32_t one, V<int32_t> row) {
#if LINPROBE_VECTOR_BYTES == 64
  return (V<int32_t>)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)row, _mm512_set1_epi32(one));
#elif LINPROBE_VECTOR_BYTES == 32
  return sums + (V<int32_t>)_mm256_madd_epi16(_mm256_set1_epi32(one), (__m256i)row);
#elif defined(__ARM_FEATURE_DOTPROD)
  return (V<int32_t>)vdotq_u32((uint32x4_t)sums, (uint8x16_t)row, vreinterpretq_u8_s32(vdupq_n_s32(one)));
#else
  const V<int32_t> a = V<int32_t>{} + one;
  return sums + (a & 0xffff) * (row & 0xffff) + (a >> 16) * (row >> 16);  // unsigned bytes
#endif
}

// to (kByteWidth, kByteWidth) += the products of the columns of a panel, less kByteLess, with those of the panel b, both
// as panel[int32 of kByteTogether rows][column].
LINPROBE_ONCE void add_tile(const int32_t* a, const int32_t* b, int64_t n, int32_t* to) {
  constexpr int64_t size = Vector<int32_t>::size;
  for (int64_t deep = 0; deep < n; deep += kByteDeep)
    for (int64_t c = 0; c < kByteWidth; c += kByteHeight) {
      V<int32_t> sums[kByteHeight][kByteVectors];
      int32_t* rows = to + c * kByteWidth;
#pragma GCC unroll 8
      for (int64_t i = 0; i < kByteHeight; ++i)
#pragma GCC unroll 4
        for (int64_t v = 0; v < kByteVectors; ++v) sums[i][v] = load(rows + i * kByteWidth + v * size);
      for (int64_t p = deep; p < std::min(n, deep + kByteDeep); ++p) {
        V<int32_t> row[kByteVectors];
#pragma GCC unroll 4
        for (int64_t v = 0; v < kByteVectors; ++v) row[v] = load(b + p * kByteWidth + v * size);
#pragma GCC unroll 8
        for (int64_t i = 0; i < kByteHeight; ++i) {
          const int32_t one = a[p * kByteWidth + c + i];
#pragma GCC unroll 4
          for (int64_t v = 0; v < kByteVectors; ++v) sums[i][v] = add_products(sums[i][v], one, row[v]);
        }
      }
#pragma GCC unroll 8
      for (int64_t i = 0; i < kByteHeight; ++i)
#pragma GCC unroll 4
        for (int64_t v = 0; v < kByteVectors; ++v) store<int32_t>(rows + i * kByteWidth + v * size, sums[i][v]);
    }
}

// to[c] = the bytes of column c of n <= kByteTogether rows in one int32, c < width <= kByteWidth.
inline void interleave(const uint8_t* const* row, int64_t n, int64_t stride, int64_t width, int32_t* to) {
#if LINPROBE_VECTOR_BYTES == 64
  if (stride == 1 && n == 4 && width == kByteWidth) {
    for (int64_t c = 0; c < width; c += 16) {
      __m128i x[4];
      for (int i = 0; i < 4; ++i) x[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row[i] + c));
      const __m128i low[2] = {_mm_unpacklo_epi8(x[0], x[1]), _mm_unpacklo_epi8(x[2], x[3])};
      const __m128i high[2] = {_mm_unpackhi_epi8(x[0], x[1]), _mm_unpackhi_epi8(x[2], x[3])};
      auto* out = reinterpret_cast<__m128i*>(to + c);
      _mm_store_si128(out, _mm_unpacklo_epi16(low[0], low[1]));
      _mm_store_si128(out + 1, _mm_unpackhi_epi16(low[0], low[1]));
      _mm_store_si128(out + 2, _mm_unpacklo_epi16(high[0], high[1]));
      _mm_store_si128(out + 3, _mm_unpackhi_epi16(high[0], high[1]));
    }
    return;
  }
#elif defined(__ARM_FEATURE_DOTPROD)
  if (stride == 1 && n == 4 && width == kByteWidth) {
    const uint8x16x4_t four = {{vld1q_u8(row[0]), vld1q_u8(row[1]), vld1q_u8(row[2]), vld1q_u8(row[3])}};
    vst4q_u8(reinterpret_cast<uint8_t*>(to), four);
    return;
  }
#endif
  for (int64_t c = 0; c < width; ++c) {
    uint32_t bytes = 0;
    for (int64_t i = 0; i < n; ++i) bytes |= uint32_t{row[i][c * stride]} << (32 / kByteTogether * i);
    to[c] = static_cast<int32_t>(bytes);
  }
}

// Calls f(i, j) for the pairs j <= i < n of tiles, kByteTiles² of them at a time, each on the first free thread.
template <class F>
void share_out_tiles(int threads, int64_t n, F&& f) {
  const int64_t squares = (n + kByteTiles - 1) / kByteTiles;
  share_out(threads, squares * (squares + 1) / 2, [&](int64_t t) {
    int64_t a = 0, b = t;
    while (b > a) b -= ++a;
    for (int64_t i = a * kByteTiles; i < std::min(n, (a + 1) * kByteTiles); ++i)
      for (int64_t j = b * kByteTiles; j < std::min(i + 1, (b + 1) * kByteTiles); ++j) f(i, j);
  });
}

// A (D, D) symmetric, from its lower triangle.
template <class T>
void mirror(T* A, int64_t D, int threads) {
  constexpr int64_t side = 32;  // of a square that is read along its rows and written along its columns
  const int64_t n = (D + side - 1) / side;
  share_out(threads, n, [&](int64_t some) {
    const int64_t i = n - 1 - some;  // the longest first
    for (int64_t j = 0; j <= i; ++j)
      for (int64_t r = j * side; r < std::min(D, (j + 1) * side); ++r)
        for (int64_t c = std::max(r + 1, i * side); c < std::min(D, (i + 1) * side); ++c) A[r * D + c] = A[c * D + r];
  });
}

// kByteTogether bytes of the row x, from byte `at` on, as one int32; 0 after byte `end`.
inline int32_t bytes_together(const Rows& rows, const uint8_t* x, int64_t at, int64_t end) {
  uint32_t bytes = 0;
  if (kByteTogether == 4 && rows.column_stride == 1 && at + 4 <= end) std::memcpy(&bytes, x + at, 4);
  else
    for (int64_t i = 0; i < std::min(kByteTogether, end - at); ++i)
      bytes |= uint32_t{x[(at + i) * rows.column_stride]} << (32 / kByteTogether * i);
  return static_cast<int32_t>(bytes);
}

// A panel of `width` columns, each a row of bytes, from their number `first` on: `deep` int32 of kByteTogether bytes, 0 after
// byte `end`.
inline void lay_rows(const Rows& rows, int64_t begin, int64_t width, int64_t first, int64_t end, int64_t deep, int32_t* to) {
  constexpr int64_t line = 64 / kByteTogether;
  for (int64_t p = 0; p < deep; p += line)  // from one line of each row at a time
    for (int64_t c = 0; c < width; ++c) {
      const uint8_t* const x = row_at<uint8_t>(rows, begin + c);
      for (int64_t q = p; q < std::min(deep, p + line); ++q)
        to[q * kByteWidth + c] = bytes_together(rows, x, first + q * kByteTogether, end);
    }
}

// The product of a row of bytes with the vector t.
inline double dot_bytes(const Rows& rows, int64_t row, const double* t) {
  constexpr int64_t lanes = 16;
  double sums[lanes] = {};
  const uint8_t* const x = row_at<uint8_t>(rows, row);
  for (int64_t d = 0; d < rows.D; d += lanes)
    for (int64_t i = 0; i < std::min(lanes, rows.D - d); ++i) sums[i] += x[(d + i) * rows.column_stride] * t[d + i];
  return std::accumulate(sums, sums + lanes, 0.0);
}

// Lower triangle of out (D, D) for rows of bytes without weights, or of the products of such rows with each other: sums
// of integer products, exact; then mapped.
bool run_moment_of_bytes(Moment& job) {
  const double *s = job.rows.scale, *t = job.rows.shift;
  const bool of_rows = job.of_rows;
  // n products are summed in each of the D² sums
  const int64_t n = of_rows ? job.rows.D : job.rows.n, D = of_rows ? job.rows.n : job.rows.D;
  const int64_t panels = (D + kByteWidth - 1) / kByteWidth;
  constexpr int64_t most = kByteRows / kByteTogether, tile = kByteWidth * kByteWidth;
  Buffer<int32_t> right(panels * most * kByteWidth), part(panels * (panels + 1) / 2 * tile), less(kByteLess > 0 ? panels * most * kByteWidth : 0);
  int32_t* const left = kByteLess > 0 ? less : right;
  Buffer<int64_t> sums(panels * kByteWidth), open(panels * kByteWidth);  // of all rows so far, and of those not yet flushed
  Buffer<double> shifted(of_rows ? panels * kByteWidth : 0);             // products of the rows with the shift
  const double squared = of_rows && t != nullptr ? std::inner_product(t, t + n, t, 0.0) : 0.0;
  auto mapped = [&](int64_t r, int64_t c, double product) {
    if (of_rows) {
      if (s != nullptr) product = s[0] * (s[0] * product + shifted[r] + shifted[c]) + squared;
      return job.root[r] * job.root[c] * product;
    }
    if (s == nullptr) return product;
    const double x = static_cast<double>(sums[r]), y = static_cast<double>(sums[c]);
    return s[r] * s[c] * product + s[r] * x * t[c] + t[r] * s[c] * y + n * t[r] * t[c];
  };
  const int64_t n_blocks = (n + kByteRows - 1) / kByteRows, blocks_held = kByteWhole / kByteRows;
  bool stopped = false;
  for (int64_t block = 0; block < n_blocks && !stopped; ++block) {
    const int64_t first = block * kByteRows, rows = std::min(kByteRows, n - first), deep = (rows + kByteTogether - 1) / kByteTogether;
    const bool flush = block % blocks_held == blocks_held - 1 || block == n_blocks - 1;
    share_out(job.threads, panels, [&](int64_t panel) {
      const int64_t begin = panel * kByteWidth, width = std::min(kByteWidth, D - begin);
      int32_t* const whole = right + panel * most * kByteWidth;
      if (of_rows) lay_rows(job.rows, begin, width, first, first + rows, deep, whole);
      for (int64_t c = begin; of_rows && block == 0 && t != nullptr && c < begin + width; ++c) shifted[c] = dot_bytes(job.rows, c, t);
      V<int32_t> total[kByteVectors] = {};
      for (int64_t p = 0; p < deep; ++p) {
        int32_t* to = whole + p * kByteWidth;
        const int64_t at = p * kByteTogether, some = std::min(kByteTogether, rows - at);
        const uint8_t* row[kByteTogether];
        if (!of_rows) {
          for (int64_t i = 0; i < some; ++i) row[i] = row_at<uint8_t>(job.rows, first + at + i) + begin * job.rows.column_stride;
          interleave(row, some, job.rows.column_stride, width, to);
        }
        for (int64_t v = 0; v < kByteVectors; ++v) {
          const V<int32_t> x = load(to + v * Vector<int32_t>::size);
          total[v] = add_products(total[v], kByteTogether == 4 ? 0x01010101 : 0x00010001, x);
          if (kByteLess > 0) store<int32_t>(left + (to - right) + v * Vector<int32_t>::size, x ^ static_cast<int32_t>(0x80808080));
        }
      }
      for (int64_t v = 0; v < kByteVectors; ++v)
        for (int64_t i = 0; i < Vector<int32_t>::size; ++i) {
          const int64_t c = begin + v * Vector<int32_t>::size + i;
          sums[c] += total[v][i];
          open[c] += total[v][i];
        }
    });
    share_out_tiles(job.threads, panels, [&](int64_t i, int64_t j) {
      int32_t* to = part + (i * (i + 1) / 2 + j) * tile;
      add_tile(left + i * most * kByteWidth, right + j * most * kByteWidth, deep, to);
      if (!flush) return;
      for (int64_t r = i * kByteWidth; r < std::min(D, (i + 1) * kByteWidth); ++r, to += kByteWidth)
        for (int64_t c = j * kByteWidth; c < std::min(D, (j + 1) * kByteWidth); ++c) {
          const double product = static_cast<double>(to[c - j * kByteWidth] + kByteLess * open[c]);
          if (job.single != nullptr) job.single[r * D + c] = static_cast<float>(mapped(r, c, product));
          else job.out[r * D + c] += product;
        }
      std::memset(part + (i * (i + 1) / 2 + j) * tile, 0, tile * sizeof(int32_t));
    });
    if (flush) std::memset(open, 0, panels * kByteWidth * sizeof(int64_t));
    stopped = job.interrupted();
  }
  if (s != nullptr && job.single == nullptr && !stopped)
    share_out(job.threads, D, [&](int64_t r) {
      for (int64_t c = 0; c <= r; ++c) job.out[r * D + c] = mapped(r, c, job.out[r * D + c]);
    });
  return !stopped;
}

constexpr int64_t kMomentRows = 512;   // rows widened at once: what one product sums in float32
constexpr int64_t kMomentCopied = 16;  // of which a thread widens so many at a time
constexpr int64_t kMomentTile = 256;   // columns of a tile; one thread computes a tile, for any number of threads
constexpr int64_t kMomentFlush = 8;    // blocks summed in float32 before they are added to the float64 totals

// Lower triangle of out (D, D), float64; products and sums of up to 4,096 rows in float32, then float64.
bool run_moment_of_any(Moment& job) {
  const int64_t n = job.rows.n, D = job.rows.D, ld = padded(D);
  const bool mapped = job.rows.scale != nullptr;
  Buffer<float> X(kMomentRows * ld), part(D * D), scale(mapped ? ld : 0), shift(mapped ? ld : 0);
  for (int64_t d = 0; mapped && d < D; ++d)
    scale[d] = static_cast<float>(job.rows.scale[d]), shift[d] = static_cast<float>(job.rows.shift[d]);
  const int64_t n_tiles = (D + kMomentTile - 1) / kMomentTile, n_blocks = (n + kMomentRows - 1) / kMomentRows;
  bool stopped = false;
  for (int64_t block = 0; block < n_blocks && !stopped; ++block) {
    const int64_t first = block * kMomentRows, rows = std::min(kMomentRows, n - first);
    const bool flush = block % kMomentFlush == kMomentFlush - 1 || block == n_blocks - 1;
    share_out(job.threads, (rows + kMomentCopied - 1) / kMomentCopied, [&](int64_t some) {
      const int64_t begin = some * kMomentCopied, end = std::min(begin + kMomentCopied, rows);
      copy_rows<float>(job.rows, mapped ? scale.data : nullptr, mapped ? shift.data : nullptr, first + begin, end - begin, 0,
                       D, X + begin * ld, ld);
      for (int64_t r = begin; job.root != nullptr && r < end; ++r)
        for (int64_t d = 0; d < D; ++d) X[r * ld + d] *= static_cast<float>(job.root[first + r]);
    });
    share_out(job.threads, n_tiles * (n_tiles + 1) / 2, [&](int64_t t) {
      int64_t i = 0, j = t;
      while (j > i) j -= ++i;
      const int64_t a = i * kMomentTile, b = j * kMomentTile;
      const int64_t height = std::min(kMomentTile, D - a), width = std::min(kMomentTile, D - b);
      float* to = part + a * D + b;
      add_outer_product<float>(X + a, ld, X + b, ld, height, width, rows, to, D);
      if (flush)
        for (int64_t r = 0; r < height; ++r)
          for (int64_t c = 0; c < width; ++c) {
            if (job.single != nullptr) job.single[(a + r) * D + b + c] += to[r * D + c];
            else job.out[(a + r) * D + b + c] += to[r * D + c];
            to[r * D + c] = 0;
          }
    });
    stopped = job.interrupted();
  }
  return !stopped;
}

bool run_moment(Moment& job) {
  // With two flushes a sum would be rounded to float32 before the mean is subtracted, and the difference would lose its
  // digits.
  const bool once = job.rows.n <= kByteWhole;
  const bool bytes = job.of_rows || (job.rows.dtype == Dtype::u8 && job.root == nullptr && (job.single == nullptr || once));
  if (!(bytes ? run_moment_of_bytes(job) : run_moment_of_any(job))) return false;
  if (job.single != nullptr) mirror(job.single, job.of_rows ? job.rows.n : job.rows.D, job.threads);
  else mirror(job.out, job.rows.D, job.threads);
  return true;
}
