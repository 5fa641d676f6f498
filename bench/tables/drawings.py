"""The drawings of docs/how/: what is in them is computed by qama itself, on made vectors."""

from itertools import pairwise

import numpy as np
from svg import INK, LINE, MAIN, PALE, SOFT, TINTS, WARM, WARM_PALE, Drawing

import qama
from qama import kmeans
from qama.quantizers.thermometer import bits, levels, quantize

SEED = 1


def draw(folder):
    """Write every drawing into a folder."""
    folder.mkdir(exist_ok=True)
    for make in (way, thermometer, nesting, sums, tables, bound, lists, files):
        make().save(folder / f"{make.__name__}.svg")


def _disc(n, clusters=7, seed=SEED):
    """Unit vectors float32 (n, 8) that lie in two dims but for a constant third."""
    random = np.random.default_rng(seed)
    centers = random.uniform(-0.55, 0.55, (clusters, 2))
    flat = centers[random.integers(clusters, size=n)] + 0.09 * random.standard_normal((n, 2))
    flat *= np.minimum(1, 0.8 / np.linalg.norm(flat, axis=1))[:, None]
    X = np.zeros((n, 8), np.float32)
    X[:, :2], X[:, 2] = flat, np.sqrt(1 - (flat**2).sum(axis=1))
    return X


def _mixture(n, d=32, seed=SEED):
    """Vectors float32 (n, d) of a few clusters, as embeddings have them."""
    random = np.random.default_rng(seed)
    centers = random.standard_normal((8, d))
    X = centers[random.integers(8, size=n)] + random.standard_normal((n, d // 2)) @ (
        random.standard_normal((d // 2, d)) / 4
    )
    return X.astype(np.float32)


def way():
    """From a vector to hits, bytes drawn to scale."""
    d, code = 384, 48
    full = 4 * d
    pic = Drawing(600, 272, "a vector becomes a code, a query becomes tables, the scan gives ids")
    scale = 560 / full
    pic.text(20, 30, f"a vector: {d} floats, {full:,} bytes", weight=600)
    pic.box(20, 40, scale * full, 22, WARM_PALE, WARM)
    pic.arrow((40, 66), (40, 98), MAIN)
    pic.text(56, 88, "codec.encode", mono=True, fill=MAIN)
    pic.box(20, 102, scale * code, 22, PALE, MAIN)
    pic.text(30 + scale * code, 119, f"its code: {code} bytes, and 1 for its length", weight=600)
    pic.arrow((40, 128), (40, 166), MAIN)
    pic.text(56, 152, "index.add", mono=True, fill=MAIN)
    pic.box(20, 170, 250, 84, PALE, MAIN)
    for row in range(3):
        for column in range(12):
            pic.box(32 + 19 * column, 182 + 14 * row, 16, 11, "#ffffff", MAIN, 2, 1)
    pic.text(145, 244, "codes in blocks of 64 rows", 14, "middle", SOFT)
    pic.box(340, 152, 240, 30, WARM_PALE, WARM)
    pic.text(460, 172, "a query, as lookup tables", 15, "middle")
    pic.arrow((336, 168), (276, 196), WARM)
    pic.arrow((274, 226), (336, 226), MAIN)
    pic.box(340, 210, 240, 32, "#ffffff", INK)
    pic.text(460, 231, "ids and estimated cosines", 15, "middle", weight=600)
    return pic


def thermometer():
    """Values of one dim, three thresholds, and the bits of the four states."""
    values = np.random.default_rng(SEED).standard_normal((4000, 1)).astype(np.float32)
    thresholds = quantize.quantile_thresholds(values, 3)
    plan = levels.plan(8, "2")
    states = [np.full((1, 8), q, np.uint8) for q in range(4)]
    rows = {
        compact: [np.unpackbits(bits.pack([q], plan, compact))[: plan.bits(compact) // 8]
                  for q in states]
        for compact in (False, True)
    }  # fmt: skip
    pic = Drawing(600, 330, "a dim's values, cut by three thresholds into four states")
    counts, edges = np.histogram(np.clip(values, -2.8, 2.8), bins=56, range=(-2.8, 2.8))
    cuts = thresholds.ravel()
    place = lambda v: 330 + 92 * v  # noqa: E731
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        state = int(np.searchsorted(cuts, (left + right) / 2))
        height = 130 * count / counts.max()
        pic.box(
            place(left), 160 - height, 92 * (right - left), height, TINTS[state], "#ffffff", 0, 1
        )
    for cut in cuts:
        pic.line([(place(cut), 22), (place(cut), 172)], INK, 1.5, "4 4")
    pic.text(20, 30, "values of one dim", weight=600)
    middles = [place(-1.5), place(-0.34), place(0.34), place(1.5)]
    pic.text(20, 212, "state")
    pic.text(20, 248, "thermometer")
    pic.text(20, 284, "compact")
    for q, x in enumerate(middles):
        pic.text(x, 212, str(q), 17, "middle", TINTS[q], 700)
        for y, compact in ((248, False), (284, True)):
            pic.text(x, y, "".join(map(str, rows[compact][q])), 17, "middle", INK, 600, True)
    apart = int((rows[False][0] != rows[False][3]).sum())
    pic.text(300, 316, f"States 0 and 3 differ in {apart} thermometer bits, neighbours in 1.", 15,
             "middle", SOFT)  # fmt: skip
    return pic


def nesting():
    """Prefixes of dims, hybrid's quarters, prefixes of bytes."""
    d = 384
    pic = Drawing(600, 336, "shorter codes are the beginnings of longer ones")
    pic.text(20, 30, "Grid codes: the first dims of an adapted vector", weight=600)
    for row, dims in enumerate(levels.dims_grid(d)):
        width = 470 * dims / d
        pic.box(20, 42 + 24 * row, width, 20, PALE, MAIN, 3)
        pic.text(28 + width, 57 + 24 * row, f"{dims} dims", 14)
    pic.text(20, 190, "Hybrid: precise dims first", weight=600)
    for segment, fill in zip(levels.plan(d, "hybrid").segments, TINTS, strict=False):
        x, width = 20 + 560 * segment.start / d, 560 * (segment.stop - segment.start) / d
        pic.box(x, 202, width, 22, fill, "#ffffff", 3)
        pic.text(x + width / 2, 218, f"{segment.level.name} bit", 14, "middle", "#ffffff", 600)
    pic.text(20, 258, "Byte codes: the first bytes of a code", weight=600)
    for column in range(28):
        first, second = column < 6, column < 12
        fill = MAIN if first else "#5fb3a8" if second else PALE
        pic.box(20 + 20 * column, 270, 18, 22, fill, MAIN, 2, 1)
    for x, label in ((140, "6 bytes"), (260, "12 bytes"), (580, "28 bytes")):
        pic.line([(x - 1, 296), (x - 1, 304)], SOFT)
        pic.text(x, 320, label, 14, "end", SOFT)
    return pic


def sums():
    """A vector, and what the first one, two and three bytes of its code stand for."""
    X = _disc(3000)
    codec = qama.fit(X, max_bytes=3, threads=1, seed=0)
    codes = codec.encode(X[:400], nbytes=3)
    steps = [codec.decode(np.ascontiguousarray(codes[:, :n]), nbytes=n)[:, :2] for n in (1, 2, 3)]
    left = [np.linalg.norm(X[:400, :2] - step, axis=1) for step in steps]
    row = int(np.argmax(np.where(left[2] < 0.02, left[0] - 0.3 * left[1], -1)))
    pic = Drawing(600, 400, "a vector is approximated by a sum of codewords, one for each byte")
    mean = X[:, :2].mean(axis=0)
    goal = X[row, :2]
    stops = [mean, *(step[row] for step in steps)]
    middle, reach = (np.min([*stops, goal], axis=0) + np.max([*stops, goal], axis=0)) / 2, 0.0
    reach = max(np.ptp([*stops, goal], axis=0).max(), 0.2)
    zoom = 250 / reach

    def at(point):
        x, y = (np.asarray(point) - middle) * zoom
        return 235 + float(x), 205 - float(y)

    for point in X[:900, :2]:
        x, y = at(point)
        if 14 < x < 586 and 14 < y < 386:
            pic.dot(x, y, 2.2, LINE)
    for n, (start, stop) in enumerate(pairwise(stops)):
        pic.arrow(at(start), at(stop), TINTS[n], 3)
    pic.dot(*at(mean), 6, INK)
    pic.dot(*at(goal), 7, "none", WARM)
    pic.box(392, 14, 194, 140, "#ffffff", LINE)
    pic.dot(408, 34, 6, INK)
    pic.text(424, 39, "mean of all vectors")
    for n in range(3):
        pic.arrow((400, 62 + 24 * n), (418, 62 + 24 * n), TINTS[n], 3)
        pic.text(424, 67 + 24 * n, f"codeword of byte {n + 1}")
    pic.dot(408, 136, 6, "none", WARM)
    pic.text(424, 141, "the vector")
    return pic


def tables():
    """A query's tables of a code of four bytes, the entries that one code picks, and the score."""
    X = _mixture(3000)
    codec = qama.fit(X, max_bytes=4, threads=1, seed=0)
    query = X[17:18] + _mixture(1, seed=2) / 4
    code = codec.code(nbytes=4)
    stored = codec.encode(X[17:18], nbytes=4)
    made = code.query_tables(query)
    picked = [int(made.tables[0, place[0]]) for place in made.layout.places(stored)]
    total = int(made.offsets[0]) + sum(picked)
    inverse = code.inverse_norm_steps[code.inverse_norm_indices(stored)]
    score = float(np.float32(total) * inverse[0] * made.scales[0])
    if score != float(codec.score(query, stored, nbytes=4)[0, 0]):
        raise AssertionError("the drawing adds up to another score than the codec's")
    pic = Drawing(600, 372, "a score is a sum of table entries, one for each byte of the code")
    pic.text(20, 30, "A query's tables, one for each byte: 256 whole numbers each", weight=600)
    entries = made.tables[0][: 256 * 4].reshape(4, 256)
    reach = np.abs(entries).max()
    for n in range(4):
        y = 48 + 52 * n
        for value in range(256):
            strength = np.cbrt(entries[n, value] / reach)
            pic.parts.append(
                f'<rect x="{20 + 1.75 * value:.2f}" y="{y}" width="1.8" height="26" '
                f'fill="{MAIN if strength > 0 else WARM}" opacity="{abs(strength):.2f}"/>'
            )
        pic.box(20, y, 448, 26, "none", LINE, 2, 1)
        byte = int(stored[0, n])
        x = 20 + 1.75 * byte + 0.9
        pic.line([(x, y - 4), (x, y + 30)], INK, 2)
        pic.text(min(max(x, 60), 428), y + 43, f"byte {n + 1} is {byte}", 13, "middle", SOFT)
        pic.text(580, y + 18, f"{picked[n]:+,}", 16, "end", INK, 600, True)
    pic.line([(480, 256), (582, 256)], INK)
    pic.text(20, 278, f"what the mean adds: {int(made.offsets[0]):+,}", 15)
    pic.text(580, 278, f"{total:,}", 16, "end", INK, 700, True)
    pic.text(20, 312, "times the code's inverse norm, times the query's scale", 15)
    pic.text(580, 312, f"{score:.4f}", 17, "end", MAIN, 700, True)
    unit = [v[0] / np.linalg.norm(v) for v in (query, X[17:18])]
    pic.text(20, 350, f"The cosine of the floats: {float(unit[0] @ unit[1]):.4f}", 15, fill=SOFT)
    return pic


def bound():
    """Upper bounds of 64 rows, from entries of 8 bits, and the rows that are scored exactly."""
    X = _mixture(3000)
    codec = qama.fit(X, max_bytes=4, threads=1, seed=0)
    code = codec.code(nbytes=4)
    made = code.query_tables(X[100:101] + _mixture(1, seed=2) / 4)
    stored = codec.encode(X, nbytes=4)
    places = np.stack(list(made.layout.places(stored)), axis=1)
    own = made.tables[0].astype(np.int64)
    fields = [own[256 * n : 256 * (n + 1)] for n in range(4)]
    scale = max(1, int(max(np.ptp(field) for field in fields)) // 24)  # coarse, to be seen
    rounded = np.concatenate([-(-(field - field.min()) // scale) for field in fields])
    exact = own[places].sum(axis=1)
    upper = sum(field.min() for field in fields) + scale * rounded[places].sum(axis=1)
    if (upper < exact).any():
        raise AssertionError("a bound lies below its score")
    bar = np.sort(exact[:320])[-10]
    some = slice(320, 384)
    low, high = exact[some].min(), upper[some].max()
    pic = Drawing(600, 330, "only rows whose upper bound beats the bar are scored exactly")
    height = lambda value: 270 - 205 * (value - low) / (high - low)  # noqa: E731
    scored = 0
    for n, (value, most) in enumerate(zip(exact[some], upper[some], strict=True)):
        x = 24 + 8.7 * n
        beats = most > bar
        scored += beats
        pic.line([(x, 280), (x, height(most))], MAIN if beats else LINE, 4)
        if beats:
            pic.dot(x, height(value), 4, WARM, "#ffffff")
    pic.line([(16, height(bar)), (584, height(bar))], INK, 1.5, "5 4")
    pic.text(584, 30, "dashed: the 10th best so far", 15, "end", SOFT)
    pic.text(20, 30, f"64 rows, {scored} of them scored exactly", weight=600)
    pic.text(20, 310, "sticks: upper bounds from 8-bit tables", 14, fill=SOFT)
    pic.dot(348, 305, 4, WARM, "#ffffff")
    pic.text(360, 310, "exact scores, where needed", 14, fill=SOFT)
    return pic


def lists():
    """Codes by their nearest centroid, a query, and the two lists that it reads."""
    X = _disc(600, clusters=12, seed=6)
    flat = np.ascontiguousarray(X[:, :3])
    found = kmeans.lloyd(lambda rows: flat[rows], len(X), flat[:: len(X) // 6][:6].copy(), 20)
    query = np.array([0.05, -0.2, 0], np.float32)
    query[2] = np.sqrt(1 - (query**2).sum())
    read = np.argsort(found.centroids @ query)[::-1][:2]
    pic = Drawing(600, 370, "codes in lists around centroids; a query reads the nearest lists")
    at = lambda p: (300 + 330 * float(p[0]), 180 - 215 * float(p[1]))  # noqa: E731
    for point, owner in zip(flat, found.owners, strict=True):
        pic.dot(*at(point), 3.2, TINTS[owner], opacity=0.85 if owner in read else 0.22)
    for number, centroid in enumerate(found.centroids):
        x, y = at(centroid)
        pic.box(x - 7, y - 7, 14, 14, TINTS[number], "#ffffff", 2, 2)
        if number in read:
            pic.line([at(query), (x, y)], INK, 2, "4 4")
    pic.dot(*at(query), 8, "#ffffff", INK)
    pic.dot(*at(query), 3, INK)
    share = np.isin(found.owners, read).mean()
    pic.text(
        20, 354, f"The query (ringed) reads 2 of 6 lists: {100 * share:.0f} % of the codes.", 15
    )
    return pic


def files():
    """The files of an index, and what each change writes."""
    pic = Drawing(600, 324, "the files of an index: base, log and lock")
    pic.text(20, 30, "my.index", weight=700, mono=True)
    for n, (label, width) in enumerate(
        (("header", 74), ("codec", 74), ("codes, blocks of 64", 220), ("ids", 60), ("…", 40))
    ):
        x = 20 + sum((74, 74, 220, 60)[:n]) + 6 * n
        pic.box(x, 42, width, 44, PALE, MAIN)
        pic.text(x + width / 2, 69, label, 14, "middle")
    pic.text(20, 106, "mapped, never changed in place; a checksum for each section", 14, fill=SOFT)
    pic.text(20, 156, "my.index.qama-log", weight=700, mono=True)
    for n, label in enumerate(("add", "upsert", "delete", "sync")):
        pic.box(20 + 106 * n, 168, 100, 38, WARM_PALE, WARM)
        pic.text(70 + 106 * n, 192, label, 15, "middle")
    pic.arrow((446, 187), (500, 187), WARM)
    pic.text(508, 192, "grows", 15, fill=WARM)
    pic.text(20, 226, "each change whole or not at all, numbered, with a checksum", 14, fill=SOFT)
    pic.text(20, 276, "my.index.qama-lock", weight=700, mono=True)
    pic.text(20, 298, "one writer at a time; any number of readers", 14, fill=SOFT)
    pic.line([(560, 206), (560, 128), (560, 128)], MAIN, 2)
    pic.arrow((560, 140), (560, 92), MAIN)
    pic.text(548, 132, "compact", 15, "end", MAIN, 600)
    return pic
