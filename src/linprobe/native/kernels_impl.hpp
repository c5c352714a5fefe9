// The kernels themselves; each kernels_*.cpp includes this once, in a namespace and with a vector width of its own.
// Only code with internal linkage or in that namespace is defined here: a shared inline function would be compiled for
// several instruction sets, and the linker might keep the one that the processor lacks.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels.hpp"
#include "pool.hpp"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace linprobe::LINPROBE_ISA {
namespace {

constexpr int64_t kBlock = 64;      // rows of a block of a full pass: 64 x 3072 floats fit the second-level cache
constexpr int64_t kLanes = 16;      // every row of a scratch is padded with zeros to a multiple of this
constexpr int64_t kSlice = 512;     // columns of a slice of the SGD loop, about
constexpr int64_t kSubBatch = 256;  // rows of a mini-batch that a slice keeps converted

template <class T>
struct Vector {
  typedef T type __attribute__((vector_size(LINPROBE_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
  static constexpr int64_t size = LINPROBE_VECTOR_BYTES / sizeof(T);
};
template <class T>
using V = typename Vector<T>::type;

template <class T>
inline V<T> load(const T* p) { return *reinterpret_cast<const V<T>*>(p); }
template <class T>
inline void store(T* p, V<T> v) { *reinterpret_cast<V<T>*>(p) = v; }

// Memory of cache-line alignment, zeroed.
template <class T>
struct Buffer {
  T* data = nullptr;
  explicit Buffer(int64_t n) {
    const size_t bytes = (static_cast<size_t>(n > 0 ? n : 1) * sizeof(T) + 63) / 64 * 64;
    data = static_cast<T*>(std::aligned_alloc(64, bytes));
    if (data != nullptr) std::memset(data, 0, bytes);
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { std::free(data); }
  operator T*() const { return data; }
};

inline int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

inline float half_to_float(uint16_t h) {
#if defined(__F16C__)
  return _cvtsh_ss(h);
#else
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  uint32_t bits;
  if (magnitude >= 0x7c00u) bits = sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13);
  else {  // scaling by 2^112 also puts subnormal numbers right
    const uint32_t shifted = magnitude << 13;
    float value;
    std::memcpy(&value, &shifted, 4);
    value *= 0x1p112f;
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
#endif
}

template <class T, class S>
inline T convert(S x) { return static_cast<T>(x); }
template <class T>
inline T convert(uint16_t x) { return static_cast<T>(half_to_float(x)); }

template <class T, class S>
void copy_row(const S* source, int64_t stride, int64_t n, const T* scale, const T* shift, T* out) {
  if (stride == 1 && scale != nullptr)
    for (int64_t d = 0; d < n; ++d) out[d] = convert<T>(source[d]) * scale[d] + shift[d];
  else if (stride == 1)
    for (int64_t d = 0; d < n; ++d) out[d] = convert<T>(source[d]);
  else
    for (int64_t d = 0; d < n; ++d) {
      const T x = convert<T>(source[d * stride]);
      out[d] = scale != nullptr ? x * scale[d] + shift[d] : x;
    }
}

// Rows `first`..`first + n - 1`, columns `column`..`column + width - 1`, mapped, into out (n, ld); the columns from
// `width` to `ld` keep their zeros. scale and shift (D) in T, or null.
template <class T>
void copy_rows(const Rows& rows, const T* scale, const T* shift, int64_t first, int64_t n, int64_t column,
               int64_t width, T* out, int64_t ld) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = rows.picked != nullptr ? rows.picked[first + i] : first + i;
    const int64_t at = row * rows.row_stride + column * rows.column_stride, step = rows.column_stride;
    const T *a = scale != nullptr ? scale + column : nullptr, *c = scale != nullptr ? shift + column : nullptr;
    T* to = out + i * ld;
    switch (rows.dtype) {
      case Dtype::u8: copy_row(static_cast<const uint8_t*>(rows.data) + at, step, width, a, c, to); break;
      case Dtype::f16: copy_row(static_cast<const uint16_t*>(rows.data) + at, step, width, a, c, to); break;
      case Dtype::f32: copy_row(static_cast<const float*>(rows.data) + at, step, width, a, c, to); break;
      case Dtype::f64: copy_row(static_cast<const double*>(rows.data) + at, step, width, a, c, to); break;
    }
  }
}

template <class T>
inline T sum(V<T> v) {
  T total = 0;
  for (int64_t i = 0; i < Vector<T>::size; ++i) total += v[i];
  return total;
}

// S[r * K + k] = x_r . w_k for R rows and C classes; each is one accumulator over D, whatever R and C are.
template <class T, int R, int C>
inline void dot_tile(const T* X, int64_t ldx, const T* W, int64_t ldw, int64_t n, T* S, int64_t K) {
  V<T> total[R][C] = {};
  for (int64_t d = 0; d < n; d += Vector<T>::size) {
    V<T> x[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) x[r] = load(X + r * ldx + d);
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) {
      const V<T> w = load(W + c * ldw + d);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) total[r][c] += x[r] * w;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) S[r * K + c] = sum<T>(total[r][c]);
}

#if LINPROBE_VECTOR_BYTES == 64
constexpr int kClasses = 10;  // 2 x 10 accumulators, 2 rows and a template: 23 of 32 registers
#else
constexpr int kClasses = 5;   // 2 x 5 accumulators: 13 of 16
#endif

template <class T, int R>
inline void dot_rows(const T* X, int64_t ldx, const T* W, int64_t ldw, int64_t K, int64_t n, T* S) {
  int64_t k = 0;
  for (; k + kClasses <= K; k += kClasses) dot_tile<T, R, kClasses>(X, ldx, W + k * ldw, ldw, n, S + k, K);
  for (; k + 3 <= K; k += 3) dot_tile<T, R, 3>(X, ldx, W + k * ldw, ldw, n, S + k, K);
  for (; k < K; ++k) dot_tile<T, R, 1>(X, ldx, W + k * ldw, ldw, n, S + k, K);
}

// S (rows, K) = X Wᵀ over n columns.
template <class T>
void dot(const T* X, int64_t ldx, int64_t rows, const T* W, int64_t ldw, int64_t K, int64_t n, T* S) {
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2) dot_rows<T, 2>(X + r * ldx, ldx, W, ldw, K, n, S + r * K);
  if (r < rows) dot_rows<T, 1>(X + r * ldx, ldx, W, ldw, K, n, S + r * K);
}

// G[c * ldg + d] (+)= sum over rows of dS[r * K + c] x_r[d] for C classes and U vectors of columns.
template <class T, int C, int U, bool Add>
inline void outer_tile(const T* X, int64_t ldx, int64_t rows, const T* dS, int64_t K, T* G, int64_t ldg) {
  constexpr int64_t size = Vector<T>::size;
  V<T> total[C][U] = {};
  for (int64_t r = 0; r < rows; ++r) {
    V<T> x[U];
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) x[u] = load(X + r * ldx + u * size);
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) {
      const T g = dS[r * K + c];
#pragma GCC unroll 16
      for (int u = 0; u < U; ++u) total[c][u] += g * x[u];
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < C; ++c)
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) {
      T* to = G + c * ldg + u * size;
      store<T>(to, Add ? load(to) + total[c][u] : total[c][u]);
    }
}

template <class T, int U, bool Add>
inline void outer_columns(const T* X, int64_t ldx, int64_t rows, const T* dS, int64_t K, T* G, int64_t ldg) {
  int64_t k = 0;
  for (; k + kClasses <= K; k += kClasses)
    outer_tile<T, kClasses, U, Add>(X, ldx, rows, dS + k, K, G + k * ldg, ldg);
  for (; k + 3 <= K; k += 3) outer_tile<T, 3, U, Add>(X, ldx, rows, dS + k, K, G + k * ldg, ldg);
  for (; k < K; ++k) outer_tile<T, 1, U, Add>(X, ldx, rows, dS + k, K, G + k * ldg, ldg);
}

// G (K, n) (+)= dSᵀ X over `rows` rows, dS (rows, K).
template <class T, bool Add>
void outer(const T* X, int64_t ldx, int64_t rows, int64_t n, const T* dS, int64_t K, T* G, int64_t ldg) {
  constexpr int64_t size = Vector<T>::size;
  int64_t d = 0;
  for (; d + 2 * size <= n; d += 2 * size) outer_columns<T, 2, Add>(X + d, ldx, rows, dS, K, G + d, ldg);
  for (; d < n; d += size) outer_columns<T, 1, Add>(X + d, ldx, rows, dS, K, G + d, ldg);
}

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

template <class T>
bool run_pass(Pass& job) {
  const int64_t n = job.rows.n, D = job.rows.D, K = job.K, ld = padded(D);
  const int64_t n_blocks = (n + kBlock - 1) / kBlock;
  // Groups share nothing, and are added in their order. Their number depends on the problem alone.
  const int64_t room = std::max<int64_t>(4, (int64_t{64} << 20) / (8 * (K * ld + K)));
  const int64_t n_groups = std::min({n_blocks, room, int64_t{32}});
  const bool gradient = job.dW != nullptr;
  const bool mapped = job.rows.scale != nullptr;

  Buffer<T> W(K * ld), scale(ld), shift(ld);
  if (job.W != nullptr)
    for (int64_t k = 0; k < K; ++k)
      for (int64_t d = 0; d < D; ++d) W[k * ld + d] = static_cast<T>(job.W[k * D + d]);
  if (mapped)
    for (int64_t d = 0; d < D; ++d) scale[d] = static_cast<T>(job.rows.scale[d]), shift[d] = static_cast<T>(job.rows.shift[d]);

  Buffer<double> totals(gradient ? n_groups * K * ld : 0), bias_totals(n_groups * K), sums(n_groups * 3);
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};

  pool().run(job.threads, [&](int member, int) {
    Buffer<T> X(kBlock * ld), S(kBlock * K), dS(kBlock * K), G(gradient ? K * ld : 0);
    LossOfBlock loss(job.loss, job.delta, K);
    auto asked = std::chrono::steady_clock::now();
    for (int64_t group; !stop && (group = next.fetch_add(1)) < n_groups;) {
      double *dW = totals + group * K * ld, *db = bias_totals + group * K, *sum3 = sums + group * 3;
      for (int64_t block = n_blocks * group / n_groups; block < n_blocks * (group + 1) / n_groups && !stop; ++block) {
        const int64_t first = block * kBlock, rows = std::min(kBlock, n - first);
        if (job.loss != LossKind::given || gradient)
          copy_rows<T>(job.rows, mapped ? scale.data : nullptr, shift, first, rows, 0, D, X, ld);
        if (job.loss != LossKind::given) {
          dot<T>(X, ld, rows, W, ld, K, ld, S);
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t k = 0; k < K; ++k) loss.S[k * kBlock + r] = static_cast<double>(S[r * K + k]) + job.b[k];
          if (job.scores != nullptr)
            for (int64_t r = 0; r < rows; ++r)
              for (int64_t k = 0; k < K; ++k) job.scores[(first + r) * K + k] = loss.S[k * kBlock + r];
          if (job.y == nullptr) continue;
          loss.run(job.y + first, rows);
          for (int64_t r = 0; r < rows; ++r) {
            const double weight = job.weight != nullptr ? job.weight[first + r] : 1.0;
            sum3[0] += weight * loss.loss[r];
            sum3[1] += loss.argmax[r] == job.y[first + r] ? weight : 0.0;
            sum3[2] += weight;
          }
        }
        if (gradient) {
          for (int64_t r = 0; r < rows; ++r) {
            const double weight = job.weight != nullptr ? job.weight[first + r] : 1.0;
            for (int64_t k = 0; k < K; ++k) {
              const double g = job.loss == LossKind::given ? job.given[(first + r) * K + k]
                                                           : weight * loss.dS[k * kBlock + r];
              dS[r * K + k] = static_cast<T>(g);
              db[k] += g;
            }
          }
          outer<T, false>(X, ld, rows, ld, dS, K, G, ld);
          for (int64_t i = 0; i < K * ld; ++i) dW[i] += G[i];
        }
        if (member == 0) {
          const auto now = std::chrono::steady_clock::now();
          if (now - asked > std::chrono::milliseconds(50)) {
            asked = now;
            if (job.interrupted()) stop = true;
          }
        }
      }
    }
  });
  if (stop) return false;

  for (int i = 0; i < 3; ++i) job.sums[i] = 0;
  for (int64_t group = 0; group < n_groups; ++group)
    for (int i = 0; i < 3; ++i) job.sums[i] += sums[group * 3 + i];
  if (!gradient) return true;
  for (int64_t k = 0; k < K; ++k) {
    job.db[k] = 0;
    for (int64_t group = 0; group < n_groups; ++group) job.db[k] += bias_totals[group * K + k];
    for (int64_t d = 0; d < D; ++d) job.dW[k * D + d] = 0;
    for (int64_t group = 0; group < n_groups; ++group)
      for (int64_t d = 0; d < D; ++d) job.dW[k * D + d] += totals[(group * K + k) * ld + d];
  }
  return true;
}

template <class T>
inline T soft(T w, T threshold) { return w > threshold ? w - threshold : (w < -threshold ? w + threshold : T(0)); }

// One update of n weights by the batch gradient G; m, v and average may be null. Formulas: optimizers/updates.py.
template <class T>
void update_weights(const Epoch& job, T rate, T first_correction, T second_correction, T l2, T l1, T share, int64_t n,
                    const T* __restrict gradient, T* __restrict w, T* __restrict m, T* __restrict v,
                    T* __restrict average) {
  const T mu = static_cast<T>(job.momentum), rho = static_cast<T>(job.rho), beta1 = static_cast<T>(job.beta1),
          beta2 = static_cast<T>(job.beta2), epsilon = static_cast<T>(job.epsilon);
  const T two_l2 = 2 * l2;
  switch (job.update) {
    case Update::plain:
      for (int64_t i = 0; i < n; ++i) w[i] = soft(w[i] - rate * (gradient[i] + two_l2 * w[i]), rate * l1);
      break;
    case Update::momentum:
      for (int64_t i = 0; i < n; ++i) {
        m[i] = mu * m[i] + (gradient[i] + two_l2 * w[i]);
        w[i] = soft(w[i] - rate * m[i], rate * l1);
      }
      break;
    case Update::nesterov:
      for (int64_t i = 0; i < n; ++i) {
        const T g = gradient[i] + two_l2 * w[i];
        m[i] = mu * m[i] + g;
        w[i] = soft(w[i] - rate * (g + mu * m[i]), rate * l1);
      }
      break;
    case Update::adagrad:
      for (int64_t i = 0; i < n; ++i) {
        const T g = gradient[i] + two_l2 * w[i];
        v[i] += g * g;
        const T s = rate / (std::sqrt(v[i]) + epsilon);
        w[i] = soft(w[i] - s * g, s * l1);
      }
      break;
    case Update::rmsprop:
      for (int64_t i = 0; i < n; ++i) {
        const T g = gradient[i] + two_l2 * w[i];
        v[i] = rho * v[i] + (1 - rho) * g * g;
        const T s = rate / (std::sqrt(v[i]) + epsilon);
        w[i] = soft(w[i] - s * g, s * l1);
      }
      break;
    case Update::adam:
      for (int64_t i = 0; i < n; ++i) {
        const T g = gradient[i] + two_l2 * w[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const T s = rate / (std::sqrt(v[i] / second_correction) + epsilon);
        w[i] = soft(w[i] - s * (m[i] / first_correction), s * l1);
      }
      break;
  }
  if (average != nullptr)
    for (int64_t i = 0; i < n; ++i) average[i] += (w[i] - average[i]) * share;
}

// An array of the caller, (K, D) or (K), as a padded copy that goes back at the end.
template <class T>
struct Padded {
  T* const outer_array;
  const int64_t K, D, ld;
  Buffer<T> buffer;
  Padded(void* array, int64_t K_, int64_t D_)
      : outer_array(static_cast<T*>(array)), K(K_), D(D_), ld(padded(D_)), buffer(array != nullptr ? K_ * padded(D_) : 0) {
    if (outer_array != nullptr)
      for (int64_t k = 0; k < K; ++k) std::memcpy(buffer + k * ld, outer_array + k * D, D * sizeof(T));
  }
  ~Padded() {
    if (outer_array != nullptr)
      for (int64_t k = 0; k < K; ++k) std::memcpy(outer_array + k * D, buffer + k * ld, D * sizeof(T));
  }
  T* at(int64_t k, int64_t d) { return outer_array != nullptr ? buffer + k * ld + d : nullptr; }
};

// The SGD loop. The D columns are cut into slices, fixed by D alone; a member owns whole slices of W and of the rows, so
// that they stay in its cache. Each batch: (A) a member computes the part of the scores of its slices; (B) after one
// barrier every member adds all parts in their order, computes the loss of the whole batch for itself, and updates its
// slices. The parts are kept twice, in turn, so that (A) of the next batch needs no second barrier.
template <class T>
bool run_epoch(Epoch& job) {
  const int64_t n = job.rows.n, D = job.rows.D, K = job.K, M = std::min(job.batch, n);
  const int64_t n_batches = (n + M - 1) / M;
  const int64_t n_slices = std::max<int64_t>(1, D / kSlice);
  const int64_t ld = padded(D);
  const bool mapped = job.rows.scale != nullptr;
  Buffer<T> scale(ld), shift(ld);
  if (mapped)
    for (int64_t d = 0; d < D; ++d) scale[d] = static_cast<T>(job.rows.scale[d]), shift[d] = static_cast<T>(job.rows.shift[d]);
  Padded<T> W(job.W, K, D), W_m(job.W_m, K, D), W_v(job.W_v, K, D), W_avg(job.W_avg, K, D);
  Buffer<T> parts(2 * n_slices * M * K);
  const int members_wanted = static_cast<int>(std::min<int64_t>(job.threads, n_slices));
  std::atomic<bool> stop[2] = {false, false};
  alignas(64) char barrier_memory[sizeof(Barrier)];
  Barrier* barrier = nullptr;
  std::atomic<Barrier*> shared_barrier{nullptr};
  bool finished = true;

  pool().run(members_wanted, [&](int member, int members) {
    if (member == 0) {
      barrier = new (barrier_memory) Barrier(members);
      shared_barrier.store(barrier, std::memory_order_release);
    }
    Barrier* meet;
    while ((meet = shared_barrier.load(std::memory_order_acquire)) == nullptr) {}
    const int64_t slice_begin = n_slices * member / members, slice_end = n_slices * (member + 1) / members;
    auto slice_start = [&](int64_t s) { return s == n_slices ? D : s * (D / n_slices) / kLanes * kLanes; };
    int64_t widest = 0;
    for (int64_t s = slice_begin; s < slice_end; ++s) widest = std::max(widest, padded(slice_start(s + 1) - slice_start(s)));
    const int64_t kept_rows = std::min(M, kSubBatch);
    Buffer<T> X((slice_end - slice_begin) * kept_rows * widest), G(K * widest), dS(M * K);
    LossOfBlock loss(job.loss, job.delta, K);
    // Every member follows the bias by itself; the caller's arrays are written by member 0, at the end.
    Buffer<T> b(K), b_m(K), b_v(K), b_avg(K), db(K);
    auto fetch = [&](Buffer<T>& to, void* from) { if (from != nullptr) std::memcpy(to.data, from, K * sizeof(T)); };
    fetch(b, job.b); fetch(b_m, job.b_m); fetch(b_v, job.b_v); fetch(b_avg, job.b_avg);
    double loss_sum = 0, weight_sum = 0;
    auto asked = std::chrono::steady_clock::now();
    bool ended_early = false;

    for (int64_t t = 0; t < n_batches; ++t) {
      const int64_t first = t * M, rows = std::min(M, n - first);
      T* part = parts + (t & 1) * n_slices * M * K;
      for (int64_t s = slice_begin; s < slice_end; ++s) {
        const int64_t column = slice_start(s), width = slice_start(s + 1) - column, wide = padded(width);
        T* x = X + (s - slice_begin) * kept_rows * widest;
        for (int64_t sub = 0; sub < rows; sub += kSubBatch) {
          const int64_t count = std::min(kSubBatch, rows - sub);
          copy_rows<T>(job.rows, mapped ? scale.data : nullptr, shift, first + sub, count, column, width, x, widest);
          dot<T>(x, widest, count, W.at(0, column), ld, K, wide, part + (s * M + sub) * K);
        }
      }
      if (member == 0) {
        const auto now = std::chrono::steady_clock::now();
        bool asks = now - asked > std::chrono::milliseconds(50);
        if (asks) asked = now;
        stop[t & 1] = asks && job.interrupted();
      }
      meet->wait();
      if (stop[t & 1]) { ended_early = true; break; }

      double batch_loss = 0, batch_weight = 0;
      for (int64_t sub = 0; sub < rows; sub += kBlock) {
        const int64_t count = std::min(kBlock, rows - sub);
        for (int64_t r = 0; r < count; ++r)
          for (int64_t k = 0; k < K; ++k) {
            double score = b[k];
            for (int64_t s = 0; s < n_slices; ++s) score += part[(s * M + sub + r) * K + k];
            loss.S[k * kBlock + r] = score;
          }
        loss.run(job.y + first + sub, count);
        for (int64_t r = 0; r < count; ++r) {
          const double weight = job.weight != nullptr ? job.weight[first + sub + r] : 1.0;
          batch_loss += weight * loss.loss[r];
          batch_weight += weight;
          for (int64_t k = 0; k < K; ++k)
            dS[(sub + r) * K + k] = static_cast<T>(weight * loss.dS[k * kBlock + r] / static_cast<double>(rows));
        }
      }
      loss_sum += batch_loss;
      weight_sum += batch_weight;
      if (!std::isfinite(batch_loss)) break;

      const double count = static_cast<double>(job.step + t + 1);
      const T rate = static_cast<T>(job.rates[t]);
      const T first_correction = static_cast<T>(1 - std::pow(job.beta1, count));
      const T second_correction = static_cast<T>(1 - std::pow(job.beta2, count));
      const T share = static_cast<T>(1.0 / static_cast<double>(job.averaged + t + 1));
      for (int64_t s = slice_begin; s < slice_end; ++s) {
        const int64_t column = slice_start(s), width = slice_start(s + 1) - column, wide = padded(width);
        T* x = X + (s - slice_begin) * kept_rows * widest;
        for (int64_t sub = 0; sub < rows; sub += kSubBatch) {
          const int64_t some = std::min(kSubBatch, rows - sub);
          if (rows > kSubBatch)
            copy_rows<T>(job.rows, mapped ? scale.data : nullptr, shift, first + sub, some, column, width, x, widest);
          if (sub == 0) outer<T, false>(x, widest, some, wide, dS, K, G, widest);
          else outer<T, true>(x, widest, some, wide, dS + sub * K, K, G, widest);
        }
        for (int64_t k = 0; k < K; ++k)
          update_weights<T>(job, rate, first_correction, second_correction, static_cast<T>(job.l2),
                            static_cast<T>(job.l1), share, width, G + k * widest, W.at(k, column), W_m.at(k, column),
                            W_v.at(k, column), job.averaged >= 0 ? W_avg.at(k, column) : nullptr);
      }
      for (int64_t k = 0; k < K; ++k) {
        T total = 0;
        for (int64_t r = 0; r < rows; ++r) total += dS[r * K + k];
        db[k] = total;
      }
      update_weights<T>(job, static_cast<T>(job.rates[t] * job.bias_rate), first_correction, second_correction, T(0),
                        T(0), share, K, db, b, b_m, b_v, job.averaged >= 0 ? b_avg.data : nullptr);
    }
    if (member == 0) {
      auto give = [&](const Buffer<T>& from, void* to) { if (to != nullptr) std::memcpy(to, from.data, K * sizeof(T)); };
      give(b, job.b); give(b_m, job.b_m); give(b_v, job.b_v); give(b_avg, job.b_avg);
      job.loss_sum = loss_sum;
      job.weight_sum = weight_sum;
      finished = !ended_early;
    }
  });
  return finished;
}

}  // namespace

bool pass(Pass& job) { return job.rows.dtype == Dtype::f64 ? run_pass<double>(job) : run_pass<float>(job); }
bool sgd_epoch(Epoch& job) { return job.rows.dtype == Dtype::f64 ? run_epoch<double>(job) : run_epoch<float>(job); }

}  // namespace linprobe::LINPROBE_ISA
