/* wigwag.h: wigwag's segments, mutexes and semaphores, from C and C++.
 *
 * A segment that a Rust program made holds a value whose gates lie at fixed places. This header has
 * their layout and, inline, their whole protocol: no library is needed. For Linux. What cannot work is refused by wigwag_value():
 *
 *     segment                            glibc 2.35+, 64-bit   musl, 64-bit           32-bit programs
 *     Death::Kernel (64-bit default)     works                 refused, ENOTSUP (1)   refused, EPROTO (1)
 *     Death::Watched (32-bit default)    works                 works                  works (2)
 *
 * (1) its mutexes join the list that libc registered with the kernel, and these libcs have it at another offset; (2) where the value
 * has the same layout in both: no size_t, no long, no pointers.
 *
 *     struct jobs { struct wigwag_semaphore ready; struct wigwag_mutex lock; uint64_t done; };
 *                                  // Rust: shared! { struct Jobs { ready: Semaphore, done: Mutex<u64> } }
 *     int fd = shm_open("/jobs", O_RDWR, 0);
 *     struct jobs *jobs = wigwag_value(fd, sizeof *jobs, 0);
 *     if (!jobs) perror("/jobs");
 *     wigwag_semaphore_wait(&jobs->ready, -1);
 *     int e = wigwag_mutex_lock(&jobs->lock, -1);
 *     if (e == EOWNERDEAD) { repair(&jobs->done); wigwag_mutex_consistent(&jobs->lock); e = 0; }
 *     if (!e) { jobs->done++; wigwag_mutex_unlock(&jobs->lock); }
 *
 * Functions return 0 or an error number, and do not touch errno unless they say so. Time-outs are nanoseconds
 * of monotonic time; negative is for ever, 0 not at all. None may be called in a signal handler, except
 * wigwag_semaphore_post. Peers must be trusted: they can write anything into the memory.
 *
 * Layout version 1. Licensed MIT OR Apache-2.0, as wigwag is.
 */
#ifndef WIGWAG_H
#define WIGWAG_H

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first #include"
#endif

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#define WIGWAG_ASSERT static_assert
#else
#define WIGWAG_ASSERT _Static_assert
#endif

/* The kernel's <linux/futex.h>, which not every libc brings. */
#define WIGWAG_WAIT 0
#define WIGWAG_WAKE 1
#define WIGWAG_WAIT_BITSET 9
#define WIGWAG_ANY 0xffffffffu
#define WIGWAG_TID 0x3fffffffu
#define WIGWAG_DIED 0x40000000u
#define WIGWAG_WAITERS 0x80000000u
/* struct robust_list_head: what libc registered for a thread. */
struct wigwag_list {
    void *next;
    long offset;
    void *pending;
};
/* That whose times are as long as libc's. */
#if defined SYS_futex && defined SYS_futex_time64
#define WIGWAG_FUTEX (sizeof(time_t) > sizeof(long) ? SYS_futex_time64 : SYS_futex)
#elif defined SYS_futex
#define WIGWAG_FUTEX SYS_futex
#else
#define WIGWAG_FUTEX SYS_futex_time64
#endif

/* ---- Segment ----------------------------------------------------------------------------------- */

#define WIGWAG_MAGIC "wigwag\r\n"
#define WIGWAG_ABI 1u
#define WIGWAG_ORDER 0x01020304u
#define WIGWAG_READY 2u
/* Where the value begins. */
#define WIGWAG_VALUE 4096u
/* From a mutex's list node to its word; the futex_offset that libc must have registered. */
#define WIGWAG_ROBUST (-32)

/* The first bytes of a segment. They do not change once state is WIGWAG_READY. */
struct wigwag_header {
    char magic[8];
    uint32_t state;         /* 0 blank, 1 being made, 2 ready */
    uint32_t abi;
    uint64_t creator;       /* bits 0-21 pid, 22-61 its start time in clock ticks */
    uint32_t order;
    uint32_t word_size;     /* bits */
    uint64_t layout;        /* hash of the type */
    uint64_t size;          /* of the value, in bytes */
    int32_t robust;         /* WIGWAG_ROBUST, or 0: no list nodes, owners are watched */
    uint32_t trusting;
    uint64_t pid_namespace; /* inode of /proc/self/ns/pid */
    uint8_t boot[16];       /* /proc/sys/kernel/random/boot_id */
    char type_name[96];     /* not terminated if it is long */
};
WIGWAG_ASSERT(sizeof(struct wigwag_header) == 176, "layout version 1");

/* Whether this boot and pid namespace are those of the header. */
static inline int wigwag_is_here(const struct wigwag_header *header)
{
    struct stat ns;
    char text[64] = "";
    uint8_t boot[16] = {0};
    int digits = 0;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!file)
        return 0;
    if (!fgets(text, sizeof text, file))
        text[0] = 0;
    fclose(file);
    for (const char *c = text; *c && digits < 32; c++) {
        int digit = *c >= '0' && *c <= '9' ? *c - '0' : *c >= 'a' && *c <= 'f' ? *c - 'a' + 10 : -1;
        if (digit >= 0) {
            boot[digits / 2] = (uint8_t)(boot[digits / 2] << 4 | digit);
            digits++;
        }
    }
    return !memcmp(boot, header->boot, sizeof boot) && !stat("/proc/self/ns/pid", &ns) &&
           (uint64_t)ns.st_ino == header->pid_namespace;
}

/* The list of the calling thread, if its offset is the one that our mutexes are made for. */
static inline struct wigwag_list *wigwag_own_list(void)
{
    struct wigwag_list *list = NULL;
    size_t size = 0;
    int saved = errno;
    if (syscall(SYS_get_robust_list, 0, &list, &size) || size != sizeof *list || (list && list->offset != WIGWAG_ROBUST))
        list = NULL;
    errno = saved;
    return list;
}

/* Maps the segment behind fd and returns its value of `size` bytes, or NULL with errno:
 * EAGAIN not ready yet, EPROTO not a segment of this layout version and byte order, or one of another word size with robust lists, EINVAL the value has
 * another size or layout, EXDEV another boot or pid namespace, ENOTSUP its mutexes need another libc, or it is one whose
 * peers are not trusted.
 * `layout` is Segment's hash of the type, printed by its error messages; 0 leaves it unchecked. */
static inline void *wigwag_value(int fd, size_t size, uint64_t layout)
{
    struct wigwag_header header;
    struct stat stat;
    if (fstat(fd, &stat))
        return NULL;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header) {
        errno = EPROTO;
        return NULL;
    }
    int ready = header.state == WIGWAG_READY;
    int ours = !memcmp(header.magic, WIGWAG_MAGIC, sizeof header.magic);
    if (!ours || !ready)
        errno = header.state < WIGWAG_READY ? EAGAIN : EPROTO;
    else if (header.abi != WIGWAG_ABI || header.order != WIGWAG_ORDER ||
             (header.robust && header.word_size != 8 * sizeof(void *)))
        errno = EPROTO;
    else if (header.size != size || (layout && header.layout != layout) || (uint64_t)stat.st_size < WIGWAG_VALUE + size)
        errno = EINVAL;
    else if (!wigwag_is_here(&header))
        errno = EXDEV;
    else if (!header.trusting || (header.robust && (header.robust != WIGWAG_ROBUST || !wigwag_own_list())))
        errno = ENOTSUP;
    else {
        char *base = (char *)mmap(NULL, WIGWAG_VALUE + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        return base == MAP_FAILED ? NULL : base + WIGWAG_VALUE;
    }
    return NULL;
}

/* ---- Waiting ----------------------------------------------------------------------------------- */

/* Nobody sleeps longer without looking around: that bounds what a kill can do to a waiter. */
#define WIGWAG_NAP 500000000ll
#define WIGWAG_COUNT 0x7fffu
#define WIGWAG_ARRIVAL 0x10001u
#define WIGWAG_STRIKES 1000u

static inline int64_t wigwag_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* Sleeps while *word is `expected`, for at most a nap and not beyond `deadline` (negative: none). Who looks from outside
 * tells a nap (FUTEX_WAIT, relative) from the caller's own time-out (FUTEX_WAIT_BITSET, absolute). Whether nobody called. */
static inline int wigwag_sleep(uint32_t *word, uint32_t expected, int64_t deadline)
{
    int last = deadline >= 0 && deadline - wigwag_now() <= WIGWAG_NAP;
    int64_t until = last ? deadline : WIGWAG_NAP;
    struct timespec time = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    int saved = errno;
    int late = syscall(WIGWAG_FUTEX, word, last ? WIGWAG_WAIT_BITSET : WIGWAG_WAIT, expected, &time, NULL, WIGWAG_ANY) && errno == ETIMEDOUT;
    errno = saved;
    return late;
}

/* Wakes at most `count`; and where it woke nobody for long, though somebody counts, forgets the dead. */
static inline void wigwag_wake(uint32_t *word, uint32_t count, uint32_t *waiters, uint32_t *strikes)
{
    int saved = errno;
    uint32_t before = __atomic_load_n(waiters, __ATOMIC_SEQ_CST);
    long woken = syscall(WIGWAG_FUTEX, word, WIGWAG_WAKE, count > INT32_MAX ? INT32_MAX : count, NULL, NULL, 0);
    errno = saved;
    if (woken > 0 || !(before & WIGWAG_COUNT)) {
        __atomic_store_n(strikes, 0, __ATOMIC_RELAXED);
    } else if (__atomic_fetch_add(strikes, 1, __ATOMIC_RELAXED) >= WIGWAG_STRIKES) {
        __atomic_store_n(strikes, 0, __ATOMIC_RELAXED);
        __atomic_compare_exchange_n(waiters, &before, before & ~WIGWAG_COUNT, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
}

/* One waiter's part in the count: a kill can leave it too high, never too low. */
static inline void wigwag_count(uint32_t *waiters, int *counts)
{
    if (!*counts || !(__atomic_load_n(waiters, __ATOMIC_SEQ_CST) & WIGWAG_COUNT)) {
        __atomic_fetch_add(waiters, WIGWAG_ARRIVAL, __ATOMIC_SEQ_CST);
        *counts = 1;
    }
}

static inline void wigwag_uncount(uint32_t *waiters, int *counts)
{
    uint32_t now = __atomic_load_n(waiters, __ATOMIC_RELAXED);
    while (*counts && now & WIGWAG_COUNT &&
           !__atomic_compare_exchange_n(waiters, &now, now - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    *counts = 0;
}

/* ---- Semaphore --------------------------------------------------------------------------------- */

/* Rust: Semaphore. Waiters sleep on value. */
struct wigwag_semaphore {
    uint32_t value;
    uint32_t most;    /* value never exceeds this: 1 for a binary semaphore */
    uint32_t waiters; /* low half: who sleeps or is about to; high half: arrivals */
    uint32_t strikes; /* wake-ups in a row that woke nobody */
};
WIGWAG_ASSERT(sizeof(struct wigwag_semaphore) == 16, "layout version 1");

/* Takes a permit if there is one; EAGAIN. */
static inline int wigwag_semaphore_trywait(struct wigwag_semaphore *s)
{
    uint32_t value = __atomic_load_n(&s->value, __ATOMIC_SEQ_CST);
    while (value)
        if (__atomic_compare_exchange_n(&s->value, &value, value - 1, 1, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return 0;
    return EAGAIN;
}

/* Takes a permit; ETIMEDOUT, and EAGAIN for a timeout of 0. */
static inline int wigwag_semaphore_wait(struct wigwag_semaphore *s, int64_t timeout)
{
    int64_t deadline = timeout < 0 ? -1 : wigwag_now() + timeout;
    int counts = 0, error = wigwag_semaphore_trywait(s);
    if (!error || !timeout)
        return error;
    for (;;) {
        wigwag_count(&s->waiters, &counts);
        error = wigwag_semaphore_trywait(s);
        if (!error)
            break;
        if (deadline >= 0 && wigwag_now() >= deadline) {
            error = ETIMEDOUT;
            break;
        }
        wigwag_sleep(&s->value, 0, deadline);
    }
    wigwag_uncount(&s->waiters, &counts);
    return error;
}

/* Gives permits and wakes as many; EOVERFLOW if there would be too many. */
static inline int wigwag_semaphore_post(struct wigwag_semaphore *s, uint32_t permits)
{
    uint32_t value = __atomic_load_n(&s->value, __ATOMIC_RELAXED);
    do {
        if (permits > s->most || value > s->most - permits)
            return EOVERFLOW;
    } while (!__atomic_compare_exchange_n(&s->value, &value, value + permits, 1, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    if (__atomic_load_n(&s->waiters, __ATOMIC_SEQ_CST) & WIGWAG_COUNT)
        wigwag_wake(&s->value, permits, &s->waiters, &s->strikes);
    return 0;
}

/* ---- Mutex ------------------------------------------------------------------------------------- */

/* Rust: Mutex<T>, which is this, then the value as aligned, the whole aligned to 64 bytes. The word has the format
 * of the kernel's robust futexes; prev and next are its node in the list that libc registered for the thread. */
struct wigwag_mutex {
    uint32_t word;    /* thread id of the owner | WIGWAG_DIED | WIGWAG_WAITERS */
    uint32_t waiters; /* low 15 bits: who sleeps or is about to; high half: arrivals; between: somebody tries without sleeping */
    uint32_t mode;    /* 0 threads only, 1 freed by the kernel, 2 owners are watched; + 4 inherits priorities, not for C */
    uint32_t cause;   /* of WIGWAG_DIED: 0 death, 1 panic, 2 nobody repaired it */
    uint64_t holder;  /* mode 2 only: who has it, as creator in the header */
    void *prev __attribute__((aligned(8)));
    void *next __attribute__((aligned(8)));
    uint32_t strikes __attribute__((aligned(8))); /* wake-ups in a row that woke nobody */
    uint32_t sleeps;  /* how often somebody went to sleep */
} __attribute__((aligned(16)));
WIGWAG_ASSERT(sizeof(struct wigwag_mutex) == 48 && offsetof(struct wigwag_mutex, next) == 32, "layout version 1");

#define WIGWAG_MOST_HELD 1024u

struct wigwag_thread {
    struct wigwag_list *head;
    uint64_t holder;
    uint32_t tid, held;
    struct wigwag_mutex *looked_at; /* and when: by one who tries in vain */
    int64_t looked;
};
static __thread struct wigwag_thread wigwag_thread;

/* In the child of fork(2): it is another thread, and holds nothing. */
static inline void wigwag_forget(void)
{
    memset(&wigwag_thread, 0, sizeof wigwag_thread);
}

static inline struct wigwag_thread *wigwag_self(void)
{
    struct wigwag_thread *self = &wigwag_thread;
    if (!self->tid) {
        static int registered;
        int saved = errno;
        if (!__atomic_exchange_n(&registered, 1, __ATOMIC_RELAXED))
            pthread_atfork(NULL, NULL, wigwag_forget);
        self->head = wigwag_own_list();
        self->tid = (uint32_t)syscall(SYS_gettid);
        errno = saved;
    }
    return self;
}

/* A thread as a number that names no later one: its id, and from bit 22 on when it started; WIGWAG_UNKNOWN when /proc does
 * not say. *state becomes its letter: Z or X is a corpse. */
#define WIGWAG_UNKNOWN UINT64_MAX
static inline uint64_t wigwag_started(uint32_t tid, char *state)
{
    char path[40], line[1024];
    snprintf(path, sizeof path, "/proc/%u/stat", (unsigned)tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return WIGWAG_UNKNOWN;
    size_t size = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[size] = 0;
    /* The name stands in parentheses and may hold anything. Then comes the state, field 3; the start is field 22. */
    char *field = strrchr(line, ')');
    *state = field && strlen(field) > 2 ? field[2] : '?';
    for (int number = 2; field && number < 22; number++)
        field = strchr(field + 1, ' ');
    if (!field)
        return WIGWAG_UNKNOWN;
    return (tid & 0x3fffffu) | (uint64_t)(strtoull(field, NULL, 10) & 0xffffffffffull) << 22;
}

/* The same, and 0 when it is a corpse. */
static inline uint64_t wigwag_holder(uint32_t tid)
{
    char state = 0;
    uint64_t holder = wigwag_started(tid, &state);
    return state == 'Z' || state == 'X' ? 0 : holder;
}

/* Mode 2: says who has it, beyond the id in the word; saved, as reading /proc is slow. */
static inline void wigwag_sign(struct wigwag_thread *self, struct wigwag_mutex *m)
{
    int saved = errno;
    if (!self->holder)
        self->holder = wigwag_holder(self->tid);
    errno = saved;
    /* Without its start it is known by its id alone. */
    if (self->holder == WIGWAG_UNKNOWN)
        self->holder = 0;
    __atomic_store_n(&m->holder, self->holder, __ATOMIC_RELAXED);
}

#define WIGWAG_UNTAGGED(pointer) ((void **)((uintptr_t)(pointer) & ~(uintptr_t)1))

/* From here to wigwag_pending(self, NULL) the kernel looks at this mutex too, linked or not. */
static inline void wigwag_pending(struct wigwag_thread *self, struct wigwag_mutex *m)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(void *volatile *)&self->head->pending = m ? (void *)&m->next : NULL;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void wigwag_link(struct wigwag_thread *self, struct wigwag_mutex *m)
{
    void *volatile *list = (void *volatile *)&self->head->next;
    void *first = *list;
    m->next = first;
    m->prev = (void *)self->head;
    if ((void *)WIGWAG_UNTAGGED(first) != (void *)self->head)
        WIGWAG_UNTAGGED(first)[-1] = (void *)&m->next;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *list = (void *)&m->next;
    self->held++;
}

static inline void wigwag_unlink(struct wigwag_thread *self, struct wigwag_mutex *m)
{
    if ((void *)WIGWAG_UNTAGGED(m->next) != (void *)self->head)
        WIGWAG_UNTAGGED(m->next)[-1] = m->prev;
    *(void *volatile *)WIGWAG_UNTAGGED(m->prev) = m->next;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self->held--;
}

static inline int wigwag_mutex_take(struct wigwag_mutex *m, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&m->word, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* The word is ours: the mark for who came meanwhile, and the node. */
static inline void wigwag_mutex_taken(struct wigwag_thread *self, struct wigwag_mutex *m, uint32_t mark)
{
    if (!mark && __atomic_load_n(&m->waiters, __ATOMIC_SEQ_CST) & WIGWAG_COUNT)
        __atomic_fetch_or(&m->word, WIGWAG_WAITERS, __ATOMIC_RELAXED);
    if (m->mode == 1)
        wigwag_link(self, m);
    else
        wigwag_sign(self, m);
}

/* Does what the kernel would have done, or has forgotten to do, if the owner in the word is dead; whether it was. */
static inline int wigwag_mutex_bury(struct wigwag_mutex *m, uint32_t word)
{
    uint32_t owner = word & WIGWAG_TID;
    uint64_t holder = __atomic_load_n(&m->holder, __ATOMIC_SEQ_CST), now;
    int saved = errno;
    int dead = kill((pid_t)owner, 0) && errno == ESRCH;
    /* It is there; perhaps it is another thread by the same number, or a corpse. Unknown is alive. */
    if (!dead && m->mode == 2) {
        now = wigwag_holder(owner);
        dead = !now || ((holder & 0x3fffffu) == owner && now != holder && now != WIGWAG_UNKNOWN);
    }
    errno = saved;
    dead = dead && wigwag_mutex_take(m, word, WIGWAG_DIED | (word & WIGWAG_WAITERS));
    /* So that a later thread by the same number is not taken for it before it has signed. */
    if (dead && holder)
        __atomic_compare_exchange_n(&m->holder, &holder, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    return dead;
}

static inline int wigwag_mutex_wait(struct wigwag_thread *self, struct wigwag_mutex *m, int64_t timeout, int *counts)
{
    int64_t deadline = timeout < 0 ? -1 : wigwag_now() + timeout;
    for (;;) {
        uint32_t word = __atomic_load_n(&m->word, __ATOMIC_SEQ_CST);
        if (!(word & WIGWAG_TID)) {
            if (word & WIGWAG_DIED && m->cause == 2)
                return ENOTRECOVERABLE;
            uint32_t others = __atomic_load_n(&m->waiters, __ATOMIC_SEQ_CST) & WIGWAG_COUNT;
            uint32_t mark = word & WIGWAG_WAITERS || others > (uint32_t)*counts ? WIGWAG_WAITERS : 0;
            if (wigwag_mutex_take(m, word, self->tid | mark)) {
                wigwag_uncount(&m->waiters, counts);
                wigwag_mutex_taken(self, m, mark);
                return word & WIGWAG_DIED ? EOWNERDEAD : 0;
            }
            continue;
        }
        if ((word & WIGWAG_TID) == self->tid) {
            /* By reuse of the id only? */
            if (m->mode == 2 && m->holder != self->holder && wigwag_mutex_bury(m, word))
                continue;
            return EDEADLK;
        }
        if (!timeout) {
            /* Who only tries looks around too, now and then. */
            int64_t now = wigwag_now();
            if (self->looked_at == m && now - self->looked < 10000000)
                return EBUSY;
            self->looked_at = m;
            self->looked = now;
            if (wigwag_mutex_bury(m, word))
                continue;
            return EBUSY;
        }
        if (deadline >= 0 && wigwag_now() >= deadline) {
            /* A dead owner is not waited for, not even for a time. */
            if (wigwag_mutex_bury(m, word))
                continue;
            return ETIMEDOUT;
        }
        wigwag_count(&m->waiters, counts);
        if (!(word & WIGWAG_WAITERS) && !wigwag_mutex_take(m, word, word | WIGWAG_WAITERS))
            continue;
        __atomic_fetch_add(&m->sleeps, 1, __ATOMIC_RELAXED);
        if (wigwag_sleep(&m->word, word | WIGWAG_WAITERS, deadline))
            wigwag_mutex_bury(m, word | WIGWAG_WAITERS);
    }
}

/* Locks it. EOWNERDEAD: it is locked, but its owner died or panicked: repair the value and call
 * wigwag_mutex_consistent, or wigwag_mutex_give_up. Else it is not locked: EBUSY (timeout 0), ETIMEDOUT, EDEADLK this thread
 * has it, ENOTRECOVERABLE who should have repaired it gave up, EAGAIN this thread holds too many, ENOTSUP the kernel
 * has no list of this thread, or the mutex inherits priorities. */
static inline int wigwag_mutex_lock(struct wigwag_mutex *m, int64_t timeout)
{
    struct wigwag_thread *self = wigwag_self();
    int counts = 0, error;
    int listed = m->mode == 1;
    if (listed ? !self->head : m->mode != 2)
        return ENOTSUP;
    if (self->held >= WIGWAG_MOST_HELD)
        return EAGAIN;
    if (listed)
        wigwag_pending(self, m);
    if (!(__atomic_load_n(&m->waiters, __ATOMIC_RELAXED) & WIGWAG_COUNT) && wigwag_mutex_take(m, 0, self->tid)) {
        wigwag_mutex_taken(self, m, 0);
        error = 0;
    } else {
        error = wigwag_mutex_wait(self, m, timeout, &counts);
        wigwag_uncount(&m->waiters, &counts);
        /* The wake-up that ended the last sleep may have been meant for the lock: pass it on. */
        if (error && error != EOWNERDEAD && !(__atomic_load_n(&m->word, __ATOMIC_SEQ_CST) & WIGWAG_TID) &&
            __atomic_load_n(&m->waiters, __ATOMIC_SEQ_CST) & WIGWAG_COUNT)
            wigwag_wake(&m->word, 1, &m->waiters, &m->strikes);
    }
    if (listed)
        wigwag_pending(self, NULL);
    return error;
}

static inline int wigwag_mutex_leave(struct wigwag_mutex *m, uint32_t left)
{
    struct wigwag_thread *self = wigwag_self();
    if ((__atomic_load_n(&m->word, __ATOMIC_RELAXED) & WIGWAG_TID) != self->tid)
        return EPERM;
    if (m->mode == 1) {
        wigwag_pending(self, m);
        wigwag_unlink(self, m);
    } else {
        __atomic_store_n(&m->holder, 0, __ATOMIC_RELAXED);
    }
    uint32_t old = __atomic_exchange_n(&m->word, left, __ATOMIC_SEQ_CST);
    if (old & WIGWAG_WAITERS || __atomic_load_n(&m->waiters, __ATOMIC_SEQ_CST) & WIGWAG_COUNT)
        wigwag_wake(&m->word, 1, &m->waiters, &m->strikes);
    if (m->mode == 1)
        wigwag_pending(self, NULL);
    return 0;
}

/* Unlocks it; EPERM if this thread does not have it. */
static inline int wigwag_mutex_unlock(struct wigwag_mutex *m)
{
    return wigwag_mutex_leave(m, 0);
}

/* After EOWNERDEAD: the value is whole again. */
static inline void wigwag_mutex_consistent(struct wigwag_mutex *m)
{
    __atomic_store_n(&m->cause, 0, __ATOMIC_RELAXED);
}

/* After EOWNERDEAD, instead of unlocking: the value cannot be repaired, and nobody can lock it again. */
static inline int wigwag_mutex_give_up(struct wigwag_mutex *m)
{
    if ((__atomic_load_n(&m->word, __ATOMIC_RELAXED) & WIGWAG_TID) != wigwag_self()->tid)
        return EPERM;
    __atomic_store_n(&m->cause, 2, __ATOMIC_RELAXED);
    return wigwag_mutex_leave(m, WIGWAG_DIED);
}

#ifdef __cplusplus
}
#endif
#endif
