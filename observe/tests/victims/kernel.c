/* File locks, System V, processes and mixtures: waits that the kernel itself keeps. */
#include "victim.h"
#include <sched.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/socket.h>

static int open_file(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) broken("open");
    return fd;
}

static void lock_range(int fd, int command, int start, int length) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    if (fcntl(fd, command, &lock)) broken("fcntl");
}

static void sem_change(int id, int number, int change) {
    struct sembuf operation = {number, change, 0};
    if (semop(id, &operation, 1)) broken("semop");
}

static pthread_mutex_t *shared_mutex(void) {
    pthread_mutex_t *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(m, &attr);
    return m;
}

static void take(int fd, const char *name) {
    char byte;
    role(name);
    read(fd, &byte, 1);
    broken("read");
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    prepare_meeting();
    int p[2];

    CASE("flock") {
        if (child() == 0) {
            int b = open_file(argv[3]), a = open_file(argv[2]);
            role("B");
            flock(b, LOCK_EX);
            meet(0, 2);
            flock(a, LOCK_EX);
            broken("flock");
        }
        int a = open_file(argv[2]), b = open_file(argv[3]);
        role("A");
        flock(a, LOCK_EX);
        meet(0, 2);
        flock(b, LOCK_EX);
        broken("flock");
    }
    CASE("flock_inherited") {
        /* The taker is dead; its child has the lock and waits for us. */
        if (pipe(p)) abort();
        if (fork() == 0) {
            int a = open_file(argv[2]);
            flock(a, LOCK_EX);
            if (child() == 0) {
                prctl(PR_SET_PDEATHSIG, 0);
                close(p[1]);
                meet(0, 1);
                take(p[0], "B");
            }
            _exit(0);
        }
        wait(NULL);
        meet(0, 2);
        int a = open_file(argv[2]);
        role("A");
        flock(a, LOCK_EX);
        broken("flock");
    }
    CASE("flock_shared") {
        /* An exclusive request against two shared holders: one runs, one waits for us; that is enough to be stuck. */
        if (pipe(p)) abort();
        for (int i = 0; i < 2; i++)
            if (child() == 0) {
                int a = open_file(argv[2]);
                flock(a, LOCK_SH);
                close(p[1]);
                meet(0, 3);
                if (i == 0) take(p[0], "B");
                role("C");
                idle();
            }
        meet(0, 3);
        int a = open_file(argv[2]);
        role("A");
        flock(a, LOCK_EX);
        broken("flock");
    }
    CASE("posix_and_pipe") {
        /* The kernel would refuse a cycle of record locks alone. */
        if (pipe(p)) abort();
        int a = open_file(argv[2]);
        if (child() == 0) {
            lock_range(a, F_SETLK, 10, 10);
            close(p[1]);
            meet(0, 2);
            take(p[0], "B");
        }
        meet(0, 2);
        role("A");
        lock_range(a, F_SETLKW, 0, 15);
        broken("fcntl");
    }
    CASE("ofd") {
        for (int i = 0; i < 2; i++)
            if (child() == 0) {
                int fd = open_file(argv[2]);
                role(i ? "B" : "A");
                lock_range(fd, F_OFD_SETLKW, i * 100, 10);
                meet(0, 2);
                lock_range(fd, F_OFD_SETLKW, (1 - i) * 100, 10);
                broken("fcntl");
            }
        idle();
    }
    CASE("lease") {
        /* The kernel breaks the lease after 45 s: not stuck. */
        int a = open_file(argv[2]);
        signal(SIGIO, SIG_IGN);
        close(a);
        a = open(argv[2], O_RDONLY);
        if (fcntl(a, F_SETLEASE, F_RDLCK)) broken("lease");
        if (child() == 0) {
            role("A");
            open(argv[2], O_WRONLY);
            broken("open");
        }
        role("B");
        idle();
    }
    CASE("sysv_sem") {
        int id = semget(IPC_PRIVATE, 2, 0600);
        say("semid", id);
        semctl(id, 0, SETVAL, 1);
        semctl(id, 1, SETVAL, 1);
        for (int i = 0; i < 2; i++)
            if (child() == 0) {
                role(i ? "B" : "A");
                sem_change(id, i, -1);
                meet(0, 2);
                sem_change(id, 1 - i, -1);
                broken("semop");
            }
        idle();
    }
    CASE("sysv_mq") {
        /* Each has sent to the other once, and both receive more. */
        int a = msgget(IPC_PRIVATE, 0600), b = msgget(IPC_PRIVATE, 0600);
        say("msgid", a);
        say("msgid", b);
        for (int i = 0; i < 2; i++)
            if (child() == 0) {
                struct { long type; char text[8]; } message = {1, "x"};
                role(i ? "B" : "A");
                if (msgsnd(i ? a : b, &message, 8, 0)) broken("msgsnd");
                if (msgrcv(i ? b : a, &message, 8, 0, 0) < 0) broken("msgrcv");
                msgrcv(i ? b : a, &message, 8, 0, 0);
                broken("msgrcv");
            }
        idle();
    }
    CASE("sysv_mq_idle") {
        int a = msgget(IPC_PRIVATE, 0600);
        say("msgid", a);
        struct { long type; char text[8]; } message;
        role("A");
        msgrcv(a, &message, 8, 0, 0);
        broken("msgrcv");
    }
    CASE("waitpid") {
        if (pipe(p)) abort();
        pid_t pid = child();
        if (pid == 0) {
            close(p[1]);
            take(p[0], "B");
        }
        role("A");
        waitpid(argc > 2 ? -1 : pid, NULL, 0);
        broken("wait");
    }
    CASE("vfork") {
        if (pipe(p)) abort();
        role("A");
        pid_t pid = vfork();
        if (pid == 0) {
            /* The read end's partner is the parent, which sleeps until we go. */
            role("B");
            char byte;
            close(p[1]);
            syscall(SYS_read, p[0], &byte, 1);
            broken("read");
        }
        broken("vfork");
    }
    CASE("stopped") {
        /* B has the lock and is stopped. */
        pthread_mutex_t *m = shared_mutex();
        if (child() == 0) {
            pthread_mutex_lock(m);
            role("B");
            meet(0, 1);
            raise(SIGSTOP);
            idle();
        }
        meet(0, 2);
        role("A");
        pthread_mutex_lock(m);
        broken("lock");
    }
    CASE("holder_sleeps") {
        /* B has the lock and does nothing for a long time: the test freezes it, or not. */
        pthread_mutex_t *m = shared_mutex();
        if (child() == 0) {
            pthread_mutex_lock(m);
            role("B");
            meet(0, 1);
            idle();
        }
        meet(0, 2);
        role("A");
        pthread_mutex_lock(m);
        broken("lock");
    }
    CASE("traced") {
        /* A is stopped by its tracer B, which waits for A in another way. */
        if (pipe(p)) abort();
        pid_t pid = child();
        if (pid == 0) {
            close(p[0]);
            role("A");
            ptrace(PTRACE_TRACEME, 0, NULL, NULL);
            raise(SIGSTOP);
            write(p[1], "x", 1);
            broken("trace");
        }
        close(p[1]);
        waitpid(pid, NULL, 0);
        take(p[0], "B");
    }
    CASE("mixed") {
        /* A waits for B over a pipe, B for C by a mutex, C for A by a file lock. */
        pthread_mutex_t *m = shared_mutex();
        if (pipe(p)) abort();
        int mine = open_file(argv[2]);
        flock(mine, LOCK_EX);
        if (child() == 0) {
            close(p[0]), close(mine);
            role("B");
            meet(0, 2);
            pthread_mutex_lock(m);
            broken("lock");
        }
        if (child() == 0) {
            close(p[0]), close(p[1]), close(mine);
            int other = open_file(argv[2]);
            role("C");
            pthread_mutex_lock(m);
            meet(0, 2);
            flock(other, LOCK_EX);
            broken("flock");
        }
        close(p[1]);
        take(p[0], "A");
    }
    CASE("signal") {
        role("A");
        pause();
        broken("pause");
    }
    return 2;
}
