/* A thread that waits for its io_uring: a read of an empty pipe, which nobody else can write, or only who waits for it. */
#include "victim.h"
#include <linux/io_uring.h>

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    struct io_uring_params params = {0};
    int ring = syscall(SYS_io_uring_setup, 8, &params);
    if (ring < 0) broken("io_uring_setup");
    char *sq = mmap(NULL, params.sq_off.array + params.sq_entries * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED,
                    ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *requests = mmap(NULL, params.sq_entries * sizeof *requests, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                                         IORING_OFF_SQES);
    int fds[2];
    static char byte;
    int back[2];
    if (sq == MAP_FAILED || requests == MAP_FAILED || pipe(fds) || pipe(back)) broken("mmap, pipe");
    CASE("registered") {
        /* B has the write end in its ring only, and is not stuck. */
        if (child() == 0) {
            if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fds[1], 1)) broken("register");
            close(fds[1]);
            role("B");
            idle();
        }
        close(ring), munmap(sq, 4096), munmap(requests, 4096);
        role("A");
        read(fds[0], &byte, 1);
        broken("read");
    }
    CASE("crossed") {
        /* B waits for A before it writes what A waits for. */
        if (child() == 0) {
            close(ring), close(back[1]);
            role("B");
            read(back[0], &byte, 1);
            broken("read");
        }
        close(fds[1]), close(back[0]);
    }
    CASE("served") {
        if (child() == 0) close(ring), idle();
        close(fds[1]);
    }
    requests[0].opcode = IORING_OP_READ;
    requests[0].fd = fds[0];
    requests[0].addr = (uintptr_t)&byte;
    requests[0].len = 1;
    *(uint32_t *)(sq + params.sq_off.array) = 0;
    __atomic_store_n((uint32_t *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    struct { int64_t seconds, nanoseconds; } limit = {1000, 0};
    struct { uint64_t mask; uint32_t size, pad; uint64_t limit; } argument = {0, 8, 0, 0};
    say("ring", ring);
    role("A");
    if (strcmp(argv[1], "extended") && strcmp(argv[1], "limited")) syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    CASE("limited") argument.limit = (uintptr_t)&limit;
    syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof argument);
    broken("io_uring_enter");
}
