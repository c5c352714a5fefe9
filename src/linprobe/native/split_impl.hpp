// One step of the alternating direction method (ADMM) over the rows. Included by kernels_impl.hpp.
//
//     s = W x' + b,   v = z + g / rho + relax (s - z),   z = argmin L(z) + (rho / 2) |z - v|²,   g = rho (v - z)
//
// z and g (n, K) float32 are kept between steps; g is the gradient of L at z, and dual feasible as it is.
#pragma once

inline double exponential_of(double x) { return exponential(V<double>{} + x)[0]; }

constexpr int kRootSteps = 100;  // Newton's steps for the scalar of a row, each inside a bracket

// z and g of a block of rows, in float64, rows as lanes.
struct ProxOfBlock {
  const LossKind kind;
  const double delta, rho;
  const int64_t K;
  Buffer<double> V, G, own, root, low, high, sum, slope, conjugate;

  ProxOfBlock(LossKind kind_, double delta_, double rho_, int64_t K_)
      : kind(kind_), delta(delta_), rho(rho_), K(K_), V(K_ * kBlock), G(K_ * kBlock), own(kBlock), root(kBlock), low(kBlock),
        high(kBlock), sum(kBlock), slope(kBlock), conjugate(kBlock) {}

  // G[k * kBlock + r] from V alike, for n <= kBlock rows with labels y (n).
  void run(const int64_t* y, int64_t n) {
    for (int64_t r = 0; r < kBlock; ++r) own[r] = r < n ? V[y[r] * kBlock + r] : 0.0;
    if (kind == LossKind::softmax) softmax(y, n);
    else margins(y, n);
  }

 private:
  // The margin v_j - t + delta of class j, with t = z_y the root of t - v_y = sum of the g_j / rho, has the slope
  // g_j = clip(rho m, 0, 1) of the hinge, or 2 rho / (rho + 2) max(0, m) of its square.
  void margins(const int64_t* y, int64_t n) {
    const bool squared = kind == LossKind::squared_hinge;
    const double factor = squared ? 2 * rho / (rho + 2) : rho, most = squared ? HUGE_VAL : 1.0;
    for (int64_t r = 0; r < n; ++r) V[y[r] * kBlock + r] = -HUGE_VAL;  // no margin of its own
    for (int64_t r = 0; r < kBlock; ++r) {
      double top = own[r];
      for (int64_t k = 0; k < K; ++k) top = std::max(top, V[k * kBlock + r] + delta);
      low[r] = own[r], high[r] = squared ? top : std::min(top, own[r] + static_cast<double>(K - 1) / rho);
      root[r] = own[r];
    }
    for (int step = 0; step < kRootSteps; ++step) {
      for (int64_t r = 0; r < kBlock; ++r) sum[r] = slope[r] = 0;
      for (int64_t k = 0; k < K; ++k)
        for (int64_t r = 0; r < kBlock; ++r) {
          const double m = factor * (V[k * kBlock + r] - root[r] + delta);
          sum[r] += m <= 0 ? 0.0 : (m >= most ? most : m);
          slope[r] += m > 0 && m < most ? factor : 0.0;
        }
      double worst = 0;
      for (int64_t r = 0; r < n; ++r) {
        const double miss = root[r] - own[r] - sum[r] / rho;
        if (miss > 0) high[r] = std::min(high[r], root[r]);
        else low[r] = std::max(low[r], root[r]);
        double moved = root[r] - miss / (1 + slope[r] / rho);
        // A step to an end of the bracket, where it was before, would go round in a circle.
        if (!(moved > low[r] && moved < high[r]) && moved != root[r]) moved = 0.5 * (low[r] + high[r]);
        const double scale = 1e-15 * (std::abs(moved) + std::abs(own[r]) + delta);
        if (std::abs(moved - root[r]) > scale) worst = 1;
        root[r] = moved;
      }
      if (worst == 0) break;
    }
    for (int64_t r = 0; r < kBlock; ++r) sum[r] = conjugate[r] = 0;
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const double m = factor * (V[k * kBlock + r] - root[r] + delta);
        const double g = static_cast<float>(m <= 0 ? 0.0 : (m >= most ? most : m));  // as it is kept
        G[k * kBlock + r] = g;
        sum[r] += g;
        conjugate[r] += squared ? g * g / 4 - delta * g : -delta * g;
      }
    for (int64_t r = 0; r < n; ++r) V[y[r] * kBlock + r] = own[r], G[y[r] * kBlock + r] = -sum[r];
  }

  // g = p - e_y with log p_j + p_j / rho = q_j - lambda, q = v + e_y / rho, and lambda such that sum p = 1: Newton's
  // method in log p and lambda together.
  void softmax(const int64_t* y, int64_t n) {
    for (int64_t r = 0; r < n; ++r) V[y[r] * kBlock + r] += 1 / rho;
    for (int64_t r = 0; r < kBlock; ++r) {
      high[r] = V[r];
      for (int64_t k = 1; k < K; ++k) high[r] = std::max(high[r], V[k * kBlock + r]);
      sum[r] = 0;
    }
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        // where p is large the term p / rho flattens it: start from the softmax of a milder slope
        G[k * kBlock + r] = (V[k * kBlock + r] - high[r]) * (rho / (1 + rho));
        sum[r] += exponential_of(G[k * kBlock + r]);
      }
    for (int64_t r = 0; r < kBlock; ++r) root[r] = std::log(sum[r]);
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) G[k * kBlock + r] -= root[r];
    for (int64_t r = 0; r < kBlock; ++r) root[r] = high[r];  // lambda
    for (int step = 0; step < kRootSteps; ++step) {
      for (int64_t r = 0; r < kBlock; ++r) sum[r] = slope[r] = low[r] = 0;
      for (int64_t k = 0; k < K; ++k)
        for (int64_t r = 0; r < kBlock; ++r) {
          const double p = exponential_of(std::min(G[k * kBlock + r], 0.0)), h = p * rho / (rho + p);
          const double miss = G[k * kBlock + r] + p / rho + root[r] - V[k * kBlock + r];
          sum[r] += p, slope[r] += h, low[r] += miss * h;
        }
      double worst = 0;
      for (int64_t r = 0; r < kBlock; ++r) own[r] = -(1 - sum[r] + low[r]) / slope[r];
      for (int64_t k = 0; k < K; ++k)
        for (int64_t r = 0; r < kBlock; ++r) {
          const double w = G[k * kBlock + r], p = exponential_of(std::min(w, 0.0));
          const double miss = w + p / rho + root[r] - V[k * kBlock + r];
          double change = -(miss + own[r]) * rho / (rho + p);
          change = std::min(change, 2.0);  // e^w must not run away
          G[k * kBlock + r] = std::min(w + change, 0.0);
          if (r < n) worst = std::max(worst, std::abs(change) * (p + 1e-12));
        }
      for (int64_t r = 0; r < kBlock; ++r) root[r] += own[r];
      if (worst < 1e-14) break;
    }
    for (int64_t r = 0; r < kBlock; ++r) sum[r] = low[r] = conjugate[r] = 0;
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) sum[r] += exponential_of(std::min(G[k * kBlock + r], 0.0));
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const double p = exponential_of(std::min(G[k * kBlock + r], 0.0)) / sum[r];
        conjugate[r] += p > 0 ? p * std::log(p) : 0.0;
        G[k * kBlock + r] = p;
      }
    for (int64_t r = 0; r < n; ++r) V[y[r] * kBlock + r] -= 1 / rho;
    for (int64_t r = 0; r < n; ++r) {
      double others = 0;
      for (int64_t k = 0; k < K; ++k) others += k == y[r] ? 0.0 : G[k * kBlock + r];
      G[y[r] * kBlock + r] = -others;
    }
  }
};

bool run_split(Split& job) {
  const int64_t D = job.rows.D, K = job.K, ld = padded(D);
  const int64_t columns = job.dual ? 2 * K : K;  // of z - g / rho - s, and of g
  const Folded<float> folded(job.rows, K < kFusedTemplates);
  Buffer<float> W(K * ld);
  Buffer<double> b(K), back(columns * ld), sums(4 + columns);
  for (int64_t k = 0; k < K; ++k)
    b[k] = job.b[k] + folded.fold([&](int64_t d) { return job.W[k * D + d]; }, W + k * ld);
  const Plan<float> plan{job.rows, job.threads, job.interrupted, 0, W, K, back, columns, sums, 4 + columns};
  const bool finished = folded.run(plan, [&] {
    return [&job, &b, K, columns, loss = LossOfBlock(job.loss, job.delta, K), prox = ProxOfBlock(job.loss, job.delta, job.rho, K)](
               int64_t first, int64_t rows, const float* S, float* dS, double* sum) mutable {
      for (int64_t sub = 0; sub < rows; sub += kBlock) {
        const int64_t count = std::min(kBlock, rows - sub), row = first + sub;
        const int64_t* y = job.y + row;
        float *z = job.z + row * K, *g = job.g + row * K;
        for (int64_t r = 0; r < count; ++r)
          for (int64_t k = 0; k < K; ++k) {
            const double s = static_cast<double>(S[(sub + r) * K + k]) + b[k], at = z[r * K + k];
            loss.S[k * kBlock + r] = s;
            prox.V[k * kBlock + r] = at + g[r * K + k] / job.rho + job.relax * (s - at);
          }
        loss.run(y, count);
        prox.run(y, count);
        for (int64_t r = 0; r < count; ++r) {
          const double weight = job.weight != nullptr ? job.weight[row + r] : 1.0;
          sum[0] += weight * loss.loss[r];
          sum[1] += loss.argmax[r] == y[r] ? weight : 0.0;
          sum[2] += weight;
          sum[3] += weight * prox.conjugate[r];
          for (int64_t k = 0; k < K; ++k) {
            const double gradient = prox.G[k * kBlock + r], point = prox.V[k * kBlock + r] - gradient / job.rho;
            z[r * K + k] = static_cast<float>(point);
            g[r * K + k] = static_cast<float>(gradient);
            const double score = static_cast<double>(S[(sub + r) * K + k]) + b[k];
            const double miss = weight * (point - gradient / job.rho - score);
            dS[(sub + r) * columns + k] = static_cast<float>(miss);
            sum[4 + k] += miss;
            if (job.dual) {
              dS[(sub + r) * columns + K + k] = static_cast<float>(weight * gradient);
              sum[4 + K + k] += weight * gradient;
            }
          }
        }
      }
    };
  });
  std::copy_n(sums.data, 4, job.sums);
  folded.unfold(back, columns, [&](int64_t m) { return sums[4 + m]; });
  for (int64_t m = 0; m < columns; ++m) {
    std::copy_n(back + m * ld, D, job.back + m * D);
    job.columns[m] = sums[4 + m];
  }
  return finished;
}
