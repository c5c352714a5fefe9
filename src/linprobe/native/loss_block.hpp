// Losses of a block of rows and their gradients in the scores, in float64, rows as lanes. Included by kernels_impl.hpp.
#pragma once

constexpr int64_t kBlock = 64;  // rows of a block, the lanes of its losses

// Slopes below this are 0 in float32. Images far beyond their margins have slopes of 1e-45 to 1e-38, and with such
// subnormal numbers a product takes four times as long; features down to 1e-8 keep products with the others normal.
template <class T>
constexpr double kLeastSlope = sizeof(T) == 4 ? 1e-30 : 0.0;
template <class T>
inline T rounded_slope(double g) { return static_cast<T>(std::abs(g) < kLeastSlope<T> ? 0.0 : g); }

// e^x of each lane to about 2 units in the last place, for x <= 0. NaN stays NaN.
inline V<double> exponential(V<double> x) {
  typedef int64_t Bits __attribute__((vector_size(LINPROBE_VECTOR_BYTES)));
  const V<double> least = V<double>{} - 708.0, clipped = x < least ? least : x;
  const V<double> shifted = clipped * 1.4426950408889634 + 0x1.8p52;  // the integer part lands in the low bits
  const V<double> whole = shifted - 0x1.8p52;
  V<double> r = clipped - whole * 0x1.62e42fefa3800p-1;
  r -= whole * 0x1.ef35793c76730p-45;
  V<double> p = V<double>{} + 1.0 / 6227020800.0;
  for (const double c : {1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0, 1.0 / 5040.0,
                         1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0})
    p = p * r + c;
  const V<double> result = (V<double>)((Bits)p + ((Bits)shifted << 52));
  return x != x ? x : (x < least ? V<double>{} : result);
}

struct LossOfBlock {
  LossKind kind;
  double delta;
  int64_t K;
  // Scratch, each (kBlock) or (K, kBlock): rows are lanes.
  Buffer<double> S, dS, loss, best, argplace, own, other;  // argplace: argmax as a number, for the lanes
  Buffer<int64_t> argmax;

  LossOfBlock(LossKind kind_, double delta_, int64_t K_)
      : kind(kind_), delta(delta_), K(K_), S(K_ * kBlock), dS(K_ * kBlock), loss(kBlock), best(kBlock), argplace(kBlock), own(kBlock),
        other(kBlock), argmax(kBlock) {}

  // Losses and gradients of n <= kBlock rows with scores S[k * kBlock + r] and labels y (n).
  LINPROBE_ONCE void run(const int64_t* y, int64_t n) {
    const double* __restrict s = S;
    double *__restrict top = best, *__restrict place = argplace;
    for (int64_t r = 0; r < kBlock; ++r) {
      top[r] = s[r];
      place[r] = 0;
      loss[r] = other[r] = 0;
    }
    for (int64_t k = 1; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const double x = s[k * kBlock + r];
        const bool higher = x > top[r];
        top[r] = higher ? x : top[r];
        place[r] = higher ? static_cast<double>(k) : place[r];
      }
    for (int64_t r = 0; r < kBlock; ++r) argmax[r] = static_cast<int64_t>(place[r]);
    for (int64_t r = 0; r < n; ++r) own[r] = s[y[r] * kBlock + r];
    if (kind == LossKind::softmax) softmax(y, n);
    else if (kind == LossKind::hinge) margins<false>(y, n);
    else margins<true>(y, n);
  }

 private:
  // L = (best - s_y) + log(1 + sum of e^(s_k - best) over the others): accurate also if L is near 0.
  void softmax(const int64_t* y, int64_t n) {
    const double *__restrict s = S, *__restrict top = best, *__restrict place = argplace;
    double *__restrict g = dS, *__restrict rest = other;
    for (int64_t k = 0; k < K; ++k) {
      const V<double> number = V<double>{} + static_cast<double>(k);
      for (int64_t r = 0; r < kBlock; r += Vector<double>::size) {
        const V<double> e = exponential(load(s + k * kBlock + r) - load(top + r));
        store<double>(g + k * kBlock + r, e);
        store<double>(rest + r, load(rest + r) + (load(place + r) == number ? V<double>{} : e));
      }
    }
    double inverse[kBlock];
    for (int64_t r = 0; r < kBlock; ++r) inverse[r] = 1.0 / (1.0 + rest[r]);
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) g[k * kBlock + r] *= inverse[r];
    for (int64_t r = 0; r < n; ++r) {
      // NaN anywhere, or two infinite scores, leaves a NaN in `rest` or in top - top.
      loss[r] = (top[r] - own[r]) + std::log1p(rest[r]) + (top[r] - top[r]);
      g[y[r] * kBlock + r] = argmax[r] == y[r] ? -rest[r] * inverse[r] : g[y[r] * kBlock + r] - 1.0;
    }
  }

  // max(0, m) with the sign of the comparison chosen so that a NaN margin stays NaN.
  template <bool squared>
  void margins(const int64_t* y, int64_t n) {
    double *__restrict s = S, *__restrict g = dS, *__restrict sum = other, *__restrict total = loss;
    const double* __restrict label = own;
    const double apart = delta;  // a local copy: the compiler would read a member again after every write
    for (int64_t r = 0; r < n; ++r) s[y[r] * kBlock + r] = label[r] - 2 * apart;  // its margin -delta is not violated
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const double m = s[k * kBlock + r] - label[r] + apart;
        const double violated = m <= 0 ? 0.0 : m;
        const double slope = m <= 0 ? 0.0 : (squared ? 2 * m : 1.0);
        total[r] += squared ? violated * violated : violated;
        g[k * kBlock + r] = slope;
        sum[r] += slope;
      }
    for (int64_t r = 0; r < n; ++r) g[y[r] * kBlock + r] = -sum[r];
  }
};
