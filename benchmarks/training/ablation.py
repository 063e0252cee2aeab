"""Leave out one part of the SSD recipe at a time, with the same budget, and print what each is worth.

    python -m benchmarks.training.ablation seeds=0 trainer=cpu trainer.max_epochs=12 \
        experiment=ssd_300_mobilenet_v2_voc07 data.root=... model.backbone.weights=...

``only=recipe,no_crop`` chooses. Each result is kept under ``runs/ablation`` as soon as there is one.
"""

import sys

from benchmarks.training.run import Record, seeds_of, train_one

VARIANTS: dict[str, list[str]] = {
    "recipe": [],
    "no_expand": ["data.train_transform.expand_probability=0"],
    "no_crop": ["data.train_transform.crop=false"],
    "no_photometric": ["data.train_transform.photometric=false"],
    "no_flip": ["data.train_transform.flip_probability=0"],
    "all_negatives": ["model.neg_pos_ratio=1000000"],
    "no_pretraining": ["model.backbone.weights=null", "model.backbone.frozen_blocks=0"],
    "frozen_batchnorm": ["model.backbone.freeze_batchnorm=true"],
    "ema": ["callbacks=[default,ema]"],
}


def main(words: list[str]) -> None:
    """Run all."""
    seeds, overrides = seeds_of(words)
    only = [word.removeprefix("only=").split(",") for word in overrides if word.startswith("only=")]
    overrides = [word for word in overrides if not word.startswith("only=")]
    record = Record("ablation", overrides)
    for seed in seeds:
        for name in only[0] if only else VARIANTS:
            record.add(name, seed, train_one([*overrides, *VARIANTS[name]], seed))


if __name__ == "__main__":
    main(sys.argv[1:])
