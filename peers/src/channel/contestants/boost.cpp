// Boost.Interprocess' message_queue, as a part of a team: see control.rs for the shared page.
// Arguments: round-trip|one-way NAME PART CORE MEMORY
#include <boost/interprocess/ipc/message_queue.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ipc = boost::interprocess;

struct Control {
    std::atomic<uint32_t> go, parts;
    std::atomic<uint64_t> count;
    std::atomic<uint32_t> arrived, done, failed, unused;
    std::atomic<uint64_t> began[4], ended[4];
};

static uint64_t nanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return uint64_t(now.tv_sec) * 1000000000 + uint64_t(now.tv_nsec);
}

static void futex(std::atomic<uint32_t> &word, int operation, uint32_t value) {
    syscall(SYS_futex, &word, operation, value, nullptr);
}

static void check(uint64_t found, uint64_t wanted) {
    if (found != wanted) throw std::runtime_error("another message came than was sent");
}

int main(int, char **argv) try {
    const bool one_way = std::string(argv[1]) == "one-way";
    const std::string name = argv[2];
    const int part = atoi(argv[3]), core = atoi(argv[4]), memory = atoi(argv[5]);
    const size_t bytes = one_way ? 100 : 8;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores) != 0) throw std::runtime_error("cannot choose a core");
    auto *control = static_cast<Control *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
    if (control == MAP_FAILED) throw std::runtime_error("cannot map the memory");

    const std::string names[2] = {name + "-there", name + "-back"};
    ipc::message_queue to(ipc::open_or_create, names[part].c_str(), 1024, bytes);
    ipc::message_queue from(ipc::open_or_create, names[1 - part].c_str(), 1024, bytes);
    char out[100] = {7}, in[100];
    ipc::message_queue::size_type length;
    unsigned priority;
    const auto send = [&](ipc::message_queue &queue, uint64_t number) {
        memcpy(out, &number, sizeof number);
        queue.send(out, bytes, 0);
    };
    const auto receive = [&](ipc::message_queue &queue) {
        uint64_t number;
        queue.receive(in, bytes, length, priority);
        memcpy(&number, in, sizeof number);
        return number;
    };

    printf("ready -\n");
    fflush(stdout);
    for (uint32_t last = 0;;) {
        const uint32_t go = control->go.load();
        if (go == UINT32_MAX) break;
        if (go == last) {
            futex(control->go, FUTEX_WAIT, last);
            continue;
        }
        last = go;
        const uint64_t count = control->count.load();
        control->arrived.fetch_add(1);
        while (control->arrived.load() != control->parts.load()) sched_yield();
        control->began[part] = nanoseconds();
        for (uint64_t number = 0; number < count; ++number) {
            if (one_way && part == 0) {
                send(to, number);
            } else if (one_way) {
                check(receive(from), number);
            } else if (part == 0) {
                send(to, number);
                check(receive(from), number);
            } else {
                send(to, receive(from));
            }
        }
        control->ended[part] = nanoseconds();
        if (control->done.fetch_add(1) + 1 == control->parts.load()) futex(control->done, FUTEX_WAKE, 1);
    }
    ipc::message_queue::remove(names[part].c_str());
    return 0;
} catch (const std::exception &error) {
    fprintf(stderr, "boost: %s\n", error.what());
    return 1;
}
