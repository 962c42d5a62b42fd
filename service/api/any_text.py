"""Names in paths: a path parameter that takes the rest of the path, including slashes and line feeds."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request

from service.core import codec
from service.core.errors import Invalid


class _AnyText(Convertor[str]):
    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any_text", _AnyText())


def check_name(request: Request, name: str) -> None:
    """Raise Invalid if `name`, from the path, is not UTF-8 or has characters that a state cannot hold."""
    try:
        # The server decodes invalid UTF-8 as U+FFFD, which is not the name that the client meant.
        unquote_to_bytes(request.scope["raw_path"]).decode()
        codec.check(name)
    except UnicodeDecodeError as error:
        raise Invalid.at("/name", "must be UTF-8") from error
    except codec.ValueUnfit as unfit:
        raise Invalid.at("/name", unfit.message) from unfit
