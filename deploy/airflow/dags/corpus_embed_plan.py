"""From an Airflow Variable and a data interval to what the tasks run, and from run records to what they report.

Only the standard library is used: the DAG process has neither this project's packages nor its model, and needs none.
"""

import datetime as dt
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

EXIT_COMPLETE: Final = 0
EXIT_REJECTS: Final = 3
EXIT_RETRY: Final = 6
EXIT_CODES: Final[Mapping[int, str]] = {
    EXIT_COMPLETE: "complete",
    1: "a service or library failed in a way that another attempt will not mend",
    2: "the configuration is wrong, nothing was encoded",
    EXIT_REJECTS: "complete, with rejects under the limit",
    4: "more rejects than the limit",
    5: "does not balance, or is not what was written",
    EXIT_RETRY: "a service failed, or another run is writing: worth retrying",
    7: "complete, but deletes over the limit were not made",
}
"""What `corpus-embed` says by its exit code, in short; docs/operate.md has the table."""

GOOD: Final = frozenset({EXIT_COMPLETE, EXIT_REJECTS})

_ALLOWED: Final = {"runner", "command", "options", "beam_options", "dataflow"}
_RUNNERS: Final = ("local", "dataflow")
_OF_THE_INTERVAL: Final = ("date_from", "date_to", "logical_date", "verify")
_PATTERNS: Final = ("input", "exclude")
_PLACES: Final = ("input", "workspace", "milvus", "model")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_ADDRESSES: Final = ("milvus", "push_metrics", "import_endpoint")
# Beam's own are among them: s3_access_key_id, azure_connection_string; a key of Google's key service is a name.
_SECRET: Final = re.compile(
    r"(?!dataflow_kms_key$)(.*_)?(token|password|secret|key|key_id|certificate|ca|credentials?|connection_string)"
)
_REFERENCE: Final = re.compile(r"(env|file|secret):.+")
# As in transforms/logic/addresses.py.
_USER: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{1,2}(?:[^/?#]*@|[^/?#@\[]*:(?![0-9]{1,5}(?:[/?#]|$))\S*@)")
_OPTION: Final = re.compile(r"-*(\w+)=(.*)", re.DOTALL)
LAUNCH: Final = "corpus-embed-launch"
"""The label that tells jobs of one launch from others of the same name."""
_TRANSIENT: Final = "transforms.logic.errors.TransientError"
_DAY: Final = dt.timedelta(days=1)


class SettingsError(ValueError):
    """The Variable, a parameter or an interval is wrong; the message names it and what is allowed, and never repeats a value."""


def plan(
    settings: Any, start: dt.datetime | None, stop: dt.datetime | None, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the tasks of one interval run, as plain values that an XCom holds.

    Args:
        settings: value of the Variable, see `deploy/airflow/README.md`.
        start: first instant of the interval, with its time zone.
        stop: first instant after it.
        params: `verify` (quick or full), `recheck`, `max_reject_fraction` (None: as the options say).

    Returns:
        `runner`, `interval` (its name), `serves` (collection or alias) and `is_alias`, `workspace`, and: for the local runner `run`, a
        command line; for Dataflow `project`, `region` and `body`, the request that launches the template; `verify`, a command line, or
        None where no command is at hand.

    Raises:
        SettingsError: something is wrong.
    """
    checked = _checked(settings)
    options = dict(checked["options"])
    chosen = params or {}
    depth = chosen.get("verify") or "quick"
    if chosen.get("recheck"):
        options["recheck"] = True
    if chosen.get("max_reject_fraction") is not None:
        options["max_reject_fraction"] = chosen["max_reject_fraction"]
    name, window = _interval(start, stop)
    options |= {"logical_date": name, "verify": depth, **({} if "publish" in options else window)}
    # Daily runs and backfills share a collection, and so does whoever runs something by hand.
    options.setdefault("on_busy", "wait")
    planned = {
        "runner": checked["runner"],
        "interval": name,
        "serves": options.get("publish") or options.get("collection"),
        "is_alias": bool(options.get("publish")),
        "workspace": options["workspace"],
        "verify": _verify_command(checked["command"], options, depth),
    }
    if checked["runner"] == "local":
        beam = _beam_flags(checked["beam_options"])
        return {**planned, "run": [*checked["command"], "run", *_flags(options), *beam]}
    return {**planned, **_launch(checked["dataflow"], options, name)}


def _checked(settings: Any) -> dict[str, Any]:
    """The settings with every part present."""
    if not isinstance(settings, dict):
        raise SettingsError("the Variable must hold a JSON object; deploy/airflow/README.md shows one")
    unknown = sorted(set(settings) - _ALLOWED)
    if unknown:
        raise SettingsError(f"the Variable has {unknown[0]!r}; allowed are {', '.join(sorted(_ALLOWED))}")
    runner = settings.get("runner")
    if runner not in _RUNNERS:
        raise SettingsError(f"runner must be one of {', '.join(_RUNNERS)}")
    command = settings.get("command", [])
    command = [command] if isinstance(command, str) else command
    if not isinstance(command, list) or not all(isinstance(part, str) and part for part in command):
        raise SettingsError("command must be the path of corpus-embed, or a list of texts that begins with a program")
    if runner == "local" and not command:
        raise SettingsError("the local runner needs command, the path of corpus-embed in an environment of its own")
    options = _checked_options(settings.get("options"), runner)
    beam = settings.get("beam_options", {})
    if not isinstance(beam, dict):
        raise SettingsError("beam_options must be an object of names of Beam's options and plain values")
    _check_values(beam, "beam_options")
    if beam and runner == "dataflow":
        raise SettingsError(
            "beam_options are of the local runner; a template takes them as parameters or environment, under dataflow"
        )
    dataflow = _checked_dataflow(settings.get("dataflow")) if runner == "dataflow" else {}
    return {"runner": runner, "command": command, "options": options, "beam_options": beam, "dataflow": dataflow}


def _checked_options(options: Any, runner: str) -> dict[str, Any]:
    if not isinstance(options, dict):
        raise SettingsError(
            "options must be an object: options of `corpus-embed run`, named as in a configuration file"
        )
    named = {str(name).replace("-", "_"): value for name, value in options.items()}
    _check_values(named, "options")
    missing = [name for name in ("input", "workspace", "milvus") if not named.get(name)]
    if missing:
        raise SettingsError(f"options.{missing[0]} is missing")
    if bool(named.get("collection")) == bool(named.get("publish")):
        raise SettingsError(
            "options need either collection, into which each interval is written, or publish, an alias that full loads move"
        )
    if runner == "dataflow" and named.get("publish"):
        raise SettingsError(
            "options.publish moves the alias after the job, which a template does not wait for; name a collection, or use the local runner"
        )
    if runner == "local":
        _check_places(named)
    return named


def _check_values(values: Mapping[str, Any], where: str) -> None:
    """Refuses what is no plain value, no name of an option, set by the interval, a flag in disguise, or a secret."""
    for name, value in values.items():
        named, each = f"{where}.{name}", _listed(value)
        if not _NAME.fullmatch(name) or not all(_is_plain(one) for one in each):
            raise SettingsError(f"{named} must be a text, a number, true or false, or a list of texts")
        if name in _OF_THE_INTERVAL:
            raise SettingsError(f"{named} is set by the interval or a parameter; leave it out")
        if any(str(one).startswith("-") for one in each if isinstance(one, str)):
            raise SettingsError(f"{named} begins with a hyphen, as a flag does; leave that out")
        if any(_USER.match(str(one)) for one in each):
            raise SettingsError(f"{named} holds a user or a password before its host (not shown); leave that out")
        if name in _ADDRESSES and any("?" in str(one) or "#" in str(one) for one in each):
            raise SettingsError(f"{named} holds a query, which may be a secret (not shown); leave that out")
        if _SECRET.fullmatch(name) and not all(isinstance(one, str) and _REFERENCE.fullmatch(one) for one in each):
            raise SettingsError(
                f"{named} must be a reference, as env:NAME, file:/PATH or secret:projects/…; what it holds is not shown, "
                "as it may be a secret"
            )


def _check_places(options: Mapping[str, Any]) -> None:
    """A task runs in a directory that is removed at its end, so what is named relative to it would be lost."""
    for name in _PLACES:
        values = options.get(name) or []
        for one in values if isinstance(values, list) else [values]:
            hub_or_host = name in {"model", "milvus"} and not str(one).startswith(".") and not str(one).endswith(".db")
            if not (hub_or_host or "://" in str(one) or str(one).startswith("/")):
                raise SettingsError(f"options.{name} must be an absolute path or a URI")


def _checked_dataflow(dataflow: Any) -> dict[str, Any]:
    if not isinstance(dataflow, dict) or set(dataflow) - {"project", "region", "template", "parameters", "environment"}:
        raise SettingsError(
            "dataflow must be an object of project, region, template, and perhaps parameters and environment"
        )
    for name in ("project", "region", "template"):
        if not isinstance(dataflow.get(name), str) or not dataflow[name]:
            raise SettingsError(f"dataflow.{name} is missing")
    if not dataflow["template"].startswith("gs://"):
        raise SettingsError(
            "dataflow.template must be the gs:// URI of the file that `gcloud dataflow flex-template build` wrote"
        )
    for name in ("parameters", "environment"):
        if not isinstance(dataflow.get(name, {}), dict):
            raise SettingsError(f"dataflow.{name} must be an object")
    _check_values(dataflow.get("parameters", {}), "dataflow.parameters")
    environment = dataflow.get("environment", {})
    if not isinstance(environment.get("additionalUserLabels", {}), dict):
        raise SettingsError("dataflow.environment.additionalUserLabels must be an object")
    _check_environment(environment)
    return dataflow


def _check_environment(value: Any) -> None:
    """Refuses secrets at any depth: Dataflow shows a job's environment, of which options of Beam may be a part."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_environment(one)
        return
    option = _OPTION.fullmatch(str(value))
    name, text = option.groups() if option else ("", str(value))
    if _USER.match(text) or (_SECRET.fullmatch(name) and not _REFERENCE.fullmatch(text)):
        raise SettingsError(
            f"dataflow.environment holds a secret{f' in {name}' if name else ''} (not shown), and Dataflow would show it; leave that out"
        )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _interval(start: dt.datetime | None, stop: dt.datetime | None) -> tuple[str, dict[str, str]]:
    """Name of an interval and the options that select its documents, all in UTC."""
    if start is None or stop is None:
        raise SettingsError("this run has no data interval; trigger it with a logical date, or use a backfill")
    if start.tzinfo is None or stop.tzinfo is None:
        raise SettingsError("the ends of the data interval need a time zone")
    start, stop = start.astimezone(dt.UTC), stop.astimezone(dt.UTC)
    if start >= stop:
        raise SettingsError(
            "the data interval has no width, so it selects nothing; schedule by CronDataIntervalTimetable, as @daily is a mere trigger"
        )
    whole_days = all(moment.timetz() == dt.time(tzinfo=dt.UTC) for moment in (start, stop))
    if whole_days:
        window = {"date_from": f"{start:%Y-%m-%d}", "date_to": f"{stop:%Y-%m-%d}"}
    else:
        window = {"date_from": start.isoformat(), "date_to": stop.isoformat()}
    # No colon: it becomes a part of object names.
    name = f"{start:%Y-%m-%d}" if whole_days and stop - start == _DAY else f"{start:%Y-%m-%dT%H%MZ}"
    return name, window


def _flags(options: Mapping[str, Any]) -> list[str]:
    """Options as flags. `--name=value` is never read as two, whatever the value."""
    flags: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            flags += [flag] if value else []
        elif name in _PATTERNS:
            flags += [flag, *map(str, _listed(value))]
        else:
            flags.append(f"{flag}={','.join(map(str, _listed(value)))}")
    return flags


def _beam_flags(options: Mapping[str, Any]) -> list[str]:
    """Beam's options as flags; of a list it takes a flag for each value."""
    flags: list[str] = []
    for name, value in options.items():
        if isinstance(value, bool):
            flags += [f"--{name}"] if value else []
        else:
            flags += [f"--{name}={one}" for one in _listed(value)]
    return flags


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _verify_command(command: Sequence[str], options: Mapping[str, Any], depth: str) -> list[str] | None:
    if not command:
        return None
    access = {name: value for name, value in options.items() if name.startswith("milvus") and name != "milvus_outputs"}
    if "allow_clear_text_milvus" in options:
        access["allow_clear_text_milvus"] = options["allow_clear_text_milvus"]
    flags = _flags(
        {
            "workspace": options["workspace"],
            "collection": options.get("collection") or options["publish"],
            **access,
            "on_busy": options["on_busy"],
        }
    )
    return [*command, "verify", *flags, f"--{depth}"]


def _launch(dataflow: Mapping[str, Any], options: Mapping[str, Any], interval: str) -> dict[str, Any]:
    """Project, region and body of `projects.locations.flexTemplates.launch` (Dataflow's REST reference, v1b3).

    The job's name holds no chance: of jobs of one name Dataflow runs one at a time, so that an interval never runs twice at once. A label
    holds a hash of all that is launched.
    """
    name = re.sub(r"[^a-z0-9]+", "-", f"corpus-embed-{options['collection']}-{interval}".lower()).strip("-")
    launch = {
        "jobName": name,
        "containerSpecGcsPath": dataflow["template"],
        "parameters": _parameters({**options, **dataflow.get("parameters", {})}),
        "environment": dict(dataflow.get("environment", {})),
    }
    digest = hashlib.sha256(json.dumps(launch, sort_keys=True).encode()).hexdigest()[:32]
    launch["environment"]["additionalUserLabels"] = {
        **launch["environment"].get("additionalUserLabels", {}),
        LAUNCH: digest,
    }
    return {"project": dataflow["project"], "region": dataflow["region"], "body": {"launchParameter": launch}}


def _parameters(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as parameters of the template, each one text; patterns stand in it as in a shell."""
    texts: dict[str, str] = {}
    for name, value in options.items():
        if isinstance(value, bool):
            texts[name] = "true" if value else "false"
        elif name in _PATTERNS:
            texts[name] = shlex.join(map(str, _listed(value)))
        else:
            texts[name] = ",".join(map(str, _listed(value)))
    return texts


def newest_record(
    records: Iterable[Mapping[str, Any]], serves: str, *, is_alias: bool = False
) -> Mapping[str, Any] | None:
    """Of run records of an interval the one of this collection, or generation of this alias, that started last."""
    own = re.compile(re.escape(serves) + (r"_\d{4,}" if is_alias else ""))
    ours = [one for one in records if own.fullmatch(str(one["configuration"]["storage"]["collection"]))]
    return max(ours, key=lambda one: (one["started_at"], one["run_id"]), default=None)


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run record what an XCom may hold: counts and names of this project, nothing of a document."""
    counts = {
        "documents": ("read", "embedded", "reused", "unchanged", "rejected", "left_out"),
        "vectors": ("encoded", "reused"),
        "rows": ("held", "written", "unchanged", "deleted", "rejected"),
    }
    verification = record.get("verification") or {}
    return {
        "run_id": record["run_id"],
        "exit_code": record["exit_code"],
        "collection": record["configuration"]["storage"]["collection"],
        "seconds": record["seconds"],
        "tokens": record["tokens"],
        **{group: {name: record[group].get(name, 0) for name in names} for group, names in counts.items()},
        "rejects": dict(record["rejects"]),
        "differences": len(record["differences"]),
        "verified": verification.get("form", "none"),
        "findings": len(verification.get("findings", ())),
    }


def is_transient(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the errors that a Dataflow job reported say that another attempt may succeed: what is exit code 6 of a command.

    Args:
        messages: `JobMessage`s of Dataflow's REST interface, oldest first.
    """
    errors = [str(one.get("messageText")) for one in messages if one.get("messageImportance") == "JOB_MESSAGE_ERROR"]
    ours = [text for text in errors if "transforms.logic.errors." in text]
    return bool(ours) and f"{_TRANSIENT}:" in ours[-1]
