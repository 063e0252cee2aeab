"""What an error says, in a line."""

from detection.system.errors import first_line


def test_the_first_line_or_the_name() -> None:
    assert first_line(ValueError("no such server\nTry again:\n  wandb login")) == "no such server"
    assert first_line(OSError("\n  it is full\n")) == "it is full"
    assert first_line(RuntimeError()) == "RuntimeError"
