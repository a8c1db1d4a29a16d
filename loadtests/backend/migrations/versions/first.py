"""The tables as they were first; what has been written once can only be added to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "first"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("versions", "publications", "events", "seals", "releases", "release_rows")


def upgrade() -> None:
    """Make every table, and the triggers that refuse to change the append-only ones."""
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "caucus",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_caucus"),
    )
    op.create_table(
        "sites",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("county", sa.Text(), nullable=False),
        sa.Column("precinct", sa.Text(), nullable=False),
        sa.Column("delegates", sa.Integer(), nullable=False),
        sa.Column("sde_nano", sa.BigInteger(), nullable=False),
        sa.Column("satellite", sa.Boolean(), nullable=False),
        sa.Column("district", sa.Integer(), nullable=False),
        sa.Column("fips", sa.Text(), nullable=True),
        sa.Column("attendance", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_sites"),
        sa.UniqueConstraint("id", name="uq_sites_id"),
    )
    op.create_table(
        "records",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("accepted_version", sa.Integer(), nullable=True),
        sa.Column("accepted", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.code"], name="fk_records_site"),
        sa.PrimaryKeyConstraint("site", name="pk_records"),
    )
    op.create_index("ix_records_state", "records", ["state"])
    op.create_table(
        "versions",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.code"], name="fk_versions_site"),
        sa.PrimaryKeyConstraint("site", "number", name="pk_versions"),
        sa.UniqueConstraint("unique_key", "actor", name="uq_versions_unique_key_actor"),
    )
    op.create_table(
        "publications",
        sa.Column("number", counter, autoincrement=True, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_publications"),
        sa.UniqueConstraint("unique_key", "actor", name="uq_publications_unique_key_actor"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "events",
        sa.Column("id", counter, autoincrement=True, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_seals"),
    )
    op.create_table(
        "releases",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("made_at", sa.Text(), nullable=False),
        sa.Column("events_through", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_releases"),
    )
    op.create_table(
        "release_rows",
        sa.Column("release", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["release"], ["releases.number"], name="fk_release_rows_release"),
        sa.ForeignKeyConstraint(["site"], ["sites.code"], name="fk_release_rows_site"),
        sa.PrimaryKeyConstraint("release", "site", name="pk_release_rows"),
    )
    op.create_table(
        "accounts",
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("pin_hash", sa.Text(), nullable=False),
        sa.Column("totp_secret", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.code"], name="fk_accounts_site"),
        sa.PrimaryKeyConstraint("user", name="pk_accounts"),
    )
    op.create_table(
        "failures",
        sa.Column("id", counter, autoincrement=True, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_failures"),
    )
    op.create_index("ix_failures_at", "failures", ["at"])
    op.create_index("ix_failures_user", "failures", ["user"])
    op.create_index("ix_failures_address", "failures", ["address"])
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.Column("code_step", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["accounts.user"], name="fk_sessions_user"),
        sa.PrimaryKeyConstraint("token_sha256", name="pk_sessions"),
        sa.UniqueConstraint("user", "code_step", name="uq_sessions_user_code_step"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    _refuse_changes()


def _refuse_changes() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} can only be added to'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% can only be added to', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
