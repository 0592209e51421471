/* wigwag_channel.h: one end of a one-to-one channel of byte messages, from C and C++.
 *
 * A Rust program makes the channel; this header attaches to it by name and speaks its whole protocol: no library is
 * needed. For Linux, glibc and musl, in 64-bit and 32-bit programs alike; link with -pthread. Messages are written into the ring and read in it.
 *
 *     struct wigwag_channel *channel;                    // Rust: Options::new().create::<Channel<[u8]>>("/camera")
 *     int e = wigwag_channel_attach(&channel, "/camera", WIGWAG_RECEIVER);
 *     const void *bytes;
 *     size_t len;
 *     while (!e && !(e = wigwag_channel_recv(channel, &bytes, &len, -1))) {
 *         look_at(bytes, len);                           // until wigwag_channel_done
 *         wigwag_channel_done(channel);
 *     }
 *     if (e != -EPIPE) fprintf(stderr, "/camera: %s\n", strerror(-e));
 *     wigwag_channel_detach(channel);
 *
 * Functions return 0 or a negative error number. Those that send and receive leave errno alone, attach and detach do not.
 * Time-outs are nanoseconds of monotonic time; negative is for ever, 0 not at all. A signal interrupts nothing.
 * An end is used by one thread at a time, and never in a signal handler. In the child of fork(2) it is
 * the parent's: the child may only detach it, which gives back its memory and nothing else.
 *
 * Death. Each attached end has a thread that does nothing but die with its process: the kernel then marks the end's life
 * word and wakes the peer, at whatever instruction the process was killed. A process that exits without detaching counts as
 * killed. What was sent stays in the channel for the next receiver; a message that was not done is received again.
 *
 * Peers must be trusted: they can write anything into the memory. Channels made for peers that are not are refused.
 *
 * Layout: "one-to-one channel 1" of wigwag's layout version 1. Licensed MIT OR Apache-2.0, as wigwag is.
 */
#ifndef WIGWAG_CHANNEL_H
#define WIGWAG_CHANNEL_H

#include "wigwag.h"

#include <fcntl.h>
#include <sched.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Layout ------------------------------------------------------------------------------------ */

/* Hash of the control words and of byte messages. */
#define WIGWAG_CHANNEL_LAYOUT 0x21a0ec6660fb8341ull
#define WIGWAG_CHANNEL_MOST (1ull << 40)

/* What the channel was made with, behind the header of the segment. */
struct wigwag_channel_setup {
    uint64_t capacity; /* of the ring in bytes, a power of two */
    uint64_t full;     /* what becomes of a message without room: enum wigwag_channel_full */
    uint64_t seats;    /* 2 */
    uint64_t creator;  /* process, as in the header */
    uint64_t zero[12];
};

enum wigwag_channel_full { WIGWAG_FULL_WAIT, WIGWAG_FULL_FAIL, WIGWAG_FULL_DROP_NEWEST };

/* One seat. */
struct wigwag_channel_end {
    void *next __attribute__((aligned(8))); /* in the robust list of the owner's thread; as long as its pointers */
    uint32_t life __attribute__((aligned(8))); /* 0 nobody, or thread id | WIGWAG_DIED | WIGWAG_WAITERS: on it sleep who wait for this end */
    uint32_t careful; /* 0: the owner looks for sleepers only after they made it 1 and called membarrier(2) */
    uint64_t holder;  /* process | role + 1 << 62; 0 free, all ones the channel is given up */
    uint32_t generation;
    uint32_t cpu;     /* where its thread was when it last waited or rang, plus one */
    uint32_t rings;
    uint32_t spare;
    uint64_t line[3];
    uint64_t own[8];
};
WIGWAG_ASSERT(sizeof(struct wigwag_channel_end) == 128 && offsetof(struct wigwag_channel_end, holder) == 16, "layout 1");
/* From a link to its word. */
#define WIGWAG_CHANNEL_ROBUST 8

/* What one side counts, for ever: bytes sent, or given back. What lies between is in the ring. */
struct wigwag_channel_line {
    uint64_t position;
    uint64_t lost; /* of the sender: messages dropped for want of room */
    uint64_t zero[14];
};

/* From WIGWAG_VALUE on; the ring follows on the next page. */
struct wigwag_channel_memory {
    struct wigwag_channel_setup setup;
    uint32_t joins; /* counts who sat down */
    uint32_t came[2]; /* of them, by enum wigwag_channel_role */
    uint32_t zero[29];
    struct wigwag_channel_end ends[2];    /* by enum wigwag_channel_role */
    struct wigwag_channel_line lines[2];
};
WIGWAG_ASSERT(sizeof(struct wigwag_channel_memory) == 768, "layout 1");

enum wigwag_channel_role { WIGWAG_SENDER, WIGWAG_RECEIVER };

#define WIGWAG_CHANNEL_GIVEN_UP UINT64_MAX
#define WIGWAG_CHANNEL_MARKS (3ull << 62)
#define WIGWAG_CAREFUL 1u
#define WIGWAG_ALWAYS_CAREFUL 2u

/* The thread that dies with its process. */
struct wigwag_keeper {
    struct wigwag_list list;
    uint32_t tid;  /* 0 until it is known, all ones when the kernel refused the list */
    uint32_t stop;
    pthread_t thread;
};

/* One end that this process has taken. */
struct wigwag_channel {
    enum wigwag_channel_role role;
    pid_t pid;
    struct wigwag_channel_memory *memory;
    struct wigwag_channel_end *own, *peer;
    char *ring;
    uint64_t capacity, full;
    uint64_t at;    /* its position */
    uint64_t limit; /* the sender may write up to it, the receiver read */
    uint64_t held;  /* bytes of the record that was received and is not done */
    char *base;
    size_t space;
    struct wigwag_keeper keeper;
};

/* ---- Sleeping ---------------------------------------------------------------------------------- */

#define WIGWAG_WAKE_OP 5
/* Clear bit 31 of the word, and wake nobody else: FUTEX_OP(FUTEX_OP_ANDN | FUTEX_OP_OPARG_SHIFT, 31, FUTEX_OP_CMP_LT, 0). */
#define WIGWAG_CLEAR_WAITERS (11u << 28 | 2u << 24 | 31u << 12)
#define WIGWAG_MEMBARRIER_EVERYWHERE 2 /* MEMBARRIER_CMD_GLOBAL_EXPEDITED */
/* How long one sleeps who could not make the peer careful in time. */
#define WIGWAG_CHANNEL_NAP 20000000ll
/* Looks before a sleep: what a running peer needs to answer. */
#define WIGWAG_CHANNEL_LOOKS 200

static inline void wigwag_futex_wake_all(uint32_t *word)
{
    int saved = errno;
    syscall(WIGWAG_FUTEX, word, WIGWAG_WAKE, INT32_MAX, NULL, NULL, 0);
    errno = saved;
}

/* Sleeps while *word is `expected`, not beyond `deadline` (negative: none). 0, also for no reason; else what is wrong. */
static inline int wigwag_futex_wait(uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct timespec until = {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)};
    int saved = errno, error = 0;
    if (syscall(WIGWAG_FUTEX, word, WIGWAG_WAIT_BITSET, expected, deadline < 0 ? NULL : &until, NULL, WIGWAG_ANY))
        error = errno;
    errno = saved;
    return error == EINTR || error == EAGAIN || error == ETIMEDOUT ? 0 : -error;
}

static inline int64_t wigwag_deadline(int64_t timeout)
{
    int64_t now = wigwag_now();
    return timeout < 0 || timeout > INT64_MAX - now ? -1 : now + timeout;
}

/* ---- Keeper ------------------------------------------------------------------------------------ */

static inline void *wigwag_keeper_run(void *argument)
{
    struct wigwag_keeper *k = (struct wigwag_keeper *)argument;
    /* It takes no robust mutex of libc, whose list this replaces. */
    int refused = syscall(SYS_set_robust_list, &k->list, sizeof k->list) != 0;
    __atomic_store_n(&k->tid, refused ? UINT32_MAX : (uint32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    wigwag_futex_wake_all(&k->tid);
    while (!__atomic_load_n(&k->stop, __ATOMIC_ACQUIRE))
        wigwag_futex_wait(&k->stop, 0, -1);
    return NULL;
}

/* The kernel reads the list when the thread ends, so it stays where it is until wigwag_keeper_end. */
static inline void wigwag_keeper_end(struct wigwag_keeper *k)
{
    __atomic_store_n(&k->stop, 1u, __ATOMIC_RELEASE);
    wigwag_futex_wake_all(&k->stop);
    pthread_join(k->thread, NULL);
}

static inline int wigwag_keeper_start(struct wigwag_keeper *k)
{
    sigset_t all, before;
    uint32_t tid;
    /* An empty list points at itself. */
    k->list.next = &k->list;
    k->list.offset = WIGWAG_CHANNEL_ROBUST;
    /* No signal is for this thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&k->thread, NULL, wigwag_keeper_run, k);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return -error;
    while (!(tid = __atomic_load_n(&k->tid, __ATOMIC_ACQUIRE)))
        wigwag_futex_wait(&k->tid, 0, -1);
    if (tid != UINT32_MAX)
        return 0;
    wigwag_keeper_end(k);
    return -ENOTSUP;
}

/* Pending, word, link: a kill between any two leaves a word that the kernel still finds. */
static inline void wigwag_keeper_add(struct wigwag_keeper *k, struct wigwag_channel_end *end)
{
    __atomic_store_n(&k->list.pending, (void *)end, __ATOMIC_RELEASE);
    __atomic_store_n(&end->life, k->tid, __ATOMIC_RELEASE);
    __atomic_store_n(&end->next, (void *)&k->list, __ATOMIC_RELEASE);
    __atomic_store_n(&k->list.next, (void *)end, __ATOMIC_RELEASE);
    __atomic_store_n(&k->list.pending, (void *)NULL, __ATOMIC_RELEASE);
    /* Whoever still sleeps there since the last one died. */
    wigwag_futex_wake_all(&end->life);
}

/* Pending, unlink, word. */
static inline void wigwag_keeper_remove(struct wigwag_keeper *k, struct wigwag_channel_end *end)
{
    __atomic_store_n(&k->list.pending, (void *)end, __ATOMIC_RELEASE);
    __atomic_store_n(&k->list.next, (void *)&k->list, __ATOMIC_RELEASE);
    __atomic_store_n(&end->life, 0u, __ATOMIC_RELEASE);
    __atomic_store_n(&k->list.pending, (void *)NULL, __ATOMIC_RELEASE);
    wigwag_futex_wake_all(&end->life);
}

/* ---- Attaching --------------------------------------------------------------------------------- */

/* Whether nothing of the process in a holder word runs any more. Unknown is no. */
static inline int wigwag_channel_is_dead(uint64_t word)
{
    char path[40], state = 0;
    struct stat tasks;
    uint32_t pid = word & 0x3fffffu;
    word &= ~WIGWAG_CHANNEL_MARKS;
    if (!pid || (kill((pid_t)pid, 0) && errno == ESRCH))
        return 1;
    uint64_t now = wigwag_started(pid, &state);
    if (now == WIGWAG_UNKNOWN)
        return kill((pid_t)pid, 0) && errno == ESRCH;
    if (word >> 22 && now != word)
        return 1;
    if (state != 'Z' && state != 'X')
        return 0;
    /* The first thread may end before the others, and stays as a corpse among them. Two links, and one a thread. */
    snprintf(path, sizeof path, "/proc/%u/task", (unsigned)pid);
    return stat(path, &tasks) || tasks.st_nlink <= 3;
}

/* Whether this program understands what is behind `fd`, and its length. */
static inline int wigwag_channel_check(int fd, size_t *length)
{
    struct wigwag_header header;
    struct stat stat;
    memset(&header, 0, sizeof header);
    if (fstat(fd, &stat) || pread(fd, &header, sizeof header, 0) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode))
        return -EPROTO;
    int ours = !memcmp(header.magic, WIGWAG_MAGIC, sizeof header.magic);
    if (!stat.st_size || (ours && header.state < WIGWAG_READY))
        return -EAGAIN;
    if (!ours || header.state != WIGWAG_READY || header.abi != WIGWAG_ABI || header.order != WIGWAG_ORDER)
        return -EPROTO;
    if (header.layout != WIGWAG_CHANNEL_LAYOUT)
        return -EPROTOTYPE;
    if ((uint64_t)stat.st_size < WIGWAG_VALUE || header.size > (uint64_t)stat.st_size - WIGWAG_VALUE ||
        header.size < sizeof(struct wigwag_channel_memory))
        return -EBADMSG;
    /* It is mapped twice. */
    if (header.size > SIZE_MAX / 4)
        return -ENOMEM;
    if (!header.trusting || header.robust)
        return -ENOTSUP;
    if (!wigwag_is_here(&header))
        return -EXDEV;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *length = ((size_t)header.size + WIGWAG_VALUE + page - 1) & ~(page - 1);
    return 0;
}

/* Maps the object, and its ring once more behind it, so that no message wraps. */
static inline int wigwag_channel_map(struct wigwag_channel *c, int fd, size_t length)
{
    const int both = PROT_READ | PROT_WRITE, there = MAP_SHARED | MAP_FIXED;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t ring = (WIGWAG_VALUE + sizeof(struct wigwag_channel_memory) + page - 1) & ~(page - 1);
    void *base = mmap(NULL, 2 * length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    c->base = (char *)base;
    c->space = 2 * length;
    if (mmap(c->base, length, both, there, fd, 0) == MAP_FAILED)
        return -errno;
    c->memory = (struct wigwag_channel_memory *)(void *)(c->base + WIGWAG_VALUE);
    /* The setup was written before the header said ready. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    c->capacity = c->memory->setup.capacity;
    c->full = c->memory->setup.full;
    if (c->full > WIGWAG_FULL_DROP_NEWEST || c->memory->setup.seats != 2 || c->capacity < page ||
        c->capacity > WIGWAG_CHANNEL_MOST || (c->capacity & (c->capacity - 1)) || ring + c->capacity != length)
        return -EBADMSG;
    if (mmap(c->base + length, (size_t)c->capacity, both, there, fd, (off_t)ring) == MAP_FAILED)
        return -errno;
    c->ring = c->base + ring;
    return 0;
}

/* Takes the seat. */
static inline int wigwag_channel_sit(struct wigwag_channel *c)
{
    uint64_t process = wigwag_holder((uint32_t)c->pid), head, tail;
    struct wigwag_channel_line *lines = c->memory->lines;
    if (process == WIGWAG_UNKNOWN || !process)
        process = (uint64_t)c->pid; /* without its start it is known by its id alone */
    c->own = &c->memory->ends[c->role];
    c->peer = &c->memory->ends[!c->role];
    uint64_t before = __atomic_load_n(&c->own->holder, __ATOMIC_ACQUIRE);
    if (before == WIGWAG_CHANNEL_GIVEN_UP)
        return -EIDRM;
    if ((before && !wigwag_channel_is_dead(before)) ||
        !__atomic_compare_exchange_n(&c->own->holder, &before, process, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return -EBUSY;
    /* A dead one leaves nothing to clear: what counts is the position that it published. */
    head = __atomic_load_n(&lines[WIGWAG_RECEIVER].position, __ATOMIC_ACQUIRE);
    tail = __atomic_load_n(&lines[WIGWAG_SENDER].position, __ATOMIC_ACQUIRE);
    int error = tail - head > c->capacity || (tail | head) & 7 ? -EBADMSG : wigwag_keeper_start(&c->keeper);
    if (error) {
        __atomic_store_n(&c->own->holder, 0u, __ATOMIC_RELEASE);
        return error;
    }
    c->at = c->role == WIGWAG_SENDER ? tail : head;
    c->limit = c->role == WIGWAG_SENDER ? head + c->capacity : tail;
    __atomic_store_n(&c->own->cpu, (uint32_t)sched_getcpu() + 1, __ATOMIC_RELAXED);
    wigwag_keeper_add(&c->keeper, c->own);
    /* This end takes no part in membarriers: it looks for sleepers after each change, and tells them so. */
    __atomic_store_n(&c->own->careful, WIGWAG_ALWAYS_CAREFUL, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&c->own->generation, 1u, __ATOMIC_ACQ_REL);
    __atomic_store_n(&c->own->holder, process | (uint64_t)(c->role + 1) << 62, __ATOMIC_RELEASE);
    __atomic_fetch_add(&c->memory->came[c->role], 1u, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&c->memory->joins, 1u, __ATOMIC_SEQ_CST);
    wigwag_futex_wake_all(&c->memory->joins);
    return 0;
}

/* Takes one end of the channel of that name, a slash and a name, and allocates what *channel becomes. Errors, besides those of
 * open(2), mmap(2), malloc(3) and pthread_create(3): EINVAL no such name or role, EAGAIN it is still being made, EPROTO
 * not of wigwag, or of another version or byte order, EPROTOTYPE another flavour of channel, or other values,
 * ENOTSUP its peers are not trusted, or the kernel has no robust lists, EXDEV another boot or pid namespace, EBUSY a living process
 * has this end, EIDRM it was removed or made anew: attach again, EBADMSG damaged. */
static inline int wigwag_channel_attach(struct wigwag_channel **channel, const char *name, enum wigwag_channel_role role)
{
    char path[300];
    size_t length = 0;
    *channel = NULL;
    if (name[0] != '/' || !name[1] || strchr(name + 1, '/') || strlen(name) > 256 || !strcmp(name, "/.") ||
        !strcmp(name, "/..") || (role != WIGWAG_SENDER && role != WIGWAG_RECEIVER))
        return -EINVAL;
    snprintf(path, sizeof path, "/dev/shm%s", name);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct wigwag_channel *c = (struct wigwag_channel *)calloc(1, sizeof *c);
    int error = c ? wigwag_channel_check(fd, &length) : -ENOMEM;
    if (!error) {
        c->role = role;
        c->pid = getpid();
        error = wigwag_channel_map(c, fd, length);
    }
    close(fd);
    if (!error)
        error = wigwag_channel_sit(c);
    if (!error) {
        *channel = c;
        return 0;
    }
    if (c && c->base)
        munmap(c->base, c->space);
    free(c);
    return error;
}

/* Leaves the channel; what was received and is not done is received again by the next. NULL is nothing to leave. */
static inline void wigwag_channel_detach(struct wigwag_channel *c)
{
    if (!c)
        return;
    if (c->pid == getpid()) {
        wigwag_keeper_remove(&c->keeper, c->own);
        __atomic_store_n(&c->own->holder, 0u, __ATOMIC_RELEASE);
        wigwag_keeper_end(&c->keeper);
    }
    munmap(c->base, c->space);
    free(c);
}

/* ---- Bell -------------------------------------------------------------------------------------- */

/* After each change that the peer may wait for. */
static inline void wigwag_channel_ring(struct wigwag_channel *c)
{
    struct wigwag_channel_end *own = c->own;
    /* I change, then look at your mark; you mark, then look at my change. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&own->life, __ATOMIC_RELAXED) & WIGWAG_WAITERS))
        return;
    int saved = errno;
    __atomic_store_n(&own->cpu, (uint32_t)sched_getcpu() + 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&own->rings, 1u, __ATOMIC_SEQ_CST);
    /* Takes the mark away and wakes, as one: no kill comes between. */
    if (syscall(WIGWAG_FUTEX, &own->life, WIGWAG_WAKE_OP, INT32_MAX, NULL, &own->life, WIGWAG_CLEAR_WAITERS) < 0) {
        __atomic_fetch_and(&own->life, ~WIGWAG_WAITERS, __ATOMIC_SEQ_CST);
        wigwag_futex_wake_all(&own->life);
    }
    errno = saved;
}

/* Whether somebody lives at an end whose life word this is. */
static inline int wigwag_channel_lives(uint32_t life)
{
    return life & ~WIGWAG_WAITERS && !(life & WIGWAG_DIED);
}

/* Asks the peer's position: 1 there are `count` bytes of room or of messages, 0 there are not; EBADMSG. */
static inline int wigwag_channel_look(struct wigwag_channel *c, uint64_t count)
{
    uint64_t limit = __atomic_load_n(&c->memory->lines[!c->role].position, __ATOMIC_ACQUIRE);
    if (c->role == WIGWAG_SENDER)
        limit += c->capacity;
    if (limit - c->at > c->capacity)
        return -EBADMSG;
    c->limit = limit;
    return limit - c->at >= count;
}

/* The same if that need not be asked. */
static inline int wigwag_channel_has(struct wigwag_channel *c, uint64_t count)
{
    return c->limit - c->at >= count ? 1 : wigwag_channel_look(c, count);
}

/* The same for one who will not wait: EPIPE where there are not, and nobody who could change that. */
static inline int wigwag_channel_may_have(struct wigwag_channel *c, uint64_t count)
{
    int has = wigwag_channel_has(c, count);
    if (has || wigwag_channel_lives(__atomic_load_n(&c->peer->life, __ATOMIC_ACQUIRE)) ||
        !__atomic_load_n(&c->peer->generation, __ATOMIC_ACQUIRE))
        return has;
    /* What it did before it went. */
    has = wigwag_channel_look(c, count);
    return has ? has : -EPIPE;
}

/* Looks for as long as a running peer may need: as above. */
static inline int wigwag_channel_spin(struct wigwag_channel *c, uint64_t count)
{
    uint32_t cpu = (uint32_t)sched_getcpu() + 1;
    int has = wigwag_channel_look(c, count);
    __atomic_store_n(&c->own->cpu, cpu, __ATOMIC_RELAXED);
    /* Nothing comes while we have the peer's processor. */
    if (__atomic_load_n(&c->peer->cpu, __ATOMIC_RELAXED) == cpu)
        return has;
    for (int looks = 0; !has && looks < WIGWAG_CHANNEL_LOOKS; looks++) {
#if defined __x86_64__ || defined __i386__
        __builtin_ia32_pause();
#endif
        has = wigwag_channel_look(c, count);
    }
    return has;
}

/* Waits until there are `count` bytes of room or of messages. 0, EPIPE, ETIMEDOUT, EBADMSG, EPERM in the child of a fork. */
static inline int wigwag_channel_wait(struct wigwag_channel *c, uint64_t count, int64_t timeout)
{
    struct wigwag_channel_end *peer = c->peer;
    int64_t deadline = wigwag_deadline(timeout);
    int error, has;
    if (c->pid != getpid())
        return -EPERM;
    /* Before anybody has ever sat there, nobody rings its life word. */
    for (;;) {
        uint32_t joins = __atomic_load_n(&c->memory->joins, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&peer->life, __ATOMIC_ACQUIRE) & ~WIGWAG_WAITERS ||
            __atomic_load_n(&peer->generation, __ATOMIC_SEQ_CST))
            break;
        if (deadline >= 0 && wigwag_now() >= deadline)
            return -ETIMEDOUT;
        if ((error = wigwag_futex_wait(&c->memory->joins, joins, deadline)))
            return error;
    }
    for (;;) {
        if ((has = wigwag_channel_spin(c, count)))
            return has < 0 ? has : 0;
        if (deadline >= 0 && wigwag_now() >= deadline)
            return -ETIMEDOUT;
        /* Mark the word, look once more, sleep only while it is what the mark left. */
        uint32_t life = __atomic_fetch_or(&peer->life, WIGWAG_WAITERS, __ATOMIC_SEQ_CST);
        int64_t until = deadline;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&peer->careful, __ATOMIC_SEQ_CST)) {
            int saved = errno;
            __atomic_store_n(&peer->careful, WIGWAG_CAREFUL, __ATOMIC_SEQ_CST);
            if (syscall(SYS_membarrier, WIGWAG_MEMBARRIER_EVERYWHERE, 0, 0)) {
                int64_t nap = wigwag_now() + WIGWAG_CHANNEL_NAP;
                __atomic_store_n(&peer->careful, WIGWAG_ALWAYS_CAREFUL, __ATOMIC_SEQ_CST);
                until = deadline < 0 || nap < deadline ? nap : deadline;
            }
            errno = saved;
        }
        /* For what came before the mark, or before the death. */
        if ((has = wigwag_channel_look(c, count)))
            return has < 0 ? has : 0;
        if (!wigwag_channel_lives(life)) {
            wigwag_futex_wake_all(&peer->life);
            return -EPIPE;
        }
        if ((error = wigwag_futex_wait(&peer->life, life | WIGWAG_WAITERS, until)))
            return error;
    }
}

/* Publishes its position, `count` bytes further. */
static inline void wigwag_channel_advance(struct wigwag_channel *c, uint64_t count)
{
    c->at += count;
    __atomic_store_n(&c->memory->lines[c->role].position, c->at, __ATOMIC_RELEASE);
    wigwag_channel_ring(c);
}

/* ---- Messages ---------------------------------------------------------------------------------- */

/* A record is the length in four bytes, then the message, then nothing up to a multiple of eight. */
static inline uint64_t wigwag_channel_record(size_t len)
{
    return ((uint64_t)len + 4 + 7) & ~(uint64_t)7;
}

static inline char *wigwag_channel_place(struct wigwag_channel *c)
{
    return c->ring + (c->at & (c->capacity - 1));
}

/* The longest message that fits. */
static inline size_t wigwag_channel_longest(const struct wigwag_channel *c)
{
    uint64_t longest = c->capacity - 4, most = UINT32_MAX - 8u;
    return (size_t)(longest < most ? longest : most);
}

static inline void wigwag_channel_put(struct wigwag_channel *c, const void *bytes, size_t len)
{
    char *place = wigwag_channel_place(c);
    *(volatile uint32_t *)(void *)place = (uint32_t)len;
    if (len)
        memcpy(place + 4, bytes, len);
    wigwag_channel_advance(c, wigwag_channel_record(len));
}

/* Without room in a channel that drops the newest: counts it. Only the sender writes the count. */
static inline void wigwag_channel_lose(struct wigwag_channel *c)
{
    uint64_t *lost = &c->memory->lines[WIGWAG_SENDER].lost;
    __atomic_store_n(lost, __atomic_load_n(lost, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* Sends one message if there is room. EAGAIN there is none (and a channel that drops the newest has counted it), EPIPE there is
 * none, and the receiver has left or was killed, EMSGSIZE it is longer than the longest, EBADMSG damaged, EBADF this end receives. */
static inline int wigwag_channel_try_send(struct wigwag_channel *c, const void *bytes, size_t len)
{
    if (c->role != WIGWAG_SENDER)
        return -EBADF;
    if (len > wigwag_channel_longest(c))
        return -EMSGSIZE;
    uint64_t count = wigwag_channel_record(len);
    int drops = c->full == WIGWAG_FULL_DROP_NEWEST;
    int has = drops ? wigwag_channel_has(c, count) : wigwag_channel_may_have(c, count);
    if (has > 0) {
        wigwag_channel_put(c, bytes, len);
        return 0;
    }
    if (!has && drops)
        wigwag_channel_lose(c);
    return has ? has : -EAGAIN;
}

/* Sends one message; waits for room. A channel that was made to fail says EAGAIN without room, one that drops the newest counts the
 * message and says 0. Besides the errors of try_send: ETIMEDOUT, and EPERM in the child of a fork. */
static inline int wigwag_channel_send(struct wigwag_channel *c, const void *bytes, size_t len, int64_t timeout)
{
    if (!timeout || c->role != WIGWAG_SENDER || len > wigwag_channel_longest(c))
        return wigwag_channel_try_send(c, bytes, len);
    int has = wigwag_channel_has(c, wigwag_channel_record(len));
    if (!has && c->full == WIGWAG_FULL_FAIL)
        return -EAGAIN;
    if (!has && c->full == WIGWAG_FULL_DROP_NEWEST) {
        wigwag_channel_lose(c);
        return 0;
    }
    int error = has < 0 ? has : has ? 0 : wigwag_channel_wait(c, wigwag_channel_record(len), timeout);
    if (!error)
        wigwag_channel_put(c, bytes, len);
    return error;
}

/* The first message, of which something is there. */
static inline int wigwag_channel_take(struct wigwag_channel *c, const void **bytes, size_t *len)
{
    char *place = wigwag_channel_place(c);
    size_t length = *(volatile uint32_t *)(void *)place;
    if (wigwag_channel_record(length) > c->limit - c->at)
        return -EBADMSG;
    c->held = wigwag_channel_record(length);
    *bytes = place + 4;
    *len = length;
    return 0;
}

/* Receives one message if there is one: *bytes are *len bytes in the ring, to be read until wigwag_channel_done. Until then
 * it is the same message that is received. EAGAIN it is empty, EPIPE it is empty, and the sender has left or was killed, EBADMSG
 * damaged, EBADF this end sends. */
static inline int wigwag_channel_try_recv(struct wigwag_channel *c, const void **bytes, size_t *len)
{
    if (c->role != WIGWAG_RECEIVER)
        return -EBADF;
    int has = wigwag_channel_may_have(c, 1);
    return has > 0 ? wigwag_channel_take(c, bytes, len) : has ? has : -EAGAIN;
}

/* The same; waits for it. Besides: ETIMEDOUT, and EPERM in the child of a fork. */
static inline int wigwag_channel_recv(struct wigwag_channel *c, const void **bytes, size_t *len, int64_t timeout)
{
    if (!timeout || c->role != WIGWAG_RECEIVER)
        return wigwag_channel_try_recv(c, bytes, len);
    int has = wigwag_channel_has(c, 1);
    int error = has < 0 ? has : has ? 0 : wigwag_channel_wait(c, 1, timeout);
    return error ? error : wigwag_channel_take(c, bytes, len);
}

/* Gives back the place of the message that was received last; without one, nothing. */
static inline void wigwag_channel_done(struct wigwag_channel *c)
{
    if (c->held)
        wigwag_channel_advance(c, c->held);
    c->held = 0;
}

#ifdef __cplusplus
}
#endif
#endif
