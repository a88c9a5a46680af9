/* Preloaded into the program: a disk whose writes to files end half-way.
 *
 * WRITES_FAIL=7:28 has the 7th of them end half-way; the 8th and all that follow fail with errno 28, as a disk
 * that is full stays so. Without it every write ends half-way, and before it one is interrupted by a signal.
 * Halves of what is longer than a page are whole pages, as files that bypass the page cache need. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long half_at, error;
static atomic_long calls;

__attribute__((constructor)) static void begin(void) {
    const char *fail = getenv("WRITES_FAIL");
    if (fail) sscanf(fail, "%ld:%ld", &half_at, &error);
}

/* How many bytes of a write are let through; below 0, it failed. */
static ssize_t let(int file, size_t len) {
    struct stat stat;
    if (fstat(file, &stat) || !S_ISREG(stat.st_mode)) return len;
    size_t half = len > 8192 ? len / 8192 * 4096 : (len + 1) / 2;
    long call = ++calls;
    if (!error) {
        if (call % 2) return half;
        errno = EINTR;
        return -1;
    }
    if (call < half_at) return len;
    if (call == half_at && len > 1) return half;
    errno = error;
    return -1;
}

ssize_t write(int file, const void *bytes, size_t len) {
    ssize_t some = let(file, len);
    return some < 0 ? some : syscall(SYS_write, file, bytes, some);
}

ssize_t pwrite64(int file, const void *bytes, size_t len, off_t at) {
    ssize_t some = let(file, len);
    return some < 0 ? some : syscall(SYS_pwrite64, file, bytes, some, at);
}
