// One pass over the rows: scores, losses and gradient. Included by kernels_impl.hpp.
//
// Members may be stacked: `members` classifiers of K classes each over the same rows and labels. Losses depend on
// differences of scores only. So K - 1 templates per member are enough, w_k - w_{K-1}, and K - 1 rows of dW: the last
// row is minus their sum. That makes M = members * (K - 1) templates, or members * K if the caller wants the scores or
// passes dS. Few templates are multiplied in fused tiles, which read rows in place. Many are multiplied by the BLAS,
// one thread each, over blocks of rows whose size depends on the problem only. For float16 and float32 rows both may
// use bfloat16 instead (bfloat_block.hpp).
#pragma once

constexpr int64_t kForward = 32;    // rows whose partial scores stay in the first-level cache
constexpr int64_t kRows = 64;       // rows of a block
constexpr int64_t kPixels = 128;     // of pixels, which stay in the second-level cache
// Columns above which neither rows nor templates stay there. Blocks then have twice the rows, so that W and G are read
// half as often.
constexpr int64_t kLong = 8192;
constexpr int64_t kColumns = 2048;  // bytes of a template's slice, so that the slices of 10 stay in the first level
constexpr int64_t kFlush = 16;      // blocks whose gradient is summed in T before it is added to the float64 totals
constexpr int64_t kGroups = 32;     // groups of blocks, the units that threads take; added in their order
constexpr int64_t kSpare = 2;       // groups that a thread may be ahead of the slowest, ...
constexpr int64_t kSpareBytes = 16 << 20;  // ... if their sums take no more than this
constexpr int64_t kAlone = 1 << 18;  // products of a pass below which a second thread costs more than it gains

inline int64_t rows_of_block(const Rows& rows) {
  return rows.D > kLong ? 2 * kRows : rows.dtype == Dtype::u8 ? kPixels : kRows;
}

// The data of the fused tiles for a block of rows; S is the type of the numbers of the rows.
template <class T, class S>
struct FusedBlock {
  static constexpr int64_t lanes = Vector<T>::size;
  static constexpr int64_t slice = kColumns / sizeof(T);
  static constexpr int64_t vectors = Unpack<T, S>::vectors, step = vectors * lanes;
  const Rows& rows;
  // Columns 0..whole-1 fill whole vectors, 0..unpacked-1 whole steps; the last few are copied and padded with zeros.
  const int64_t D, M, n_rows, forward, ld, whole, unpacked;
  const T* const packed;          // templates from pack(), or null
  const T* const centre;          // or null
  // Pixels are small integers: scores lose next to nothing if the centre goes into the bias.
  const T* const scores_centre;
  // scores() keeps unpacked rows for the gradient, in contiguous strips of `step` columns: in place, the cache lines of
  // a column would map to the same sets.
  const bool keeps;
  const int64_t strip;  // numbers of a strip, not a multiple of 4 kB
  Buffer<S> contiguous, strips;
  Buffer<T> widened, zeros, tail, centred_tail, total;
  Buffer<const S*> row, next;
  Buffer<const T*> tail_row;

  // `both`: the gradient of the rows follows their scores.
  FusedBlock(const Rows& rows_, const T* packed_, int64_t M_, const T* centre_, bool both)
      : rows(rows_), D(rows_.D), M(M_), n_rows(rows_of_block(rows_)), forward(D > kLong ? 2 * kForward : kForward), ld(padded(D)),
        whole(D / lanes * lanes), unpacked(D / step * step), packed(packed_), centre(centre_), scores_centre(std::is_same_v<S, uint8_t> ? nullptr : centre_),
        keeps(vectors > 1 && both && D <= kLong), strip(n_rows * step + 64), contiguous(rows.column_stride == 1 ? 0 : n_rows * D),
        strips(keeps ? unpacked / step * strip : 0), widened(n_rows * 2 * lanes), zeros(centre_ == nullptr ? D : 0), tail(n_rows * step),
        centred_tail(n_rows * lanes), total(forward * M * lanes), row(n_rows), next(forward), tail_row(n_rows) {
    for (int64_t r = 0; r < n_rows; ++r) tail_row[r] = tail + r * step;
  }

  void open(int64_t first, int64_t n) {
    open_rows<S>(rows, first, n, contiguous, row);
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t d = unpacked; d < D; ++d) {
        const T x = convert<T>(row[r][d]);
        tail[r * step + d - unpacked] = scores_centre != nullptr ? x - scores_centre[d] : x;
        if (d >= whole) centred_tail[r * lanes + d - whole] = centre != nullptr ? x - centre[d] : x;
      }
    }
  }

  // W (M, ld) slice by slice, each slice contiguous: templates a multiple of 4 kB apart would map to the same sets of
  // the first-level cache. In the order of Unpack, except for the last few columns.
  static Buffer<T> pack(const T* W, int64_t M, int64_t D) {
    const int64_t ld = padded(D), unpacked = D / step * step;
    Buffer<T> packed(M * (unpacked + step));
    T* to = packed;
    for (int64_t d = 0; d < unpacked; d += slice)
      for_class_tiles<vectors == 1 ? 1 : kUnpackedClasses>(M, [&](auto C, int64_t m) {
        for (int64_t e = d; e < std::min(d + slice, unpacked); e += step)
          for (int64_t u = 0; u < vectors; ++u)
            for (int64_t c = 0; c < C(); ++c)
              for (int64_t i = 0; i < lanes; ++i) *to++ = W[(m + c) * ld + e + i * vectors + u];
      });
    for (int64_t m = 0; m < M; ++m, to += step) std::copy_n(W + m * ld + unpacked, D - unpacked, to);
    return packed;
  }

  // out (n, M) = X Wᵀ for the current rows. The next rows, `first` up to `end`, are prefetched.
  void scores(int64_t first, int64_t n, int64_t end, T* out) {
    const T* const W = packed;
    for (int64_t r = 0; r < n; r += forward) {
      const int64_t count = std::min(forward, n - r);
      const int64_t ahead = std::clamp<int64_t>(end - (first + r + forward), 0, forward);
      for (int64_t i = 0; i < ahead; ++i) next[i] = row_at<S>(rows, first + r + forward + i);
      bool fresh = true;
      for (int64_t d = 0; d < unpacked; d += slice) {
        const int64_t width = std::min(slice, unpacked - d);
        const S* here[2 * kForward + kAhead];
        for (int64_t i = 0; i < count; ++i) here[i] = row[r + i] + d;
        if constexpr (vectors > 1) {
          const bool last = d + width == unpacked;  // then the next rows follow
          for (int64_t i = 0; i < kAhead; ++i) here[count + i] = last ? (i < ahead ? next[i] : here[0]) : row[r + std::min(i, count - 1)] + d + width;
          unpacked_slice<T, S>(here, count, W + M * d, M, width, total, fresh, keeps ? strips + d / step * strip + r * step : nullptr, strip);
        } else {
          for (int64_t i = 0; i < (rows.column_stride == 1 ? ahead : 0); ++i) prefetch(next[i] + d, width);
          dot_slice<T, S>(here, scores_centre != nullptr ? scores_centre + d : nullptr, count, W + M * d, width, M, width, total, fresh);
        }
        fresh = false;
      }
      if (unpacked < D) dot_slice<T, T>(tail_row + r, nullptr, count, W + M * unpacked, step, M, step, total, fresh);
      for (int64_t i = 0; i < count * M; ++i) out[r * M + i] = sum<T>(load(total + i * lanes));
    }
  }

  // G (columns, ld) += dSᵀ X for the current rows, dS (n, columns).
  void gradient(int64_t, int64_t n, int64_t, const T* dS, int64_t columns, T* G) {
    const T* minus = centre != nullptr ? centre : zeros.data;
    if (keeps) outer_strips<T, S>(strips, step, strip, minus, n, unpacked, dS, columns, G, ld, widened);
    outer_lying<T, S>(row, minus, n, keeps ? unpacked : 0, whole, dS, columns, G, ld, widened);
    if (whole < D) outer<T, true>(centred_tail, lanes, n, lanes, dS, columns, G + whole, ld);
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

// C (m, n) += A (m, k) B (k, n), row by row.
template <class T>
void add_product(const T* A, int64_t lda, const T* B, int64_t ldb, int64_t m, int64_t n, int64_t k, T* C, int64_t ldc) {
  int M = static_cast<int>(n), N = static_cast<int>(m), K = static_cast<int>(k), a = static_cast<int>(ldb),
      b = static_cast<int>(lda), c = static_cast<int>(ldc);
  T one = 1;
  char plain[] = "N";
  (blas().*Gemm<T>::pointer)(plain, plain, &M, &N, &K, &one, const_cast<T*>(B), &a, const_cast<T*>(A), &b, &one, C, &c);
}

// Many templates: rows are converted and centred into a scratch buffer, and the BLAS multiplies. `across` is 0, or the
// stride of the templates in S and dS, which then have one contiguous run of rows per template.
template <class T>
struct BlasBlock {
  const Rows& rows;
  const int64_t D, M, ld, across;
  const T* const W;      // (M, ld), or null
  const T* const shift;  // minus the centre, or null
  Buffer<T> X;

  BlasBlock(const Rows& rows_, const T* W_, int64_t M_, int64_t size, int64_t across_, const T* shift_)
      : rows(rows_), D(rows_.D), M(M_), ld(padded(D)), across(across_), W(W_), shift(shift_), X(size * ld) {}

  void open(int64_t first, int64_t n) { copy_rows<T>(rows, nullptr, shift, first, n, 0, D, X, ld); }
  void scores(int64_t, int64_t n, int64_t, T* out) {
    if (across > 0) product<T>(W, ld, X, ld, M, n, D, out, across);
    else product<T>(X, ld, W, ld, n, M, D, out, M);
  }
  void gradient(int64_t, int64_t n, int64_t, const T* dS, int64_t columns, T* G) {
    if (across > 0) add_product<T>(dS, across, X, ld, columns, D, n, G, ld);
    else add_outer_product<T>(dS, columns, X, ld, columns, D, n, G, ld);
  }
};

// Templates of a member.
inline int64_t templates(const Pass& job) {
  return job.scores != nullptr || job.loss == LossKind::given ? job.K : job.K - 1;
}

// The plan of a pass over blocks of rows. W (scores, ld) gives the scores S of a block. The stage computes dS (rows,
// gradients) from S. dW (gradients, ld) receives dSᵀ X, for X as the block stores it, and sums (n_sums) the other sums
// of the stage.
template <class T>
struct Plan {
  const Rows& rows;
  int threads;
  const std::function<bool()>& interrupted;
  int64_t size;       // rows of a block
  const T* W;         // or null: no scores are needed
  int64_t scores;
  double* dW;         // or null
  int64_t gradients;
  double* sums;
  int64_t n_sums;
  Precision precision = Precision::singles;
  double* lost = nullptr;  // or (scores): bounds on the integer error of a score; that of the slopes is
                           // added to the last `gradients` of the sums
  int64_t across = 0;      // or the stride of the templates in S and dS, with the rows as lanes
};

// The sums of groups of blocks. They are added to the totals of a plan in the order of the groups, not in that of
// completion. A thread on a slow core delays the others only when they are kSpare groups ahead.
class Totals {
 public:
  struct Part {
    Buffer<double> dW, sums;
    std::atomic<bool> free{true};
    Part(int64_t numbers, int64_t n_sums) : dW(numbers), sums(n_sums) {}
  };

  Totals(double* dW_, int64_t numbers_, double* sums_, int64_t n_sums_, int64_t n_groups)
      : dW(dW_), sums(sums_), numbers(dW_ != nullptr ? numbers_ : 0), n_sums(n_sums_), finished(n_groups) {}

  // A free one of the `parts` of a thread, or a new one, up to kSpare more than needed. Otherwise the thread waits
  // until an earlier group is finished and frees one. All are owned here: the last part may wait for its turn after its
  // thread has ended. `begin` allocates the first, before the thread takes a group that others may wait for. If there
  // is no memory for a spare one, the thread does without.
  void begin(std::vector<Part*>& parts) {
    parts.reserve(kSpare + 1);
    make(parts);
  }

  Part& next(std::vector<Part*>& parts) {
    bool alone = false;
    for (;; std::this_thread::yield()) {
      for (Part* part : parts)
        if (part->free.load(std::memory_order_acquire)) {
          part->free.store(false, std::memory_order_relaxed);
          return *part;
        }
      const bool spare = numbers * static_cast<int64_t>(sizeof(double)) <= kSpareBytes;
      if (alone || static_cast<int64_t>(parts.size()) > (spare ? kSpare : 0)) continue;
      try {
        make(parts);
      } catch (const std::bad_alloc&) {
        alone = true;
      }
    }
  }

  // Takes the part of a group, and adds all parts that are next in order.
  void finish(int64_t group, Part& part) {
    {
      const Locked locked(busy);
      finished[group] = &part;
      if (adding) return;  // the thread that is adding checks again
      adding = true;
    }
    while (Part* one = whose_turn()) {
      for (int64_t i = 0; i < numbers; ++i) dW[i] += one->dW[i];
      for (int64_t i = 0; i < n_sums; ++i) sums[i] += one->sums[i];
      one->free.store(true, std::memory_order_release);
    }
  }

 private:
  // Held for a few instructions; a std::mutex would bring functions that other instruction sets share.
  struct Locked {
    std::atomic<bool>& busy;
    explicit Locked(std::atomic<bool>& busy_) : busy(busy_) {
      while (busy.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
    }
    ~Locked() { busy.store(false, std::memory_order_release); }
  };

  void make(std::vector<Part*>& parts) {
    auto made = std::make_unique<Part>(numbers, n_sums);
    Part* const part = made.get();
    {
      const Locked locked(busy);
      all.push_back(std::move(made));
    }
    parts.push_back(part);  // there is room for it
  }

  Part* whose_turn() {
    const Locked locked(busy);
    Part* const one = turn < static_cast<int64_t>(finished.size()) ? finished[turn] : nullptr;
    if (one != nullptr) ++turn;
    else adding = false;
    return one;
  }

  double *const dW, *const sums;
  const int64_t numbers, n_sums;
  std::atomic<bool> busy{false};
  std::vector<std::unique_ptr<Part>> all;
  std::vector<Part*> finished;
  int64_t turn = 0;
  bool adding = false;
};

// Every thread reads blocks with its own object from `make()`, and processes them with its own from `make_stage()`:
// stage(first row, rows, S, dS, sums).
template <class T, class Make, class MakeStage>
bool run_blocks(const Plan<T>& plan, Make&& make, MakeStage&& make_stage) {
  const int64_t n = plan.rows.n, size = plan.size, numbers = plan.gradients * padded(plan.rows.D);
  // two blocks at least: the sums of a group must be cleared before it, and added to the totals after it
  const int64_t n_blocks = (n + size - 1) / size, n_groups = std::min((n_blocks + 1) / 2, kGroups);
  const bool gradient = plan.dW != nullptr;
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  std::fill_n(plan.sums, plan.n_sums, 0.0);
  Totals totals(plan.dW, numbers, plan.sums, plan.n_sums, n_groups);

  const int64_t products = n * plan.rows.D * std::max(plan.scores, plan.gradients);
  const int threads = products < kAlone ? 1 : static_cast<int>(std::min<int64_t>(plan.threads, n_groups));
  pool().run(threads, [&](int member, int) {
    auto block = make();
    auto stage = make_stage();
    std::vector<Totals::Part*> parts;
    constexpr bool flushes = requires { block.flush(static_cast<double*>(nullptr)); };  // the block keeps its own sums
    const int64_t stride = std::max(size, plan.across);
    Buffer<T> S(plan.W != nullptr ? stride * padded(plan.scores) : 0), dS(gradient ? stride * plan.gradients : 0), G(gradient && !flushes ? numbers : 0);
    auto flush = [&](double* dW) {  // the sums of the last blocks into those of the group
      if constexpr (flushes) block.flush(dW);
      else
        for (int64_t i = 0; i < numbers; ++i) dW[i] += G[i], G[i] = 0;
    };
    auto add_lost = [&](int64_t rows, double* sums) {
      if constexpr (requires { block.lost(rows, rows); })
        for (int64_t k = 0; plan.lost != nullptr && k < plan.gradients; ++k)
          sums[plan.n_sums - plan.gradients + k] += block.lost(rows, k);
    };
    auto interrupted = [&plan, asked = std::chrono::steady_clock::now()]() mutable {  // the caller is asked every 50 ms
      const auto now = std::chrono::steady_clock::now();
      if (now - asked <= std::chrono::milliseconds(50)) return false;
      asked = now;
      return plan.interrupted();
    };
    totals.begin(parts);
    for (int64_t group; !stop && (group = next.fetch_add(1)) < n_groups;) {
      auto& part = totals.next(parts);
      double *const dW = part.dW, *const sums = part.sums;
      if (gradient) std::memset(dW, 0, numbers * sizeof(double));
      std::memset(sums, 0, plan.n_sums * sizeof(double));
      const int64_t begin = n_blocks * group / n_groups, end = n_blocks * (group + 1) / n_groups;
      for (int64_t at = begin; at < end && !stop; ++at) {
        const int64_t first = at * size, rows = std::min(size, n - first);
        block.open(first, rows);
        if (plan.W != nullptr) block.scores(first, rows, std::min(end * size, n), S);
        stage(first, rows, S.data, dS.data, sums);
        if (gradient) {
          block.gradient(first, rows, std::min(end * size, n), dS, plan.gradients, G);
          add_lost(rows, sums);
          if ((at - begin) % kFlush == kFlush - 1 || at == end - 1) flush(dW);
        }
        if (member == 0 && interrupted()) stop = true;
      }
      totals.finish(group, part);
    }
  });
  return !stop;
}

// W (M, D) float64 for mapped rows, converted to the form that the blocks use, and back. `fused`: tiles; else the BLAS,
// or bfloat16 if there are terms.
template <class T>
struct Folded {
  const Rows& rows;
  const bool fused, raw;
  const BfloatTerms terms;
  const Map<T> map;
  const int64_t D, ld;

  Folded(const Rows& rows_, bool fused_, BfloatTerms terms_ = {}, const double* centre = nullptr)
      : rows(rows_), fused(fused_ && terms_.rows == 0), raw(fused && rows_.dtype == Dtype::u8), terms(terms_), map(rows_, raw, centre), D(rows_.D), ld(padded(D)) {}

  // Row m of `to` from w(d); returns the constant that the map adds to every score.
  template <class Weight>
  double fold(Weight&& w, T* to) const {
    double shifted = 0;
    for (int64_t d = 0; d < D; ++d) {
      to[d] = static_cast<T>(w(d) * map.scale[d]);
      shifted += w(d) * (raw ? map.shift[d] : map.rest[d]);  // raw: as FusedBlock::scores_centre
    }
    return shifted;
  }

  // A gradient (M, ld) in place, with the column sums c(m) of its dS.
  template <class Sum>
  void unfold(double* dW, int64_t M, Sum&& c) const {
    for (int64_t m = 0; m < M; ++m)
      for (int64_t d = 0; d < D; ++d) dW[m * ld + d] = map.scale[d] * dW[m * ld + d] + c(m) * map.rest[d];
  }

  // Rows of a block: few for tiles; for the BLAS a scratch buffer of 2 to 8 MB, enough for its full speed.
  int64_t size(int64_t M) const {
    if (terms.rows > 0) return BfloatBlock::rows_for(D, terms.rows);
    if (fused) return rows_of_block(rows);
    return std::clamp<int64_t>((int64_t{8} << 20) / static_cast<int64_t>(sizeof(T)) / (ld + M) / kBlock, 1, 16) * kBlock;
  }

  // run_blocks with the right blocks for W (plan.scores, ld), or null.
  template <class MakeStage>
  bool run(Plan<T> plan, MakeStage&& make_stage) const {
    const int64_t M = std::max(plan.scores, plan.gradients);
    plan.size = size(M);
    const T* const centre = map.centred ? map.centre.data : nullptr;
    if (!fused) {
      Buffer<T> shift(ld);
      for (int64_t d = 0; d < D; ++d) shift[d] = -map.centre[d];
      const T* const minus = centre != nullptr ? shift.data : nullptr;
      if constexpr (std::is_same_v<T, float>)
        if (terms.rows > 0) {
          const BfloatBlock::Weights W(plan.W, plan.scores, D, terms.weights);
          return run_blocks<T>(plan, [&] { return BfloatBlock(rows, terms, W, M, plan.size, plan.across, minus, plan.dW != nullptr); }, make_stage);
        }
      return run_blocks<T>(plan, [&] { return BlasBlock<T>(rows, plan.W, plan.scores, plan.size, plan.across, minus); }, make_stage);
    }
#if LINPROBE_VECTOR_BYTES == 64
    bool done = false, whole = false;
    const auto in_whole_numbers = [&]<class As>(As, bool exactly = false) {
      if (whole) return;
      const WholeWeights<As> W(plan.W, plan.W != nullptr ? plan.scores : 0, D, bytes_over(rows), exactly);
      if (!W.fine || (exactly && !W.exact)) return;
      for (int64_t m = 0; plan.lost != nullptr && m < W.M; ++m)
        plan.lost[m] = 0.5 * static_cast<double>(W.unit[m]) * 255.0 * static_cast<double>(D);
      plan.size = kByteBlock;
      const auto* const digits = plan.W != nullptr ? &W : nullptr;
      whole = true;
      done = run_blocks<T>(plan, [&] { return ByteBlock<As>(rows, digits, centre, plan.dW != nullptr ? plan.gradients : 0); }, make_stage);
    };
    if constexpr (std::is_same_v<T, float>) {
      if (raw && plan.precision == Precision::coarse) {
        in_whole_numbers(CoarsestWhole(), true);
        in_whole_numbers(CoarserWhole(), true);
        in_whole_numbers(CoarseWhole());
      } else if (raw) in_whole_numbers(SingleWhole());
    } else {
      if (raw && plan.precision == Precision::proof) in_whole_numbers(ProofWhole());
      else if (raw) in_whole_numbers(DoubleWhole());
    }
    if (whole) return done;
#endif
    bool finished = true;
    with_type(rows.dtype, [&](auto* type) {
      using S = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
      const Buffer<T> packed = plan.W != nullptr ? FusedBlock<T, S>::pack(plan.W, plan.scores, D) : Buffer<T>(0);
      const T* const W = plan.W != nullptr ? packed.data : nullptr;
      finished = run_blocks<T>(plan, [&] { return FusedBlock<T, S>(rows, W, plan.scores, centre, W != nullptr && plan.dW != nullptr); }, make_stage);
    });
    return finished;
  }
};

// The stage of a pass: losses and slopes from the scores of a block of rows, separately for each thread. For each
// member K + 3 sums: loss, correct images, weight, and db.
template <class T>
class PassStage {
 public:
  // b (members, K) is added to the scores. Each member has `own` templates, `across` apart (0: row by row).
  PassStage(const Pass& job_, const double* b_, int64_t own_, int64_t across_)
      : job(job_), b(b_), K(job.K), L(job.members), own(own_), M(L * own), across(across_), gradient(job.dW != nullptr),
        given(job.loss == LossKind::given), lines(across > 0 && job.loss == LossKind::softmax && job.scores == nullptr),
        loss(job.loss, job.delta, lines ? 1 : K), softmax(lines ? K : 1, own, across) {}

  LINPROBE_ONCE void operator()(int64_t first, int64_t rows, const T* S, T* dS, double* sum) {
    if (lines) {
      const double* weight = job.weight != nullptr ? job.weight + first : nullptr;
      for (int64_t l = 0; l < L; ++l)
        softmax.run(S + l * own * across, b + l * K, job.y + first, weight, rows, gradient ? dS + l * own * across : nullptr, sum + l * (3 + K), sum + l * (3 + K) + 3);
      return;
    }
    for (int64_t l = 0; l < L; ++l)
      for (int64_t sub = 0; sub < rows; sub += kBlock) add_rows(l, sub, first + sub, std::min(kBlock, rows - sub), S, dS, sum + l * (3 + K));
  }

 private:
  // The loss, and the slopes, of member l in `count` rows from `row` on, which is the row `sub` of the block.
  void add_rows(int64_t l, int64_t sub, int64_t row, int64_t count, const T* S, T* dS, double* three) {
    if (!given) {
      read_scores(l, sub, count, S);
      for (int64_t r = 0; job.scores != nullptr && r < count; ++r)
        for (int64_t k = 0; k < K; ++k) job.scores[((row + r) * L + l) * K + k] = loss.S[k * kBlock + r];
      if (job.y == nullptr) return;
      loss.run(job.y + row, count);
      add_losses(row, count, three);
    }
    double* const db = three + 3;
    if (gradient && across > 0) slopes_by_class(l, sub, row, count, dS, db);
    else if (gradient) slopes_by_row(l, sub, row, count, dS, db);
  }

  // The scores of member l in the rows of the block from `sub` on, class by class.
  void read_scores(int64_t l, int64_t sub, int64_t count, const T* S) {
    for (int64_t k = 0; across > 0 && k < K; ++k) {
      const T* from = S + (l * own + k) * across + sub;
      double *to = loss.S + k * kBlock, more = b[l * K + k];
      for (int64_t r = 0; r < count; ++r) to[r] = (k < own ? static_cast<double>(from[r]) : 0.0) + more;
    }
    for (int64_t r = 0; across == 0 && r < count; ++r)
      for (int64_t k = 0; k < K; ++k)
        loss.S[k * kBlock + r] = (k < own ? static_cast<double>(S[(sub + r) * M + l * own + k]) : 0.0) + b[l * K + k];
  }

  void add_losses(int64_t row, int64_t count, double* three) {
    for (int64_t r = 0; r < count; ++r) {
      const double weight = job.weight != nullptr ? job.weight[row + r] : 1.0;
      three[0] += weight * loss.loss[r];
      three[1] += loss.argmax[r] == job.y[row + r] && weight > 0 ? 1.0 : 0.0;
      three[2] += weight;
    }
  }

  void slopes_by_class(int64_t l, int64_t sub, int64_t row, int64_t count, T* dS, double* db) {
    alignas(64) double weight[kBlock], g[kBlock];
    for (int64_t r = 0; r < count; ++r) weight[r] = job.weight != nullptr ? job.weight[row + r] : 1.0;
    for (int64_t k = 0; k < K; ++k) {
      const double* slope = loss.dS + k * kBlock;
      if (given)
        for (int64_t r = 0; r < count; ++r) g[r] = job.given[(row + r) * K + k];
      else
        for (int64_t r = 0; r < count; ++r) g[r] = weight[r] * slope[r];
      T* to = dS + (l * own + k) * across + sub;
      for (int64_t r = 0; k < own && r < count; ++r) to[r] = given ? static_cast<T>(g[r]) : rounded_slope<T>(g[r]);
      for (int64_t r = count; r < kBlock; ++r) g[r] = 0;
      V<double> total{};
      for (int64_t r = 0; r < kBlock; r += Vector<double>::size) total += load(g + r);
      for (int64_t i = 0; i < Vector<double>::size; ++i) db[k] += total[i];
    }
  }

  void slopes_by_row(int64_t l, int64_t sub, int64_t row, int64_t count, T* dS, double* db) {
    for (int64_t r = 0; r < count; ++r) {
      const double weight = job.weight != nullptr ? job.weight[row + r] : 1.0;
      for (int64_t k = 0; k < K; ++k) {
        const double g = given ? job.given[(row + r) * K + k] : weight * loss.dS[k * kBlock + r];
        if (k < own) dS[(sub + r) * M + l * own + k] = given ? static_cast<T>(g) : rounded_slope<T>(g);
        db[k] += g;
      }
    }
  }

  const Pass& job;
  const double* const b;
  const int64_t K, L, own, M, across;
  const bool gradient, given, lines;
  LossOfBlock loss;
  SoftmaxBlock<T> softmax;
};

template <class T>
bool run_pass(Pass& job) {
  const int64_t D = job.rows.D, K = job.K, L = job.members, own = templates(job), M = L * own, ld = padded(D);
  const bool gradient = job.dW != nullptr, given = job.loss == LossKind::given;
  const BfloatTerms terms = std::is_same_v<T, float> ? bfloat_terms(job.rows, job.precision, own, M) : BfloatTerms{};
  const bool centred = terms.slopes == 1;
  const Folded<T> folded(job.rows, M < kFusedTemplates, terms, centred ? job.centre : nullptr);
  const int64_t across = folded.fused ? 0 : folded.size(M) + kTileSide;  // a multiple of 1 KB maps to one cache set
  Buffer<T> W(given ? 0 : M * ld);
  const int64_t n_sums = L * (3 + K) + (gradient ? M : 0);
  Buffer<double> b(L * K), dW(gradient ? M * ld : 0), sums(n_sums), lost(M);
  for (int64_t m = 0; !given && m < L * K; ++m) {
    const int64_t l = m / K, k = m % K, last = l * K + K - 1;
    b[m] = job.b[m] - (own == K ? 0.0 : job.b[last]);
    if (k < own)  // minus the last class, if differences are enough
      b[m] += folded.fold([&](int64_t d) { return own == K ? job.W[m * D + d] : job.W[m * D + d] - job.W[last * D + d]; }, W + (l * own + k) * ld);
  }
  const Plan<T> plan{job.rows, job.threads, job.interrupted, 0, given ? nullptr : W.data, M, gradient ? dW.data : nullptr, M, sums, n_sums, job.precision, job.lost != nullptr ? lost.data : nullptr, across};
  const bool finished = folded.run(plan, [&] { return PassStage<T>(job, b, own, across); });
  for (int64_t l = 0; l < L; ++l) {
    std::copy_n(sums + l * (3 + K), 3, job.sums + 3 * l);
    if (gradient) std::copy_n(sums + l * (3 + K) + 3, K, job.db + l * K);
    if (job.lost == nullptr) continue;
    double of_score = 0, of_slopes = 0;
    for (int64_t m = l * own; m < (l + 1) * own; ++m) {
      of_score = std::max(of_score, lost[m]);
      of_slopes += gradient ? sums[L * (3 + K) + m] : 0.0;
    }
    job.lost[2 * l] = of_score;
    job.lost[2 * l + 1] = own < K ? 2 * of_slopes : of_slopes;  // the last class is minus the sum of the others
  }
  if (!gradient) return finished;
  folded.unfold(dW, M, [&](int64_t m) { return job.db[m / own * K + m % own]; });
  for (int64_t l = 0; l < L; ++l)
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
