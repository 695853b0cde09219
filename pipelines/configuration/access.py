"""How a Milvus is reached: options that name secrets, and never hold one."""

import argparse
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema

from pipelines.configuration.sections import Section
from transforms.logic.access import Access
from transforms.logic.errors import ConfigurationError
from transforms.logic.references import FORMS, PATTERN, parse_reference


def _checked(value: str, info: ValidationInfo) -> str:
    try:
        return str(parse_reference(value, f"--{str(info.field_name).replace('_', '-')}"))
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


_OPTIONS = {
    "milvus_token": "token",
    "milvus_ca": "ca",
    "milvus_client_certificate": "client_certificate",
    "milvus_client_key": "client_key",
    "allow_clear_text_milvus": "allow_clear_text",
}
Referred = Annotated[str, AfterValidator(_checked), WithJsonSchema({"type": "string", "pattern": PATTERN})]
"""A reference to a secret."""


class MilvusAccess(Section):
    """How Milvus is reached. What is secret is a reference, which workers resolve."""

    milvus_token: Referred | None = Field(None, description=f"the Milvus token, as {FORMS}")
    milvus_ca: Referred | None = Field(
        None,
        description="certificates (PEM) of the authorities that vouch for Milvus, referred to likewise; default the usual ones",
    )
    milvus_client_certificate: Referred | None = Field(
        None, description="certificate (PEM) that Milvus knows this client by, referred to likewise"
    )
    milvus_client_key: Referred | None = Field(
        None, description="private key (PEM) of --milvus-client-certificate, referred to likewise"
    )
    allow_clear_text_milvus: bool = Field(
        default=False, description="let rows and token travel unencrypted to a Milvus on another machine"
    )

    @property
    def value(self) -> Access:
        """The same, for those who connect."""
        return access_of(self)


REFERRED = frozenset(_OPTIONS) - {"allow_clear_text_milvus"}
"""Options that take a reference."""


def add_access_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags to a command that has no configuration."""
    group = parser.add_argument_group("how Milvus is reached")
    for name, field in MilvusAccess.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            group.add_argument(flag, action="store_true", help=field.description)
        else:
            group.add_argument(flag, metavar="REFERENCE", help=field.description)


def access_of(values: argparse.Namespace | MilvusAccess) -> Access:
    """What those flags were given; anything but a reference raises `ConfigurationError`."""
    return Access(**{name: getattr(values, option) for option, name in _OPTIONS.items()})


def check_workers(access: Access, runner: str) -> None:
    """Refuses, for Dataflow, secrets of the environment: that is the launcher's, and its workers have another.

    Raises:
        ConfigurationError: naming the option, and what to do.
    """
    for option, reference in describe_access(access).items():
        if runner.endswith("DataflowRunner") and str(reference).startswith("env:"):
            raise ConfigurationError(
                f"--{option.replace('_', '-')} {reference}: workers of Dataflow do not have this environment; put the secret into Secret "
                "Manager, and write secret:projects/PROJECT/secrets/NAME/versions/VERSION"
            )


def describe_access(access: Access) -> dict[str, Any]:
    """The same as the configuration in a run record."""
    return {option: getattr(access, name) for option, name in _OPTIONS.items()}
