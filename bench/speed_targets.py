"""The targets of the search, as ratios of rows that one run measured."""

from speed_quality import FUNNELS, means


def targets(results):
    """Return one row a target: what, the wanted and the measured ratio, whether it was met."""
    return [row(name, wanted, ask, results) for name, wanted, ask in TARGETS]


def row(name, wanted, ask, results):
    try:
        measured = ask(results)
    except (KeyError, StopIteration):  # a part that was not run, or had no data
        return {"target": name, "wanted": wanted, "measured": None, "met": None}
    sign, bound = wanted[:2], float(wanted[2:])
    met = measured >= bound if sign == ">=" else measured <= bound
    return {"target": name, "wanted": wanted, "measured": round(measured, 3), "met": bool(met)}


def ms(results, part, engine, batch, nbytes=48):
    """Wall milliseconds per query."""
    return next(
        r["ms"] for r in results[part]
        if r["engine"] == engine and r.get("batch") == batch and r.get("nbytes") == nbytes
    )  # fmt: skip


def value(results, part, engine):
    return next(r["value"] for r in results[part] if r["engine"] == engine)


def times_faster(part, ours, theirs, batch, nbytes=48):
    return lambda r: ms(r, part, theirs, batch, nbytes) / ms(r, part, ours, batch, nbytes)


def of_ceiling(results, part="large", nbytes=48):
    """The read bandwidth of one Hamming query as a share of the fastest plain read."""
    engines = {row["engine"] for row in results[part] if row["engine"].startswith("read:")}
    best = min(ms(results, part, engine, 1, nbytes) for engine in engines)
    return best / ms(results, part, "Hamming", 1, nbytes)


def float_ratio(engine, batch):
    def ask(results):
        fastest = min(
            ms(results, "float32", theirs, batch)
            for theirs in ("FAISS IndexFlatIP", "BLAS and top-k")
        )
        return fastest / ms(results, "float32", engine, batch)

    return ask


def filtered(name):
    return times_faster("features", f"filter: {name}", "filter: all", 1)


def ndcg(results, setting, engine):
    """The mean over the collections."""
    return means(results["quality"], setting)[engine]


def above_peers(engine):
    """nDCG@10 of ours less that of the better of both fast-scans."""
    return lambda r: ndcg(r, "small", engine) - max(ndcg(r, "small", f) for f in (PQ, RABITQ))


def funnel_loss(setting):
    """Percent of the nDCG@10 of the flat scan."""

    def ask(results):
        whole, short = (ndcg(results, setting, e) for e in ("flat", "funnel, few"))
        return 100 * (1 - short / whole)

    return ask


BINARY, PQ, RABITQ = "FAISS IndexBinaryFlat", "FAISS PQ fast-scan", "FAISS RaBitQ fast-scan"
TARGETS = (
    ("Hamming, one query, share of the read ceiling, 10M rows", ">=0.85", of_ceiling),
    (
        "Hamming, one query, times IndexBinaryFlat",
        ">=1.25",
        times_faster("flat", "Hamming", BINARY, 1),
    ),
    (
        "Hamming, batches of 256, times IndexBinaryFlat, 48 B",
        ">=7",
        times_faster("flat", "Hamming", BINARY, 256),
    ),
    (
        "Hamming, batches of 256, times IndexBinaryFlat, 156 B",
        ">=5",
        times_faster("flat", "Hamming", BINARY, 256, 156),
    ),
    (
        "Hamming, batches of 256, times USearch exact",
        ">=8",
        times_faster("flat", "Hamming", "USearch exact", 256),
    ),
    (
        "Hamming, batches of 1,000, times USearch exact, a tenth of the rows",
        ">=8",
        times_faster("few", "Hamming", "USearch exact", 1000),
    ),
    (
        "asymmetric, one query, time over Hamming, 10M rows",
        "<=1.1",
        lambda r: ms(r, "large", "asymmetric", 1) / ms(r, "large", "Hamming", 1),
    ),
    (
        "asymmetric, batches of 256, times PQ96x4 fast-scan",
        ">=1.5",
        times_faster("flat", "asymmetric", PQ, 256),
    ),
    (
        "asymmetric, batches of 256, times RaBitQ fast-scan",
        ">=8",
        times_faster("flat", "asymmetric", RABITQ, 256),
    ),
    (
        "asymmetric, batches of 1,000, times RaBitQ fast-scan",
        ">=8",
        times_faster("flat", "asymmetric", RABITQ, 1000),
    ),
    (
        "asymmetric, batches of 256, times PQ96x4 fast-scan, 10M rows",
        ">=1.5",
        times_faster("large", "asymmetric", PQ, 256),
    ),
    ("asymmetric, nDCG@10 above both fast-scans", ">=0", above_peers("asymmetric")),
    ("one query, asymmetric, times the fastest float32", ">=25", float_ratio("asymmetric", 1)),
    ("batches of 1,000, Hamming, times the fastest float32", ">=15", float_ratio("Hamming", 1000)),
    (
        "batches of 1,000, asymmetric, times the fastest float32",
        ">=7",
        float_ratio("asymmetric", 1000),
    ),
    (
        "AVX2 over AVX-512, Hamming, batches of 256",
        ">=0.5",
        times_faster("flat", "Hamming, avx2", "Hamming", 256),
    ),
    (
        "AVX2 over AVX-512, asymmetric, batches of 256",
        ">=0.5",
        times_faster("flat", "asymmetric, avx2", "asymmetric", 256),
    ),
    *(
        row
        for nbytes, setting in FUNNELS.items()
        for row in (
            (
                f"funnel, one query, times the flat scan, {nbytes} B",
                ">=2",
                times_faster("features", "funnel", "filter: all", 1, nbytes),
            ),
            (
                f"funnel, {nbytes} B, loss of nDCG@10 with 200 candidates of 50,000 rows, %",
                "<=0.3",
                funnel_loss(setting),
            ),
        )
    ),
    ("filter that keeps a random 1 %", ">=1.7", filtered("random 1 %")),
    ("filter that keeps a random 0.1 %", ">=5", filtered("random 0.1 %")),
    ("filter that keeps a contiguous 1 %", ">=5", filtered("contiguous 1 %")),
    ("adding codes, GB/s", ">=1", lambda r: value(r, "features", "add codes")),
    (
        "resident memory over codes and ids",
        "<=1.1",
        lambda r: value(r, "features", "resident memory"),
    ),
    (
        "funnel, recall@10 of the flat scan",
        ">=0.95",
        lambda r: value(r, "features", "funnel recall"),
    ),
    ("opening 10M rows, ms", "<=50", lambda r: value(r, "features", "open")),
    (
        "partitions at 10M rows, times the flat scan",
        ">=10",
        times_faster("partitions", "partitions", "flat", 1),
    ),
    (
        "partitions at 10M rows, recall@10 of the flat scan",
        ">=0.95",
        lambda r: value(r, "partitions", "recall"),
    ),
)
