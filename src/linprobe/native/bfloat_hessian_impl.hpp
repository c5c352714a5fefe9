// See bfloat_hessian.hpp. Included by bfloat_hessian_*.cpp, each with a vector width of its own.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "bfloat.hpp"
#include "bfloat_hessian.hpp"
#include "pool.hpp"

#include "intrinsics.hpp"

namespace linprobe::LINPROBE_ISA {
namespace {
#include "vectors.hpp"
#if LINPROBE_VECTOR_BYTES == 64
#include "transpose_avx512.hpp"
#endif

constexpr int64_t kHessianGroups = 16;       // groups of blocks: the units that threads take
constexpr int64_t kGroupBytes = 128 << 20;   // of the sums of all groups, at most; two groups may always be used
constexpr int64_t kBlockRows = 512;          // of a diagonal block at a time: two copies of them in a second-level cache

inline int64_t tiles_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Rows as BfloatKernels::convert takes them: pointers to contiguous float16 or float32 numbers.
struct OpenRows {
  const Rows& rows;
  const bool half, copies;
  Buffer<float> copy;
  std::vector<const void*> row;

  OpenRows(const Rows& rows_, int64_t size)
      : rows(rows_), half(rows_.dtype == Dtype::f16 && rows_.column_stride == 1),
        copies(!half && !(rows_.dtype == Dtype::f32 && rows_.column_stride == 1)), copy(copies ? size * rows_.D : 0), row(size + kTileSide) {}

  // Returns how many of the rows after these have pointers too.
  int64_t open(int64_t first, int64_t n) {
    if (copies) {
      copy_rows<float>(rows, nullptr, nullptr, first, n, 0, rows.D, copy, rows.D);
      for (int64_t r = 0; r < n; ++r) row[r] = copy + r * rows.D;
      return 0;
    }
    const int64_t ahead = std::min(kTileSide, rows.n - first - n);
    for (int64_t r = 0; r < n + ahead; ++r)
      row[r] = half ? static_cast<const void*>(row_at<Half>(rows, first + r)) : static_cast<const void*>(row_at<float>(rows, first + r));
    return ahead;
  }
};

// u = A_i t for a vector of rows: q (K, kHessianRows), t and u (K, across).
struct Coupling {
  static constexpr int64_t lanes = Vector<float>::size;

  static LINPROBE_ONCE void spread_out(const Half* q, const float* share, const float* shifts, int64_t K, int64_t across, const float* t, float* u) {
    V<float> sums{}, totals{};
    for (int64_t k = 0; k < K; ++k) {
      const V<float> weight = Widen<float, Half>::run(q + k * kHessianRows), at = load(t + k * across) + spread(shifts[k]);
      sums += weight * at, totals += weight;
    }
    V<float> mean{};
    for (int64_t i = 0; i < lanes; ++i) mean[i] = totals[i] > 0 ? sums[i] / totals[i] : 0.0f;
    const V<float> scale = load(share);
    for (int64_t k = 0; k < K; ++k) {
      const V<float> weight = Widen<float, Half>::run(q + k * kHessianRows), at = load(t + k * across) + spread(shifts[k]);
      store<float>(u + k * across, scale * weight * (at - mean));
    }
  }

  static LINPROBE_ONCE void star(const Half* q, const float* share, const int64_t* y, int64_t n, const float* shifts, int64_t K, int64_t across, const float* t, float* u) {
    alignas(64) float own[lanes] = {}, label[lanes];
    for (int64_t i = 0; i < n; ++i) own[i] = t[y[i] * across + i] + shifts[y[i]];
    const V<float> apart = load(own), scale = load(share);
    V<float> sums{};
    for (int64_t k = 0; k < K; ++k) {
      const V<float> weight = Widen<float, Half>::run(q + k * kHessianRows), at = load(t + k * across) + spread(shifts[k]);
      const V<float> one = scale * weight * (at - apart);
      store<float>(u + k * across, one);
      sums += one;
    }
    store<float>(label, sums);
    for (int64_t i = 0; i < n; ++i) u[y[i] * across + i] = -label[i];
  }
};

// W (K, D) float64 for mapped rows and b (K), as tiles of `terms` terms, for rows minus their centre.
struct HessianTemplates {
  const int64_t D, K, ld, panels, depth, panel;
  const Map<float> map;
  Buffer<float> shifts, shift;  // (K) to add to the scores; minus the centre
  Buffer<Bfloat> tiles;
  int terms = 0;

  HessianTemplates(const Rows& rows, int64_t K_, const double* W, const double* b, int most)
      : D(rows.D), K(K_), ld(padded(rows.D)), panels(tiles_of(K_, kTileSide)), depth(tiles_of(rows.D, kTileDepth)), panel(depth * kTileNumbers),
        map(rows, false), shifts(K_), shift(ld), tiles(most * panels * panel) {
    Buffer<float> folded(K * ld);
    for (int64_t d = 0; d < D; ++d) shift[d] = -map.centre[d];
    for (int64_t k = 0; k < K; ++k) {
      double shifted = b[k];
      for (int64_t d = 0; d < D; ++d) {
        folded[k * ld + d] = static_cast<float>(W[k * D + d] * map.scale[d]);
        shifted += W[k * D + d] * map.rest[d];
      }
      shifts[k] = static_cast<float>(shifted);
    }
    terms = bfloat()->pack(folded, ld, K, D, most, panel, tiles);
  }

  const float* minus_centre() const { return map.centred ? shift.data : nullptr; }

  // t (K, across) = scores of rows that were converted, without the shifts.
  void scores(const Bfloat* converted, int rows_terms, int64_t row_tiles, int64_t count, int64_t across, float* t) const {
    BfloatProduct job{tiles, converted, panel, panels * panel, panel, row_tiles * panel, panels, tiles_of(count, kTileSide), depth, 0, {},
                      t, kTileSide * across, kTileSide, across, false};
    for (int order = std::max(terms, rows_terms) - 1; order >= 0; --order)
      for (int i = std::min(order, terms - 1); i >= 0; --i)
        if (order - i < rows_terms) job.pairs[job.n_pairs][0] = i, job.pairs[job.n_pairs++][1] = order - i;
    bfloat()->multiply(job);
  }
};

// e^x of x <= 0, to 1e-7; 0 below -87.
inline V<float> exponential_of_negative(V<float> x) {
  typedef int32_t Whole __attribute__((vector_size(LINPROBE_VECTOR_BYTES)));
  const V<float> bounded = x > -87.0f ? x : V<float>{} - 87.0f;
  const V<float> shifted = bounded * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the mantissa that remains is an integer
  const V<float> n = shifted - 12582912.0f;
  const V<float> r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  V<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Whole power = (__builtin_convertvector(n, Whole) + 127) << 23;
  return x > -87.0f ? p * (V<float>)power : V<float>{};
}

inline void store_half(Half* to, V<float> x) {
#if LINPROBE_VECTOR_BYTES == 64
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int64_t i = 0; i < Vector<float>::size; ++i) {  // of 0 <= x < 65504, to nearest
    const float scaled = x[i] * 0x1p-112f;
    uint32_t bits;
    std::memcpy(&bits, &scaled, 4);
    to[i].bits = static_cast<uint16_t>((bits + 0xfffu + (bits >> 13 & 1u)) >> 13);
  }
#endif
}

bool run_weights(HessianWeights& job) {
  const BfloatKernels& use = *bfloat();
  const Rows& rows = job.rows;
  const int64_t n = rows.n, D = rows.D, K = job.K, R = kHessianRows, lanes = Vector<float>::size, row_tiles = R / kTileSide, across = R + kTileSide;
  const HessianTemplates templates(rows, K, job.W, job.b, 2);
  const int64_t n_blocks = tiles_of(n, R), column_tiles = padded(D) / kTileSide;
  const float delta = static_cast<float>(job.delta);
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  pool().run(static_cast<int>(std::min<int64_t>(job.threads, n_blocks)), [&](int member, int) {
    OpenRows open(rows, R);
    Buffer<Bfloat> converted(2 * row_tiles * templates.panel);
    Buffer<float> t(templates.panels * kTileSide * across);
    for (int64_t at; !stop && (at = next.fetch_add(1)) < n_blocks;) {
      const int64_t first = at * R, count = std::min(R, n - first);
      const int64_t ahead = open.open(first, count);
      use.convert({open.row.data(), ahead, open.half, count, D, templates.minus_centre(), 2, row_tiles, templates.depth, column_tiles, converted, nullptr});
      templates.scores(converted, 2, row_tiles, count, across, t);
      auto* const q = reinterpret_cast<Half*>(job.q) + at * K * R;
      for (int64_t k = 0; k < K; ++k) std::fill_n(q + k * R + count / lanes * lanes, R - count / lanes * lanes, Half{0});
      for (int64_t r = 0; r < count; r += lanes) {
        const int64_t some = std::min(lanes, count - r);
        const int64_t* const y = job.y + first + r;
        if (job.loss == LossKind::softmax) {
          V<float> top = load(t + r) + spread(templates.shifts[0]), total{};
          for (int64_t k = 0; k < K; ++k) {
            const V<float> s = load(t + k * across + r) + spread(templates.shifts[k]);
            store<float>(t + k * across + r, s);
            top = s > top ? s : top;
          }
          for (int64_t k = 0; k < K; ++k) {
            const V<float> e = exponential_of_negative(load(t + k * across + r) - top);
            store<float>(t + k * across + r, e);
            total += e;
          }
          for (int64_t k = 0; k < K; ++k) store_half(q + k * R + r, load(t + k * across + r) / total);
        } else {
          alignas(64) float own[Vector<float>::size] = {};
          for (int64_t i = 0; i < some; ++i) own[i] = t[y[i] * across + r + i] + templates.shifts[y[i]];
          const V<float> least = load(own) - delta;
          for (int64_t k = 0; k < K; ++k) {
            const V<float> s = load(t + k * across + r) + spread(templates.shifts[k]);
            store_half(q + k * R + r, s > least ? V<float>{} + 2.0f : V<float>{});
          }
          for (int64_t i = 0; i < some; ++i) q[y[i] * R + r + i] = Half{0};
        }
        for (int64_t k = 0; some < lanes && k < K; ++k) std::fill_n(q + k * R + r + some, lanes - some, Half{0});
      }
      if (member == 0 && job.interrupted()) stop = true;
    }
  });
  return !stop;
}

bool run_product(HessianProduct& job) {
  const BfloatKernels& use = *bfloat();
  const Rows& rows = job.rows;
  const int64_t n = rows.n, D = rows.D, K = job.K, R = kHessianRows, lanes = Vector<float>::size;
  const HessianTemplates templates(rows, K, job.V, job.c, 2);
  const int64_t panels = templates.panels, panel = templates.panel, depth = templates.depth, column_tiles = templates.ld / kTileSide, row_tiles = R / kTileSide;
  const int64_t across = R + kTileSide;  // with a multiple of 1 KB the classes would map to the same cache sets
  const float* const shifts = templates.shifts;
  Buffer<float> share(tiles_of(n, R) * R);
  std::copy_n(job.share, n, share.data);
  const int64_t numbers = panels * column_tiles * 256;
  const int64_t n_blocks = tiles_of(n, R);
  const int64_t n_groups = std::clamp<int64_t>(kGroupBytes / (numbers * 4), 2, std::min(kHessianGroups, std::max<int64_t>(2, n_blocks)));
  Buffer<float> sums(n_groups * numbers);
  Buffer<double> columns(n_groups * K);
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  pool().run(static_cast<int>(std::min<int64_t>(job.threads, n_groups)), [&](int member, int) {
    OpenRows open(rows, R);
    Buffer<Bfloat> for_scores(row_tiles * panel), for_gradient(column_tiles * row_tiles / 2 * kTileNumbers), slopes(2 * panels * row_tiles / 2 * kTileNumbers);
    Buffer<float> t(panels * kTileSide * across), u(panels * kTileSide * across);
    for (int64_t group; !stop && (group = next.fetch_add(1)) < n_groups;) {
      float* const G = sums + group * numbers;
      double* const c = columns + group * K;
      for (int64_t at = n_blocks * group / n_groups; at < n_blocks * (group + 1) / n_groups && !stop; ++at) {
        const int64_t first = at * R, count = std::min(R, n - first);
        const int64_t ahead = open.open(first, count);
        use.convert({open.row.data(), ahead, open.half, count, D, templates.minus_centre(), 1, row_tiles, depth, column_tiles, for_scores, for_gradient});
        templates.scores(for_scores, 1, row_tiles, count, across, t);
        const auto* q = reinterpret_cast<const Half*>(job.q) + at * K * R;
        for (int64_t r = 0; r < count; r += lanes) {
          if (job.y != nullptr) Coupling::star(q + r, share + first + r, job.y + first + r, std::min(lanes, count - r), shifts, K, across, t + r, u + r);
          else Coupling::spread_out(q + r, share + first + r, shifts, K, across, t + r, u + r);
        }
        for (int64_t k = 0; k < K; ++k) {
          V<float> total{};
          for (int64_t r = 0; r < count; r += lanes) total += load(u + k * across + r);
          c[k] += static_cast<double>(sum<float>(total));
        }
        const int64_t slope_panel = row_tiles / 2 * kTileNumbers;
        const int used = use.pack(u, across, K, count, 2, slope_panel, slopes);
        BfloatProduct gradient{slopes, for_gradient, slope_panel, panels * slope_panel, slope_panel, 0, panels, column_tiles, tiles_of(count, kTileDepth), used, {},
                               G, column_tiles * 256, 256, kTileSide, true};
        for (int term = 0; term < used; ++term) gradient.pairs[term][0] = used - 1 - term, gradient.pairs[term][1] = 0;
        use.multiply(gradient);
      }
      if (member == 0 && job.interrupted()) stop = true;
    }
  });
  for (int64_t k = 0; k < K; ++k) {
    double total = 0;
    for (int64_t g = 0; g < n_groups; ++g) total += columns[g * K + k];
    job.out_c[k] = total;
    for (int64_t d = 0; d < D; ++d) {
      const int64_t at = (k / kTileSide * column_tiles + d / kTileSide) * 256 + k % kTileSide * kTileSide + d % kTileSide;
      double found = 0;
      for (int64_t g = 0; g < n_groups; ++g) found += static_cast<double>(sums[g * numbers + at]);
      job.out_V[k * D + d] = templates.map.scale[d] * found + total * templates.map.rest[d];
    }
  }
  return !stop;
}

// Turns a tile of a right factor into one of a left factor: 16 x 16 pairs, transposed.
inline void transpose_tile(const Bfloat* from, Bfloat* to) {
#if LINPROBE_VECTOR_BYTES == 64
  __m512i x[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) x[i] = _mm512_load_si512(from + i * 32);
  store_transposed(x, to);
#else
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) to[i * 32 + 2 * j] = from[j * 32 + 2 * i], to[i * 32 + 2 * j + 1] = from[j * 32 + 2 * i + 1];
#endif
}

void run_block(HessianBlock& job) {
  const BfloatKernels& use = *bfloat();
  const Rows& rows = job.rows;
  const int64_t n = rows.n, D = rows.D, side = hessian_side(D), tiles = side / kTileSide, depth = tiles_of(side, kTileDepth), row_tiles = kBlockRows / kTileSide;
  const Map<float> map(rows, false);
  Buffer<float> scale(D), shift(D), scaled(std::min(n, kBlockRows) * side);
  for (int64_t d = 0; d < D; ++d) {  // scale (x - centre) + rest
    scale[d] = static_cast<float>(map.scale[d]);
    shift[d] = static_cast<float>(map.rest[d] - map.scale[d] * static_cast<double>(map.centre[d]));
  }
  const bool plain = rows.scale == nullptr;
  const int64_t panel = row_tiles / 2 * kTileNumbers;
  Buffer<Bfloat> right(tiles * panel), left(tiles * panel);
  std::vector<const void*> row(kBlockRows);
  for (int64_t first = 0; first < n; first += kBlockRows) {
    const int64_t count = std::min(kBlockRows, n - first), steps = tiles_of(count, kTileDepth);
    copy_rows<float>(rows, plain ? nullptr : scale.data, plain ? nullptr : shift.data, first, count, 0, D, scaled, side);
    for (int64_t r = 0; r < count; ++r) {
      float* const x = scaled + r * side;
      const float root = job.root[first + r];
      x[D] = 1;
      for (int64_t d = 0; d <= D; ++d) x[d] *= root;
      row[r] = x;
    }
    use.convert({row.data(), 0, false, count, side, nullptr, 1, row_tiles, depth, tiles, nullptr, right});
    for (int64_t i = 0; i < tiles; ++i)
      for (int64_t s = 0; s < steps; ++s) transpose_tile(right + i * panel + s * kTileNumbers, left + i * panel + s * kTileNumbers);
    for (int64_t i = 0; i < tiles; i += 2)
      use.multiply({left + i * panel, right + i * panel, panel, 0, panel, 0, std::min<int64_t>(2, tiles - i), tiles - i, steps, 1, {{0, 0}},
                    job.out + i * kTileSide * (side + 1), kTileSide * side, kTileSide, side, true});
  }
}

inline float upper_half(uint16_t bits) {
  const uint32_t whole = static_cast<uint32_t>(bits) << 16;
  float x;
  std::memcpy(&x, &whole, 4);
  return x;
}

inline V<float> upper_halves(const uint16_t* p) {
  typedef uint16_t Halves __attribute__((vector_size(LINPROBE_VECTOR_BYTES / 2), aligned(2), may_alias));
  typedef uint32_t Wholes __attribute__((vector_size(LINPROBE_VECTOR_BYTES)));
  return (V<float>)(__builtin_convertvector(*reinterpret_cast<const Halves*>(p), Wholes) << 16);
}

// A factor is read once in each direction, at the speed of memory, row by row. x, or the sums of a block of rows, are
// in registers.
void run_solve(HessianSolve& job) {
  constexpr int64_t size = kTriangleBlock, lanes = Vector<float>::size, vectors = size / lanes, square = size * size;
  const int64_t n = job.n, side = tiles_of(n, size);
  const auto place = [&](int64_t i, int64_t k) { return job.U + (i * side - i * (i - 1) / 2 + k - i) * square; };
  Buffer<float> y(side * size), x(side * size), sums(size * lanes);
  std::copy_n(job.x, n, y.data);
  for (int64_t i = 0; i < side; ++i) {
    const int64_t rows = std::min(size, n - i * size);
    float *const own = y + i * size, *const found = x + i * size;
    const uint16_t* U = place(i, i);
    for (int64_t r = 0; r < rows; ++r) {
      const float z = own[r] / upper_half(U[r * size + r]);
      found[r] = z;
      for (int64_t j = r / lanes * lanes; j < size; j += lanes) store<float>(own + j, load(own + j) - spread(z) * upper_halves(U + r * size + j));
    }
    for (int64_t k = i + 1; k < side; ++k) {
      U = place(i, k);
      V<float> other[vectors];
#pragma GCC unroll 8
      for (int64_t v = 0; v < vectors; ++v) other[v] = load(y + k * size + v * lanes);
      for (int64_t r = 0; r < rows; ++r) {
        const V<float> z = spread(found[r]);
#pragma GCC unroll 8
        for (int64_t v = 0; v < vectors; ++v) other[v] -= z * upper_halves(U + r * size + v * lanes);
      }
#pragma GCC unroll 8
      for (int64_t v = 0; v < vectors; ++v) store<float>(y + k * size + v * lanes, other[v]);
    }
  }
  for (int64_t i = side - 1; i >= 0; --i) {
    const int64_t rows = std::min(size, n - i * size);
    float* const found = x + i * size;
    std::memset(sums, 0, size * lanes * sizeof(float));
    for (int64_t k = i + 1; k < side; ++k) {
      const uint16_t* const U = place(i, k);
      V<float> known[vectors];
#pragma GCC unroll 8
      for (int64_t v = 0; v < vectors; ++v) known[v] = load(x + k * size + v * lanes);
      for (int64_t r = 0; r < rows; ++r) {
        V<float> total = load(sums + r * lanes);
#pragma GCC unroll 8
        for (int64_t v = 0; v < vectors; ++v) total += known[v] * upper_halves(U + r * size + v * lanes);
        store<float>(sums + r * lanes, total);
      }
    }
    const uint16_t* const U = place(i, i);
    for (int64_t r = rows - 1; r >= 0; --r) {
      V<float> total = load(sums + r * lanes);
      float rest = 0;
      int64_t j = r + 1;
      for (; j < size && j % lanes != 0; ++j) rest += found[j] * upper_half(U[r * size + j]);
      for (; j < size; j += lanes) total += load(found + j) * upper_halves(U + r * size + j);
      found[r] = (found[r] - rest - sum<float>(total)) / upper_half(U[r * size + r]);
    }
  }
  std::copy_n(x.data, n, job.x);
}

}  // namespace
}  // namespace linprobe::LINPROBE_ISA
