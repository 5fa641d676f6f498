// A program of the kernels alone, for sanitizers and emulated CPUs: every path that runs here is
// compared with sums written in plain loops, on random and on adversarial inputs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "../csrc/blocks.h"
#include "../csrc/choose.h"
#include "../csrc/dispatch.h"
#include "../csrc/hamming.h"
#include "../csrc/lists.h"
#include "../csrc/queries.h"
#include "../csrc/tables.h"

using namespace qama;

namespace {

std::mt19937 random_bits(1);
int draw(int most) { return static_cast<int>(random_bits() % static_cast<unsigned>(most)); }

struct Case {
    int rows, columns, full, bits, bit_pairs, queries, k, threads;
    int kind; // 0: random, 1: few different rows, 2: extreme tables
    bool masked, visits;
    int split; // leading columns that the tables find apart from the others
    int norms; // 0: none, 1: floats, 2: steps in order, 3: steps in any order
};

struct Data {
    std::vector<std::uint8_t> codes, blocks, leading, rest, queries, indices;
    std::vector<std::int16_t> tables;
    std::vector<std::int32_t> offsets;
    std::vector<float> values;
    std::vector<std::uint64_t> mask;
    std::vector<std::int64_t> visited;
};

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

std::int64_t table_size(const Case& c) { return 256 * c.full + 32 * (c.columns - c.full); }

void fill_tables(const Case& c, Data& d) {
    const bool whole = draw(2) == 0; // tables of weighted bits, which wide look-ups can split
    d.tables.resize(size(c.queries * table_size(c)));
    for (std::size_t t = 0; t < d.tables.size(); t += 16) {
        const int most = c.kind == 2 ? 8000 : 600;
        int weight[4];
        for (int& w : weight) w = draw(2 * most) - most;
        for (int x = 0; x < 16; ++x) {
            int sum = 0;
            for (int bit = 0; bit < 4; ++bit) sum += x >> bit & 1 ? weight[bit] : 0;
            d.tables[t + size(x)] =
                static_cast<std::int16_t>(whole         ? sum
                                          : c.kind == 2 ? (draw(2) ? 32767 : -32768)
                                                        : draw(1200) - 600);
        }
    }
    d.offsets.resize(size(c.queries));
    for (auto& o : d.offsets) o = draw(1 << 20) - (1 << 19);
}

// Blocks of the columns [first, last) of each code.
std::vector<std::uint8_t> part_of(const Case& c, const Data& d, int first, int last) {
    const int width = last - first;
    std::vector<std::uint8_t> blocks(size((c.rows + kRows - 1) / kRows * kRows * width));
    to_blocks(d.codes.data() + first, c.rows, width, c.columns, blocks.data());
    return blocks;
}

Data data_of(const Case& c) {
    Data d;
    const std::int64_t blocks = (c.rows + kRows - 1) / kRows;
    d.codes.resize(size(c.rows * c.columns));
    for (auto& x : d.codes) x = static_cast<std::uint8_t>(draw(256));
    for (int row = 3; c.kind == 1 && row < c.rows; ++row)
        std::memcpy(&d.codes[size(row * c.columns)], &d.codes[size(row % 3 * c.columns)],
                    size(c.columns));
    d.blocks = part_of(c, d, 0, c.columns);
    d.leading = part_of(c, d, 0, c.split);
    if (c.split < c.columns) d.rest = part_of(c, d, c.split, c.columns);
    d.queries.resize(size(c.queries * c.columns));
    for (auto& x : d.queries) x = static_cast<std::uint8_t>(draw(256));
    fill_tables(c, d);
    if (c.norms == 1)
        for (int i = 0; i < c.rows; ++i)
            d.values.push_back(0.5f + static_cast<float>(draw(100)) / 50);
    if (c.norms > 1) {
        for (int i = 0; i < 256; ++i) d.values.push_back(0.5f + static_cast<float>(i) / 100);
        if (c.norms == 3) std::reverse(d.values.begin(), d.values.end());
        for (int i = 0; i < c.rows; ++i) d.indices.push_back(static_cast<std::uint8_t>(draw(256)));
    }
    for (int b = 0; b < blocks; ++b) {
        d.mask.push_back(draw(4) ? (std::uint64_t{random_bits()} << 32 | random_bits()) : 0);
        if (draw(2)) d.visited.push_back(b);
    }
    return d;
}

bool may_return(const Case& c, const Data& d, int row) {
    const std::int64_t block = row / kRows;
    if (c.masked && !(d.mask[size(block)] >> row % kRows & 1)) return false;
    return !c.visits || std::binary_search(d.visited.begin(), d.visited.end(), block);
}

int level(const std::uint8_t* code, int at) { return code[at / 4] >> (6 - 2 * (at % 4)) & 3; }

int plain_distance(const Case& c, const std::uint8_t* a, const std::uint8_t* b) {
    int sum = 0;
    for (int p = 0; p < c.bit_pairs; ++p) sum += std::abs(level(a, p) - level(b, p));
    for (int i = 2 * c.bit_pairs; i < c.bits; ++i)
        sum += ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8)) & 1;
    return sum;
}

float plain_score(const Case& c, const Data& d, int query, int row) {
    std::int32_t sum = d.offsets[size(query)];
    const std::int16_t* table = &d.tables[size(query * table_size(c))];
    for (int column = 0; column < c.columns; ++column) {
        const std::uint8_t byte = d.codes[size(row * c.columns + column)];
        const bool whole = column < c.full;
        sum += whole ? table[byte] : table[byte >> 4] + table[16 + (byte & 15)];
        table += whole ? 256 : 32;
    }
    float norm = 1;
    if (c.norms == 1) norm = d.values[size(row)];
    if (c.norms > 1) norm = d.values[d.indices[size(row)]];
    return static_cast<float>(sum) * norm;
}

template <class V, class F>
std::vector<std::pair<V, std::int64_t>> plain_best(const Case& c, const Data& d, F value) {
    std::vector<std::pair<V, std::int64_t>> all;
    for (int row = 0; row < c.rows; ++row)
        if (may_return(c, d, row)) all.emplace_back(value(row), row);
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    all.resize(std::min(all.size(), size(c.k)));
    return all;
}

void require(bool holds, const Case& c, const Kernels& kernels, const char* what) {
    if (holds) return;
    std::printf(
        "FAILED %s on %s: rows %d columns %d split %d full %d bits %d bit pairs %d k %d kind "
        "%d norms %d\n",
        what, kernels.name, c.rows, c.columns, c.split, c.full, c.bits, c.bit_pairs, c.k, c.kind,
        c.norms);
    std::exit(1);
}

void check(const Case& c, const Data& d, const Kernels& kernels) {
    const std::int64_t blocks = (c.rows + kRows - 1) / kRows;
    const Blocks stored{d.blocks.data(), blocks, c.columns, nullptr, 0};
    const Blocks apart{d.leading.data(), blocks, c.split, d.rest.data(), c.columns - c.split};
    const Rows rows{c.rows, c.visits ? static_cast<std::int64_t>(d.visited.size()) : blocks,
                    c.masked ? d.mask.data() : nullptr, c.visits ? d.visited.data() : nullptr};
    const InverseNorms norms{d.values.empty() ? nullptr : d.values.data(),
                             d.indices.empty() ? nullptr : d.indices.data(), c.norms == 2};
    const HammingArgs hamming{
        stored, rows, {d.queries.data(), c.queries, (c.bits + 7) / 8, c.bits, c.bit_pairs}};
    const TableArgs tables{
        apart, rows, {d.tables.data(), d.offsets.data(), c.queries, {c.columns, c.full}}, norms};
    const auto any = plain_best<int>(c, d, [](int) { return 0; });
    if (any.empty()) return;
    const std::int64_t k = static_cast<std::int64_t>(any.size());
    std::vector<std::int64_t> found(size(c.queries * k));
    std::vector<std::int32_t> distances(found.size());
    std::vector<float> scores(found.size());
    hamming_topk(kernels, hamming, c.threads, {k, found.data(), distances.data()});
    for (int q = 0; q < c.queries; ++q) {
        const auto best = plain_best<int>(c, d, [&](int row) {
            return plain_distance(c, &d.queries[size(q * ((c.bits + 7) / 8))],
                                  &d.codes[size(row * c.columns)]);
        });
        for (std::int64_t i = 0; i < k; ++i)
            require(found[size(q * k + i)] == best[size(i)].second &&
                        distances[size(q * k + i)] == best[size(i)].first,
                    c, kernels, "Hamming");
    }
    std::vector<std::int32_t> again(found.size());
    hamming_rows(hamming, {found.data(), k}, c.threads, again.data());
    require(again == distances, c, kernels, "distances of chosen rows");
    table_topk(kernels, tables, c.threads, {k, found.data(), scores.data()});
    for (int q = 0; q < c.queries; ++q) {
        const auto best =
            plain_best<float>(c, d, [&](int row) { return -plain_score(c, d, q, row); });
        for (std::int64_t i = 0; i < k; ++i)
            require(found[size(q * k + i)] == best[size(i)].second &&
                        scores[size(q * k + i)] == -best[size(i)].first,
                    c, kernels, "tables");
    }
    std::vector<float> scored(found.size());
    table_rows(tables, {found.data(), k}, c.threads, scored.data());
    require(scored == scores, c, kernels, "chosen rows");
}

void check_choice(int codebooks, int book_size) {
    const int dims = 6 + 8 * codebooks, width = book_size * codebooks, count = 13, shift = 10;
    const int bytes = book_size == kNibbleSize ? codebooks / 2 : codebooks;
    std::vector<std::int16_t> codewords(size(width * dims)), rows(size(count * dims));
    for (auto& x : codewords) x = static_cast<std::int16_t>(draw(400) - 200);
    for (auto& x : rows) x = static_cast<std::int16_t>(draw(2000) - 1000);
    std::vector<std::int32_t> panels(size(width * dims / 2)), squares(size(width));
    std::vector<std::int16_t> twice(size(width * width));
    for (int i = 0; i < width; ++i) {
        for (int k = 0; k < dims / 2; ++k) {
            const int tile = i / kPanel * (dims / 2) + k;
            std::memcpy(&panels[size(tile * kPanel + i % kPanel)],
                        &codewords[size(i * dims + 2 * k)], sizeof(std::int32_t));
        }
        for (int j = 0; j < width; ++j) {
            std::int32_t sum = 0;
            for (int k = 0; k < dims; ++k)
                sum += codewords[size(i * dims + k)] * codewords[size(j * dims + k)];
            twice[size(i * width + j)] = static_cast<std::int16_t>((2 * sum) >> shift);
            if (i == j) squares[size(i)] = sum >> shift;
        }
    }
    std::vector<std::uint8_t> first;
    std::vector<std::int32_t> multiplied;
    for (const Kernels* kernels : available_kernels()) {
        std::vector<std::uint8_t> codes(size(count * bytes));
        std::vector<std::int16_t> rest(rows.size());
        std::vector<std::int32_t> products(size(count * width));
        choose_codewords(*kernels,
                         {rows.data(), codewords.data(), panels.data(), twice.data(),
                          squares.data(), dims, codebooks, book_size, width, 2, 2, shift, 16000,
                          codes.data(), rest.data()},
                         count, 2);
        multiply(*kernels, {rows.data(), panels.data(), dims, width, products.data()}, count, 2);
        if (first.empty()) first = codes, multiplied = products;
        if (codes == first && products == multiplied) continue;
        std::printf("FAILED choice of %d codebooks of %d codewords on %s\n", codebooks, book_size,
                    kernels->name);
        std::exit(1);
    }
}

// Every path must choose the codewords that the first one chooses.
void check_choices() {
    for (int codebooks : {2, 8, 24}) check_choice(codebooks, kNibbleSize);
    for (int codebooks : {1, 3}) check_choice(codebooks, kByteSize);
}

// p / 2^shift, rounded half to even, by the definition.
std::int64_t plain_halved(std::int64_t p, int shift) {
    if (shift <= 0) return p * (std::int64_t{1} << -shift);
    const std::int64_t step = std::int64_t{1} << shift,
                       down = p >= 0 ? p / step : -((-p + step - 1) / step);
    const std::int64_t left = p - down * step;
    return down + (2 * left > step || (2 * left == step && down % 2 != 0));
}

// Writes entry k of codeword w among codewords of 4-bit entries.
void lay_out(std::vector<std::uint8_t>& to, int w, int k, int octets, int entry) {
    const int nibble = entry + kNibbleZero;
    std::uint8_t& byte = to[size(
        ((w / kNibblePanel * octets + k / 8) * kNibblePanel + w % kNibblePanel) * 4 + k % 4)];
    byte = static_cast<std::uint8_t>(k % 8 / 4 ? (byte & 15) | nibble << 4 : (byte & 240) | nibble);
}

// Queries and codewords of 4-bit entries, their products by plain loops, rounded by the definition.
void check_queries(CodebookLayout layout, int dims, int count, int most) {
    const int terms = static_cast<int>(term_count(layout)), octets = (dims + 7) / 8;
    const int panels = (terms + kNibblePanel - 1) / kNibblePanel;
    std::vector<std::int16_t> queries(size(count * dims)), mean(size(dims)),
        steps(size(panels * kNibblePanel));
    std::vector<int> entries(size(terms * dims));
    std::vector<std::uint8_t> laid_out(size(panels * octets * kNibblePanelBytes), 0x88);
    for (auto& x : queries) x = static_cast<std::int16_t>(draw(2 * most + 1) - most);
    for (auto& x : mean) x = static_cast<std::int16_t>(draw(1 << 16) - (1 << 15));
    for (int w = 0; w < terms; ++w) steps[size(w)] = static_cast<std::int16_t>(1 + draw(2047));
    for (int w = 0; w < terms; ++w)
        for (int k = 0; k < dims; ++k) {
            entries[size(w * dims + k)] = draw(16) - 8;
            lay_out(laid_out, w, k, octets, entries[size(w * dims + k)]);
        }
    std::vector<std::int16_t> wanted(size(count * codeword_count(layout)));
    std::vector<std::int32_t> wanted_offsets(size(count)), wanted_powers(size(count));
    for (int q = 0; q < count; ++q) {
        int largest = 0, exponent = 0;
        std::int64_t offset = 0;
        for (int k = 0; k < dims; ++k) {
            const int value = queries[size(q * dims + k)];
            largest = std::max(largest, std::abs(value));
            offset += std::int64_t{value} * mean[size(k)];
        }
        while (largest > 127 << exponent) ++exponent;
        std::vector<std::int64_t> products(size(terms)), all;
        for (int w = 0; w < terms; ++w)
            for (int k = 0; k < dims; ++k)
                products[size(w)] += plain_halved(queries[size(q * dims + k)], exponent) *
                                     entries[size(w * dims + k)] * steps[size(w)];
        std::int64_t greatest = 0;
        const auto each_entry = [&](auto take) {
            const std::int64_t full = kByteSize * layout.full;
            for (std::int64_t w = 0; w < full; ++w) take(products[size(w)], std::int64_t{0});
            for (std::int64_t at = full; at < terms; at += kByteTerms) {
                for (int i = 0; i < 16; ++i)
                    take(products[size(at + i / 4)], products[size(at + 4 + i % 4)]);
                for (int i = 0; i < 16; ++i) take(products[size(at + 8 + i)], std::int64_t{0});
            }
        };
        each_entry([&](std::int64_t a, std::int64_t b) {
            greatest = std::max(greatest, std::abs(a + b));
        });
        int shift = greatest == 0 && offset == 0 ? 28 - exponent : -40;
        const auto fits = [](std::int64_t value, double limit, int by) {
            return static_cast<double>(value) <= std::ldexp(limit, by);
        };
        while (!fits(greatest, 32766, shift) || !fits(std::abs(offset), 1 << 30, shift + exponent))
            ++shift;
        std::int64_t at = q * codeword_count(layout);
        each_entry([&](std::int64_t a, std::int64_t b) {
            wanted[size(at++)] = static_cast<std::int16_t>(
                greatest == 0 ? 0 : plain_halved(a, shift) + plain_halved(b, shift));
        });
        wanted_powers[size(q)] = shift + exponent;
        wanted_offsets[size(q)] = static_cast<std::int32_t>(plain_halved(offset, shift + exponent));
    }
    for (const Kernels* kernels : available_kernels()) {
        std::vector<std::int16_t> tables(wanted.size());
        std::vector<std::int32_t> offsets(size(count)), powers(size(count));
        nibble_tables(
            *kernels,
            {queries.data(),
             mean.data(),
             dims,
             {nullptr, laid_out.data(), steps.data(), octets, panels, nullptr}},
            {nullptr, 0, nullptr, nullptr, layout, tables.data(), offsets.data(), powers.data()},
            count, 2);
        if (tables == wanted && offsets == wanted_offsets && powers == wanted_powers) continue;
        std::printf("FAILED tables of %d queries of %d dims on %s\n", count, dims, kernels->name);
        std::exit(1);
    }
}

// The nearest lists of queries, one block of a row for each, by sorting all products.
void check_lists(int lists, int dims, int most, int nprobe, int least) {
    const int octets = (dims + 7) / 8, panels = (lists + kNibblePanel - 1) / kNibblePanel;
    const int count = 11, step = 1 + most / 7;
    std::vector<std::int16_t> units(size(lists * dims)), queries(size(count * dims)),
        steps(size(panels * kNibblePanel), static_cast<std::int16_t>(step)), mean(size(dims));
    for (auto& x : mean) x = static_cast<std::int16_t>(draw(most + 1));
    for (auto& x : units) x = static_cast<std::int16_t>(draw(2 * most + 1) - most);
    for (auto& x : queries) x = static_cast<std::int16_t>(draw(2 * most + 1) - most);
    std::vector<std::uint8_t> rough(size(panels * octets * kNibblePanelBytes), 0x88);
    std::vector<float> lengths(size(lists)), left(size(lists));
    float longest = 0;
    std::vector<std::int64_t> numbers(size(lists)), ends(size(lists)), held(size(lists), 1);
    std::iota(numbers.begin(), numbers.end(), 0);
    std::iota(ends.begin(), ends.end(), 1);
    for (int w = 0; w < lists; ++w) {
        double length = 0, other = 0;
        for (int k = 0; k < dims; ++k) {
            const int unit = units[size(w * dims + k)] - mean[size(k)];
            const int entry = std::max(-8, std::min(unit / step, 7));
            lay_out(rough, w, k, octets, entry);
            length += std::pow(entry * step, 2), other += std::pow(unit - entry * step, 2);
        }
        lengths[size(w)] = static_cast<float>(1.0001 * std::sqrt(length));
        left[size(w)] = static_cast<float>(1.0001 * std::sqrt(other));
        longest = std::max(longest, lengths[size(w)] + left[size(w)]);
    }
    std::vector<std::vector<std::int64_t>> wanted;
    for (int q = 0; q < count; ++q) {
        std::vector<std::int64_t> products(size(lists)), order = numbers;
        for (int w = 0; w < lists; ++w)
            for (int k = 0; k < dims; ++k)
                products[size(w)] +=
                    std::int64_t{queries[size(q * dims + k)]} * units[size(w * dims + k)];
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
            return products[size(a)] > products[size(b)];
        });
        order.resize(size(std::min(lists, std::max(nprobe, least))));
        std::sort(order.begin(), order.end());
        wanted.push_back(order);
    }
    for (const Kernels* kernels : available_kernels()) {
        const Lists given{{units.data(),
                           mean.data(),
                           {nullptr, rough.data(), steps.data(), octets, panels, nullptr},
                           lengths.data(),
                           left.data(),
                           longest,
                           dims,
                           lists},
                          numbers.data(),
                          ends.data(),
                          held.data()};
        if (visited_by_each(*kernels, given, queries.data(), count, nprobe, least, 2) == wanted)
            continue;
        std::printf("FAILED %d of %d lists of %d dims on %s\n", nprobe, lists, dims, kernels->name);
        std::exit(1);
    }
}

} // namespace

int main(int count, char** words) {
    const int cases = count > 1 ? std::atoi(words[1]) : 300;
    std::string names;
    for (const Kernels* kernels : available_kernels()) names += std::string(" ") + kernels->name;
    const int widths[] = {1, 2, 3, 4, 7, 24, 31, 32, 33, 48, 62, 63, 64, 96, 156, 257};
    for (int i = 0; i < cases; ++i) {
        Case c{};
        c.columns = widths[draw(16)];
        c.full = draw(3) ? draw(std::min(c.columns, 50) + 1) : 0;
        c.split = draw(2) ? 1 + draw(c.columns) : c.columns;
        c.rows = 1 + draw(i % 5 ? 400 : 3000);
        c.bits = 8 * c.columns - (c.columns > 1 ? draw(8) : 0);
        c.bit_pairs = draw(2) ? draw(c.bits / 2 + 1) : 0;
        c.queries = 1 + draw(draw(3) ? 11 : 140);
        c.k = 1 + draw(draw(2) ? 10 : 500);
        c.threads = 1 + draw(3);
        c.kind = draw(3);
        c.masked = draw(2), c.visits = draw(4) == 0;
        c.norms = draw(4);
        const Data d = data_of(c);
        std::vector<std::uint8_t> back(d.codes.size());
        from_blocks(d.blocks.data(), c.rows, c.columns, back.data());
        for (const Kernels* kernels : available_kernels()) {
            require(back == d.codes, c, *kernels, "blocks");
            check(c, d, *kernels);
        }
    }
    check_choices();
    for (int most : {0, 1, 127, 128, 1 << 14}) {
        check_queries({1, 1}, 1, 3, most);
        check_queries({3, 0}, 9, 20, most);
        check_queries({7, 2}, 70, 37, most);
    }
    for (int most : {0, 1, 10, 1000})
        for (int lists : {1, 31, 32, 300})
            for (int nprobe : {1, 1 + lists / 5, lists})
                for (int least : {0, nprobe, lists / 2, lists + 1})
                    check_lists(lists, 1 + 4 * lists % 77, most, nprobe, least);
    std::printf("%d cases equal on:%s\n", cases, names.c_str());
}
