"""How many of something, in a sentence."""


def counted(number: int, noun: str) -> str:
    """A number and its noun: ``1 image``, ``2,501 images``, ``3 classes``.

    Args:
        number: of them.
        noun: what one of them is called; more than one end in ``s``, after a hiss in ``es``.
    """
    ending = "" if number == 1 else "es" if noun.endswith(("s", "x", "ch")) else "s"
    return f"{number:,} {noun}{ending}"
