// See curved.hpp. Included by curved_common.hpp.
#pragma once

constexpr int64_t kShares = 8;  // partial sums of a product, of one order in every instruction set
constexpr int64_t kMostFactored = 128;  // weights of a class up to which their curvature is factored
constexpr int kHalvings = 6;    // of a step of `krylov` that does not lower the model

template <class T>
struct CurvedModel {
  Curved& job;
  const T* X;
  explicit CurvedModel(Curved& given) : job(given), X(static_cast<const T*>(given.X)) {}

  // sum over the entries of class k of x_j times the present slope.
  double slope_of(int64_t j, int64_t k) const {
    const T* x = X + j * job.N;
    const int64_t *image = job.image, end = job.ends[k + 1];
    const double *d = job.d, *v = job.v, *w = job.w, *z = job.z, *c = job.c, *e = job.e;
    double sums[kShares] = {};
    int64_t p = job.ends[k];
    for (; p + kShares <= end; p += kShares)
      for (int64_t l = 0; l < kShares; ++l) {
        const int64_t q = p + l, i = image[q];
        sums[l] += static_cast<double>(x[i]) * (d[q] * z[q] - v[q] * e[i] - w[q] * c[i]);
      }
    for (int64_t l = 0; p < end; ++p, ++l) {
      const int64_t i = image[p];
      sums[l] += static_cast<double>(x[i]) * (d[p] * z[p] - v[p] * e[i] - w[p] * c[i]);
    }
    return total(sums);
  }

  // The scores of class k move by `change` times x_j; without x, by `change`.
  void move(const T* x, int64_t k, double change) const {
    const int64_t* image = job.image;
    const double *v = job.v, *w = job.w;
    double *z = job.z, *c = job.c, *e = job.e;
    LINPROBE_INDEPENDENT
    for (int64_t p = job.ends[k]; p < job.ends[k + 1]; ++p) {  // the images of a class are all different
      const int64_t i = image[p];
      const double moved = x == nullptr ? change : change * static_cast<double>(x[i]);
      z[p] += moved, c[i] += v[p] * moved, e[i] += w[p] * moved;
    }
  }

  static double total(const double* sums) {
    double all = 0;
    for (int64_t l = 0; l < kShares; ++l) all += sums[l];
    return all;
  }

  // out_k = change of the slope of the bias of class k since the start.
  void bias_slopes(double* out) const {
    for (int64_t k = 0; k < job.K; ++k) {
      double sum = 0;
      for (int64_t p = job.ends[k]; p < job.ends[k + 1]; ++p) {
        const int64_t i = job.image[p];
        sum += job.d[p] * job.z[p] - job.v[p] * job.e[i] - job.w[p] * job.c[i];
      }
      out[k] = sum;
    }
  }

  double missing(int64_t j, int64_t k) const {  // what damping adds to a slope
    const int64_t at = j * job.K + k;
    return job.slope[at] + job.damp[j] * (job.W[at] - job.start[at]);
  }

  void sweep() const {
    const int64_t n = job.n, K = job.K;
    Buffer<double> bias(K);
    double largest = 0;
    bias_slopes(bias);
    for (int64_t k = 0; k < K; ++k) bias[k] += missing(n, k), largest = std::max(largest, std::abs(bias[k]));
    for (int64_t k = 0; k < K; ++k) {
      double change = 0;
      for (int64_t l = 0; l < K; ++l) change -= job.inverse[k * K + l] * bias[l];
      job.W[n * K + k] += change;
      move(nullptr, k, change);
    }
    for (int64_t j = 0; j < n; ++j)
      for (int64_t k = 0; k < K; ++k) {
        double& weight = job.W[j * K + k];
        if (weight == 0 && !job.all) continue;
        const double curvature = job.curvatures[j * K + k];
        if (!(curvature > 0)) continue;
        const double slope = missing(j, k) + job.ridge * weight + slope_of(j, k);
        const double aim = weight - slope / curvature, least = job.size / curvature;
        const double to = aim > least ? aim - least : aim < -least ? aim + least : 0;
        const double change = to - weight;
        if (change == 0) continue;
        weight = to;
        largest = std::max(largest, std::abs(change) * curvature);
        move(X + j * job.N, k, change);
      }
    job.largest = largest;
  }

  // The model at W minus its value at the start, with these z, c and e.
  double value(const double* z, const double* c, const double* e) const {
    const int64_t n = job.n, K = job.K;
    double linear = 0, quadratic = 0;
    for (int64_t j = 0; j <= n; ++j)
      for (int64_t k = 0; k < K; ++k) {
        const double to = job.W[j * K + k], from = job.start[j * K + k], change = to - from;
        linear += job.slope[j * K + k] * change;
        quadratic += job.damp[j] * change * change;
        if (j < n) linear += job.size * (std::abs(to) - std::abs(from)), quadratic += job.ridge * (to * to - from * from);
      }
    for (int64_t p = 0; p < job.ends[K]; ++p) quadratic += job.d[p] * z[p] * z[p];
    for (int64_t i = 0; i < job.N; ++i) quadratic -= 2 * c[i] * e[i];
    return linear + 0.5 * quadratic;
  }

  // The Cholesky factor, row by row, of the curvature in the weights `first`..`end` - 1 of `at`, all of class k; none
  // if there are too many, or if the matrix is not positive definite after rounding.
  void factor(const int64_t* at, int64_t first, int64_t end, int64_t k, std::vector<double>& L) const {
    const int64_t size = end - first, from = job.ends[k], entries = job.ends[k + 1] - from;
    if (size == 0 || size > kMostFactored) return;
    std::vector<double> rows(size * entries), own(entries);
    for (int64_t p = 0; p < entries; ++p) own[p] = job.d[from + p] - 2 * job.v[from + p] * job.w[from + p];
    for (int64_t i = 0; i < size; ++i) {
      const T* row = X + at[first + i] / job.K * job.N;
      for (int64_t p = 0; p < entries; ++p) rows[i * entries + p] = static_cast<double>(row[job.image[from + p]]);
    }
    L.assign(size * size, 0);
    std::vector<double> scaled(entries);
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t p = 0; p < entries; ++p) scaled[p] = own[p] * rows[i * entries + p];
      for (int64_t j = 0; j <= i; ++j) {
        double sums[kShares] = {};
        int64_t p = 0;
        const double* other = rows.data() + j * entries;  // a class may have no entries
        for (; p + kShares <= entries; p += kShares)
          for (int64_t l = 0; l < kShares; ++l) sums[l] += scaled[p + l] * other[p + l];
        for (int64_t l = 0; p < entries; ++p, ++l) sums[l] += scaled[p] * other[p];
        L[i * size + j] = total(sums);
      }
      L[i * size + i] += job.ridge + job.damp[at[first + i] / job.K];
    }
    for (int64_t i = 0; i < size; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        double sum = L[i * size + j];
        for (int64_t l = 0; l < j; ++l) sum -= L[i * size + l] * L[j * size + l];
        if (i > j)
          L[i * size + j] = sum / L[j * size + j];
        else if (sum > 0)
          L[i * size + i] = std::sqrt(sum);
        else
          return L.clear();
      }
  }

  // The step length along x from `old` that minimises the model. Its slope at the start is -`fall`, its curvature
  // `curvature`, and each weight that crosses 0 adds a kink.
  double line_minimum(const int64_t* at, int64_t m, const double* old, const double* x, double fall, double curvature) const {
    std::vector<std::pair<double, double>> kinks;  // (step length, increase of the slope)
    for (int64_t i = 0; i < m; ++i)
      if (x[i] * old[i] < 0) kinks.emplace_back(-old[i] / x[i], 2 * job.size * std::abs(x[i]));
    std::sort(kinks.begin(), kinks.end());
    if (!(curvature > 0)) return 0;
    double slope = -fall;
    for (const auto& [step, grows] : kinks) {
      if (slope + curvature * step >= 0) break;
      slope += grows;
      if (slope + curvature * step >= 0) return step;
    }
    return -slope / curvature;
  }

  void krylov();
};

// Conjugate gradients for the nonzero weights, with their signs fixed. Weights that would change their sign become 0.
template <class T>
class Krylov {
 public:
  explicit Krylov(const CurvedModel<T>& model_)
      : model(model_), job(model.job), K(job.K), P(job.ends[K]), N(job.N), m(not_zero(job)), all(m + K), at(all), first_of(K + 1), blocks(K), r(all),
        y(all), q(all), h(all), x(all), old(all), fall(all), ours(P + 2 * N), saved(P + 2 * N), slopes(P) {
    const int64_t n = job.n;
    int64_t i = 0;
    for (int64_t k = 0; k < K; ++k)  // class by class, as the entries are; the bias last
      for (int64_t j = 0; j < n; ++j)
        if (job.W[j * K + k] != 0) at[i++] = j * K + k;
    for (int64_t k = 0; k < K; ++k) at[m + k] = n * K + k;
    std::memcpy(saved, job.z, P * sizeof(double));
    std::memcpy(saved + P, job.c, N * sizeof(double));
    std::memcpy(saved + P + N, job.e, N * sizeof(double));
    for (i = 0; i < all; ++i) old[i] = job.W[at[i]];
    for (i = 0; i < m; ++i) ++first_of[at[i] % K + 1];
    for (int64_t k = 0; k < K; ++k) first_of[k + 1] += first_of[k];
    for (int64_t k = 0; k < K; ++k) model.factor(at, first_of[k], first_of[k + 1], k, blocks[k]);
  }

  void run() {
    double *const z = job.z, *const c = job.c, *const e = job.e;
    const double first = model.value(z, c, e);
    job.steps = 0;
    gather(r);
    for (int64_t i = 0; i < all; ++i) {
      const double weight = job.W[at[i]];
      r[i] = -(r[i] + model.missing(at[i] / K, at[i] % K));
      if (i < m) r[i] -= job.ridge * weight + (weight > 0 ? job.size : -job.size);
    }
    job.z = ours, job.c = ours + P, job.e = ours + P + N;
    iterate();
    bool found = false;
    double step = 1;
    for (int half = 0; half < kHalvings && !found; ++half, step *= 0.5) found = move_to(step, true) <= first;
    if (!found) {  // a search along the line, across the kinks of |W|, always lowers the model
      const double along = product(fall, x);
      found = move_to(model.line_minimum(at, m, old, x, along, along - product(r, x)), false) <= first;
    }
    job.z = z, job.c = c, job.e = e;
    if (found) {
      std::memcpy(z, ours, P * sizeof(double));
      std::memcpy(c, ours + P, N * sizeof(double));
      std::memcpy(e, ours + P + N, N * sizeof(double));
    } else {
      for (int64_t i = 0; i < all; ++i) job.W[at[i]] = old[i];
      job.steps = -job.steps - 1;
    }
  }

 private:
  static int64_t not_zero(const Curved& job) {
    int64_t count = 0;
    for (int64_t i = 0; i < job.n * job.K; ++i) count += job.W[i] != 0;
    return count;
  }

  // H ds of each entry, then its products with the features.
  void gather(double* out) {
    for (int64_t p = 0; p < P; ++p) {
      const int64_t i = job.image[p];
      slopes[p] = job.d[p] * job.z[p] - job.v[p] * job.e[i] - job.w[p] * job.c[i];
    }
    for (int64_t i = 0; i < m; ++i) {
      const T* row = model.X + at[i] / K * N;
      const int64_t k = at[i] % K, end = job.ends[k + 1];
      double sums[kShares] = {};
      int64_t p = job.ends[k];
      for (; p + kShares <= end; p += kShares)
        for (int64_t l = 0; l < kShares; ++l) sums[l] += static_cast<double>(row[job.image[p + l]]) * slopes[p + l];
      for (int64_t l = 0; p < end; ++p, ++l) sums[l] += static_cast<double>(row[job.image[p]]) * slopes[p];
      out[i] = CurvedModel<T>::total(sums);
    }
    for (int64_t k = 0; k < K; ++k) {
      double sum = 0;
      for (int64_t p = job.ends[k]; p < job.ends[k + 1]; ++p) sum += slopes[p];
      out[m + k] = sum;
    }
  }

  // z, c and e of a step, into `ours`.
  void spread_from(const double* step) {
    std::memset(ours, 0, (P + 2 * N) * sizeof(double));
    double* moved = ours;
    for (int64_t i = 0; i < m; ++i) {
      if (step[i] == 0) continue;
      const T* row = model.X + at[i] / K * N;
      const int64_t k = at[i] % K;
      const double by = step[i];
      for (int64_t p = job.ends[k]; p < job.ends[k + 1]; ++p) moved[p] += by * static_cast<double>(row[job.image[p]]);
    }
    for (int64_t k = 0; k < K; ++k)
      for (int64_t p = job.ends[k]; p < job.ends[k + 1]; ++p) {
        const int64_t i = job.image[p];
        moved[p] += step[m + k];
        ours[P + i] += job.v[p] * moved[p], ours[P + N + i] += job.w[p] * moved[p];
      }
  }

  void precondition(const double* from, double* to) const {
    for (int64_t k = 0; k < K; ++k) {
      const int64_t s = first_of[k], size = first_of[k + 1] - s;
      if (blocks[k].empty()) {
        for (int64_t i = s; i < s + size; ++i) to[i] = from[i] / job.curvatures[at[i]];
        continue;
      }
      const double* L = blocks[k].data();
      for (int64_t i = 0; i < size; ++i) {
        double sum = from[s + i];
        for (int64_t j = 0; j < i; ++j) sum -= L[i * size + j] * to[s + j];
        to[s + i] = sum / L[i * size + i];
      }
      for (int64_t i = size; i-- > 0;) {
        to[s + i] /= L[i * size + i];
        const double value = to[s + i];
        for (int64_t j = 0; j < i; ++j) to[s + j] -= L[i * size + j] * value;
      }
    }
    for (int64_t k = 0; k < K; ++k) {
      double sum = 0;
      for (int64_t l = 0; l < K; ++l) sum += job.inverse[k * K + l] * from[m + l];
      to[m + k] = sum;
    }
  }

  double product(const double* a, const double* b) const {
    double sum = 0;
    for (int64_t i = 0; i < all; ++i) sum += a[i] * b[i];
    return sum;
  }

  // The step x from the residual r.
  void iterate() {
    precondition(r, y);
    std::memcpy(fall, r, all * sizeof(double));
    std::memcpy(q, y, all * sizeof(double));
    double left = product(r, y);
    const double wanted = job.share * job.share * left;
    while (job.steps < job.most && left > wanted) {
      spread_from(q);
      gather(h);
      for (int64_t i = 0; i < all; ++i) h[i] += (job.damp[at[i] / K] + (i < m ? job.ridge : 0)) * q[i];
      const double curvature = product(h, q);
      if (!(curvature > 0)) break;
      const double step = left / curvature;
      for (int64_t i = 0; i < all; ++i) x[i] += step * q[i], r[i] -= step * h[i];
      precondition(r, y);
      const double next = product(r, y), turn = next / left;
      left = next;
      for (int64_t i = 0; i < all; ++i) q[i] = y[i] + turn * q[i];
      ++job.steps;
    }
  }

  // The model at the end of `step` times x. Where `stops`, weights that would change their sign become 0.
  double move_to(double step, bool stops) {
    for (int64_t i = 0; i < all; ++i) {
      double to = old[i] + step * x[i];
      if (stops && i < m && to * old[i] < 0) to = 0;
      q[i] = to - old[i], job.W[at[i]] = to;
    }
    spread_from(q);
    for (int64_t i = 0; i < P + 2 * N; ++i) ours[i] += saved[i];
    return model.value(ours, ours + P, ours + P + N);
  }

  const CurvedModel<T>& model;
  Curved& job;
  const int64_t K, P, N, m, all;  // classes, entries, images, weights that are not 0, and these with the biases
  Buffer<int64_t> at;             // (all) of W
  std::vector<int64_t> first_of;  // the weights of class k are first_of[k]..first_of[k + 1] - 1
  std::vector<std::vector<double>> blocks;
  Buffer<double> r, y, q, h, x, old, fall, ours, saved, slopes;
};

template <class T>
void CurvedModel<T>::krylov() {
  Krylov<T>(*this).run();
}
