"""Everything the environment may decide, read once and frozen; `.env.example` explains each variable."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override


def _split(value: object) -> object:
    """`a, b` becomes `("a", "b")`; other shapes are left to the field's own validation."""
    if isinstance(value, str):
        return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
    return value


def _postgresql(url: SecretStr) -> SecretStr:
    """Refused here, where it is not echoed: a driver quotes what it cannot read, password included."""
    if not re.match(r"postgres(ql)?://|\w+\s*=", url.get_secret_value()):
        raise ValueError("write it as postgresql://user:password@host:5432/name")  # pragma: allowlist secret
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_postgresql)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The service's settings: from the environment, then from `.env`, then the defaults below.

    Secrets have no default and are never echoed, not even in a validation error.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    # Where it listens and where it keeps things
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str | None = None
    data_dir: Path = Path(".data")

    # PostgreSQL: without a URL the embedded server is used
    database_url: DatabaseUrl | None = None
    migration_database_url: DatabaseUrl | None = None
    database_pool_max: int = Field(default=16, ge=2, le=500)

    # Where events travel beside PostgreSQL
    rabbitmq_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    lake_uri: str | None = None

    # Models: without a key or a base URL the offline model answers
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    model_plan: str = "gpt-4.1"
    model_review: str = "gpt-4.1"
    model_explain: str = "gpt-4.1-mini"
    model_embed: str = "text-embedding-3-small"

    # Tokens this service issues
    jwt_issuer: str = "ai-goals-tracker"
    jwt_audience: str = "ai-goals-tracker"
    jwt_private_key: SecretStr | None = None
    jwt_public_keys: str = ""
    jwt_access_minutes: int = Field(default=15, ge=1, le=60)
    jwt_refresh_days: int = Field(default=30, ge=1, le=365)

    # Tokens another service issues
    jwt_external_issuer: str | None = None
    jwt_external_audience: str | None = None
    jwt_external_jwks_url: str | None = None
    jwt_external_secret: SecretStr | None = None
    jwt_external_courses_claim: str = "courses"
    jwt_external_role_claim: str = "role"

    # Who may call
    cors_origins: Words = ()
    allowed_hosts: Words = ()
    open_registration: bool = True

    # What is shown to the people who run it
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    metrics_token: SecretStr | None = None
    otel_exporter_otlp_endpoint: str | None = None
    rate_limit_per_minute: int = Field(default=0, ge=0, le=1_000_000)
    """0 means no limit; with REDIS_URL all processes count together."""
    runs_per_user: int = Field(default=100, ge=0, le=1_000_000)
    """How many runs of one user may wait or run; 0 means any number."""

    @property
    def lake(self) -> str:
        """Where Parquet files go: LAKE_URI, or a folder under the data directory."""
        return self.lake_uri or str(self.data_dir.absolute() / "lake")

    @property
    def url(self) -> str:
        """Where people and clients reach this service."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def embedded(self) -> bool:
        """Whether PostgreSQL is ours to start."""
        return self.database_url is None

    @property
    def offline_model(self) -> bool:
        """Whether answers come from the rule-based offline model."""
        return self.openai_api_key is None and self.openai_base_url is None


class _Given(Settings):
    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def given(**values: object) -> Settings:
    """Settings from these values and the defaults alone, blind to the environment and to `.env`: for tests."""
    return _Given.model_validate(values)


def from_file(path: Path) -> Settings:
    """Settings from the environment and one file in the form of `.env`."""
    return Settings(_env_file=path)  # pyright: ignore[reportCallIssue] - pydantic-settings adds it to __init__
