"""The coverage-guided fuzzer: ``python -m tests.fuzz.run TARGET [libFuzzer's options]``; ``make fuzz`` makes its environment.

Needs ``atheris`` (dependency group ``fuzz``). A finding ends the run with a trace, and its input stands in ``crash-*``.
"""

import hashlib
import logging
import sys
from pathlib import Path

CORPUS = Path(__file__).parents[2] / "build" / "fuzz"


def main() -> None:
    """Instrument our code, put the seeds down, and go."""
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["gateway"]):
        from tests.fuzz.targets import TARGETS, seeds
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"which target? {' '.join(TARGETS)}")
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    logging.disable()
    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[2:]], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
