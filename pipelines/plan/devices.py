"""The table of devices that a plan reckons with."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from transforms.logic.errors import ConfigurationError
from transforms.logic.forecast_costs import Device


@checked(frozen=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class _Table:
    device: tuple["_Device", ...] = ()
    currency: str = "USD"


@checked(frozen=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class _Device:
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    machine: str = Field(min_length=1)
    cores: int = Field(ge=1)
    tflops: float = Field(gt=0)
    efficiency: float = Field(gt=0, le=1)
    on_demand_hour: float | None = Field(None, ge=0)
    spot_hour: float | None = Field(None, ge=0)


def read_devices(path: str | None) -> tuple[list[Device], str]:
    """The devices of a TOML file, or of the one that this package brings, and the currency of their prices.

    Raises:
        ConfigurationError: the file cannot be read, or a value is wrong; the message names it.
    """
    shown = "devices.toml" if path is None else f"--devices {path!r}"
    try:
        text = (files("pipelines.plan") / "devices.toml" if path is None else Path(path)).read_text(encoding="utf-8")
        table = TypeAdapter(_Table).validate_python(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigurationError("\n".join(f"{shown}: {_explain(one)}" for one in error.errors())) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{shown} cannot be read: {error}") from error
    names = [device.name for device in table.device]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"{shown}: every device needs a name of its own; it has {', '.join(names)}")
    return [Device(**vars(device)) for device in table.device], table.currency


def _explain(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}"
