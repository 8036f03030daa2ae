"""The app bundle that polyrank submits to Flower: a manifest, no code.

Flower starts a run from an app bundle (a zip) and sends that bundle to every node. polyrank's
processes take the tasks of the run themselves and import nothing of it, so the bundle names
components that do not exist and holds no Python. Both sides check its digest before they work on
a task: a run that somebody else submitted is refused.

The zip is written uncompressed with fixed dates and attributes, hence the same bytes on every
machine; a test pins the digest.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Final

_DATE: Final = (1980, 1, 1, 0, 0, 0)

_MANIFEST: Final = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "polyrank"
version = "1.0.0"
description = "Carries polyrank's tasks. It holds no code and nothing of it is ever imported."
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "polyrank"

[tool.flwr.app.components]
serverapp = "polyrank_resident:never_imported"
clientapp = "polyrank_resident:never_imported"

[tool.flwr.app.config]
protocol = 1
"""


def _build() -> bytes:
    manifest = _MANIFEST.encode("utf-8")
    listing = f"pyproject.toml,{hashlib.sha256(manifest).hexdigest()},{len(manifest) * 8}"
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (("pyproject.toml", manifest), (".info/CONTENT", listing.encode())):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return sink.getvalue()


BUNDLE: Final = _build()
"""The bundle's bytes."""

BUNDLE_DIGEST: Final = hashlib.sha256(BUNDLE).hexdigest()
"""Its sha-256 in hex: what Flower calls the FAB hash."""
