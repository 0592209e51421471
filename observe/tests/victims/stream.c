/* Two processes A and B, each of which waits for the other over some channel of bytes or messages. */
#include "victim.h"
#include <arpa/inet.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char buffer[1 << 16];

static void take(int fd, const char *name) {
    role(name);
    if (read(fd, buffer, sizeof buffer) != -1 || errno) broken("read");
}

static void fill(int fd, const char *name) {
    role(name);
    for (;;)
        if (write(fd, buffer, sizeof buffer) < 0) broken("write");
}

static void fill_packets(int fd, const char *name) {
    role(name);
    for (;;)
        if (send(fd, buffer, 4096, 0) < 0) broken("send");
}

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    return address;
}

static int listen_at(const char *path, int backlog) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = unix_address(path);
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, backlog)) abort();
    return fd;
}

static int connect_to(const char *path) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = unix_address(path);
    if (connect(fd, (void *)&address, sizeof address)) broken("connect");
    return fd;
}

static void tcp_pair(int fds[2], int family) {
    int listener = socket(family, SOCK_STREAM, 0);
    struct sockaddr_in6 address = {.sin6_family = family, .sin6_addr = in6addr_loopback};
    if (family == AF_INET) ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof address;
    if (bind(listener, (void *)&address, length) || listen(listener, 5)) abort();
    getsockname(listener, (void *)&address, &length);
    fds[0] = socket(family, SOCK_STREAM, 0);
    if (connect(fds[0], (void *)&address, length)) abort();
    fds[1] = accept(listener, NULL, NULL);
    close(listener);
}

/* A reads one end, the child B the other. */
static void both_read(int one, int other) {
    if (child() == 0) {
        close(one);
        take(other, "B");
    }
    close(other);
    take(one, "A");
}

static void both_fill(int one, int other, void (*how)(int, const char *)) {
    if (child() == 0) {
        close(one);
        how(other, "B");
    }
    close(other);
    how(one, "A");
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    prepare_meeting();
    int p[2], q[2];

    CASE("pipe_read") {
        if (pipe(p) || pipe(q)) abort();
        if (child() == 0) {
            close(p[0]), close(q[1]);
            take(q[0], "B");
        }
        close(p[1]), close(q[0]);
        take(p[0], "A");
    }
    CASE("pipe_write") {
        if (pipe(p) || pipe(q)) abort();
        if (child() == 0) {
            close(p[1]), close(q[0]);
            fill(q[1], "B");
        }
        close(p[0]), close(q[1]);
        fill(p[1], "A");
    }
    CASE("pipe_own_end") {
        /* The classic: the parent forgot to close its write end, and waits for the end of the child's output. */
        if (pipe(p)) abort();
        pid_t pid = child();
        if (pid == 0) _exit(0);
        waitpid(pid, NULL, 0);
        take(p[0], "A");
    }
    CASE("pipe_in_flight") {
        /* The only write end is in an unread message: whoever reads it may write. */
        if (pipe(p) || socketpair(AF_UNIX, SOCK_STREAM, 0, q)) abort();
        union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control;
        struct iovec byte = {"x", 1};
        struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(&control.header), &p[1], sizeof(int));
        if (sendmsg(q[0], &message, 0) != 1) abort();
        close(p[1]);
        take(p[0], "A");
    }
    CASE("fifo_read") {
        /* A and B each read a FIFO that only the other writes. */
        if (mkfifo(argv[2], 0600) || mkfifo(argv[3], 0600)) abort();
        int a = open(argv[2], O_RDWR), b = open(argv[3], O_RDWR);
        int a_read = open(argv[2], O_RDONLY), b_read = open(argv[3], O_RDONLY);
        int a_write = open(argv[2], O_WRONLY), b_write = open(argv[3], O_WRONLY);
        close(a), close(b);
        if (child() == 0) {
            close(a_read), close(b_write);
            take(b_read, "B");
        }
        close(b_read), close(a_write);
        take(a_read, "A");
    }
    CASE("fifo_open") {
        if (mkfifo(argv[2], 0600)) abort();
        role("A");
        open(argv[2], O_RDONLY);
        broken("open");
    }
    CASE("unix_read") {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) abort();
        both_read(p[0], p[1]);
    }
    CASE("unix_write") {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) abort();
        both_fill(p[0], p[1], fill);
    }
    CASE("unix_seqpacket") {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p)) abort();
        both_read(p[0], p[1]);
    }
    CASE("unix_dgram") {
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, p)) abort();
        both_read(p[0], p[1]);
    }
    CASE("unix_dgram_write") {
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, p)) abort();
        both_fill(p[0], p[1], fill_packets);
    }
    CASE("unix_unaccepted") {
        /* The server waits for its child, the child for an answer on a connection the server never accepted. */
        int server = listen_at(argv[2], 5);
        pid_t pid = child();
        if (pid == 0) {
            close(server);
            take(connect_to(argv[2]), "B");
        }
        role("A");
        waitpid(pid, NULL, 0);
        broken("wait");
    }
    CASE("unix_backlog") {
        /* The same, with a backlog so full that connect() itself waits. */
        int server = listen_at(argv[2], 0);
        pid_t pid = child();
        if (pid == 0) {
            close(server);
            role("B");
            for (;;) connect_to(argv[2]);
        }
        role("A");
        waitpid(pid, NULL, 0);
        broken("wait");
    }
    CASE("tcp") {
        tcp_pair(p, AF_INET);
        both_read(p[0], p[1]);
    }
    CASE("tcp6") {
        tcp_pair(p, AF_INET6);
        both_read(p[0], p[1]);
    }
    CASE("tcp_write") {
        tcp_pair(p, AF_INET);
        both_fill(p[0], p[1], fill);
    }
    CASE("tcp_timeout") {
        /* As tcp, but with a time limit on the sockets: not stuck. */
        tcp_pair(p, AF_INET);
        struct timeval limit = {1000, 0};
        setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(p[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        both_read(p[0], p[1]);
    }
    CASE("pty") {
        int master = posix_openpt(O_RDWR | O_NOCTTY);
        if (master < 0 || grantpt(master) || unlockpt(master)) abort();
        int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
        both_read(slave, master);
    }
    CASE("mq") {
        struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
        mqd_t a = mq_open(argv[2], O_RDWR | O_CREAT, 0600, &attr), b = mq_open(argv[3], O_RDWR | O_CREAT, 0600, &attr);
        if (a == -1 || b == -1) broken("mq_open");
        int a_read = mq_open(argv[2], O_RDONLY), a_write = mq_open(argv[2], O_WRONLY);
        int b_read = mq_open(argv[3], O_RDONLY), b_write = mq_open(argv[3], O_WRONLY);
        mq_close(a), mq_close(b);
        if (argc > 4) mq_unlink(argv[2]), mq_unlink(argv[3]);
        if (child() == 0) {
            close(a_read), close(b_write);
            role("B");
            mq_receive(b_read, buffer, sizeof buffer, NULL);
            broken("mq_receive");
        }
        close(b_read), close(a_write);
        role("A");
        mq_receive(a_read, buffer, sizeof buffer, NULL);
        broken("mq_receive");
    }
    CASE("mq_full") {
        /* Nobody but A itself has the queue open, and A only sends. */
        struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
        mqd_t a = mq_open(argv[2], O_WRONLY | O_CREAT, 0600, &attr);
        if (argc > 3) mq_unlink(argv[2]);
        role("A");
        for (;;)
            if (mq_send(a, "x", 1, 0)) broken("mq_send");
    }
    CASE("eventfd") {
        int a = eventfd(0, 0), b = eventfd(0, 0);
        if (child() == 0) take(b, "B");
        take(a, "A");
    }
    CASE("poll") {
        /* A polls two pipes, of which B and C have the write ends; B and C read pipes that only A writes: a knot of three. */
        int fds[4][2];
        for (int i = 0; i < 4; i++)
            if (pipe(fds[i])) abort();
        for (int i = 0; i < 2; i++) {
            if (child() == 0) {
                for (int k = 0; k < 4; k++) {
                    if (k != i) close(fds[k][1]);
                    if (k != i + 2) close(fds[k][0]);
                }
                if (argc > 3 && i == 1) {
                    /* One of them will go on. */
                    role("C");
                    idle();
                }
                take(fds[i + 2][0], i ? "C" : "B");
            }
        }
        close(fds[0][1]), close(fds[1][1]), close(fds[2][0]), close(fds[3][0]);
        role("A");
        if (!strcmp(argv[2], "poll")) {
            struct pollfd set[2] = {{fds[0][0], POLLIN, 0}, {fds[1][0], POLLIN, 0}};
            poll(set, 2, -1);
        } else if (!strcmp(argv[2], "select")) {
            fd_set set;
            FD_ZERO(&set);
            FD_SET(fds[0][0], &set);
            FD_SET(fds[1][0], &set);
            select(fds[1][0] + 1, &set, NULL, NULL, NULL);
        } else {
            int epoll = epoll_create1(0);
            for (int i = 0; i < 2; i++) {
                struct epoll_event event = {.events = EPOLLIN};
                epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i][0], &event);
            }
            struct epoll_event event;
            epoll_wait(epoll, &event, 1, -1);
        }
        broken("poll");
    }
    return 2;
}
