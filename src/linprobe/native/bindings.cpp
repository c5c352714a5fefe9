// Python to kernels and back: checks dtype, contiguity and shape, releases the GIL, and calls. No mathematics here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>

#include "bfloat.hpp"
#include "machine.hpp"

namespace nb = nanobind;
using namespace linprobe;

namespace {

using AnyArray = nb::ndarray<nb::ro, nb::device::cpu>;
// An array that the core reads. One of another dtype or layout is converted to a copy.
template <class T, int N>
struct In : nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu> {
  using Array = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
  static constexpr bool kConverts = true;
  In() = default;
  In(const Array& array) : Array(array) {}
};
// An array that the core writes to. It is never converted: results written to a copy would be lost.
template <class T, int N>
struct Out : nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu> {
  using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
  static constexpr bool kConverts = false;
  Out() = default;
  Out(const Array& array) : Array(array) {}
};
template <class T, int N>
using MaybeIn = std::optional<In<T, N>>;
template <class T, int N>
using MaybeOut = std::optional<Out<T, N>>;

bool is_aligned(const void* data, size_t bytes) { return reinterpret_cast<uintptr_t>(data) % bytes == 0; }

}  // namespace

namespace nanobind::detail {
// Refuses a misaligned array, which nanobind would pass on.
template <class Checked>
struct AlignedCaster {
  using Array = typename Checked::Array;
  NB_TYPE_CASTER(Checked, make_caster<Array>::Name)
  bool from_python(handle source, uint32_t flags, cleanup_list* cleanup) noexcept {
    if constexpr (!Checked::kConverts) flags &= ~static_cast<uint32_t>(cast_flags::convert);
    make_caster<Array> caster;
    if (!caster.from_python(source, flags, cleanup)) return false;
    if (!is_aligned(caster.value.data(), sizeof(typename Array::Scalar))) return false;
    value = Checked(caster.value);
    return true;
  }
};

template <class T, int N>
struct type_caster<In<T, N>> : AlignedCaster<In<T, N>> {};
template <class T, int N>
struct type_caster<Out<T, N>> : AlignedCaster<Out<T, N>> {};
}  // namespace nanobind::detail

namespace {

void require(bool holds, const char* what) {
  if (!holds) throw nb::value_error(what);
}

const Kernels& kernels() { return instruction_set().kernels; }

// take() acquires the GIL. While the interpreter shuts down, a waiting thread would be unwound through noexcept frames,
// which aborts the process. Such a thread sleeps instead, until the process ends.
template <class Take>
auto or_sleep(Take&& take) {
  try {
    return take();
  } catch (...) {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  }
}

struct WithoutGil {
  PyThreadState* const state = PyEval_SaveThread();
  WithoutGil() = default;
  WithoutGil(const WithoutGil&) = delete;
  ~WithoutGil() { or_sleep([&] { PyEval_RestoreThread(state); }); }
};

bool interrupted() {
  const PyGILState_STATE held = or_sleep([] { return PyGILState_Ensure(); });
  const bool pending = PyErr_CheckSignals() != 0;
  PyGILState_Release(held);
  return pending;
}

Rows rows_of(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
             const MaybeIn<double, 1>& shift) {
  require(X.ndim() == 2, "X must have two axes");
  Rows rows{};
  const auto type = X.dtype();
  if (type == nb::dtype<uint8_t>()) rows.dtype = Dtype::u8;
  else if (type.code == static_cast<uint8_t>(nb::dlpack::dtype_code::Float) && type.bits == 16) rows.dtype = Dtype::f16;
  else if (type == nb::dtype<float>()) rows.dtype = Dtype::f32;
  else if (type == nb::dtype<double>()) rows.dtype = Dtype::f64;
  else throw nb::type_error("X must be uint8, float16, float32 or float64");
  require(is_aligned(X.data(), X.itemsize()), "X must be aligned: its numbers at multiples of their size");
  rows.data = X.data();
  rows.row_stride = X.stride(0);
  rows.column_stride = X.stride(1);
  rows.D = static_cast<int64_t>(X.shape(1));
  rows.n = static_cast<int64_t>(picked ? picked->shape(0) : X.shape(0));
  if (picked) {
    rows.picked = picked->data();
    const auto limit = static_cast<int64_t>(X.shape(0));
    for (int64_t i = 0; i < rows.n; ++i)
      require(rows.picked[i] >= 0 && rows.picked[i] < limit, "a row lies outside X");
  }
  require(scale.has_value() == shift.has_value(), "scale and shift come together");
  if (scale) {
    require(static_cast<int64_t>(scale->shape(0)) == rows.D && static_cast<int64_t>(shift->shape(0)) == rows.D,
            "scale and shift must be (D,)");
    rows.scale = scale->data();
    rows.shift = shift->data();
  }
  return rows;
}

void check_labels(const int64_t* y, int64_t n, int64_t K) {
  for (int64_t i = 0; i < n; ++i) require(y[i] >= 0 && y[i] < K, "a label lies outside 0..K-1");
}

LossKind loss_kind(const std::string& name) {
  if (name == "softmax") return LossKind::softmax;
  if (name == "hinge") return LossKind::hinge;
  if (name == "squared-hinge") return LossKind::squared_hinge;
  throw nb::value_error("unknown loss");
}

Update update_kind(const std::string& name) {
  const char* names[] = {"plain", "momentum", "nesterov", "adagrad", "rmsprop", "adam"};
  for (int i = 0; i < 6; ++i)
    if (name == names[i]) return static_cast<Update>(i);
  throw nb::value_error("unknown update");
}

// Runs `job` without the GIL; a pending KeyboardInterrupt is raised afterwards.
template <class Job>
void run(bool (*kernel)(Job&), Job& job) {
  bool finished;
  {
    const WithoutGil without;
    finished = kernel(job);
  }
  if (!finished) throw nb::python_error();
}

void run_pass(Pass& job, int threads) {
  job.threads = threads;
  job.interrupted = interrupted;
  require(job.K * job.members < kFusedTemplates || blas().sgemm != nullptr, "use_blas was not called");
  run(kernels().pass, job);
}

// W (members, K, D), b (members, K), and dW, db alike; sums (members, 3) receives loss, correct, weight.
void loss_and_gradient(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
                       const MaybeIn<double, 1>& shift, const In<int64_t, 1>& y, const MaybeIn<double, 1>& weight,
                       const In<double, 3>& W, const In<double, 2>& b, const std::string& loss, double delta,
                       int precision, const MaybeIn<double, 1>& centre, const Out<double, 2>& sums, const Out<double, 2>& lost,
                       const MaybeOut<double, 3>& dW,
                       const MaybeOut<double, 2>& db, int threads) {
  Pass job{};
  job.rows = rows_of(X, picked, scale, shift);
  job.members = static_cast<int64_t>(W.shape(0));
  job.K = static_cast<int64_t>(W.shape(1));
  require(static_cast<int64_t>(W.shape(2)) == job.rows.D && b.shape(0) == W.shape(0) && b.shape(1) == W.shape(1),
          "W must be (members, K, D) and b (members, K)");
  require(sums.shape(0) == W.shape(0) && sums.shape(1) == 3, "sums must be (members, 3)");
  require(lost.shape(0) == W.shape(0) && lost.shape(1) == 2, "lost must be (members, 2)");
  require(precision >= 0 && precision <= 3, "precision must be 0 to 3");
  require(static_cast<int64_t>(y.shape(0)) == job.rows.n, "y must have one label a row");
  check_labels(y.data(), job.rows.n, job.K);
  require(!weight || static_cast<int64_t>(weight->shape(0)) == job.rows.n, "weight must have one number a row");
  require(dW.has_value() == db.has_value(), "dW and db come together");
  if (dW) {
    require(dW->shape(0) == W.shape(0) && dW->shape(1) == W.shape(1) && dW->shape(2) == W.shape(2) &&
                db->shape(0) == b.shape(0) && db->shape(1) == b.shape(1),
            "dW, db have the shapes of W, b");
    job.dW = dW->data();
    job.db = db->data();
  }
  job.y = y.data();
  job.weight = weight ? weight->data() : nullptr;
  job.W = W.data();
  job.b = b.data();
  job.loss = loss_kind(loss);
  job.delta = delta;
  job.precision = static_cast<Precision>(precision);
  require(!centre || static_cast<int64_t>(centre->shape(0)) == job.rows.D, "centre must be (D,)");
  job.centre = centre ? centre->data() : nullptr;
  job.sums = sums.data();
  job.lost = lost.data();
  run_pass(job, threads);
}

void scores(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
            const MaybeIn<double, 1>& shift, const In<double, 2>& W, const In<double, 1>& b, bool doubles,
            const Out<double, 2>& S, int threads) {
  Pass job{};
  double sums[3];
  job.members = 1;
  job.sums = sums;
  job.rows = rows_of(X, picked, scale, shift);
  job.K = static_cast<int64_t>(W.shape(0));
  require(static_cast<int64_t>(W.shape(1)) == job.rows.D && static_cast<int64_t>(b.shape(0)) == job.K, "W must be (K, D) and b (K,)");
  require(static_cast<int64_t>(S.shape(0)) == job.rows.n && S.shape(1) == W.shape(0), "S must be (n, K)");
  job.W = W.data();
  job.b = b.data();
  job.loss = LossKind::softmax;
  job.scores = S.data();
  job.precision = doubles ? Precision::doubles : Precision::singles;
  run_pass(job, threads);
}

void gradient_of_scores(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
                        const MaybeIn<double, 1>& shift, const In<double, 2>& dS, bool doubles,
                        const Out<double, 2>& dW, const Out<double, 1>& db, int threads) {
  Pass job{};
  double sums[3];
  job.members = 1;
  job.sums = sums;
  job.rows = rows_of(X, picked, scale, shift);
  job.K = static_cast<int64_t>(dS.shape(1));
  require(static_cast<int64_t>(dS.shape(0)) == job.rows.n, "dS must be (n, K)");
  require(dW.shape(0) == dS.shape(1) && static_cast<int64_t>(dW.shape(1)) == job.rows.D && db.shape(0) == dS.shape(1), "dW must be (K, D) and db (K,)");
  job.loss = LossKind::given;
  job.given = dS.data();
  job.dW = dW.data();
  job.db = db.data();
  job.precision = doubles ? Precision::doubles : Precision::singles;
  run_pass(job, threads);
}

// z and g (n, K) are changed; back (K or 2 K, D) and columns alike receive the sums. Returns loss, correct, weight, conjugate.
std::tuple<double, double, double, double> split(
    const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale, const MaybeIn<double, 1>& shift,
    const In<int64_t, 1>& y, const MaybeIn<double, 1>& weight, const In<double, 2>& W, const In<double, 1>& b,
    const std::string& loss, double delta, double rho, double relax, const Out<float, 2>& z, const Out<float, 2>& g,
    const Out<double, 2>& back, const Out<double, 1>& columns, int threads) {
  Split job{};
  job.rows = rows_of(X, picked, scale, shift);
  job.K = static_cast<int64_t>(W.shape(0));
  require(static_cast<int64_t>(W.shape(1)) == job.rows.D && b.shape(0) == W.shape(0), "W must be (K, D) and b (K,)");
  require(static_cast<int64_t>(y.shape(0)) == job.rows.n, "y must have one label a row");
  check_labels(y.data(), job.rows.n, job.K);
  require(!weight || static_cast<int64_t>(weight->shape(0)) == job.rows.n, "weight must have one number a row");
  for (const auto* array : {&z, &g})
    require(static_cast<int64_t>(array->shape(0)) == job.rows.n && array->shape(1) == W.shape(0), "z and g must be (n, K)");
  job.dual = back.shape(0) == 2 * W.shape(0);
  require((job.dual || back.shape(0) == W.shape(0)) && back.shape(1) == W.shape(1) && columns.shape(0) == back.shape(0),
          "back must be (K, D) or (2 K, D), and columns as long");
  require(rho > 0, "rho must be above 0");
  require(job.K < kFusedTemplates || blas().sgemm != nullptr, "use_blas was not called");
  job.y = y.data();
  job.weight = weight ? weight->data() : nullptr;
  job.W = W.data(), job.b = b.data();
  job.loss = loss_kind(loss);
  job.delta = delta, job.rho = rho, job.relax = relax;
  job.z = z.data(), job.g = g.data();
  job.back = back.data(), job.columns = columns.data();
  job.threads = threads;
  job.interrupted = interrupted;
  run(kernels().split, job);
  return {job.sums[0], job.sums[1], job.sums[2], job.sums[3]};
}

void moment(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
            const MaybeIn<double, 1>& shift, const MaybeIn<double, 1>& root, const MaybeOut<double, 2>& out,
            const MaybeOut<float, 2>& single, int threads) {
  Moment job{};
  job.rows = rows_of(X, picked, scale, shift);
  require(!root || static_cast<int64_t>(root->shape(0)) == job.rows.n, "root must have one number a row");
  require(out.has_value() != single.has_value(), "either out or single must be given");
  auto square = [&](const auto& a) { return static_cast<int64_t>(a->shape(0)) == job.rows.D && a->shape(1) == a->shape(0); };
  require(out ? square(out) : square(single), "out must be (D, D)");
  require(blas().sgemm != nullptr, "use_blas was not called");
  job.root = root ? root->data() : nullptr;
  job.out = out ? out->data() : nullptr;
  job.single = single ? single->data() : nullptr;
  job.threads = threads;
  job.interrupted = interrupted;
  run(kernels().moment, job);
}

// out (n, n) receives the Gram matrix of the rows, each row times its root.
void gram(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
          const MaybeIn<double, 1>& shift, const In<double, 1>& root, const Out<float, 2>& out, int threads) {
  Moment job{};
  job.rows = rows_of(X, picked, scale, shift);
  auto is_long = [&](const auto& a, int axis) { return static_cast<int64_t>(a.shape(axis)) == job.rows.n; };
  require(is_long(root, 0) && is_long(out, 0) && is_long(out, 1), "root must be (n) and out (n, n)");
  require(job.rows.dtype == Dtype::u8 && job.rows.D <= kGramFeatures, "X must be uint8, of 16,384 features at most");
  const double* s = job.rows.scale;
  require(s == nullptr || std::all_of(s, s + job.rows.D, [&](double other) { return other == s[0]; }),
          "scale must be the same for all features");
  job.root = root.data();
  job.single = out.data();
  job.of_rows = true;
  job.threads = threads;
  job.interrupted = interrupted;
  run(kernels().moment, job);
}

// out_V (K, D) and out_c (K) receive the products of V and c with the curvature: see Curvature.
void curvature(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
               const MaybeIn<double, 1>& shift, int64_t block, const In<int64_t, 1>& ends, const In<int32_t, 1>& where,
               const In<float, 1>& q, bool star, const In<double, 2>& V, const In<double, 1>& c, const Out<double, 2>& out_V,
               const Out<double, 1>& out_c, int threads) {
  Curvature job{};
  job.rows = rows_of(X, picked, scale, shift);
  job.K = static_cast<int64_t>(V.shape(0));
  job.block = block;
  require(static_cast<int64_t>(V.shape(1)) == job.rows.D && c.shape(0) == V.shape(0), "V must be (K, D) and c (K,)");
  require(out_V.shape(0) == V.shape(0) && out_V.shape(1) == V.shape(1) && out_c.shape(0) == V.shape(0), "out has the shapes of V and c");
  require(block > 0 && (block & (block - 1)) == 0, "block must be a power of two");
  const int64_t n_blocks = (job.rows.n + block - 1) / block, n_pairs = static_cast<int64_t>(where.shape(0));
  require(static_cast<int64_t>(ends.shape(0)) == n_blocks + 1 && ends.data()[0] == 0 && ends.data()[n_blocks] == n_pairs &&
              q.shape(0) == where.shape(0),
          "ends must be (blocks + 1) and end at the number of pairs");
  for (int64_t i = 0; i < n_blocks; ++i) {
    require(ends.data()[i] <= ends.data()[i + 1] && ends.data()[i + 1] <= n_pairs, "ends must ascend");
    const int64_t rows = std::min(block, job.rows.n - i * block);
    for (int64_t p = ends.data()[i]; p < ends.data()[i + 1]; ++p)
      require(where.data()[p] >= (p == ends.data()[i] ? 0 : where.data()[p - 1] + 1) && where.data()[p] < job.K * block && (where.data()[p] & (block - 1)) < rows,
              "the pairs of a block must ascend, and lie within it");
  }
  job.ends = ends.data(), job.where = where.data(), job.q = q.data();
  job.star = star;
  job.V = V.data(), job.c = c.data();
  job.out_V = out_V.data(), job.out_c = out_c.data();
  job.threads = threads;
  job.interrupted = interrupted;
  run(kernels().curvature, job);
}

const HessianKernels& hessian_kernels() { return instruction_set().hessian; }

// q (blocks, K, rows of a block), float16, receives the weights of a Hessian: see HessianWeights.
void hessian_weights(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
                     const MaybeIn<double, 1>& shift, const In<int64_t, 1>& y, const In<double, 2>& W, const In<double, 1>& b,
                     const std::string& loss, double delta, const Out<uint16_t, 3>& q, int threads) {
  require(bfloat() != nullptr, "bfloat16 is not used here");
  HessianWeights job{};
  job.rows = rows_of(X, picked, scale, shift);
  job.K = static_cast<int64_t>(W.shape(0));
  require(static_cast<int64_t>(W.shape(1)) == job.rows.D && b.shape(0) == W.shape(0), "W must be (K, D) and b (K,)");
  require(static_cast<int64_t>(q.shape(0)) == (job.rows.n + kHessianRows - 1) / kHessianRows && static_cast<int64_t>(q.shape(1)) == job.K &&
              static_cast<int64_t>(q.shape(2)) == kHessianRows && static_cast<int64_t>(y.shape(0)) == job.rows.n,
          "q must be (blocks, K, rows of a block) and y (n,)");
  check_labels(y.data(), job.rows.n, job.K);
  job.loss = loss_kind(loss);
  require(job.loss != LossKind::hinge, "the hinge has no curvature");
  job.delta = delta;
  job.y = y.data(), job.W = W.data(), job.b = b.data(), job.q = q.data();
  job.threads = threads;
  job.interrupted = interrupted;
  run(hessian_kernels().weights, job);
}

// out_V (K, D) and out_c (K) receive the products of V and c with a Hessian in bfloat16: see HessianProduct.
void hessian_product(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
                     const MaybeIn<double, 1>& shift, const In<uint16_t, 3>& q, const In<float, 1>& share,
                     const MaybeIn<int64_t, 1>& y, const In<double, 2>& V, const In<double, 1>& c, const Out<double, 2>& out_V,
                     const Out<double, 1>& out_c, int threads) {
  require(bfloat() != nullptr, "bfloat16 is not used here");
  HessianProduct job{};
  job.rows = rows_of(X, picked, scale, shift);
  job.K = static_cast<int64_t>(V.shape(0));
  require(static_cast<int64_t>(V.shape(1)) == job.rows.D && c.shape(0) == V.shape(0), "V must be (K, D) and c (K,)");
  require(out_V.shape(0) == V.shape(0) && out_V.shape(1) == V.shape(1) && out_c.shape(0) == V.shape(0), "out has the shapes of V and c");
  require(static_cast<int64_t>(q.shape(0)) == (job.rows.n + kHessianRows - 1) / kHessianRows && static_cast<int64_t>(q.shape(1)) == job.K &&
              static_cast<int64_t>(q.shape(2)) == kHessianRows && static_cast<int64_t>(share.shape(0)) == job.rows.n,
          "q must be (blocks, K, rows of a block) and share (n,)");
  if (y) {
    require(static_cast<int64_t>(y->shape(0)) == job.rows.n, "y must be (n,)");
    check_labels(y->data(), job.rows.n, job.K);
    job.y = y->data();
  }
  job.q = q.data(), job.share = share.data();
  job.V = V.data(), job.c = c.data();
  job.out_V = out_V.data(), job.out_c = out_c.data();
  job.threads = threads;
  job.interrupted = interrupted;
  run(hessian_kernels().product, job);
}

// out (side, side) += the moment of the rows [r x, r]: see HessianBlock.
void hessian_block(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
                   const MaybeIn<double, 1>& shift, const In<float, 1>& root, const Out<float, 2>& out) {
  require(bfloat() != nullptr, "bfloat16 is not used here");
  HessianBlock job{};
  job.rows = rows_of(X, picked, scale, shift);
  const auto side = static_cast<size_t>(hessian_side(job.rows.D));
  require(static_cast<int64_t>(root.shape(0)) == job.rows.n, "root must be (n,)");
  require(out.shape(0) == side && out.shape(1) == side, "out must be (side, side), with room for D + 1 in whole tiles");
  job.root = root.data(), job.out = out.data();
  const WithoutGil without;
  hessian_kernels().block(job);
}

template <class Array>
void check_blocks(const Array& U, int64_t n) {
  constexpr size_t size = kTriangleBlock;
  require(n > 0 && U.shape(0) == static_cast<size_t>(triangle_blocks(n)) && U.shape(1) == size && U.shape(2) == size,
          "U must hold the blocks of a triangle of n rows");
}

// U, UᵀU = A + ridge I, in blocks; false if that is not positive definite.
bool factor(const In<float, 2>& A, float ridge, const Out<float, 3>& U, int threads) {
  const int64_t n = static_cast<int64_t>(A.shape(0));
  require(A.shape(1) == A.shape(0), "A must be (n, n)");
  check_blocks(U, n);
  Factor job{n, A.data(), ridge, U.data(), threads};
  const WithoutGil without;
  return kernels().factor(job);
}

// The upper halves of the numbers of U, rounded to nearest.
void halve_triangle(const In<float, 3>& U, const Out<uint16_t, 3>& halves) {
  require(halves.shape(0) == U.shape(0) && halves.shape(1) == U.shape(1) && halves.shape(2) == U.shape(2), "halves has the shape of U");
  const float* const from = U.data();
  uint16_t* const to = halves.data();
  const size_t n = U.size();
  const WithoutGil without;
  for (size_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, from + i, 4);
    to[i] = static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }
}

// x (n) becomes (UᵀU)⁻¹ x: see HessianSolve.
void solve_halves(const In<uint16_t, 3>& U, const Out<float, 1>& x) {
  HessianSolve job{static_cast<int64_t>(x.shape(0)), U.data(), x.data()};
  check_blocks(U, job.n);
  const WithoutGil without;
  hessian_kernels().solve(job);
}

// X (m, n) becomes X (UᵀU)⁻¹, for a few rows.
void solve_triangles(const In<float, 3>& U, const Out<float, 2>& X, int threads) {
  const int64_t n = static_cast<int64_t>(X.shape(1));
  check_blocks(U, n);
  Triangle job{n, static_cast<int64_t>(X.shape(0)), U.data(), X.data(), threads};
  const WithoutGil without;
  kernels().triangle(job);
}

// Coordinate descent on a quadratic model with |W|: see Descent. Returns sweeps and the largest change of a slope.
std::tuple<int64_t, double> descent(const In<float, 2>& gram, const In<double, 2>& coupling, double ridge, double size,
                                    const In<double, 2>& slope, const In<float, 3>& left, const In<float, 3>& right,
                                    const Out<double, 2>& W, const Out<float, 2>& moved, const Out<float, 1>& sums,
                                    int64_t most, double tol) {
  Descent job{};
  const size_t n = gram.shape(0), K = W.shape(1), m = sums.shape(0);
  require(gram.shape(1) == n, "gram must be (n, n)");
  require(coupling.shape(0) == K && coupling.shape(1) == K, "coupling must be (K, K)");
  require(W.shape(0) == n + 1 && slope.shape(0) == n + 1 && slope.shape(1) == K, "W and slope must be (n + 1, K)");
  auto fits = [&](const In<float, 3>& a) { return a.shape(0) == n + 1 && a.shape(1) == K && a.shape(2) == m; };
  require(fits(left) && fits(right), "left and right must be (n + 1, K, m)");
  require(moved.shape(0) == K && moved.shape(1) == n + 1, "moved must be (K, n + 1)");
  job.n = static_cast<int64_t>(n), job.K = static_cast<int64_t>(K), job.m = static_cast<int64_t>(m);
  job.gram = gram.data(), job.coupling = coupling.data(), job.ridge = ridge, job.size = size;
  job.slope = slope.data(), job.left = left.data(), job.right = right.data();
  job.W = W.data(), job.moved = moved.data(), job.sums = sums.data();
  job.most = most, job.tol = tol;
  {
    const WithoutGil without;
    kernels().descent(job);
  }
  return {job.sweeps, job.largest};
}

// One sweep of dual coordinate ascent: see DualSweep. Returns the predicted gain, and how many rows were multiplied or added.
template <class S>
std::tuple<double, int64_t> ascent(const In<S, 2>& rows, const In<double, 1>& squares, const In<int64_t, 1>& y, const In<double, 1>& share,
                                   const In<int64_t, 1>& order, const Out<double, 2>& A, const Out<double, 2>& V,
                                   const MaybeOut<double, 2>& W, const Out<double, 1>& b, double lambda, double size, double bias,
                                   double delta, double most, double curvature, bool all, double threshold) {
  DualSweep job{};
  job.N = static_cast<int64_t>(A.shape(0)), job.K = static_cast<int64_t>(A.shape(1)), job.D = static_cast<int64_t>(rows.shape(1));
  job.n = static_cast<int64_t>(order.shape(0));
  auto has = [&](const auto& a, int axis, int64_t n) { return static_cast<int64_t>(a.shape(axis)) == n; };
  require(has(rows, 0, job.N) && has(squares, 0, job.N) && has(y, 0, job.N) && has(share, 0, job.N),
          "rows, squares, y and share must have one row of A (N, K) each");
  require(has(V, 0, job.K) && has(V, 1, job.D) && has(b, 0, job.K), "V must be (K, D) and b (K)");
  require(!W || (has(*W, 0, job.K) && has(*W, 1, job.D)), "W must be (K, D)");
  require(W || (job.D == job.N && size == 0), "without W the rows must be those of a Gram matrix, and size 0");
  require(lambda > 0 && bias > 0, "lambda and bias must be above 0");
  check_labels(y.data(), job.N, job.K);
  check_labels(order.data(), job.n, job.N);
  job.order = order.data(), job.y = y.data(), job.share = share.data(), job.squares = squares.data();
  job.gram = !W, job.singles = std::is_same_v<S, float>, job.rows = rows.data();
  job.lambda = lambda, job.size = size, job.bias = bias, job.delta = delta, job.most = most, job.curvature = curvature;
  job.all = all, job.threshold = threshold;
  job.A = A.data(), job.V = V.data(), job.W = W ? W->data() : nullptr, job.b = b.data();
  {
    const WithoutGil without;
    instruction_set().dual.sweep(job);
  }
  return {job.gain, job.products};
}

void check_pairs(const In<int64_t, 1>& ends, const In<int32_t, 1>& classes, const In<int64_t, 1>& y, const Out<double, 1>& A, int64_t K) {
  const int64_t N = static_cast<int64_t>(y.shape(0)), P = static_cast<int64_t>(classes.shape(0));
  require(static_cast<int64_t>(ends.shape(0)) == N + 1 && ends(0) == 0 && ends(N) == P, "ends must be (N + 1), from 0 to the number of pairs");
  require(static_cast<int64_t>(A.shape(0)) == P, "A must have one number for each pair");
  for (int64_t i = 0; i < N; ++i) {
    require(ends(i) <= ends(i + 1) && ends(i + 1) <= P && ends(i + 1) - ends(i) < K, "ends must ascend, by K - 1 at most");
    for (int64_t p = ends(i); p < ends(i + 1); ++p)
      require(classes(p) >= 0 && classes(p) < K && classes(p) != y(i), "classes must be other classes than the label's");
  }
}

// One sweep over listed pairs: see DualPairs. Returns what `ascent` does.
std::tuple<double, int64_t> pairs_ascent(const In<float, 2>& rows, const In<double, 1>& squares, const In<int64_t, 1>& y,
                                         const In<double, 1>& share, const In<int64_t, 1>& order, const In<int64_t, 1>& ends,
                                         const In<int32_t, 1>& classes, const Out<double, 1>& A, const Out<float, 2>& V,
                                         const MaybeOut<float, 2>& W, const Out<double, 1>& b, double lambda, double size,
                                         double bias, double delta, double most, double curvature, bool all, double threshold) {
  DualPairs job{};
  job.N = static_cast<int64_t>(rows.shape(0)), job.K = static_cast<int64_t>(V.shape(0)), job.D = static_cast<int64_t>(rows.shape(1));
  job.n = static_cast<int64_t>(order.shape(0));
  auto has = [&](const auto& a, int axis, int64_t n) { return static_cast<int64_t>(a.shape(axis)) == n; };
  require(has(squares, 0, job.N) && has(y, 0, job.N) && has(share, 0, job.N), "squares, y and share must have one number for each row");
  require(has(V, 1, job.D) && has(b, 0, job.K), "V must be (K, D) and b (K)");
  require(W ? has(*W, 0, job.K) && has(*W, 1, job.D) : size == 0, "W must be (K, D); without it size must be 0");
  require(lambda > 0 && bias > 0, "lambda and bias must be above 0");
  check_labels(y.data(), job.N, job.K);
  check_labels(order.data(), job.n, job.N);
  check_pairs(ends, classes, y, A, job.K);
  job.order = order.data(), job.y = y.data(), job.share = share.data(), job.squares = squares.data(), job.rows = rows.data();
  job.lambda = lambda, job.size = size, job.bias = bias, job.delta = delta, job.most = most, job.curvature = curvature;
  job.all = all, job.threshold = threshold, job.ends = ends.data(), job.classes = classes.data();
  job.A = A.data(), job.V = V.data(), job.W = W ? W->data() : nullptr, job.b = b.data();
  {
    const WithoutGil without;
    instruction_set().dual.pairs(job);
  }
  return {job.gain, job.products};
}

// V of listed pairs: see DualSums.
void pairs_sums(const In<float, 2>& rows, const In<int64_t, 1>& y, const In<int64_t, 1>& ends, const In<int32_t, 1>& classes,
                const Out<double, 1>& A, const Out<double, 2>& V, int threads) {
  DualSums job{};
  job.N = static_cast<int64_t>(rows.shape(0)), job.D = static_cast<int64_t>(rows.shape(1)), job.K = static_cast<int64_t>(V.shape(0));
  require(static_cast<int64_t>(V.shape(1)) == job.D && static_cast<int64_t>(y.shape(0)) == job.N, "V must be (K, D) and y (N)");
  check_labels(y.data(), job.N, job.K);
  check_pairs(ends, classes, y, A, job.K);
  job.y = y.data(), job.rows = rows.data(), job.ends = ends.data(), job.classes = classes.data(), job.A = A.data(), job.V = V.data();
  job.threads = threads;
  {
    const WithoutGil without;
    instruction_set().dual.sums(job);
  }
}

// Descent on a second-order model: see Curved. Of a sweep the largest change of a slope, of conjugate gradients their number.
template <class S, bool is_sweep>
double curved(const In<S, 2>& X, const In<int64_t, 1>& ends, const In<int64_t, 1>& image, const In<double, 1>& d,
              const In<double, 1>& v, const In<double, 1>& w, const In<double, 2>& slope, const In<double, 2>& curvatures,
              const In<double, 2>& inverse, double ridge, double size, const In<double, 1>& damp, const In<double, 2>& start,
              const Out<double, 2>& W, const Out<double, 1>& z, const Out<double, 1>& c, const Out<double, 1>& e, bool all,
              int64_t most, double share) {
  Curved job{};
  const int64_t n = static_cast<int64_t>(X.shape(0)), N = static_cast<int64_t>(X.shape(1)), K = static_cast<int64_t>(W.shape(1));
  auto has = [&](const auto& a, int axis, int64_t length) { return static_cast<int64_t>(a.shape(axis)) == length; };
  auto weights = [&](const auto& a) { return has(a, 0, n + 1) && has(a, 1, K); };
  require(has(ends, 0, K + 1) && ends(0) == 0, "ends must be (K + 1), from 0");
  for (int64_t k = 0; k < K; ++k) require(ends(k) <= ends(k + 1), "ends must not fall");
  const int64_t P = ends(K);
  require(has(image, 0, P) && has(d, 0, P) && has(v, 0, P) && has(w, 0, P) && has(z, 0, P), "entries must be (P)");
  require(weights(slope) && weights(start) && weights(W), "slope, start and W must be (n + 1, K)");
  require(has(curvatures, 0, n) && has(curvatures, 1, K) && has(inverse, 0, K) && has(inverse, 1, K), "curvatures must be (n, K), inverse (K, K)");
  require(has(damp, 0, n + 1) && has(c, 0, N) && has(e, 0, N), "damp must be (n + 1), c and e (N)");
  check_labels(image.data(), P, N);
  job.n = n, job.N = N, job.K = K, job.singles = std::is_same_v<S, float>, job.X = X.data();
  job.ends = ends.data(), job.image = image.data(), job.d = d.data(), job.v = v.data(), job.w = w.data();
  job.slope = slope.data(), job.curvatures = curvatures.data(), job.inverse = inverse.data(), job.ridge = ridge, job.size = size;
  job.damp = damp.data(), job.start = start.data(), job.W = W.data(), job.z = z.data(), job.c = c.data(), job.e = e.data();
  job.all = all, job.most = most, job.share = share;
  {
    const WithoutGil without;
    const CurvedKernels& curved_kernels = instruction_set().curved;
    (is_sweep ? curved_kernels.sweep : curved_kernels.krylov)(job);
  }
  return is_sweep ? job.largest : static_cast<double>(job.steps);
}

// Responses of a dictionary to the patches of X (N, height * width * channels) uint8, pooled: see patches_impl.hpp.
void patches(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, int64_t height, int64_t width, int64_t channels, int64_t size,
             int64_t stride, const In<float, 1>& centre, const In<float, 2>& whiten, const In<float, 2>& filters, double epsilon,
             double threshold, const In<int64_t, 1>& region_ends, const In<int64_t, 1>& places, const MaybeIn<int64_t, 1>& mirrored,
             bool maximum, const Out<float, 2>& out, int threads) {
  Patches job{};
  job.rows = rows_of(X, picked, std::nullopt, std::nullopt);
  const int64_t d = size * size * channels;
  require(job.rows.dtype == Dtype::u8 && job.rows.column_stride == 1, "X must be uint8, its rows contiguous");
  require(size >= 1 && stride >= 1 && size <= height && size <= width && d <= 1024, "size does not suit the pictures");
  require(job.rows.D == height * width * channels, "X must have height * width * channels columns");
  require(static_cast<int64_t>(centre.shape(0)) == d && static_cast<int64_t>(whiten.shape(0)) == d && static_cast<int64_t>(whiten.shape(1)) == d &&
              static_cast<int64_t>(filters.shape(1)) == d, "centre, whiten and filters must be (d), (d, d) and (n, d)");
  job.n_places = ((height - size) / stride + 1) * ((width - size) / stride + 1);
  job.n_regions = static_cast<int64_t>(region_ends.shape(0));
  require(job.n_regions >= 1, "there must be a region");
  int64_t begin = 0;
  for (int64_t g = 0; g < job.n_regions; begin = region_ends.data()[g++])
    require(region_ends.data()[g] > begin, "a region is empty");
  require(begin == static_cast<int64_t>(places.shape(0)), "the last region must end where the places do");
  for (int64_t i = 0; i < begin; ++i) require(places.data()[i] >= 0 && places.data()[i] < job.n_places, "a place lies outside");
  job.n_filters = static_cast<int64_t>(filters.shape(0));
  if (mirrored) {
    require(static_cast<int64_t>(mirrored->shape(0)) == job.n_regions && job.n_filters % 2 == 0, "mirrored must be (n_regions)");
    for (int64_t g = 0; g < job.n_regions; ++g) require(mirrored->data()[g] >= 0 && mirrored->data()[g] < job.n_regions, "no such region");
    job.mirrored = mirrored->data();
  }
  const int64_t kept = mirrored ? job.n_filters / 2 : job.n_filters;
  require(static_cast<int64_t>(out.shape(0)) == job.rows.n && static_cast<int64_t>(out.shape(1)) == job.n_regions * 2 * kept,
          "out must be (N, n_regions * 2 * filters)");
  job.height = height, job.width = width, job.channels = channels, job.size = size, job.stride = stride;
  job.centre = centre.data(), job.whiten = whiten.data(), job.filters = filters.data();
  job.epsilon = static_cast<float>(epsilon), job.threshold = static_cast<float>(threshold);
  job.region_ends = region_ends.data(), job.places = places.data();
  job.maximum = maximum;
  job.out = out.data();
  job.threads = threads;
  job.interrupted = interrupted;
  run(kernels().patches, job);
}

// out (n, m) = (x - centre) basisᵀ, squares (n) = |x - centre|² of rows of bytes.
void projection(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const In<int16_t, 1>& centre,
                const In<int16_t, 2>& basis, const Out<int32_t, 2>& out, const Out<int64_t, 1>& squares, int threads) {
  Projection job{};
  job.rows = rows_of(X, picked, std::nullopt, std::nullopt);
  require(job.rows.dtype == Dtype::u8, "X must be uint8");
  require(static_cast<int64_t>(centre.shape(0)) == job.rows.D && static_cast<int64_t>(basis.shape(1)) == job.rows.D,
          "centre must be (D,) and basis (m, D)");
  job.m = static_cast<int64_t>(basis.shape(0));
  require(static_cast<int64_t>(out.shape(0)) == job.rows.n && out.shape(1) == basis.shape(0) &&
              static_cast<int64_t>(squares.shape(0)) == job.rows.n,
          "out must be (n, m) and squares (n,)");
  job.centre = centre.data(), job.basis = basis.data();
  job.out = out.data(), job.squares = squares.data();
  job.threads = threads;
  job.interrupted = interrupted;
  run(kernels().projection, job);
}

Metric metric_of(const std::string& name) {
  if (name == "l2") return Metric::l2;
  if (name == "l1") return Metric::l1;
  if (name == "cosine") return Metric::cosine;
  throw nb::value_error("unknown metric");
}

// keys and positions (n, k) receive the nearest rows of X of each row of Q.
void neighbors(const AnyArray& X, const MaybeIn<int64_t, 1>& picked, const AnyArray& Q,
               const MaybeIn<int64_t, 1>& asked, const std::string& metric, const MaybeIn<int16_t, 2>& codes,
               const MaybeIn<int16_t, 2>& query_codes, const MaybeIn<uint8_t, 1>& beyond,
               const MaybeIn<uint8_t, 2>& sums, const MaybeIn<uint8_t, 2>& query_sums, double scale,
               double margin_prefix, double margin, const Out<double, 2>& keys, const Out<int64_t, 2>& positions,
               int threads) {
  Neighbors job{};
  job.rows = rows_of(X, picked, std::nullopt, std::nullopt);
  job.queries = rows_of(Q, asked, std::nullopt, std::nullopt);
  require(job.rows.dtype == job.queries.dtype && job.rows.D == job.queries.D, "X and Q must have one dtype and one D");
  job.metric = metric_of(metric);
  const bool bytes = job.rows.dtype == Dtype::u8;
  require(bytes ? job.metric != Metric::cosine : job.metric != Metric::l1, "l1 is of uint8 rows, cosine of the others");
  job.k = static_cast<int64_t>(keys.shape(1));
  require(job.k >= 1 && job.k <= job.rows.n, "k must be 1..n");
  require(static_cast<int64_t>(keys.shape(0)) == job.queries.n && positions.shape(0) == keys.shape(0) &&
              positions.shape(1) == keys.shape(1),
          "keys and positions must be (n, k)");
  require(codes.has_value() == query_codes.has_value() && codes.has_value() == beyond.has_value(),
          "codes, query_codes and beyond come together");
  if (codes) {
    require(static_cast<int64_t>(codes->shape(0)) == job.rows.n &&
                static_cast<int64_t>(query_codes->shape(0)) == job.queries.n &&
                query_codes->shape(1) == codes->shape(1) && static_cast<int64_t>(beyond->shape(0)) == job.queries.n,
            "codes must be (n, code), and beyond (n,)");
    job.code = static_cast<int64_t>(codes->shape(1));
    job.prefix = job.code == kCode ? kPrefix : job.code;
    require(job.code > 0 && job.code % 32 == 0, "the length of a code must be a multiple of 32");
    job.codes = codes->data(), job.query_codes = query_codes->data(), job.beyond = beyond->data();
  }
  require(sums.has_value() == query_sums.has_value(), "sums and query_sums come together");
  if (sums) {
    require(job.metric == Metric::l1 && static_cast<int64_t>(sums->shape(0)) == job.rows.n &&
                static_cast<int64_t>(sums->shape(1)) == kSums &&
                static_cast<int64_t>(query_sums->shape(0)) == job.queries.n &&
                static_cast<int64_t>(query_sums->shape(1)) == kSums,
            "sums must be (n, SUMS), of l1");
    job.sums = sums->data(), job.query_sums = query_sums->data();
  }
  require(!codes || job.metric != Metric::l1, "codes are of l2 and cosine");
  job.scale = scale, job.margin_prefix = margin_prefix, job.margin = margin;
  job.keys = keys.data(), job.positions = positions.data();
  job.threads = threads;
  job.interrupted = interrupted;
  run(kernels().neighbors, job);
}

// Weights, and the arrays of an update, by name; the epoch writes to all.
using Arrays = nb::typed<nb::dict, nb::str, nb::ndarray<nb::device::cpu>>;

// The array of that name, which the core writes to.
template <class Array>
Array output_of(const Arrays& arrays, const char* name) {
  Array array;
  if (!nb::try_cast<Array>(arrays[name], array))
    throw nb::type_error((std::string("arrays[\"") + name + "\"] must be C-contiguous, of the dtype and axes that the epoch writes").c_str());
  return array;
}

template <class T>
double sgd_epoch(const AnyArray& X, const In<int64_t, 1>& picked, const MaybeIn<double, 1>& scale,
                 const MaybeIn<double, 1>& shift, const In<int64_t, 1>& y, const MaybeIn<double, 1>& weight,
                 const Arrays& arrays, int64_t batch, const In<double, 1>& rates, const std::string& loss,
                 double delta, const std::string& update, double momentum, double rho, double beta1, double beta2,
                 double epsilon, double l2, double l1, int64_t step, int64_t averaged, int threads,
                 const MaybeIn<uint64_t, 1>& keys, uint32_t kept_below, double kept_factor, double bias_rate) {
  Epoch job{};
  job.rows = rows_of(X, picked, scale, shift);
  require((job.rows.dtype == Dtype::f64) == (sizeof(T) == 8), "W must be float64 for float64 rows, else float32");
  const auto W = output_of<Out<T, 2>>(arrays, "W");
  job.K = static_cast<int64_t>(W.shape(0));
  require(static_cast<int64_t>(W.shape(1)) == job.rows.D, "W must be (K, D)");
  auto weights = [&](const char* name) -> void* {
    if (!arrays.contains(name)) return nullptr;
    const auto array = output_of<Out<T, 2>>(arrays, name);
    require(array.shape(0) == W.shape(0) && array.shape(1) == W.shape(1), "every W array must be (K, D)");
    return array.data();
  };
  auto biases = [&](const char* name) -> void* {
    if (!arrays.contains(name)) return nullptr;
    const auto array = output_of<Out<T, 1>>(arrays, name);
    require(array.shape(0) == W.shape(0), "every b array must be (K,)");
    return array.data();
  };
  job.W = weights("W"), job.W_m = weights("W_m"), job.W_v = weights("W_v"), job.W_avg = weights("W_avg");
  job.b = biases("b"), job.b_m = biases("b_m"), job.b_v = biases("b_v"), job.b_avg = biases("b_avg");
  job.update = update_kind(update);
  const bool first = job.update == Update::momentum || job.update == Update::nesterov || job.update == Update::adam;
  const bool second = job.update == Update::adagrad || job.update == Update::rmsprop || job.update == Update::adam;
  require(job.b != nullptr && (!first || (job.W_m != nullptr && job.b_m != nullptr)) &&
              (!second || (job.W_v != nullptr && job.b_v != nullptr)) &&
              (averaged < 0 || (job.W_avg != nullptr && job.b_avg != nullptr)),
          "an array that the update needs is missing");
  require(batch >= 1, "batch must be at least 1");
  job.batch = std::min(batch, job.rows.n);
  require(static_cast<int64_t>(rates.shape(0)) >= (job.rows.n + job.batch - 1) / job.batch, "one rate a batch is needed");
  require(static_cast<int64_t>(y.shape(0)) == job.rows.n, "y must have one label a row");
  check_labels(y.data(), job.rows.n, job.K);
  require(!weight || static_cast<int64_t>(weight->shape(0)) == job.rows.n, "weight must have one number a row");
  require(!keys || static_cast<int64_t>(keys->shape(0)) == job.rows.n, "keys must have one number a row");
  job.keys = keys ? keys->data() : nullptr;
  job.kept_below = kept_below, job.kept_factor = kept_factor;
  job.y = y.data();
  job.weight = weight ? weight->data() : nullptr;
  job.rates = rates.data();
  job.bias_rate = bias_rate;
  job.loss = loss_kind(loss);
  job.delta = delta;
  job.momentum = momentum, job.rho = rho, job.beta1 = beta1, job.beta2 = beta2, job.epsilon = epsilon;
  job.l2 = l2, job.l1 = l1, job.step = step, job.averaged = averaged, job.threads = threads;
  job.interrupted = interrupted;
  run(kernels().sgd_epoch, job);
  return std::isfinite(job.loss_sum) ? job.loss_sum / job.weight_sum : std::nan("");
}

// Raises unless the name of a capsule is the signature of a matrix product whose sizes are `int` and whose numbers are
// `number *`, which Cython may also call by a typedef that ends in `suffix`. A BLAS with 64-bit sizes has another one.
void check_signature(const nb::capsule& product, const std::string& number, const std::string& suffix) {
  const std::string name = product.name() != nullptr ? product.name() : "";
  const std::string opening = "void (";
  bool holds = name.rfind(opening, 0) == 0 && name.back() == ')';
  std::string rest = holds ? name.substr(opening.size(), name.size() - opening.size() - 1) + ", " : "";
  int count = 0;
  for (size_t comma; holds && (comma = rest.find(", ")) != std::string::npos; rest.erase(0, comma + 2), ++count) {
    const std::string argument = rest.substr(0, comma);
    const bool is_text = count < 2, is_size = (count >= 2 && count <= 4) || count == 7 || count == 9 || count == 12;
    const bool is_typedef = argument.size() > suffix.size() && argument.compare(argument.size() - suffix.size(), suffix.size(), suffix) == 0;
    holds = is_text ? argument == "char *" : is_size ? argument == "int *" : argument == number + " *" || is_typedef;
  }
  if (!holds || count != 13)
    throw nb::value_error(("a matrix product of SciPy's BLAS has the signature '" + name + "'; expected the 13 arguments of " +
                           "gemm with sizes of type int and numbers of type " + number +
                           ": use a SciPy whose BLAS has 32-bit sizes").c_str());
}

// The products of the BLAS that SciPy carries, as its capsules hold them; their names are the signatures in C.
void use_blas(const nb::capsule& sgemm, const nb::capsule& dgemm) {
  check_signature(sgemm, "float", "_s *");
  check_signature(dgemm, "double", "_d *");
  blas().sgemm = reinterpret_cast<decltype(Blas::sgemm)>(sgemm.data());
  blas().dgemm = reinterpret_cast<decltype(Blas::dgemm)>(dgemm.data());
}

}  // namespace

NB_MODULE(_core, module) {
  using namespace nb::literals;
  module.attr("FUSED_TEMPLATES") = kFusedTemplates;
  module.def("use_blas", &use_blas, "sgemm"_a, "dgemm"_a);
  module.def("instruction_set", [] { return std::string(instruction_set().name); });
  module.attr("BFLOAT16_TEMPLATES") = kBfloatTemplates;
  module.attr("BFLOAT16_FEATURES") = kBfloatColumns;
  module.def("bfloat16_is_fast", [] { return bfloat() != nullptr && bfloat()->fast; });
  module.def("bfloat16", [] { return std::string(bfloat() != nullptr ? bfloat()->name : ""); });
  module.def("loss_and_gradient", &loss_and_gradient, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(),
             "y"_a, "weight"_a.none(), "W"_a, "b"_a, "loss"_a, "delta"_a, "precision"_a, "centre"_a.none(), "sums"_a, "lost"_a, "dW"_a.none(),
             "db"_a.none(), "threads"_a);
  module.def("scores", &scores, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(), "W"_a, "b"_a,
             "doubles"_a, "S"_a, "threads"_a);
  module.def("gradient_of_scores", &gradient_of_scores, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(),
             "dS"_a, "doubles"_a, "dW"_a, "db"_a, "threads"_a);
  module.def("split", &split, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(), "y"_a, "weight"_a.none(), "W"_a,
             "b"_a, "loss"_a, "delta"_a, "rho"_a, "relax"_a, "z"_a, "g"_a, "back"_a, "columns"_a, "threads"_a);
  module.def("hessian_weights", &hessian_weights, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(), "y"_a, "W"_a, "b"_a,
             "loss"_a, "delta"_a, "q"_a, "threads"_a);
  module.def("halve_triangle", &halve_triangle, "U"_a, "halves"_a);
  module.def("solve_halves", &solve_halves, "U"_a, "x"_a);
  module.def("hessian_product", &hessian_product, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(), "q"_a, "share"_a,
             "y"_a.none(), "V"_a, "c"_a, "out_V"_a, "out_c"_a, "threads"_a);
  module.def("hessian_block", &hessian_block, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(), "root"_a, "out"_a);
  module.attr("HESSIAN_ROWS") = kHessianRows;
  module.def("curvature", &curvature, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(), "block"_a, "ends"_a, "where"_a,
             "q"_a, "star"_a, "V"_a, "c"_a, "out_V"_a, "out_c"_a, "threads"_a);
  module.attr("GRAM_FEATURES") = kGramFeatures;
  module.def("gram", &gram, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(), "root"_a, "out"_a, "threads"_a);
  module.def("moment", &moment, "X"_a, "picked"_a.none(), "scale"_a.none(), "shift"_a.none(), "root"_a.none(), "out"_a.none(), "single"_a.none(),
             "threads"_a);
  module.def("factor", &factor, "A"_a.noconvert(), "ridge"_a, "U"_a, "threads"_a);
  module.def("triangle_blocks", [](int64_t n) { return triangle_blocks(n); }, "n"_a);
  module.attr("TRIANGLE_BLOCK") = kTriangleBlock;
  module.def("solve_triangles", &solve_triangles, "U"_a.noconvert(), "X"_a, "threads"_a);
  module.def("descent", &descent, "gram"_a, "coupling"_a, "ridge"_a, "size"_a, "slope"_a, "left"_a, "right"_a, "W"_a, "moved"_a,
             "sums"_a, "most"_a, "tol"_a);
  const auto define_ascent = [&](const char* name, auto function) {
    module.def(name, function, "rows"_a, "squares"_a, "y"_a, "share"_a, "order"_a, "A"_a, "V"_a, "W"_a.none(), "b"_a, "lambda_"_a,
               "size"_a, "bias"_a, "delta"_a, "most"_a, "curvature"_a, "everything"_a, "threshold"_a);
  };
  define_ascent("ascent_float32", &ascent<float>);
  define_ascent("ascent_float64", &ascent<double>);
  module.def("pairs_ascent", &pairs_ascent, "rows"_a, "squares"_a, "y"_a, "share"_a, "order"_a, "ends"_a, "classes"_a, "A"_a, "V"_a, "W"_a.none(), "b"_a,
        "lambda_"_a, "size"_a, "bias"_a, "delta"_a, "most"_a, "curvature"_a, "everything"_a, "threshold"_a);
  module.def("pairs_sums", &pairs_sums, "rows"_a, "y"_a, "ends"_a, "classes"_a, "A"_a, "V"_a, "threads"_a);
  const auto define_curved = [&](const char* name, auto function) {
    module.def(name, function, "X"_a, "ends"_a, "image"_a, "d"_a, "v"_a, "w"_a, "slope"_a, "curvatures"_a, "inverse"_a, "ridge"_a,
               "size"_a, "damp"_a, "start"_a, "W"_a, "z"_a, "c"_a, "e"_a, "everything"_a, "most"_a, "share"_a);
  };
  define_curved("curved_sweep_float32", &curved<float, true>);
  define_curved("curved_sweep_float64", &curved<double, true>);
  define_curved("curved_krylov_float32", &curved<float, false>);
  define_curved("curved_krylov_float64", &curved<double, false>);
  module.def("patches", &patches, "X"_a, "picked"_a.none(), "height"_a, "width"_a, "channels"_a, "size"_a, "stride"_a, "centre"_a,
             "whiten"_a, "filters"_a, "epsilon"_a, "threshold"_a, "region_ends"_a, "places"_a, "mirrored"_a.none(), "maximum"_a,
             "out"_a, "threads"_a);
  module.attr("CODE") = kCode;
  module.attr("PREFIX") = kPrefix;
  module.attr("SUMS") = kSums;
  module.def("projection", &projection, "X"_a, "picked"_a.none(), "centre"_a, "basis"_a, "out"_a, "squares"_a, "threads"_a);
  module.def("neighbors", &neighbors, "X"_a, "picked"_a.none(), "Q"_a, "asked"_a.none(), "metric"_a, "codes"_a.none(),
             "query_codes"_a.none(), "beyond"_a.none(), "sums"_a.none(), "query_sums"_a.none(), "scale"_a, "margin_prefix"_a, "margin"_a, "keys"_a, "positions"_a,
             "threads"_a);
  const auto define_sgd = [&](const char* name, auto function) {
    module.def(name, function, "X"_a, "picked"_a, "scale"_a.none(), "shift"_a.none(), "y"_a, "weight"_a.none(),
               "arrays"_a, "batch"_a, "rates"_a, "loss"_a, "delta"_a, "update"_a, "momentum"_a, "rho"_a, "beta1"_a,
               "beta2"_a, "epsilon"_a, "l2"_a, "l1"_a, "step"_a, "averaged"_a, "threads"_a,
               "keys"_a.none() = nb::none(), "kept_below"_a = 0, "kept_factor"_a = 1.0, "bias_rate"_a = 1.0);
  };
  define_sgd("sgd_epoch_float32", &sgd_epoch<float>);
  define_sgd("sgd_epoch_float64", &sgd_epoch<double>);
}
