"""Locust: many callers against a running gateway, with a web page of the figures.

    source .promptgate/env
    locust -f loadtests/locustfile.py [ChatUser | StreamUser | MixedUser]
    locust -f loadtests/locustfile.py --headless -u 100 -r 20 -t 1m MixedUser

It reads ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` like any OpenAI client. For figures to compare, use ``make bench``: locust
is a Python program, and past a few thousand calls a second it measures itself.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # locust loads this file by its path

from loadtests.scenarios.chat import ChatUser
from loadtests.scenarios.mixed import MixedUser
from loadtests.scenarios.stream import StreamUser

__all__ = ["ChatUser", "MixedUser", "StreamUser"]
