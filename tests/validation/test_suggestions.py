import pytest

from detection.validation.suggestions import suggest_keys

CONFIG = {
    "data": {"batch_size": 32, "num_workers": 4, "root": "x"},
    "trainer": {"max_epochs": 3, "devices": 1},
    "model": {"optimizer": {"lr": 0.1, "momentum": 0.9}},
    "seed": 233,
}


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("data.batchsize", "data.batch_size"),
        ("trainer.max_epoch", "trainer.max_epochs"),
        ("trainer.epochs", "trainer.max_epochs"),
        ("dta.batch_size", "data.batch_size"),
        ("loader.batch_size", "data.batch_size"),
        ("batch_size", "data.batch_size"),
        ("optimizer.lr", "model.optimizer.lr"),
        ("lr", "model.optimizer.lr"),
        ("modle.optimizer.momentum", "model.optimizer.momentum"),
        ("sed", "seed"),
        ("trainr", "trainer"),
    ],
)
def test_suggest_keys(unknown: str, nearest: str) -> None:
    suggestions = suggest_keys(unknown, CONFIG)
    assert suggestions[0] == nearest
    assert len(suggestions) <= 3


def test_no_suggestion_for_something_else() -> None:
    assert suggest_keys("zzz.qqq", CONFIG) == []
    assert suggest_keys("seed", {}) == []
