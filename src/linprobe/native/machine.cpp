#include "machine.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "bfloat.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#endif

namespace linprobe {
namespace {

#if defined(__x86_64__)
bool has_avx2() {
  __builtin_cpu_init();
  unsigned a, b, c, d;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 29 & 1u) != 0;  // Clang's __builtin_cpu_supports may not know it
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

bool has_avx512_bf16() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1u) != 0;
}

// Whether the processor multiplies bfloat16 by AMX and the system lets this process use it. The permission is requested
// once, for all threads.
bool amx_permitted() {
#if defined(__linux__)
  unsigned a, b, c, d;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d >> 22 & 1u) == 0 || (d >> 24 & 1u) == 0) return false;  // amx_bf16, amx_tile
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM of asm/prctl.h, and XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#elif defined(__aarch64__)
bool has_dot_products() {
#if defined(__linux__)
  constexpr unsigned long kDotProducts = 1ul << 20;  // HWCAP_ASIMDDP of asm/hwcap.h
  return (getauxval(AT_HWCAP) & kDotProducts) != 0;
#elif defined(__APPLE__)
  return true;  // every Apple processor of a Mac has them
#else
  return false;
#endif
}
#endif

// The functions that return the kernels of a set are compiled for it too: call them only if the processor has it.
InstructionSet set_of(const char* name, bool here, Kernels (*kernels)(), DualKernels (*dual)(), CurvedKernels (*curved)(),
                      HessianKernels (*hessian)()) {
  if (!here) return {name, false, {}, {}, {}, {}};
  return {name, true, kernels(), dual(), curved(), hessian()};
}

std::string environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

// Products in bfloat16: by AMX if the processor has it, else none. LINPROBE_BFLOAT16 names others. AVX-512 BF16 is used
// only on request: on a processor with both, its instructions take twice as long as those of float32, so nothing is
// gained. Throws std::invalid_argument if what is named is not available.
const BfloatKernels* chosen_bfloat() {
  const std::string wish = environment("LINPROBE_BFLOAT16");
  if (!wish.empty() && wish != "off" && wish != "plain" && wish != "avx512" && wish != "amx")
    throw std::invalid_argument("LINPROBE_BFLOAT16 must be off, plain, avx512 or amx, not '" + wish + "'");
  static BfloatKernels kernels;
  if (wish == "off") return nullptr;
  if (wish == "plain") return &(kernels = bfloat_plain());
#if defined(__x86_64__)
  const bool avx512 = std::string(instruction_set().name) == "avx512" && has_avx512_bf16();
  if (avx512 && wish == "avx512") return &(kernels = bfloat_avx512());
  if (avx512 && wish != "avx512" && amx_permitted()) return &(kernels = bfloat_amx());
#endif
  if (!wish.empty())
    throw std::invalid_argument("LINPROBE_BFLOAT16 is '" + wish + "', which this processor lacks, or the instruction set " +
                                instruction_set().name + " goes without. Name off or plain, or unset the variable");
  return nullptr;
}

}  // namespace

const std::vector<InstructionSet>& instruction_sets() {
  static const std::vector<InstructionSet> all = {
      set_of("plain", true, kernels_plain, dual_plain, curved_plain, hessian_plain),
#if defined(__x86_64__)
      set_of("avx2", has_avx2(), kernels_avx2, dual_avx2, curved_avx2, hessian_plain),
      set_of("avx512", has_avx512(), kernels_avx512, dual_avx512, curved_avx512, hessian_avx512),
#elif defined(__aarch64__)
      // without dot products `plain` does, whose vectors are NEON's
      set_of("neon", has_dot_products(), kernels_neon, dual_plain, curved_plain, hessian_plain),
#endif
  };
  return all;
}

const InstructionSet& choose(const std::vector<InstructionSet>& sets, const std::string& wish) {
  const InstructionSet* best = nullptr;
  const InstructionSet* named = nullptr;
  std::string compiled, here;
  for (const auto& set : sets) {
    compiled += std::string(compiled.empty() ? "" : ", ") + set.name;
    if (set.here) here += std::string(here.empty() ? "" : ", ") + set.name;
    if (set.here) best = &set;
    if (wish == set.name) named = &set;
  }
  if (wish.empty()) return *best;
  if (named == nullptr)
    throw std::invalid_argument("LINPROBE_INSTRUCTION_SET is '" + wish + "'; this build of linprobe has: " + compiled +
                                ". Name one of these, or unset the variable to take the best");
  if (!named->here)
    throw std::invalid_argument("LINPROBE_INSTRUCTION_SET is '" + wish + "', which this processor lacks; it has: " + here +
                                ". Name one of these, or unset the variable to take the best");
  return *named;
}

const InstructionSet& instruction_set() {
  static const InstructionSet& set = choose(instruction_sets(), environment("LINPROBE_INSTRUCTION_SET"));
  return set;
}

const BfloatKernels* bfloat() {
  static const BfloatKernels* const kernels = chosen_bfloat();
  return kernels;
}

Blas& blas() {
  static Blas instance{};
  return instance;
}

}  // namespace linprobe
