/* Mutexes of every kind. Case names: see main. */
#include "victim.h"

static pthread_mutex_t *a, *b;

static void init(pthread_mutex_t *m, int type, int robust, int protocol, int shared) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, type);
    if (robust) pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (protocol) pthread_mutexattr_setprotocol(&attr, protocol);
    if (shared) pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (pthread_mutex_init(m, &attr)) abort();
}

static void *page(const char *path) {
    int fd = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    if (path && ftruncate(fd, 4096)) abort();
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | (path ? 0 : MAP_ANONYMOUS), fd, 0);
    if (at == MAP_FAILED) abort();
    if (path) close(fd);
    return at;
}

static void *other_way(void *arg) {
    role("B");
    pthread_mutex_lock(b);
    meet(0, 2);
    pthread_mutex_lock(a);
    broken("lock");
    return arg;
}

static void one_way(void) {
    role("A");
    pthread_mutex_lock(a);
    meet(0, 2);
    pthread_mutex_lock(b);
    broken("lock");
}

static void *one_way_thread(void *arg) {
    one_way();
    return arg;
}

static void *lock_and_end(void *arg) {
    pthread_mutex_lock(a);
    return arg;
}

static void *lock_and_sleep(void *arg) {
    pthread_mutex_lock(a);
    meet(1, 2);
    idle();
    return arg;
}

static void *lock_and_wait_for_input(void *arg) {
    int *pipe_fds = arg;
    role("owner");
    pthread_mutex_lock(a);
    meet(1, 2);
    char c;
    if (read(pipe_fds[0], &c, 1) <= 0) idle();
    return arg;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    prepare_meeting();
    void *memory = page(argc > 2 ? argv[2] : NULL);
    a = memory;
    b = (pthread_mutex_t *)((char *)memory + 256);
    const char *name = argv[1];
    int shared = !strncmp(name, "shared_", 7);
    if (shared) name += 7;
    int type = PTHREAD_MUTEX_NORMAL, robust = 0, protocol = 0;
    if (!strcmp(name, "recursive")) type = PTHREAD_MUTEX_RECURSIVE;
    if (!strcmp(name, "errorcheck")) type = PTHREAD_MUTEX_ERRORCHECK;
#ifdef PTHREAD_MUTEX_ADAPTIVE_NP
    if (!strcmp(name, "adaptive")) type = PTHREAD_MUTEX_ADAPTIVE_NP;
#endif
    if (!strcmp(name, "robust")) robust = 1;
    if (!strcmp(name, "pi")) protocol = PTHREAD_PRIO_INHERIT;
    /* Who comes second finds them made. */
    if (strcmp(name, "waiter")) {
        init(a, type, robust, protocol, shared);
        init(b, type, robust, protocol, shared);
    }
    if (!shared) {
        /* Private ones live in private memory. */
        static pthread_mutex_t private_a, private_b;
        memcpy(&private_a, a, sizeof private_a);
        memcpy(&private_b, b, sizeof private_b);
        a = &private_a;
        b = &private_b;
    }

    CASE("shared_holder") {
        pthread_mutex_lock(a);
        role("A");
        idle();
    }
    CASE("shared_waiter") {
        role("A");
        pthread_mutex_lock(a);
        broken("lock");
    }
    CASE("self") {
        role("A");
        pthread_mutex_lock(a);
        pthread_mutex_lock(a);
        broken("lock");
    }
    CASE("owner_exited") {
        role("A");
        pthread_join(thread(lock_and_end, NULL), NULL);
        pthread_mutex_lock(a);
        broken("lock");
    }
    CASE("shared_owner_killed") {
        role("A");
        pid_t pid = child();
        if (pid == 0) {
            pthread_mutex_lock(a);
            raise(SIGKILL);
        }
        waitpid(pid, NULL, 0);
        pthread_mutex_lock(a);
        broken("lock");
    }
    CASE("shared_owner_zombie") {
        role("A");
        pid_t pid = child();
        if (pid == 0) {
            pthread_mutex_lock(a);
            raise(SIGKILL);
        }
        siginfo_t info;
        waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
        pthread_mutex_lock(a);
        broken("lock");
    }
    CASE("at_fork") {
        thread(lock_and_sleep, NULL);
        meet(1, 2);
        if (child() == 0) {
            role("A");
            pthread_mutex_lock(a);
            broken("lock");
        }
        idle();
    }
    CASE("live_owner") {
        /* The owner waits for input that may come: nobody is stuck. */
        static int fds[2];
        if (pipe(fds)) abort();
        thread(lock_and_sleep, NULL);
        meet(1, 2);
        role("A");
        pthread_mutex_lock(a);
        broken("lock");
    }
    CASE("owner_waits_for_main") {
        /* The owner reads a pipe whose writer is the main thread of the other process. */
        static int fds[2];
        if (pipe(fds)) abort();
        thread(lock_and_wait_for_input, fds);
        meet(1, 2);
        role("A");
        pthread_mutex_lock(a);
        broken("lock");
    }
    CASE("timed") {
        thread(lock_and_sleep, NULL);
        meet(1, 2);
        role("A");
        struct timespec far;
        clock_gettime(CLOCK_REALTIME, &far);
        far.tv_sec += 1000;
        pthread_mutex_timedlock(a, &far);
        broken("lock");
    }
    CASE("joined") {
        thread(other_way, NULL);
        pthread_t first = thread(one_way_thread, NULL);
        role("main");
        pthread_join(first, NULL);
        broken("join");
    }
    if (shared) {
        if (child() == 0) other_way(NULL);
        one_way();
    }
    thread(other_way, NULL);
    thread(one_way_thread, NULL);
    idle();
}
