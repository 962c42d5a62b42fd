/* A disk that fails: preloaded, it stands between a process and the files whose path has FAULTS_FILES in it.

   It fails the calls that the plan in the file FAULTS_PLAN names, and notes in the folder FAULTS_UNDO what the disk has
   of each file in place of what was written since the last sync that succeeded: `disk.py` puts that back to play a power
   loss. What a failed sync was to write is not written by a later one, unless it is written anew, as on Linux.

   A plan is `CALL SUFFIX N`: of the calls CALL (sync or write) on files whose path ends in SUFFIX, the Nth fails with
   EIO, and then the plan's file is removed; `CALL SUFFIX /N` fails every Nth, for good.

   Each sync takes FAULTS_SYNC_MS milliseconds longer. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define SECTORS_MAX (1 << 20)
#define DIRTY 1
#define LOST 2

/* What the disk has of one file. Beside it lies a file with the old contents of the sectors, each at its own place. */
struct undo {
    long long synced_size;
    long long sectors; /* Those behind are as they were. */
    unsigned char state[SECTORS_MAX];
};

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_unlink)(const char *);
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *files, *plan, *folder;
static long sync_ms;

/* Also called by a fork, after it has changed its environment. */
__attribute__((constructor)) void prepare(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    files = getenv("FAULTS_FILES");
    plan = getenv("FAULTS_PLAN");
    folder = getenv("FAULTS_UNDO");
    const char *slow = getenv("FAULTS_SYNC_MS");
    sync_ms = slow ? atol(slow) : 0;
}

static int is_watched(int file, char *path) {
    char link[64];
    if (!files) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, 4095);
    if (length <= 0) return 0;
    path[length] = 0;
    return strstr(path, files) != NULL && !strstr(path, "-shm");
}

static int is_to_fail(const char *call, const char *path) {
    static long count = 0;
    char text[256] = {0}, of[16], suffix[128], nth[32];
    if (!plan) return 0;
    int file = open(plan, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        count = 0;
        return 0;
    }
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0 || sscanf(text, "%15s %127s %31s", of, suffix, nth) != 3 || strcmp(call, of)) return 0;
    size_t all = strlen(path), end = strlen(suffix);
    if (end > all || strcmp(path + all - end, suffix)) return 0;
    count++;
    if (nth[0] == '/') return count % atol(nth + 1) == 0;
    if (count != atol(nth)) return 0;
    count = 0;
    real_unlink(plan);
    return 1;
}

/* The notes on `file`, and in `old` a descriptor of the old contents; NULL where none are kept. */
static struct undo *notes_on(int file, const char *path, int *old) {
    struct stat found;
    char name[4400];
    if (!folder || fstat(file, &found) || !S_ISREG(found.st_mode)) return NULL;
    snprintf(name, sizeof name, "%s/%llu.old", folder, (unsigned long long)found.st_ino);
    *old = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    snprintf(name, sizeof name, "%s/%llu.undo", folder, (unsigned long long)found.st_ino);
    int file_of_notes = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int is_new = lseek(file_of_notes, 0, SEEK_END) == 0;
    if (is_new && real_ftruncate(file_of_notes, sizeof(struct undo))) abort();
    struct undo *notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED, file_of_notes, 0);
    close(file_of_notes);
    if (notes == MAP_FAILED || *old < 0) abort();
    if (is_new) {
        notes->synced_size = found.st_size;
        snprintf(name, sizeof name, "%s/%llu.path", folder, (unsigned long long)found.st_ino);
        FILE *paths = fopen(name, "we");
        if (!paths) abort();
        fputs(path, paths);
        fclose(paths);
    }
    return notes;
}

static void release(struct undo *notes, int old) {
    munmap(notes, sizeof *notes);
    close(old);
}

/* Keep what the disk has of the bytes from `begin` to `end`, before they change. */
static void keep(int file, struct undo *notes, int old, off_t begin, off_t end) {
    for (off_t sector = begin / SECTOR; sector * SECTOR < end; sector++) {
        char content[SECTOR] = {0};
        if (sector >= SECTORS_MAX) abort();
        if (!notes->state[sector]) {
            if (real_pread(file, content, SECTOR, sector * SECTOR) < 0) memset(content, 0, SECTOR);
            if (real_pwrite(old, content, SECTOR, sector * SECTOR) != SECTOR) abort();
        }
        notes->state[sector] = DIRTY;
        if (sector >= notes->sectors) notes->sectors = sector + 1;
    }
}

static void before_change(int file, const char *path, off_t begin, off_t end) {
    int old;
    struct undo *notes = notes_on(file, path, &old);
    if (!notes) return;
    keep(file, notes, old, begin, end);
    release(notes, old);
}

static int sync_of(int file, int (*real)(int)) {
    char path[4096];
    if (!is_watched(file, path)) return real(file);
    if (sync_ms) usleep(sync_ms * 1000);
    pthread_mutex_lock(&turn);
    int old, fails = is_to_fail("sync", path);
    struct undo *notes = notes_on(file, path, &old);
    if (notes) {
        struct stat found;
        for (long long sector = 0; sector < notes->sectors; sector++)
            if (notes->state[sector] == DIRTY) notes->state[sector] = fails ? LOST : 0;
        if (!fails && !fstat(file, &found)) notes->synced_size = found.st_size;
        release(notes, old);
    }
    pthread_mutex_unlock(&turn);
    if (!fails) return real(file);
    errno = EIO;
    return -1;
}

static ssize_t write_of(int file, const void *content, size_t count, off_t at, int moves) {
    char path[4096];
    if (is_watched(file, path)) {
        pthread_mutex_lock(&turn);
        int fails = is_to_fail("write", path);
        if (!fails) before_change(file, path, at, at + (off_t)count);
        pthread_mutex_unlock(&turn);
        if (fails) {
            errno = EIO;
            return -1;
        }
    }
    return moves ? real_write(file, content, count) : real_pwrite(file, content, count, at);
}

int fsync(int file) { return sync_of(file, real_fsync); }

int fdatasync(int file) { return sync_of(file, real_fdatasync); }

ssize_t pwrite64(int file, const void *content, size_t count, off_t at) { return write_of(file, content, count, at, 0); }

ssize_t pwrite(int file, const void *content, size_t count, off_t at) { return write_of(file, content, count, at, 0); }

ssize_t write(int file, const void *content, size_t count) {
    off_t at = files ? lseek(file, 0, SEEK_CUR) : -1;
    return at < 0 ? real_write(file, content, count) : write_of(file, content, count, at, 1);
}

int ftruncate64(int file, off_t size) {
    char path[4096];
    struct stat found;
    if (is_watched(file, path) && !fstat(file, &found) && size < found.st_size) {
        pthread_mutex_lock(&turn);
        before_change(file, path, size, found.st_size);
        pthread_mutex_unlock(&turn);
    }
    return real_ftruncate(file, size);
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

/* A file that is gone has no notes: its number may soon be another one's. */
int unlink(const char *path) {
    struct stat found;
    if (files && folder && strstr(path, files) && !stat(path, &found) && found.st_nlink == 1) {
        const char *const kinds[] = {"undo", "old", "path"};
        char name[4400];
        for (int kind = 0; kind < 3; kind++) {
            snprintf(name, sizeof name, "%s/%llu.%s", folder, (unsigned long long)found.st_ino, kinds[kind]);
            real_unlink(name);
        }
    }
    return real_unlink(path);
}
