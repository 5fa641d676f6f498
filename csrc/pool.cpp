#include "pool.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace qama {
namespace {

constexpr double kWorkPerThread = 1 << 22; // about the cost of starting one

class Work {
  public:
    Work(std::int64_t count, const std::function<void(std::int64_t)>& task)
        : count_(count), task_(task) {}

    void run() {
        try {
            for (std::int64_t i; (i = next_.fetch_add(1)) < count_;) task_(i);
        } catch (...) {
            next_.store(count_);
            std::lock_guard<std::mutex> lock(mutex_);
            if (!error_) error_ = std::current_exception();
        }
    }

    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    const std::int64_t count_;
    const std::function<void(std::int64_t)>& task_;
    std::atomic<std::int64_t> next_{0};
    std::mutex mutex_;
    std::exception_ptr error_;
};

} // namespace

int thread_count(int asked, double work) {
    if (asked > 0) return asked;
    const double useful = 1 + work / kWorkPerThread;
    if (useful < 2) return 1; // counting the cores takes 10 us
    const double cores = std::max(1u, std::thread::hardware_concurrency());
    return static_cast<int>(std::min(cores, useful));
}

void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& task) {
    Work work(count, task);
    const std::int64_t helpers = std::min<std::int64_t>(threads, count) - 1;
    std::vector<std::thread> started;
    started.reserve(static_cast<std::size_t>(std::max<std::int64_t>(helpers, 0)));
    try {
        for (std::int64_t i = 0; i < helpers; ++i) started.emplace_back([&work] { work.run(); });
    } catch (const std::system_error&) {
    }
    work.run();
    for (std::thread& thread : started) thread.join();
    work.rethrow();
}

} // namespace qama
