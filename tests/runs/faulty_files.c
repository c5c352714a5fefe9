/* Operations on files that go wrong as a test wants: load it with LD_PRELOAD, and call faults_begin from Python.

   It counts the operations on files below a folder. At the operation `last` it sends the process a signal, or renames a
   folder away; or that operation and all later ones fail. It sees the calls of Python and of every library, but not
   those inside of the C library: fread and fwrite. Descriptors 0, 1 and 2 are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { READS = 1, WRITES = 2, REMOVES = 4, CHANGES_NAMES = 8 }; /* the last: what a read-only folder refuses */

static char folder[PATH_MAX], victim[PATH_MAX];
static int counted, failing_with, sending;
static long last;
static atomic_long met;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Count operations of the kinds in `mask` below `at`. At number `at_last` (0: never) send `signal_`, or rename `vanishing`
   to its name and ".gone", or from then on fail with the error `code`. */
void faults_begin(const char *at, int mask, long at_last, int signal_, const char *vanishing, int code) {
  snprintf(folder, sizeof folder, "%s", at);
  snprintf(victim, sizeof victim, "%s", vanishing);
  sending = signal_, failing_with = code, last = at_last;
  atomic_store(&met, 0);
  counted = mask;
}

long faults_met(void) { return atomic_load(&met); }

/* Whether the operation fails: -1, with errno set. */
static int spoilt(const char *path, int kind) {
  if (!(counted & kind) || strncmp(path, folder, strlen(folder)) != 0) return 0;
  long number = atomic_fetch_add(&met, 1) + 1;
  if (last == 0 || number < last) return 0;
  if (number == last && sending) kill(getpid(), sending);
  if (number == last && victim[0]) {
    char gone[PATH_MAX + 8];
    snprintf(gone, sizeof gone, "%s.gone", victim);
    REAL(rename)(victim, gone);
  }
  if (!failing_with) return 0;
  errno = failing_with;
  return -1;
}

static int spoilt_descriptor(int descriptor, int kind) {
  char link[64], path[PATH_MAX];
  if (!(counted & kind) || descriptor <= 2) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return spoilt(path, kind);
}

static int spoilt_at(int descriptor, const char *path, int kind) {
  if (path[0] == '/' || descriptor == AT_FDCWD) return spoilt(path, kind);
  return spoilt_descriptor(descriptor, kind);
}

static int kind_of(int flags) {
  return (flags & (O_ACCMODE | O_CREAT)) == O_RDONLY ? READS : WRITES | CHANGES_NAMES;
}

#define OPEN(name)                                            \
  int name(const char *path, int flags, ...) {                \
    va_list more;                                             \
    va_start(more, flags);                                    \
    mode_t mode = va_arg(more, mode_t);                       \
    va_end(more);                                             \
    if (spoilt(path, kind_of(flags))) return -1;              \
    return REAL(name)(path, flags, mode);                     \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                          \
  int name(int at, const char *path, int flags, ...) {        \
    va_list more;                                             \
    va_start(more, flags);                                    \
    mode_t mode = va_arg(more, mode_t);                       \
    va_end(more);                                             \
    if (spoilt_at(at, path, kind_of(flags))) return -1;       \
    return REAL(name)(at, path, flags, mode);                 \
  }
OPENAT(openat)
OPENAT(openat64)

#define WRAP(result, name, kind, check, parameters, arguments) \
  result name parameters {                                     \
    if (check) return (result)-1;                              \
    return REAL(name) arguments;                               \
  }
#define BY_DESCRIPTOR(result, name, kind, parameters, arguments) \
  WRAP(result, name, kind, spoilt_descriptor(file, kind), parameters, arguments)
#define BY_PATH(name, kind, parameters, arguments) \
  WRAP(int, name, kind, spoilt(path, kind), parameters, arguments)
#define BY_BOTH(name, kind, parameters, arguments) \
  WRAP(int, name, kind, spoilt_at(at, path, kind), parameters, arguments)

BY_DESCRIPTOR(ssize_t, read, READS, (int file, void *to, size_t size), (file, to, size))
BY_DESCRIPTOR(ssize_t, pread64, READS, (int file, void *to, size_t size, off64_t at), (file, to, size, at))
BY_DESCRIPTOR(ssize_t, write, WRITES, (int file, const void *from, size_t size), (file, from, size))
BY_DESCRIPTOR(int, fsync, WRITES, (int file), (file))
BY_DESCRIPTOR(int, ftruncate64, WRITES, (int file, off64_t size), (file, size))
BY_PATH(mkdir, WRITES | CHANGES_NAMES, (const char *path, mode_t mode), (path, mode))
BY_PATH(rename, WRITES | CHANGES_NAMES, (const char *path, const char *to), (path, to))
BY_PATH(unlink, REMOVES | CHANGES_NAMES, (const char *path), (path))
BY_PATH(rmdir, REMOVES | CHANGES_NAMES, (const char *path), (path))
BY_BOTH(unlinkat, REMOVES | CHANGES_NAMES, (int at, const char *path, int flags), (at, path, flags))

/* It returns the error, and leaves errno as it is. */
int posix_fallocate64(int file, off64_t start, off64_t size) {
  if (spoilt_descriptor(file, WRITES)) return errno;
  return REAL(posix_fallocate64)(file, start, size);
}

/* The first path may be a link to a file without a name: the second is the one that counts. */
int linkat(int from_at, const char *from, int at, const char *path, int flags) {
  if (spoilt_at(at, path, WRITES | CHANGES_NAMES)) return -1;
  return REAL(linkat)(from_at, from, at, path, flags);
}
