// Passes: scores, loss and gradient, and a gradient of given slopes.
#include "check.hpp"

namespace checks {
namespace {

using linprobe::LossKind;
using linprobe::Precision;

struct Shape {
  int64_t n, D, K, members;
};

// Loss of one row and its slopes, from scores in float64. Returns false where a slope jumps within `noise` of the scores.
bool plain_loss(LossKind kind, double delta, const double* s, int64_t K, int64_t y, double noise, double* loss, double* slopes) {
  double top = s[0];
  for (int64_t k = 1; k < K; ++k) top = std::max(top, s[k]);
  *loss = 0;
  bool clear = true;
  if (kind == LossKind::softmax) {
    double total = 0;
    for (int64_t k = 0; k < K; ++k) total += std::exp(s[k] - top);
    for (int64_t k = 0; k < K; ++k) slopes[k] = std::exp(s[k] - top) / total - (k == y ? 1 : 0);
    *loss = top - s[y] + std::log(total);
    return true;
  }
  double others = 0;
  for (int64_t k = 0; k < K; ++k) {
    slopes[k] = 0;
    if (k == y) continue;
    const double margin = s[k] - s[y] + delta;
    clear = clear && std::abs(margin) > noise;
    if (margin <= 0) continue;
    *loss += kind == LossKind::hinge ? margin : margin * margin;
    others += slopes[k] = kind == LossKind::hinge ? 1 : 2 * margin;
  }
  slopes[y] = -others;
  return clear;
}

// What a score of W is off by at most, per unit of sum |w x|; slopes alike, per unit of sum |dS x|.
double spacing(Precision precision, Dtype dtype, bool slopes) {
  if (precision == Precision::doubles || dtype == Dtype::f64) return 64 * kDouble;
  if (precision == Precision::proof) return 0x1p-36;
  if (precision == Precision::coarse && dtype != Dtype::u8) return 0x1p-6;  // bfloat16, where there is one
  if (precision == Precision::coarse && slopes) return 0x1p-12;
  return 32 * kSingle;
}

struct Problem {
  const Shape shape;
  Table table;
  std::vector<int64_t> y;
  std::vector<double> weight, W, b;

  Problem(Random& random, Shape shape_, Dtype dtype, Layout layout)
      : shape(shape_), table(random, dtype, shape.n, shape.D, layout), y(labels(random, shape.n, shape.K)),
        W(numbers(random, shape.members * shape.K * shape.D, (dtype == Dtype::u8 && !layout.mapped ? 0.02 : 1.0) / std::sqrt(static_cast<double>(shape.D)))),
        b(numbers(random, shape.members * shape.K)) {
    for (int64_t i = 0; layout.picked && i < shape.n; ++i) weight.push_back(0.5 + random.uniform());
  }
  double score(int64_t i, int64_t m) const {
    double total = b[m];
    for (int64_t d = 0; d < shape.D; ++d) total += W[m * shape.D + d] * table.x(i, d);
    return total;
  }
};

void check_scores(const InstructionSet& set, Report& report, const Problem& problem, Precision precision) {
  const auto [n, D, K, members] = problem.shape;
  std::vector<double> S(n * members * K), sums(3 * members);
  linprobe::Pass job{};
  job.rows = problem.table.rows, job.K = K, job.members = members, job.W = problem.W.data(), job.b = problem.b.data();
  job.loss = LossKind::softmax, job.precision = precision, job.scores = S.data(), job.sums = sums.data(), job.threads = 2;
  job.interrupted = never;
  report.expect(set.kernels.pass(job), "scores: interrupted");
  double size = 1;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t m = 0; m < members * K; ++m) {
      double terms = 1;
      for (int64_t d = 0; d < D; ++d) terms += std::abs(problem.W[m * D + d]) * (std::abs(problem.table.x(i, d)) + 2);
      size = std::max(size, terms);
    }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t m = 0; m < members * K; ++m)
      report.near(S[i * members * K + m], problem.score(i, m), size * spacing(precision, problem.table.dtype, false), "a score");
}

void check_gradient(const InstructionSet& set, Report& report, const Problem& problem, LossKind loss, Precision precision) {
  const auto [n, D, K, members] = problem.shape;
  const double delta = 1.0;
  std::vector<double> sums(3 * members), dW(members * K * D), db(members * K), lost(2 * members);
  linprobe::Pass job{};
  job.rows = problem.table.rows, job.y = problem.y.data(), job.weight = problem.weight.empty() ? nullptr : problem.weight.data();
  job.K = K, job.members = members, job.W = problem.W.data(), job.b = problem.b.data(), job.loss = loss, job.delta = delta;
  job.precision = precision, job.dW = dW.data(), job.db = db.data(), job.sums = sums.data(), job.lost = lost.data(), job.threads = 2;
  job.interrupted = never;
  report.expect(set.kernels.pass(job), "gradient: interrupted");
  const double of_scores = spacing(precision, problem.table.dtype, false), of_slopes = spacing(precision, problem.table.dtype, true);
  std::vector<double> s(K), slopes(K);
  for (int64_t l = 0; l < members; ++l) {
    std::vector<double> G(K * D), g(K);
    double total = 0, size = 0, width = 0, unclear = 0;
    for (int64_t i = 0; i < n; ++i) {
      double terms = 1, value;
      for (int64_t k = 0; k < K; ++k) s[k] = problem.score(i, l * K + k);
      for (int64_t d = 0; d < D; ++d) terms += 3 * (std::abs(problem.table.x(i, d)) + 2) / std::sqrt(static_cast<double>(D));
      const double noise = terms * of_scores, weight = problem.weight.empty() ? 1 : problem.weight[i];
      if (!plain_loss(loss, delta, s.data(), K, problem.y[i], noise, &value, slopes.data())) unclear += 2 * weight;
      total += weight * value;
      for (int64_t k = 0; k < K; ++k) {
        g[k] += weight * slopes[k];
        width += weight * (std::abs(slopes[k]) + 2 * noise);
        for (int64_t d = 0; d < D; ++d) G[k * D + d] += weight * slopes[k] * problem.table.x(i, d);
      }
      size = std::max(size, noise);
    }
    double most = 1;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t d = 0; d < D; ++d) most = std::max(most, std::abs(problem.table.x(i, d)) + 2);
    // slopes are off by what the scores are off by, times the curvature of the loss, at most 2, and their own rounding
    const double bound = unclear + 4 * static_cast<double>(n) * static_cast<double>(K) * size + width * of_slopes;
    report.near(sums[3 * l], total, static_cast<double>(K) * (bound + 1e-12 * std::abs(total)) * (1 + std::abs(total)), "the loss");
    for (int64_t k = 0; k < K; ++k) {
      report.near(db[l * K + k], g[k], bound + 1e-12, "db");
      for (int64_t d = 0; d < D; ++d) report.near(dW[(l * K + k) * D + d], G[k * D + d], most * (bound + 1e-12), "dW");
    }
  }
}

void check_given(const InstructionSet& set, Report& report, const Problem& problem, Random& random, Precision precision) {
  const auto [n, D, K, members] = problem.shape;
  const std::vector<double> dS = numbers(random, n * K);
  std::vector<double> dW(K * D), db(K), sums(3);
  linprobe::Pass job{};
  job.rows = problem.table.rows, job.K = K, job.members = 1, job.loss = LossKind::given, job.given = dS.data(), job.precision = precision;
  job.dW = dW.data(), job.db = db.data(), job.sums = sums.data(), job.threads = 2, job.interrupted = never;
  report.expect(set.kernels.pass(job), "given: interrupted");
  for (int64_t k = 0; k < K; ++k)
    for (int64_t d = 0; d < D; ++d) {
      double total = 0, size = 1;
      for (int64_t i = 0; i < n; ++i) {
        total += dS[i * K + k] * problem.table.x(i, d);
        size += std::abs(dS[i * K + k]) * (std::abs(problem.table.x(i, d)) + 2);
      }
      report.near(dW[k * D + d], total, size * spacing(precision, problem.table.dtype, true), "dW of given slopes");
    }
}

void check_pass(const InstructionSet& set, Report& report, const Problem& problem, Random& random) {
  for (const Precision precision : {Precision::singles, Precision::doubles}) check_scores(set, report, problem, precision);
  for (const Precision precision : {Precision::singles, Precision::proof, Precision::doubles})
    for (const LossKind loss : {LossKind::softmax, LossKind::hinge, LossKind::squared_hinge}) check_gradient(set, report, problem, loss, precision);
  check_gradient(set, report, problem, LossKind::softmax, Precision::coarse);
  for (const Precision precision : {Precision::singles, Precision::doubles}) check_given(set, report, problem, random, precision);
}

}  // namespace

void check_passes(const InstructionSet& set, Report& report) {
  const Shape shapes[] = {{1, 1, 2, 1}, {7, 5, 3, 1}, {66, 33, 10, 1}, {150, 67, 13, 2}, {40, 130, 25, 1}, {300, 257, 2, 1}};
  const Layout layouts[] = {{}, {true, false, true}, {false, true, false}};
  Random random(1);
  for (const Shape shape : shapes)
    for (const Dtype dtype : kDtypes)
      for (const Layout layout : layouts) {
        report.context = std::string("a pass over ") + name_of(dtype) + ", " + std::to_string(shape.n) + " x " + std::to_string(shape.D) + ", " +
                         std::to_string(shape.K) + " classes" + (layout.mapped ? ", mapped" : "") + (layout.apart ? ", columns apart" : "");
        check_pass(set, report, Problem(random, shape, dtype, layout), random);
      }
  for (const Dtype dtype : kDtypes) {  // as many templates as make it products of the BLAS
    report.context = std::string("a pass by the BLAS over ") + name_of(dtype);
    const Problem problem(random, {45, 19, linprobe::kFusedTemplates + 2, 1}, dtype, {});
    check_scores(set, report, problem, Precision::singles);
    check_gradient(set, report, problem, LossKind::softmax, Precision::singles);
    check_gradient(set, report, problem, LossKind::squared_hinge, Precision::doubles);
  }
}

}  // namespace checks
