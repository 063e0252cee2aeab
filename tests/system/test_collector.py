"""Starting without the collector of garbage."""

import gc

from detection.system.collector import no_collections


def test_the_collector_pauses_and_is_as_it_was() -> None:
    try:
        with no_collections():
            assert not gc.isenabled()
        assert gc.isenabled()
        gc.disable()
        with no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
