/* Sleeps on several futexes at a time. */
#include "victim.h"
#include <time.h>

struct waitv { uint64_t value, address; uint32_t flags, reserved; };
static uint32_t words[32];
enum { FIRST = 0, SECOND = 16, THIRD = 24, WAITV = 449, U32 = 2, PRIVATE = 128, WAITERS = 1u << 31 };

static void sleep_on(const uint32_t *one, const uint32_t *other, int private, long seconds) {
    struct waitv list[2] = {{*one, (uintptr_t)one, U32 | private, 0}, {*other, (uintptr_t)other, U32 | private, 0}};
    struct { int64_t seconds, nanoseconds; } limit = {0, 0};
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    limit.seconds = now.tv_sec + seconds;
    syscall(WAITV, list, 2, 0, seconds ? &limit : NULL, CLOCK_MONOTONIC);
    broken("futex_waitv");
}

static void *sleep_on_two(void *name) {
    role(name);
    sleep_on(&words[FIRST], &words[SECOND], PRIVATE, 0);
    return NULL;
}

/* Takes the word it is given as a robust or priority-inheriting lock is taken, and waits for the third. */
static void *own_and_wait(void *word) {
    role(word == &words[FIRST] ? "B" : "C");
    *(uint32_t *)word = WAITERS | syscall(SYS_gettid);
    meet(0, 3);
    syscall(SYS_futex, &words[THIRD], PRIVATE, words[THIRD], NULL, NULL, 0);
    broken("futex");
    return NULL;
}

static void *own_and_idle(void *word) {
    role("C");
    *(uint32_t *)word = WAITERS | syscall(SYS_gettid);
    meet(0, 3);
    idle();
    return NULL;
}

static void *sleep_on_owned(void *name) {
    role(name);
    words[THIRD] = WAITERS | syscall(SYS_gettid);
    meet(0, 3);
    sleep_on(&words[FIRST], &words[SECOND], PRIVATE, 0);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    prepare_meeting();
    words[FIRST] = 0, words[SECOND] = 5;
    CASE("waitv") {
        thread(sleep_on_two, "B");
        sleep_on_two("A");
    }
    CASE("waitv_live") {
        thread(sleep_on_two, "A");
        idle();
    }
    CASE("waitv_limited") {
        role("A");
        sleep_on(&words[FIRST], &words[SECOND], PRIVATE, 1000);
    }
    CASE("waitv_owned") {
        thread(own_and_wait, &words[FIRST]);
        thread(own_and_wait, &words[SECOND]);
        thread(sleep_on_owned, "A");
        idle();
    }
    CASE("waitv_owned_live") {
        thread(own_and_wait, &words[FIRST]);
        thread(own_and_idle, &words[SECOND]);
        thread(sleep_on_owned, "A");
        idle();
    }
    CASE("waitv_shared") {
        /* The other process could change the second word, which it has, too. */
        role("A");
        if (child() == 0) idle();
        sleep_on(&words[FIRST], (uint32_t *)&meeting[8], 0, 0);
    }
    CASE("waitv_shared_all") {
        const char *name = child() ? "A" : "B";
        role(name);
        sleep_on((uint32_t *)&meeting[*name == 'A' ? 8 : 9], (uint32_t *)&meeting[10], 0, 0);
    }
    return 2;
}
