// Every kernel of every instruction set that this processor has, against plain float64 loops. No Python: `make cross` runs
// this program for aarch64 under an emulator. Ends with 0 if all holds. With the argument `choice` it stops after it has said
// which instruction set is taken here.
//
// A tolerance is a multiple of the spacing of the numbers that a kernel sums in, times the sum of the sizes of what is added.
#include <exception>

#include "check.hpp"

namespace {

// The products of a BLAS as Fortran has them: C = alpha op(A) op(B) + beta C, column by column.
template <class T>
void gemm(char* a_form, char* b_form, int* m, int* n, int* k, T* alpha, T* A, int* lda, T* B, int* ldb, T* beta, T* C, int* ldc) {
  for (int64_t j = 0; j < *n; ++j)
    for (int64_t i = 0; i < *m; ++i) {
      T total = 0;
      for (int64_t p = 0; p < *k; ++p)
        total += (*a_form == 'N' ? A[i + p * *lda] : A[p + i * *lda]) * (*b_form == 'N' ? B[p + j * *ldb] : B[j + p * *ldb]);
      T& to = C[i + j * *ldc];
      to = *alpha * total + (*beta == 0 ? T(0) : *beta * to);
    }
}

int run(bool choice_alone) {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // an emulator takes a minute: what failed is seen at once
  linprobe::blas() = {gemm<float>, gemm<double>};
  checks::Report choice{"the choice of an instruction set", ""};
  checks::check_choice(choice);
  std::printf("the choice of an instruction set: %lld cases, %lld failed\n", static_cast<long long>(choice.compared),
              static_cast<long long>(choice.failed));
  std::printf("chosen here: %s\n", linprobe::instruction_set().name);
  int64_t failed = choice.failed;
  if (choice_alone) return failed == 0 ? 0 : 1;
  for (const auto& set : linprobe::instruction_sets()) {
    if (!set.here) {
      std::printf("%s: this processor lacks it; not checked\n", set.name);
      continue;
    }
    checks::Report report{set.name, ""};
    checks::check_passes(set, report);
    checks::check_moments(set, report);
    checks::check_search(set, report);
    checks::check_solvers(set, report);
    checks::check_bfloat(set, report);
    std::printf("%s: %lld numbers compared, %lld failed\n", set.name, static_cast<long long>(report.compared),
                static_cast<long long>(report.failed));
    failed += report.failed;
  }
  std::printf("%s\n", failed == 0 ? "all kernels agree with their plain loops" : "some kernels DISAGREE with their plain loops");
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(count > 1 && std::string(arguments[1]) == "choice");
  } catch (const std::exception& error) {
    std::printf("error: %s\n", error.what());
    return 2;
  }
}
