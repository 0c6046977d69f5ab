import re

from gateway.edge.doors import _find
from gateway.edge.schema import data_plane_paths


def test_every_documented_route_has_a_door_with_that_method() -> None:
    for path, item in data_plane_paths().items():
        door, method = _find(re.sub(r"\{\w+\}", "1", path))
        assert door is not None, path
        assert (item.get is not None) == (method == "GET")
        assert (item.post is not None) == (method == "POST")
