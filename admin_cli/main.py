"""The ``promptgate`` command.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 conflict (somebody else was faster, or the name is taken).
"""

import click

from admin_cli import (
    applications,
    calls,
    credentials,
    doctor,
    keys,
    limits,
    prices,
    prompts,
    publishing,
    routes,
    running,
    splitting,
    sync,
    targets,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="promptgate")
def main() -> None:
    """Own your prompts: write, publish, roll back, run.

    Finds the gateway by PROMPTGATE_URL and PROMPTGATE_ADMIN_TOKEN, or by .promptgate/env in this folder.
    """


for _family in (
    applications,
    keys,
    limits,
    credentials,
    routes,
    prompts,
    publishing,
    splitting,
    running,
    calls,
    prices,
    sync,
    doctor,
    targets,
):
    for _command in _family.COMMANDS:
        main.add_command(_command)

if __name__ == "__main__":
    main()
