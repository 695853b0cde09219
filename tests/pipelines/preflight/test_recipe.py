"""The recipe moves with everything that decides a document's rows."""

from dataclasses import replace
from pathlib import Path

from pipelines.preflight.recipe import recipe_of
from transforms.adapters.detectors import read_choice
from transforms.identify import Partitioning
from transforms.logic.chunking import Limits
from transforms.split import Splitting

PARTITIONING = Partitioning("language", ("de", "en"), 0.5)
SPLITTING = Splitting(Limits(32), "space")


def recipe(detector: str = "cld2", partitioning: Partitioning = PARTITIONING, splitting: Splitting = SPLITTING) -> str:
    return recipe_of(detector, read_choice(detector, partitioning.floor), partitioning, splitting)


def test_equal_settings_have_one_recipe_and_every_change_another() -> None:
    assert recipe() == recipe()
    changed = [
        recipe("const:en"),
        recipe("column:lang,cld2"),
        recipe(partitioning=replace(PARTITIONING, partition_by="none")),
        recipe(partitioning=replace(PARTITIONING, languages=None)),
        recipe(partitioning=replace(PARTITIONING, floor=0.6)),
        recipe(partitioning=replace(PARTITIONING, keep_languages=("de",))),
        recipe(splitting=replace(SPLITTING, limits=Limits(33))),
        recipe(splitting=replace(SPLITTING, limits=Limits(32, 4))),
        recipe(splitting=replace(SPLITTING, space="other")),
        recipe(splitting=replace(SPLITTING, structure="plain")),
        recipe(splitting=replace(SPLITTING, on_unknown="reject")),
        recipe(splitting=replace(SPLITTING, max_unknown_fraction=0.3)),
    ]
    assert len({recipe(), *changed}) == len(changed) + 1


def test_another_model_file_of_a_detector_is_another_recipe(tmp_path: Path) -> None:
    path = tmp_path / "lid.bin"
    choice = replace(read_choice("cld2", 0.5), model_files=(str(path),))
    path.write_bytes(b"one")
    first = recipe_of("fasttext", choice, PARTITIONING, SPLITTING)
    path.write_bytes(b"another")
    assert recipe_of("fasttext", choice, PARTITIONING, SPLITTING) != first
