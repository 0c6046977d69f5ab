"""What handlers ask for by name: dependencies of the router, and the parameters that several routes share."""

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway.control.services import ControlServices

Services = NamedDependency[ControlServices]
Actor = NamedDependency[str]
"""Who is acting: :func:`gateway.control.auth.actor`."""
Tenant = NamedDependency[str]
"""The application's slug: :func:`gateway.control.tenancy.tenant`."""
PromptSlug = NamedDependency[str]
"""The prompt that the path names: :func:`gateway.control.tenancy.prompt_slug`."""

MAX_LIMIT = 100
"""Langfuse's page limit; a page of full rows stays well under a megabyte."""

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Items per page.")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")]
