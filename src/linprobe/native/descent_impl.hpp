// Coordinate descent on a quadratic model with |W|: one weight at a time goes to its minimum. Included by
// kernels_impl.hpp.
#pragma once

constexpr int64_t kSweepsBetween = 4;    // sweeps over the nonzero weights between two over all
constexpr double kLeastCurvature = 1e-3;  // curvature of a weight, as a share of that without the pairs

// to (n) += factor * from (n).
inline void add_multiple(float factor, const float* from, int64_t n, float* to) {
  const V<float> factors = spread(factor);
  int64_t i = 0;
  for (; i + Vector<float>::size <= n; i += Vector<float>::size)
    store<float>(to + i, load(to + i) + factors * load(from + i));
  for (; i < n; ++i) to[i] += factor * from[i];
}

inline float product(const float* a, const float* b, int64_t n) {
  V<float> totals{};
  int64_t i = 0;
  for (; i + Vector<float>::size <= n; i += Vector<float>::size) totals += load(a + i) * load(b + i);
  float total = sum<float>(totals);
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

// Ends after `most` sweeps, or when no slope changed by `tol` or more in a sweep over all weights.
void run_descent(Descent& job) {
  const int64_t n = job.n, K = job.K, m = job.m, columns = n + 1;
  const float *left = job.left, *right = job.right;
  Buffer<double> curvatures(columns * K), at(K);
  for (int64_t i = 0; i < columns * K; ++i) {
    const int64_t j = i / K, k = i % K;
    const double curvature = job.coupling[k * K + k] * (j < n ? job.gram[j * n + j] : 1.0) + (j < n ? job.ridge : 0.0);
    curvatures[i] = std::max(curvature - product(left + i * m, right + i * m, m), kLeastCurvature * curvature);
  }
  bool all = true;
  for (job.sweeps = 0, job.largest = 0; job.sweeps < job.most;) {
    double largest = 0;
    for (int64_t j = 0; j < columns; ++j) {
      double* w = job.W + j * K;
      bool any = all || j == n;
      for (int64_t k = 0; k < K && !any; ++k) any = w[k] != 0;
      if (!any) continue;
      const float* row = job.gram + j * n;  // past the end for the bias, which no feature sees
      const double own = j < n ? row[j] : 1.0, ridge = j < n ? job.ridge : 0.0, size = j < n ? job.size : 0.0;
      for (int64_t k = 0; k < K; ++k) at[k] = job.moved[k * columns + j];
      for (int64_t k = 0; k < K; ++k) {
        const int64_t i = j * K + k;
        if (!all && w[k] == 0 && j < n) continue;
        double slope = job.slope[i] + ridge * w[k] - product(left + i * m, job.sums, m);
        for (int64_t l = 0; l < K; ++l) slope += job.coupling[k * K + l] * at[l];
        double to = 0;
        if (curvatures[i] > 0) {
          const double aim = w[k] - slope / curvatures[i], least = size / curvatures[i];
          to = aim > least ? aim - least : aim < -least ? aim + least : 0;
        }
        const double change = to - w[k];
        if (change == 0) continue;
        w[k] = to;
        largest = std::max(largest, std::abs(change) * curvatures[i]);
        at[k] += change * own;
        if (j < n) add_multiple(static_cast<float>(change), row, n, job.moved + k * columns);
        else job.moved[k * columns + n] += static_cast<float>(change);
        add_multiple(static_cast<float>(change), right + i * m, m, job.sums);
      }
    }
    ++job.sweeps;
    if (all) job.largest = largest;
    if (largest <= job.tol) {
      if (all) break;
      all = true;
    } else all = job.sweeps % (kSweepsBetween + 1) == 0;
  }
}
