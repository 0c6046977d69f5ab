from gateway.edge.doors import _find
from gateway.edge.schema import data_plane_paths


def test_every_documented_route_has_a_door_with_that_method() -> None:
    for path, item in data_plane_paths().items():
        documented = {method.upper() for method in ("get", "post", "delete") if getattr(item, method) is not None}
        assert set(_find(path.replace("{ref}", "faq-bot").replace("{id}", "faq-bot"))) == documented, path
