// One sweep of dual coordinate ascent, image by image: see dual.hpp for the problem and the notation. Each dual_*.cpp
// includes this file in its own namespace, with its own vector width.
#pragma once

constexpr int kRootSteps = 100;  // Newton steps of dual_root, at most; 3 to 6 are usual. Chosen by argument

// The root T of sum_j clip(factor (v_j - T), 0, most) - before - T, which falls as T grows. T is the sum of the changes
// of the A_j of an image, if all of them move to their common optimum A_j = clip(factor (v_j - T), 0, most). Newton's
// method, and bisection where its step would leave the bracket [low, high]. v (n), with n a multiple of the vector
// length; `before` is the sum of the A_j so far.
inline double dual_root(const double* v, int64_t n, double factor, double most, double before) {
  using D = V<double>;
  constexpr int64_t size = Vector<double>::size;
  double T = 0, low = -std::numeric_limits<double>::infinity(), high = -low;
  for (int step = 0; step < kRootSteps; ++step) {
    D totals{}, inside{};
    const D zero{}, one = zero + 1.0, top = zero + most, at = zero + T;
    for (int64_t j = 0; j < n; j += size) {
      const D g = factor * (load(v + j) - at);
      totals += g > zero ? (g < top ? g : top) : zero;
      inside += ((g > zero) & (g < top)) ? one : zero;
    }
    const double miss = sum<double>(totals) - before - T;
    (miss > 0 ? low : high) = T;
    double moved = T + miss / (1 + factor * sum<double>(inside));
    if (!(moved > low && moved < high) && std::isfinite(low) && std::isfinite(high)) moved = low + 0.5 * (high - low);
    if (std::abs(moved - T) <= 1e-15 * (std::abs(moved) + before)) return moved;
    T = moved;
  }
  return T;
}

// out (4): the products of x (D) with four rows of W, to which w (4) points.
template <class S>
inline void four_products(const S* x, const double* const* w, int64_t D, double* out) {
  using Vd = V<double>;
  constexpr int64_t size = Vector<double>::size;
  Vd t0{}, t1{}, t2{}, t3{};
  int64_t d = 0;
  for (; d + size <= D; d += size) {
    const Vd v = Widen<double, S>::run(x + d);
    t0 += v * load(w[0] + d);
    t1 += v * load(w[1] + d);
    t2 += v * load(w[2] + d);
    t3 += v * load(w[3] + d);
  }
  out[0] = sum<double>(t0), out[1] = sum<double>(t1), out[2] = sum<double>(t2), out[3] = sum<double>(t3);
  for (; d < D; ++d)
    for (int k = 0; k < 4; ++k) out[k] += static_cast<double>(x[d]) * w[k][d];
}

// to (D) += factor * x (D).
template <class S>
inline void add_row(double factor, const S* x, int64_t D, double* to) {
  constexpr int64_t size = Vector<double>::size;
  const V<double> factors = V<double>{} + factor;
  int64_t d = 0;
  for (; d + size <= D; d += size) store<double>(to + d, load(to + d) + factors * Widen<double, S>::run(x + d));
  for (; d < D; ++d) to[d] += factor * static_cast<double>(x[d]);
}

// w (D) = soft(v, size) / lambda, with soft thresholding: v is moved towards 0 by size, and not beyond it.
inline void weights_of(const double* v, int64_t D, double size, double lambda, double* w) {
  for (int64_t d = 0; d < D; ++d) w[d] = (v[d] - std::min(std::max(v[d], -size), size)) / lambda;
}

// Visits the images of job.order. For image i with label y, all A_ij with j != y are set to their common optimum, if
// the predicted gain exceeds job.threshold. With q = |x_i|² / lambda + bias, the changes of the A_ij lower the margin
// of j by q (change_j + sum of all changes), or by less with `size` > 0. Rows are S: float32 or float64; sums are
// float64.
template <class S>
void run_dual_sweep(DualSweep& job) {
  constexpr int64_t lanes = Vector<double>::size;
  const int64_t K = job.K, D = job.D;
  const S* rows = static_cast<const S*>(job.rows);
  Buffer<double> v(padded(K)), scores(padded(K) + 4);
  Buffer<int64_t> classes(K + 4);
  job.gain = 0, job.products = 0;
  for (int64_t visit = 0; visit < job.n; ++visit) {
    const int64_t i = job.order[visit], y = job.y[i];
    const S* x = rows + i * D;
    double* A = job.A + i * K;
    const double share = job.share[i], most = share * job.most, q = job.squares[i] / job.lambda + job.bias;
    const double own_curvature = 1 / (job.curvature * share), factor = q / (q + own_curvature);
    int64_t n = 0;  // the coordinates to optimise: all, or those that are not 0
    for (int64_t j = 0; j < K; ++j)
      if (j != y && (job.all || A[j] != 0)) classes[n++] = j;
    if (n == 0) continue;
    classes[n] = y;
    // scores[k], without the bias, of these classes and the label
    if (job.gram) {
      for (int64_t k = 0; k <= n; ++k) scores[k] = job.V[classes[k] * D + i] / job.lambda;
    } else {
      for (int64_t k = n + 1; k < n + 4; ++k) classes[k] = y;  // padding: four products at a time
      for (int64_t k = 0; k <= n; k += 4) {
        const double* w[4];
        for (int64_t l = 0; l < 4; ++l) w[l] = job.W + classes[k + l] * D;
        four_products(x, w, D, &scores[k]);
      }
      job.products += n + 1;
    }
    const double own = scores[n] + job.b[y];
    double gain = 0, before = 0;  // gain: of the best change of each coordinate alone, summed
    for (int64_t k = 0; k < n; ++k) {
      const int64_t j = classes[k];
      const double margin = scores[k] + job.b[j] - own + job.delta, slope = margin - A[j] * own_curvature;
      const double change = std::min(std::max(slope / (2 * q + own_curvature), -A[j]), most - A[j]);
      gain += slope * change;
      v[k] = A[j] + margin / q;
      before += A[j];
    }
    job.gain += gain;
    if (!(gain > job.threshold)) continue;
    int64_t ends = n;  // padded to whole vectors: -inf adds nothing to a sum
    for (; ends % lanes != 0; ++ends) v[ends] = -std::numeric_limits<double>::infinity();
    const double T = dual_root(v, ends, factor, most, before);
    double total = 0;
    for (int64_t k = 0; k <= n; ++k) {
      const int64_t j = classes[k];
      double change = -total;  // of the label, k = n: minus the sum of the others
      if (k < n) {
        const double moved = std::min(std::max(factor * (v[k] - T), 0.0), most);
        change = moved - A[j];
        A[j] = moved;
        total += change;
      }
      if (change == 0) continue;
      double* row = job.V + j * D;
      add_row(-change, x, D, row);
      if (!job.gram) weights_of(row, D, job.size, job.lambda, job.W + j * D);
      job.b[j] -= change * job.bias;
      ++job.products;
    }
  }
}
