// Sums of products of rows, and what is done with them: second moments, products of rows with each other, the Cholesky factor,
// the product with a Hessian that sits in a few classes.
#include "check.hpp"

namespace checks {
namespace {

void check_moment(const InstructionSet& set, Report& report, Random& random, const Table& table, bool weighted, bool single) {
  const int64_t n = table.n, D = table.D;
  std::vector<double> out(single ? 0 : D * D), root;
  std::vector<float> few(single ? D * D : 0);
  for (int64_t i = 0; weighted && i < n; ++i) root.push_back(0.5 + random.uniform());
  linprobe::Moment job{};
  job.rows = table.rows, job.root = weighted ? root.data() : nullptr;
  job.out = single ? nullptr : out.data(), job.single = single ? few.data() : nullptr, job.threads = 2, job.interrupted = never;
  report.expect(set.kernels.moment(job), "a moment: interrupted");
  const bool whole = table.dtype == Dtype::u8 && !weighted;
  for (int64_t a = 0; a < D; ++a)
    for (int64_t b = 0; b < D; ++b) {
      double total = 0, size = 1;
      for (int64_t i = 0; i < n; ++i) {
        const double weight = weighted ? root[i] * root[i] : 1.0, one = weight * table.x(i, a) * table.x(i, b);
        total += one;
        size += std::abs(one);
        if (!table.scale.empty())  // of whole numbers: what the map takes away again
          size += weight * std::abs(table.scale[a] * table.raw[i * D + a] * table.shift[b]) + std::abs(table.shift[a] * table.shift[b]) +
                  std::abs(table.shift[a] * table.scale[b] * table.raw[i * D + b]);
      }
      const double spacing = whole && !single ? (table.scale.empty() ? 0 : 16 * kDouble) : 16 * kSingle;
      report.near(single ? static_cast<double>(few[a * D + b]) : out[a * D + b], total, size * spacing, "a second moment");
    }
}

// So many rows that sums are flushed before int32 overflows.
void check_long_moment(const InstructionSet& set, Report& report) {
  constexpr int64_t n = 70000, D = 2;
  std::vector<uint8_t> X(n * D, 255);
  for (int64_t i = 0; i < n; ++i) X[i * D + 1] = static_cast<uint8_t>(i % 256);
  std::vector<double> out(D * D);
  double expected[3] = {};
  for (int64_t i = 0; i < n; ++i)
    expected[0] += 255.0 * 255.0, expected[1] += 255.0 * X[i * D + 1], expected[2] += static_cast<double>(X[i * D + 1]) * X[i * D + 1];
  linprobe::Moment job{};
  job.rows = {X.data(), Dtype::u8, D, 1, nullptr, n, D, nullptr, nullptr};
  job.out = out.data(), job.threads = 2, job.interrupted = never;
  report.context = "a moment of 70,000 rows of bytes";
  report.expect(set.kernels.moment(job), "interrupted");
  report.near(out[0], expected[0], 0, "white x white");
  report.near(out[1], expected[1], 0, "white x ramp");
  report.near(out[2], expected[1], 0, "ramp x white");
  report.near(out[3], expected[2], 0, "ramp x ramp");
}

void check_gram(const InstructionSet& set, Report& report, Random& random, const Table& table) {
  const int64_t n = table.n, D = table.D;
  std::vector<double> root;
  for (int64_t i = 0; i < n; ++i) root.push_back(0.5 + random.uniform());
  std::vector<float> out(n * n);
  linprobe::Moment job{};
  job.rows = table.rows, job.root = root.data(), job.single = out.data(), job.of_rows = true, job.threads = 2, job.interrupted = never;
  report.expect(set.kernels.moment(job), "a gram: interrupted");
  for (int64_t a = 0; a < n; ++a)
    for (int64_t b = 0; b < n; ++b) {
      double total = 0;
      for (int64_t d = 0; d < D; ++d) total += table.raw[a * D + d] * table.raw[b * D + d];
      total *= root[a] * root[b];
      report.near(static_cast<double>(out[a * n + b]), total, kSingle * total, "a product of rows");
    }
}

void check_factor(const InstructionSet& set, Report& report, Random& random, int64_t n, int64_t m) {
  constexpr int64_t size = linprobe::kTriangleBlock;
  report.context = "the factor of " + std::to_string(n) + " rows, " + std::to_string(m) + " right sides";
  std::vector<float> A(n * n), U(linprobe::triangle_blocks(n) * size * size), X(m * n), B(m * n);
  const std::vector<double> Z = numbers(random, n * 8);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) A[i * n + j] = static_cast<float>(dot(&Z[i * 8], &Z[j * 8], 8));
  const float ridge = 1.5f;
  linprobe::Factor factor{n, A.data(), ridge, U.data(), 2};
  report.expect(set.kernels.factor(factor), "not positive definite");
  for (float& x : B) x = static_cast<float>(random.about());
  X = B;
  linprobe::Triangle solve{n, m, U.data(), X.data(), 2};
  set.kernels.triangle(solve);
  for (int64_t r = 0; r < m; ++r)
    for (int64_t i = 0; i < n; ++i) {
      const double back = dot(&A[i * n], &X[r * n], n) + static_cast<double>(ridge) * static_cast<double>(X[r * n + i]);
      report.near(back, static_cast<double>(B[r * n + i]), 64 * kSingle * static_cast<double>(n), "(UᵀU) x");
    }
  linprobe::Factor wrong{n, A.data(), -1e4f, U.data(), 2};
  report.expect(!set.kernels.factor(wrong), "a matrix that is not positive definite was factored");
}

void check_curvature(const InstructionSet& set, Report& report, Random& random, Dtype dtype, bool star) {
  const int64_t n = 37, D = 70, K = 5, block = 16;
  report.context = std::string("a product with curvature over ") + name_of(dtype) + (star ? ", a star" : "");
  const Table table(random, dtype, n, D, {false, false, dtype == Dtype::u8});
  const std::vector<double> V = numbers(random, K * D), c = numbers(random, K);
  std::vector<double> weights(n * K), out_V(K * D), out_c(K), expected_V(K * D), expected_c(K), sizes(K);
  std::vector<int64_t> label = labels(random, n, K), ends = {0};
  std::vector<int32_t> where;
  std::vector<float> q;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < K; ++k)
      if (star ? (k != label[i] && random.uniform() < 0.5) : random.uniform() < 0.6) weights[i * K + k] = static_cast<float>(0.1 + random.uniform());
  for (int64_t first = 0; first < n; first += block) {
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < std::min(block, n - first); ++r) {
        const double weight = weights[(first + r) * K + k];
        if (weight == 0 && !(star && k == label[first + r])) continue;
        where.push_back(static_cast<int32_t>(k * block + r));
        q.push_back(static_cast<float>(weight));
      }
    ends.push_back(static_cast<int64_t>(where.size()));
  }
  linprobe::Curvature job{table.rows, K, block, ends.data(), where.data(), q.data(), star, V.data(), c.data(), out_V.data(), out_c.data(), 2, never};
  report.expect(set.kernels.curvature(job), "interrupted");
  for (int64_t i = 0; i < n; ++i) {
    std::vector<double> t(K), u(K);
    double size = 1, of_t = 0, of_q = 0;
    for (int64_t k = 0; k < K; ++k) {
      t[k] = c[k];
      for (int64_t d = 0; d < D; ++d) t[k] += V[k * D + d] * table.x(i, d), size += std::abs(V[k * D + d] * table.x(i, d));
      of_t += weights[i * K + k] * t[k], of_q += weights[i * K + k];
    }
    double rest = 0;
    for (int64_t k = 0; k < K; ++k) {
      u[k] = weights[i * K + k] * (t[k] - (star ? t[label[i]] : of_q > 0 ? of_t / of_q : 0.0));
      rest += u[k];
    }
    if (star) u[label[i]] = -rest;
    for (int64_t k = 0; k < K; ++k) {
      expected_c[k] += u[k], sizes[k] += size;
      for (int64_t d = 0; d < D; ++d) expected_V[k * D + d] += u[k] * table.x(i, d);
    }
  }
  for (int64_t k = 0; k < K; ++k) {
    report.near(out_c[k], expected_c[k], 64 * kSingle * sizes[k], "out_c");
    for (int64_t d = 0; d < D; ++d) report.near(out_V[k * D + d], expected_V[k * D + d], 256 * kSingle * sizes[k], "out_V");
  }
}

}  // namespace

void check_moments(const InstructionSet& set, Report& report) {
  Random random(2);
  const int64_t shapes[][2] = {{1, 1}, {3, 7}, {130, 17}, {519, 49}, {2100, 33}};
  for (const auto& [n, D] : shapes)
    for (const Dtype dtype : kDtypes)
      for (const Layout layout : {Layout{}, Layout{true, false, true}, Layout{false, true, false}})
        for (const bool weighted : {false, true}) {
          report.context = std::string("a moment of ") + name_of(dtype) + ", " + std::to_string(n) + " x " + std::to_string(D);
          const Table table(random, dtype, n, D, layout);
          check_moment(set, report, random, table, weighted, false);
          check_moment(set, report, random, table, weighted, true);
        }
  check_long_moment(set, report);
  for (const auto& [n, D] : {std::pair<int64_t, int64_t>{1, 1}, {5, 9}, {60, 130}, {49, 2500}})
    for (const Layout layout : {Layout{}, Layout{true, true, false}}) {
      report.context = "products of rows of bytes, " + std::to_string(n) + " x " + std::to_string(D);
      const Table table(random, Dtype::u8, n, D, layout);
      check_gram(set, report, random, table);
    }
  for (const auto& [n, m] : {std::pair<int64_t, int64_t>{1, 1}, {17, 3}, {128, 33}, {300, 70}}) check_factor(set, report, random, n, m);
  for (const Dtype dtype : kDtypes)
    for (const bool star : {false, true}) check_curvature(set, report, random, dtype, star);
}

}  // namespace checks
