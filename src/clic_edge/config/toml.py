"""TOML files to frozen values; what is wrong is said with file, key and the nearest valid one."""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from clic_edge.errors import ConfigError

_FOLDER = "folder"
_ENTRY = "NAME"
_EXPECTED = MappingProxyType(
    {
        "bool_type": "true or false",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "string_type": "text in quotes",
        "string_too_short": "text that is not empty",
        "path_type": "a path in quotes",
        "tuple_type": "an array, [...]",
        "model_type": "a table",
        "dict_type": "a table",
        "mapping_type": "a table",
        "model_attributes_type": "a table",
    },
)
"""What was expected, in the words of TOML instead of Python's."""


class Strict(BaseModel):
    """A table of a configuration file: frozen, no unknown keys, no conversion between types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


ModelT = TypeVar("ModelT", bound=Strict)
ItemT = TypeVar("ItemT")
Location = tuple[str | int, ...]


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise PydanticCustomError("url", "should be a URL such as 'http://127.0.0.1:8042'")
    if parts.password:
        raise PydanticCustomError("secret", "holds a password; put it in 'password_file'")
    return url.rstrip("/")


def absolute(path: Path, info: ValidationInfo) -> Path:
    """Return a path that starts from the folder of the file that names it."""
    folder = info.context[_FOLDER] if info.context else Path.cwd()
    return folder / path.expanduser()


def _not_empty(values: tuple[ItemT, ...]) -> tuple[ItemT, ...]:
    if not values:
        raise PydanticCustomError("empty", "should have at least one value")
    return values


RelativePath = Annotated[Path, Field(strict=False), AfterValidator(absolute)]
"""A path; a relative one starts from the folder of the file that names it."""
WebAddress = Annotated[str, AfterValidator(_web_address)]
"""A URL without a password."""
Several = Annotated[tuple[ItemT, ...], Field(strict=False), AfterValidator(_not_empty)]
"""An array with at least one value."""


def read_toml(model: type[ModelT], path: Path) -> ModelT:
    """Return the file as `model`.

    Raises
    ------
    ConfigError
        ``no-such-file``, ``not-toml``, ``unknown-key``, ``missing-key`` or ``wrong-value``; when
        several keys are wrong there is a line for each, and the code is the first one's.

    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("no-such-file", f"{path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError("not-toml", f"{path}: not valid TOML: {error}.") from error
    try:
        return model.model_validate(content, context={_FOLDER: path.resolve().parent})
    except ValidationError as error:
        raise _explained(error, model, path) from error


def _explained(error: ValidationError, model: type[Strict], path: Path) -> ConfigError:
    problems = [
        _problem(detail, model)
        for detail in error.errors(include_url=False)
        # Only says that another key, which has its own line, was wrong.
        if detail["type"] != "default_factory_not_called"
    ]
    return ConfigError(problems[0][0], "\n".join(f"{path}: {text}" for _, text in problems))


def _problem(detail: ErrorDetails, model: type[Strict]) -> tuple[str, str]:
    """Return code and sentence; never the value itself, which may be a password misplaced."""
    keys, siblings = _locate(model, detail["loc"])
    dotted = ".".join(keys).replace(".[", "[")
    match detail["type"]:
        case "extra_forbidden":
            return "unknown-key", f"unknown key '{dotted}'; {nearest(keys[-1], siblings)}."
        case "missing":
            return "missing-key", f"'{dotted}' is missing."
        case "union_tag_not_found":
            return "missing-key", f"'{dotted}.kind' is missing."
        case "union_tag_invalid":
            tags = [tag.strip(" '") for tag in detail["ctx"]["expected_tags"].split(",")]
            return "wrong-value", f"'{dotted}.kind': {nearest(detail['ctx']['tag'], tags)}."
    expected = _EXPECTED.get(detail["type"])
    sentence = f"should be {expected}" if expected else detail["msg"]
    # Tables of a file that do not go together name their keys themselves.
    where = f"'{dotted}': " if keys else ""
    return "wrong-value", f"{where}{sentence.replace('Input ', '').replace('String ', '')}."


def both_or_neither(table: ModelT, one: str, other: str) -> ModelT:
    """Return a table in which two keys are both given, or both left out."""
    if bool(getattr(table, one)) != bool(getattr(table, other)):
        raise PydanticCustomError("pair", f"'{one}' and '{other}' come together")
    return table


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return what to write instead of `word`: the nearest, or all when none is near."""
    known = sorted(valid)
    if close := difflib.get_close_matches(word, known, n=1, cutoff=0.5):
        return f"the nearest is '{close[0]}'"
    return f"valid are {', '.join(known)}" if known else "there is none to choose from"


def keys_of(model: type[Strict]) -> Iterator[str]:
    """Yield every key of a file in dotted notation; ``NAME`` stands for a name of one's own."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        if get_origin(field.annotation) is Mapping:
            key = f"{key}.{_ENTRY}"
        tables = [table for table in _tables(field.annotation) if table is not model]
        yield from dict.fromkeys(f"{key}.{sub}" for table in tables for sub in keys_of(table))
        if not tables:
            yield key


def _locate(model: type[Strict], location: Location) -> tuple[list[str], set[str]]:
    """Return the keys on the way, entries counted from [1], and the valid names for the last one."""
    keys: list[str] = []
    siblings: set[str] = set()
    tables: tuple[type[Strict], ...] = (model,)
    entry_follows = False
    for part in location:
        narrowed = tuple(table for table in tables if part == _kind(table))
        if narrowed and not entry_follows:
            tables = narrowed
            continue
        keys.append(f"[{part + 1}]" if isinstance(part, int) else part)
        if entry_follows or isinstance(part, int):
            entry_follows = False
            continue
        fields = _fields(tables)
        siblings = set(fields)
        annotation = fields[part].annotation if part in fields else None
        entry_follows = get_origin(annotation) is Mapping
        tables = tuple(_tables(annotation))
    return keys, siblings


def _fields(tables: Iterable[type[Strict]]) -> Mapping[str, FieldInfo]:
    found = {
        field.alias or name: field for table in tables for name, field in table.model_fields.items()
    }
    return MappingProxyType(found)


def _kind(table: type[Strict]) -> object:
    kind = table.model_fields.get("kind")
    return get_args(kind.annotation)[0] if kind else None


def _tables(annotation: object) -> Iterator[type[Strict]]:
    """Yield the models that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        yield annotation
    for argument in get_args(annotation):
        yield from _tables(argument)
