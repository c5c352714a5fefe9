// The SGD loop. Included by kernels_impl.hpp.
#pragma once

constexpr int64_t kSlice = 512;     // columns of a slice of the SGD loop, approximately
constexpr int64_t kSubBatch = 256;  // rows of a mini-batch that a slice keeps converted

template <class T>
inline T soft(T w, T threshold) { return w > threshold ? w - threshold : (w < -threshold ? w + threshold : T(0)); }

// lowbias32 by Chris Wellons: a permutation of the numbers of 32 bits, as in engines/dropout.py.
inline uint32_t mixed(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

// One update of n weights by the batch gradient G; m, v and average may be null. Formulas: optimizers/updates.py.
template <class T>
void update_weights(const Epoch& job, T rate, T first_correction, T second_correction, T l2, T l1, T share, int64_t n,
                    const T* __restrict gradient, T* __restrict w, T* __restrict m, T* __restrict v,
                    T* __restrict average) {
  const T mu = static_cast<T>(job.momentum), rho = static_cast<T>(job.rho), beta1 = static_cast<T>(job.beta1),
          beta2 = static_cast<T>(job.beta2), epsilon = static_cast<T>(job.epsilon);
  const T two_l2 = 2 * l2;
  switch (job.update) {
    case Update::plain:
      for (int64_t i = 0; i < n; ++i) w[i] = soft(w[i] - rate * (gradient[i] + two_l2 * w[i]), rate * l1);
      break;
    case Update::momentum:
      for (int64_t i = 0; i < n; ++i) {
        m[i] = mu * m[i] + (gradient[i] + two_l2 * w[i]);
        w[i] = soft(w[i] - rate * m[i], rate * l1);
      }
      break;
    case Update::nesterov:
      for (int64_t i = 0; i < n; ++i) {
        const T g = gradient[i] + two_l2 * w[i];
        m[i] = mu * m[i] + g;
        w[i] = soft(w[i] - rate * (g + mu * m[i]), rate * l1);
      }
      break;
    case Update::adagrad:
      for (int64_t i = 0; i < n; ++i) {
        const T g = gradient[i] + two_l2 * w[i];
        v[i] += g * g;
        const T s = rate / (std::sqrt(v[i]) + epsilon);
        w[i] = soft(w[i] - s * g, s * l1);
      }
      break;
    case Update::rmsprop:
      for (int64_t i = 0; i < n; ++i) {
        const T g = gradient[i] + two_l2 * w[i];
        v[i] = rho * v[i] + (1 - rho) * g * g;
        const T s = rate / (std::sqrt(v[i]) + epsilon);
        w[i] = soft(w[i] - s * g, s * l1);
      }
      break;
    case Update::adam:
      for (int64_t i = 0; i < n; ++i) {
        const T g = gradient[i] + two_l2 * w[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const T s = rate / (std::sqrt(v[i] / second_correction) + epsilon);
        w[i] = soft(w[i] - s * (m[i] / first_correction), s * l1);
      }
      break;
  }
  if (average != nullptr)
    for (int64_t i = 0; i < n; ++i) average[i] += (w[i] - average[i]) * share;
}

// The buffers of one member of the pool for a batch.
template <class T>
struct MemberScratch {
  Buffer<T> X, G, dS, total;
  Buffer<const T*> row;
  LossOfBlock loss;
  // Every member updates its own copy of the bias; member 0 writes the caller's arrays at the end.
  Buffer<T> b, b_m, b_v, b_avg, db;
  MemberScratch(const Epoch& job, int64_t M, int64_t kept_rows, int64_t n_slices, int64_t widest)
      : X(n_slices * kept_rows * widest), G(job.K * widest), dS(M * job.K), total(kept_rows * job.K * Vector<T>::size),
        row(kept_rows), loss(job.loss, job.delta, job.K), b(job.K), b_m(job.K), b_v(job.K), b_avg(job.K), db(job.K) {}
};

// A padded copy of an array (K, D) or (K) of the caller, written back at the end.
template <class T>
struct Padded {
  T* const outer_array;
  const int64_t K, D, ld;
  Buffer<T> buffer;
  Padded(void* array, int64_t K_, int64_t D_)
      : outer_array(static_cast<T*>(array)), K(K_), D(D_), ld(padded(D_)), buffer(array != nullptr ? K_ * padded(D_) : 0) {
    if (outer_array != nullptr)
      for (int64_t k = 0; k < K; ++k) std::memcpy(buffer + k * ld, outer_array + k * D, D * sizeof(T));
  }
  ~Padded() {
    if (outer_array != nullptr)
      for (int64_t k = 0; k < K; ++k) std::memcpy(outer_array + k * D, buffer + k * ld, D * sizeof(T));
  }
  T* at(int64_t k, int64_t d) { return outer_array != nullptr ? buffer + k * ld + d : nullptr; }
};

// The SGD loop. The D columns are cut into slices, fixed by D alone; a member owns whole slices of W and of the rows, so
// that they stay in its cache. Each batch: (A) a member computes the partial scores of its slices; (B) after one
// barrier every member adds all partial scores in their order, computes the loss of the whole batch, and updates its
// slices. Partial scores have two buffers, used alternately, so that (A) of the next batch needs no second barrier.
template <class T>
class SgdLoop {
 public:
  explicit SgdLoop(Epoch& job_)
      : job(job_), n(job.rows.n), D(job.rows.D), K(job.K), M(std::min(job.batch, n)), n_batches((n + M - 1) / M),
        n_slices(std::max<int64_t>(1, D / kSlice)), ld(padded(D)), mapped(job.rows.scale != nullptr), scale(ld), shift(ld), W(job.W, K, D),
        W_m(job.W_m, K, D), W_v(job.W_v, K, D), W_avg(job.W_avg, K, D), parts(2 * n_slices * M * K) {
    if (mapped)
      for (int64_t d = 0; d < D; ++d) scale[d] = static_cast<T>(job.rows.scale[d]), shift[d] = static_cast<T>(job.rows.shift[d]);
  }

  // False: interrupted.
  bool run() {
    const int members_wanted = static_cast<int>(std::min<int64_t>(job.threads, n_slices));
    alignas(64) char barrier_memory[sizeof(Barrier)];
    std::atomic<Barrier*> shared_barrier{nullptr};
    pool().run(members_wanted, [&](int member, int members) {
      if (member == 0) shared_barrier.store(new (barrier_memory) Barrier(members), std::memory_order_release);
      Barrier* meet;
      while ((meet = shared_barrier.load(std::memory_order_acquire)) == nullptr) {}
      serve(member, members, *meet);
    });
    if (short_of_memory) out_of_memory();
    return finished;
  }

 private:
  // The slices of a member, and the columns of the widest, padded.
  struct Share {
    int64_t begin, end, widest;
  };
  struct BatchLoss {
    double loss, weight;
  };

  int64_t slice_start(int64_t s) const { return s == n_slices ? D : s * (D / n_slices) / kLanes * kLanes; }

  void serve(int member, int members, Barrier& meet) {
    Share share{n_slices * member / members, n_slices * (member + 1) / members, 0};
    for (int64_t s = share.begin; s < share.end; ++s) share.widest = std::max(share.widest, padded(slice_start(s + 1) - slice_start(s)));
    std::unique_ptr<MemberScratch<T>> scratch;
    try {
      scratch = std::make_unique<MemberScratch<T>>(job, M, std::min(M, kSubBatch), share.end - share.begin, share.widest);
    } catch (const std::bad_alloc&) {
      short_of_memory = true;
    }
    meet.wait();  // all have allocated their memory before any begins: each waits for the others after every batch
    if (short_of_memory) return;
    auto& of = *scratch;
    auto fetch = [&](Buffer<T>& to, void* from) { if (from != nullptr) std::memcpy(to.data, from, K * sizeof(T)); };
    fetch(of.b, job.b); fetch(of.b_m, job.b_m); fetch(of.b_v, job.b_v); fetch(of.b_avg, job.b_avg);
    batches(member, share, of, meet);
    if (member != 0) return;
    auto give = [&](const Buffer<T>& from, void* to) { if (to != nullptr) std::memcpy(to, from.data, K * sizeof(T)); };
    give(of.b, job.b); give(of.b_m, job.b_m); give(of.b_v, job.b_v); give(of.b_avg, job.b_avg);
  }

  void batches(int member, const Share& share, MemberScratch<T>& of, Barrier& meet) {
    double loss_sum = 0, weight_sum = 0;
    auto asked = std::chrono::steady_clock::now();
    bool ended_early = false;
    for (int64_t t = 0; t < n_batches; ++t) {
      const int64_t first = t * M, rows = std::min(M, n - first);
      T* part = parts + (t & 1) * n_slices * M * K;
      partial_scores(share, of, first, rows, part);
      if (member == 0) {
        const auto now = std::chrono::steady_clock::now();
        bool asks = now - asked > std::chrono::milliseconds(50);
        if (asks) asked = now;
        stop[t & 1] = asks && job.interrupted();
      }
      meet.wait();
      if (stop[t & 1]) { ended_early = true; break; }
      const auto [batch_loss, batch_weight] = slopes(of, first, rows, part);
      loss_sum += batch_loss;
      weight_sum += batch_weight;
      if (!std::isfinite(batch_loss)) break;
      update(share, of, t, first, rows);
    }
    if (member != 0) return;
    job.loss_sum = loss_sum;
    job.weight_sum = weight_sum;
    finished = !ended_early;
  }

  // `count` rows from `first` on, `width` columns from `column` on, mapped and masked, into x. Without a map the shift
  // is 0.
  void copy_slice(int64_t first, int64_t count, int64_t column, int64_t width, T* x, int64_t widest) const {
    copy_rows<T>(job.rows, mapped ? scale.data : nullptr, shift.data, first, count, column, width, x, widest);
    if (job.keys != nullptr)
      for (int64_t r = 0; r < count; ++r) drop(job.keys[first + r], column, width, x + r * widest);
  }
  // Dropout: kept inputs times a factor, the others 0. The plain form is engines/dropout.py.
  void drop(uint64_t key, int64_t column, int64_t width, T* x) const {
    const uint32_t low = static_cast<uint32_t>(key), high = static_cast<uint32_t>(key >> 32), below = job.kept_below;
    const T factor = static_cast<T>(job.kept_factor);
    for (int64_t d = 0; d < width; ++d) {
      const uint32_t number = static_cast<uint32_t>(column + d) * 0x9E3779B9u;
      x[d] = mixed(mixed(number + low) ^ high) < below ? x[d] * factor : T(0);
    }
  }
  T* rows_of_slice(const Share& share, MemberScratch<T>& of, int64_t s) const {
    return of.X + (s - share.begin) * std::min(M, kSubBatch) * share.widest;
  }

  // part[(s * M + r) * K + k]: the partial scores of slice s for the rows of a batch.
  void partial_scores(const Share& share, MemberScratch<T>& of, int64_t first, int64_t rows, T* part) {
    for (int64_t s = share.begin; s < share.end; ++s) {
      const int64_t column = slice_start(s), width = slice_start(s + 1) - column, wide = padded(width);
      T* x = rows_of_slice(share, of, s);
      for (int64_t sub = 0; sub < rows; sub += kSubBatch) {
        const int64_t count = std::min(kSubBatch, rows - sub);
        copy_slice(first + sub, count, column, width, x, share.widest);
        for (int64_t r = 0; r < count; ++r) of.row[r] = x + r * share.widest;
        dot_slice<T, T>(of.row, nullptr, count, W.at(0, column), ld, K, wide, of.total, true);
        for (int64_t i = 0; i < count * K; ++i) part[(s * M + sub) * K + i] = sum<T>(load(of.total + i * Vector<T>::size));
      }
    }
  }

  // dS (rows, K) of a batch from its partial scores; returns its loss and weight.
  BatchLoss slopes(MemberScratch<T>& of, int64_t first, int64_t rows, const T* part) {
    LossOfBlock& loss = of.loss;
    double batch_loss = 0, batch_weight = 0;
    for (int64_t sub = 0; sub < rows; sub += kBlock) {
      const int64_t count = std::min(kBlock, rows - sub);
      for (int64_t r = 0; r < count; ++r)
        for (int64_t k = 0; k < K; ++k) {
          double score = of.b[k];
          for (int64_t s = 0; s < n_slices; ++s) score += part[(s * M + sub + r) * K + k];
          loss.S[k * kBlock + r] = score;
        }
      loss.run(job.y + first + sub, count);
      for (int64_t r = 0; r < count; ++r) {
        const double weight = job.weight != nullptr ? job.weight[first + sub + r] : 1.0;
        batch_loss += weight * loss.loss[r];
        batch_weight += weight;
        for (int64_t k = 0; k < K; ++k)
          of.dS[(sub + r) * K + k] = static_cast<T>(weight * loss.dS[k * kBlock + r] / static_cast<double>(rows));
      }
    }
    return {batch_loss, batch_weight};
  }

  // The slices of W that the member owns, and its own b, by the slopes of batch t.
  void update(const Share& share, MemberScratch<T>& of, int64_t t, int64_t first, int64_t rows) {
    const double count = static_cast<double>(job.step + t + 1);
    const T rate = static_cast<T>(job.rates[t]);
    const T first_correction = static_cast<T>(1 - std::pow(job.beta1, count));
    const T second_correction = static_cast<T>(1 - std::pow(job.beta2, count));
    const T part_of_average = static_cast<T>(1.0 / static_cast<double>(job.averaged + t + 1));
    const int64_t widest = share.widest;
    for (int64_t s = share.begin; s < share.end; ++s) {
      const int64_t column = slice_start(s), width = slice_start(s + 1) - column, wide = padded(width);
      T* x = rows_of_slice(share, of, s);
      for (int64_t sub = 0; sub < rows; sub += kSubBatch) {
        const int64_t some = std::min(kSubBatch, rows - sub);
        if (rows > kSubBatch) copy_slice(first + sub, some, column, width, x, widest);
        if (sub == 0) outer<T, false>(x, widest, some, wide, of.dS, K, of.G, widest);
        else outer<T, true>(x, widest, some, wide, of.dS + sub * K, K, of.G, widest);
      }
      for (int64_t k = 0; k < K; ++k)
        update_weights<T>(job, rate, first_correction, second_correction, static_cast<T>(job.l2),
                          static_cast<T>(job.l1), part_of_average, width, of.G + k * widest, W.at(k, column), W_m.at(k, column),
                          W_v.at(k, column), job.averaged >= 0 ? W_avg.at(k, column) : nullptr);
    }
    for (int64_t k = 0; k < K; ++k) {
      T total = 0;
      for (int64_t r = 0; r < rows; ++r) total += of.dS[r * K + k];
      of.db[k] = total;
    }
    update_weights<T>(job, static_cast<T>(job.rates[t] * job.bias_rate), first_correction, second_correction, T(0),
                      T(0), part_of_average, K, of.db, of.b, of.b_m, of.b_v, job.averaged >= 0 ? of.b_avg.data : nullptr);
  }

  Epoch& job;
  const int64_t n, D, K, M, n_batches, n_slices, ld;
  const bool mapped;
  Buffer<T> scale, shift;
  Padded<T> W, W_m, W_v, W_avg;
  Buffer<T> parts;
  std::atomic<bool> stop[2] = {false, false}, short_of_memory{false};
  bool finished = true;
};
