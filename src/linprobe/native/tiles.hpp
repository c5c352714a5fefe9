// The two products of a block of rows: its scores X Wᵀ, and dSᵀ X. Included by kernels_impl.hpp.
//
// Rows are read in their own type S and converted to T in registers, on ports that the multiplications leave free.
// Every score is one chain of vector sums over D, and the gradient of every weight one chain over the rows, in any
// tile. So the bits depend on the sizes of the problem only.
#pragma once

// 2 rows x 10 classes are 20 accumulators, with 2 rows and a template 23 of 32 registers; 2 x 5 take 13 of 16.
constexpr int kClasses = kManyRegisters ? 10 : 5;

// f(std::integral_constant<int, C>, k) for consecutive tiles of C <= Most classes, of sizes as equal as can be, that cover
// 0..K-1.
template <int Most, class F>
inline void for_class_tiles(int64_t K, F&& f) {
  const int64_t tiles = (K + Most - 1) / Most;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t k = K * t / tiles;
    const auto call = [&]<int... C>(std::integer_sequence<int, C...>) {
      const int64_t n = K * (t + 1) / tiles - k;
      ((n == C + 1 ? f(std::integral_constant<int, C + 1>(), k) : void()), ...);
    };
    call(std::make_integer_sequence<int, Most>());
  }
}

// The sums of a tile of R rows and C classes, from total (R, K) of vectors, or from 0 where they are the first.
template <class T, int R, int C>
inline void open_sums(V<T> (&sums)[R][C], const T* total, int64_t K, bool first) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) sums[r][c] = first ? V<T>{} : load(total + (r * K + c) * Vector<T>::size);
}
template <class T, int R, int C>
inline void store_sums(const V<T> (&sums)[R][C], T* total, int64_t K) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) store<T>(total + (r * K + c) * Vector<T>::size, sums[r][c]);
}

// total[r * K + c] (+)= the products of n columns, n a multiple of the vector, of R rows with C classes, lane by lane.
template <class T, class S, int R, int C>
inline void dot_tile(const S* const* x, const T* centre, const T* W, int64_t ldw, int64_t n, T* total, int64_t K, bool first) {
  constexpr int64_t size = Vector<T>::size;
  V<T> sums[R][C];
  open_sums<T, R, C>(sums, total, K, first);
  const S* row[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) row[r] = x[r];
  auto columns = [&](auto centred) {
    for (int64_t d = 0; d < n; d += size) {
      V<T> v[R], minus{};
      if constexpr (centred()) minus = held<T>(load(centre + d));
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        v[r] = Widen<T, S>::run(row[r] + d);
        if constexpr (centred()) v[r] -= minus;
        v[r] = held<T>(v[r]);
      }
#pragma GCC unroll 16
      for (int c = 0; c < C; ++c) {
        const V<T> w = held<T>(load(W + c * ldw + d));
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) sums[r][c] += v[r] * w;
      }
    }
  };
  if constexpr (std::is_same_v<S, uint8_t>) {  // the centre of pixels goes into the bias: FusedBlock::scores_centre
    columns(std::false_type());
  } else {
    if (centre != nullptr) columns(std::true_type());
    else columns(std::false_type());
  }
  store_sums<T, R, C>(sums, total, K);
}

// One slice of columns: total (rows, K) (+)= the lane-wise products of `rows` rows with K templates.
template <class T, class S>
LINPROBE_ONCE void dot_slice(const S* const* x, const T* centre, int64_t rows, const T* W, int64_t ldw, int64_t K,
                             int64_t n, T* total, bool first) {
  auto some = [&](auto R, int64_t r) {
    for_class_tiles<kClasses>(K, [&](auto C, int64_t k) {
      dot_tile<T, S, R(), C()>(x + r, centre, W + k * ldw, ldw, n, total + (r * K + k) * Vector<T>::size, K, first);
    });
  };
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2) {
    if (r + 4 <= rows)
      for (int64_t d = 0; d < n; d += 64 / static_cast<int64_t>(sizeof(S))) {
        __builtin_prefetch(x[r + 2] + d, 0, 3);
        __builtin_prefetch(x[r + 3] + d, 0, 3);
      }
    some(std::integral_constant<int, 2>(), r);
  }
  if (r < rows) some(std::integral_constant<int, 1>(), r);
}

// Distance of prefetches, in rows. x[rows] .. x[rows + kAhead - 1] are the rows to be read next.
constexpr int kAhead = 8;

// Classes and rows of a tile of unpacked numbers: enough sums to hide the latency of an addition.
constexpr int kUnpackedClasses = 12;
constexpr int unpacked_rows(int C) { return C == 1 ? 8 : C == 2 ? 4 : C <= 4 ? 2 : 1; }

// As dot_tile, for rows in the order of Unpack. W has the numbers of the C templates in the order of their use, one
// vector of each template in turn. n is a multiple of the numbers unpacked at once. Keep: these are also stored in
// `kept`, row after row.
template <class T, class S, int R, int C, bool Keep>
inline void unpacked_tile(const S* const* x, const T* W, int64_t n, T* total, int64_t K, bool first, S* kept, int64_t strip) {
  constexpr int64_t size = Vector<T>::size;
  constexpr int vectors = Unpack<T, S>::vectors;
  V<T> sums[R][C];
  open_sums<T, R, C>(sums, total, K, first);
  const S* row[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) row[r] = x[r];
  for (int64_t d = 0; d < n; d += vectors * size, W += C * vectors * size) {
    V<T> v[R][vectors];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Unpack<T, S>::run(row[r] + d, v[r]);
      if constexpr (Keep) std::memcpy(kept + r * vectors * size, row[r] + d, vectors * size * sizeof(S));
    }
    if constexpr (Keep) kept += strip;
#pragma GCC unroll 16
    for (int u = 0; u < vectors; ++u)
#pragma GCC unroll 16
      for (int c = 0; c < C; ++c) {
        const V<T> w = load(W + (u * C + c) * size);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) sums[r][c] += v[r][u] * w;
      }
  }
  store_sums<T, R, C>(sums, total, K);
}

// As dot_slice; the templates of a tile stay in the first-level cache for all rows. kept: the first of the strips that
// receive the rows, `strip` numbers each, or null.
template <class T, class S>
LINPROBE_ONCE void unpacked_slice(const S* const* x, int64_t rows, const T* W, int64_t K, int64_t n, T* total, bool first,
                                  S* kept, int64_t strip) {
  for_class_tiles<kUnpackedClasses>(K, [&](auto C, int64_t k) {
    auto some = [&](auto R, int64_t r) {
      T* to = total + (r * K + k) * Vector<T>::size;
      if (kept == nullptr || k > 0) unpacked_tile<T, S, R(), C(), false>(x + r, W + k * n, n, to, K, first, nullptr, 0);
      else unpacked_tile<T, S, R(), C(), true>(x + r, W + k * n, n, to, K, first, kept + r * Unpack<T, S>::vectors * Vector<T>::size, strip);
    };
    constexpr int R = unpacked_rows(C());
    int64_t r = 0;
    for (; r + R <= rows; r += R) {
      if (k == 0)
        for (int i = 0; i < R; ++i)
          for (int64_t d = 0; d < n; d += 64 / static_cast<int64_t>(sizeof(S))) __builtin_prefetch(x[r + kAhead + i] + d, 0, 0);
      some(std::integral_constant<int, R>(), r);
    }
    for (; r < rows; ++r) some(std::integral_constant<int, 1>(), r);
  });
}

// Bytes of a row that are prefetched: long rows are not in the second-level cache, and form too many streams for the
// prefetcher of the processor.
constexpr int64_t kEarly = 256;

// Contiguous rows of a scratch buffer.
template <class T>
struct Scratch {
  const T* data;
  int64_t ld;
  const T* operator[](int64_t r) const { return data + r * ld; }
};

// Rows in place, from column `column` on.
template <class S>
struct Lying {
  const S* const* row;
  int64_t column;
  const S* operator[](int64_t r) const { return row[r] + column; }
};

// G[c * ldg + d] (+)= sum over rows of dS[r * K + c] x_r[d], x minus `minus`, for C classes and U vectors of columns.
// Keep: the converted and centred rows are also stored in kept (rows, U vectors), for the tiles of the other classes.
template <class T, class S, class X, int C, int U, bool Add, bool Keep>
inline void outer_tile(X x, const T* minus, int64_t rows, const T* dS, int64_t K, T* G, int64_t ldg, T* kept) {
  constexpr int64_t size = Vector<T>::size;
  V<T> total[C][U] = {}, m[U];
  if constexpr (Keep)
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) m[u] = load(minus + u * size);
  for (int64_t r = 0; r < rows; ++r) {
    const S* row = x[r];
    if constexpr (Keep) __builtin_prefetch(row + kEarly / static_cast<int64_t>(sizeof(S)), 0, 3);
    V<T> v[U];
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) {
      v[u] = Widen<T, S>::run(row + u * size);
      if constexpr (Keep) {
        v[u] -= m[u];
        store<T>(kept + (r * U + u) * size, v[u]);
      }
    }
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) {
      const T g = dS[r * K + c];
#pragma GCC unroll 16
      for (int u = 0; u < U; ++u) total[c][u] += g * v[u];
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < C; ++c)
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) {
      T* to = G + c * ldg + u * size;
      store<T>(to, Add ? load(to) + total[c][u] : total[c][u]);
    }
}

// G (K, n) (+)= dSᵀ X over `rows` rows, n a multiple of the vector, dS (rows, K).
template <class T, bool Add>
LINPROBE_ONCE void outer(const T* X, int64_t ldx, int64_t rows, int64_t n, const T* dS, int64_t K, T* G, int64_t ldg) {
  auto columns = [&](auto U, int64_t d) {
    for_class_tiles<kClasses>(K, [&](auto C, int64_t k) {
      outer_tile<T, T, Scratch<T>, C(), U(), Add, false>({X + d, ldx}, nullptr, rows, dS + k, K, G + k * ldg + d, ldg, nullptr);
    });
  };
  constexpr int64_t size = Vector<T>::size;
  int64_t d = 0;
  for (; d + 2 * size <= n; d += 2 * size) columns(std::integral_constant<int, 2>(), d);
  for (; d < n; d += size) columns(std::integral_constant<int, 1>(), d);
}

// G (K, U vectors) += dSᵀ (X - centre): the rows x are converted for the first classes, and stored in `widened`, two
// vectors per row, for the others.
template <class T, class S, int U, class X>
inline void outer_columns(X x, const T* centre, int64_t rows, const T* dS, int64_t K, T* G, int64_t ldg, T* widened) {
  for_class_tiles<kClasses>(K, [&](auto C, int64_t k) {
    T* to = G + k * ldg;
    if (k == 0) outer_tile<T, S, X, C(), U, true, true>(x, centre, rows, dS, K, to, ldg, widened);
    else outer_tile<T, T, Scratch<T>, C(), U, true, false>({widened, U * Vector<T>::size}, nullptr, rows, dS + k, K, to, ldg, nullptr);
  });
}

// G (K, ldg) += dSᵀ (X - centre) in the columns begin..end-1, for rows in place.
template <class T, class S>
LINPROBE_ONCE void outer_lying(const S* const* row, const T* centre, int64_t rows, int64_t begin, int64_t end, const T* dS, int64_t K,
                               T* G, int64_t ldg, T* widened) {
  constexpr int64_t size = Vector<T>::size;
  auto columns = [&](auto U, int64_t d) {
    outer_columns<T, S, U()>(Lying<S>{row, d}, centre + d, rows, dS, K, G + d, ldg, widened);
  };
  int64_t d = begin;
  for (; d + 2 * size <= end; d += 2 * size) columns(std::integral_constant<int, 2>(), d);
  for (; d < end; d += size) columns(std::integral_constant<int, 1>(), d);
}

// The same in the columns 0..n-1, for rows in strips of `step` columns, a multiple of two vectors.
template <class T, class S>
LINPROBE_ONCE void outer_strips(const S* kept, int64_t step, int64_t strip, const T* centre, int64_t rows, int64_t n, const T* dS,
                                int64_t K, T* G, int64_t ldg, T* widened) {
  for (int64_t d = 0; d < n; d += 2 * Vector<T>::size)
    outer_columns<T, S, 2>(Scratch<S>{kept + d / step * strip + d % step, step}, centre + d, rows, dS, K, G + d, ldg, widened);
}
