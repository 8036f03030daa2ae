"""What a name and a dense tensor may look like, in memory and in bytes."""

from __future__ import annotations

from ._errors import BadNameError

MAX_NAME_CHARACTERS = 512
MAX_DENSE_AXES = 8


def check_name(name: object) -> str:
    """Return `name` if it is a legal module or tensor name.

    Legal: 1 to 512 printable characters, without `/`, which the codec uses as its separator. The
    rule is applied in memory too, so that every adapter that exists can be encoded.

    Raises:
        BadNameError: anything else.

    Example:
        >>> check_name("model.layers.0.self_attn.q_proj")
        'model.layers.0.self_attn.q_proj'
    """
    if not isinstance(name, str):
        raise BadNameError("a name is a string", got=type(name).__name__)
    if not name or len(name) > MAX_NAME_CHARACTERS or "/" in name or not name.isprintable():
        raise BadNameError(
            f"a name has 1 to {MAX_NAME_CHARACTERS} printable characters and no '/'",
            got=repr(name[:80]),
        )
    return name
