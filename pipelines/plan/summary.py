"""A plan as a person reads it."""

from collections.abc import Mapping
from typing import Any

from pipelines.command_line.tables import size, table
from pipelines.configuration.config import Config

Estimated = Mapping[str, float]

_COMMONEST_LANGUAGES = 20
_BEGUN = (
    "of the files cannot be cut and are too large to be read whole: the rest is taken to be like the beginning, "
    "and no interval knows whether it is"
)
_LANGUAGES = {
    "language": "language",
    "documents": "documents",
    "tokens": "tokens",
    "range": "from - to",
    "share": "share",
    "each": "tokens/character",
    "premium": "premium",
}
_MILVUS = {"vectors": "vectors", "index": "index", "memory": "memory", "disk": "disk with fields"}
_MINUTE = 60
_HOUR = 3600
_FEW = 10


def summarise_plan(plan: Mapping[str, Any], config: Config) -> str:
    """Tables and the sentences that say what they rest on."""
    sample, documents, work = plan["sample"], plan["documents"], plan["work"]
    lines = [
        f"plan of run {plan['run_id']} into collection {plan['collection']}: nothing was written",
        "",
        *_sample(sample),
        "",
        _line("documents", documents["read"], _of_documents(documents)),
        _line("chunks", plan["chunks"], f"; {_number(plan['repeats'])}{_ends(plan['repeats'])} repeat another"),
        _line("tokens", plan["tokens"]),
        _line(
            "to encode",
            work["tokens_encoded"],
            f" tokens; {_number(work['chunks_with_known_vectors'])} chunks have a known vector",
        ),
        *_rejects(plan, config),
        "",
        *_languages(plan),
        *([*_costs(plan), "", *_kept(plan)] if plan["chunks"]["high"] else ["  nothing would be embedded"]),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _sample(sample: Mapping[str, Any]) -> list[str]:
    read, whole = size(sample["source_bytes_read"]), size(sample["source_bytes"])
    looked = (
        f"  sample      {sample['pieces_read']:,} of {sample['pieces']:,} pieces, {read} of {whole}; "
        f"{sample['documents']:,} documents looked into, seed {sample['seed']}"
    )
    begun = [f"  begun       {sample['pieces_begun']:,} {_BEGUN}"] if sample["pieces_begun"] else []
    if sample["complete"]:
        return [looked, "  confidence  every document was looked into: what is counted is exact"]
    reached = "" if sample["reached_margin"] is None else f"; tokens are known within {sample['reached_margin']:.1%}"
    sure = (
        f"  confidence  {sample['confidence']:.0%}: so many of such samples have the truth between both ends{reached}"
    )
    return [looked, sure, *begun]


def _line(name: str, estimate: Estimated, remark: str = "") -> str:
    return f"  {name:<11} {_number(estimate)}{_ends(estimate)}{remark}"


def _number(estimate: Estimated) -> str:
    return f"{estimate['estimate']:,.0f}"


def _ends(estimate: Estimated) -> str:
    return "" if estimate["low"] == estimate["high"] else f" ({estimate['low']:,.0f} - {estimate['high']:,.0f})"


def _of_documents(documents: Mapping[str, Any]) -> str:
    parts = [f"{_number(documents[name])} {name}" for name in ("rejected", "unchanged") if documents[name]["high"]]
    parts += [f"{_number(one)} left out ({reason})" for reason, one in documents["left_out"].items()]
    return f": {', '.join(parts)}" if parts else ""


def _rejects(plan: Mapping[str, Any], config: Config) -> list[str]:
    lines = []
    if plan["rejects"]:
        reasons = ", ".join(
            f"{name.split('.')[-1]} {_number(one)}{_ends(one)}" for name, one in plan["rejects"].items()
        )
        limit = config.run.max_reject_fraction
        over = ", OVER THE LIMIT: the run would end with exit code 4" if plan["reject_fraction"] > limit else ""
        lines.append(f"  rejects     {reasons}; {plan['reject_fraction']:.2%} of all (limit {limit:.2%}{over})")
    if plan["rejects_of_an_unseen_reason"]["high"]:
        lines.append(
            f"  unseen      of any other reason there are at most {plan['rejects_of_an_unseen_reason']['high']:,.0f}"
        )
    return lines


def _languages(plan: Mapping[str, Any]) -> list[str]:
    languages, unseen = plan["languages"], plan["documents_of_an_unseen_language"]["high"]
    everything = sum(one["tokens"]["estimate"] for one in languages.values()) or 1
    ordered = sorted(languages.items(), key=lambda item: (-item[1]["tokens"]["estimate"], item[0]))
    rows = [
        {
            "language": language,
            "documents": round(one["documents"]["estimate"]),
            "tokens": round(one["tokens"]["estimate"]),
            "range": _ends(one["tokens"]).strip(" ()") or "exact",
            "share": f"{one['tokens']['estimate'] / everything:.1%}",
            "each": _figure(one["tokens_per_character"], 3),
            "premium": _figure(one["premium"], 2),
        }
        for language, one in ordered[:_COMMONEST_LANGUAGES]
    ]
    lines = table(rows, _LANGUAGES).splitlines()
    more = len(ordered) - len(rows)
    return [
        *lines,
        *([f"  and {more:,} languages more (--json has them all)"] if more else []),
        *([f"  of any language that was not met there are at most {unseen:,.0f} documents"] if unseen else []),
        *([""] if rows else []),
    ]


def _figure(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _costs(plan: Mapping[str, Any]) -> list[str]:
    if not plan["costs"]:
        return ["  no device is known: name some by --devices"]
    counts = [int(count) for count in plan["costs"][0]["wall_seconds"]]
    columns = {
        "device": "device",
        "machine": "machine",
        "speed": "tokens/s",
        "hours": "machine time",
        "on_demand": f"{plan['currency']} on demand",
        "spot": "spot",
        **{f"wall{count}": f"{count} worker{'s' if count > 1 else ''}" for count in counts},
        "basis": "basis",
    }
    rows = [
        {
            "device": one["device"],
            "machine": one["machine"] or "-",
            "speed": round(one["tokens_per_second"]),
            "hours": _ranged(one["hours"], _duration_of_hours),
            "on_demand": _ranged(one["on_demand"], _price),
            "spot": _ranged(one["spot"], _price),
            **{f"wall{count}": _duration(one["wall_seconds"][str(count)]["estimate"]) for count in counts},
            "basis": "measured" if one["measured"] else "estimated",
        }
        for one in plan["costs"]
    ]
    notes = [
        *(
            f"  {one['device']}: {one['basis']}; wall times are of the whole run"
            for one in plan["costs"]
            if one["measured"]
        ),
        "  estimated: from the model's arithmetic; wall times are of encoding alone",
        "  prices are examples (--devices)",
    ]
    return [*table(rows, columns).splitlines(), *notes]


def _ranged(estimate: Estimated | None, show: Any) -> str:
    if estimate is None:
        return "-"
    low, high = show(estimate["low"]), show(estimate["high"])
    return low if low == high else f"{low} - {high}"


def _duration_of_hours(hours: float) -> str:
    return _duration(hours * _HOUR)


def _price(price: float) -> str:
    return f"{price:,.0f}" if price >= _FEW else f"{price:.2f}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:,.1f} h"


def _kept(plan: Mapping[str, Any]) -> list[str]:
    written = plan["files_written"]
    dataset, fields = (size(round(plan[name]["estimate"])) for name in ("dataset_bytes", "milvus_field_bytes"))
    lines = [
        f"  workspace   {dataset} more of dataset in about {written['dataset']:,} files, {written['ledger']:,} of ledger",
        f"  in Milvus   {_number(plan['chunks'])} rows; their other fields take {fields} of memory besides, unless they are mapped",
    ]
    rows = [
        {
            "vectors": one["vectors"] if one["dimensions"] is None else f"{one['vectors']} x {one['dimensions']}",
            "index": one["index"],
            "memory": size(one["memory_bytes"]),
            "disk": size(one["disk_bytes"]),
        }
        for one in plan["milvus"]
    ]
    return [*lines, "", *table(rows, _MILVUS).splitlines()]
