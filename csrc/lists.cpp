#include "lists.h"

#include <algorithm>
#include <numeric>

#include "pool.h"

namespace qama {
namespace {

// The lists to read, ascending.
std::vector<std::int64_t> lists_to_read(const Lists& lists, const std::int32_t* products,
                                        std::int64_t nprobe, std::int64_t least) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(lists.count));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    const auto nearer = [&](std::int64_t a, std::int64_t b) {
        return products[a] > products[b] || (products[a] == products[b] && a < b);
    };
    auto end = order.begin() + nprobe;
    if (end != order.end()) std::nth_element(order.begin(), end, order.end(), nearer);
    std::int64_t held = 0;
    for (auto list = order.begin(); list != end; ++list) held += lists.held[*list];
    if (held < least) std::sort(end, order.end(), nearer);
    while (held < least && end != order.end()) held += lists.held[*end++];
    order.erase(end, order.end());
    std::sort(order.begin(), order.end());
    return order;
}

} // namespace

std::vector<std::int64_t> blocks_to_visit(const Lists& lists, const std::int32_t* products,
                                          std::int64_t nprobe, std::int64_t least) {
    std::vector<std::int64_t> visited;
    for (const std::int64_t list : lists_to_read(lists, products, nprobe, least)) {
        const std::int64_t first = list == 0 ? 0 : lists.ends[list - 1];
        visited.insert(visited.end(), lists.blocks + first, lists.blocks + lists.ends[list]);
    }
    // blocks that were added late lie behind those of later lists
    if (!std::is_sorted(visited.begin(), visited.end())) std::sort(visited.begin(), visited.end());
    return visited;
}

std::vector<std::vector<std::int64_t>>
visited_by_each(const Lists& lists, const std::int32_t* products, std::int64_t stride,
                std::int64_t queries, std::int64_t nprobe, std::int64_t least, int threads) {
    std::vector<std::vector<std::int64_t>> each(static_cast<std::size_t>(queries));
    const double work = static_cast<double>(queries) * static_cast<double>(lists.count) * 16;
    parallel_for(queries, thread_count(threads, work), [&](std::int64_t query) {
        each[static_cast<std::size_t>(query)] =
            blocks_to_visit(lists, products + query * stride, nprobe, least);
    });
    return each;
}

} // namespace qama
