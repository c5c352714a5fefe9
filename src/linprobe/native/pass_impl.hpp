// One pass over the rows: scores, losses and gradient. Included by kernels_impl.hpp.
//
// Members may be stacked: `members` classifiers of K classes each over the same rows and labels. The losses see only
// differences of scores, so that those of a loss need K - 1 templates, w_k - w_{K-1}, and its gradient the K - 1 rows of
// dW that the last one is minus the sum of: M = members * (K - 1) templates in all (members * K where the scores
// themselves, or a gradient dS from outside, are asked for). Few templates run in fused tiles, rows read as they lie; many run as matrix products of the BLAS,
// one thread each, over blocks of rows of a size that the problem alone decides.
#pragma once

constexpr int64_t kForward = 32;    // rows whose partial scores stay in the first-level cache
constexpr int64_t kRows = 64;       // rows of a block: of pixels, they stay in the second-level cache
constexpr int64_t kColumns = 2048;  // bytes of a template's slice, so that the slices of 10 stay in the first level
constexpr int64_t kFlush = 16;      // blocks whose gradient is summed in T before it is added to the float64 totals
constexpr int64_t kGroups = 32;     // groups of blocks, added in their order: what the threads share out

// What the fused tiles keep for a block of rows; S is the type of the numbers of the rows.
template <class T, class S>
struct FusedBlock {
  static constexpr int64_t lanes = Vector<T>::size;
  static constexpr int64_t slice = kColumns / sizeof(T);
  const Rows& rows;
  const int64_t D, M, ld, whole;  // columns 0..whole-1 fill vectors; the last few are copied behind zeros
  const T* const centre;          // or null
  // Pixels are small whole numbers: their scores lose next to nothing when the centre goes into the bias.
  const T* const scores_centre;
  Buffer<S> contiguous;
  Buffer<T> kept, zeros, tail, centred_tail, total;
  Buffer<const S*> row, next;
  Buffer<const T*> tail_row;

  FusedBlock(const Rows& rows_, int64_t M_, const T* centre_)
      : rows(rows_), D(rows_.D), M(M_), ld(padded(D)), whole(D / lanes * lanes), centre(centre_),
        scores_centre(std::is_same_v<S, uint8_t> ? nullptr : centre_),
        contiguous(rows.column_stride == 1 ? 0 : kRows * D), kept(kRows * 2 * lanes), zeros(centre_ == nullptr ? D : 0), tail(kRows * lanes),
        centred_tail(kRows * lanes),
        total(kForward * M * lanes), row(kRows), next(kForward), tail_row(kRows) {
    for (int64_t r = 0; r < kRows; ++r) tail_row[r] = tail + r * lanes;
  }

  const S* at(int64_t i) const { return static_cast<const S*>(rows.data) + row_of(rows, i) * rows.row_stride; }

  void open(int64_t first, int64_t n) {
    for (int64_t r = 0; r < n; ++r) {
      row[r] = at(first + r);
      if (rows.column_stride != 1) {
        S* to = contiguous + r * D;
        for (int64_t d = 0; d < D; ++d) to[d] = row[r][d * rows.column_stride];
        row[r] = to;
      }
      for (int64_t d = whole; d < D; ++d) {
        const T x = convert<T>(row[r][d]);
        tail[r * lanes + d - whole] = scores_centre != nullptr ? x - scores_centre[d] : x;
        centred_tail[r * lanes + d - whole] = centre != nullptr ? x - centre[d] : x;
      }
    }
  }

  // W (M, ld) slice by slice, each slice contiguous: templates a multiple of 4 kB apart would share a few sets of the
  // first-level cache.
  static Buffer<T> pack(const T* W, int64_t M, int64_t D) {
    const int64_t ld = padded(D), whole = D / lanes * lanes;
    Buffer<T> packed(M * (whole + slice + lanes));
    T* to = packed;
    for (int64_t d = 0; d < whole; d += slice)
      for (int64_t m = 0; m < M; ++m, to += std::min(slice, whole - d)) std::copy_n(W + m * ld + d, std::min(slice, whole - d), to);
    for (int64_t m = 0; m < M; ++m, to += lanes) std::copy_n(W + m * ld + whole, D - whole, to);
    return packed;
  }

  // out (n, M) = X Wᵀ for the rows that are open, W packed; `first` and `end` tell which rows come next, to ask for them early.
  void scores(int64_t first, int64_t n, int64_t end, const T* W, T* out) {
    for (int64_t r = 0; r < n; r += kForward) {
      const int64_t count = std::min(kForward, n - r);
      const int64_t ahead = std::clamp<int64_t>(end - (first + r + kForward), 0, kForward);
      for (int64_t i = 0; i < ahead; ++i) next[i] = at(first + r + kForward + i);
      bool fresh = true;
      for (int64_t d = 0; d < whole; d += slice) {
        const int64_t width = std::min(slice, whole - d);
        if (rows.column_stride == 1)
          for (int64_t i = 0; i < ahead; ++i)
            for (int64_t e = 0; e < width; e += 64 / static_cast<int64_t>(sizeof(S))) __builtin_prefetch(next[i] + d + e, 0, 2);
        const S* here[kForward];
        for (int64_t i = 0; i < count; ++i) here[i] = row[r + i] + d;
        dot_slice<T, S>(here, scores_centre != nullptr ? scores_centre + d : nullptr, count, W + M * d, width, M, width, total, fresh);
        fresh = false;
      }
      if (whole < D) dot_slice<T, T>(tail_row + r, nullptr, count, W + M * whole, lanes, M, lanes, total, fresh);
      for (int64_t i = 0; i < count * M; ++i) out[r * M + i] = sum<T>(load(total + i * lanes));
    }
  }

  // G (M, ld) += dSᵀ X for the rows that are open.
  void gradient(int64_t n, const T* dS, T* G) {
    outer_lying<T, S>(row, centre != nullptr ? centre : zeros.data, n, whole, dS, M, G, ld, kept);
    if (whole < D) outer<T, true>(centred_tail, lanes, n, lanes, dS, M, G + whole, ld);
  }
};

template <class T>
struct Gemm;
template <>
struct Gemm<float> {
  static constexpr auto pointer = &Blas::sgemm;
};
template <>
struct Gemm<double> {
  static constexpr auto pointer = &Blas::dgemm;
};

// C (m, n) = A (m, k) B (n, k)ᵀ, row by row.
template <class T>
void product(const T* A, int64_t lda, const T* B, int64_t ldb, int64_t m, int64_t n, int64_t k, T* C, int64_t ldc) {
  int M = static_cast<int>(n), N = static_cast<int>(m), K = static_cast<int>(k), a = static_cast<int>(ldb),
      b = static_cast<int>(lda), c = static_cast<int>(ldc);
  T one = 1, zero = 0;
  char transposed[] = "T", plain[] = "N";
  (blas().*Gemm<T>::pointer)(transposed, plain, &M, &N, &K, &one, const_cast<T*>(B), &a, const_cast<T*>(A), &b, &zero, C, &c);
}

// C (m, n) += A (k, m)ᵀ B (k, n), row by row.
template <class T>
void add_outer_product(const T* A, int64_t lda, const T* B, int64_t ldb, int64_t m, int64_t n, int64_t k, T* C, int64_t ldc) {
  int M = static_cast<int>(n), N = static_cast<int>(m), K = static_cast<int>(k), a = static_cast<int>(ldb),
      b = static_cast<int>(lda), c = static_cast<int>(ldc);
  T one = 1;
  char transposed[] = "T", plain[] = "N";
  (blas().*Gemm<T>::pointer)(plain, transposed, &M, &N, &K, &one, const_cast<T*>(B), &a, const_cast<T*>(A), &b, &one, C, &c);
}

// Many templates: rows are widened and centred into a scratch, and the BLAS multiplies.
template <class T>
struct BlasBlock {
  const Rows& rows;
  const int64_t D, M, ld;
  const T* const shift;  // minus the centre, or null
  Buffer<T> X;

  BlasBlock(const Rows& rows_, int64_t M_, int64_t size, const T* shift_)
      : rows(rows_), D(rows_.D), M(M_), ld(padded(D)), shift(shift_), X(size * ld) {}

  void open(int64_t first, int64_t n) { copy_rows<T>(rows, nullptr, shift, first, n, 0, D, X, ld); }
  void scores(int64_t, int64_t n, int64_t, const T* W, T* out) { product<T>(X, ld, W, ld, n, M, D, out, M); }
  void gradient(int64_t n, const T* dS, T* G) { add_outer_product<T>(dS, M, X, ld, M, D, n, G, ld); }
};

// Templates of a member.
inline int64_t templates(const Pass& job) {
  return job.scores != nullptr || job.loss == LossKind::given ? job.K : job.K - 1;
}

// The pass over blocks of `size` rows, each opened by a `Block` that `make()` gives every thread. W, in the layout of
// that block, and b (members, K) act on the numbers that it holds; dW (M, ld) comes back in the same space.
template <class T, class Make>
bool run_blocks(Pass& job, int64_t size, const T* W, const double* b, double* dW, Make&& make) {
  const int64_t n = job.rows.n, K = job.K, L = job.members, own = templates(job), M = L * own, ld = padded(job.rows.D);
  const int64_t n_blocks = (n + size - 1) / size, n_groups = std::min(n_blocks, kGroups);
  const bool gradient = dW != nullptr, given = job.loss == LossKind::given;
  std::atomic<int64_t> next{0}, turn{0};
  std::atomic<bool> stop{false};
  for (int64_t i = 0; i < 3 * L; ++i) job.sums[i] = 0;
  for (int64_t i = 0; gradient && i < L * K; ++i) job.db[i] = 0;

  pool().run(job.threads, [&](int member, int) {
    auto block = make();
    Buffer<T> S(size * M), dS(gradient ? size * M : 0), G(gradient ? M * ld : 0);
    Buffer<double> dW_part(gradient ? M * ld : 0), db_part(L * K), sums(3 * L);
    LossOfBlock loss(job.loss, job.delta, K);
    auto asked = std::chrono::steady_clock::now();
    for (int64_t group; !stop && (group = next.fetch_add(1)) < n_groups;) {
      if (gradient) std::memset(dW_part, 0, M * ld * sizeof(double));
      std::memset(db_part, 0, L * K * sizeof(double));
      std::memset(sums, 0, 3 * L * sizeof(double));
      const int64_t begin = n_blocks * group / n_groups, end = n_blocks * (group + 1) / n_groups;
      for (int64_t at = begin; at < end && !stop; ++at) {
        const int64_t first = at * size, rows = std::min(size, n - first);
        block.open(first, rows);
        if (!given) block.scores(first, rows, std::min(end * size, n), W, S);
        for (int64_t l = 0; l < L; ++l)
          for (int64_t sub = 0; sub < rows; sub += kBlock) {
            const int64_t count = std::min(kBlock, rows - sub), row = first + sub;
            if (!given) {
              for (int64_t r = 0; r < count; ++r)
                for (int64_t k = 0; k < K; ++k)
                  loss.S[k * kBlock + r] = (k < own ? static_cast<double>(S[(sub + r) * M + l * own + k]) : 0.0) + b[l * K + k];
              if (job.scores != nullptr)
                for (int64_t r = 0; r < count; ++r)
                  for (int64_t k = 0; k < K; ++k) job.scores[((row + r) * L + l) * K + k] = loss.S[k * kBlock + r];
              if (job.y == nullptr) continue;
              loss.run(job.y + row, count);
              for (int64_t r = 0; r < count; ++r) {
                const double weight = job.weight != nullptr ? job.weight[row + r] : 1.0;
                sums[3 * l] += weight * loss.loss[r];
                sums[3 * l + 1] += loss.argmax[r] == job.y[row + r] ? weight : 0.0;
                sums[3 * l + 2] += weight;
              }
            }
            if (gradient)
              for (int64_t r = 0; r < count; ++r) {
                const double weight = job.weight != nullptr ? job.weight[row + r] : 1.0;
                for (int64_t k = 0; k < K; ++k) {
                  const double g = given ? job.given[(row + r) * K + k] : weight * loss.dS[k * kBlock + r];
                  if (k < own) dS[(sub + r) * M + l * own + k] = static_cast<T>(g);
                  db_part[l * K + k] += g;
                }
              }
          }
        if (gradient) {
          block.gradient(rows, dS, G);
          if ((at - begin) % kFlush == kFlush - 1 || at == end - 1)
            for (int64_t i = 0; i < M * ld; ++i) dW_part[i] += G[i], G[i] = 0;
        }
        if (member == 0) {
          const auto now = std::chrono::steady_clock::now();
          if (now - asked > std::chrono::milliseconds(50)) {
            asked = now;
            if (job.interrupted()) stop = true;
          }
        }
      }
      // Groups are handed out in order, so whoever has the turn is at work: nobody waits for long, or for ever.
      while (turn.load(std::memory_order_acquire) != group) std::this_thread::yield();
      if (gradient)
        for (int64_t i = 0; i < M * ld; ++i) dW[i] += dW_part[i];
      if (gradient)
        for (int64_t i = 0; i < L * K; ++i) job.db[i] += db_part[i];
      for (int64_t i = 0; i < 3 * L; ++i) job.sums[i] += sums[i];
      turn.store(group + 1, std::memory_order_release);
    }
  });
  return !stop;
}

template <class T>
bool run_pass(Pass& job) {
  const int64_t D = job.rows.D, K = job.K, L = job.members, own = templates(job), M = L * own, ld = padded(D);
  const bool gradient = job.dW != nullptr, fused = M < kFusedTemplates;
  Buffer<T> W(M * ld);
  Buffer<double> b(L * K), dW(gradient ? M * ld : 0);
  double* const to = gradient ? dW.data : nullptr;
  // W (l, k, d) and b (l, k), less those of the last class where differences are enough.
  auto weight = [&](int64_t l, int64_t k, int64_t d) {
    return own == K ? job.W[(l * K + k) * D + d] : job.W[(l * K + k) * D + d] - job.W[(l * K + K - 1) * D + d];
  };
  if (job.b != nullptr)
    for (int64_t l = 0; l < L; ++l)
      for (int64_t k = 0; k < K; ++k) b[l * K + k] = job.b[l * K + k] - (own == K ? 0.0 : job.b[l * K + K - 1]);
  const Map<T> map(job.rows);
  const bool raw = fused && job.rows.dtype == Dtype::u8;  // as FusedBlock::scores_centre
  for (int64_t m = 0; job.W != nullptr && m < M; ++m) {
    double shifted = 0;
    for (int64_t d = 0; d < D; ++d) {
      const double w = weight(m / own, m % own, d);
      W[m * ld + d] = static_cast<T>(w * map.scale[d]);
      shifted += w * (raw ? map.shift[d] : map.rest[d]);
    }
    b[m / own * K + m % own] += shifted;
  }
  bool finished = true;
  if (fused) {
    with_type(job.rows.dtype, [&](auto* type) {
      using S = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
      const Buffer<T> packed = FusedBlock<T, S>::pack(W, M, D);
      finished = run_blocks<T>(job, kRows, packed, b, to,
                               [&] { return FusedBlock<T, S>(job.rows, M, map.centred ? map.centre.data : nullptr); });
    });
  } else {
    Buffer<T> shift(ld);
    for (int64_t d = 0; d < D; ++d) shift[d] = -map.centre[d];
    // 2 to 8 MB a scratch: enough rows for the BLAS to run at its rate, few enough for many threads.
    const int64_t size = std::clamp<int64_t>((int64_t{8} << 20) / static_cast<int64_t>(sizeof(T)) / (ld + M) / kBlock, 1, 16) * kBlock;
    finished = run_blocks<T>(job, size, W, b, to, [&] { return BlasBlock<T>(job.rows, M, size, map.centred ? shift.data : nullptr); });
  }
  for (int64_t m = 0; gradient && m < M; ++m)
    for (int64_t d = 0; d < D; ++d)
      dW[m * ld + d] = map.scale[d] * dW[m * ld + d] + job.db[m / own * K + m % own] * map.rest[d];
  for (int64_t l = 0; gradient && l < L; ++l)
    for (int64_t d = 0; d < D; ++d) {
      double rest = 0;
      for (int64_t k = 0; k < own; ++k) {
        const double g = dW[(l * own + k) * ld + d];
        job.dW[(l * K + k) * D + d] = g;
        rest -= g;
      }
      if (own < K) job.dW[(l * K + K - 1) * D + d] = rest;
    }
  return finished;
}
