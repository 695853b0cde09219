from pathlib import Path

import pytest
import torch

from transforms.adapters.encoders import Computation, usable_cores
from transforms.adapters.engines import devices
from transforms.adapters.engines.devices import choose_device
from transforms.logic.errors import ConfigurationError


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine without a GPU, whose parts a test can change."""
    monkeypatch.setattr(devices, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return monkeypatch


def add_card(patch: pytest.MonkeyPatch, capability: tuple[int, int] = (9, 0)) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "device_count", lambda: 1)
    patch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    patch.setattr(torch.cuda, "get_device_name", lambda _: "Some Card")


def test_auto_is_the_cpu_where_there_is_no_gpu(cards: pytest.MonkeyPatch) -> None:
    del cards
    assert choose_device(Computation(device="auto")) == torch.device("cpu")


def test_auto_is_the_gpu_where_there_is_one(cards: pytest.MonkeyPatch) -> None:
    add_card(cards)
    assert choose_device(Computation(device="auto")) == torch.device("cuda")
    assert choose_device(Computation(device="cpu")) == torch.device("cpu")


def test_a_gpu_that_was_asked_for_is_never_replaced(cards: pytest.MonkeyPatch) -> None:
    del cards
    with pytest.raises(ConfigurationError, match="--device 'cuda' needs a GPU"):
        choose_device(Computation(device="cuda"))


def test_a_gpu_whose_driver_torch_cannot_use_is_no_reason_for_the_cpu(
    cards: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del cards
    (tmp_path / "version").write_text("NVRM version: 580", encoding="ascii")
    with pytest.raises(ConfigurationError, match="choose --device cpu"):
        choose_device(Computation(device="auto"))


def test_a_number_beyond_the_cards_is_refused(cards: pytest.MonkeyPatch) -> None:
    add_card(cards)
    assert choose_device(Computation(device="cuda:0")) == torch.device("cuda:0")
    with pytest.raises(ConfigurationError, match=r"'cuda:1' is not there: torch sees 1 GPUs"):
        choose_device(Computation(device="cuda:1"))


def test_a_card_without_bfloat16_is_told_of_float16(cards: pytest.MonkeyPatch) -> None:
    add_card(cards, (7, 5))
    assert choose_device(Computation("float16")) == torch.device("cuda")
    with pytest.raises(ConfigurationError, match="choose --dtype float16 or float32"):
        choose_device(Computation("bfloat16"))


def test_there_is_a_core() -> None:
    assert usable_cores() >= 1
