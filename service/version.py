"""The version of Rungraph: of the wheel, of the OpenAPI document and of `rungraph --version`."""

VERSION = "0.2.0"
