// A thread pool that lives as long as the process, and a barrier for its members.
//
// Not OpenMP: a child forked after an OpenMP region hangs in its next one, and starting threads for each call costs
// more than a mini-batch. After a fork the child makes its own pool (see pool()). The bodies are in pool.cpp, compiled
// for every processor: the linker could take an inline one from a file compiled for AVX-512.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace linprobe {

// Throws std::bad_alloc, which Python sees as MemoryError.
[[noreturn]] void out_of_memory();

// Spins briefly, then sleeps: on free cores a wait takes less than a microsecond, and on busy ones no time is wasted.
class Barrier {
 public:
  explicit Barrier(int members);
  void wait();

 private:
  const int members_;
  std::atomic<int> arrived_;
  std::atomic<unsigned> round_;
};

class Pool {
 public:
  // Calls work(member, members) for each member, member 0 on the calling thread. A member that has not begun when
  // member 0 ends is skipped, so that on a busy machine nobody waits for a thread without work. Therefore members take
  // work from a shared counter, or member 0 waits for the others at a Barrier. If the pool is busy for another thread,
  // all work runs on the calling thread: results do not depend on the number of members. An exception of a member is
  // thrown again here once all have ended. Nobody may wait for a member that threw: memory is allocated before a member
  // takes work that others wait for.
  void run(int members, const std::function<void(int, int)>& work);

 private:
  void serve(int index, unsigned long seen);

  std::mutex callers_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  const std::function<void(int, int)>* work_ = nullptr;
  int members_ = 0, busy_ = 0;
  std::exception_ptr thrown_;  // by a worker, in this job
  unsigned long job_ = 0;
};

// The pool of this process; never destroyed, since its threads may outlive main().
Pool& pool();

}  // namespace linprobe
