"""The commands and keys that the README and the documentation show exist."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from detection.__main__ import VERBS
from detection.cli.compose import checked_config
from detection.cli.quoting import quote_words

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [
    README,
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]
PROGRAM = re.compile(r"(?:^|\s)(?:train\.py|-m detection\.(\w+)|detection (\w+))(?=\s|$)")


def shown_lines(page: Path) -> Iterator[str]:
    """Each command of a page, in blocks and in the text; a line that ends in a backslash goes on."""
    text = page.read_text().replace("\\\n", " ")
    fences = r"^```[^\n]*\n(.*?)^```$"
    for block in re.findall(fences, text, re.S | re.M):
        yield from block.splitlines()
    plain = re.sub(fences, "", text, flags=re.S | re.M)
    yield from re.findall(r"`((?:python|detection) [^`]*)`", plain.replace("\n", " "))


def shown_commands() -> list[tuple[str, str]]:
    """The command and its words, of all pages."""
    found = set()
    for line in (line for page in PAGES for line in shown_lines(page)):
        program = PROGRAM.search(line)
        if program is None:
            continue
        verb, words = program[1] or program[2] or "train", line[program.end() :].strip()
        before = line[: program.start()].removeprefix("$").split()
        started = before[:1] in ([], ["python"], ["torchrun"], ["srun"])
        if started and words and verb in VERBS:
            found.add((verb, words))
    return sorted(found)


def shown_keys() -> list[str]:
    """What the tables of other tools' words name as ours, of a training."""
    keys = set()
    for page in sorted((ROOT / "docs/coming-from").glob("*.md")):
        for row in re.findall(r"^\|[^|]*\|(.*)\|$", page.read_text(), re.M):
            keys |= set(re.findall(r"`([a-z_./]+=[^`]*)`", row))
    return sorted(key for key in keys if key != "a.b=c" and not key.endswith(("=", "_names", ")")))


def compose_shown(verb: str, overrides: list[str]) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(
            verb,
            overrides=["+hydra.runtime.output_dir=/nowhere", "+hydra.job.num=0", *overrides],
            return_hydra_config=True,
        )
    HydraConfig.instance().set_config(cfg)
    checked_config(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))


@pytest.mark.parametrize(("verb", "words"), shown_commands())
def test_a_shown_command_is_accepted(verb: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "train.py" if verb == "train" else f"detection.{verb}"
    typed = [word for word in shlex.split(words, comments=True) if word not in ("-m", "--help")]
    monkeypatch.setattr(sys, "argv", [program, *typed])
    monkeypatch.setattr("detection.cli.compose.unusable_devices", lambda trainer: [])  # GPUs may not be here
    quote_words()
    # Of a sweep's list, the first one stands for all; a placeholder is any value.
    overrides = [re.sub(r"(?<==)([^,\[']+),.*", r"\1", word) for word in sys.argv[1:]]
    if "data.batchsize=16" in overrides:  # shown as a mistake
        with pytest.raises(ConfigCompositionException, match="batchsize"):
            compose_shown(verb, overrides)
        return
    compose_shown(verb, [word.replace("=...", "=x").replace("$SLURM_JOB_ID", "1") for word in overrides])


@pytest.mark.parametrize("key", shown_keys())
def test_a_key_for_another_tools_word_is_accepted(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *shlex.split(key)])
    monkeypatch.setattr("detection.cli.compose.unusable_devices", lambda trainer: [])
    quote_words()
    added = ("model.topk_per_class=",)  # arguments that no file repeats, which the command line adds
    typed = [f"+{word}" if word.startswith(added) else word for word in sys.argv[1:]]
    needed = {
        "data.size=[800,1333]": ["model=faster_rcnn"],
        "model.roi_beta=1.0": ["model=faster_rcnn"],
        "data=auto": ["data.root=x"],
        "data.sampling_threshold=0.001": ["data.sampling=repeat_factor"],
        "data.sampling_threshold=0.01": ["data.sampling=repeat_factor"],
        "callbacks.early_stopping.patience=5": ["callbacks=[default,early_stopping]"],
    }
    compose_shown("train", [*needed.get(key, []), *typed])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#\s]+)", page.read_text())
    places = [link for link in links if not (page.parent / link).exists()]
    assert places == []


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150
