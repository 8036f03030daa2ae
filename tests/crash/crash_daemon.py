"""`polyrank up` with one more place to stop at (see pause.py); everything else is the product's."""

import pause

pause.arm()

if __name__ == "__main__":
    from polyrank.coordinator._cli import main

    main()
