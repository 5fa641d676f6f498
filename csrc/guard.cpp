#include "guard.h"

#ifdef _WIN32

namespace qama { // Windows lets no one cut a file that is mapped

int guard(const void*, std::size_t) { return -1; }
void unguard(int) {}
bool faulted(int) { return false; }

} // namespace qama

#else

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace qama {
namespace {

constexpr int kPlaces = 4096;

// Fixed in size and atomic, since a signal handler reads it.
struct Range {
    std::atomic<bool> taken{false};
    std::atomic<std::uintptr_t> begin{0};
    std::atomic<std::uintptr_t> end{0}; // 0: nothing is guarded here
    std::atomic<bool> faulted{false};
};

Range ranges[kPlaces];
struct sigaction before;
std::uintptr_t page_bytes = 4096;

// Puts zeros in place of what a range lost, from the page of an address on.
bool mend(std::uintptr_t address) {
    for (Range& range : ranges) {
        const std::uintptr_t end = range.end.load(std::memory_order_acquire);
        if (address < range.begin.load(std::memory_order_relaxed) || address >= end) continue;
        const std::uintptr_t page = address / page_bytes * page_bytes;
        const int saved = errno;
        void* made = mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        errno = saved;
        if (made == MAP_FAILED) return false;
        range.faulted.store(true, std::memory_order_release);
        return true;
    }
    return false;
}

// The handler; what is not ours goes to whoever was there before.
void on_fault(int number, siginfo_t* info, void* context) {
    if (mend(reinterpret_cast<std::uintptr_t>(info->si_addr))) return;
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) {
        sigaction(number, &before, nullptr); // the read is tried again and meets it
    } else {
        before.sa_handler(number);
    }
}

bool install() {
    page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, &before) == 0;
}

} // namespace

int guard(const void* begin, std::size_t bytes) {
    static const bool installed = install();
    if (!installed || bytes == 0) return -1;
    for (int place = 0; place < kPlaces; ++place) {
        bool free = false;
        Range& range = ranges[place];
        if (!range.taken.compare_exchange_strong(free, true)) continue;
        const auto first = reinterpret_cast<std::uintptr_t>(begin);
        range.faulted.store(false);
        range.begin.store(first, std::memory_order_relaxed);
        range.end.store((first + bytes + page_bytes - 1) / page_bytes * page_bytes,
                        std::memory_order_release);
        return place;
    }
    return -1;
}

void unguard(int place) {
    if (place < 0) return;
    ranges[place].end.store(0, std::memory_order_release);
    ranges[place].taken.store(false, std::memory_order_release);
}

bool faulted(int place) {
    return place >= 0 && ranges[place].faulted.load(std::memory_order_acquire);
}

} // namespace qama

#endif
