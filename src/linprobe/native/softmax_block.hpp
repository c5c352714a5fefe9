// The softmax loss of a block of rows for many classes, with the scores of each class contiguous. Included by
// kernels_impl.hpp.
//
// As LossOfBlock, in float64, but 16 rows at a time, whose e^s stay in the caches. Scores and slopes are of type T, and
// are read and written once.
#pragma once

constexpr int64_t kSoftmaxRows = 16;  // a line of float32

// As many numbers of T as V<double> has.
template <class T>
struct Beside {
  typedef T type __attribute__((vector_size(sizeof(T) * Vector<double>::size), aligned(sizeof(T)), may_alias));
};
template <class T>
inline V<double> load_double(const T* p) { return __builtin_convertvector(*reinterpret_cast<const typename Beside<T>::type*>(p), V<double>); }
template <class T>
inline void store_from_double(T* p, V<double> v) {
  *reinterpret_cast<typename Beside<T>::type*>(p) = __builtin_convertvector(v, typename Beside<T>::type);
}

template <class T>
struct SoftmaxBlock {
  static constexpr int64_t lanes = Vector<double>::size, parts = kSoftmaxRows / lanes;
  const int64_t K, own, across;  // classes, those that have scores (the others' are 0), and their distance
  Buffer<double> E, totals;      // (K, 16), and (K, lanes)

  SoftmaxBlock(int64_t K_, int64_t own_, int64_t across_) : K(K_), own(own_), across(across_), E(K * kSoftmaxRows), totals(K * lanes) {}

  // For n rows with scores S[k * across + r] + b[k], labels y and weights (n) or null. Adds loss, correct rows and weight to
  // three[0..2], and the sums of the slopes to db (K). Writes the slopes to dS, laid out like S, unless it is null.
  LINPROBE_ONCE void run(const T* S, const double* b, const int64_t* y, const double* weight, int64_t n, T* dS, double* three, double* db) {
    std::memset(totals, 0, static_cast<size_t>(K * lanes) * sizeof(double));
    for (int64_t r = 0; r < n; r += kSoftmaxRows) rows(S + r, b, y + r, weight != nullptr ? weight + r : nullptr, std::min(kSoftmaxRows, n - r), dS != nullptr ? dS + r : nullptr, three, db);
    for (int64_t k = 0; dS != nullptr && k < K; ++k) db[k] += sum<double>(load(totals + k * lanes));
  }

 private:
  void rows(const T* S, const double* b, const int64_t* y, const double* weight, int64_t n, T* dS, double* three, double* db) {
    V<double> top[parts] = {}, place[parts] = {}, rest[parts] = {};
    for (int64_t k = 0; k < K; ++k)
      for (int64_t p = 0; p < parts; ++p) {
        const V<double> s = (k < own ? load_double(S + k * across + p * lanes) : V<double>{}) + b[k];
        store<double>(E + k * kSoftmaxRows + p * lanes, s);
        if (k == 0) top[p] = s;
        place[p] = s > top[p] ? V<double>{} + static_cast<double>(k) : place[p];
        top[p] = s > top[p] ? s : top[p];
      }
    alignas(64) double own_score[kSoftmaxRows] = {}, scale[kSoftmaxRows] = {}, best[kSoftmaxRows], others[kSoftmaxRows], argmax[kSoftmaxRows];
    for (int64_t r = 0; r < n; ++r) own_score[r] = E[y[r] * kSoftmaxRows + r];
    for (int64_t k = 0; k < K; ++k)
      for (int64_t p = 0; p < parts; ++p) {
        double* const at = E + k * kSoftmaxRows + p * lanes;
        const V<double> e = exponential(load(at) - top[p]);
        store<double>(at, e);
        rest[p] += place[p] == static_cast<double>(k) ? V<double>{} : e;
      }
    for (int64_t p = 0; p < parts; ++p) store<double>(best + p * lanes, top[p]), store<double>(others + p * lanes, rest[p]), store<double>(argmax + p * lanes, place[p]);
    double slope[kSoftmaxRows];
    for (int64_t r = 0; r < n; ++r) {
      const double of = weight != nullptr ? weight[r] : 1.0, inverse = 1.0 / (1.0 + others[r]);
      const bool hit = argmax[r] == static_cast<double>(y[r]);
      scale[r] = of * inverse;
      slope[r] = of * (hit ? -others[r] * inverse : E[y[r] * kSoftmaxRows + r] * inverse - 1.0);
      // NaN anywhere, or two infinite scores, leaves a NaN in `others` or in best - best
      three[0] += of * ((best[r] - own_score[r]) + std::log1p(others[r]) + (best[r] - best[r]));
      three[1] += hit && of > 0 ? 1.0 : 0.0;
      three[2] += of;
    }
    if (dS == nullptr) return;
    for (int64_t r = 0; r < n; ++r) E[y[r] * kSoftmaxRows + r] = 0;  // its slope follows below
    for (int64_t k = 0; k < K; ++k)
      for (int64_t p = 0; p < parts; ++p) {
        V<double> g = load(E + k * kSoftmaxRows + p * lanes) * load(scale + p * lanes);
        if (n < kSoftmaxRows)  // the numbers after the last row may be NaN
          for (int64_t i = std::max<int64_t>(0, n - p * lanes); i < lanes; ++i) g[i] = 0;
        if (k < own) store_from_double(dS + k * across + p * lanes, g < kLeastSlope<T> ? V<double>{} : g);
        store<double>(totals + k * lanes, load(totals + k * lanes) + g);
      }
    for (int64_t r = 0; r < n; ++r) {
      if (y[r] < own) dS[y[r] * across + r] = rounded_slope<T>(slope[r]);
      db[y[r]] += slope[r];
    }
  }
};
