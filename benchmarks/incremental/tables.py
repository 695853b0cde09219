"""The tables that are printed."""

from collections.abc import Mapping, Sequence

from benchmarks.incremental.editions import CHANGED_SHARE, EDITIONS, Document, choose
from benchmarks.incremental.ours import Result
from benchmarks.incremental.peers import PACKAGES

_GOAL_SPEEDUP = 50
_GOAL_COST = 1.5


def render_editions(results: Mapping[str, Result], editions: Mapping[str, Sequence[Document]]) -> str:
    """Ours: a line for each edition, then the two figures that have a goal."""
    first, unchanged, edited = (results[name] for name in ("first", "unchanged", "edited"))
    share = _share_of_characters(editions["first"], choose(editions["first"], "edited"))
    widths = (9, 10, 7, 9, 10, 10, 8, 11, 6, 9, 9, 9, 12)
    names = (
        *("start", "planning", "load", "seconds", "of first", "embedded", "reused", "unchanged", "gone"),
        *("encoded", "written", "deleted", "other load"),
    )
    lines = [
        f"{len(editions['first']):,} documents; the edited ones hold {share:.2%} of the characters",
        f"{'':<12}" + "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True)),
    ]
    for name, result in results.items():
        documents, rows = result["documents"], result["rows"]
        cells = (
            *(f"{result[one]:.1f}" for one in ("start", "planning", "load")),
            f"{result['seconds']:.2f}",
            f"{result['seconds'] / first['seconds']:.4f}",
            *(f"{documents[one]:,}" for one in ("embedded", "reused", "unchanged", "gone")),
            *(f"{number:,}" for number in (result["encoded"], rows["written"], rows["deleted"])),
            f"{result['other_load_cores']:.2f}",
        )
        lines.append(f"{name:<12}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))
    speedup = first["seconds"] / unchanged["seconds"]
    planned = (first["planning"] + first["seconds"]) / (unchanged["planning"] + unchanged["seconds"])
    whole = first["process"] / unchanged["process"]
    cost, cost_by_share = (
        edited["seconds"] / (part * first["seconds"] + unchanged["seconds"]) for part in (CHANGED_SHARE, share)
    )
    stages = {name: seconds for name, seconds in unchanged["stages"].items() if seconds / unchanged["seconds"] >= 0.002}
    rest = unchanged["seconds"] - sum(stages.values())
    again = (
        f"an unchanged rerun is {speedup:.1f} times as fast as the first run (goal: at least {_GOAL_SPEEDUP}), {planned:.1f} times with "
        f"planning, {whole:.1f} times as whole processes; texts encoded: {unchanged['encoded']} (goal: 0)"
    )
    where = ", ".join(f"{name} {seconds:.2f}" for name, seconds in stages.items())
    changed = (
        f"1 % edited costs {cost:.2f} of 1 % of the first run and an unchanged rerun (goal: at most {_GOAL_COST:g}), {cost_by_share:.2f} "
        f"by their share of the characters; 1 % with other metadata: {results['metadata']['encoded']} texts encoded (goal: 0)"
    )
    lines += ["", again, f"where its seconds go: {where}, the rest (Beam, counting, committing) {rest:.2f}", changed]
    return "\n".join(lines) + "\n"


def _share_of_characters(documents: Sequence[Document], chosen: set[str]) -> float:
    lengths = {one["id"]: len(one["text"]) for one in documents}
    return sum(lengths[name] for name in chosen) / sum(lengths.values())


def render_peers(results: Mapping[str, Mapping[str, Result]], missing: Sequence[str]) -> str:
    """Seconds and texts encoded of everybody, edition by edition."""
    header = "".join(f"{edition:>10}{'encoded':>9}" for edition in EDITIONS)
    lines = [f"{'':<16}{header}{'other load':>12}"]
    for name, editions in results.items():
        cells = "".join(f"{editions[one]['seconds']:>10.2f}{editions[one]['encoded']:>9,}" for one in EDITIONS)
        load = max(editions[one]["other_load_cores"] for one in EDITIONS)
        lines.append(f"{name:<16}{cells}{load:>12.2f}")
    lines += [f"{name}: left out, {PACKAGES[name]} is not installed" for name in missing]
    return "\n".join(lines) + "\n"


def render_lookup(results: Mapping[int, Mapping[str, Result]]) -> str:
    """A line for each number of documents, ratios against the smallest."""
    base = next(iter(results.values()))["unchanged"]
    base_rate = base["seconds"] / next(iter(results))
    of_first, of_rerun = f"{'documents':>10}{'first run':>11}", f"{'rerun':>9}{'us a document':>15}{'ratio':>7}"
    lines = [f"{of_first}{of_rerun}{'peak MiB':>10}{'ratio':>7}{'encoded':>9}{'other load':>12}"]
    for documents, runs in results.items():
        rerun = runs["unchanged"]
        rate = rerun["seconds"] / documents
        lines.append(
            f"{documents:>10,}{runs['first']['seconds']:>11.1f}{rerun['seconds']:>9.2f}{1e6 * rate:>15.1f}{rate / base_rate:>7.2f}"
            f"{rerun['peak_mib']:>10,.0f}{rerun['peak_mib'] / base['peak_mib']:>7.2f}{rerun['encoded']:>9,}"
            f"{rerun['other_load_cores']:>12.2f}"
        )
    return "\n".join(lines) + "\n"
