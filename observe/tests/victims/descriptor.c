/* A waits at a descriptor in a way that few programs do; B, its child, waits to read a pipe that only A writes. */
#include "victim.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static char buffer[1 << 16];
/* From A to B, and from B to A. */
static int to_b[2], to_a[2];

static pid_t other(void) {
    pid_t pid = child();
    if (pid == 0) {
        close(to_b[1]), close(to_a[0]);
        role("B");
        read(to_b[0], buffer, 1);
        broken("read");
    }
    close(to_b[0]), close(to_a[1]);
    return pid;
}

static int watching(int fd) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)) broken("epoll");
    return set;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    prepare_meeting();
    if (pipe(to_b) || pipe(to_a)) abort();
    CASE("pidfd") {
        int fd = syscall(SYS_pidfd_open, other(), 0);
        struct pollfd watched = {fd, POLLIN, 0};
        role("A");
        poll(&watched, 1, -1);
        broken("poll");
    }
    CASE("splice") {
        int null = open("/dev/null", O_WRONLY);
        other();
        role("A");
        splice(to_a[0], NULL, null, NULL, 100, 0);
        broken("splice");
    }
    CASE("sendfile") {
        /* Into a pipe that is full. */
        int zero = memfd_create("zero", MFD_CLOEXEC);
        if (ftruncate(zero, 1 << 20)) abort();
        pid_t parent = getpid();
        if (child() == 0) {
            close(to_b[1]), close(to_a[1]), close(zero);
            struct pollfd ends = {syscall(SYS_pidfd_open, parent, 0), POLLIN, 0};
            role("B");
            poll(&ends, 1, -1);
            broken("poll");
        }
        role("A");
        close(to_b[0]);
        for (;;)
            if (sendfile(to_b[1], zero, NULL, 1 << 16) < 0) broken("sendfile");
    }
    CASE("readv") {
        struct iovec parts[2] = {{buffer, 1}, {buffer + 1, 1}};
        other();
        role("A");
        readv(to_a[0], parts, 2);
        broken("readv");
    }
    CASE("epoll_of_epoll") {
        int inner = watching(to_a[0]), outer = watching(inner);
        struct epoll_event event;
        other();
        role("A");
        epoll_wait(outer, &event, 1, -1);
        broken("epoll_wait");
    }
    CASE("recvmmsg") {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) abort();
        to_a[0] = pair[0], to_a[1] = pair[1];
        struct iovec part = {buffer, 9};
        struct mmsghdr messages[2] = {{{.msg_iov = &part, .msg_iovlen = 1}, 0}, {{.msg_iov = &part, .msg_iovlen = 1}, 0}};
        other();
        role("A");
        recvmmsg(to_a[0], messages, 2, 0, NULL);
        broken("recvmmsg");
    }
    CASE("continued") {
        /* Stopped and continued in its poll, which is another system call since. */
        struct pollfd watched = {to_a[0], POLLIN, 0};
        other();
        signal(SIGCHLD, SIG_IGN);
        if (child() == 0) {
            close(to_a[0]), close(to_b[1]);
            usleep(300000);
            kill(getppid(), SIGSTOP);
            usleep(200000);
            kill(getppid(), SIGCONT);
            char line[64];
            write(1, line, snprintf(line, sizeof line, "role A %d %d\n", getppid(), getppid()));
            _exit(0);
        }
        poll(&watched, 1, -1);
        broken("poll");
    }
    CASE("tcp_unaccepted") {
        /* A waits for B, which waits for an answer on a connection that A has never accepted. */
        int server = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof address;
        if (bind(server, (void *)&address, length) || listen(server, 5) || getsockname(server, (void *)&address, &length)) abort();
        pid_t pid = child();
        if (pid == 0) {
            close(server);
            int fd = socket(AF_INET, SOCK_STREAM, 0);
            if (connect(fd, (void *)&address, length)) broken("connect");
            role("B");
            recv(fd, buffer, 1, 0);
            broken("recv");
        }
        role("A");
        waitpid(pid, NULL, 0);
        broken("wait");
    }
    CASE("timer") {
        int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        struct itimerspec later = {.it_value = {1000, 0}};
        if (timerfd_settime(fd, 0, &later, NULL)) abort();
        other();
        role("A");
        read(fd, buffer, 8);
        broken("read");
    }
    CASE("signal") {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        int fd = signalfd(-1, &set, SFD_CLOEXEC);
        other();
        role("A");
        read(fd, buffer, sizeof(struct signalfd_siginfo));
        broken("read");
    }
    CASE("sysv_both") {
        /* A needs two permits at once, of which B has one and C the other; these wait for a third that A took, or C sleeps. */
        int id = semget(IPC_PRIVATE, 3, 0600);
        say("semid", id);
        unsigned short ones[3] = {1, 1, 1};
        struct sembuf third = {2, -1, 0};
        semctl(id, 0, SETALL, ones);
        if (semop(id, &third, 1)) abort();
        for (int i = 0; i < 2; i++)
            if (child() == 0) {
                struct sembuf take = {i, -1, 0};
                if (semop(id, &take, 1)) abort();
                meet(0, 2);
                role(i ? "C" : "B");
                if (i && argc > 2) idle();
                semop(id, &third, 1);
                broken("semop");
            }
        meet(0, 2);
        struct sembuf both[2] = {{0, -1, 0}, {1, -1, 0}};
        role("A");
        semop(id, both, 2);
        broken("semop");
    }
    CASE("open_unlinked") {
        /* The FIFO that A opens is not there any more under the name that A used. */
        if (mkfifo(argv[2], 0600) || child() == 0) {
            usleep(200000);
            unlink(argv[2]);
            _exit(0);
        }
        role("A");
        open(argv[2], O_RDONLY);
        broken("open");
    }
    return 2;
}
