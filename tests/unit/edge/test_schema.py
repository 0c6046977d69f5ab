from gateway.edge.doors import HOT_ROUTES, _find
from gateway.edge.forwarding import _FIXED
from gateway.edge.schema import data_plane_paths


def test_every_documented_route_has_doors_with_those_methods_and_no_others() -> None:
    for path, item in data_plane_paths().items():
        documented = {name.upper() for name in ("get", "post", "put", "delete") if getattr(item, name) is not None}
        assert set(_find(path.replace("{ref}", "faq-bot").replace("{id}", "faq-bot"))) == documented, path


def test_every_forwarding_and_every_hot_route_is_documented() -> None:
    assert {f"/v1{path}" for path in _FIXED} | {path.decode() for path in HOT_ROUTES} <= set(data_plane_paths())
