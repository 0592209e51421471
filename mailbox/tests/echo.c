/* The other processor: fetches letters from one mailbox of a mapped file and posts them, reversed, to another. */
#define WIGWAG_MAILBOX_FUTEX
#include "wigwag_mailbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    enum { PART = 8192 };
    static unsigned char letter[PART];
    wigwag_mailbox in, out;
    wigwag_letter got;
    int polled = argc > 2 && argv[2][0] == 'p';
    int fd = argc > 1 ? open(argv[1], O_RDWR) : -1;
    unsigned char *memory = mmap(NULL, 2 * PART, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return perror("map the file"), 2;
    if (wigwag_mailbox_attach(&in, memory, PART) || wigwag_mailbox_attach(&out, memory + PART, PART))
        return fprintf(stderr, "no mailboxes\n"), 2;
    fprintf(stderr, "word size %zu\n", sizeof(void *));
    for (;;) {
        int result;
        if (polled)
            while ((result = wigwag_mailbox_try_fetch(&in, letter, PART, &got)) == WIGWAG_MAILBOX_EMPTY)
                usleep(20);
        else
            result = wigwag_mailbox_fetch(&in, letter, PART, &got);
        if (result)
            return fprintf(stderr, "fetch: %d\n", result), 1;
        if (got.kind == 0)
            return 0;
        for (uint32_t i = 0; i < got.length / 2; i++) {
            unsigned char first = letter[i];
            letter[i] = letter[got.length - 1 - i];
            letter[got.length - 1 - i] = first;
        }
        if (polled)
            while ((result = wigwag_mailbox_try_post(&out, got.kind + 1, letter, got.length)) == WIGWAG_MAILBOX_FULL)
                usleep(20);
        else
            result = wigwag_mailbox_post(&out, got.kind + 1, letter, got.length);
        if (result)
            return fprintf(stderr, "post: %d\n", result), 1;
    }
}
