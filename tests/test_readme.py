"""The commands and keys that the README shows exist."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from detection.cli.compose import checked_config
from detection.cli.entry import quote_paths

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROGRAMS = {"train.py": "train"} | {
    f"detection.{path.stem}": path.stem for path in (ROOT / "conf").glob("*.yaml") if path.stem != "train"
}


def shown_commands() -> list[str]:
    blocks = [
        line
        for block in re.findall(r"^```\w*\n(.*?)^```", README, re.S | re.M)
        for line in block.splitlines()
    ]
    inline = re.findall(r"`(python [^`]*)`", README.replace("\n", " "))
    commands = [command.removeprefix("$ ") for command in [*blocks, *inline]]
    return sorted(
        command for command in commands if command.startswith(("python train", "python -m detection"))
    )


def compose_shown(program: str, overrides: list[str]) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(
            PROGRAMS[program],
            overrides=["+hydra.runtime.output_dir=/nowhere", "+hydra.job.num=0", *overrides],
            return_hydra_config=True,
        )
    HydraConfig.instance().set_config(cfg)
    checked_config(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))


@pytest.mark.parametrize("command", shown_commands())
def test_a_shown_command_is_accepted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command, comments=True)[1:]
    program, *rest = [word for word in words if word != "-m"]
    monkeypatch.setattr(sys, "argv", [program, *rest])
    quote_paths()
    # Of a sweep's list, the first one stands for all; a placeholder is any value.
    overrides = [re.sub(r"(?<==)([^,\[']+),.*", r"\1", word) for word in sys.argv[1:] if word != "--help"]
    if "data.batchsize=16" in overrides:  # shown as a mistake
        with pytest.raises(ConfigCompositionException, match="batchsize"):
            compose_shown(program, overrides)
        return
    compose_shown(program, [word.replace("=...", "=x") for word in overrides])
