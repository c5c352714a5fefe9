// Responses of a dictionary of patches, thresholded and pooled, picture by picture. Included by kernels_impl.hpp.
//
//     z = (p - mean p) / sqrt(var p + epsilon), whitened: (z - centre) V, to unit length      for every patch p
//     s_k = z·f_k,  +: max(0, s_k - threshold),  -: max(0, -s_k - threshold),  pooled over regions of the patches
//
// Responses are never stored: the products of a few patches with two vectors of filters are in registers, where they
// are thresholded and added up.
#pragma once

constexpr int64_t kPatchRows = 5;  // patches multiplied at once: 5 x 2 sums, 2 filters and a number; with 6 GCC keeps a sum in memory

struct PatchBlock {
  static constexpr int64_t lanes = Vector<float>::size, panel = 2 * lanes;
  const Patches& job;
  const int64_t d, n_places, n_panels, entries;  // entries: places counted once for each region that holds them
  Buffer<float> filters, A, Z, white, pooled;
  Buffer<int64_t> corner;

  explicit PatchBlock(const Patches& job_)
      : job(job_), d(job_.size * job_.size * job_.channels), n_places(job_.n_places), n_panels((job_.n_filters + panel - 1) / panel),
        entries(job_.region_ends[job_.n_regions - 1]), filters(n_panels * d * panel), A(n_places * d), Z(entries * d),
        white((d + panel - 1) / panel * panel * d), pooled(job_.n_regions * n_panels * panel * 2), corner(n_places) {
    for (int64_t k = 0; k < job.n_filters; ++k)
      for (int64_t e = 0; e < d; ++e) filters[(k / panel * d + e) * panel + k % panel] = job.filters[k * d + e];
    for (int64_t k = 0; k < d; ++k)
      for (int64_t e = 0; e < d; ++e) white[(k / panel * d + e) * panel + k % panel] = job.whiten[e * d + k];
    const int64_t across = (job.width - job.size) / job.stride + 1;
    for (int64_t i = 0; i < n_places; ++i) corner[i] = (i / across * job.width + i % across) * job.stride * job.channels;
  }

  // f(std::integral_constant<int, rows>, first) for consecutive tiles of rows that cover begin..end-1.
  template <class F>
  static void tiles(int64_t begin, int64_t end, F&& f) {
    int64_t i = begin;
    for (; i + kPatchRows <= end; i += kPatchRows) f(std::integral_constant<int, kPatchRows>(), i);
    for (; i < end; ++i) f(std::integral_constant<int, 1>(), i);
  }

  // Rows (R, d) laid out for `products`: the numbers of R rows side by side.
  template <int R>
  void interleave(const float* const (&row)[R], float* to) const {
    for (int64_t e = 0; e < d; ++e)
      for (int r = 0; r < R; ++r) *to++ = row[r][e];
  }

  // use(r, u, the products of row r with vector u of a panel of filters), the R rows interleaved. All in one function,
  // with sums in local variables only: otherwise GCC keeps them in memory.
  template <int R, class Use>
  __attribute__((always_inline)) inline void products(const float* rows, const float* filter, Use&& use) const {
    V<float> s[R][2];
#pragma GCC unroll 5
    for (int r = 0; r < R; ++r) s[r][0] = s[r][1] = V<float>{};
    for (int64_t e = 0; e < d; ++e, filter += panel, rows += R) {
      const V<float> one = held<float>(load(filter)), two = held<float>(load(filter + lanes));
#pragma GCC unroll 5
      for (int r = 0; r < R; ++r) {
        const V<float> x = spread(rows[r]);
        s[r][0] += x * one;
        s[r][1] += x * two;
      }
    }
#pragma GCC unroll 5
    for (int r = 0; r < R; ++r) use(r, 0, s[r][0]), use(r, 1, s[r][1]);
  }

  // A (n_places, d): patches minus their mean, divided by their deviation, minus the centre.
  void normalise(const uint8_t* picture) {
    const int64_t line = job.size * job.channels;
    for (int64_t i = 0; i < n_places; ++i) {
      float* to = A + i * d;
      for (int64_t y = 0; y < job.size; ++y)
        for (int64_t x = 0; x < line; ++x) to[y * line + x] = static_cast<float>(picture[corner[i] + y * job.width * job.channels + x]);
      float sum = 0, squares = 0;
      for (int64_t e = 0; e < d; ++e) sum += to[e];
      const float mean = sum / static_cast<float>(d);
      for (int64_t e = 0; e < d; ++e) {
        to[e] -= mean;
        squares += to[e] * to[e];
      }
      const float scale = 1.0f / std::sqrt(squares / static_cast<float>(d) + job.epsilon);
      for (int64_t e = 0; e < d; ++e) to[e] = to[e] * scale - job.centre[e];
    }
  }

  // Z: A whitened, every row of unit length, in the order of the regions and interleaved in their tiles.
  void whiten() {
    float block[kPatchRows * 1024];
    tiles(0, n_places, [&](auto R, int64_t i) {
      const float* row[R()];
      for (int r = 0; r < R(); ++r) row[r] = A + (i + r) * d;
      interleave<R()>(row, block);
      for (int64_t k = 0; k < d; k += panel)
        products<R()>(block, white + k * d, [&](int r, int u, V<float> s) {
          for (int64_t l = 0; l < lanes && k + u * lanes + l < d; ++l) A[(i + r) * d + k + u * lanes + l] = s[l];
        });
    });
    for (int64_t i = 0; i < n_places; ++i) {
      float squares = 0;
      for (int64_t e = 0; e < d; ++e) squares += A[i * d + e] * A[i * d + e];
      const float scale = squares > 0 ? 1.0f / std::sqrt(squares) : 0.0f;
      for (int64_t e = 0; e < d; ++e) A[i * d + e] *= scale;
    }
    for (int64_t g = 0, begin = 0; g < job.n_regions; begin = job.region_ends[g++])
      tiles(begin, job.region_ends[g], [&](auto R, int64_t i) {
        const float* row[R()];
        for (int r = 0; r < R(); ++r) row[r] = A + job.places[i + r] * d;
        interleave<R()>(row, Z + i * d);
      });
  }

  // pooled (n_regions, panels, 2, panel): sums, or maxima, of what passes the threshold.
  void respond() {
    if (job.maximum) respond<true>();
    else respond<false>();
  }

  template <bool maximum>
  void respond() {
    const V<float> threshold = spread(job.threshold), zero{};
    for (int64_t p = 0; p < n_panels; ++p)
      for (int64_t g = 0, begin = 0; g < job.n_regions; begin = job.region_ends[g++]) {
        V<float> up[2] = {}, down[2] = {};
        tiles(begin, job.region_ends[g], [&](auto R, int64_t i) {
          products<R()>(Z + i * d, filters + p * d * panel, [&](int, int u, V<float> s) {
            const V<float> above = s - threshold, below = -s - threshold;
            const V<float> plus = above > zero ? above : zero, minus = below > zero ? below : zero;
            up[u] = maximum ? (plus > up[u] ? plus : up[u]) : up[u] + plus;
            down[u] = maximum ? (minus > down[u] ? minus : down[u]) : down[u] + minus;
          });
        });
        float* to = pooled + (g * n_panels + p) * 2 * panel;
        const V<float> share = spread(maximum ? 1.0f : 1.0f / static_cast<float>(job.region_ends[g] - begin));
        for (int u = 0; u < 2; ++u) {
          store<float>(to + u * lanes, up[u] * share);
          store<float>(to + panel + u * lanes, down[u] * share);
        }
      }
  }

  float response(int64_t region, int64_t sign, int64_t k) const {
    return pooled[((region * n_panels + k / panel) * 2 + sign) * panel + k % panel];
  }

  // out (n_regions, 2, n_filters), or half the filters where each is averaged with its mirror image.
  void run(int64_t i) {
    normalise(row_at<uint8_t>(job.rows, i));
    whiten();
    respond();
    const int64_t kept = job.mirrored != nullptr ? job.n_filters / 2 : job.n_filters;
    float* to = job.out + i * job.n_regions * 2 * kept;
    for (int64_t g = 0; g < job.n_regions; ++g)
      for (int64_t sign = 0; sign < 2; ++sign)
        for (int64_t k = 0; k < kept; ++k)
          *to++ = job.mirrored == nullptr ? response(g, sign, k) : 0.5f * (response(g, sign, k) + response(job.mirrored[g], sign, k + kept));
  }
};

bool run_patches(Patches& job) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  pool().run(job.threads, [&](int member, int) {
    PatchBlock block(job);
    for (int64_t i; !stop && (i = next.fetch_add(1)) < job.rows.n;) {
      block.run(i);
      if (member == 0 && job.interrupted()) stop = true;
    }
  });
  return !stop;
}
