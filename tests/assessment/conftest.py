"""What the tests of assessment share."""

import pytest


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of numbers: drawing is most of the time."""
    monkeypatch.setattr("geoseg.assessment.figures.png", lambda figure: b"")
