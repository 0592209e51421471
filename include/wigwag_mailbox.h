/* wigwag_mailbox.h: one letter and a full/empty flag in memory that two unlike processors see.
 *
 * Layout, version 1: little-endian 32-bit words, no pointers.
 *
 *   offset  word                                              written by
 *   0       magic, the bytes "WBOX", last of all at set-up    creator
 *   4       version, 1                                        creator
 *   8       capacity in bytes, a multiple of 4                creator
 *   12..64  zero
 *   64      FLAG: 0 empty, 1 full                             poster 0->1, fetcher 1->0
 *   68      length of the letter in bytes                     poster
 *   72      kind of the letter, the program's own             poster
 *   76      number of the letter, counts up and wraps         poster
 *   80      1 while the fetcher sleeps and wants the bell     fetcher
 *   84      1 while the poster sleeps and wants the bell      poster
 *   88..128 zero
 *   128..   LETTER, in whole words, the last filled with zeros  poster
 *
 * One poster and one fetcher at a time. Needs the atomics of C11, or C++17, for 32-bit loads, stores and
 * fences only: no exchange crosses the bus. Hosted or not; nothing is allocated, no system call is made
 * unless WIGWAG_MAILBOX_FUTEX is defined before inclusion (Linux; with -std=c11 define _GNU_SOURCE before the first #include).
 *
 * MIT OR Apache-2.0.
 */
#ifndef WIGWAG_MAILBOX_H
#define WIGWAG_MAILBOX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __cplusplus
#include <atomic>
/* What C's <stdatomic.h> calls them. */
using std::atomic_load_explicit;
using std::atomic_store_explicit;
using std::atomic_thread_fence;
using std::memory_order;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;
typedef std::atomic<uint32_t> wigwag_mailbox_word;
static_assert(wigwag_mailbox_word::is_always_lock_free && sizeof(wigwag_mailbox_word) == 4, "a plain word");
#else
#include <stdatomic.h>
typedef _Atomic uint32_t wigwag_mailbox_word;
#endif

#define WIGWAG_MAILBOX_HEADER 128u
#define WIGWAG_MAILBOX_VERSION 1u
#define WIGWAG_MAILBOX_MAGIC 0x584f4257u /* "WBOX" */

enum wigwag_mailbox_result {
    WIGWAG_MAILBOX_OK = 0,
    WIGWAG_MAILBOX_FULL = 1,    /* there is a letter in it already */
    WIGWAG_MAILBOX_EMPTY = 2,   /* there is none */
    WIGWAG_MAILBOX_TOO_BIG = 3, /* longer than the mailbox or the buffer */
    WIGWAG_MAILBOX_CORRUPT = 4, /* flag or length cannot be */
    WIGWAG_MAILBOX_NOT_YET = 5, /* no magic: not made yet, or something else */
    WIGWAG_MAILBOX_VERSION_ = 6,
    WIGWAG_MAILBOX_MEMORY = 7 /* too small, or not aligned to 4 */
};

enum wigwag_mailbox_side { WIGWAG_MAILBOX_POSTER, WIGWAG_MAILBOX_FETCHER };

typedef struct {
    wigwag_mailbox_word *words;
    uint32_t capacity;
} wigwag_mailbox;

typedef struct {
    uint32_t length, kind, number;
} wigwag_letter;

enum {
    WIGWAG_MAILBOX_FLAG_AT = 16, WIGWAG_MAILBOX_LENGTH_AT, WIGWAG_MAILBOX_KIND_AT,
    WIGWAG_MAILBOX_NUMBER_AT, WIGWAG_MAILBOX_FETCHER_SLEEPS_AT, WIGWAG_MAILBOX_POSTER_SLEEPS_AT
};

/* The other byte order, on big-endian processors. */
static inline uint32_t wigwag_mailbox_le(uint32_t word)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (word >> 24) | ((word >> 8) & 0xff00u) | ((word << 8) & 0xff0000u) | (word << 24);
#else
    return word;
#endif
}

static inline uint32_t wigwag_mailbox_load(const wigwag_mailbox *box, unsigned at, memory_order order)
{
    return wigwag_mailbox_le(atomic_load_explicit(&box->words[at], order));
}

static inline void wigwag_mailbox_store(wigwag_mailbox *box, unsigned at, uint32_t value, memory_order order)
{
    atomic_store_explicit(&box->words[at], wigwag_mailbox_le(value), order);
}

/* Makes an empty mailbox for letters of up to `capacity` bytes, whatever the memory held. */
static inline int wigwag_mailbox_format(wigwag_mailbox *box, void *memory, size_t size, uint32_t capacity)
{
    uint32_t rounded = (capacity + 3u) & ~3u;
    if ((uintptr_t)memory % 4 || rounded < capacity || size < WIGWAG_MAILBOX_HEADER
        || size - WIGWAG_MAILBOX_HEADER < rounded)
        return WIGWAG_MAILBOX_MEMORY;
    box->words = (wigwag_mailbox_word *)memory;
    box->capacity = rounded;
    for (unsigned at = 0; at < WIGWAG_MAILBOX_HEADER / 4; at++)
        wigwag_mailbox_store(box, at, 0, memory_order_relaxed);
    wigwag_mailbox_store(box, 1, WIGWAG_MAILBOX_VERSION, memory_order_relaxed);
    wigwag_mailbox_store(box, 2, rounded, memory_order_relaxed);
    wigwag_mailbox_store(box, 0, WIGWAG_MAILBOX_MAGIC, memory_order_release);
    return WIGWAG_MAILBOX_OK;
}

/* Finds a mailbox that another has made. */
static inline int wigwag_mailbox_attach(wigwag_mailbox *box, void *memory, size_t size)
{
    if ((uintptr_t)memory % 4 || size < WIGWAG_MAILBOX_HEADER)
        return WIGWAG_MAILBOX_MEMORY;
    box->words = (wigwag_mailbox_word *)memory;
    if (wigwag_mailbox_load(box, 0, memory_order_acquire) != WIGWAG_MAILBOX_MAGIC)
        return WIGWAG_MAILBOX_NOT_YET;
    if (wigwag_mailbox_load(box, 1, memory_order_relaxed) != WIGWAG_MAILBOX_VERSION)
        return WIGWAG_MAILBOX_VERSION_;
    box->capacity = wigwag_mailbox_load(box, 2, memory_order_relaxed);
    if (box->capacity % 4 || box->capacity > size - WIGWAG_MAILBOX_HEADER)
        return WIGWAG_MAILBOX_MEMORY;
    return WIGWAG_MAILBOX_OK;
}

#ifdef WIGWAG_MAILBOX_FUTEX
#if defined __STRICT_ANSI__ && !defined _GNU_SOURCE && !defined _DEFAULT_SOURCE
#error "define _GNU_SOURCE before the first #include, or compile with -std=gnu11"
#endif
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
/* That whose times are as long as libc's. */
#if defined SYS_futex && defined SYS_futex_time64
#define WIGWAG_MAILBOX_SYS (sizeof(time_t) > sizeof(long) ? SYS_futex_time64 : SYS_futex)
#elif defined SYS_futex
#define WIGWAG_MAILBOX_SYS SYS_futex
#else
#define WIGWAG_MAILBOX_SYS SYS_futex_time64
#endif

/* The bell of Linux: wakes whoever sleeps on the flag. */
static inline void wigwag_mailbox_ring(wigwag_mailbox *box)
{
    syscall(WIGWAG_MAILBOX_SYS, &box->words[WIGWAG_MAILBOX_FLAG_AT], 1 /* FUTEX_WAKE */, 0x7fffffff, NULL, NULL, 0);
}

/* Sleeps while the flag is `flag`, at most `limit` (NULL: for ever). It may return too early. */
static inline void wigwag_mailbox_wait(wigwag_mailbox *box, enum wigwag_mailbox_side side, uint32_t flag,
                                       const struct timespec *limit)
{
    int fetcher = side == WIGWAG_MAILBOX_FETCHER;
    unsigned sleeps = fetcher ? WIGWAG_MAILBOX_FETCHER_SLEEPS_AT : WIGWAG_MAILBOX_POSTER_SLEEPS_AT;
    unsigned other = fetcher ? WIGWAG_MAILBOX_POSTER_SLEEPS_AT : WIGWAG_MAILBOX_FETCHER_SLEEPS_AT;
    wigwag_mailbox_store(box, sleeps, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    /* The other side could go on and sleeps: whoever should have rung may have died before. */
    if (wigwag_mailbox_load(box, WIGWAG_MAILBOX_FLAG_AT, memory_order_relaxed) == flag
        && wigwag_mailbox_load(box, other, memory_order_relaxed))
        wigwag_mailbox_ring(box);
    if (wigwag_mailbox_load(box, WIGWAG_MAILBOX_FLAG_AT, memory_order_relaxed) == flag)
        syscall(WIGWAG_MAILBOX_SYS, &box->words[WIGWAG_MAILBOX_FLAG_AT], 0 /* FUTEX_WAIT */, wigwag_mailbox_le(flag),
                limit, NULL, 0);
    wigwag_mailbox_store(box, sleeps, 0, memory_order_relaxed);
}
#else
/* Without a bell the other side polls. Hardware: write the doorbell register here instead. */
#ifndef WIGWAG_MAILBOX_RING
#define WIGWAG_MAILBOX_RING(box) ((void)(box))
#endif
static inline void wigwag_mailbox_ring(wigwag_mailbox *box) { WIGWAG_MAILBOX_RING(box); }
#endif

static inline void wigwag_mailbox_hand_over(wigwag_mailbox *box, uint32_t flag, unsigned sleeps)
{
    wigwag_mailbox_store(box, WIGWAG_MAILBOX_FLAG_AT, flag, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (wigwag_mailbox_load(box, sleeps, memory_order_relaxed))
        wigwag_mailbox_ring(box);
}

/* Rings for a side that sleeps though it could go on: what somebody did not live to do who died between handing
 * over and ringing. For his successor, when he begins. */
static inline int wigwag_mailbox_ring_again(wigwag_mailbox *box, enum wigwag_mailbox_side side)
{
    uint32_t flag = wigwag_mailbox_load(box, WIGWAG_MAILBOX_FLAG_AT, memory_order_acquire);
    int fetcher = side == WIGWAG_MAILBOX_FETCHER;
    if (flag > 1)
        return WIGWAG_MAILBOX_CORRUPT;
    atomic_thread_fence(memory_order_seq_cst);
    if (flag == (uint32_t)fetcher
        && wigwag_mailbox_load(box, fetcher ? WIGWAG_MAILBOX_FETCHER_SLEEPS_AT : WIGWAG_MAILBOX_POSTER_SLEEPS_AT,
                               memory_order_relaxed))
        wigwag_mailbox_ring(box);
    return WIGWAG_MAILBOX_OK;
}

/* Puts a letter in if the mailbox is empty. */
static inline int wigwag_mailbox_try_post(wigwag_mailbox *box, uint32_t kind, const void *letter, uint32_t length)
{
    uint32_t flag = wigwag_mailbox_load(box, WIGWAG_MAILBOX_FLAG_AT, memory_order_acquire);
    const unsigned char *bytes = (const unsigned char *)letter;
    if (length > box->capacity)
        return WIGWAG_MAILBOX_TOO_BIG;
    if (flag > 1)
        return WIGWAG_MAILBOX_CORRUPT;
    if (flag == 1)
        return WIGWAG_MAILBOX_FULL;
    for (uint32_t at = 0; at < length; at += 4) {
        uint32_t word = 0;
        memcpy(&word, bytes + at, length - at < 4 ? length - at : 4);
        atomic_store_explicit(&box->words[(WIGWAG_MAILBOX_HEADER + at) / 4], word, memory_order_relaxed);
    }
    wigwag_mailbox_store(box, WIGWAG_MAILBOX_LENGTH_AT, length, memory_order_relaxed);
    wigwag_mailbox_store(box, WIGWAG_MAILBOX_KIND_AT, kind, memory_order_relaxed);
    wigwag_mailbox_store(box, WIGWAG_MAILBOX_NUMBER_AT,
                         wigwag_mailbox_load(box, WIGWAG_MAILBOX_NUMBER_AT, memory_order_relaxed) + 1,
                         memory_order_relaxed);
    wigwag_mailbox_hand_over(box, 1, WIGWAG_MAILBOX_FETCHER_SLEEPS_AT);
    return WIGWAG_MAILBOX_OK;
}

/* Copies a letter out if there is one, and leaves the mailbox empty. A letter longer than `room` stays. */
static inline int wigwag_mailbox_try_fetch(wigwag_mailbox *box, void *buffer, uint32_t room, wigwag_letter *letter)
{
    uint32_t flag = wigwag_mailbox_load(box, WIGWAG_MAILBOX_FLAG_AT, memory_order_acquire);
    unsigned char *bytes = (unsigned char *)buffer;
    if (flag > 1)
        return WIGWAG_MAILBOX_CORRUPT;
    if (flag == 0)
        return WIGWAG_MAILBOX_EMPTY;
    letter->length = wigwag_mailbox_load(box, WIGWAG_MAILBOX_LENGTH_AT, memory_order_relaxed);
    letter->kind = wigwag_mailbox_load(box, WIGWAG_MAILBOX_KIND_AT, memory_order_relaxed);
    letter->number = wigwag_mailbox_load(box, WIGWAG_MAILBOX_NUMBER_AT, memory_order_relaxed);
    if (letter->length > box->capacity)
        return WIGWAG_MAILBOX_CORRUPT;
    if (letter->length > room)
        return WIGWAG_MAILBOX_TOO_BIG;
    for (uint32_t at = 0; at < letter->length; at += 4) {
        uint32_t word = atomic_load_explicit(&box->words[(WIGWAG_MAILBOX_HEADER + at) / 4], memory_order_relaxed);
        memcpy(bytes + at, &word, letter->length - at < 4 ? letter->length - at : 4);
    }
    wigwag_mailbox_hand_over(box, 0, WIGWAG_MAILBOX_POSTER_SLEEPS_AT);
    return WIGWAG_MAILBOX_OK;
}

#ifdef WIGWAG_MAILBOX_FUTEX
/* Puts a letter in, waiting for the mailbox to be empty. */
static inline int wigwag_mailbox_post(wigwag_mailbox *box, uint32_t kind, const void *letter, uint32_t length)
{
    int result;
    while ((result = wigwag_mailbox_try_post(box, kind, letter, length)) == WIGWAG_MAILBOX_FULL)
        wigwag_mailbox_wait(box, WIGWAG_MAILBOX_POSTER, 1, NULL);
    return result;
}

/* Copies a letter out, waiting for one. */
static inline int wigwag_mailbox_fetch(wigwag_mailbox *box, void *buffer, uint32_t room, wigwag_letter *letter)
{
    int result;
    while ((result = wigwag_mailbox_try_fetch(box, buffer, room, letter)) == WIGWAG_MAILBOX_EMPTY)
        wigwag_mailbox_wait(box, WIGWAG_MAILBOX_FETCHER, 0, NULL);
    return result;
}
#endif

#endif
