"""What a run reads, as planned: listed, selected, cut into splits, and gathered into groups."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.configuration.config import Config
from transforms.adapters.formats import Split, plan_splits
from transforms.adapters.formats.groups import SplitGroup, group_splits
from transforms.adapters.storage import list_matching
from transforms.logic.selection import Selection, select_files, window_of


@dataclass(frozen=True)
class Sources:
    """The splits in order of file and place, the groups they are read in, and how many files are taken and left out by reason."""

    splits: list[Split]
    groups: list[SplitGroup]
    files_planned: int
    files_left_out: Mapping[str, int]
    selection: Selection


def plan_sources(config: Config) -> Sources:
    """Lists and plans what the configuration names.

    Raises:
        ConfigurationError: nothing matches a pattern, or it cannot be listed. That all files are left out is no error: a day may be empty.
    """
    chosen = config.selection
    selection = Selection(window_of(chosen.date_from, chosen.date_to), chosen.sample, chosen.limit)
    listed = list_matching(config.source.input)
    files, left_out = select_files(listed, config.source.exclude, selection.window)
    splits = plan_splits(files, config.source.format)
    groups = group_splits(splits, files, together=selection.limit is not None)
    return Sources(splits, groups, len(files), left_out, selection)
