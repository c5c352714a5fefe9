// Nearest rows, projections, and the responses of patches.
#include <algorithm>

#include "check.hpp"

namespace checks {
namespace {

using linprobe::Metric;

double plain_key(Metric metric, const Table& rows, int64_t i, const Table& queries, int64_t q) {
  double total = 0, product = 0, one = 0, two = 0;
  for (int64_t d = 0; d < rows.D; ++d) {
    const double a = queries.x(q, d), b = rows.x(i, d);
    total += metric == Metric::l1 ? std::abs(a - b) : (a - b) * (a - b);
    product += a * b, one += a * a, two += b * b;
  }
  if (metric != Metric::cosine) return total;
  return one > 0 && two > 0 ? std::max(0.0, 1 - product / std::sqrt(one * two)) : 1.0;
}

// The k nearest of every query, by comparing with every row, or by bounds on sums of groups of columns (L1 of bytes).
void check_neighbors(const InstructionSet& set, Report& report, Random& random, Dtype dtype, Metric metric, int64_t n, int64_t D, bool bounded) {
  const int64_t asked = 9, k = std::min<int64_t>(4, n);
  report.context = std::string("nearest rows of ") + name_of(dtype) + ", " + std::to_string(n) + " x " + std::to_string(D) +
                   (metric == Metric::l1 ? ", L1" : metric == Metric::l2 ? ", L2" : ", cosine") + (bounded ? ", bounded" : "");
  const Table rows(random, dtype, n, D, {!bounded && D % 2 == 1, false, false}), queries(random, dtype, asked, D);
  std::vector<double> keys(asked * k);
  std::vector<int64_t> positions(asked * k);
  // the sums of a code of one group of columns a number: a lower bound of the L1 distance, once scaled by the size of a group
  const int64_t group = (D + linprobe::kSums - 1) / linprobe::kSums;
  const auto code = [&](const Table& table) {
    std::vector<uint8_t> sums(table.n * linprobe::kSums);
    for (int64_t i = 0; i < table.n; ++i)
      for (int64_t d = 0; d < D; d += group) {
        double total = 0;
        for (int64_t e = d; e < std::min(D, d + group); ++e) total += table.x(i, e);
        sums[i * linprobe::kSums + d / group] = static_cast<uint8_t>(total / static_cast<double>(group));
      }
    return sums;
  };
  const std::vector<uint8_t> sums = code(rows), query_sums = code(queries);
  linprobe::Neighbors job{};
  job.rows = rows.rows, job.queries = queries.rows, job.metric = metric, job.k = k, job.keys = keys.data(), job.positions = positions.data();
  job.threads = 2, job.interrupted = never;
  if (bounded) {
    job.sums = sums.data(), job.query_sums = query_sums.data();
    job.scale = 1.0 / static_cast<double>(group), job.margin = static_cast<double>(linprobe::kSums);  // each sum is cut by less than 1
  }
  report.expect(set.kernels.neighbors(job), "interrupted");
  for (int64_t q = 0; q < asked; ++q) {
    std::vector<std::pair<double, int64_t>> all;
    for (int64_t i = 0; i < n; ++i) all.emplace_back(plain_key(metric, rows, i, queries, q), i);
    std::sort(all.begin(), all.end());
    for (int64_t r = 0; r < k; ++r) {
      const double bound = dtype == Dtype::u8 ? 0 : 64 * kDouble * (1 + static_cast<double>(D));
      report.near(keys[q * k + r], all[r].first, bound, "a distance");
      if (dtype == Dtype::u8) report.expect(positions[q * k + r] == all[r].second, "another row was found");
    }
  }
}

// L2 of bytes with codes: coordinates along directions that are the columns themselves, so that the bounds are simple.
void check_codes(const InstructionSet& set, Report& report, Random& random, int64_t n, bool prefix) {
  const int64_t D = 100, asked = 11, k = 5, code = linprobe::kCode, head = prefix ? linprobe::kPrefix : code;
  report.context = "nearest rows by codes, " + std::to_string(n) + (prefix ? " with a prefix" : " without");
  const Table rows(random, Dtype::u8, n, D), queries(random, Dtype::u8, asked, D);
  const auto codes_of = [&](const Table& table) {
    std::vector<int16_t> codes(table.n * code);
    for (int64_t i = 0; i < table.n; ++i) {
      int16_t* to = codes.data() + i * code;
      double left_out = 0;
      for (int64_t d = 0; d < D; ++d) {
        const int64_t at = prefix && d >= head - 1 ? d + 1 : d;  // the last number of a prefix is the length of what it leaves out
        to[at] = static_cast<int16_t>(table.x(i, d));
        if (prefix && d >= head - 1) left_out += table.x(i, d) * table.x(i, d);
      }
      if (prefix) to[head - 1] = static_cast<int16_t>(std::sqrt(left_out));
    }
    return codes;
  };
  const std::vector<int16_t> codes = codes_of(rows), query_codes = codes_of(queries);
  const std::vector<uint8_t> beyond(asked, 0);
  std::vector<double> keys(asked * k);
  std::vector<int64_t> positions(asked * k);
  linprobe::Neighbors job{};
  job.rows = rows.rows, job.queries = queries.rows, job.metric = Metric::l2, job.k = k, job.codes = codes.data(), job.query_codes = query_codes.data();
  job.code = code, job.prefix = head, job.beyond = beyond.data(), job.scale = 1.0, job.margin_prefix = 4.0, job.margin = 4.0;
  job.keys = keys.data(), job.positions = positions.data(), job.threads = 2, job.interrupted = never;
  report.expect(set.kernels.neighbors(job), "interrupted");
  for (int64_t q = 0; q < asked; ++q) {
    std::vector<std::pair<double, int64_t>> all;
    for (int64_t i = 0; i < n; ++i) all.emplace_back(plain_key(Metric::l2, rows, i, queries, q), i);
    std::sort(all.begin(), all.end());
    for (int64_t r = 0; r < k; ++r) {
      report.near(keys[q * k + r], all[r].first, 0, "a distance");
      report.expect(positions[q * k + r] == all[r].second, "another row was found");
    }
  }
}

void check_projection(const InstructionSet& set, Report& report, Random& random, int64_t n, int64_t D, int64_t m, Layout layout) {
  report.context = "a projection of " + std::to_string(n) + " x " + std::to_string(D) + " on " + std::to_string(m);
  const Table table(random, Dtype::u8, n, D, layout);
  std::vector<int16_t> centre, basis;
  for (int64_t d = 0; d < D; ++d) centre.push_back(static_cast<int16_t>(random.below(256)));
  for (int64_t i = 0; i < m * D; ++i) basis.push_back(static_cast<int16_t>(random.below(2001) - 1000));
  std::vector<int32_t> out(n * m);
  std::vector<int64_t> squares(n);
  linprobe::Projection job{table.rows, centre.data(), basis.data(), m, out.data(), squares.data(), 2, never};
  report.expect(set.kernels.projection(job), "interrupted");
  for (int64_t i = 0; i < n; ++i) {
    double square = 0;
    for (int64_t d = 0; d < D; ++d) square += (table.raw[i * D + d] - centre[d]) * (table.raw[i * D + d] - centre[d]);
    report.near(static_cast<double>(squares[i]), square, 0, "a square");
    for (int64_t j = 0; j < m; ++j) {
      double total = 0;
      for (int64_t d = 0; d < D; ++d) total += (table.raw[i * D + d] - centre[d]) * basis[j * D + d];
      report.near(out[i * m + j], total, 0, "a coordinate");
    }
  }
}

struct Dictionary {
  int64_t height, width, channels, size, stride, filters;
};

// The response of a filter to the patch p, which is normalised and whitened.
double response(std::vector<double> p, const std::vector<float>& centre, const std::vector<float>& whiten, const float* filter) {
  const size_t d = p.size();
  double sum = 0, squares = 0, length = 0, product = 0;
  for (const double x : p) sum += x;
  for (double& x : p) x -= sum / static_cast<double>(d), squares += x * x;
  for (size_t e = 0; e < d; ++e) p[e] = p[e] / std::sqrt(squares / static_cast<double>(d) + 1.0) - static_cast<double>(centre[e]);
  for (size_t e = 0; e < d; ++e) {
    double z = 0;
    for (size_t f = 0; f < d; ++f) z += p[f] * static_cast<double>(whiten[f * d + e]);
    length += z * z;
    product += z * static_cast<double>(filter[e]);
  }
  return product / std::sqrt(length);
}

void check_patches(const InstructionSet& set, Report& report, Random& random, Dictionary of, bool maximum) {
  const int64_t d = of.size * of.size * of.channels, n = 3;
  report.context = "responses of " + std::to_string(of.filters) + " filters to patches of " + std::to_string(d) + (maximum ? ", maxima" : ", means");
  const Table table(random, Dtype::u8, n, of.height * of.width * of.channels);
  const int64_t across = (of.width - of.size) / of.stride + 1, down = (of.height - of.size) / of.stride + 1, places = across * down;
  std::vector<float> centre, whiten, filters;
  for (const double x : numbers(random, d, 0.1)) centre.push_back(static_cast<float>(x));
  for (const double x : numbers(random, d * d)) whiten.push_back(static_cast<float>(x));
  for (const double x : numbers(random, of.filters * d)) filters.push_back(static_cast<float>(x));
  std::vector<int64_t> ends, where;
  const int64_t regions = std::min<int64_t>(2, places);
  for (int64_t g = 0; g < regions; ++g) {
    for (int64_t p = places * g / regions; p < places * (g + 1) / regions; ++p) where.push_back(p);
    ends.push_back(static_cast<int64_t>(where.size()));
  }
  std::vector<float> out(n * regions * 2 * of.filters);
  linprobe::Patches job{};
  job.rows = table.rows, job.height = of.height, job.width = of.width, job.channels = of.channels, job.size = of.size, job.stride = of.stride;
  job.n_places = places, job.centre = centre.data(), job.whiten = whiten.data(), job.filters = filters.data(), job.n_filters = of.filters;
  job.epsilon = 1.0f, job.threshold = 0.1f, job.n_regions = regions, job.region_ends = ends.data(), job.places = where.data();
  job.maximum = maximum, job.out = out.data(), job.threads = 2, job.interrupted = never;
  report.expect(set.kernels.patches(job), "interrupted");
  auto patch = [&](int64_t i, int64_t place) {
    const int64_t top = place / across * of.stride, left = place % across * of.stride, line = of.size * of.channels;
    std::vector<double> p(d);
    for (int64_t e = 0; e < d; ++e) p[e] = table.x(i, ((top + e / line) * of.width + left) * of.channels + e % line);
    return p;
  };
  for (int64_t i = 0; i < n; ++i)
    for (int64_t g = 0, begin = 0; g < regions; begin = ends[g++])
      for (int64_t k = 0; k < of.filters; ++k) {
        double up = 0, low = 0;
        for (int64_t at = begin; at < ends[g]; ++at) {
          const double s = response(patch(i, where[at]), centre, whiten, filters.data() + k * d), more = std::max(0.0, s - 0.1), less = std::max(0.0, -s - 0.1);
          up = maximum ? std::max(up, more) : up + more / static_cast<double>(ends[g] - begin);
          low = maximum ? std::max(low, less) : low + less / static_cast<double>(ends[g] - begin);
        }
        const float* found = out.data() + (i * regions + g) * 2 * of.filters;
        const double bound = 512 * kSingle * static_cast<double>(d);
        report.near(static_cast<double>(found[k]), up, bound, "a response");
        report.near(static_cast<double>(found[of.filters + k]), low, bound, "a response of the other sign");
      }
}

}  // namespace

void check_search(const InstructionSet& set, Report& report) {
  Random random(3);
  for (const auto& [n, D] : {std::pair<int64_t, int64_t>{1, 1}, {33, 15}, {50, 67}, {40, 1100}}) {
    for (const Dtype dtype : kDtypes) check_neighbors(set, report, random, dtype, Metric::l2, n, D, false);
    for (const Dtype dtype : {Dtype::f16, Dtype::f32, Dtype::f64}) check_neighbors(set, report, random, dtype, Metric::cosine, n, D, false);
    check_neighbors(set, report, random, Dtype::u8, Metric::l1, n, D, false);
  }
  for (const int64_t n : {5, 130, 700}) {
    check_neighbors(set, report, random, Dtype::u8, Metric::l1, n, 512, true);
    check_codes(set, report, random, n, false);
    check_codes(set, report, random, n, true);
  }
  check_projection(set, report, random, 1, 1, 1, {});
  check_projection(set, report, random, 70, 33, 65, {});
  check_projection(set, report, random, 67, 600, 30, {true, true, false});
  for (const bool maximum : {false, true}) {
    check_patches(set, report, random, {7, 8, 3, 3, 1, 9}, maximum);
    check_patches(set, report, random, {6, 6, 1, 2, 2, 40}, maximum);
  }
}

}  // namespace checks
