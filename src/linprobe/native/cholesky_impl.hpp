// The Cholesky factor of a positive definite matrix, and solves with it for a few right-hand sides, on several threads.
// Blocks are contiguous, so that they are read at the speed of memory. Included by kernels_impl.hpp.
#pragma once

// Rows of U at once: 8 rows x 2 vectors are 16 accumulators, besides 2 vectors of the other rows.
constexpr int64_t kTriangleRows = kManyRegisters ? 8 : 4;

// `size` vectors of right-hand sides, one per lane, and their elimination by a block of U.
template <int size>
struct Lanes {
  using Row = V<float>[size];
  static constexpr int64_t lanes = Vector<float>::size, width = size * lanes, R = kTriangleRows, ld = kTriangleBlock;

  static void read(Row& row, const float* y) {
#pragma GCC unroll 4
    for (int v = 0; v < size; ++v) row[v] = load(y + v * lanes);
  }
  static void write(const Row& row, float* y) {
#pragma GCC unroll 4
    for (int v = 0; v < size; ++v) store<float>(y + v * lanes, row[v]);
  }
  static void subtract(Row& from, float factor, const Row& row) {
    const V<float> factors = held<float>(spread(factor));
#pragma GCC unroll 4
    for (int v = 0; v < size; ++v) from[v] -= factors * row[v];
  }
  static void divide(Row& row, float by) {
#pragma GCC unroll 4
    for (int v = 0; v < size; ++v) row[v] /= spread(by);
  }

  // Prefetches the next part of U, which the processor does not foresee.
  static void fetch(const float* u, int64_t j) { __builtin_prefetch(u + 2 * R * ld + j * R, 0, 2); }

  // Rows begin..end-1 of y minus the products of R rows of U, u, with the unknowns x.
  static void take_from(const float* u, const Row (&x)[R], float* y, int64_t begin, int64_t end) {
    alignas(64) Row other;
    for (int64_t j = begin; j < end; ++j) {
      fetch(u, j);
      read(other, y + j * width);
#pragma GCC unroll 8
      for (int64_t r = 0; r < R; ++r) subtract(other, u[r * ld + j], x[r]);
      write(other, y + j * width);
    }
  }

  // The reverse: the unknowns x of R rows of U, minus the products of these rows with rows begin..end-1 of y.
  static void take(const float* u, Row (&x)[R], const float* y, int64_t begin, int64_t end) {
    alignas(64) Row other;
    for (int64_t j = begin; j < end; ++j) {
      fetch(u, j);
      read(other, y + j * width);
#pragma GCC unroll 8
      for (int64_t r = 0; r < R; ++r) subtract(x[r], u[r * ld + j], other);
    }
  }

  // y -= Uᵀ x, both of a whole block of rows.
  static void eliminate(const float* U, const float* x, float* y) {
    alignas(64) Row known[R];
    for (int64_t i = 0; i < ld; i += R) {
#pragma GCC unroll 8
      for (int64_t r = 0; r < R; ++r) read(known[r], x + (i + r) * width);
      take_from(U + i * ld, known, y, 0, ld);
    }
  }

  // y -= U x.
  static void eliminate_back(const float* U, const float* x, float* y) {
    alignas(64) Row found[R];
    for (int64_t i = 0; i < ld; i += R) {
#pragma GCC unroll 8
      for (int64_t r = 0; r < R; ++r) read(found[r], y + (i + r) * width);
      take(U + i * ld, found, x, 0, ld);
#pragma GCC unroll 8
      for (int64_t r = 0; r < R; ++r) write(found[r], y + (i + r) * width);
    }
  }

  // y (n, width) becomes U⁻ᵀ y, U a block on the diagonal.
  static void forward(const float* U, int64_t n, float* y) {
    alignas(64) Row x[R];
    for (int64_t i = 0; i < n; i += R) {
      const int64_t rows = std::min(R, n - i);
      const float* u = U + i * ld + i;
      for (int64_t r = 0; r < rows; ++r) read(x[r], y + (i + r) * width);
      for (int64_t r = 0; r < rows; ++r) {
        divide(x[r], u[r * ld + r]);
        for (int64_t q = r + 1; q < rows; ++q) subtract(x[q], u[r * ld + q], x[r]);
      }
      for (int64_t r = 0; r < rows; ++r) write(x[r], y + (i + r) * width);
      take_from(u, x, y + i * width, R, n - i);
    }
  }

  // y becomes U⁻¹ y.
  static void backward(const float* U, int64_t n, float* y) {
    alignas(64) Row x[R];
    for (int64_t i = (n - 1) / R * R; i >= 0; i -= R) {
      const int64_t rows = std::min(R, n - i);
      const float* u = U + i * ld + i;
      for (int64_t r = 0; r < rows; ++r) read(x[r], y + (i + r) * width);
      take(u, x, y + i * width, R, n - i);
      for (int64_t r = rows - 1; r >= 0; --r) {
        divide(x[r], u[r * ld + r]);
        for (int64_t q = 0; q < r; ++q) subtract(x[q], u[q * ld + r], x[r]);
      }
      for (int64_t r = 0; r < rows; ++r) write(x[r], y + (i + r) * width);
    }
  }
};

// Blocks of a triangle of n rows.
struct Blocks {
  static constexpr int64_t size = kTriangleBlock;
  const int64_t n, side = (n + size - 1) / size, all = triangle_blocks(n);
  int64_t place(int64_t i, int64_t k) const { return i * side - i * (i - 1) / 2 + k - i; }
  int64_t rows(int64_t i) const { return std::min(size, n - i * size); }
};

// The first n rows and columns of a block become U; false if it is not positive definite.
LINPROBE_ONCE bool factor_block(float* A, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    float* const row = A + i * kTriangleBlock;
    if (!(row[i] > 0.0f && std::isfinite(row[i]))) return false;
    const float root = std::sqrt(row[i]);
    for (int64_t j = i; j < n; ++j) row[j] /= root;
    for (int64_t r = i + 1; r < n; ++r) {
      float* const other = A + r * kTriangleBlock;
      const float factor = row[r];
      for (int64_t j = r; j < n; ++j) other[j] -= factor * row[j];
    }
  }
  return true;
}

// A block of `rows` rows right of the diagonal becomes U⁻ᵀ times it.
LINPROBE_ONCE void eliminate_block(const float* U, int64_t rows, float* block) {
  using Panel = Lanes<2>;
  alignas(64) float y[kTriangleBlock * Panel::width];  // not allocated: other threads wait for this block
  for (int64_t c = 0; c < kTriangleBlock; c += Panel::width) {
    for (int64_t r = 0; r < rows; ++r) std::copy_n(block + r * kTriangleBlock + c, Panel::width, y + r * Panel::width);
    Panel::forward(U, rows, y);
    for (int64_t r = 0; r < rows; ++r) std::copy_n(y + r * Panel::width, Panel::width, block + r * kTriangleBlock + c);
  }
}

struct Flag {
  std::atomic<bool> set{false};
};

// Threads take blocks in their order: A minus the products of the blocks above, then a triangular solve. The blocks
// that a block needs come before it, so a thread has taken them already.
bool run_factor(Factor& job) {
  constexpr int64_t size = kTriangleBlock;
  const Blocks blocks{job.n};
  std::vector<Flag> done(blocks.all);
  std::atomic<bool> failed{false};
  auto wait_for = [&](int64_t i, int64_t k) -> const float* {
    const int64_t at = blocks.place(i, k);
    while (!done[at].set.load(std::memory_order_acquire)) {
      if (failed) return nullptr;
      std::this_thread::yield();
    }
    return job.U + at * size * size;
  };
  share_out(job.threads, blocks.all, [&](int64_t task) {
    int64_t i = 0;
    while (i + 1 < blocks.side && blocks.place(i + 1, i + 1) <= task) ++i;
    const int64_t k = i + task - blocks.place(i, i);
    float* const block = job.U + task * size * size;
    std::memset(block, 0, size * size * sizeof(float));
    for (int64_t above = 0; above < i; ++above) {
      const float *const left = wait_for(above, i), *const right = wait_for(above, k);
      if (left == nullptr || right == nullptr) return;
      outer<float, true>(right, size, size, size, left, size, block, size);
    }
    for (int64_t r = 0; r < blocks.rows(i); ++r) {
      const float* const from = job.A + (i * size + r) * job.n + k * size;
      float* const to = block + r * size;
      for (int64_t c = 0; c < blocks.rows(k); ++c) to[c] = from[c] - to[c];
      if (k == i) to[r] += job.ridge;
    }
    if (k == i) {
      if (!factor_block(block, blocks.rows(i))) failed = true;
    } else if (const float* const U = wait_for(i, i)) {
      eliminate_block(U, blocks.rows(i), block);
    }
    if (!failed) done[task].set.store(true, std::memory_order_release);
  });
  return !failed;
}

// The right-hand sides of X from `first` on, as many as `size` vectors hold; y has room for whole blocks.
template <int size>
LINPROBE_ONCE void solve_some(const Triangle& job, int64_t first, float* y) {
  using Right = Lanes<size>;
  constexpr int64_t width = Right::width, step = kTriangleBlock * width, square = kTriangleBlock * kTriangleBlock;
  const Blocks blocks{job.n};
  const int64_t n = job.n, some = std::min(width, job.m - first);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < some; ++k) y[i * width + k] = job.X[(first + k) * n + i];
  std::fill(y + n * width, y + blocks.side * step, 0.0f);  // a 0 of U times NaN would be NaN
  for (int64_t i = 0; i < blocks.side; ++i) {
    const float* const row = job.U + blocks.place(i, i) * square;
    Right::forward(row, blocks.rows(i), y + i * step);
    for (int64_t k = i + 1; k < blocks.side; ++k) Right::eliminate(row + (k - i) * square, y + i * step, y + k * step);
  }
  for (int64_t i = blocks.side - 1; i >= 0; --i) {
    const float* const row = job.U + blocks.place(i, i) * square;
    for (int64_t k = i + 1; k < blocks.side; ++k) Right::eliminate_back(row + (k - i) * square, y + k * step, y + i * step);
    Right::backward(row, blocks.rows(i), y + i * step);
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < some; ++k) job.X[(first + k) * n + i] = y[i * width + k];
}

// Every thread reads the whole factor for a vector of right-hand sides. A single thread takes two vectors at once, and
// reads it half as often.
void run_triangle(Triangle& job) {
  constexpr int64_t lanes = Vector<float>::size;
  const int64_t vectors = (job.m + lanes - 1) / lanes;
  std::atomic<int64_t> next{0};
  pool().run(static_cast<int>(std::min<int64_t>(job.threads, vectors)), [&](int, int members) {
    Buffer<float> y(Blocks{job.n}.side * kTriangleBlock * 2 * lanes);
    const int64_t step = members > 1 ? 1 : 2;
    for (int64_t v; (v = next.fetch_add(step)) < vectors;) {
      if (step == 2 && v + 1 < vectors) solve_some<2>(job, v * lanes, y);
      else solve_some<1>(job, v * lanes, y);
    }
  });
}
