// Products in bfloat16 emulated in float32: slow, so that tests run on any processor.
#include <cstring>

#include "bfloat.hpp"

namespace linprobe {
namespace {

float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// Of an IEEE 754 binary16.
float of_half(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) return float_of(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  const float value = float_of(magnitude << 13) * 0x1p112f;  // also correct for subnormal numbers
  return sign != 0 ? -value : value;
}

Bfloat rounded(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits & 0x7f800000u) == 0) return static_cast<Bfloat>(bits >> 16 & 0x8000u);  // subnormal: 0, as processors do
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<Bfloat>(bits >> 16 | 0x40u);  // a NaN stays one
  return static_cast<Bfloat>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float widened(Bfloat x) { return float_of(static_cast<uint32_t>(x) << 16); }

void split(float x, int terms, Bfloat* to) {
  for (int t = 0; t < terms; ++t) {
    to[t] = rounded(x);
    x -= widened(to[t]);
  }
}

void convert(const BfloatRows& job) {
  const int64_t row_steps = job.row_tiles / 2;
  for (int64_t r = 0; r < (job.n + kTileDepth - 1) / kTileDepth * kTileDepth; ++r)
    for (int64_t d = 0; d < job.depth * kTileDepth; ++d) {
      Bfloat x[kMostTerms] = {};
      if (r < job.n && d < job.D) {
        const float value = job.half ? of_half(static_cast<const uint16_t*>(job.row[r])[d]) : static_cast<const float*>(job.row[r])[d];
        split(job.shift != nullptr ? value + job.shift[d] : value, job.terms, x);
      }
      for (int t = 0; t < job.terms; ++t) {
        if (job.scores != nullptr)
          job.scores[((t * job.row_tiles + r / 16) * job.depth + d / 32) * kTileNumbers + d % 32 / 2 * 32 + r % 16 * 2 + d % 2] = x[t];
        if (job.gradient != nullptr && d / 16 < job.column_tiles)
          job.gradient[((t * job.column_tiles + d / 16) * row_steps + r / 32) * kTileNumbers + r % 32 / 2 * 32 + d % 16 * 2 + r % 2] = x[t];
      }
    }
}

int pack(const float* from, int64_t ld, int64_t m, int64_t n, int terms, int64_t panel, Bfloat* to) {
  const int64_t panels = (m + kTileSide - 1) / kTileSide, columns = (n + kTileDepth - 1) / kTileDepth * kTileDepth;
  int used = 1;
  for (int64_t r = 0; r < panels * kTileSide; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      Bfloat x[kMostTerms] = {};
      if (r < m && c < n) split(from[r * ld + c], terms, x);
      for (int t = 0; t < terms; ++t) {
        to[(t * panels + r / 16) * panel + c / 32 * kTileNumbers + r % 16 * 32 + c % 32] = x[t];
        if ((x[t] & 0x7fffu) != 0 && used < t + 1) used = t + 1;
      }
    }
  return used;
}

// sum plus the products of a row of A with a column of B, term by term.
float added_to(float sum, const BfloatProduct& job, const Bfloat* A, const Bfloat* B) {
  for (int p = 0; p < job.n_pairs; ++p) {
    const Bfloat* a = A + job.pairs[p][0] * job.a_term;
    const Bfloat* b = B + job.pairs[p][1] * job.b_term;
    for (int64_t s = 0; s < job.steps; ++s, a += kTileNumbers, b += kTileNumbers)
      for (int64_t k = 0; k < 16; ++k)
        sum += widened(a[2 * k]) * widened(b[32 * k]) + widened(a[2 * k + 1]) * widened(b[32 * k + 1]);
  }
  return sum;
}

void multiply(const BfloatProduct& job) {
  for (int64_t i = 0; i < job.m; ++i)
    for (int64_t j = 0; j < job.n; ++j)
      for (int64_t r = 0; r < kTileSide; ++r)
        for (int64_t c = 0; c < kTileSide; ++c) {
          float* const out = job.C + i * job.c_down + j * job.c_across + r * job.c_row + c;
          *out = added_to(job.add ? *out : 0.0f, job, job.A + i * job.a_panel + r * kTileDepth, job.B + j * job.b_panel + c * 2);
        }
}

}  // namespace

BfloatKernels bfloat_plain() { return {"plain", true, convert, pack, multiply}; }

}  // namespace linprobe
