"""Write a set of images in another annotation format: ``python -m detection.convert --help``."""

import hydra
from omegaconf import DictConfig

from detection.cli import CONF, checked_config, errors_in_a_sentence, run_with_hints

# Each format, and the choice of conf/data that reads it.
DATA = {"voc": "voc_custom", "coco": "coco", "yolo": "yolo"}


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="convert")
def main(cfg: DictConfig) -> None:
    """Convert as configured, then say what was written and what was lost."""
    config = checked_config(cfg)
    for key in ("from", "to"):
        if config[key] not in DATA:
            raise SystemExit(f"{key}={config[key]}: choose {', '.join(DATA)}")
    arguments = {**config, "source": config["from"]}
    del arguments["from"]
    with errors_in_a_sentence():
        # Heavy imports wait until there is something to do: --help and typing errors answer at once.
        from detection.config import check_config
        from detection.data.conversion import convert

        errors = check_config({"_target_": "detection.data.conversion.convert", **arguments})
        if errors:
            raise SystemExit("\n".join(errors))
        for note in convert(**arguments):
            print(note)
        if {"train", "val"} <= {str(split) for split in config["splits"]}:
            print(f"Train on it: python train.py data={DATA[config['to']]} data.root={config['out']}")


if __name__ == "__main__":
    run_with_hints(main, "convert")
