"""Write a set of images in another annotation format: ``python -m detection.convert --help``."""

import shlex

from omegaconf import DictConfig

from detection.cli.compose import checked_config, errors_in_a_sentence
from detection.cli.entry import run_with_hints
from detection.cli.hydra_versions import hydra_main
from detection.settings import Convert
from detection.system.processes import command


@hydra_main("convert")
def main(cfg: DictConfig) -> None:
    """Convert as configured, then say what was written and what was lost."""
    config = checked_config(cfg, Convert)
    arguments = {**config, "source": config["from"]}
    del arguments["from"]
    with errors_in_a_sentence():
        # Heavy imports wait until there is something to do: --help and typing errors answer at once.
        from detection.data.conversion import convert

        try:
            first, *notes = convert(**arguments)
        except (ValueError, FileNotFoundError) as error:
            if "data.root" not in str(error):
                raise
            # A reader's advice is for training, where the folder has another key.
            raise ValueError(str(error).replace("data.root", "root")) from error
        print("\n".join([first, *notes]))
        if ": train " in first and ", val " in first:
            words = [*command("train"), "experiment=finetune", f"data.root={config['out']}"]
            print(f"Train on it: {shlex.join(words)}")


if __name__ == "__main__":
    run_with_hints(main, "convert")
