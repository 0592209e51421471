/* Uses a segment of a Rust program through wigwag.h, one command a line. usage: user PATH */
#define _GNU_SOURCE
#include "wigwag.h"

#include <fcntl.h>
#include <stdlib.h>

struct table {
    struct {
        struct wigwag_mutex lock __attribute__((aligned(64)));
        uint64_t a, b;
    } pair;
    struct wigwag_semaphore ping, pong, binary;
} __attribute__((aligned(64)));

/* A thread that ends with the mutex while the process lives on. */
static void *lock_and_end(void *m)
{
    int e = wigwag_mutex_lock(m, -1);
    pthread_exit((void *)(intptr_t)e);
}

static int run(struct table *t, const char *verb, const char *what)
{
    int64_t timeout = strtoll(what, NULL, 10);
    int e = 0;
    if (!strcmp(verb, "lock"))
        return wigwag_mutex_lock(&t->pair.lock, timeout);
    if (!strcmp(verb, "unlock"))
        return wigwag_mutex_unlock(&t->pair.lock);
    if (!strcmp(verb, "give-up"))
        return wigwag_mutex_give_up(&t->pair.lock);
    if (!strcmp(verb, "repair")) {
        t->pair.b = t->pair.a;
        wigwag_mutex_consistent(&t->pair.lock);
        return 0;
    }
    if (!strcmp(verb, "end-a-thread")) {
        pthread_t thread;
        void *ended;
        if ((e = pthread_create(&thread, NULL, lock_and_end, &t->pair.lock)))
            return e;
        e = pthread_join(thread, &ended);
        return e ? e : (int)(intptr_t)ended;
    }
    if (!strcmp(verb, "tear")) {
        t->pair.a++;
        return 0;
    }
    if (!strcmp(verb, "count")) {
        for (int i = 0; i < 20000 && !e; i++) {
            if ((e = wigwag_mutex_lock(&t->pair.lock, -1)))
                return e;
            if (t->pair.a != t->pair.b)
                return EILSEQ;
            t->pair.a++;
            t->pair.b++;
            e = wigwag_mutex_unlock(&t->pair.lock);
        }
        return e;
    }
    if (!strcmp(verb, "wait"))
        return wigwag_semaphore_wait(&t->ping, timeout);
    if (!strcmp(verb, "post"))
        return wigwag_semaphore_post(&t->pong, 1);
    if (!strcmp(verb, "post-binary"))
        return wigwag_semaphore_post(&t->binary, 1);
    if (!strcmp(verb, "echo")) {
        for (int i = 0; i < 2000 && !e; i++)
            e = wigwag_semaphore_wait(&t->ping, -1) || wigwag_semaphore_post(&t->pong, 1);
        return e;
    }
    return ENOSYS;
}

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
    if (fd < 0)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct table *t = (struct table *)wigwag_value(fd, sizeof *t, 0);
    if (!t) {
        printf("errno %d\n", errno);
        return 1;
    }
    if (wigwag_value(fd, sizeof(struct table) + 64, 0) || errno != EINVAL)
        return 3; /* a value of another size must be refused */
    if (wigwag_value(fd, sizeof(struct table), 12345) || errno != EINVAL)
        return 4; /* and another layout */
    printf("%zu\n", sizeof *t);
    char line[64], verb[32], what[32];
    while (fgets(line, sizeof line, stdin)) {
        strcpy(what, "-1");
        if (sscanf(line, "%31s %31s", verb, what) < 1)
            continue;
        int e = run(t, verb, what);
        if (e)
            printf("errno %d\n", e);
        else
            printf("ok\n");
    }
    return 0;
}
