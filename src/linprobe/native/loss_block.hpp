// Losses of a block of rows and their gradients in the scores, in float64, rows as lanes. Included by kernels_impl.hpp.
#pragma once

constexpr int64_t kBlock = 64;  // rows of a block, the lanes of its losses

// e^x to about 2 units in the last place for x <= 0, without a branch, so that loops over it vectorise. NaN stays NaN.
inline double exponential(double x) {
  const double clipped = x < -708.0 ? -708.0 : x;
  const double shifted = clipped * 1.4426950408889634 + 0x1.8p52;  // the integer part lands in the low bits
  const double whole = shifted - 0x1.8p52;
  double r = clipped - whole * 0x1.62e42fefa3800p-1;
  r -= whole * 0x1.ef35793c76730p-45;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  uint64_t bits;
  std::memcpy(&bits, &shifted, 8);
  bits <<= 52;
  uint64_t value;
  std::memcpy(&value, &p, 8);
  value += bits;
  double result;
  std::memcpy(&result, &value, 8);
  return x != x ? x : (x < -708.0 ? 0.0 : result);
}

struct LossOfBlock {
  LossKind kind;
  double delta;
  int64_t K;
  // Scratch, each (kBlock) or (K, kBlock): rows are lanes.
  Buffer<double> S, dS, loss, best, own, other;
  Buffer<int64_t> argmax;

  LossOfBlock(LossKind kind_, double delta_, int64_t K_)
      : kind(kind_), delta(delta_), K(K_), S(K_ * kBlock), dS(K_ * kBlock), loss(kBlock), best(kBlock), own(kBlock),
        other(kBlock), argmax(kBlock) {}

  // Losses and gradients of n <= kBlock rows with scores S[k * kBlock + r] and labels y (n).
  void run(const int64_t* y, int64_t n) {
    for (int64_t r = 0; r < kBlock; ++r) {
      best[r] = S[r];
      argmax[r] = 0;
      loss[r] = other[r] = 0;
    }
    for (int64_t k = 1; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const bool higher = S[k * kBlock + r] > best[r];
        best[r] = higher ? S[k * kBlock + r] : best[r];
        argmax[r] = higher ? k : argmax[r];
      }
    for (int64_t r = 0; r < n; ++r) own[r] = S[y[r] * kBlock + r];
    if (kind == LossKind::softmax) softmax(y, n);
    else margins(y, n);
  }

 private:
  // L = (best - s_y) + log(1 + sum of e^(s_k - best) over the others): no digit is lost where L is near 0.
  void softmax(const int64_t* y, int64_t n) {
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const double e = exponential(S[k * kBlock + r] - best[r]);
        dS[k * kBlock + r] = e;
        other[r] += argmax[r] == k ? 0.0 : e;
      }
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) dS[k * kBlock + r] /= 1.0 + other[r];
    for (int64_t r = 0; r < n; ++r) {
      // NaN anywhere, or two infinite scores, leaves a NaN in `other` or in best - best.
      loss[r] = (best[r] - own[r]) + std::log1p(other[r]) + (best[r] - best[r]);
      dS[y[r] * kBlock + r] = argmax[r] == y[r] ? -other[r] / (1.0 + other[r]) : dS[y[r] * kBlock + r] - 1.0;
    }
  }

  // max(0, m) with the sign of the comparison chosen so that a NaN margin stays NaN.
  void margins(const int64_t* y, int64_t n) {
    const bool squared = kind == LossKind::squared_hinge;
    for (int64_t r = 0; r < n; ++r) S[y[r] * kBlock + r] = own[r] - 2 * delta;  // its margin -delta is no violation
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < kBlock; ++r) {
        const double m = S[k * kBlock + r] - own[r] + delta;
        const double violated = m <= 0 ? 0.0 : m;
        const double slope = m <= 0 ? 0.0 : (squared ? 2 * m : 1.0);
        loss[r] += squared ? violated * violated : violated;
        dS[k * kBlock + r] = slope;
        other[r] += slope;
      }
    for (int64_t r = 0; r < n; ++r) dS[y[r] * kBlock + r] = -other[r];
  }
};
