"""A price file is judged whole: everything that is wrong with it, not only the first thing."""

from gateway.pricing.check import checked, old, unsourced

ENTRY = '[[price]]\nprovider = "p"\nmodels = ["{model}"]\ninput = "{rate}"\noutput = "1"\n{more}'


def entry(model: str, rate: str = "1", more: str = "") -> str:
    return ENTRY.format(model=model, rate=rate, more=more)


def test_all_problems_are_told_and_the_rest_is_usable():
    text = 'version = "v"\n' + entry("a") + entry("b", "x") + entry("a") + entry("c*d") + entry("e")
    found = checked(text.encode())
    assert [problem.partition(": ")[0] for problem in found.problems] == [
        "price[1] (p b)",
        "price[2] (p a)",
        "price[3] (p c*d)",
    ]
    assert "listed twice" in found.problems[1]
    assert found.table is not None
    assert [model for _, model in found.table.exact] == ["a", "e"]


def test_what_is_no_price_file_has_no_table():
    for text in (b"", b"version = 1", b"\xff\xfe", b'version = "v"\nprice = 5'):
        found = checked(text)
        assert found.table is None
        assert len(found.problems) == 1
        assert found.problems[0].startswith("price table: ")


def test_old_and_unsourced_entries_are_named():
    text = (
        'version = "v"\n'
        + entry("a", more='date = "2026-01-31"\nsource = "s"\n')
        + entry("b", more='date = "2026-02-01"\nsource = "s"\n')
        + entry("c", more='date = "2025-02-01"\n')
        + entry("d")
    )
    table = checked(text.encode()).table
    assert table is not None
    assert [source.models for source in old(table, "2026-02-01")] == [["a"], ["c"]]
    assert [source.models for source in unsourced(table)] == [["c"], ["d"]]
