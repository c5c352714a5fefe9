// Products in bfloat16: the Hessian of a data loss. Where the process has no such kernels nothing is checked; with
// LINPROBE_BFLOAT16=plain those that emulate them are.
#include <algorithm>

#include "check.hpp"

namespace checks {
namespace {

using linprobe::kHessianRows;
using linprobe::LossKind;

double of_half(uint16_t h) {
  const int exponent = h >> 10 & 31;
  const double size = exponent == 0 ? std::ldexp(h & 1023, -24) : std::ldexp(1024 + (h & 1023), exponent - 25);
  return (h & 0x8000) != 0 ? -size : size;
}

void check_weights(const InstructionSet& set, Report& report, Random& random, Dtype dtype, LossKind loss, int64_t n, int64_t D, int64_t K) {
  report.context = std::string("weights of a Hessian over ") + name_of(dtype) + ", loss " + std::to_string(static_cast<int>(loss));
  const Table table(random, dtype, n, D, {false, false, dtype == Dtype::u8});
  const std::vector<int64_t> y = labels(random, n, K);
  const std::vector<double> W = numbers(random, K * D, 0.2), b = numbers(random, K);
  const int64_t blocks = (n + kHessianRows - 1) / kHessianRows;
  std::vector<uint16_t> q(blocks * K * kHessianRows, 0x7e00);
  linprobe::HessianWeights job{table.rows, K, y.data(), W.data(), b.data(), loss, 1.0, q.data(), 2, never};
  report.expect(set.hessian.weights(job), "interrupted");
  for (int64_t i = 0; i < blocks * kHessianRows; ++i) {
    std::vector<double> s(K);
    double top = -1e300, total = 0;
    for (int64_t k = 0; k < K && i < n; ++k) {
      s[k] = b[k];
      for (int64_t d = 0; d < D; ++d) s[k] += W[k * D + d] * table.x(i, d);
      top = std::max(top, s[k]);
    }
    for (int64_t k = 0; k < K && i < n; ++k) total += std::exp(s[k] - top);
    for (int64_t k = 0; k < K; ++k) {
      const double found = of_half(q[(i / kHessianRows * K + k) * kHessianRows + i % kHessianRows]);
      if (i >= n) report.near(found, 0, 0, "a weight beyond the rows");
      else if (loss == LossKind::softmax) report.near(found, std::exp(s[k] - top) / total, 0x1p-9, "a weight of softmax");
      else if (k == y[i]) report.near(found, 0, 0, "the weight of a label");
      else if (std::abs(s[k] - s[y[i]] + 1.0) > 1e-3) report.near(found, s[k] - s[y[i]] + 1.0 > 0 ? 2 : 0, 0, "a weight of the squared hinge");
    }
  }
}

void check_product(const InstructionSet& set, Report& report, Random& random, Dtype dtype, bool star, int64_t n, int64_t D, int64_t K) {
  report.context = std::string("a product with a Hessian over ") + name_of(dtype) + (star ? ", a star" : "");
  const Table table(random, dtype, n, D, {false, false, dtype == Dtype::u8});
  const std::vector<int64_t> y = labels(random, n, K);
  const std::vector<double> V = numbers(random, K * D), c = numbers(random, K);
  const int64_t blocks = (n + kHessianRows - 1) / kHessianRows;
  std::vector<uint16_t> q(blocks * K * kHessianRows);
  std::vector<float> share(n);
  std::vector<double> out_V(K * D), out_c(K), expected_V(K * D), expected_c(K);
  double size = 1;
  for (int64_t i = 0; i < n; ++i) {
    std::vector<double> weight(K), t(K);
    double of_q = 0, of_t = 0, rest = 0, most = 1;
    share[i] = 0.5f + static_cast<float>(i % 4) / 8.0f;
    for (int64_t k = 0; k < K; ++k) {
      weight[k] = star && k == y[i] ? 0 : static_cast<double>(1 + random.below(30)) / 32;
      q[(i / kHessianRows * K + k) * kHessianRows + i % kHessianRows] = half_of(weight[k]);
      t[k] = c[k];
      double terms = std::abs(c[k]);
      for (int64_t d = 0; d < D; ++d) t[k] += V[k * D + d] * table.x(i, d), terms += std::abs(V[k * D + d]) * (std::abs(table.x(i, d)) + 2);
      of_q += weight[k], of_t += weight[k] * t[k], most = std::max(most, terms);
    }
    size += most;
    for (int64_t k = 0; k < K; ++k) {
      double u = static_cast<double>(share[i]) * weight[k] * (t[k] - (star ? t[y[i]] : of_t / of_q));
      if (star && k == y[i]) continue;
      rest += u;
      expected_c[k] += u;
      for (int64_t d = 0; d < D; ++d) expected_V[k * D + d] += u * table.x(i, d);
    }
    if (!star) continue;
    expected_c[y[i]] -= rest;
    for (int64_t d = 0; d < D; ++d) expected_V[y[i] * D + d] -= rest * table.x(i, d);
  }
  linprobe::HessianProduct job{table.rows, K, q.data(), share.data(), star ? y.data() : nullptr, V.data(), c.data(), out_V.data(), out_c.data(), 2, never};
  report.expect(set.hessian.product(job), "interrupted");
  const double bound = 0x1p-8 * size * static_cast<double>(star ? K : 1);
  for (int64_t k = 0; k < K; ++k) {
    report.near(out_c[k], expected_c[k], bound, "out_c");
    for (int64_t d = 0; d < D; ++d) report.near(out_V[k * D + d], expected_V[k * D + d], 2 * bound, "out_V");
  }
}

void check_block(const InstructionSet& set, Report& report, Random& random, Dtype dtype, int64_t n, int64_t D) {
  report.context = std::string("a block of a Hessian over ") + name_of(dtype);
  const Table table(random, dtype, n, D, {false, false, dtype == Dtype::u8});
  const int64_t side = linprobe::hessian_side(D);
  std::vector<float> root(n), out(side * side);
  for (float& r : root) r = static_cast<float>(0.5 + random.uniform());
  linprobe::HessianBlock job{table.rows, root.data(), out.data()};
  set.hessian.block(job);
  for (int64_t a = 0; a <= D; ++a)
    for (int64_t b = a; b <= D; ++b) {
      double total = 0, size = 1;
      for (int64_t i = 0; i < n; ++i) {
        const double r = static_cast<double>(root[i]), one = r * r * (a < D ? table.x(i, a) : 1) * (b < D ? table.x(i, b) : 1);
        total += one, size += std::abs(one);
      }
      report.near(static_cast<double>(out[a * side + b]), total, 0x1p-7 * size, "a product");
    }
}

void check_solve(const InstructionSet& set, Report& report, Random& random, int64_t n) {
  constexpr int64_t size = linprobe::kTriangleBlock;
  report.context = "a solve in bfloat16 of " + std::to_string(n);
  const int64_t side = (n + size - 1) / size;
  std::vector<uint16_t> U(linprobe::triangle_blocks(n) * size * size);
  std::vector<double> whole(n * n), half(n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j) {
      const float value = i == j ? 2.0f + static_cast<float>(random.below(64)) / 64 : static_cast<float>(random.below(255) - 127) / static_cast<float>(128 * n);
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      bits &= 0xffff0000u;
      float cut;
      std::memcpy(&cut, &bits, 4);
      whole[i * n + j] = static_cast<double>(cut);
      const int64_t a = i / size, b = j / size;
      U[(a * side - a * (a - 1) / 2 + b - a) * size * size + i % size * size + j % size] = static_cast<uint16_t>(bits >> 16);
    }
  std::vector<float> x(n), right(n);
  for (float& one : x) one = static_cast<float>(random.about());
  right = x;
  linprobe::HessianSolve job{n, U.data(), x.data()};
  set.hessian.solve(job);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j) half[i] += whole[i * n + j] * static_cast<double>(x[j]);
  for (int64_t j = 0; j < n; ++j) {
    double back = 0;
    for (int64_t i = 0; i <= j; ++i) back += whole[i * n + j] * half[i];
    report.near(back, static_cast<double>(right[j]), 64 * kSingle * 10, "(UᵀU) x");
  }
}

}  // namespace

void check_bfloat(const InstructionSet& set, Report& report) {
  if (linprobe::bfloat() == nullptr) return;
  Random random(5);
  for (const Dtype dtype : kDtypes) {
    for (const auto& [n, D, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 3, 2}, {300, 40, 19}}) {
      for (const LossKind loss : {LossKind::softmax, LossKind::squared_hinge}) check_weights(set, report, random, dtype, loss, n, D, K);
      for (const bool star : {false, true}) check_product(set, report, random, dtype, star, n, D, K);
      check_block(set, report, random, dtype, n, D);
    }
  }
  for (const int64_t n : {1, 16, 129, 300}) check_solve(set, report, random, n);
}

}  // namespace checks
