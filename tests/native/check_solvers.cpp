// What iterates: epochs of SGD against a plain loop; the others by the conditions of the point that they end at.
#include <algorithm>
#include <limits>

#include "check.hpp"

namespace checks {
namespace {

using linprobe::LossKind;
using linprobe::Update;

double soft(double w, double threshold) { return w > threshold ? w - threshold : w < -threshold ? w + threshold : 0; }

std::vector<double> softmax_of(const double* s, int64_t K) {
  std::vector<double> p(s, s + K);
  const double top = *std::max_element(p.begin(), p.end());
  double total = 0;
  for (double& one : p) total += one = std::exp(one - top);
  for (double& one : p) one /= total;
  return p;
}

// ---- SGD ------------------------------------------------------------------------------------------------------------

constexpr double kMomentum = 0.9, kRho = 0.95, kBeta1 = 0.9, kBeta2 = 0.99, kEpsilon = 1e-6;

void plain_update(Update update, double rate, double step, double g, double l1, double& w, double& m, double& v) {
  if (update == Update::plain) w = soft(w - rate * g, rate * l1);
  if (update == Update::momentum) m = kMomentum * m + g, w = soft(w - rate * m, rate * l1);
  if (update == Update::nesterov) m = kMomentum * m + g, w = soft(w - rate * (g + kMomentum * m), rate * l1);
  double scaled = 0;
  if (update == Update::adagrad) v += g * g, scaled = rate / (std::sqrt(v) + kEpsilon), w = soft(w - scaled * g, scaled * l1);
  if (update == Update::rmsprop) v = kRho * v + (1 - kRho) * g * g, scaled = rate / (std::sqrt(v) + kEpsilon), w = soft(w - scaled * g, scaled * l1);
  if (update != Update::adam) return;
  m = kBeta1 * m + (1 - kBeta1) * g, v = kBeta2 * v + (1 - kBeta2) * g * g;
  scaled = rate / (std::sqrt(v / (1 - std::pow(kBeta2, step))) + kEpsilon);
  w = soft(w - scaled * (m / (1 - std::pow(kBeta1, step))), scaled * l1);
}

template <class T>
void check_epoch(const InstructionSet& set, Report& report, Random& random, Dtype dtype, Update update, int64_t n, int64_t D, int64_t K, int64_t batch) {
  report.context = std::string("an epoch over ") + name_of(dtype) + ", update " + std::to_string(static_cast<int>(update)) + ", " + std::to_string(n) + " x " + std::to_string(D);
  const Table table(random, dtype, n, D, {false, true, true});
  const std::vector<int64_t> y = labels(random, n, K);
  const std::vector<double> rates((n + batch - 1) / batch, 0.01), start = numbers(random, K * D, 0.1);
  const double l2 = 0.01, l1 = 0.001;
  // w, m, v and the average of the weights and of the bias, one behind the other
  std::vector<double> expected[4], found_sum;
  std::vector<T> found[8];
  for (int a = 0; a < 4; ++a) expected[a].assign(K * (D + 1), 0);
  for (int64_t i = 0; i < K * D; ++i) expected[0][i] = static_cast<T>(start[i]);
  for (int a = 0; a < 8; ++a) found[a].assign(a < 4 ? K * D : K, 0);
  for (int64_t i = 0; i < K * D; ++i) found[0][i] = static_cast<T>(start[i]);
  linprobe::Epoch job{};
  job.rows = table.rows, job.y = y.data(), job.K = K, job.batch = batch, job.rates = rates.data(), job.bias_rate = 0.5;
  job.loss = LossKind::softmax, job.delta = 1, job.update = update, job.momentum = kMomentum, job.rho = kRho, job.beta1 = kBeta1;
  job.beta2 = kBeta2, job.epsilon = kEpsilon, job.l2 = l2, job.l1 = l1, job.step = 3, job.averaged = 0;
  job.W = found[0].data(), job.W_m = found[1].data(), job.W_v = found[2].data(), job.W_avg = found[3].data();
  job.b = found[4].data(), job.b_m = found[5].data(), job.b_v = found[6].data(), job.b_avg = found[7].data();
  job.threads = 2, job.interrupted = never;
  report.expect(set.kernels.sgd_epoch(job), "interrupted");
  double loss = 0;
  for (int64_t first = 0, t = 0; first < n; first += batch, ++t) {
    const int64_t rows = std::min(batch, n - first);
    std::vector<double> G(K * (D + 1));
    for (int64_t i = first; i < first + rows; ++i) {
      std::vector<double> s(K);
      for (int64_t k = 0; k < K; ++k) {
        s[k] = expected[0][K * D + k];
        for (int64_t d = 0; d < D; ++d) s[k] += expected[0][k * D + d] * table.x(i, d);
      }
      const std::vector<double> p = softmax_of(s.data(), K);
      loss -= std::log(p[y[i]]);
      for (int64_t k = 0; k < K; ++k) {
        const double slope = (p[k] - (k == y[i] ? 1 : 0)) / static_cast<double>(rows);
        G[K * D + k] += slope;
        for (int64_t d = 0; d < D; ++d) G[k * D + d] += slope * table.x(i, d);
      }
    }
    for (int64_t i = 0; i < K * (D + 1); ++i) {
      const bool bias = i >= K * D;
      const double g = G[i] + (bias ? 0 : 2 * l2 * expected[0][i]);
      plain_update(update, bias ? 0.005 : 0.01, static_cast<double>(3 + t + 1), g, bias ? 0 : l1, expected[0][i], expected[1][i], expected[2][i]);
      expected[3][i] += (expected[0][i] - expected[3][i]) / static_cast<double>(t + 1);
    }
  }
  // A gradient near 0 decides the direction of an update that divides by its size: then steps differ by the rate itself.
  const bool divides = update == Update::adagrad || update == Update::rmsprop || update == Update::adam;
  const double bound = (std::is_same_v<T, float> ? 4e-5 : 1e-11) * (divides ? 20 : 1);
  report.near(job.loss_sum, loss, bound * static_cast<double>(n), "the loss");
  for (int a : {0, 3})
    for (int64_t i = 0; i < K * (D + 1); ++i)
      report.near(static_cast<double>(i < K * D ? found[a][i] : found[4 + a][i - K * D]), expected[a][i], bound, a == 0 ? "a weight" : "an average");
}

// ---- The alternating direction method ----------------------------------------------------------------------------------

void check_split(const InstructionSet& set, Report& report, Random& random, Dtype dtype, LossKind loss) {
  const int64_t n = 75, D = 21, K = 4;
  const double rho = 0.7, relax = 1.6, delta = 1.0;
  report.context = std::string("a step of ADMM over ") + name_of(dtype) + ", loss " + std::to_string(static_cast<int>(loss));
  const Table table(random, dtype, n, D, {false, false, dtype == Dtype::u8});
  const std::vector<int64_t> y = labels(random, n, K);
  const std::vector<double> W = numbers(random, K * D, 0.3), b = numbers(random, K);
  std::vector<float> z(n * K), g(n * K);
  for (float& one : z) one = static_cast<float>(random.about());
  for (float& one : g) one = static_cast<float>(0.1 * random.about());
  const std::vector<float> old_z = z, old_g = g;
  std::vector<double> back(2 * K * D), columns(2 * K), expected(2 * K * D);
  linprobe::Split job{};
  job.rows = table.rows, job.y = y.data(), job.K = K, job.W = W.data(), job.b = b.data(), job.loss = loss, job.delta = delta, job.rho = rho;
  job.relax = relax, job.z = z.data(), job.g = g.data(), job.dual = true, job.back = back.data(), job.columns = columns.data();
  job.threads = 2, job.interrupted = never;
  report.expect(set.kernels.split(job), "interrupted");
  for (int64_t i = 0; i < n; ++i) {
    std::vector<double> at(K);
    double rest = 0;
    for (int64_t k = 0; k < K; ++k) {
      double s = b[k];
      for (int64_t d = 0; d < D; ++d) s += W[k * D + d] * table.x(i, d);
      at[k] = static_cast<double>(z[i * K + k]);
      const double now = static_cast<double>(g[i * K + k]), before = static_cast<double>(old_z[i * K + k]);
      const double v = before + static_cast<double>(old_g[i * K + k]) / rho + relax * (s - before);
      report.near(at[k] + now / rho, v, 1e-4, "z + g / rho");
      rest += now;
      for (int64_t d = 0; d < D; ++d) {
        expected[k * D + d] += (at[k] - now / rho - s) * table.x(i, d);
        expected[(K + k) * D + d] += now * table.x(i, d);
      }
    }
    report.near(rest, 0, 1e-5, "the sum of the slopes of a row");
    const std::vector<double> p = softmax_of(at.data(), K);
    for (int64_t k = 0; k < K; ++k) {
      const double slope = static_cast<double>(g[i * K + k]), margin = at[k] - at[y[i]] + delta;
      if (loss == LossKind::softmax) report.near(slope, p[k] - (k == y[i] ? 1 : 0), 1e-5, "a slope of softmax at z");
      else if (k != y[i] && loss == LossKind::squared_hinge) report.near(slope, 2 * std::max(0.0, margin), 1e-4, "a slope of the squared hinge at z");
      else if (k != y[i]) report.expect(slope >= 0 && slope <= 1 && (margin > -1e-4 || slope == 0) && (margin < 1e-4 || slope == 1), "a slope of the hinge at z");
    }
  }
  for (int64_t i = 0; i < 2 * K * D; ++i) report.near(back[i], expected[i], 2e-3, "back");
}

// ---- Descent on quadratic models ----------------------------------------------------------------------------------------

void check_descent(const InstructionSet& set, Report& report, Random& random, int64_t n, int64_t K) {
  report.context = "descent over " + std::to_string(n) + " features, " + std::to_string(K) + " classes";
  const std::vector<double> Z = numbers(random, n * (n + 3)), half = numbers(random, K * (K + 2)), slope = numbers(random, (n + 1) * K);
  std::vector<float> gram(n * n), moved(K * (n + 1)), nothing((n + 1) * K), sums(1);
  std::vector<double> coupling(K * K), W((n + 1) * K);
  for (int64_t i = 0; i < n * n; ++i) gram[i] = static_cast<float>(dot(&Z[i / n * (n + 3)], &Z[i % n * (n + 3)], n + 3) + (i / n == i % n ? 1 : 0));
  for (int64_t i = 0; i < K * K; ++i) coupling[i] = dot(&half[i / K * (K + 2)], &half[i % K * (K + 2)], K + 2) + (i / K == i % K ? 1 : 0);
  linprobe::Descent job{};
  job.n = n, job.K = K, job.m = 1, job.gram = gram.data(), job.coupling = coupling.data(), job.ridge = 0.1, job.size = 0.3, job.slope = slope.data();
  job.left = nothing.data(), job.right = nothing.data(), job.W = W.data(), job.moved = moved.data(), job.sums = sums.data();
  job.most = 3000, job.tol = 1e-6;
  set.kernels.descent(job);
  for (int64_t j = 0; j <= n; ++j)
    for (int64_t k = 0; k < K; ++k) {
      double at = slope[j * K + k] + (j < n ? job.ridge * W[j * K + k] : 0), size = 1;
      for (int64_t l = 0; l < K; ++l)
        for (int64_t i = 0; i <= n; ++i) {
          const double row = j < n && i < n ? static_cast<double>(gram[j * n + i]) : i == j ? 1 : 0;
          at += row * coupling[k * K + l] * W[i * K + l];
          size += std::abs(row * coupling[k * K + l] * W[i * K + l]);
        }
      const double weight = W[j * K + k], aside = j < n ? job.size : 0;
      const double miss = weight != 0 ? at + (weight > 0 ? aside : -aside) : std::max(0.0, std::abs(at) - aside);
      report.near(miss, 0, 1e-5 * size, "the slope at the minimum");
    }
}

void check_curved(const InstructionSet& set, Report& report, Random& random, bool singles) {
  const int64_t n = 9, N = 50, K = 3;
  report.context = std::string("descent on a curved model of ") + (singles ? "float32" : "float64");
  const std::vector<double> drawn = numbers(random, n * N);
  std::vector<float> few(drawn.begin(), drawn.end());
  std::vector<double> X(n * N), d, v, w, slope = numbers(random, (n + 1) * K, 0.3), curvatures(n * K), inverse(K * K), damp(n + 1, 1e-3);
  for (int64_t i = 0; i < n * N; ++i) X[i] = singles ? static_cast<double>(few[i]) : drawn[i];
  std::vector<std::vector<double>> p;
  for (int64_t i = 0; i < N; ++i) p.push_back(softmax_of(numbers(random, K).data(), K));
  std::vector<int64_t> ends = {0}, image;
  for (int64_t k = 0; k < K; ++k) {
    for (int64_t i = 0; i < N; ++i) {
      image.push_back(i), d.push_back(p[i][k]), v.push_back(p[i][k]), w.push_back(0.5 * p[i][k]);
      for (int64_t j = 0; j < n; ++j) curvatures[j * K + k] += X[j * N + i] * X[j * N + i] * p[i][k] * (1 - p[i][k]);
    }
    ends.push_back(static_cast<int64_t>(image.size()));
    inverse[k * K + k] = 1.0 / static_cast<double>(N);  // of more than the curvature of the biases: each step is a safe one
    for (int64_t j = 0; j < n; ++j) curvatures[j * K + k] += 0.2 + damp[j];
  }
  const std::vector<double> start((n + 1) * K, 0.0);
  std::vector<double> W = start, z(image.size()), c(N), e(N);
  linprobe::Curved job{};
  job.n = n, job.N = N, job.K = K, job.singles = singles, job.X = singles ? static_cast<const void*>(few.data()) : X.data();
  job.ends = ends.data(), job.image = image.data(), job.d = d.data(), job.v = v.data(), job.w = w.data(), job.slope = slope.data();
  job.curvatures = curvatures.data(), job.inverse = inverse.data(), job.ridge = 0.2, job.size = 0.05, job.damp = damp.data(), job.start = start.data();
  job.W = W.data(), job.z = z.data(), job.c = c.data(), job.e = e.data(), job.all = true, job.most = 50, job.share = 1e-10;
  for (int round = 0; round < 400; ++round) {
    set.curved.sweep(job);
    if (round % 20 == 10) set.curved.krylov(job);
  }
  report.expect(job.largest < 1e-6, "the sweeps do not settle");
  auto moved = [&](int64_t i, int64_t k) {  // by how much the step changes the score of class k of image i
    double change = W[n * K + k];
    for (int64_t f = 0; f < n; ++f) change += W[f * K + k] * X[f * N + i];
    return change;
  };
  for (int64_t j = 0; j <= n; ++j)
    for (int64_t k = 0; k < K; ++k) {
      double at = slope[j * K + k] + damp[j] * W[j * K + k] + (j < n ? job.ridge * W[j * K + k] : 0);
      for (int64_t i = 0; i < N; ++i) {
        double mean = 0;
        for (int64_t l = 0; l < K; ++l) mean += p[i][l] * moved(i, l);
        at += (j < n ? X[j * N + i] : 1) * p[i][k] * (moved(i, k) - mean);
      }
      const double weight = W[j * K + k], aside = j < n ? job.size : 0;
      report.near(weight != 0 ? at + (weight > 0 ? aside : -aside) : std::max(0.0, std::abs(at) - aside), 0, 1e-5, "the slope at the minimum");
    }
}

// ---- Dual coordinate ascent ---------------------------------------------------------------------------------------------

struct DualProblem {
  static constexpr double lambda = 0.1, bias = 3.0, delta = 1.0;
  const int64_t N, K, D;
  const double most, curvature;
  std::vector<double> X, share, squares;
  std::vector<int64_t> y, order;

  DualProblem(Random& random, int64_t N_, int64_t K_, int64_t D_, bool squared)
      : N(N_), K(K_), D(D_), most(squared ? std::numeric_limits<double>::infinity() : 1.0), curvature(squared ? 2.0 : std::numeric_limits<double>::infinity()),
        X(numbers(random, N * D)), share(N, 1.0 / static_cast<double>(N)), squares(N), y(labels(random, N, K)) {
    for (int64_t i = 0; i < N; ++i) order.push_back(i);
    for (double& x : X) x = static_cast<float>(x);
    for (int64_t i = 0; i < N; ++i) squares[i] = dot(&X[i * D], &X[i * D], D);
  }

  // The gap of A (N, K), with the weights that belong to it.
  double gap(const std::vector<double>& A) const {
    std::vector<double> W(K * D), b(K);
    double dual = 0, primal = 0, size = 0;
    for (int64_t i = 0; i < N; ++i)
      for (int64_t j = 0; j < K; ++j) {
        const double a = A[i * K + j];
        if (j == y[i] || a == 0) continue;
        dual += delta * a - (std::isfinite(curvature) ? a * a / (2 * curvature * share[i]) : 0);
        b[y[i]] += bias * a, b[j] -= bias * a;
        for (int64_t d = 0; d < D; ++d) W[y[i] * D + d] += a * X[i * D + d] / lambda, W[j * D + d] -= a * X[i * D + d] / lambda;
      }
    size = 0.5 * lambda * dot(W.data(), W.data(), K * D) + dot(b.data(), b.data(), K) / (2 * bias);
    for (int64_t i = 0; i < N; ++i) {
      std::vector<double> s = b;
      for (int64_t k = 0; k < K; ++k) s[k] += dot(&W[k * D], &X[i * D], D);
      for (int64_t k = 0; k < K; ++k) {
        const double margin = k == y[i] ? 0 : std::max(0.0, s[k] - s[y[i]] + delta);
        primal += share[i] * (std::isfinite(curvature) ? margin * margin : margin);
      }
    }
    return primal + size - (dual - size);
  }
};

void check_dual(const InstructionSet& set, Report& report, Random& random, bool squared, bool gram, bool singles) {
  const DualProblem problem(random, 30, 7, 19, squared);
  const auto [N, K, D] = std::tuple{problem.N, problem.K, problem.D};
  report.context = std::string("dual ascent, ") + (squared ? "squared hinge" : "hinge") + (gram ? ", Gram" : "") + (singles ? ", float32" : "");
  const int64_t width = gram ? N : D;
  std::vector<double> rows = problem.X;
  if (gram) {
    rows.assign(N * N, 0);
    for (int64_t i = 0; i < N * N; ++i) rows[i] = dot(&problem.X[i / N * D], &problem.X[i % N * D], D);
  }
  const std::vector<float> few(rows.begin(), rows.end());
  std::vector<double> A(N * K), V(K * width), W(K * width), b(K);
  linprobe::DualSweep job{};
  job.N = N, job.K = K, job.D = width, job.n = N, job.order = problem.order.data(), job.y = problem.y.data(), job.share = problem.share.data();
  job.squares = problem.squares.data(), job.gram = gram, job.singles = singles, job.rows = singles ? static_cast<const void*>(few.data()) : rows.data();
  job.lambda = problem.lambda, job.size = 0, job.bias = problem.bias, job.delta = problem.delta, job.most = problem.most;
  job.curvature = problem.curvature, job.all = true, job.threshold = 0, job.A = A.data(), job.V = V.data(), job.W = gram ? nullptr : W.data(), job.b = b.data();
  for (int round = 0; round < 1000; ++round) set.dual.sweep(job);
  report.near(problem.gap(A), 0, 2e-5, "the gap");
  for (int64_t i = 0; i < N; ++i)
    for (int64_t k = 0; k < K; ++k)
      report.expect(A[i * K + k] >= 0 && A[i * K + k] <= problem.share[i] * problem.most && (k != problem.y[i] || A[i * K + k] == 0), "a dual number out of bounds");
}

void check_pairs(const InstructionSet& set, Report& report, Random& random, bool squared) {
  const DualProblem problem(random, 40, 6, 150, squared);
  const auto [N, K, D] = std::tuple{problem.N, problem.K, problem.D};
  report.context = std::string("dual ascent over pairs, ") + (squared ? "squared hinge" : "hinge");
  const std::vector<float> rows(problem.X.begin(), problem.X.end());
  std::vector<int64_t> ends = {0};
  std::vector<int32_t> classes;
  for (int64_t i = 0; i < N; ++i) {
    for (int64_t k = 0; k < K; ++k)
      if (k != problem.y[i]) classes.push_back(static_cast<int32_t>(k));
    ends.push_back(static_cast<int64_t>(classes.size()));
  }
  std::vector<double> A(classes.size()), b(K), sums(K * D), expected(K * D), whole(N * K);
  std::vector<float> V(K * D);
  linprobe::DualPairs job{};
  job.N = N, job.K = K, job.D = D, job.n = N, job.order = problem.order.data(), job.y = problem.y.data(), job.share = problem.share.data();
  job.squares = problem.squares.data(), job.rows = rows.data(), job.lambda = problem.lambda, job.size = 0, job.bias = problem.bias;
  job.delta = problem.delta, job.most = problem.most, job.curvature = problem.curvature, job.all = true, job.threshold = 0;
  job.ends = ends.data(), job.classes = classes.data(), job.A = A.data(), job.V = V.data(), job.W = nullptr, job.b = b.data();
  for (int round = 0; round < 1000; ++round) set.dual.pairs(job);
  for (int64_t i = 0; i < N; ++i)
    for (int64_t p = ends[i]; p < ends[i + 1]; ++p) {
      whole[i * K + classes[p]] = A[p];
      for (int64_t d = 0; d < D; ++d) expected[problem.y[i] * D + d] += A[p] * problem.X[i * D + d], expected[classes[p] * D + d] -= A[p] * problem.X[i * D + d];
    }
  report.near(problem.gap(whole), 0, 1e-3, "the gap");
  set.dual.sums({N, K, D, problem.y.data(), rows.data(), ends.data(), classes.data(), A.data(), sums.data(), 2});
  for (int64_t i = 0; i < K * D; ++i) report.near(sums[i], expected[i], 1e-12, "V of the pairs");
}

}  // namespace

void check_solvers(const InstructionSet& set, Report& report) {
  Random random(4);
  for (const Update update : {Update::plain, Update::momentum, Update::nesterov, Update::adagrad, Update::rmsprop, Update::adam}) {
    for (const Dtype dtype : {Dtype::u8, Dtype::f16, Dtype::f32}) check_epoch<float>(set, report, random, dtype, update, 43, 37, 3, 16);
    check_epoch<double>(set, report, random, Dtype::f64, update, 43, 37, 12, 16);
  }
  check_epoch<float>(set, report, random, Dtype::f32, Update::momentum, 600, 1100, 2, 300);
  for (const Dtype dtype : kDtypes)
    for (const LossKind loss : {LossKind::softmax, LossKind::hinge, LossKind::squared_hinge}) check_split(set, report, random, dtype, loss);
  for (const auto& [n, K] : {std::pair<int64_t, int64_t>{1, 2}, {13, 3}, {40, 5}}) check_descent(set, report, random, n, K);
  for (const bool singles : {false, true}) check_curved(set, report, random, singles);
  for (const bool squared : {false, true}) {
    for (const bool gram : {false, true})
      for (const bool singles : {false, true}) check_dual(set, report, random, squared, gram, singles);
    check_pairs(set, report, random, squared);
  }
}

}  // namespace checks
