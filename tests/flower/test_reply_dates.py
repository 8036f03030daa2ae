"""A reply lives as long as its request, also where the node's clock is wrong."""

import time

import pytest
from flwr.app import Error, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.server.utils.validator import validate_message
from polyrank.client._flower import reply_to


@pytest.mark.parametrize("content", [RecordDict(), Error(1, "no")])
def test_a_node_whose_clock_is_a_day_ahead_can_still_answer(
    content: RecordDict | Error, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    metadata = Metadata(1, "m", 1, 7, "", "", now - 86_400, 3600.0, "query.polyrank")
    request = make_message(metadata, content=RecordDict())
    reply = reply_to(request, content)  # for this clock the request expired long ago
    assert (reply.metadata.created_at, reply.metadata.ttl) == (now - 86_400, 3600.0)
    # What the SuperLink, whose clock is right, would say of it an hour before it expires:
    fresh = make_message(
        Metadata(1, "m", 1, 7, "", "", now - 10, 3600.0, "query.polyrank"), content=RecordDict()
    )
    answer = reply_to(fresh, content)
    answer.metadata.__dict__["_message_id"] = "reply"
    assert [e for e in validate_message(answer, is_reply_message=True) if "TTL" in e] == []
