"""Where worksheet photos lie: files named by their content, on the disk for good before a row names them.

Knows nothing of the database, nor of how a photo is received.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def photo_path(photos: Path, sha256: str, media_type: str) -> Path:
    """Where a photo lies: by its content, so that the same photo is stored once and none is overwritten."""
    return photos / sha256[:2] / f"{sha256}{'.png' if media_type == 'image/png' else '.jpg'}"


def place_photo(photos: Path, received: Path, sha256: str, media_type: str) -> Path:
    """Put a received file (same file system) where it belongs, on the disk for good before its row is written."""
    received.chmod(0o600)
    with received.open("rb") as file:
        os.fsync(file.fileno())
    place_photos(photos, [(received, sha256, media_type)])
    return photo_path(photos, sha256, media_type)


def place_photos(photos: Path, received: Iterable[tuple[Path, str, str]]) -> None:
    """The same of several files, whose bytes are on the disk already: moved first, so that one flush does for most.

    Once more is no harm: the transaction of a row may have to be tried again.
    """
    folders: set[Path] = set()
    for file, sha256, media_type in received:
        path = photo_path(photos, sha256, media_type)
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            folders.add(photos)
        if file.exists() or not path.exists():
            file.replace(path)
        folders.add(path.parent)
    for folder in folders:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """See that what was put into a folder is still there after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
