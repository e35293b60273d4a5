import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real and awkward images that are not part of the repository."""
    beside_checkout = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("CYCLEGAN_SHARED_DIR", beside_checkout))
    if not folder.is_dir():
        pytest.skip(f"needs the images in {folder} (another place: set CYCLEGAN_SHARED_DIR)")
    return folder
