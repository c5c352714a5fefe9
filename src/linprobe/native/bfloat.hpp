// Matrix products in bfloat16 over tiles: the interface that each kind of processor implements. Plain C++ without
// Python. Nothing here is compiled for more than one instruction set.
//
// A bfloat16 is the upper half of a float32: 8 bits of mantissa, rounded to nearest, ties to even. A number is stored
// as the sum of 1 to 3 of them, its terms, which gives 8, 16 or 24 bits. The first term is the rounded number, each
// next one the rounded remainder. A product of two numbers is a sum of products of their terms. Each of these is exact
// in float32, and sums are float32.
//
// A tile holds 512 of them in 1 KB. Those of the left factor are 16 rows x 32 columns, row by row. Those of the right
// factor are 32 rows x 16 columns, two rows interleaved: number (j, n, i) is row 2 j + i of column n. Numbers outside
// the matrix are 0.
#pragma once

#include <cstdint>

namespace linprobe {

using Bfloat = uint16_t;

constexpr int64_t kTileSide = 16, kTileDepth = 32, kTileNumbers = 512;
constexpr int kMostTerms = 3, kMostPairs = 6;

// Templates (rows of W) from which coarse passes, and passes of single precision, are faster in bfloat16 than in the
// fused tiles. At 9 and 29 templates, 50,000 x 768, they are 1.4 and 1.2 times as fast; measured by
// benchmarks/bfloat16.py.
constexpr int64_t kBfloatTemplates = 8, kBfloatSingles = 24;
// Columns up to which the smallest block, 64 rows of three terms, takes at most 12 MB.
constexpr int64_t kBfloatColumns = 16384;

// Numbers of terms in the products of a pass: of the rows, of W and of dS.
struct BfloatTerms {
  int rows, weights, slopes;
};

// A block of rows converted to tiles: of their transpose, for the scores, and of themselves, for the gradient. Each is
// the right factor of a product. Tile (term, of 16 rows, of 32 columns) is
//     scores[((term * row_tiles + rows) * depth + columns) * 512]
// and tile (term, of 16 columns, of 32 rows) is
//     gradient[((term * column_tiles + columns) * row_tiles / 2 + rows) * 512]
struct BfloatRows {
  const void* const* row;  // (n + ahead) pointers to D contiguous float16 or float32 numbers
  int64_t ahead;           // rows of the next block, up to 16, to prefetch
  bool half;
  int64_t n, D;
  const float* shift;  // (D) added to each row, in float32, before it is rounded; or null
  int terms;
  int64_t row_tiles;    // allocated: an even number, 16 row_tiles >= n
  int64_t depth;        // 32 depth >= D
  int64_t column_tiles; // 16 column_tiles >= D
  Bfloat *scores, *gradient;  // either may be null
};

// C (m, n) (+)= A Bᵀ of tiles, summed over pairs of terms. Tile (term, panel, step) of A is
// A[term * a_term + panel * a_panel + step * 512], likewise of B; tile (i, j) of C begins at C[i * c_down + j * c_across],
// its rows `c_row` apart.
struct BfloatProduct {
  const Bfloat *A, *B;
  int64_t a_panel, a_term, b_panel, b_term;
  int64_t m, n, steps;  // in tiles
  int n_pairs;
  int pairs[kMostPairs][2];  // terms of A and of B, in the order in which they are added: the smallest first
  float* C;
  int64_t c_down, c_across, c_row;
  bool add;
};

struct BfloatKernels {
  const char* name;
  bool fast;  // whether products of several terms each are faster than float32 products
  void (*convert)(const BfloatRows&);
  // `from` (m, n) float32, rows `ld` apart, into tiles of a left factor: (term, of 16 rows, of 32 columns) at
  // to[(term * ceil(m / 16) + rows) * panel + columns * 512]. Returns how many terms there are that are not all 0, at least 1.
  int (*pack)(const float* from, int64_t ld, int64_t m, int64_t n, int terms, int64_t panel, Bfloat* to);
  void (*multiply)(const BfloatProduct&);
};

BfloatKernels bfloat_plain();   // emulated, on any processor
BfloatKernels bfloat_avx512();  // call only on a processor with avx512 f, bw, dq, vl, bf16
BfloatKernels bfloat_amx();     // likewise with amx_tile and amx_bf16, permitted by the system

// The kernels that this process uses; null if it does not use bfloat16. Chosen once: see machine.cpp.
const BfloatKernels* bfloat();

}  // namespace linprobe
