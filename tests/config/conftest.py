from collections.abc import Callable

import pytest

from cyclegan.config.files import load_config
from cyclegan.errors import UsageError


@pytest.fixture
def refusal() -> Callable[..., str]:
    """The one line with which a configuration is refused."""

    def refusal(source: str | None = None, overrides: list[tuple[str, object]] | None = None) -> str:
        with pytest.raises(UsageError) as caught:
            load_config(source, overrides or [])
        message = str(caught.value)
        assert message and "\n" not in message
        return message

    return refusal
