/* Lays out (or finds) pthread objects in shared memory and does with them what it is told,
 * one command a line. Answers "ok" or "errno N". usage: peer init|join PATH */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct shared {
    pthread_mutex_t robust, inherit, normal;
    pthread_cond_t cond;
    pthread_rwlock_t rwlock;
    pthread_barrier_t barrier;
    sem_t sem;
    long a, b, flag;
};

static void must(int errnum, const char *what)
{
    if (errnum) {
        fprintf(stderr, "%s: %s\n", what, strerror(errnum));
        exit(1);
    }
}

static void init_mutex(pthread_mutex_t *mutex, int robust, int protocol)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    must(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED), "pshared");
    if (robust)
        must(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST), "robust");
    must(pthread_mutexattr_setprotocol(&attr, protocol), "protocol");
    must(pthread_mutex_init(mutex, &attr), "mutex");
}

static void init(struct shared *s)
{
    init_mutex(&s->robust, 1, PTHREAD_PRIO_NONE);
    init_mutex(&s->inherit, 1, PTHREAD_PRIO_INHERIT);
    init_mutex(&s->normal, 0, PTHREAD_PRIO_NONE);
    pthread_condattr_t c;
    pthread_condattr_init(&c);
    pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
    must(pthread_cond_init(&s->cond, &c), "cond");
    pthread_rwlockattr_t r;
    pthread_rwlockattr_init(&r);
    pthread_rwlockattr_setpshared(&r, PTHREAD_PROCESS_SHARED);
    must(pthread_rwlock_init(&s->rwlock, &r), "rwlock");
    pthread_barrierattr_t b;
    pthread_barrierattr_init(&b);
    pthread_barrierattr_setpshared(&b, PTHREAD_PROCESS_SHARED);
    must(pthread_barrier_init(&s->barrier, &b, 2), "barrier");
    must(sem_init(&s->sem, 1, 0) ? errno : 0, "sem");
}

static pthread_mutex_t *mutex_of(struct shared *s, const char *name)
{
    return !strcmp(name, "robust") ? &s->robust : !strcmp(name, "inherit") ? &s->inherit : &s->normal;
}

static int lock(pthread_mutex_t *mutex)
{
    int e = pthread_mutex_lock(mutex);
    if (e == EOWNERDEAD) {
        pthread_mutex_consistent(mutex);
        return 0;
    }
    return e;
}

static int run(struct shared *s, const char *verb, const char *what)
{
    int e = 0;
    if (!strcmp(verb, "lock"))
        return pthread_mutex_lock(mutex_of(s, what));
    if (!strcmp(verb, "consistent"))
        return pthread_mutex_consistent(mutex_of(s, what));
    if (!strcmp(verb, "try"))
        return pthread_mutex_trylock(mutex_of(s, what));
    if (!strcmp(verb, "unlock"))
        return pthread_mutex_unlock(mutex_of(s, what));
    if (!strcmp(verb, "count")) { /* both numbers change under the lock only */
        pthread_mutex_t *m = mutex_of(s, what);
        for (int i = 0; i < 20000 && !e; i++) {
            if ((e = lock(m)))
                return e;
            s->a++;
            s->b++;
            e = pthread_mutex_unlock(m);
        }
        return e;
    }
    if (!strcmp(verb, "wait")) {
        if ((e = lock(&s->robust)))
            return e;
        while (!s->flag && !e)
            e = pthread_cond_wait(&s->cond, &s->robust);
        s->flag = 0;
        pthread_mutex_unlock(&s->robust);
        return e;
    }
    if (!strcmp(verb, "signal")) {
        if ((e = lock(&s->robust)))
            return e;
        s->flag = 1;
        pthread_cond_signal(&s->cond);
        return pthread_mutex_unlock(&s->robust);
    }
    if (!strcmp(verb, "read"))
        return pthread_rwlock_rdlock(&s->rwlock);
    if (!strcmp(verb, "write"))
        return pthread_rwlock_wrlock(&s->rwlock);
    if (!strcmp(verb, "trywrite"))
        return pthread_rwlock_trywrlock(&s->rwlock);
    if (!strcmp(verb, "rwunlock"))
        return pthread_rwlock_unlock(&s->rwlock);
    if (!strcmp(verb, "barrier")) {
        e = pthread_barrier_wait(&s->barrier);
        return e == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : e;
    }
    if (!strcmp(verb, "post"))
        return sem_post(&s->sem) ? errno : 0;
    if (!strcmp(verb, "take"))
        return sem_wait(&s->sem) ? errno : 0;
    return ENOSYS;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int creator = !strcmp(argv[1], "init");
    int fd = open(argv[2], O_RDWR | (creator ? O_CREAT : 0), 0600);
    if (fd < 0 || (creator && ftruncate(fd, sizeof(struct shared)))) {
        perror(argv[2]);
        return 1;
    }
    struct shared *s = mmap(0, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    if (creator)
        init(s);
    setvbuf(stdout, 0, _IOLBF, 0);
    printf("%zu %zu\n", sizeof *s, offsetof(struct shared, sem));
    char line[64], verb[32], what[32];
    while (fgets(line, sizeof line, stdin)) {
        what[0] = 0;
        if (sscanf(line, "%31s %31s", verb, what) < 1)
            continue;
        int e = run(s, verb, what);
        if (e)
            printf("errno %d\n", e);
        else
            printf("ok\n");
    }
    return 0;
}
