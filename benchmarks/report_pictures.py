"""Pictures of a report: light, dark, and on a phone.

    python benchmarks/report_pictures.py REPORT.html    # benchmarks/results/report_*.png

Those that are there show the report that `make demo` writes. Needs Chromium, as the report's tests
do, whose browser this is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests" / "coordinator"
RESULTS = Path(__file__).parent / "results"
PICTURES = (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 360, "light"))


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("report", type=Path)
    page = parser.parse_args().report.resolve()
    sys.path.insert(0, str(TESTS))
    from browser import Browser

    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        for name, width, theme in PICTURES:
            browser.open(page.as_uri(), width=width, theme=theme)
            browser.show_all(width)
            path = RESULTS / f"report_{name}.png"
            path.write_bytes(browser.screenshot())
            print(path)


if __name__ == "__main__":
    main()
