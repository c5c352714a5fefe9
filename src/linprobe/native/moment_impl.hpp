// The second moment of the rows, sum_i w_i x'_i x'_iᵀ: of bytes in whole numbers, else as products of the BLAS. Included
// by kernels_impl.hpp.
#pragma once

constexpr int64_t kByteRows = 512;    // rows of bytes interleaved at once
constexpr int64_t kByteFlush = 32;    // blocks of them that int32 holds: 16,384 * 255² < 2^31
constexpr int64_t kByteVectors = 3;   // vectors of int32 that one row of a panel fills
constexpr int64_t kByteHeight = 4;    // columns multiplied with a panel at once, in registers
constexpr int64_t kByteWidth = kByteVectors * Vector<int32_t>::size;  // columns of a panel, a multiple of kByteHeight

// sum of two products each: a holds one pair of int16 in every lane, b a pair for each column.
inline V<int32_t> products_of_pairs(V<int32_t> a, V<int32_t> b) {
#if LINPROBE_VECTOR_BYTES == 64
  return (V<int32_t>)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif LINPROBE_VECTOR_BYTES == 32
  return (V<int32_t>)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
  return (a & 0xffff) * (b & 0xffff) + (a >> 16) * (b >> 16);  // bytes: no sign to mind
#endif
}

// to (kByteHeight, ld) += the products of `pairs` pairs of rows: columns at a with the whole panel b, both laid out as
// pairs[p][column of the panel].
inline void add_products_of_pairs(const int32_t* a, const int32_t* b, int64_t pairs, int32_t* to, int64_t ld) {
  V<int32_t> sums[kByteHeight][kByteVectors];
#pragma GCC unroll 4
  for (int64_t i = 0; i < kByteHeight; ++i)
#pragma GCC unroll 3
    for (int64_t v = 0; v < kByteVectors; ++v) sums[i][v] = load(to + i * ld + v * Vector<int32_t>::size);
  for (int64_t p = 0; p < pairs; ++p, a += kByteWidth, b += kByteWidth) {
    V<int32_t> row[kByteVectors];
#pragma GCC unroll 3
    for (int64_t v = 0; v < kByteVectors; ++v) row[v] = load(b + v * Vector<int32_t>::size);
#pragma GCC unroll 4
    for (int64_t i = 0; i < kByteHeight; ++i) {
      const V<int32_t> one = V<int32_t>{} + a[i];
#pragma GCC unroll 3
      for (int64_t v = 0; v < kByteVectors; ++v) sums[i][v] += products_of_pairs(one, row[v]);
    }
  }
#pragma GCC unroll 4
  for (int64_t i = 0; i < kByteHeight; ++i)
#pragma GCC unroll 3
    for (int64_t v = 0; v < kByteVectors; ++v) store<int32_t>(to + i * ld + v * Vector<int32_t>::size, sums[i][v]);
}

// Lower triangle of out (D, D) for rows of bytes without weights: sums of products of whole numbers, exact; then mapped.
bool run_moment_of_bytes(Moment& job) {
  const double *s = job.rows.scale, *t = job.rows.shift;
  const int64_t n = job.rows.n, D = job.rows.D, panels = (D + kByteWidth - 1) / kByteWidth, ld = panels * kByteWidth;
  constexpr int64_t most_pairs = kByteRows / 2;
  Buffer<int32_t> packed(panels * most_pairs * kByteWidth), part(ld * ld);
  Buffer<int64_t> sums(ld);
  auto mapped = [&](int64_t r, int64_t c, double product) {
    if (s == nullptr) return product;
    const double x = static_cast<double>(sums[r]), y = static_cast<double>(sums[c]);
    return s[r] * s[c] * product + s[r] * x * t[c] + t[r] * s[c] * y + n * t[r] * t[c];
  };
  const int64_t n_blocks = (n + kByteRows - 1) / kByteRows;
  bool stopped = false;
  for (int64_t block = 0; block < n_blocks && !stopped; ++block) {
    const int64_t first = block * kByteRows, rows = std::min(kByteRows, n - first), pairs = (rows + 1) / 2;
    const bool flush = block % kByteFlush == kByteFlush - 1 || block == n_blocks - 1;
    share_out(job.threads, panels, [&](int64_t panel) {
      const int64_t begin = panel * kByteWidth, width = std::min(kByteWidth, D - begin);
      int32_t* to = packed + panel * most_pairs * kByteWidth;
      for (int64_t p = 0; p < pairs; ++p, to += kByteWidth) {
        const bool both = 2 * p + 1 < rows;
        const auto* data = static_cast<const uint8_t*>(job.rows.data) + begin * job.rows.column_stride;
        const uint8_t* one = data + row_of(job.rows, first + 2 * p) * job.rows.row_stride;
        const uint8_t* two = data + row_of(job.rows, first + 2 * p + both) * job.rows.row_stride;
        for (int64_t c = 0; c < width; ++c) {
          const int32_t low = one[c * job.rows.column_stride], high = both ? two[c * job.rows.column_stride] : 0;
          to[c] = low | high << 16;
          sums[begin + c] += low + high;
        }
      }
    });
    share_out(job.threads, panels * (panels + 1) / 2, [&](int64_t t) {
      int64_t i = 0, j = t;
      while (j > i) j -= ++i;
      const int32_t *a = packed + i * most_pairs * kByteWidth, *b = packed + j * most_pairs * kByteWidth;
      int32_t* to = part + i * kByteWidth * ld + j * kByteWidth;
      for (int64_t c = 0; c < kByteWidth; c += kByteHeight) add_products_of_pairs(a + c, b, pairs, to + c * ld, ld);
      if (!flush) return;
      for (int64_t r = i * kByteWidth; r < std::min(D, (i + 1) * kByteWidth); ++r)
        for (int64_t c = j * kByteWidth; c < std::min(D, (j + 1) * kByteWidth); ++c) {
          if (job.single != nullptr) job.single[r * D + c] = static_cast<float>(mapped(r, c, part[r * ld + c]));
          else job.out[r * D + c] += part[r * ld + c];
          part[r * ld + c] = 0;
        }
    });
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
constexpr int64_t kMomentTile = 256;   // columns of a tile; a tile is one thread's, whatever their number
constexpr int64_t kMomentFlush = 8;    // blocks summed in float32 before they are added to the float64 totals

// Lower triangle of out (D, D), float64; products and sums of up to 4,096 rows in float32, then float64.
bool run_moment(Moment& job) {
  // Whole numbers are rounded once: what is left when they are split over two flushes would be rounded before its mean goes.
  const bool once = job.rows.n <= kByteRows * kByteFlush;
  if (job.rows.dtype == Dtype::u8 && job.root == nullptr && (job.single == nullptr || once)) return run_moment_of_bytes(job);
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
