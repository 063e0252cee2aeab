"""One command for everything: ``detection train``, ``detection predict`` and so on.

``detection VERB ...`` and ``python -m detection VERB ...`` are ``python -m detection.VERB ...``.
"""

import runpy
import sys

from detection.system.streams import make_output_last

VERBS = {
    "train": "train a detector and test its best checkpoint",
    "predict": "find objects in images and videos",
    "evaluate": "test a checkpoint and write a report",
    "export": "write a trained detector as ONNX, OpenVINO or torch.export, and check the file",
    "serve": "answer requests over HTTP with what a detector finds",
    "check": "say everything that is wrong with a data set",
    "convert": "write a data set in another annotation format",
    "share": "write a detector as a folder to share, and upload it",
    "benchmark": "time a model on your data and your machine",
}

# What other tools call them.
_ELSEWHERE = {
    "val": "evaluate", "validate": "evaluate", "eval": "evaluate", "test": "evaluate", "fit": "train",
    "finetune": "train", "detect": "predict", "infer": "predict", "inference": "predict", "track": "predict",
}  # fmt: skip

# Hydra completes settings itself, of a program without verbs. A word goes on over "=" and ends in no space.
_COMPLETION = """\
_detection() {
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -S " " -W "VERBS" -- "${COMP_WORDS[1]}"))
        return
    fi
    local typed=${COMP_LINE:0:COMP_POINT}
    local line="detection ${typed#*"${COMP_WORDS[1]}" }"
    local words=$(COMP_LINE=$line COMP_POINT=${#line} detection "${COMP_WORDS[1]}" -sc query=bash 2>/dev/null)
    COMPREPLY=($(compgen -o nospace -o default -W "$words" -- "${typed##* }"))
}
if [ -n "$ZSH_VERSION" ]; then autoload -U +X bashcompinit && bashcompinit; fi
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _detection detection
""".replace("VERBS", " ".join(VERBS))


def main() -> None:
    """Run the verb that the command line begins with.

    Raises:
        SystemExit: there is no such verb, or none was given.
    """
    verb, *words = sys.argv[1:] or ["--help"]
    if verb not in VERBS:
        make_output_last()
    if verb in VERBS:
        sys.argv[1:] = words
        if "" not in sys.path:  # a plugin beside the user is found, as by python -m
            sys.path.insert(0, "")
        # Under the module's own name: Lightning and Hydra start further processes by it.
        runpy.run_module(f"detection.{verb}", run_name="__main__", alter_sys=True)
        return
    if verb in ("--help", "-h", "help"):
        print(_usage())
        return
    if verb == "completion":
        print(_COMPLETION)
        return
    if verb in ("--version", "version"):
        sys.argv[1:] = ["--version"]
        runpy.run_module("detection.train", run_name="__main__", alter_sys=True)
        return
    # Slow to import, and seldom needed.
    from detection.validation.suggestions import did_you_mean

    meant = f"; did you mean '{_ELSEWHERE[verb]}'?" if verb in _ELSEWHERE else did_you_mean(verb, VERBS)
    raise SystemExit(f"detection {verb}: no such command{meant}\n\n{_usage()}")


def _usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"    detection {verb:<{width}}  {what}" for verb, what in VERBS.items())
    return (
        "SSD and Faster R-CNN on PASCAL VOC and on your own data.\n\n"
        f"{verbs}\n\nEach tells its settings: detection train --help"
    )


if __name__ == "__main__":
    main()
