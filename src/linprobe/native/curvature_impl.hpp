// Products with the Hessian of the data loss, if only a few classes of each row have curvature. Included by
// kernels_impl.hpp.
//
// Rows come in blocks, and a pair is a class in which a row of the block has curvature. The pairs of a block are in ascending
// order of class, so that a slice of a template, and of its sum, stays in registers while all rows of the class pass:
//
//     t_p = v_k·x_r + c_k for every pair p = (k, r),   u = A_r t for the pairs of each row,   G_k += sum over p of u_p x_r
//
// The products and the sums of a group of blocks are float32, totals float64. Groups are added in their order: the bits do not
// depend on the number of threads.
#pragma once

constexpr int64_t kHeldColumns = 64;           // columns that stay in registers: a slice of 64 rows is 16 KB, of the first-level cache
constexpr int64_t kCurvatureGroups = 16;  // groups of blocks: the units that threads take

inline int64_t sliced(int64_t n) { return (n + kHeldColumns - 1) / kHeldColumns * kHeldColumns; }

// to[(c, r)] of slices: columns c * kHeldColumns .. of row r of `rows`, from (rows, D).
template <class From>
inline void to_slices(int64_t rows, int64_t D, From&& from, float* to) {
  for (int64_t d = 0; d < D; ++d)
    for (int64_t r = 0; r < rows; ++r) to[(d / kHeldColumns * rows + r) * kHeldColumns + d % kHeldColumns] = from(r, d);
}

struct CurvatureBlock {
  static constexpr int64_t size = Vector<float>::size;
  static constexpr int64_t U = kHeldColumns / size;
  const Curvature& job;
  const int64_t D, K, height;  // columns in slices; classes; rows of a block, a power of two
  const int bits;              // of a row's number
  const float *V, *shifts;     // (slices, K, kHeldColumns) and (K)
  Buffer<float> row, X, products, t, u, sums, totals;
  Buffer<uint8_t> used;

  CurvatureBlock(const Curvature& job_, const float* V_, const float* shifts_, int64_t most)
      : job(job_), D(sliced(job_.rows.D)), K(job_.K), height(job_.block), bits(std::countr_zero(static_cast<uint64_t>(job_.block))), V(V_), shifts(shifts_), row(D), X(D * height),
        products(most * size), t(most), u(most), sums(height), totals(height), used(height) {}

  // Rows first..first + n - 1 that have pairs, minus the centre, in slices.
  void open(int64_t first, int64_t n, const int32_t* where, int64_t pairs, const float* shift) {
    std::fill_n(used.data, height, uint8_t{0});
    for (int64_t p = 0; p < pairs; ++p) used[(where[p] & (height - 1))] = 1;
    for (int64_t r = 0; r < n; ++r) {
      if (used[r] == 0) continue;
      copy_rows<float>(job.rows, nullptr, shift, first + r, 1, 0, job.rows.D, row, D);
      for (int64_t d = 0; d < D; d += size) store<float>(X + (d / kHeldColumns * height + r) * kHeldColumns + d % kHeldColumns, load(row + d));
    }
  }

  // t of the pairs of a block.
  LINPROBE_ONCE void scores(const int32_t* where, int64_t n) {
    for (int64_t slice = 0; slice < D / kHeldColumns; ++slice) {
      const float *x = X + slice * height * kHeldColumns, *v = V + slice * K * kHeldColumns;
      for (int64_t p = 0; p < n;) {
        const int64_t k = (where[p] >> bits), end = (k + 1) * height;
        V_ w[U];
#pragma GCC unroll 16
        for (int64_t i = 0; i < U; ++i) w[i] = load(v + k * kHeldColumns + i * size);
        for (; p < n && where[p] < end; ++p) {
          const float* const from = x + (where[p] - k * height) * kHeldColumns;
          V_ sum = slice == 0 ? V_{} : load(products + p * size);
#pragma GCC unroll 16
          for (int64_t i = 0; i < U; ++i) sum += load(from + i * size) * w[i];
          store<float>(products + p * size, sum);
        }
      }
    }
    for (int64_t p = 0; p < n; ++p) t[p] = sum<float>(load(products + p * size)) + shifts[(where[p] >> bits)];
  }

  // u = A t: diag(q) - q qᵀ / sum q, or the star sum of q_j (e_j - e_y)(e_j - e_y)ᵀ, whose y is the pair with q = 0.
  LINPROBE_ONCE void couple(const int32_t* where, const float* q, int64_t n) {
    std::memset(sums, 0, height * sizeof(float));
    std::memset(totals, 0, height * sizeof(float));
    if (job.star) {
      for (int64_t p = 0; p < n; ++p)
        if (q[p] == 0) totals[(where[p] & (height - 1))] = t[p];
      for (int64_t p = 0; p < n; ++p) {
        const int64_t r = (where[p] & (height - 1));
        u[p] = q[p] * (t[p] - totals[r]);
        sums[r] += u[p];
      }
      for (int64_t p = 0; p < n; ++p)
        if (q[p] == 0) u[p] = -sums[(where[p] & (height - 1))];
      return;
    }
    for (int64_t p = 0; p < n; ++p) {
      const int64_t r = (where[p] & (height - 1));
      sums[r] += q[p] * t[p];
      totals[r] += q[p];
    }
    for (int64_t r = 0; r < height; ++r) sums[r] = totals[r] > 0 ? sums[r] / totals[r] : 0.0f;
    for (int64_t p = 0; p < n; ++p) u[p] = q[p] * (t[p] - sums[(where[p] & (height - 1))]);
  }

  // G (slices, K, kHeldColumns) += the rows of each class times u; columns (K) += u.
  LINPROBE_ONCE void add(const int32_t* where, int64_t n, float* G, double* columns) {
    for (int64_t slice = 0; slice < D / kHeldColumns; ++slice) {
      const float* x = X + slice * height * kHeldColumns;
      float* g = G + slice * K * kHeldColumns;
      for (int64_t p = 0; p < n;) {
        const int64_t k = (where[p] >> bits), end = (k + 1) * height;
        V_ sum[U];
#pragma GCC unroll 16
        for (int64_t i = 0; i < U; ++i) sum[i] = load(g + k * kHeldColumns + i * size);
        for (; p < n && where[p] < end; ++p) {
          const V_ by = spread(u[p]);
          const float* const from = x + (where[p] - k * height) * kHeldColumns;
#pragma GCC unroll 16
          for (int64_t i = 0; i < U; ++i) sum[i] += by * load(from + i * size);
        }
#pragma GCC unroll 16
        for (int64_t i = 0; i < U; ++i) store<float>(g + k * kHeldColumns + i * size, sum[i]);
      }
    }
    for (int64_t p = 0; p < n; ++p) columns[(where[p] >> bits)] += static_cast<double>(u[p]);
  }

 private:
  using V_ = Vector<float>::type;
};

bool run_curvature(Curvature& job) {
  const int64_t n = job.rows.n, D = job.rows.D, K = job.K, ld = sliced(D), numbers = K * ld;
  const int64_t n_blocks = (n + job.block - 1) / job.block, n_groups = std::min(n_blocks, kCurvatureGroups);
  const Map<float> map(job.rows, false);
  Buffer<float> V(numbers), shifts(K), shift(padded(D));
  for (int64_t d = 0; d < D; ++d) shift[d] = -map.centre[d];
  to_slices(K, D, [&](int64_t k, int64_t d) { return static_cast<float>(job.V[k * D + d] * map.scale[d]); }, V.data);
  for (int64_t k = 0; k < K; ++k) {
    double shifted = job.c[k];
    for (int64_t d = 0; d < D; ++d) shifted += job.V[k * D + d] * map.rest[d];
    shifts[k] = static_cast<float>(shifted);
  }
  int64_t most = 1;
  for (int64_t i = 0; i < n_blocks; ++i) most = std::max(most, job.ends[i + 1] - job.ends[i]);
  Buffer<double> total(numbers), columns(K);
  Totals totals(total, numbers, columns, K, n_groups);
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  pool().run(static_cast<int>(std::min<int64_t>(job.threads, n_groups)), [&](int member, int) {
    CurvatureBlock block(job, V, shifts, most);
    Buffer<float> G(numbers);
    std::vector<Totals::Part*> parts;
    for (int64_t group; !stop && (group = next.fetch_add(1)) < n_groups;) {
      auto& part = totals.next(parts);
      std::memset(part.sums, 0, K * sizeof(double));
      std::memset(G, 0, numbers * sizeof(float));
      for (int64_t at = n_blocks * group / n_groups; at < n_blocks * (group + 1) / n_groups && !stop; ++at) {
        const int64_t first = at * job.block, begin = job.ends[at], pairs = job.ends[at + 1] - begin;
        block.open(first, std::min(job.block, n - first), job.where + begin, pairs, map.centred ? shift.data : nullptr);
        block.scores(job.where + begin, pairs);
        block.couple(job.where + begin, job.q + begin, pairs);
        block.add(job.where + begin, pairs, G, part.sums);
      }
      if (member == 0 && job.interrupted()) stop = true;
      for (int64_t i = 0; i < numbers; ++i) part.dW[i] = static_cast<double>(G[i]);
      totals.finish(group, part);
    }
  });
  for (int64_t k = 0; k < K; ++k) {
    job.out_c[k] = columns[k];
    for (int64_t d = 0; d < D; ++d)
      job.out_V[k * D + d] = map.scale[d] * total[(d / kHeldColumns * K + k) * kHeldColumns + d % kHeldColumns] + columns[k] * map.rest[d];
  }
  return !stop;
}
