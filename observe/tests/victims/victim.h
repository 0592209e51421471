/* Common to all victims: each thread that matters says its role, and the program says when nothing more will happen. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* "role NAME PID TID", in one write. */
static inline void role(const char *name) {
    char line[128];
    int n = snprintf(line, sizeof line, "role %s %d %ld\n", name, getpid(), syscall(SYS_gettid));
    if (write(1, line, n) != n) abort();
}

/* Something else the test wants to know. */
static inline void say(const char *key, long value) {
    char line[128];
    int n = snprintf(line, sizeof line, "%s %ld\n", key, value);
    if (write(1, line, n) != n) abort();
}

/* Whatever should have blocked for ever has returned: the test fails. */
static inline void broken(const char *what) {
    char line[160];
    int n = snprintf(line, sizeof line, "broken %s: %s\n", what, strerror(errno));
    if (write(1, line, n) != n) abort();
    _exit(9);
}

static inline pthread_t thread(void *(*body)(void *), void *arg) {
    pthread_t t;
    if (pthread_create(&t, NULL, body, arg)) abort();
    return t;
}

/* A child that dies with its parent. */
static inline pid_t child(void) {
    pid_t pid = fork();
    if (pid < 0) abort();
    if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* A meeting point that is no facility under test: a page that both sides spin on. */
static volatile int *meeting;
static inline void prepare_meeting(void) {
    meeting = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (meeting == MAP_FAILED) abort();
}
static inline void meet(int place, int parties) {
    __sync_fetch_and_add(&meeting[place], 1);
    while (meeting[place] < parties) usleep(1000);
}

/* The main thread has nothing to do, and is not stuck either. */
static inline void idle(void) {
    for (;;) sleep(1000);
}

#define CASE(name) if (!strcmp(argv[1], name))
