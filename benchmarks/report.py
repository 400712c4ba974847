"""Results as a table and as a chart."""

from itertools import groupby
from pathlib import Path

NOISY = 0.05  # share of the processors in the hands of others, above which figures are suspect


def table(results: dict) -> str:
    """The rows as Markdown, under the machine they are of."""
    busy = results["foreign"]
    lines = [
        f"{results['machine']}; {results['date']}; medians of {results['rounds']} rounds by turns. "
        + ("" if busy is None else f"Other work took {busy:.1%} of the processors at most")
        + (": the figures are suspect." if busy and busy > NOISY else "."),
        "",
        "| what | how | an item | ± | times as fast |",
        "|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        spread = f"{row['spread']:.0%}" if "spread" in row else ""
        ratio = f"{row['ratio']:.2f}" if "median_s" in row else ""
        cells = (row["benchmark"], how(row), measured(row), spread, ratio)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def how(row: dict) -> str:
    share = row.get("of_fp32_matrix_product")
    return row["variant"] + (f" ({share:.0%} of matrix products)" if share else "")


def measured(row: dict) -> str:
    """The figure of a row in the unit that suits it."""
    if "share" in row:
        return f"{row['share']:.1%}"
    if "psnr_db" in row:
        return f"{', '.join(f'{psnr:.1f}' for psnr in row['psnr_db'])} dB"
    if "peak_mb" in row:
        return f"{row['peak_mb']:.3g} MB"
    return seconds(row["median_s"])


def seconds(value: float) -> str:
    """Three digits in the unit that suits them."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def chart(results: dict, path: Path) -> None:
    """Bars of how many times as fast as the first of its kind each variant is, if any is timed."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    timed = [row for row in results["rows"] if "median_s" in row]
    if not timed:
        return
    kinds = [list(rows) for _, rows in groupby(timed, lambda row: row["benchmark"])]
    figure, axes = pyplot.subplots(
        len(kinds),
        figsize=(9, 0.5 + 0.45 * len(timed) + 0.4 * len(kinds)),
        gridspec_kw={"height_ratios": [len(rows) for rows in kinds]},
        squeeze=False,
        constrained_layout=True,
    )
    for axis, rows in zip(axes[:, 0], kinds, strict=True):
        bars = axis.barh([row["variant"] for row in rows], [row["ratio"] for row in rows])
        axis.bar_label(bars, fmt="%.2f", padding=3)
        axis.set_title(rows[0]["benchmark"], loc="left", fontsize=10)
        axis.invert_yaxis()
        axis.margins(x=0.1)
    figure.supxlabel("times as fast as the first")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
