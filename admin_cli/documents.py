"""Files of YAML or JSON that commands send on; what their keys mean is the server's to judge."""

from pathlib import Path
from typing import Any

import click
import yaml

from admin_cli import screen


def read_document(path: str) -> Any:
    """The document in a file. Fails naming the file and what is wrong with it."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.ClickException(screen.inert(f"{path}: {error}", keep="\n")) from None


def as_yaml(document: Any) -> str:
    """A document as such a file would hold it."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
