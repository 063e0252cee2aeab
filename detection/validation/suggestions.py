"""What somebody who mistyped a name may have meant."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SUCCESSORS = {
    "data.global_batch_size": "it is data.batch_size now, the images of one optimizer step over all devices",
}


def successor(key: str) -> str:
    """What became of a dotted key of an earlier release; empty where it is not known."""
    return _SUCCESSORS.get(key, "")


def suggest_keys(unknown: str, config: Mapping[str, Any], least: float = 0.6) -> list[str]:
    """Find the keys that a mistyped override may have meant.

    Args:
        unknown: A dotted key that the configuration does not have, such as ``data.batchsize``.
        config: The whole configuration.
        least: How like it a key must be, up to 1.

    Returns:
        Up to three dotted keys, nearest first.
    """

    def similarity(key: str) -> float:
        whole = _ratio(unknown, key)
        # The last part is what one remembers: "lr" should find "model.optimizer.lr".
        last = _ratio(unknown.rpartition(".")[2], key.rpartition(".")[2])
        return max(whole, (whole + last) / 2)

    typed = [key for key in dotted_keys(config) if not key.rpartition(".")[2].startswith("_")]
    ranked = sorted(((similarity(key), key) for key in typed), key=lambda item: -item[0])
    return [key for score, key in ranked[:3] if score >= least]


def nearest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that is most like a word, whatever the case of its letters; None when none is near.

    Args:
        word: what was given.
        names: what there is.
        cutoff: how like it must be, up to 1.
    """
    known = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(word.casefold(), known, n=1, cutoff=cutoff)
    return known[found[0]] if found else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """A question with the nearest name, to be put behind a refusal; empty when none is near."""
    near = nearest(word, names)
    return f"; did you mean '{near}'?" if near else ""


def join(path: str, key: object) -> str:
    """The dotted path of what ``key`` names below ``path``."""
    return f"{path}.{key}" if path else str(key)


def dotted_keys(config: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """All keys of a configuration, those of its nodes before those below.

    Args:
        config: The configuration.
        path: Its own dotted path.
    """
    for key, value in config.items():
        yield join(path, key)
        if isinstance(value, Mapping):
            yield from dotted_keys(value, join(path, key))


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()
