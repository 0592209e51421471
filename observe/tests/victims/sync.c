/* Readers-writer locks, conditions, barriers, semaphores, joins, stdio: what pthreads and C have besides the mutex. */
#include "victim.h"
#include <semaphore.h>

static pthread_rwlock_t rw_a = PTHREAD_RWLOCK_INITIALIZER, rw_b = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t sem_private_a, sem_private_b, *sem_a = &sem_private_a, *sem_b = &sem_private_b;
static pthread_t main_thread, first;
static FILE *file_a, *file_b;

static void *rw_other(void *arg) {
    role("B");
    pthread_rwlock_wrlock(&rw_b);
    meet(0, 2);
    pthread_rwlock_wrlock(&rw_a);
    broken("wrlock");
    return arg;
}

static void *rw_one(void *arg) {
    role("A");
    pthread_rwlock_wrlock(&rw_a);
    meet(0, 2);
    pthread_rwlock_rdlock(&rw_b);
    broken("rdlock");
    return arg;
}

static void *rw_reader(void *arg) {
    role("reader");
    pthread_rwlock_rdlock(&rw_a);
    meet(0, 2);
    pthread_mutex_lock(&mutex);
    broken("lock");
    return arg;
}

static void *sem_other(void *arg) {
    role("B");
    sem_wait(sem_b);
    meet(0, 2);
    sem_wait(sem_a);
    broken("sem_wait");
    return arg;
}

static void *arrive(void *name) {
    role(name);
    pthread_barrier_wait(&barrier);
    broken("barrier");
    return NULL;
}

static void *wait_signal(void *name) {
    role(name);
    pthread_mutex_lock(&mutex);
    pthread_cond_wait(&cond, &mutex);
    broken("cond_wait");
    return NULL;
}

static void *join_first(void *arg) {
    role("B");
    meet(0, 2);
    pthread_join(main_thread, NULL);
    broken("join");
    return arg;
}

static void *join_second(void *arg) {
    role("A");
    main_thread = pthread_self();
    meet(0, 2);
    pthread_join(first, NULL);
    broken("join");
    return arg;
}

static void *stdio_other(void *arg) {
    role("B");
    flockfile(file_b);
    meet(0, 2);
    fputc('x', file_a);
    broken("fputc");
    return arg;
}

static void *stdio_one(void *arg) {
    role("A");
    flockfile(file_a);
    meet(0, 2);
    fputc('x', file_b);
    broken("fputc");
    return arg;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    prepare_meeting();
    CASE("rwlock") {
        thread(rw_one, NULL);
        thread(rw_other, NULL);
        idle();
    }
    CASE("rwlock_held_by_reader") {
        /* A reader waits for a mutex that the main thread has, which wants to write: the reader is not recorded. */
        pthread_mutex_lock(&mutex);
        thread(rw_reader, NULL);
        role("A");
        meet(0, 2);
        pthread_rwlock_wrlock(&rw_a);
        broken("wrlock");
    }
    CASE("condvar_alone") wait_signal("A");
    CASE("condvar_all") {
        thread(wait_signal, "A");
        wait_signal("B");
    }
    CASE("condvar_live") {
        /* The main thread sleeps and may signal then. */
        thread(wait_signal, "A");
        idle();
    }
    CASE("barrier") {
        pthread_barrier_init(&barrier, NULL, 3);
        thread(arrive, "A");
        arrive("B");
    }
    CASE("join") {
        first = thread(join_first, NULL);
        thread(join_second, NULL);
        idle();
    }
    CASE("stdio") {
        file_a = tmpfile();
        file_b = tmpfile();
        thread(stdio_one, NULL);
        thread(stdio_other, NULL);
        idle();
    }
    CASE("sem") {
        sem_init(sem_a, 0, 1);
        sem_init(sem_b, 0, 1);
        thread(sem_other, NULL);
        role("A");
        sem_wait(sem_a);
        meet(0, 2);
        sem_wait(sem_b);
        broken("sem_wait");
    }
    CASE("sem_shared") {
        sem_a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        sem_b = sem_a + 1;
        sem_init(sem_a, 1, 1);
        sem_init(sem_b, 1, 1);
        if (child() == 0) sem_other(NULL);
        role("A");
        sem_wait(sem_a);
        meet(0, 2);
        sem_wait(sem_b);
        broken("sem_wait");
    }
    CASE("sem_named") {
        sem_a = sem_open(argv[2], O_CREAT, 0600, 1);
        sem_b = sem_open(argv[3], O_CREAT, 0600, 1);
        if (argc > 4) {
            /* A waiter that is killed leaves its count behind. */
            sem_wait(sem_b);
            pid_t pid = child();
            if (pid == 0) {
                role("killed");
                sem_wait(sem_b);
            }
            while (((volatile int *)sem_b)[1] == 0) usleep(1000);
            usleep(20000);
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            sem_post(sem_b);
        }
        if (child() == 0) sem_other(NULL);
        role("A");
        sem_wait(sem_a);
        meet(0, 2);
        sem_wait(sem_b);
        broken("sem_wait");
    }
    CASE("sem_handler") {
        /* Only a signal handler posts. */
        extern void post(int);
        signal(SIGUSR1, post);
        sem_init(sem_a, 0, 0);
        role("A");
        while (sem_wait(sem_a)) {}
        broken("sem_wait");
    }
    return 2;
}

void post(int signal) {
    (void)signal;
    sem_post(sem_a);
}
