#include "search.h"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <limits>

#include "pool.h"

namespace qama {
namespace {

constexpr std::int64_t kHitBytes = std::int64_t{1} << 26; // memory for the hits of one batch
constexpr std::int64_t kBatch = 256;                      // queries
constexpr std::int64_t kShardBlocks = 16;                 // blocks, at least, per shard
constexpr std::int64_t kSampled = 32;                     // one block of so many is sampled,
constexpr std::int64_t kSampleRun = 8;                    // in runs of so many blocks,
constexpr std::int64_t kSampleK = 100;                    // where k is at least this
constexpr std::int64_t kSampleRows = 16; // and there are so many rows per row wanted

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Blocks are split into shards, the tiles of a batch of queries into parts: one task for each shard
// and part.
struct Grid {
    std::int64_t shards, parts;
};

Grid grid_of(const Search& s, std::int64_t tiles, int threads) {
    const std::int64_t most = std::max<std::int64_t>(1, s.blocks / kShardBlocks);
    const std::int64_t shards = std::min<std::int64_t>(threads, most);
    return {shards, std::min(tiles, ceil_div(threads, shards))};
}

Range slice(Range whole, std::int64_t index, std::int64_t count) {
    const std::int64_t size = whole.last - whole.first;
    return {whole.first + size * index / count, whole.first + size * (index + 1) / count};
}

// Sinks and collectors for the queries of a range of tiles. Queries past the last one, which pad
// its tile, accept nothing.
class Collectors {
  public:
    Collectors(const Search& s, Range tiles, std::int64_t k) : first_(tiles.first * s.tile) {
        const std::int64_t last = std::min(tiles.last * s.tile, s.queries);
        tops_.assign(static_cast<std::size_t>(last - first_), TopK(static_cast<std::size_t>(k)));
        const float none = std::numeric_limits<float>::infinity();
        sinks_.assign(static_cast<std::size_t>((tiles.last - tiles.first) * s.tile),
                      Sink{0, none, nullptr});
        for (std::size_t i = 0; i < tops_.size(); ++i)
            sinks_[i] = {std::numeric_limits<std::uint16_t>::max(),
                         std::numeric_limits<float>::quiet_NaN(), &tops_[i]};
    }
    Collectors(Collectors&&) = default;
    Sink* sinks() { return sinks_.data(); }
    // From now on only hits can enter whose key is not above that of the last of k given hits.
    void start(std::int64_t query, const std::vector<Hit>& hits, std::int64_t k) {
        if (static_cast<std::int64_t>(hits.size()) < k) return;
        Sink& sink = sinks_[static_cast<std::size_t>(query - first_)];
        const std::uint32_t bar = hits.back().key + 1;
        sink.limit = std::min<std::uint32_t>(bar, sink.limit);
        sink.floor = key_score(bar);
        started_ = true;
    }
    // Whether the best k are among the hits: without a bar from start() they are; with one, if k
    // hits got past it.
    bool complete(std::int64_t k) const {
        return !started_ || std::all_of(tops_.begin(), tops_.end(), [k](const TopK& top) {
            return static_cast<std::int64_t>(top.size()) >= k;
        });
    }
    std::vector<Hit> take(std::int64_t query) {
        return tops_[static_cast<std::size_t>(query - first_)].take();
    }
    std::int64_t first() const { return first_; }
    std::int64_t last() const { return first_ + static_cast<std::int64_t>(tops_.size()); }

  private:
    std::int64_t first_;
    std::vector<TopK> tops_;
    std::vector<Sink> sinks_; // which point at tops_
    bool started_ = false;
};

using Write = std::function<void(std::int64_t, const std::vector<Hit>&)>;

// How many of the best rows of a sample to collect, so that the last of them is most likely not
// among the best k of all rows. About k / kSampled of the best k lie in the sample.
std::int64_t sample_k(std::int64_t k) {
    const double expected = static_cast<double>(k) / kSampled;
    return static_cast<std::int64_t>(expected + 4 * std::sqrt(expected)) + 4;
}

// Collectors that start with a bar taken from a sample. Where k is large, most rows then need not
// be collected first and dropped later.
Collectors begun(const Search& s, Range blocks, Range tiles, const Scan& scan) {
    Collectors all(s, tiles, s.k);
    if (s.k < kSampleK || (blocks.last - blocks.first) * kRows < s.k * kSampleRows) return all;
    const std::int64_t k = sample_k(s.k);
    Collectors some(s, tiles, k);
    for (std::int64_t b = blocks.first; b < blocks.last; b += kSampled * kSampleRun)
        scan({{b, std::min(b + kSampleRun, blocks.last)}, tiles, some.sinks()});
    for (std::int64_t q = some.first(); q < some.last(); ++q) {
        std::vector<Hit> hits = some.take(q);
        keep_least(hits, static_cast<std::size_t>(k));
        all.start(q, hits, k);
    }
    return all;
}

// The best k rows of some blocks for the queries of some tiles.
Collectors collected(const Search& s, Range blocks, Range tiles, const Scan& scan) {
    Collectors found = begun(s, blocks, tiles, scan);
    scan({blocks, tiles, found.sinks()});
    if (found.complete(s.k)) return found;
    Collectors again(s, tiles, s.k); // a bar was too high, or there are fewer than k rows
    scan({blocks, tiles, again.sinks()});
    return again;
}

void search_batch(const Search& s, Range tiles, int threads, const Scan& scan, const Write& write) {
    const Grid grid = grid_of(s, tiles.last - tiles.first, threads);
    const std::int64_t first = tiles.first * s.tile,
                       last = std::min(tiles.last * s.tile, s.queries), count = last - first;
    std::vector<std::vector<Hit>> found(static_cast<std::size_t>(grid.shards * count));
    parallel_for(grid.shards * grid.parts, threads, [&](std::int64_t task) {
        const std::int64_t shard = task % grid.shards;
        const Range part = slice(tiles, task / grid.shards, grid.parts);
        const Range blocks = slice({0, s.blocks}, shard, grid.shards);
        Collectors collectors = collected(s, blocks, part, scan);
        for (std::int64_t q = collectors.first(); q < collectors.last(); ++q)
            found[static_cast<std::size_t>(shard * count + q - first)] = collectors.take(q);
    });
    parallel_for(count, threads, [&](std::int64_t i) {
        std::vector<Hit>& hits = found[static_cast<std::size_t>(i)];
        for (std::int64_t shard = 1; shard < grid.shards; ++shard) {
            const std::vector<Hit>& more = found[static_cast<std::size_t>(shard * count + i)];
            hits.insert(hits.end(), more.begin(), more.end());
        }
        keep_least(hits, static_cast<std::size_t>(s.k));
        write(first + i, hits);
    });
}

} // namespace

std::int64_t allowed_count(const Rows& rows) {
    if (!rows.mask && !rows.visited) return rows.count;
    std::int64_t allowed = 0;
    for (std::int64_t i = 0; i < rows.blocks; ++i) {
        const std::int64_t block = rows.visited ? rows.visited[i] : i;
        const std::int64_t lanes = std::min<std::int64_t>(kRows, rows.count - block * kRows);
        const std::uint64_t word = rows.mask ? rows.mask[block] : ~std::uint64_t{0};
        allowed += static_cast<std::int64_t>(
            std::bitset<kRows>(word << (kRows - lanes)).count()); // there is one lane or more
    }
    return allowed;
}

void search(const Search& s, const Scan& scan, const Write& write) {
    const int threads = thread_count(s.threads, s.work);
    const std::int64_t per_query =
        static_cast<std::int64_t>(TopK::capacity(static_cast<std::size_t>(s.k)) * sizeof(Hit)) *
        threads;
    const std::int64_t queries = std::clamp(kHitBytes / per_query, std::int64_t{1}, kBatch);
    const std::int64_t step = std::max<std::int64_t>(1, queries / s.tile);
    const std::int64_t tiles = ceil_div(s.queries, s.tile);
    for (std::int64_t t = 0; t < tiles; t += step)
        search_batch(s, {t, std::min(t + step, tiles)}, threads, scan, write);
}

} // namespace qama
