// The second moment of the rows, sum_i w_i x'_i x'_iᵀ, as products of the BLAS. Included by kernels_impl.hpp.
#pragma once

constexpr int64_t kMomentRows = 512;   // rows widened at once: what one product sums in float32
constexpr int64_t kMomentTile = 256;   // columns of a tile; a tile is one thread's, whatever their number
constexpr int64_t kMomentFlush = 8;    // blocks summed in float32 before they are added to the float64 totals

// Lower triangle of out (D, D), float64; products and sums of up to 4,096 rows in float32, then float64.
bool run_moment(Moment& job) {
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
    pool().run(job.threads, [&](int member, int members) {
      const int64_t begin = rows * member / members, end = rows * (member + 1) / members;
      copy_rows<float>(job.rows, mapped ? scale.data : nullptr, mapped ? shift.data : nullptr, first + begin, end - begin, 0,
                       D, X + begin * ld, ld);
      for (int64_t r = begin; job.root != nullptr && r < end; ++r)
        for (int64_t d = 0; d < D; ++d) X[r * ld + d] *= static_cast<float>(job.root[first + r]);
    });
    std::atomic<int64_t> next{0};
    pool().run(job.threads, [&](int, int) {
      for (int64_t t; (t = next.fetch_add(1)) < n_tiles * (n_tiles + 1) / 2;) {
        int64_t i = 0, j = t;
        while (j > i) j -= ++i;
        const int64_t a = i * kMomentTile, b = j * kMomentTile;
        const int64_t height = std::min(kMomentTile, D - a), width = std::min(kMomentTile, D - b);
        float* to = part + a * D + b;
        add_outer_product<float>(X + a, ld, X + b, ld, height, width, rows, to, D);
        if (flush)
          for (int64_t r = 0; r < height; ++r)
            for (int64_t c = 0; c < width; ++c) job.out[(a + r) * D + b + c] += to[r * D + c], to[r * D + c] = 0;
      }
    });
    stopped = job.interrupted();
  }
  return !stopped;
}
