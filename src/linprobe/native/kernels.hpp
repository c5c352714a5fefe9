// The interface between bindings and kernels. Plain C++ over pointers and sizes, without Python.
//
// N rows, D features, K classes. Rows are read in their own dtype (uint8, float16, float32, float64). In registers they
// are converted to T = float (T = double for float64 rows, or with `doubles`) and mapped by scale * x + shift. Scores,
// losses and gradient of a block of rows are computed while it is in cache: memory is read once.
//
// Precision: a score is a sum over D in T. Losses and their gradients in the scores are float64. The gradient of a few
// blocks is a sum over their rows in T, added to float64 totals. If the processor multiplies bytes, uint8 rows are
// summed in integers instead (bytes_impl.hpp). If it multiplies bfloat16, so are float16 and float32 rows
// (bfloat_block.hpp). Blocks form groups, which are added in their order. Both are fixed by the problem and its
// weights, so the bits do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace linprobe {

enum class Dtype : int { u8, f16, f32, f64 };
enum class LossKind : int { softmax, hinge, squared_hinge, given };  // given: dS comes from the caller
enum class Update : int { plain, momentum, nesterov, adagrad, rmsprop, adam };

struct Rows {
  const void* data;       // first element
  Dtype dtype;
  int64_t row_stride;     // in elements
  int64_t column_stride;  // in elements
  const int64_t* picked;  // (n) row of each position, or null for 0..n-1
  int64_t n, D;
  const double* scale;    // (D) or null
  const double* shift;    // (D)
};

// Precision of the products of a pass; for float64 rows always `doubles`.
enum class Precision {
  coarse,   // T = float, with 16 bits of dS and all of W; in bfloat16 8 bits of dS and of the rows, and 16 of W
  singles,  // T = float
  proof,    // T = double, with 40 bits of W and dS if the caller takes bounds on the error
  doubles,  // T = double for any rows
};

struct Pass {
  Rows rows;
  const int64_t* y;      // (n) labels; null when only scores are wanted
  const double* weight;  // (n) or null
  int64_t K, members;    // classes of each classifier, and how many are stacked
  const double* W;       // (members, K, D); null with LossKind::given
  const double* b;       // (members, K)
  LossKind loss;
  double delta;
  Precision precision;
  const double* given;   // (n, K) dS with LossKind::given, one member
  double* scores;        // (n, members, K) out, or null
  double* dW;            // (members, K, D) out, or null
  double* db;            // (members, K) out, or null
  double* sums;          // (members, 3) out: loss, correct images of weight above 0, weight
  const double* centre;  // (D) or null: subtracted from the rows before coarse products in bfloat16
  double* lost;          // (members, 2) out, or null: bounds on the integer error of a score, and of the summed slopes
  int threads;
  std::function<bool()> interrupted;  // called by member 0 from time to time
};

struct Split {
  Rows rows;
  const int64_t* y;      // (n)
  const double* weight;  // (n) or null
  int64_t K;
  const double* W;       // (K, D)
  const double* b;       // (K)
  LossKind loss;
  double delta, rho, relax;
  float *z, *g;          // (n, K), in and out
  bool dual;             // also sums of g
  double* back;          // (K, D) out: sum of weight (z - g / rho - s) x'; with dual (2 K, D), then of weight g x'
  double* columns;       // (K) or (2 K) out: the same without x'
  double sums[4];        // out: loss at s, correct images of weight above 0, weight, conjugate at g
  int threads;
  std::function<bool()> interrupted;
};

constexpr int64_t kGramFeatures = 16384;  // columns up to which int32 holds sums of byte products in every set

struct Moment {
  Rows rows;
  const double* root;  // (n) root of the weight of each row, or null
  double* out;         // (D, D), zeros; exact for uint8 without weights, up to the map
  float* single;       // the same in float32, instead: rounded once for up to 16,384 uint8 rows without weights, else
                       // summed in it
  bool of_rows;        // instead root_i root_j x'_i·x'_j, single (n, n): for uint8 rows of kGramFeatures at most, with one scale
  int threads;
  std::function<bool()> interrupted;
};

// min over W of slope·D + 1/2 D·(gram x coupling - left rightᵀ) D + 1/2 ridge W² + size |W|, D = W - W_0. W has a row
// for the bias below those of the n features: its column of the gram is that of the identity, and it has no penalty.
struct Descent {
  int64_t n, K, m;              // features, classes, columns of left and right
  const float* gram;            // (n, n), symmetric
  const double* coupling;       // (K, K), symmetric
  double ridge, size;
  const double* slope;          // (n + 1, K) at W_0, without ridge and size
  const float *left, *right;    // (n + 1, K, m)
  double* W;                    // (n + 1, K) in place: the start, then the minimum
  float* moved;                 // (K, n + 1): Dᵀ gram
  float* sums;                  // (m): rightᵀ D
  int64_t most;                 // sweeps
  double tol;
  int64_t sweeps;               // sweeps done
  double largest;               // change of a slope in the last sweep over all weights
};

// out_V, out_c = sum over the rows of A_i (V x' + c) [x', 1]ᵀ, with A_i the curvature of a loss of K scores; see
// curvature_impl.hpp. Rows go in blocks of `block`, a power of two. A pair is a class in which a row of a block has curvature.
struct Curvature {
  Rows rows;
  int64_t K, block;
  const int64_t* ends;   // (blocks + 1): the pairs of a block
  const int32_t* where;  // class * block + row of the block, ascending in a block
  const float* q;        // of each pair
  bool star;             // A = sum of q_j (e_j - e_y)(e_j - e_y)ᵀ, y being the pair with q = 0; else diag(q) - q qᵀ / sum q
  const double* V;       // (K, D)
  const double* c;       // (K)
  double* out_V;         // (K, D) out
  double* out_c;         // (K) out
  int threads;
  std::function<bool()> interrupted;
};

// X (m, n) becomes X (UᵀU)⁻¹.
// Rows and columns of a block of a triangle, a multiple of two vectors. The blocks on and right of the diagonal lie row by
// row, each (kTriangleBlock, kTriangleBlock), what is beyond the triangle being 0 or below its diagonal.
constexpr int64_t kTriangleBlock = 128;
inline constexpr int64_t triangle_blocks(int64_t n) {
  const int64_t side = (n + kTriangleBlock - 1) / kTriangleBlock;
  return side * (side + 1) / 2;
}

struct Factor {
  int64_t n;
  const float* A;  // (n, n), symmetric
  float ridge;
  float* U;        // (triangle_blocks(n), ...) out: UᵀU = A + ridge I
  int threads;
};

struct Triangle {
  int64_t n, m;
  const float* U;  // as computed by Factor
  float* X;        // (m, n) becomes X (UᵀU)⁻¹
  int threads;
};

struct Patches {
  Rows rows;                                         // uint8, contiguous: (n, height * width * channels)
  int64_t height, width, channels, size, stride;
  int64_t n_places;                                  // patches of a picture, row by row
  const float *centre, *whiten, *filters;            // (d), (d, d), (n_filters, d) with d = size * size * channels <= 1024
  int64_t n_filters;
  float epsilon, threshold;
  int64_t n_regions;
  const int64_t *region_ends, *places;               // places[region_ends[g - 1]..region_ends[g] - 1] are those of region g
  const int64_t* mirrored;                           // (n_regions) the region left for right, or null; filter k + n/2 is the mirror image of k
  bool maximum;                                      // pools maxima instead of means
  float* out;                                        // (n, n_regions, 2, n_filters or half of them)
  int threads;
  std::function<bool()> interrupted;
};

struct Epoch {
  Rows rows;             // picked: the visiting order, already resolved to rows of X
  const int64_t* y;      // (n) in visiting order
  const double* weight;  // (n) in visiting order, mean 1 over the whole set, or null
  int64_t K, batch;
  const double* rates;   // (number of batches)
  double bias_rate;      // of b, in units of the rate of W
  LossKind loss;
  double delta;
  Update update;
  double momentum, rho, beta1, beta2, epsilon, l2, l1;
  int64_t step;          // updates done before this epoch
  const uint64_t* keys;  // (n) in visiting order, of the dropout masks, or null; see engines/dropout.py
  uint32_t kept_below;   // an input is kept where its hash is below
  double kept_factor;    // what kept inputs are multiplied by
  int64_t averaged;      // iterates already in the average, or -1
  void *W, *b, *W_m, *b_m, *W_v, *b_v, *W_avg, *b_avg;  // (K, D) and (K) of T, updated in place; unused ones null
  double loss_sum, weight_sum;  // out
  int threads;
  std::function<bool()> interrupted;
};

// Numbers of a short code of a row, of its prefix, and of the code of an L1 distance; see neighbors_impl.hpp.
constexpr int64_t kCode = 128, kPrefix = 64, kSums = 256;

enum class Metric : int { l2, l1, cosine };  // l1: of uint8 only; cosine: of the others only

struct Projection {
  Rows rows;              // uint8
  const int16_t* centre;  // (D) 0..255
  const int16_t* basis;   // (m, D); every row so short that sums of its products with x - centre fit int32
  int64_t m;
  int32_t* out;           // (n, m) out: (x - centre) basisᵀ
  int64_t* squares;       // (n) out: |x - centre|²
  int threads;
  std::function<bool()> interrupted;
};

struct Neighbors {
  Rows rows, queries;          // of one dtype and one D
  Metric metric;
  int64_t k;                   // 1..rows.n
  const int16_t* codes;        // (rows.n, code) of l2 and cosine, or null
  const int16_t* query_codes;  // (queries.n, code)
  int64_t code, prefix;        // multiples of 32: kCode and kPrefix, or twice the same for codes without a prefix
  const uint8_t* beyond;       // (queries.n) whether the code does not hold the query
  const uint8_t* sums;         // (rows.n, kSums) of l1, or null; with neither, every query is compared with every row
  const uint8_t* query_sums;   // (queries.n, kSums)
  double scale;                // the distance of two codes is at most scale * distance of the rows + margin
  double margin_prefix, margin;
  double* keys;                // (queries.n, k) out, ascending: squared distance (l2), distance (l1), 1 - cos
  int64_t* positions;          // (queries.n, k) out; of equal keys the smaller position first
  int threads;
  std::function<bool()> interrupted;
};

// Templates from which the BLAS is faster than the fused tiles; measured by benchmarks/engine.py.
constexpr int64_t kFusedTemplates = 192;

// The matrix products of a BLAS, with Fortran's arguments. To be set before a moment, or a pass with kFusedTemplates or
// more. Every thread of the pool calls them for its own rows, so the BLAS must use one thread per call.
struct Blas {
  void (*sgemm)(char*, char*, int*, int*, int*, float*, float*, int*, float*, int*, float*, float*, int*);
  void (*dgemm)(char*, char*, int*, int*, int*, double*, double*, int*, double*, int*, double*, double*, int*);
};
Blas& blas();

struct Kernels {
  bool (*pass)(Pass&);       // false: interrupted
  bool (*sgd_epoch)(Epoch&);
  bool (*moment)(Moment&);
  void (*descent)(Descent&);
  bool (*split)(Split&);
  bool (*factor)(Factor&);   // false: not positive definite
  void (*triangle)(Triangle&);
  bool (*patches)(Patches&);
  bool (*projection)(Projection&);
  bool (*neighbors)(Neighbors&);
  bool (*curvature)(Curvature&);
};

Kernels kernels_plain();
Kernels kernels_avx2();    // call only on a processor with avx2, fma, f16c
Kernels kernels_avx512();  // likewise with avx512 f, bw, dq, vl, vnni
Kernels kernels_neon();    // likewise with the dot products of ARMv8.2

}  // namespace linprobe
