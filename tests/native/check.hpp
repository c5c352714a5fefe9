// What the checks of the kernels share: rows of every dtype, a plain float64 look at them, and a count of what failed.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bfloat.hpp"
#include "machine.hpp"

namespace checks {

using linprobe::Dtype;
using linprobe::InstructionSet;

constexpr double kSingle = 0x1p-23, kDouble = 0x1p-52;  // spacing of float32 and float64 at 1

// Of one instruction set. `context` is what the messages begin with.
struct Report {
  std::string set, context;
  int64_t compared = 0, failed = 0;

  void expect(bool holds, const std::string& what) {
    ++compared;
    if (holds) return;
    if (++failed <= 20) std::printf("FAILED %s: %s: %s\n", set.c_str(), context.c_str(), what.c_str());
  }
  // |found - expected| <= bound; NaN fails.
  void near(double found, double expected, double bound, const std::string& what) {
    char text[160];
    const bool holds = std::abs(found - expected) <= bound;
    std::snprintf(text, sizeof text, ": found %.17g, expected %.17g within %.3g", found, expected, bound);
    expect(holds, holds ? "" : what + text);
  }
};

// Numbers of a fixed seed. Without std::uniform_real_distribution, whose numbers differ between libraries.
struct Random {
  std::mt19937_64 bits;
  explicit Random(uint64_t seed) : bits(seed) {}
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double about() { return 2 * uniform() - 1; }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
};

inline std::vector<double> numbers(Random& random, int64_t n, double size = 1.0) {
  std::vector<double> all(static_cast<size_t>(n));
  for (double& x : all) x = size * random.about();
  return all;
}
inline std::vector<int64_t> labels(Random& random, int64_t n, int64_t K) {
  std::vector<int64_t> y(static_cast<size_t>(n));
  for (int64_t& one : y) one = random.below(K);
  return y;
}

// The binary16 of a number that has one, not subnormal.
inline uint16_t half_of(double x) {
  if (x == 0) return 0;
  int exponent;
  const double fraction = std::frexp(std::abs(x), &exponent);  // 0.5 .. 1
  const auto mantissa = static_cast<uint16_t>((fraction * 2 - 1) * 1024);
  return static_cast<uint16_t>((x < 0 ? 0x8000 : 0) | ((exponent + 14) << 10) | mantissa);
}

// How the rows of a table lie in memory.
struct Layout {
  bool apart = false;   // columns two apart, rows further
  bool picked = false;  // rows in another order, some twice
  bool mapped = false;  // with scale and shift
};

// n rows of D numbers, in a dtype, as kernels read them (`rows`) and as plain float64 (`x`, mapped; `raw`, as they lie).
struct Table {
  int64_t n, D;
  Dtype dtype;
  std::vector<unsigned char> memory;
  std::vector<int64_t> picked;
  std::vector<double> scale, shift, raw;
  linprobe::Rows rows{};

  Table(Random& random, Dtype dtype_, int64_t n_, int64_t D_, Layout layout = {}) : n(n_), D(D_), dtype(dtype_) {
    const int64_t across = layout.apart ? 2 : 1, stride = D * across + (layout.apart ? 3 : 0), stored = layout.picked ? n + 2 : n;
    const int64_t size = dtype == Dtype::u8 ? 1 : dtype == Dtype::f16 ? 2 : dtype == Dtype::f32 ? 4 : 8;
    memory.assign(static_cast<size_t>(stored * stride * size + 64), 0);
    std::vector<double> kept(static_cast<size_t>(stored * D));
    for (int64_t i = 0; i < stored; ++i)
      for (int64_t d = 0; d < D; ++d) put(kept[i * D + d], random, memory.data() + (i * stride + d * across) * size);
    if (layout.picked)
      for (int64_t i = 0; i < n; ++i) picked.push_back(random.below(stored));
    for (int64_t i = 0; i < n; ++i)
      for (int64_t d = 0; d < D; ++d) raw.push_back(kept[(layout.picked ? picked[i] : i) * D + d]);
    for (int64_t d = 0; layout.mapped && d < D; ++d) {
      scale.push_back((dtype == Dtype::u8 ? 0.01 : 1.0) * (0.5 + random.uniform()));
      shift.push_back((dtype == Dtype::u8 ? -127.0 * scale[d] : 0.0) + 0.3 * random.about());
    }
    rows.data = memory.data(), rows.dtype = dtype, rows.row_stride = stride, rows.column_stride = across;
    rows.picked = layout.picked ? picked.data() : nullptr;
    rows.n = n, rows.D = D;
    rows.scale = layout.mapped ? scale.data() : nullptr, rows.shift = layout.mapped ? shift.data() : nullptr;
  }
  Table(const Table&) = delete;

  double x(int64_t i, int64_t d) const { return scale.empty() ? raw[i * D + d] : scale[d] * raw[i * D + d] + shift[d]; }

 private:
  void put(double& kept, Random& random, unsigned char* to) const {
    if (dtype == Dtype::u8) {
      *to = static_cast<unsigned char>(random.below(256));
      kept = *to;
    } else if (dtype == Dtype::f16) {
      kept = std::round(64 * random.about()) / 32;
      const uint16_t bits = half_of(kept);
      std::memcpy(to, &bits, 2);
    } else if (dtype == Dtype::f32) {
      const auto one = static_cast<float>(random.about());
      kept = one;
      std::memcpy(to, &one, 4);
    } else {
      kept = random.about();
      std::memcpy(to, &kept, 8);
    }
  }
};

inline const char* name_of(Dtype dtype) {
  return dtype == Dtype::u8 ? "uint8" : dtype == Dtype::f16 ? "float16" : dtype == Dtype::f32 ? "float32" : "float64";
}
constexpr Dtype kDtypes[] = {Dtype::u8, Dtype::f16, Dtype::f32, Dtype::f64};

// sum over n of a[i * a_step] b[i * b_step].
template <class A, class B>
double dot(const A* a, const B* b, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return total;
}

inline bool never() { return false; }

// One for each file of checks; the choice of an instruction set does not belong to one.
void check_choice(Report& report);
void check_passes(const InstructionSet& set, Report& report);
void check_moments(const InstructionSet& set, Report& report);
void check_search(const InstructionSet& set, Report& report);
void check_solvers(const InstructionSet& set, Report& report);
void check_bfloat(const InstructionSet& set, Report& report);

}  // namespace checks
