// Dual coordinate ascent over listed pairs, in float32: see dual.hpp. Included by dual_*.cpp, after dual_impl.hpp.
#pragma once

constexpr int64_t kSlice = 128;  // features that a thread sums at a time: eight cache lines of a row
constexpr int64_t kAhead = 2;    // visits ahead for which a row is fetched

// The sum of the lanes, in halves: a loop over them would wait for each addition.
inline float halved_sum(V<float> v) {
  float lanes[Vector<float>::size];
  store<float>(lanes, v);
  for (int64_t half = Vector<float>::size / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

// Products of x (D) with four rows of float32.
inline void four_single_products(const float* x, const float* const* w, int64_t D, double* out) {
  using Vf = V<float>;
  constexpr int64_t size = Vector<float>::size;
  Vf t0{}, t1{}, t2{}, t3{};
  int64_t d = 0;
  for (; d + size <= D; d += size) {
    const Vf v = load(x + d);
    t0 += v * load(w[0] + d);
    t1 += v * load(w[1] + d);
    t2 += v * load(w[2] + d);
    t3 += v * load(w[3] + d);
  }
  float totals[4] = {halved_sum(t0), halved_sum(t1), halved_sum(t2), halved_sum(t3)};
  for (; d < D; ++d)
    for (int k = 0; k < 4; ++k) totals[k] += x[d] * w[k][d];
  for (int k = 0; k < 4; ++k) out[k] = totals[k];
}

// to (D) += factor * x (D).
inline void add_single_row(float factor, const float* x, int64_t D, float* to) {
  constexpr int64_t size = Vector<float>::size;
  const V<float> factors = spread(factor);
  int64_t d = 0;
  for (; d + size <= D; d += size) store<float>(to + d, load(to + d) + factors * load(x + d));
  for (; d < D; ++d) to[d] += factor * x[d];
}

inline void single_weights_of(const float* v, int64_t D, float size, float inverse, float* w) {
  for (int64_t d = 0; d < D; ++d) w[d] = (v[d] - std::min(std::max(v[d], -size), size)) * inverse;
}

inline void fetch_row(const float* x, int64_t D) {
  for (int64_t d = 0; d < D; d += 16) __builtin_prefetch(x + d);
}

inline void run_dual_pairs(DualPairs& job) {
  constexpr int64_t lanes = Vector<double>::size;
  const int64_t K = job.K, D = job.D;
  Buffer<double> v(padded(K)), scores(padded(K) + 4);
  Buffer<int64_t> classes(K + 4), pairs(K);
  const float* weights = job.W != nullptr ? job.W : job.V;
  const double factor_of_scores = job.W != nullptr ? 1.0 : 1.0 / job.lambda;
  job.gain = 0, job.products = 0;
  for (int64_t visit = 0; visit < job.n; ++visit) {
    const int64_t i = job.order[visit], y = job.y[i];
    if (visit + kAhead < job.n) fetch_row(job.rows + job.order[visit + kAhead] * D, D);
    int64_t n = 0;
    for (int64_t p = job.ends[i]; p < job.ends[i + 1]; ++p)
      if (job.all || job.A[p] != 0) pairs[n] = p, classes[n++] = job.classes[p];
    if (n == 0) continue;
    const float* x = job.rows + i * D;
    const double share = job.share[i], most = share * job.most, q = job.squares[i] / job.lambda + job.bias;
    const double own_curvature = 1 / (job.curvature * share), factor = q / (q + own_curvature);
    for (int64_t k = n; k < n + 4; ++k) classes[k] = y;
    for (int64_t k = 0; k <= n; k += 4) {
      const float* w[4];
      for (int64_t l = 0; l < 4; ++l) w[l] = weights + classes[k + l] * D;
      four_single_products(x, w, D, &scores[k]);
    }
    job.products += n + 1;
    const double own = factor_of_scores * scores[n] + job.b[y];
    double gain = 0, before = 0;
    for (int64_t k = 0; k < n; ++k) {
      const double at = job.A[pairs[k]], margin = factor_of_scores * scores[k] + job.b[classes[k]] - own + job.delta;
      const double slope = margin - at * own_curvature;
      gain += slope * std::min(std::max(slope / (2 * q + own_curvature), -at), most - at);
      v[k] = at + margin / q;
      before += at;
    }
    job.gain += gain;
    if (!(gain > job.threshold)) continue;
    int64_t padded_n = n;
    for (; padded_n % lanes != 0; ++padded_n) v[padded_n] = -std::numeric_limits<double>::infinity();
    const double T = dual_root(v, padded_n, factor, most, before);
    double total = 0;
    for (int64_t k = 0; k <= n; ++k) {
      double change = -total;
      if (k < n) {
        double& at = job.A[pairs[k]];
        const double moved = std::min(std::max(factor * (v[k] - T), 0.0), most);
        change = moved - at;
        at = moved;
        total += change;
      }
      if (change == 0) continue;
      const int64_t j = classes[k];
      add_single_row(static_cast<float>(-change), x, D, job.V + j * D);
      if (job.W != nullptr)
        single_weights_of(job.V + j * D, D, static_cast<float>(job.size), static_cast<float>(1 / job.lambda), job.W + j * D);
      job.b[j] -= change * job.bias;
      ++job.products;
    }
  }
}

inline void run_dual_sums(const DualSums& job) {
  const int64_t K = job.K, D = job.D, slices = (D + kSlice - 1) / kSlice;
  std::atomic<int64_t> next{0};
  pool().run(static_cast<int>(std::min<int64_t>(job.threads, slices)), [&](int, int) {
    Buffer<double> sums(K * kSlice);
    for (int64_t slice; (slice = next.fetch_add(1)) < slices;) {
      const int64_t first = slice * kSlice, width = std::min(kSlice, D - first);
      std::fill(sums.data, sums.data + K * kSlice, 0.0);
      for (int64_t i = 0; i < job.N; ++i) {
        const float* x = job.rows + i * D + first;
        double total = 0;
        for (int64_t p = job.ends[i]; p < job.ends[i + 1]; ++p) {
          if (job.A[p] == 0) continue;
          add_row(-job.A[p], x, width, sums + job.classes[p] * kSlice);
          total += job.A[p];
        }
        if (total != 0) add_row(total, x, width, sums + job.y[i] * kSlice);
      }
      for (int64_t k = 0; k < K; ++k) std::copy(sums + k * kSlice, sums + k * kSlice + width, job.V + k * D + first);
    }
  });
}
