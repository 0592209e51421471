/* One end of a channel as wigwag_channel.h has it, with its atomics and its system calls given to a model checker. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
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

/* What the checker does; `where` is the function of the header that asks. */
struct checker {
    uint64_t (*load)(const void *place, size_t size, int order, const char *where);
    void (*store)(void *place, size_t size, uint64_t value, int order, const char *where);
    uint64_t (*change)(char how, void *place, uint64_t value, int order, const char *where);
    void (*fence)(int order, const char *where);
    long (*wait)(uint32_t *word, uint32_t expected);
    void (*wake)(uint32_t *word);
    void (*clear_and_wake)(uint32_t *word);
    long (*membarrier)(void);
};
static struct checker checker;

static long system_call(long number, ...)
{
    long result = 0;
    va_list rest;
    va_start(rest, number);
    if (number == SYS_membarrier) {
        result = checker.membarrier();
    } else if (number == SYS_futex) {
        uint32_t *word = va_arg(rest, uint32_t *);
        int operation = va_arg(rest, int);
        unsigned value = va_arg(rest, unsigned);
        if (operation == 9)
            result = checker.wait(word, value);
        else if (operation == 1)
            checker.wake(word);
        else if (operation == 5)
            checker.clear_and_wake(word);
        else
            abort();
    } else {
        abort();
    }
    va_end(rest);
    return result;
}

#define __atomic_load_n(p, order) ((__typeof__(*(p)))checker.load((p), sizeof *(p), (order), __func__))
#define __atomic_store_n(p, value, order) checker.store((p), sizeof *(p), (uint64_t)(value), (order), __func__)
#define __atomic_fetch_add(p, value, order) ((__typeof__(*(p)))checker.change('+', (p), (value), (order), __func__))
#define __atomic_fetch_or(p, value, order) ((__typeof__(*(p)))checker.change('|', (p), (value), (order), __func__))
#define __atomic_fetch_and(p, value, order) ((__typeof__(*(p)))checker.change('&', (p), (value), (order), __func__))
#define __atomic_thread_fence(order) checker.fence((order), __func__)
#define syscall system_call
/* Both ends are on one processor, so nobody spins. */
#define sched_getcpu() 0

#include "wigwag_channel.h"

void model_begin(const struct checker *with)
{
    checker = *with;
}

struct wigwag_channel_memory *model_memory(void)
{
    struct wigwag_channel_memory *memory = calloc(1, sizeof *memory);
    for (int role = 0; memory && role < 2; role++) {
        /* Somebody has sat there. */
        memory->ends[role].generation = 1;
        memory->ends[role].cpu = 1;
    }
    return memory;
}

struct wigwag_channel *model_end(struct wigwag_channel_memory *memory, int role, uint64_t capacity)
{
    struct wigwag_channel *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->role = (enum wigwag_channel_role)role;
    c->pid = getpid();
    c->memory = memory;
    c->own = &memory->ends[role];
    c->peer = &memory->ends[!role];
    c->capacity = capacity;
    c->limit = c->role == WIGWAG_SENDER ? capacity : 0;
    return c;
}

/* As send and recv: 0 there is room or a value, EPIPE the peer has left and there is none. */
int model_wait(struct wigwag_channel *c)
{
    int has = wigwag_channel_has(c, 1);
    return has < 0 ? has : has ? 0 : wigwag_channel_wait(c, 1, -1);
}

uint64_t model_position(const struct wigwag_channel *c)
{
    return c->at;
}

void model_advance(struct wigwag_channel *c)
{
    wigwag_channel_advance(c, 1);
}

void model_free(void *allocated)
{
    free(allocated);
}
