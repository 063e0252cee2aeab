"""What an error of somebody else's says, for sentences of ours."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message: what follows is mostly how to read its program.

    Args:
        error: of any library.

    Returns:
        The line; the name of the error's class where it says nothing.
    """
    return str(error).strip().partition("\n")[0] or type(error).__name__
