"""A database's URL as it may be shown. Knows nothing of what is kept there."""

from __future__ import annotations

import sqlalchemy as sa

_HARMLESS = frozenset({"application_name", "dbname", "host", "port", "sslmode", "target_session_attrs", "user"})


def shown_text(text: str) -> str:
    """What was given as one, without its secrets; what is no URL may be a secret as a whole."""
    if "://" not in text:
        return text  # sqlite, embedded-postgres
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        return "***"
    return "***" if "@" in (url.host or "") else shown(url)  # a password with a @ that is not written as %40


def shown(url: sa.URL) -> str:
    """The URL without its secrets, which libpq also takes as fields of the query: those that may be one are hidden."""
    query = {name: value if name in _HARMLESS else "***" for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)
