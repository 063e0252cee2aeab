"""What every test needs."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Indexes of generated sets go to a temporary folder, not to the user's cache."""
    # Not monkeypatch: it lives for one test, and this holds for modules' and the session's fixtures too.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
