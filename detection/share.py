"""Write a detector as a folder to share, and upload it: ``python -m detection.share --help``."""

import shlex

from omegaconf import DictConfig

from detection.checkpoints.loading import load_task, read_checkpoint
from detection.checkpoints.notes import about, notes
from detection.cli.compose import checked_config, errors_in_a_sentence
from detection.cli.entry import run_with_hints
from detection.cli.hydra_versions import hydra_main
from detection.settings import Share
from detection.system.files import refuse_unwritable
from detection.system.processes import command


@hydra_main("share")
def main(cfg: DictConfig) -> None:
    """Share as configured, and say what was written."""
    settings = Share.of(checked_config(cfg, Share))
    with errors_in_a_sentence():
        share(settings)


def share(settings: Share) -> None:
    """Write the folder, and upload it where a repository is named.

    Args:
        settings: what to do.

    Raises:
        FileExistsError: the folder is there already.
        ImportError: a package is missing.
        OSError, ValueError: there is no such checkpoint, or it cannot be read, or the upload has failed.
    """
    # Heavy imports wait until there is something to do: --help and typing errors answer at once.
    from detection.sharing.folder import Subject, write_folder
    from detection.sharing.run import run_of
    from detection.sharing.upload import check_packages, upload

    refuse_unwritable(settings.output_folder.parent, "output")
    if settings.repo is not None:
        check_packages()
    checkpoint = read_checkpoint(settings.ckpt)
    if told := notes(checkpoint["hyper_parameters"], settings.ckpt):
        print(told)
    facts = about(load_task(settings.ckpt))
    folder = settings.output_folder
    run = run_of(settings.ckpt)
    write_folder(folder, Subject(checkpoint, facts, run, settings.license, settings.repo))
    print(f"Written to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}.")
    if "split" in checkpoint["hyper_parameters"]:
        print("detector.json names the images that were set apart, so that nobody tests on what was learned.")
    elif "learned" in checkpoint["hyper_parameters"]:
        print("detector.json has a digest of each image learned, so that nobody tests on them unawares.")
    address = str(folder)
    if settings.repo is not None:
        commit = upload(folder, settings.repo)
        address = f"hf://{settings.repo}@{commit}"
        print(f"Uploaded to {settings.repo}; a new repository is private until you open it on its page.")
    print(f"Use it: {shlex.join([*command('predict'), f'ckpt={address}', 'source=PHOTOS'])}")


if __name__ == "__main__":
    run_with_hints(main, "share")
