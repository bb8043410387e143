"""The application that the job tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.jobs.application import Application

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """Give an application that runs jobs in any folder, one after the other."""
    shared = Application(tmp_path_factory.mktemp("application"))
    yield shared
    shared.end()
