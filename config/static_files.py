"""Static files for production: one stylesheet, hashed names, compressed in advance.

Invariant: a stylesheet that only imports others is collected as one file with their contents, so that a page
makes one request for its styles. Development without `collectstatic` serves the imports as they are.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
from django.core.files.base import ContentFile
from whitenoise.compress import Compressor
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

BUNDLES = ["css/portal.css"]
_IMPORT = re.compile(r'^@import url\("([a-z_]+\.css)"\);$', re.MULTILINE)


class QuickCompressor(Compressor):
    """Brotli at quality 6, 7 % smaller than gzip: the best one takes 50 s for all files, this one 0.5 s.

    Source maps stay plain: only a developer's tools request them, and they are two thirds of the bytes.
    """

    SKIP_COMPRESS_EXTENSIONS = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")

    @staticmethod
    def compress_brotli(data: bytes) -> bytes:
        return bytes(brotli.compress(data, quality=6))


class StaticFiles(WhiteNoiseMiddleware):
    """Middleware: serves the files. A file and its compressed forms have one ETag, and their bytes differ.

    Such an ETag is weak (RFC 9110, section 8.8.1).
    """

    def add_cache_headers(self, headers: Any, path: str, url: str) -> None:
        super().add_cache_headers(headers, path, url)
        status = Path(path).stat()
        headers["ETag"] = f'W/"{int(status.st_mtime):x}-{status.st_size:x}"'


class Storage(CompressedManifestStaticFilesStorage):
    """Static files with hashed names, as gzip and Brotli files too; bundles contain what they import."""

    def post_process(
        self, paths: dict[str, Any], dry_run: bool = False, **options: Any
    ) -> Iterator[tuple[str, str, bool]]:
        for name in [] if dry_run else BUNDLES:
            self.delete(name)
            self.save(name, ContentFile(bundle(name, paths)))
            paths[name] = (self, name)  # hashed and compressed from here on
        yield from super().post_process(paths, dry_run=dry_run, **options)

    def stored_name(self, name: str) -> str:
        """Where nothing was collected on this host, pages are shown without styles; /readyz says so."""
        return super().stored_name(name) if self.hashed_files else name

    def create_compressor(self, **options: Any) -> Compressor:
        return QuickCompressor(**options)


def bundle(name: str, paths: dict[str, Any]) -> str:
    """The stylesheet with each import replaced by that file. `paths`: name to (storage, path)."""
    folder = name.rpartition("/")[0]

    def text_of(each: str) -> str:
        storage, path = paths[each]
        with storage.open(path) as file:
            return str(file.read().decode())

    return _IMPORT.sub(lambda match: text_of(f"{folder}/{match[1]}"), text_of(name))
