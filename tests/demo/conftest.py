"""Real models and texts for the demo's tests, fetched once into the user's cache."""

from pathlib import Path

import pytest
from polyrank.coordinator._assets import DIALOGUE, MINILM, SENTIMENT, Asset, AssetError
from polyrank.coordinator._assets_fetch import ensure


def _asset(asset: Asset) -> Path:
    try:
        return ensure(asset)
    except AssetError as error:
        pytest.skip(f"no network and nothing in the cache: {error}")


@pytest.fixture(scope="session")
def minilm_dir() -> Path:
    return _asset(MINILM)


@pytest.fixture(scope="session")
def sentiment_dir() -> Path:
    return _asset(SENTIMENT)


@pytest.fixture(scope="session")
def dialogue_dir() -> Path:
    return _asset(DIALOGUE)
