"""JSON files: objects one after the other, or in an array."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from ott.copies import name, text
from ott.source.files import fold, hive_keys, is_remote, literals, opened
from ott.source.parts import Part, Reader
from ott.source.sentences import explained, lacks, unusable

# An object on a line of its own, also in an array.
OBJECT_LINE = re.compile(rb"[\s\[,]*\{(?!.*\}\s*,?\s*\{).*\}[\s\],]*", re.DOTALL)
NO_OBJECT = b"\xef\xbb\xbf \t\r\n[],"
# Strings, which may hold brackets or end in the next part, brackets, and what stands for no object.
JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|(?P<cut>\\?\Z))|[{}]|null', re.DOTALL)
# What DuckDB guesses from text in JSON. It is read as the text that it is.
GUESSED_TYPES = re.compile(
    r"\b(?:DATE|TIMESTAMP WITH TIME ZONE|TIMESTAMP_\w+|TIMESTAMP|TIME|UUID|NULL)\b(?! [A-Z])"
)


class JsonReader(Reader):
    """Reads JSON files."""

    def parts(self) -> Iterator[Part]:
        """Yield all files: keys of their objects as text, and those with keys within as they are.

        A key that is nowhere in the first objects is looked for in all of them.
        """
        names, spoken_of = self.wanted.names, self.wanted.spoken_of
        has_depth = self.wanted.everything or spoken_of or any("." in column for column in names)
        kinds = {} if has_depth else self._kinds(sample=20_480)
        if has_depth or not kinds.keys() >= {*names}:
            kinds = self._kinds(sample=-1)
        if [*kinds] == ["json"]:
            raise unusable(self.named, "holds no JSON objects with keys, or none yet.")
        roots = {*spoken_of, *(column.partition(".")[0] for column in names)}
        # Keys differ by case, too.
        types = {
            column: "VARCHAR" if column in names else GUESSED_TYPES.sub("VARCHAR", kind)
            for column, kind in kinds.items()
            if self.wanted.everything or column in names or column in roots
        }
        there = {*kinds, *(key for file in self.files for key in hive_keys(file))}
        missing = [
            column
            for column in names
            if column not in there and column.partition(".")[0] not in kinds
        ]
        if missing or not types:
            raise unusable(self.named, lacks(missing if types else names, [*kinds]))
        columns = ", ".join(f"{name(column)}: {text(kind)}" for column, kind in types.items())
        yield Part(
            self.files,
            {fold(column): kind for column, kind in types.items()},
            f"read_json({literals(self.files)}, {{options}}, columns = {{{columns}}})",
            [*types],
        )

    def _kinds(self, sample: int) -> dict[str, str]:
        with explained(self.named):
            described = self.connection.execute(
                f"describe select * from read_json_auto({literals(self.files)},"
                f" sample_size = {sample}, map_inference_threshold = -1,"
                f" maximum_sample_files = {len(self.files) if sample < 0 else 32},"
                " hive_partitioning = false, union_by_name = true)"
            ).fetchall()
        return {column: kind for column, kind, *_ in described}

    def count_rows(self, file: str) -> int | None:
        """Return how many events a file on this machine holds."""
        if is_remote(file):
            return None
        with opened(file) as binary:
            rows = 0
            for line in binary:
                if OBJECT_LINE.fullmatch(line) or line.strip(NO_OBJECT) == b"null":
                    rows += 1
                elif line.strip(NO_OBJECT):
                    break
            else:
                return rows
        with opened(file) as binary:
            return count_outer_objects(binary)


def count_outer_objects(binary: BinaryIO) -> int:
    """Return how many objects a stream of JSON holds that are in no other, null being one, too."""
    rows = depth = 0
    rest = b""
    while chunk := binary.read(1 << 20):
        chunk = rest + chunk
        while chunk[-1:] in b"nul" and (more := binary.read(1)):
            chunk += more
        rest = b""
        for token in JSON_TOKEN.finditer(chunk):
            if token["cut"] is not None:
                rest = token[0]
            elif token[0] == b"}":
                depth -= 1
            elif token[0] in (b"{", b"null"):
                rows += depth == 0
                depth += token[0] == b"{"
    return rows
