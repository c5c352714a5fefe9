#include "pool.hpp"

#include <unistd.h>

#include <new>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace linprobe {

namespace {

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

void out_of_memory() { throw std::bad_alloc(); }

Barrier::Barrier(int members) : members_(members), arrived_(0), round_(0) {}

void Barrier::wait() {
  if (members_ == 1) return;
  const unsigned round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    round_.notify_all();
    return;
  }
  for (int spin = 0; spin < 4000; ++spin) {
    if (round_.load(std::memory_order_acquire) != round) return;
    relax();
  }
  while (round_.load(std::memory_order_acquire) == round) round_.wait(round, std::memory_order_acquire);
}

void Pool::run(int members, const std::function<void(int, int)>& work) {
  std::unique_lock<std::mutex> one_caller(callers_, std::try_to_lock);
  if (members <= 1 || !one_caller.owns_lock()) {
    work(0, 1);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    while (static_cast<int>(workers_.size()) < members - 1) {
      const int index = static_cast<int>(workers_.size()) + 1;
      try {
        workers_.emplace_back([this, index, seen = job_] { serve(index, seen); });
      } catch (const std::system_error&) {  // no memory for its stack, or too many threads
        out_of_memory();
      }
      workers_.back().detach();
    }
    thrown_ = nullptr;
    work_ = &work;
    members_ = members;
    ++job_;
  }
  wake_.notify_all();
  std::exception_ptr thrown;
  try {
    work(0, members);
  } catch (...) {
    thrown = std::current_exception();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  work_ = nullptr;
  done_.wait(lock, [this] { return busy_ == 0; });
  if (thrown == nullptr) thrown = thrown_;
  thrown_ = nullptr;
  lock.unlock();
  if (thrown != nullptr) std::rethrow_exception(thrown);
}

void Pool::serve(int index, unsigned long seen) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return job_ != seen; });
    seen = job_;
    if (work_ == nullptr || index >= members_) continue;
    ++busy_;
    const auto* work = work_;
    const int members = members_;
    lock.unlock();
    std::exception_ptr thrown;
    try {
      (*work)(index, members);
    } catch (...) {
      thrown = std::current_exception();
    }
    lock.lock();
    if (thrown != nullptr && thrown_ == nullptr) thrown_ = thrown;
    if (--busy_ == 0) done_.notify_one();
  }
}

Pool& pool() {
  static std::atomic<Pool*> instance{nullptr};
  static std::atomic<pid_t> owner{0};
  if (owner.load() != getpid()) {  // the first call, or a forked child: it has the object but not its threads
    static std::atomic_flag making = ATOMIC_FLAG_INIT;
    while (making.test_and_set()) relax();
    if (owner.load() != getpid()) {
      instance.store(new Pool);
      owner.store(getpid());
    }
    making.clear();
  }
  return *instance.load();
}

}  // namespace linprobe
