/* Waits that few programs meet: page faults and file systems that another program serves, a main thread that has ended. */
#include "victim.h"
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static volatile char *page;
static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER;

static void *touch(void *arg) {
    role("B");
    *page = 1;
    broken("page fault");
    return arg;
}

static void *crossed(void *name) {
    pthread_mutex_t *first = *(char *)name == 'A' ? &a : &b, *second = first == &a ? &b : &a;
    role(name);
    pthread_mutex_lock(first);
    meet(0, 2);
    pthread_mutex_lock(second);
    broken("lock");
    return NULL;
}

static int own[2];

static void *read_own(void *arg) {
    char byte;
    role("A");
    read(own[0], &byte, 1);
    broken("read");
    return arg;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    prepare_meeting();
    CASE("userfaultfd") {
        /* A should fill the page that B has touched, but joins B. */
        int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
        struct uffdio_api api = {.api = UFFD_API};
        if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) broken("userfaultfd");
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct uffdio_register range = {{(unsigned long)page, 4096}, UFFDIO_REGISTER_MODE_MISSING, 0};
        if (ioctl(fd, UFFDIO_REGISTER, &range)) broken("register");
        role("A");
        pthread_join(thread(touch, NULL), NULL);
        broken("join");
    }
    CASE("fuse") {
        /* A serves a file system, and waits for its child B, which looks for a file in it. */
        if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) broken("unshare");
        int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        char options[128], path[256];
        snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
        if (fd < 0 || mount("victim", argv[2], "fuse", 0, options)) broken("mount");
        static char request[1 << 20];
        struct fuse_in_header *header = (void *)request;
        if (read(fd, request, sizeof request) < 0 || header->opcode != FUSE_INIT) broken("init");
        struct { struct fuse_out_header head; struct fuse_init_out init; } reply = {
            {sizeof reply, 0, header->unique}, {.major = 7, .minor = 31, .max_write = 4096}};
        if (write(fd, &reply, sizeof reply) != sizeof reply) broken("reply");
        pid_t pid = child();
        if (pid == 0) {
            close(fd);
            role("B");
            struct stat facts;
            snprintf(path, sizeof path, "%s/file", argv[2]);
            stat(path, &facts);
            broken("stat");
        }
        role("A");
        waitpid(pid, NULL, 0);
        broken("wait");
    }
    CASE("main_ended") {
        /* The process lives on in two threads. */
        thread(crossed, "A");
        thread(crossed, "B");
        pthread_exit(NULL);
    }
    CASE("main_ended_pipe") {
        if (pipe(own)) abort();
        thread(read_own, NULL);
        pthread_exit(NULL);
    }
    return 2;
}
