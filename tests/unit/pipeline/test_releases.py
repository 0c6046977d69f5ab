"""The worker's view of the registry: what is served, never older than what was, and what happens without stores."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from gateway.core.documents import (
    Change,
    Guardrails,
    KeyDocument,
    MessageTemplate,
    PreValidation,
    ReleaseDocument,
    Validator,
    VersionContent,
    encode_guardrails,
)
from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.references import Reference
from gateway.guards.plan import NO_GUARDS, combined
from gateway.pipeline.release import compile_release
from gateway.pipeline.releases import ABSENT_SECONDS, CATALOG_PAUSE, Releases, decode_snapshot, encode_snapshot

APP = "app-1"
FAQ = Reference("faq")


def document(version: int, generation: int, selector: str = "@production") -> ReleaseDocument:
    content = VersionContent(messages=[MessageTemplate(role="system", content=f"v{version}")])
    return ReleaseDocument(APP, "p-1", "faq", selector, version, content, f"{version:064x}", generation)


class Truth:
    """A catalog whose answers, delays and outages the test chooses."""

    def __init__(self) -> None:
        self.documents: dict[str, ReleaseDocument] = {}
        self.made: dict[str, KeyDocument] = {}
        self.number = 0
        self.log: list[Change] = []
        self.asked = 0
        self.down = False
        self.stumbles = 0
        """Answers that fail before it is well again."""
        self.gate: asyncio.Event | None = None

    async def _pass(self) -> None:
        self.asked += 1
        self.stumbles -= 1
        if self.down or self.stumbles >= 0:
            raise GatewayError(STORE_UNAVAILABLE, "down")

    async def release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        await self._pass()
        found = self.documents.get(reference.selector) if (application_id, reference.slug) == (APP, "faq") else None
        if self.gate is not None:
            await self.gate.wait()
        return found

    async def keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        await self._pass()
        return {digest: self.made[digest] for digest in digests if digest in self.made}

    async def names(self, application_id: str) -> list[str]:
        await self._pass()
        return ["faq"]

    async def generation(self) -> int:
        await self._pass()
        return self.number

    async def changes(self, after: int) -> list[Change]:
        await self._pass()
        return [c for c in self.log if c.generation > after]

    def publish(self, version: int) -> Change:
        self.number += 1
        self.documents["@production"] = document(version, self.number)
        change = Change(self.number, "prompt", APP, "faq")
        self.log.append(change)
        return change


class Cold:
    """A cache that holds one document if told so."""

    def __init__(self) -> None:
        self.held: ReleaseDocument | None = None
        self.puts = 0

    async def get_release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        return self.held

    async def put_release(self, document: ReleaseDocument) -> None:
        self.puts += 1

    async def get_keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        return {}

    async def put_key(self, digest: str, document: KeyDocument) -> None:
        self.puts += 1

    async def announce(self, changes: list[Change]) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def truth() -> Truth:
    return Truth()


@pytest.fixture
def cache() -> Cold:
    return Cold()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def releases(truth: Truth, cache: Cold, clock: Clock) -> Releases:
    return Releases(truth, cache, clock)


def version_of(release: object) -> int:
    return release.document.version  # type: ignore[attr-defined]


async def test_a_miss_is_loaded_once_and_then_a_dict_hit(releases: Releases, truth: Truth) -> None:
    truth.publish(1)
    assert releases.release_now(APP, FAQ) is None
    first, second = await asyncio.gather(releases.release(APP, FAQ), releases.release(APP, FAQ))
    assert first is second
    assert truth.asked == 1
    assert releases.release_now(APP, FAQ) is first


async def test_a_change_drops_the_old_version_and_the_next_use_loads_the_new_one(releases: Releases, truth: Truth) -> None:
    truth.publish(1)
    assert version_of(await releases.release(APP, FAQ)) == 1
    assert releases.apply([truth.publish(2)]) is False  # the first change was never heard
    assert releases.release_now(APP, FAQ) is None
    assert version_of(await releases.release(APP, FAQ)) == 2


async def test_a_slow_load_never_brings_an_older_version_back(releases: Releases, truth: Truth) -> None:
    truth.publish(1)
    truth.gate = asyncio.Event()
    loading = asyncio.ensure_future(releases.release(APP, FAQ))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    releases.apply([truth.publish(2)])  # while version 1 is on its way
    truth.gate.set()
    assert version_of(await loading) == 2


async def test_a_stale_cache_entry_is_passed_over(releases: Releases, truth: Truth, cache: Cold) -> None:
    cache.held = document(1, generation=1)
    truth.publish(1)
    releases.apply([truth.publish(2)])
    assert version_of(await releases.release(APP, FAQ)) == 2
    assert cache.puts == 1


async def test_a_fresh_cache_entry_spares_the_catalog(releases: Releases, truth: Truth, cache: Cold) -> None:
    cache.held = document(1, generation=1)
    assert version_of(await releases.release(APP, FAQ)) == 1
    assert truth.asked == 0


async def test_absence_is_remembered_until_a_change_or_time_ends_it(releases: Releases, truth: Truth, clock: Clock) -> None:
    assert await releases.release(APP, FAQ) is None
    assert await releases.release(APP, FAQ) is None
    assert truth.asked == 1
    releases.apply([truth.publish(1)])
    assert version_of(await releases.release(APP, FAQ)) == 1
    assert await releases.key("d") is None
    clock.now += ABSENT_SECONDS + 1
    truth.made["d"] = KeyDocument("k", APP, "demo", "pub")
    assert (await releases.key("d")) is not None


async def test_without_stores_the_last_known_good_is_served_and_said(releases: Releases, truth: Truth, clock: Clock) -> None:
    truth.publish(1)
    await releases.release(APP, FAQ)
    releases.apply([truth.publish(2)])
    truth.down = True
    assert version_of(await releases.release(APP, FAQ)) == 1
    assert releases.degraded
    assert releases.stale_served == 1
    asked = truth.asked
    await releases.release(APP, FAQ)
    assert truth.asked == asked, "a catalog that has just failed is left alone for a moment"
    truth.down = False
    clock.now += CATALOG_PAUSE + 0.1
    assert version_of(await releases.release(APP, FAQ)) == 2
    assert not releases.degraded


async def test_without_stores_an_absent_prompt_stays_absent_but_a_key_is_not_judged(
    releases: Releases, truth: Truth, clock: Clock
) -> None:
    assert await releases.release(APP, FAQ) is None
    assert await releases.key("d") is None
    clock.now += ABSENT_SECONDS + 1
    truth.down = True
    assert await releases.release(APP, FAQ) is None
    with pytest.raises(GatewayError) as caught:
        await releases.key("d")
    assert caught.value.kind.name == "store_unavailable"


async def test_without_stores_what_was_never_seen_is_an_honest_503(releases: Releases, truth: Truth) -> None:
    truth.down = True
    with pytest.raises(GatewayError) as caught:
        await releases.release(APP, FAQ)
    assert caught.value.kind.name == "store_unavailable"


async def test_one_failure_after_a_success_is_asked_again_and_an_outage_is_not(
    releases: Releases, truth: Truth, clock: Clock
) -> None:
    truth.publish(1)
    truth.stumbles = 1
    assert version_of(await releases.release(APP, FAQ)) == 1
    assert (truth.asked, releases.degraded) == (2, False)
    truth.down = True
    other = Reference("faq", alias="staging")
    for asked in (4, 5):  # twice when it begins, once whenever it is looked at again
        with pytest.raises(GatewayError):
            await releases.release(APP, other)
        assert (truth.asked, releases.degraded) == (asked, True)
        with pytest.raises(GatewayError):
            await releases.release(APP, other)
        assert truth.asked == asked, "it rests"
        clock.now += CATALOG_PAUSE


async def test_a_revoked_key_is_served_from_no_shelf(releases: Releases, truth: Truth) -> None:
    truth.made["d"] = KeyDocument("k", APP, "demo", "pub")
    assert await releases.key("d") is not None
    truth.down = True
    releases.apply([Change(1, "key", APP, "d")])
    with pytest.raises(GatewayError):
        await releases.key("d")


async def test_generations_apply_without_gaps(releases: Releases, truth: Truth) -> None:
    first, second, third = truth.publish(1), truth.publish(2), truth.publish(3)
    assert releases.apply([first])
    assert releases.generation == 1
    assert not releases.apply([third])
    assert releases.generation == 1
    await releases.catch_up()
    assert releases.generation == 3
    assert releases.apply([second])
    assert releases.generation == 3


async def test_a_snapshot_serves_a_worker_that_starts_alone(releases: Releases, truth: Truth, clock: Clock) -> None:
    truth.publish(4)
    truth.made["d"] = KeyDocument("k", APP, "demo", "pub")
    await releases.release(APP, FAQ)
    await releases.key("d")
    kept = encode_snapshot(releases.snapshot())
    truth.down = True
    alone = Releases(truth, Cold(), clock)
    assert not alone.has_something
    alone.restore(decode_snapshot(kept))
    assert alone.has_something
    assert version_of(await alone.release(APP, FAQ)) == 4
    entry = await alone.key("d")
    assert entry is not None
    assert entry.caller.application == "demo"


async def test_a_document_that_does_not_compile_is_refused_and_counted(releases: Releases, truth: Truth) -> None:
    bad = VersionContent(messages=[MessageTemplate(role="system", content="{{ never closed")])
    truth.documents["@production"] = ReleaseDocument(APP, "p", "faq", "@production", 1, bad, "0" * 64, 1)
    with pytest.raises(GatewayError):
        await releases.release(APP, FAQ)
    assert releases.rejected == 1
    assert releases.release_now(APP, FAQ) is None


async def test_a_cancelled_caller_does_not_cancel_the_load_for_others(releases: Releases, truth: Truth) -> None:
    truth.publish(1)
    truth.gate = asyncio.Event()
    impatient = asyncio.ensure_future(releases.release(APP, FAQ))
    patient = asyncio.ensure_future(releases.release(APP, FAQ))
    for _ in range(3):
        await asyncio.sleep(0)
    impatient.cancel()
    truth.gate.set()
    assert version_of(await patient) == 1


@pytest.mark.parametrize("named", [False, True], ids=["plain model", "prompt"])
async def test_guards_of_an_application_are_compiled_once_and_beside_the_loop(
    releases: Releases, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def compiled(*of: Guardrails | None) -> object:
        threads.append(threading.get_ident())
        return combined(*of)

    for module in ("release", "releases"):
        monkeypatch.setattr(f"gateway.pipeline.{module}.combined", compiled)
    release = compile_release(document(1, 1)) if named else None
    known = releases.guards_now if release is None else release.guards_now
    assert known(b"") is NO_GUARDS
    rails = encode_guardrails(Guardrails(pre_validation=PreValidation(prohibited_terms=["acme"])))
    assert known(rails) is None
    leaver = asyncio.ensure_future(releases.guards(rails, release))
    await asyncio.sleep(0)
    leaver.cancel()
    plans = await asyncio.gather(*[releases.guards(rails, release) for _ in range(3)])
    assert plans[0].pre is not None
    assert all(plan is plans[0] for plan in plans)
    assert known(rails) is plans[0]
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_guards_that_do_not_compile_are_an_error_for_everybody_who_asks(releases: Releases) -> None:
    rails = encode_guardrails(Guardrails(pre_validation=PreValidation(validators=[Validator("gone")])))
    for _ in range(2):
        asked = [releases.guards(rails, None) for _ in range(2)]
        said = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(error, GatewayError) and error.param == APPLICATION_TYPE for error in said)
    assert releases.guards_now(rails) is None


APPLICATION_TYPE = "application.guardrails.pre_validation.validators[0].type"
