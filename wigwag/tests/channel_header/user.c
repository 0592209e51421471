/* Has one end of a channel of a Rust program through wigwag_channel.h, one command a line. usage: user NAME send|recv */
#define _GNU_SOURCE
#include "wigwag_channel.h"

#include <sys/wait.h>

/* As the Rust side makes them: length and bytes of message n follow from n. */
static size_t length(uint32_t n, size_t longest)
{
    return n % 500 == 499 ? longest : n * 37 % 700;
}

static unsigned char byte(uint32_t n, size_t at)
{
    return (unsigned char)(n * 31 + at * 7 + (at >> 8));
}

static int send_one(struct wigwag_channel *c, unsigned char *buffer, uint32_t n)
{
    size_t len = length(n, wigwag_channel_longest(c));
    for (size_t at = 0; at < len; at++)
        buffer[at] = byte(n, at);
    return wigwag_channel_send(c, buffer, len, -1);
}

static int recv_one(struct wigwag_channel *c, uint32_t n)
{
    const void *message;
    size_t len;
    int e = wigwag_channel_recv(c, &message, &len, -1);
    if (e)
        return e;
    if (len != length(n, wigwag_channel_longest(c)))
        return -EILSEQ;
    for (size_t at = 0; at < len; at++)
        if (((const unsigned char *)message)[at] != byte(n, at))
            return -EILSEQ;
    wigwag_channel_done(c);
    return 0;
}

static int run(struct wigwag_channel *c, const char *name, const char *verb, long long number)
{
    static unsigned char buffer[1 << 20];
    const void *message;
    size_t len;
    int e = 0, status;
    if (!strcmp(verb, "send")) {
        for (uint32_t n = 0; n < number && !e; n++)
            e = send_one(c, buffer, n);
        return e;
    }
    if (!strcmp(verb, "recv")) {
        for (uint32_t n = 0; n < number && !e; n++)
            e = recv_one(c, n);
        return e;
    }
    if (!strcmp(verb, "drop")) { /* receives as many, whatever they are */
        for (long long n = 0; n < number && !e; n++)
            if (!(e = wigwag_channel_recv(c, &message, &len, -1)))
                wigwag_channel_done(c);
        return e;
    }
    if (!strcmp(verb, "knock")) { /* sends as many, each when the last was received and a little later */
        for (long long n = 0; n < number && !e; n++) {
            int64_t now = wigwag_now(), end = now + 20000000000ll;
            while (wigwag_now() < now + n * 7919 % 30000)
                ;
            e = wigwag_channel_send(c, "", 0, -1);
            while (!e && wigwag_channel_look(c, c->capacity) == 0)
                e = wigwag_now() < end ? 0 : -ETIME;
        }
        return e;
    }
    if (!strcmp(verb, "one")) /* message n, and it alone */
        return c->role == WIGWAG_SENDER ? send_one(c, buffer, (uint32_t)number) : recv_one(c, (uint32_t)number);
    if (!strcmp(verb, "fill")) /* the longest, again and again */
        while (!(e = wigwag_channel_send(c, buffer, wigwag_channel_longest(c), number)))
            ;
    if (!strcmp(verb, "try"))
        e = c->role == WIGWAG_SENDER ? wigwag_channel_try_send(c, buffer, (size_t)number)
                                     : wigwag_channel_try_recv(c, &message, &len);
    if (!strcmp(verb, "wait")) /* and look at it without giving it back */
        e = wigwag_channel_recv(c, &message, &len, number);
    if (!strcmp(verb, "wrong"))
        e = c->role == WIGWAG_SENDER ? wigwag_channel_try_recv(c, &message, &len) : wigwag_channel_try_send(c, "", 0);
    if (!strcmp(verb, "again")) {
        struct wigwag_channel *other;
        e = wigwag_channel_attach(&other, name, c->role);
    }
    if (!strcmp(verb, "fork")) { /* a child's detaching must leave the end to the parent */
        pid_t child = fork();
        if (!child) {
            e = c->role == WIGWAG_SENDER ? wigwag_channel_wait(c, c->capacity, -1) : wigwag_channel_wait(c, 1, -1);
            wigwag_channel_detach(c);
            _exit(e == -EPERM ? 0 : 1);
        }
        e = waitpid(child, &status, 0) != child || status ? -ECHILD : 0;
    }
    return e;
}

int main(int argc, char **argv)
{
    struct wigwag_channel *c;
    if (argc != 3)
        return 2;
    alarm(120); /* one that hangs ends, and with it the test that waits for its words */
    setvbuf(stdout, NULL, _IOLBF, 0);
    int e = wigwag_channel_attach(&c, argv[1], strcmp(argv[2], "send") ? WIGWAG_RECEIVER : WIGWAG_SENDER);
    printf("%d\n", e);
    if (e)
        return 1;
    char line[64], verb[32];
    while (fgets(line, sizeof line, stdin)) {
        long long number = -1;
        if (sscanf(line, "%31s %lld", verb, &number) < 1)
            continue;
        if (!strcmp(verb, "leave"))
            break;
        if (!strcmp(verb, "exit")) /* without leaving */
            return 0;
        errno = ENOANO;
        e = run(c, argv[1], verb, number);
        if (errno != ENOANO && strcmp(verb, "again") && strcmp(verb, "fork"))
            return 3; /* sending and receiving leave it alone */
        printf("%d\n", e);
    }
    wigwag_channel_detach(c);
    printf("left\n");
    return 0;
}
