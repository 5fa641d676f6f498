// The best k of a stream of rows that arrive in ascending order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "scan.h"

namespace qama {

// Ordered by key, ties by lower row. A distance is its own key; a score's key falls as it rises.
struct Hit {
    std::uint32_t key;
    std::int64_t row;

    bool operator<(const Hit& other) const {
        return key != other.key ? key < other.key : row < other.row;
    }
};

// Maps floats (no NaN) to integers in the opposite order; -0 becomes +0.
inline std::uint32_t score_key(float score) {
    score += 0.0f;
    std::uint32_t bits;
    std::memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~(bits | 0x80000000u);
}

inline float key_score(std::uint32_t key) {
    const std::uint32_t bits = key >> 31 ? key : ~key & 0x7FFFFFFFu;
    float score;
    std::memcpy(&score, &bits, sizeof score);
    return score;
}

// Sorts the k least hits to the front and drops the others.
inline void keep_least(std::vector<Hit>& hits, std::size_t k) {
    if (hits.size() > k) {
        std::nth_element(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(k), hits.end());
        hits.resize(k);
    }
    std::sort(hits.begin(), hits.end());
}

// Collects up to k + k / 4 + 6 hits, then drops all but the k least. That takes constant time per
// hit for any k, and the bar falls soon.
class TopK {
  public:
    explicit TopK(std::size_t k) : k_(k) {}

    static constexpr std::size_t capacity(std::size_t k) { return k + 6 + k / 4; }

    // Returns whether hits were dropped. Then only keys below bar() can still be among the best k,
    // since later rows lose ties.
    bool push(Hit hit) {
        hits_.push_back(hit);
        if (hits_.size() < capacity(k_)) return false;
        std::nth_element(hits_.begin(), hits_.begin() + static_cast<std::ptrdiff_t>(k_ - 1),
                         hits_.end());
        hits_.resize(k_);
        bar_ = hits_.back().key;
        return true;
    }
    std::uint32_t bar() const { return bar_; }
    std::size_t size() const { return hits_.size(); }
    std::vector<Hit> take() { return std::move(hits_); }

  private:
    std::size_t k_;
    std::uint32_t bar_ = std::numeric_limits<std::uint32_t>::max();
    std::vector<Hit> hits_;
};

} // namespace qama
