from pathlib import Path

import pytest

from pipelines.plan.devices import read_devices
from transforms.logic.errors import ConfigurationError

DEVICE = """
[[device]]
name = "nvidia-l4"
machine = "g2-standard-8"
cores = 8
tflops = 121
efficiency = 0.3
"""


def test_the_table_that_comes_along_is_sound() -> None:
    devices, currency = read_devices(None)
    assert currency == "USD"
    assert [device.name for device in devices] == [
        "nvidia-l4",
        "nvidia-tesla-a100",
        "nvidia-a100-80gb",
        "nvidia-h100-80gb",
    ]
    for device in devices:
        assert device.on_demand_hour is not None
        assert device.spot_hour is not None
        assert 0 < device.spot_hour < device.on_demand_hour


def test_a_table_of_ones_own_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "devices.toml"
    path.write_text(f'currency = "EUR"\n{DEVICE}on_demand_hour = 1.5\n')
    (device,), currency = read_devices(str(path))
    assert (device.name, device.on_demand_hour, device.spot_hour, currency) == ("nvidia-l4", 1.5, None, "EUR")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DEVICE.replace("cores = 8", "cores = 0"), r"device\.0\.cores: Input should be greater than or equal to 1"),
        (DEVICE.replace("0.3", "1.3"), r"device\.0\.efficiency: Input should be less than or equal to 1"),
        (f"{DEVICE}price = 3\n", r"device\.0\.price: Unexpected keyword argument"),
        (DEVICE + DEVICE, "every device needs a name of its own"),
        ("not TOML", "cannot be read"),
    ],
)
def test_a_table_with_something_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "devices.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_devices(str(path))
