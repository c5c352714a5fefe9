// One step of the alternating direction method (ADMM) over the rows. Included by kernels_impl.hpp.
//
//     s = W x' + b,   v = z + g / rho + relax (s - z),   z = argmin L(z) + (rho / 2) |z - v|²,   g = rho (v - z)
//
// z and g (n, K) float32 are kept between steps; g is the gradient of L at z, and dual feasible as it is.
#pragma once

inline V<double> logarithm(V<double> x) {
  for (int64_t i = 0; i < Vector<double>::size; ++i) x[i] = std::log(x[i]);
  return x;
}

constexpr int kRootSteps = 100;  // Newton steps for the scalar of a row, each inside a bracket
constexpr double kRootError = 1e-12;  // of that scalar: scores and slopes are kept in float32

// z and g of a block of rows, in float64, rows as lanes.
struct ProxOfBlock {
  using Lanes = Vector<double>::type;
  const LossKind kind;
  const double delta, rho;
  const int64_t K;
  Buffer<double> V, G, own, root, low, high, sum, slope, conjugate, P, H, M;

  ProxOfBlock(LossKind kind_, double delta_, double rho_, int64_t K_)
      : kind(kind_), delta(delta_), rho(rho_), K(K_), V(K_ * kBlock), G(K_ * kBlock), own(kBlock), root(kBlock), low(kBlock),
        high(kBlock), sum(kBlock), slope(kBlock), conjugate(kBlock), P(K_ * kBlock), H(K_ * kBlock), M(K_ * kBlock) {}

  // G[k * kBlock + r] from V alike, for n <= kBlock rows with labels y (n).
  LINPROBE_ONCE void run(const int64_t* y, int64_t n) {
    for (int64_t r = 0; r < kBlock; ++r) own[r] = r < n ? V[y[r] * kBlock + r] : 0.0;
    if (kind == LossKind::softmax) softmax(y, n);
    else margins(y, n);
  }

 private:
  // The margin v_j - t + delta of class j, with t = z_y the root of t - v_y = sum of the g_j / rho, has the slope
  // g_j = clip(rho m, 0, 1) of the hinge, or 2 rho / (rho + 2) max(0, m) of its square.
  void margins(const int64_t* y, int64_t n) {
    // local copies and restrict pointers: the compiler would read members again after every write
    const bool squared = kind == LossKind::squared_hinge;
    const double apart = delta, steep = rho, factor = squared ? 2 * steep / (steep + 2) : steep, most = squared ? HUGE_VAL : 1.0;
    double *__restrict v = V, *__restrict t = root, *__restrict least = low, *__restrict top = high, *__restrict label = own,
           *__restrict total = sum, *__restrict rise = slope, *__restrict g = G, *__restrict dual = conjugate;
    for (int64_t r = 0; r < n; ++r) v[y[r] * kBlock + r] = -HUGE_VAL;  // no margin at the label
    for (int64_t r = 0; r < kBlock; ++r) top[r] = label[r];
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const double at = v[k * kBlock + r] + apart;
        top[r] = at > top[r] ? at : top[r];
      }
    for (int64_t r = 0; r < kBlock; ++r) {
      const double all = label[r] + static_cast<double>(K - 1) / steep;
      // the root may be at this end, but a step must end inside the bracket
      top[r] = (squared || top[r] < all ? top[r] : all) + 1 / steep;
      least[r] = t[r] = label[r];
    }
    for (int step = 0; step < kRootSteps; ++step) {
      for (int64_t r = 0; r < kBlock; ++r) total[r] = rise[r] = 0;
      for (int64_t k = 0; k < K; ++k)
        for (int64_t r = 0; r < kBlock; ++r) {
          const double m = factor * (v[k * kBlock + r] - t[r] + apart);
          total[r] += m <= 0 ? 0.0 : (m >= most ? most : m);
          rise[r] += m > 0 && m < most ? factor : 0.0;
        }
      double moving = 0;
      for (int64_t r = 0; r < kBlock; ++r) {
        const double at = t[r], miss = at - label[r] - total[r] / steep;
        const double lower = miss > 0 || at < least[r] ? least[r] : at, upper = miss > 0 && at < top[r] ? at : top[r];
        const double newton = at - miss / (1 + rise[r] / steep);
        // A step to an end of the bracket would repeat an earlier one.
        const double moved = (newton > lower && newton < upper) || newton == at ? newton : 0.5 * (lower + upper);
        const double settled = kRootError * (std::abs(moved) + std::abs(label[r]) + apart);
        moving += r < n && std::abs(moved - at) > settled ? 1.0 : 0.0;
        least[r] = lower, top[r] = upper, t[r] = moved;
      }
      if (moving == 0) break;
    }
    for (int64_t r = 0; r < kBlock; ++r) total[r] = dual[r] = 0;
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const double m = factor * (v[k * kBlock + r] - t[r] + apart);
        const double of = static_cast<float>(m <= 0 ? 0.0 : (m >= most ? most : m));  // rounded as it is stored
        g[k * kBlock + r] = of;
        total[r] += of;
        dual[r] += squared ? of * of / 4 - apart * of : -apart * of;
      }
    for (int64_t r = 0; r < n; ++r) v[y[r] * kBlock + r] = label[r], g[y[r] * kBlock + r] = -total[r];
  }

  // g = p - e_y with log p_j + p_j / rho = q_j - lambda, q = v + e_y / rho, and lambda such that sum p = 1.
  void softmax(const int64_t* y, int64_t n) {
    for (int64_t r = 0; r < n; ++r) V[y[r] * kBlock + r] += 1 / rho;
    for (int64_t r = 0; r < n; r += Vector<double>::size) softmax_of_lanes(r, std::min(Vector<double>::size, n - r));
    for (int64_t r = 0; r < n; ++r) V[y[r] * kBlock + r] -= 1 / rho;
    for (int64_t r = 0; r < n; ++r) {
      double others = 0;
      for (int64_t k = 0; k < K; ++k) others += k == y[r] ? 0.0 : G[k * kBlock + r];
      G[y[r] * kBlock + r] = -others;
    }
  }

  // p of a vector of rows from `first` on, `n` of which count: Newton's method in log p and lambda together.
  void softmax_of_lanes(int64_t first, int64_t n) {
    Lanes lambda = load(V + first), total{};
    for (int64_t k = 1; k < K; ++k) {
      const Lanes v = load(V + k * kBlock + first);
      lambda = v > lambda ? v : lambda;
    }
    for (int64_t k = 0; k < K; ++k) {
      // where p is large the term p / rho flattens it: start from the softmax of a milder slope
      const Lanes w = (load(V + k * kBlock + first) - lambda) * (rho / (1 + rho));
      store(G + k * kBlock + first, w);
      total += exponential(w);
    }
    const Lanes start = logarithm(total);
    for (int64_t k = 0; k < K; ++k) store(G + k * kBlock + first, load(G + k * kBlock + first) - start);
    for (int step = 0; step < kRootSteps; ++step) {
      Lanes sums{}, slopes{}, misses{}, worst{};
      for (int64_t k = 0; k < K; ++k) {
        const Lanes w = load(G + k * kBlock + first), p = exponential(w > 0 ? Lanes{} : w), h = rho / (rho + p);
        const Lanes miss = w + p / rho + lambda - load(V + k * kBlock + first);
        sums += p, slopes += h * p, misses += miss * h * p;
        store(P + k * kBlock + first, p), store(H + k * kBlock + first, h), store(M + k * kBlock + first, miss);
      }
      const Lanes moved = (sums - 1 - misses) / slopes;
      for (int64_t k = 0; k < K; ++k) {
        const Lanes p = load(P + k * kBlock + first);
        Lanes change = -(load(M + k * kBlock + first) + moved) * load(H + k * kBlock + first);
        change = change > 2 ? Lanes{} + 2 : change;  // bounds e^w
        const Lanes w = load(G + k * kBlock + first) + change, size = (change < 0 ? -change : change) * (p + 1e-12);
        store(G + k * kBlock + first, w > 0 ? Lanes{} : w);
        worst = size > worst ? size : worst;
      }
      lambda += moved;
      double most = 0;
      for (int64_t i = 0; i < n; ++i) most = std::max(most, worst[i]);
      if (most < 1e-14) break;
    }
    Lanes sums{}, conjugates{};
    for (int64_t k = 0; k < K; ++k) {
      const Lanes p = exponential(load(G + k * kBlock + first));
      store(P + k * kBlock + first, p);
      sums += p;
    }
    const Lanes logarithms = logarithm(sums);
    for (int64_t k = 0; k < K; ++k) {
      const Lanes p = load(P + k * kBlock + first) / sums;
      conjugates += p * (load(G + k * kBlock + first) - logarithms);
      store(G + k * kBlock + first, p);
    }
    store(conjugate + first, conjugates);
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
               int64_t first, int64_t rows, const float* S, float* dS, double* sum) LINPROBE_MUTABLE_ONCE {
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
          sum[1] += loss.argmax[r] == y[r] && weight > 0 ? 1.0 : 0.0;
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
