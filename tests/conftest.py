"""What every test needs."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes of generated sets go to a temporary folder, not to the user's cache."""
    # Not the monkeypatch fixture, which lives for one test: fixtures of modules and sessions read sets too.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
