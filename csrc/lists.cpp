// The nearest lists are found exactly, though few centroids are multiplied as they are: products
// with rough centroids bound all products from above, and only lists whose bound reaches what
// `nprobe` lists are known to have can be among the nearest.
#include "lists.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "pool.h"
#include "queries.h"

namespace qama {
namespace {

constexpr std::int64_t kQueriesPerTask = 8; // whose products stay in a cache
constexpr std::int64_t kSparing = 32;       // lists for each that is read, from which bounds pay
constexpr std::int64_t kParts = 16;         // lists that are passed over together, at most
constexpr std::size_t kListsAhead = 4;      // how far ahead of a product to prefetch
constexpr float kInfinite = std::numeric_limits<float>::infinity();
constexpr float kMost = 2.1e9f;    // products somewhat above do not fit 32 bits
constexpr float kMargin = 8192.0f; // more than what rounding to floats takes from a bound

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

// A list as one number, the greater the nearer: by its product, then the lower list.
constexpr std::int64_t kNumbers = std::int64_t{1} << 32;
std::int64_t nearness(std::int32_t product, std::int64_t list) {
    return product * kNumbers + (kNumbers - 1 - list);
}
std::int64_t list_of(std::int64_t nearness) { return kNumbers - 1 - (nearness & (kNumbers - 1)); }
std::int32_t product_of(std::int64_t nearness) {
    return static_cast<std::int32_t>((nearness - (kNumbers - 1 - list_of(nearness))) / kNumbers);
}

using Near = std::vector<std::int64_t>; // nearness of some lists

// A query, rounded to 8 bits, and what bounds of its products need of both.
struct Query {
    const std::int16_t* units; // (dims)
    float step;                // what the rounded entries are multiplied by
    float length, longest;     // of the query; of the longer of it and the rounded one
    float rest;                // the length of what rounding left of it
    float with_mean, mean;     // its product with the mean of centroids; the length of that

    Query(const std::int16_t* query, const Centroids& around, std::int8_t* rounded) : units(query) {
        step = std::ldexp(1.0f, round_query(query, around.dims, rounded));
        double whole = 0, rough = 0, other = 0, product = 0, of_mean = 0;
        for (int k = 0; k < around.dims; ++k) {
            const double a = query[k], b = step * static_cast<float>(rounded[k]);
            const double middle = around.mean[k];
            whole += a * a, rough += b * b, other += (a - b) * (a - b);
            product += a * middle, of_mean += middle * middle;
        }
        length = static_cast<float>(std::sqrt(whole));
        longest = std::max(length, static_cast<float>(std::sqrt(rough)));
        rest = static_cast<float>(std::sqrt(other));
        with_mean = static_cast<float>(product);
        mean = static_cast<float>(std::sqrt(of_mean));
    }
};

// The product modulo 2^32, as the kernels have it.
std::int32_t product(const std::int16_t* a, const std::int16_t* b, int dims) {
    std::uint32_t sum = 0;
    for (int k = 0; k < dims; ++k)
        sum += static_cast<std::uint32_t>(std::int32_t{a[k]} * std::int32_t{b[k]});
    return static_cast<std::int32_t>(sum);
}

// What a query's products with centroids are at most.
class Bounds {
  public:
    // Of a query q = r + s (r: rounded) and a centroid m + u + v (m: the mean, u: rough) the
    // product is q m + r u + q v + s u, and a product is at most that of the lengths. No more
    // than `some` lists, at most all, will be taken out.
    Bounds(const Centroids& around, const Query& q, const std::int32_t* rough, std::int64_t some)
        : upper_(size(around.count), kInfinite) {
        if (q.longest * (q.mean + around.longest) < kMost) bound(around, q, rough);
        const std::int64_t parts = std::clamp(around.count / (4 * some), std::int64_t{1}, kParts);
        greatest_.resize(size((around.count + parts - 1) / parts), -kInfinite);
        for (std::size_t first = 0; first < upper_.size(); first += greatest_.size()) {
            const std::size_t end = std::min(greatest_.size(), upper_.size() - first);
            for (std::size_t i = 0; i < end; ++i)
                greatest_[i] = std::max(greatest_[i], upper_[first + i]);
        }
    }

    // The lists left whose bound is at least so much.
    std::vector<std::int64_t> from(float least) const {
        std::vector<std::int64_t> lists;
        for (std::size_t first = 0; first < greatest_.size(); ++first) {
            if (greatest_[first] < least) continue;
            for (std::size_t i = first; i < upper_.size(); i += greatest_.size())
                if (upper_[i] >= least) lists.push_back(static_cast<std::int64_t>(i));
        }
        return lists;
    }

    // Takes out the `count` lists of greatest bounds, in any order.
    std::vector<std::int64_t> take_greatest(std::int64_t count) {
        std::vector<std::int64_t> lists = from(reached_by(count));
        std::nth_element(
            lists.begin(), lists.begin() + count, lists.end(),
            [&](std::int64_t a, std::int64_t b) { return upper_[size(a)] > upper_[size(b)]; });
        lists.resize(size(count));
        for (const std::int64_t list : lists) upper_[size(list)] = -kInfinite;
        return lists;
    }

  private:
    void bound(const Centroids& around, const Query& q, const std::int32_t* rough) {
        const float start = q.with_mean + kMargin, step = q.step, length = q.length, rest = q.rest;
        const float *lengths = around.lengths, *left = around.left;
        float* upper = upper_.data();
        for (std::int64_t i = 0; i < around.count; ++i)
            upper[i] =
                start + step * static_cast<float>(rough[i]) + length * left[i] + rest * lengths[i];
    }

    // A bound that at least `count` lists reach: that of as many parts.
    float reached_by(std::int64_t count) const {
        std::vector<float> values = greatest_;
        const auto last = values.begin() + (count - 1);
        std::nth_element(values.begin(), last, values.end(), std::greater<>());
        return *last;
    }

    std::vector<float> upper_;
    std::vector<float> greatest_; // of each list i, and of those that follow it in steps of so many
};

// How near some lists are, exactly.
Near near_of(const Centroids& around, const std::int16_t* query,
             const std::vector<std::int64_t>& lists) {
    const auto units = [&](std::size_t i) { return around.units + lists[i] * around.dims; };
    Near near(lists.size());
    for (std::size_t i = 0; i < lists.size(); ++i) {
        if (i + kListsAhead < lists.size())
            for (int k = 0; k < around.dims; k += 32) QAMA_PREFETCH(units(i + kListsAhead) + k);
        near[i] = nearness(product(query, units(i), around.dims), lists[i]);
    }
    return near;
}

Near near_of_all(const Centroids& around, const std::int16_t* query) {
    std::vector<std::int64_t> lists(size(around.count));
    std::iota(lists.begin(), lists.end(), std::int64_t{0});
    return near_of(around, query, lists);
}

// Leaves the `count` nearest, in any order.
void keep_nearest(Near& near, std::int64_t count) {
    if (size(count) >= near.size()) return;
    std::nth_element(near.begin(), near.begin() + count, near.end(), std::greater<>());
    near.resize(size(count));
}

// The nearest lists. Twice as many of the greatest bounds mostly hold them, so that the least of
// their products bounds the others tightly.
Near nearest(const Centroids& around, const Query& query, const std::int32_t* rough,
             std::int64_t nprobe) {
    const std::int64_t some = std::min(2 * nprobe, around.count);
    Bounds bounds(around, query, rough, some);
    Near near = near_of(around, query.units, bounds.take_greatest(some));
    keep_nearest(near, nprobe);
    const std::int32_t least = product_of(*std::min_element(near.begin(), near.end()));
    const Near others = near_of(around, query.units, bounds.from(static_cast<float>(least)));
    near.insert(near.end(), others.begin(), others.end());
    keep_nearest(near, nprobe);
    return near;
}

// The nearest lists of each of some queries (count, dims).
std::vector<Near> nearest_of_each(const Kernels& kernels, const Centroids& around,
                                  const std::int16_t* queries, std::int64_t count,
                                  std::int64_t nprobe) {
    std::vector<Near> each;
    if (around.count < kSparing * nprobe) {
        for (std::int64_t i = 0; i < count; ++i) {
            each.push_back(near_of_all(around, queries + i * around.dims));
            keep_nearest(each.back(), nprobe);
        }
        return each;
    }
    const std::int64_t wide = 8 * around.rough.octets;
    const std::int64_t width = std::int64_t{kNibblePanel} * around.rough.panels;
    std::vector<std::int8_t> rounded(size(count * wide));
    std::vector<std::int32_t> products(size(count * width));
    std::vector<Query> asked;
    for (std::int64_t i = 0; i < count; ++i)
        asked.emplace_back(queries + i * around.dims, around, rounded.data() + i * wide);
    NibbleProducts rough = around.rough;
    rough.rows = rounded.data(), rough.products = products.data();
    kernels.multiply_nibbles(rough, {0, count});
    for (std::int64_t i = 0; i < count; ++i)
        each.push_back(nearest(around, asked[size(i)], products.data() + i * width, nprobe));
    return each;
}

std::int64_t rows_of(const Lists& lists, const Near& near) {
    std::int64_t held = 0;
    for (const std::int64_t one : near) held += lists.held[list_of(one)];
    return held;
}

// The nearest lists, as many as hold `least` rows together.
Near nearest_holding(const Lists& lists, const std::int16_t* query, std::int64_t least) {
    Near near = near_of_all(lists.centroids, query);
    std::sort(near.begin(), near.end(), std::greater<>());
    std::int64_t held = 0;
    auto end = near.begin();
    while (held < least && end != near.end()) held += lists.held[list_of(*end++)];
    near.erase(end, near.end());
    return near;
}

std::vector<std::int64_t> blocks_of(const Lists& lists, const Near& near) {
    std::vector<std::int64_t> numbers, visited;
    for (const std::int64_t one : near) numbers.push_back(list_of(one));
    std::sort(numbers.begin(), numbers.end());
    for (const std::int64_t list : numbers) {
        const std::int64_t first = list == 0 ? 0 : lists.ends[list - 1];
        visited.insert(visited.end(), lists.blocks + first, lists.blocks + lists.ends[list]);
    }
    // blocks that were added late lie behind those of later lists
    if (!std::is_sorted(visited.begin(), visited.end())) std::sort(visited.begin(), visited.end());
    return visited;
}

} // namespace

std::vector<std::vector<std::int64_t>> visited_by_each(const Kernels& kernels, const Lists& lists,
                                                       const std::int16_t* queries,
                                                       std::int64_t count, std::int64_t nprobe,
                                                       std::int64_t least, int threads) {
    const Centroids& around = lists.centroids;
    std::vector<std::vector<std::int64_t>> each(size(count));
    const auto visit = [&](std::int64_t task) {
        const std::int64_t first = task * kQueriesPerTask;
        const std::int64_t some = std::min(kQueriesPerTask, count - first);
        const std::int16_t* asked = queries + first * around.dims;
        std::vector<Near> near = nearest_of_each(kernels, around, asked, some, nprobe);
        for (std::int64_t i = 0; i < some; ++i) {
            Near& own = near[size(i)];
            if (rows_of(lists, own) < least)
                own = nearest_holding(lists, asked + i * around.dims, least);
            each[size(first + i)] = blocks_of(lists, own);
        }
    };
    const double work = static_cast<double>(count) * static_cast<double>(around.count);
    parallel_for((count + kQueriesPerTask - 1) / kQueriesPerTask,
                 thread_count(threads, work * (16 + around.dims / 8.0)), visit);
    return each;
}

} // namespace qama
