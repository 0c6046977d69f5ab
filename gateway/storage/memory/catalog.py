"""The registry's readable side in memory: the twin of Postgres, with the few writes that tests and demonstrations need."""

import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct, structs

from gateway.core.credentials import INSTALLATION, SealedCredential
from gateway.core.documents import Change, KeyDocument, ReleaseDocument, Split, Variant, VariantSpec, VersionContent, canonical
from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.references import DRAFT, LATEST, PRODUCTION, Reference
from gateway.experiments.allocation import allocate
from gateway.experiments.overlay import served


class _Version(Struct):
    version: int
    content: VersionContent
    content_hash: str
    semver: str | None
    published: bool = False


class _Prompt(Struct):
    id: str
    versions: list[_Version]
    aliases: dict[str, int | Split]
    active: bool = True


class MemoryCatalog:
    """A :class:`gateway.core.ports.Catalog`. ``clock`` tells seconds since the epoch; every write gives back what moved."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.available = True
        """False: every question raises ``store_unavailable``."""
        self.questions = 0
        """How often it was asked anything."""
        self._clock = clock
        self._prompts: dict[tuple[str, str], _Prompt] = {}
        self._keys: dict[str, KeyDocument] = {}
        self._credentials: list[SealedCredential] = []
        self._changes: list[Change] = []
        self._generation = 0

    def add_key(self, digest: str, document: KeyDocument) -> list[Change]:
        """Let a key in, or change what it may do."""
        self._keys[digest] = document
        return self._moved("key", document.application_id, digest)

    def revoke_key(self, digest: str) -> list[Change]:
        """End a key."""
        return self._moved("key", self._keys.pop(digest).application_id, digest)

    def add_version(self, application_id: str, slug: str, content: VersionContent, semver: str | None = None) -> int:
        """A new version of a prompt, which is made if need be; its number. It is not served yet."""
        prompt = self._prompts.setdefault((application_id, slug), _Prompt(_id_of(application_id, slug), [], {}))
        digest = hashlib.sha256(canonical(content)).hexdigest()
        prompt.versions.append(_Version(len(prompt.versions) + 1, content, digest, semver))
        return len(prompt.versions)

    def publish(self, application_id: str, slug: str, number: int, alias: str = PRODUCTION) -> list[Change]:
        """Make a version servable and point ``alias`` at it."""
        prompt = self._prompts[application_id, slug]
        prompt.versions[number - 1].published = True
        prompt.aliases[alias] = number
        return self._moved("prompt", application_id, slug)

    def split(
        self, application_id: str, slug: str, variants: Sequence[VariantSpec], alias: str = PRODUCTION, salt: str = ""
    ) -> list[Change]:
        """Split ``alias`` among variants; the salt stays where it is split already and none is given."""
        prompt = self._prompts[application_id, slug]
        now = prompt.aliases.get(alias)
        follows = now if isinstance(now, Split) and salt in {"", now.salt} else None
        new = f"split-{self._generation + 1}"
        before = {v.name: v.buckets for v in follows.variants} if follows else {}
        shares = allocate([(v.name, v.weight) for v in variants], before)
        arms: list[Variant] = []
        for spec in variants:
            version = prompt.versions[spec.version - 1]
            version.published = True
            arms.append(served(spec, shares[spec.name], version.content, version.content_hash, version.semver))
        prompt.aliases[alias] = Split(new, salt or (follows.salt if follows else new), arms)
        return self._moved("prompt", application_id, slug)

    def delete_alias(self, application_id: str, slug: str, alias: str) -> list[Change]:
        """Take a name away."""
        del self._prompts[application_id, slug].aliases[alias]
        return self._moved("prompt", application_id, slug)

    def switch(self, application_id: str, slug: str, *, active: bool) -> list[Change]:
        """Serve a prompt, or stop."""
        self._prompts[application_id, slug].active = active
        return self._moved("prompt", application_id, slug)

    async def release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        """What a reference resolves to now. An ambiguous hash prefix resolves to nothing."""
        self._ask()
        prompt = self._prompts.get((application_id, reference.slug))
        found = _find(prompt, reference) if prompt is not None and prompt.active else None
        if prompt is None or found is None:
            return None
        split = found if isinstance(found, Split) else None
        version = found.variants[0] if isinstance(found, Split) else found
        return ReleaseDocument(
            application_id=application_id,
            prompt_id=prompt.id,
            slug=reference.slug,
            selector=reference.selector,
            version=version.version,
            content=version.content,
            content_hash=version.content_hash,
            generation=self._generation,
            semver=version.semver,
            split=split,
            changed=len({change.generation for change in self._changes if change.application_id == application_id}),
        )

    async def keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        """Live keys by the SHA-256 of their texts."""
        self._ask()
        now_ms = self._clock() * 1000
        known = {digest: self._keys[digest] for digest in digests if digest in self._keys}
        return {
            digest: structs.replace(key, generation=self._generation)
            for digest, key in known.items()
            if key.expires_at_ms is None or key.expires_at_ms > now_ms
        }

    def set_credentials(self, sealed: list[SealedCredential]) -> list[Change]:
        """Put others in the place of the installation's keys of provider accounts."""
        self._credentials = list(sealed)
        return self._moved("application", INSTALLATION, "credentials")

    async def credentials(self) -> list[SealedCredential]:
        """The installation's keys of provider accounts."""
        self._ask()
        return list(self._credentials)

    async def slug(self, application_id: str, prompt_id: str) -> str | None:
        """The slug of a prompt by its id."""
        self._ask()
        mine = [(slug, prompt.id) for (owner, slug), prompt in self._prompts.items() if owner == application_id]
        return next((slug for slug, known in mine if known == prompt_id), None)

    async def names(self, application_id: str) -> list[str]:
        """``slug@alias`` of everything served, and the bare slug where ``production`` makes it mean something; sorted."""
        self._ask()
        served = [
            (slug, alias)
            for (owner, slug), prompt in self._prompts.items()
            if owner == application_id and prompt.active
            for alias in prompt.aliases
        ]
        return sorted([f"{slug}@{alias}" for slug, alias in served] + [slug for slug, alias in served if alias == PRODUCTION])

    async def generation(self) -> int:
        """The number that rises with every change of what is served."""
        self._ask()
        return self._generation

    async def changes(self, after: int) -> list[Change]:
        """What changed since ``after``, oldest first."""
        self._ask()
        return [change for change in self._changes if change.generation > after]

    def _ask(self) -> None:
        self.questions += 1
        if not self.available:
            raise GatewayError(STORE_UNAVAILABLE, "the registry cannot be reached", cause="MemoryCatalog.available is False")

    def _moved(self, kind: Literal["prompt", "key", "application"], application_id: str, name: str) -> list[Change]:
        self._generation += 1
        change = Change(self._generation, kind, application_id, name)
        self._changes.append(change)
        return [change]


def _id_of(application_id: str, slug: str) -> str:
    """An id in the shape of the real ones, the same in every run."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{application_id}/{slug}".encode()).digest()[:16]))


def _find(prompt: _Prompt, reference: Reference) -> _Version | Split | None:
    if reference.alias == DRAFT:
        return None
    newest_first = [version for version in reversed(prompt.versions) if version.published]
    if reference.version is not None:
        fitting = [version for version in newest_first if version.version == reference.version]
    elif reference.semver is not None:
        fitting = [version for version in newest_first if version.semver == reference.semver]
    elif reference.digest is not None:
        fitting = [version for version in newest_first if version.content_hash.startswith(reference.digest)]
        if len({version.content_hash for version in fitting}) > 1:
            return None
    elif reference.alias == LATEST:
        fitting = newest_first
    else:
        number = prompt.aliases.get(reference.alias or PRODUCTION)
        if isinstance(number, Split):
            return number
        fitting = [version for version in newest_first if version.version == number]
    return fitting[0] if fitting else None
