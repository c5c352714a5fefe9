// Vectors of one instruction set, memory for them, and the reading of rows of any dtype. Included by kernels_impl.hpp.
#pragma once

// Whether there are 32 vector registers rather than 16, which decides the size of tiles.
#if LINPROBE_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr bool kManyRegisters = true;
#else
constexpr bool kManyRegisters = false;
#endif

constexpr int64_t kLanes = 16;  // rows of scratch buffers are padded with zeros to a multiple of this

template <class T>
struct Vector {
  typedef T type __attribute__((vector_size(LINPROBE_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
  static constexpr int64_t size = LINPROBE_VECTOR_BYTES / sizeof(T);
};
template <class T>
using V = typename Vector<T>::type;

template <class T>
inline V<T> load(const T* p) { return *reinterpret_cast<const V<T>*>(p); }
template <class T>
inline void store(T* p, V<T> v) { *reinterpret_cast<V<T>*>(p) = v; }

// Loads `v` once: GCC would put the load into every multiplication that uses it, and run out of load ports.
template <class T>
inline V<T> held(V<T> v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__x86_64__)
  asm("" : "+x"(v));
#endif
  return v;
}

// x in every lane; V<float>{} + x would be an addition, since it makes 0 of -0.
inline V<float> spread(float x) {
#if LINPROBE_VECTOR_BYTES == 64
  return (V<float>)_mm512_set1_ps(x);
#elif LINPROBE_VECTOR_BYTES == 32
  return (V<float>)_mm256_set1_ps(x);
#else
  return V<float>{x, x, x, x};
#endif
}

template <class T>
inline T sum(V<T> v) {
  T total = 0;
  for (int64_t i = 0; i < Vector<T>::size; ++i) total += v[i];
  return total;
}

// Zeroed memory, aligned to cache lines; throws std::bad_alloc.
template <class T>
struct Buffer {
  T* data = nullptr;
  explicit Buffer(int64_t n) {
    const size_t bytes = (static_cast<size_t>(n > 0 ? n : 1) * sizeof(T) + 63) / 64 * 64;
    data = static_cast<T*>(std::aligned_alloc(64, bytes));
    if (data == nullptr) out_of_memory();
    std::memset(data, 0, bytes);
  }
  Buffer(Buffer&& other) noexcept : data(other.data) { other.data = nullptr; }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data, other.data);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { std::free(data); }
  operator T*() const { return data; }
};

inline int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// For large functions that are called once for many numbers: inlined, they would be compiled again for every caller.
#define LINPROBE_ONCE __attribute__((noinline))

// LINPROBE_MUTABLE_ONCE: `mutable` and LINPROBE_ONCE for a lambda, in the order that the compiler reads.
// LINPROBE_INDEPENDENT: before a loop none of whose steps reads what another writes.
#if defined(__clang__)
#define LINPROBE_MUTABLE_ONCE LINPROBE_ONCE mutable
#define LINPROBE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define LINPROBE_MUTABLE_ONCE mutable LINPROBE_ONCE
#define LINPROBE_INDEPENDENT _Pragma("GCC ivdep")
#endif

struct Half { uint16_t bits; };  // IEEE 754 binary16

inline float half_to_float(Half half) {
  const uint16_t h = half.bits;
#if defined(__F16C__)
  return _cvtsh_ss(h);
#elif defined(__aarch64__)
  __fp16 number;
  std::memcpy(&number, &h, 2);
  return number;
#else
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  uint32_t bits;
  if (magnitude >= 0x7c00u) bits = sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13);
  else {  // scaling by 2^112 is also right for subnormal numbers
    const uint32_t shifted = magnitude << 13;
    float value;
    std::memcpy(&value, &shifted, 4);
    value *= 0x1p112f;
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
#endif
}

template <class T, class S>
inline T convert(S x) { return static_cast<T>(x); }
template <class T>
inline T convert(Half x) { return static_cast<T>(half_to_float(x)); }

// A vector of T from as many numbers of S: the plain loop, and below it the instructions of each set.
template <class T, class S>
struct Widen {
  static inline V<T> run(const S* p) {
    V<T> v{};
    for (int64_t i = 0; i < Vector<T>::size; ++i) v[i] = convert<T>(p[i]);
    return v;
  }
};
template <class T>
struct Widen<T, T> {
  static inline V<T> run(const T* p) { return load(p); }
};
#if LINPROBE_VECTOR_BYTES == 32
template <>
struct Widen<float, uint8_t> {
  static inline V<float> run(const uint8_t* p) {
    return (V<float>)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
};
template <>
struct Widen<float, Half> {
  static inline V<float> run(const Half* p) {
    return (V<float>)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};
template <>
struct Widen<double, uint8_t> {
  static inline V<double> run(const uint8_t* p) {
    int32_t four;
    std::memcpy(&four, p, 4);
    return (V<double>)_mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
  }
};
template <>
struct Widen<double, Half> {
  static inline V<double> run(const Half* p) {
    return (V<double>)_mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
};
template <>
struct Widen<double, float> {
  static inline V<double> run(const float* p) { return (V<double>)_mm256_cvtps_pd(_mm_loadu_ps(p)); }
};
#elif LINPROBE_VECTOR_BYTES == 64
template <>
struct Widen<float, uint8_t> {
  static inline V<float> run(const uint8_t* p) {
    return (V<float>)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
};
template <>
struct Widen<float, Half> {
  static inline V<float> run(const Half* p) {
    return (V<float>)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
};
template <>
struct Widen<double, uint8_t> {
  static inline V<double> run(const uint8_t* p) {
    return (V<double>)_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
};
template <>
struct Widen<double, Half> {
  static inline V<double> run(const Half* p) {
    return (V<double>)_mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
};
template <>
struct Widen<double, float> {
  static inline V<double> run(const float* p) { return (V<double>)_mm512_cvtps_pd(_mm256_loadu_ps(p)); }
};
#elif defined(__aarch64__)
template <>
struct Widen<float, uint8_t> {
  static inline V<float> run(const uint8_t* p) {
    uint32_t four;
    std::memcpy(&four, p, 4);
    return (V<float>)vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
  }
};
template <>
struct Widen<float, Half> {
  static inline V<float> run(const Half* p) {
    uint64_t four;
    std::memcpy(&four, p, 8);
    return (V<float>)vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(four)));
  }
};
template <>
struct Widen<double, float> {
  static inline V<double> run(const float* p) { return (V<double>)vcvt_f64_f32(vld1_f32(p)); }
};
#endif

// `vectors` vectors of T from as many numbers of S as they hold, in the cheapest order: lane i of vector j is number i
// * vectors + j. Bytes in their own order need a shuffle for every vector, on a port of the multiplications.
template <class T, class S>
struct Unpack {
  static constexpr int vectors = 1;
  static inline void run(const S* p, V<T>* to) { to[0] = Widen<T, S>::run(p); }
};
#if LINPROBE_VECTOR_BYTES == 32
template <>
struct Unpack<float, uint8_t> {
  static constexpr int vectors = 4;
  static inline void run(const uint8_t* p, V<float>* to) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), low = _mm256_set1_epi32(255);
    to[0] = (V<float>)_mm256_cvtepi32_ps(_mm256_and_si256(x, low));
    to[1] = (V<float>)_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(x, 8), low));
    to[2] = (V<float>)_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(x, 16), low));
    to[3] = (V<float>)_mm256_cvtepi32_ps(_mm256_srli_epi32(x, 24));
  }
};
template <>
struct Unpack<double, uint8_t> {
  static constexpr int vectors = 4;
  static inline void run(const uint8_t* p, V<double>* to) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), low = _mm_set1_epi32(255);
    to[0] = (V<double>)_mm256_cvtepi32_pd(_mm_and_si128(x, low));
    to[1] = (V<double>)_mm256_cvtepi32_pd(_mm_and_si128(_mm_srli_epi32(x, 8), low));
    to[2] = (V<double>)_mm256_cvtepi32_pd(_mm_and_si128(_mm_srli_epi32(x, 16), low));
    to[3] = (V<double>)_mm256_cvtepi32_pd(_mm_srli_epi32(x, 24));
  }
};
#elif defined(__aarch64__)
template <>
struct Unpack<float, uint8_t> {
  static constexpr int vectors = 4;
  static inline void run(const uint8_t* p, V<float>* to) {
    const V<uint32_t> x = load(reinterpret_cast<const uint32_t*>(p));
    to[0] = __builtin_convertvector(x & 255, V<float>);
    to[1] = __builtin_convertvector((x >> 8) & 255, V<float>);
    to[2] = __builtin_convertvector((x >> 16) & 255, V<float>);
    to[3] = __builtin_convertvector(x >> 24, V<float>);
  }
};
#endif

// Calls f(static_cast<const S*>(nullptr)) with S the type of the numbers of `rows`.
template <class F>
void with_type(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::u8: f(static_cast<const uint8_t*>(nullptr)); break;
    case Dtype::f16: f(static_cast<const Half*>(nullptr)); break;
    case Dtype::f32: f(static_cast<const float*>(nullptr)); break;
    case Dtype::f64: f(static_cast<const double*>(nullptr)); break;
  }
}

// The map x -> scale * x + shift of the rows, as scale * (x - centre) + rest. Subtracting the centre before the
// products keeps the digits of a difference, and costs no multiplication. scale and rest go into W, b and the gradient.
template <class T>
struct Map {
  bool centred = false;
  Buffer<T> centre;
  Buffer<double> scale, shift, rest;

  // `whole`: the centre is rounded to an integer, or is 0 if that is no byte. `chosen` (D): the centre, if not null.
  Map(const Rows& rows, bool whole, const double* chosen = nullptr) : centre(padded(rows.D)), scale(rows.D), shift(rows.D), rest(rows.D) {
    for (int64_t d = 0; d < rows.D; ++d) {
      scale[d] = rows.scale != nullptr ? rows.scale[d] : 1.0;
      shift[d] = rows.scale != nullptr ? rows.shift[d] : 0.0;
      const T mean = static_cast<T>(chosen != nullptr ? chosen[d] : -shift[d] / scale[d]), c = whole ? std::round(mean) : mean;
      centre[d] = scale[d] != 0.0 && std::isfinite(c) && !(whole && (c < 0 || c > 255)) ? c : T(0);
      rest[d] = shift[d] + scale[d] * static_cast<double>(centre[d]);
      if (centre[d] != T(0)) centred = true;
    }
  }
};

// out = scale * source + shift; a null scale is 1 and a null shift 0.
template <class T, class S>
void copy_row(const S* source, int64_t stride, int64_t n, const T* scale, const T* shift, T* out) {
  int64_t d = 0;
  auto vectors = [&](auto map) {
    for (; d + Vector<T>::size <= n; d += Vector<T>::size) store<T>(out + d, map(Widen<T, S>::run(source + d)));
  };
  if (stride == 1) {
    if (scale != nullptr && shift != nullptr) vectors([&](V<T> x) { return x * load(scale + d) + load(shift + d); });
    else if (shift != nullptr) vectors([&](V<T> x) { return x + load(shift + d); });
    else if (scale == nullptr) vectors([](V<T> x) { return x; });
  }
  for (; d < n; ++d) {
    const T x = convert<T>(source[d * stride]);
    out[d] = (scale != nullptr ? x * scale[d] : x) + (shift != nullptr ? shift[d] : T(0));
  }
}

inline int64_t row_of(const Rows& rows, int64_t i) { return rows.picked != nullptr ? rows.picked[i] : i; }

template <class S>
inline const S* row_at(const Rows& rows, int64_t i) { return static_cast<const S*>(rows.data) + row_of(rows, i) * rows.row_stride; }

// The n numbers from x on are fetched into the second-level cache.
template <class S>
inline void prefetch(const S* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 64 / static_cast<int64_t>(sizeof(S))) __builtin_prefetch(x + i, 0, 2);
}

// row[r] = row `first + r` of n, in place; or a copy of it in `contiguous` (n, D) if its columns are strided.
template <class S>
void open_rows(const Rows& rows, int64_t first, int64_t n, S* contiguous, const S** row) {
  for (int64_t r = 0; r < n; ++r) {
    row[r] = row_at<S>(rows, first + r);
    if (rows.column_stride == 1) continue;
    S* to = contiguous + r * rows.D;
    for (int64_t d = 0; d < rows.D; ++d) to[d] = row[r][d * rows.column_stride];
    row[r] = to;
  }
}

// Rows `first`..`first + n - 1`, columns `column`..`column + width - 1`, mapped, into out (n, ld); the columns from
// `width` to `ld` keep their zeros. scale and shift (D) in T, or null.
template <class T>
void copy_rows(const Rows& rows, const T* scale, const T* shift, int64_t first, int64_t n, int64_t column,
               int64_t width, T* out, int64_t ld) {
  const T *a = scale != nullptr ? scale + column : nullptr, *c = shift != nullptr ? shift + column : nullptr;
  with_type(rows.dtype, [&](auto* type) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    for (int64_t i = 0; i < n; ++i) {
      const S* from = row_at<S>(rows, first + i);
      copy_row<T, S>(from + column * rows.column_stride, rows.column_stride, width, a, c, out + i * ld);
    }
  });
}
