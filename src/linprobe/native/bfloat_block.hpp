// A block of rows that is multiplied in bfloat16 (bfloat.hpp). Included by kernels_impl.hpp.
//
// A coarse pass uses one term, 8 bits, of the rows and of dS: their rounding errors have random signs and average out
// over the rows. It uses two terms of W, or one if W is exact in it: an error of W is common to all rows. If bfloat16
// products are 30 times as fast as those of float32, passes of single precision use them too: with three terms, 24
// bits, of every factor, or two of a float16.
#pragma once

constexpr int64_t kBfloatBytes = 1 << 20;  // of a block in bfloat16, stored twice: half of a second-level cache
constexpr int64_t kBfloatRows = 256;       // of a block, at most

// The terms of a pass; none if it does not use bfloat16. For a coarse pass that depends on the templates of one member
// only: searches that share a pass get the same rounding as each alone.
inline BfloatTerms bfloat_terms(const Rows& rows, Precision precision, int64_t of_member, int64_t templates) {
  const BfloatKernels* use = bfloat();
  const bool half = rows.dtype == Dtype::f16;
  if (use == nullptr || !(half || rows.dtype == Dtype::f32) || rows.D > kBfloatColumns) return {};
  BfloatTerms terms{};
  if (precision == Precision::coarse && of_member >= kBfloatTemplates) terms = {1, 2, 1};
  else if (precision <= Precision::singles && use->fast && templates >= kBfloatSingles) terms = {half && rows.scale == nullptr ? 2 : 3, 3, 3};
  return terms;
}

struct BfloatBlock {
  // Templates W (M, ld) as tiles.
  struct Weights {
    int terms = 0;
    int64_t panels = 0, panel = 0;
    Buffer<Bfloat> tiles;

    Weights(const float* W, int64_t M, int64_t D, int most)
        : panels((M + kTileSide - 1) / kTileSide), panel((D + kTileDepth - 1) / kTileDepth * kTileNumbers), tiles(W != nullptr ? most * panels * panel : 0) {
      if (W != nullptr) terms = bfloat()->pack(W, padded(D), M, D, most, panel, tiles);
    }
  };

  const BfloatKernels& use;
  const Rows& rows;
  const BfloatTerms terms;
  const Weights& W;
  const int64_t D, M, across, row_tiles, column_tiles, depth, panels;
  const float* const shift;  // minus the centre, or null
  const bool half, wants_gradient;
  Buffer<Half> half_copy;
  Buffer<float> float_copy;
  Buffer<const Half*> half_row;
  Buffer<const float*> float_row;
  Buffer<Bfloat> for_scores, for_gradient, slopes;
  Buffer<float> G;  // of dSᵀ X, tile by tile

  // M templates, `across` apart in S and dS; `size` rows of a block, a multiple of 64.
  BfloatBlock(const Rows& rows_, BfloatTerms terms_, const Weights& W_, int64_t M_, int64_t size, int64_t across_, const float* shift_, bool gradient)
      : use(*bfloat()), rows(rows_), terms(terms_), W(W_), D(rows_.D), M(M_), across(across_), row_tiles(size / kTileSide),
        column_tiles(padded(D) / kTileSide), depth((D + kTileDepth - 1) / kTileDepth), panels((M + kTileSide - 1) / kTileSide), shift(shift_),
        half(rows_.dtype == Dtype::f16), wants_gradient(gradient), half_copy(half && rows.column_stride != 1 ? size * D : 0),
        float_copy(!half && rows.column_stride != 1 ? size * D : 0), half_row(size + kTileSide), float_row(size + kTileSide),
        for_scores(W.terms > 0 ? terms.rows * row_tiles * depth * kTileNumbers : 0),
        for_gradient(gradient ? terms.rows * column_tiles * row_tiles / 2 * kTileNumbers : 0),
        slopes(gradient ? terms.slopes * panels * row_tiles / 2 * kTileNumbers : 0), G(gradient ? panels * column_tiles * 256 : 0) {}

  // Rows of a block.
  static int64_t rows_for(int64_t D, int terms) {
    return std::clamp<int64_t>(kBfloatBytes / (4 * D * terms) / kBlock * kBlock, kBlock, kBfloatRows);
  }

  void open(int64_t first, int64_t n) {
    const int64_t ahead = rows.column_stride == 1 ? std::min(kTileSide, rows.n - first - n) : 0;
    if (half) open_rows<Half>(rows, first, n + ahead, half_copy, half_row);
    else open_rows<float>(rows, first, n + ahead, float_copy, float_row);
    const auto* const row = half ? reinterpret_cast<const void* const*>(half_row.data) : reinterpret_cast<const void* const*>(float_row.data);
    use.convert({row, ahead, half, n, D, shift, terms.rows, row_tiles, depth, column_tiles, W.terms > 0 ? for_scores.data : nullptr,
                 wants_gradient ? for_gradient.data : nullptr});
  }

  // Pairs of terms whose products are large enough to matter, the smallest first.
  static void pair_up(int a, int b, BfloatProduct& job) {
    job.n_pairs = 0;
    for (int order = std::max(a, b) - 1; order >= 0; --order)
      for (int i = std::min(order, a - 1); i >= 0; --i)
        if (order - i < b) {
          job.pairs[job.n_pairs][0] = i;
          job.pairs[job.n_pairs++][1] = order - i;
        }
  }

  // out (M, across) = W Xᵀ for the current rows, M padded to whole tiles.
  void scores(int64_t, int64_t n, int64_t, float* out) {
    BfloatProduct job{W.tiles, for_scores, W.panel, W.panels * W.panel, depth * kTileNumbers, row_tiles * depth * kTileNumbers,
                      panels, (n + kTileSide - 1) / kTileSide, depth, 0, {}, out, kTileSide * across, kTileSide, across, false};
    pair_up(W.terms, terms.rows, job);
    use.multiply(job);
  }

  // G += dS X for the current rows, dS (M, across).
  void gradient(int64_t, int64_t n, int64_t, const float* dS, int64_t columns, float*) {
    const int64_t panel = row_tiles / 2 * kTileNumbers;
    const int used = use.pack(dS, across, columns, n, terms.slopes, panel, slopes);
    BfloatProduct job{slopes, for_gradient, panel, panels * panel, panel, column_tiles * panel, panels, column_tiles,
                      (n + kTileDepth - 1) / kTileDepth, 0, {}, G, column_tiles * 256, 256, kTileSide, true};
    pair_up(used, terms.rows, job);
    use.multiply(job);
  }

  // dW (M, ld) += G, and G = 0.
  void flush(double* dW) {
    const int64_t ld = padded(D);
    float* from = G;
    for (int64_t i = 0; i < panels; ++i)
      for (int64_t c = 0; c < column_tiles; ++c, from += 256)
        for (int64_t r = 0; r < std::min(kTileSide, M - i * kTileSide); ++r)
          for (int64_t l = 0; l < kTileSide; ++l) dW[(i * kTileSide + r) * ld + c * kTileSide + l] += from[r * kTileSide + l];
    std::memset(G, 0, static_cast<size_t>(panels * column_tiles * 256) * sizeof(float));
  }
};
