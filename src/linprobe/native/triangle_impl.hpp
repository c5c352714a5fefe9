// (UᵀU)⁻¹ applied to a few right sides, U upper triangular: the factor is read twice, and nothing of it copied. Included by
// kernels_impl.hpp.
#pragma once

#if LINPROBE_VECTOR_BYTES == 64
constexpr int64_t kTriangleRows = 8;  // of U at once: with 2 vectors 16 accumulators, and one of the other rows
#else
constexpr int64_t kTriangleRows = 4;
#endif

// y (n, size vectors) in place, a right side in every lane.
template <int size>
LINPROBE_ONCE void solve_lanes(const float* U, int64_t n, float* y) {
  using Row = V<float>[size];
  constexpr int64_t lanes = Vector<float>::size, R = kTriangleRows;
  auto read = [&](Row& row, int64_t i) {
#pragma GCC unroll 4
    for (int v = 0; v < size; ++v) row[v] = load(y + (i * size + v) * lanes);
  };
  auto write = [&](const Row& row, int64_t i) {
#pragma GCC unroll 4
    for (int v = 0; v < size; ++v) store<float>(y + (i * size + v) * lanes, row[v]);
  };
  auto subtract = [](Row& from, float factor, const Row& row) {
    const V<float> factors = held<float>(spread(factor));
#pragma GCC unroll 4
    for (int v = 0; v < size; ++v) from[v] -= factors * row[v];
  };
  auto divide = [](Row& row, float by) {
#pragma GCC unroll 4
    for (int v = 0; v < size; ++v) row[v] /= spread(by);
  };
  const int64_t last = (n - 1) / R * R;
  Row x[R], other;
  for (int64_t i = 0; i <= last; i += R) {  // Uᵀ
    const int64_t rows = std::min(R, n - i);
    const float* u = U + i * n + i;
    for (int64_t r = 0; r < rows; ++r) read(x[r], i + r);
    for (int64_t r = 0; r < rows; ++r) {
      divide(x[r], u[r * n + r]);
      for (int64_t q = r + 1; q < rows; ++q) subtract(x[q], u[r * n + q], x[r]);
    }
    for (int64_t r = 0; r < rows; ++r) write(x[r], i + r);
    for (int64_t j = R; j < n - i; ++j) {
      read(other, i + j);
#pragma GCC unroll 8
      for (int64_t r = 0; r < R; ++r) subtract(other, u[r * n + j], x[r]);
      write(other, i + j);
    }
  }
  for (int64_t i = last; i >= 0; i -= R) {  // U
    const int64_t rows = std::min(R, n - i);
    const float* u = U + i * n + i;
    for (int64_t r = 0; r < rows; ++r) read(x[r], i + r);
    for (int64_t j = R; j < n - i; ++j) {
      read(other, i + j);
#pragma GCC unroll 8
      for (int64_t r = 0; r < R; ++r) subtract(x[r], u[r * n + j], other);
    }
    for (int64_t r = rows - 1; r >= 0; --r) {
      divide(x[r], u[r * n + r]);
      for (int64_t q = 0; q < r; ++q) subtract(x[q], u[q * n + r], x[r]);
    }
    for (int64_t r = 0; r < rows; ++r) write(x[r], i + r);
  }
}

void run_triangle(Triangle& job) {
  constexpr int64_t lanes = Vector<float>::size;
  const int64_t n = job.n;
  Buffer<float> y(n * 2 * lanes);
  for (int64_t first = 0; first < job.m;) {
    const int64_t left = job.m - first, vectors = left > lanes ? 2 : 1, some = std::min(left, vectors * lanes);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t k = 0; k < some; ++k) y[i * vectors * lanes + k] = job.X[(first + k) * n + i];
    if (vectors == 2) solve_lanes<2>(job.U, n, y);
    else solve_lanes<1>(job.U, n, y);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t k = 0; k < some; ++k) job.X[(first + k) * n + i] = y[i * vectors * lanes + k];
    first += some;
  }
}
