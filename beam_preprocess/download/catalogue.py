"""The public logs that can be downloaded: files, licences, mirrors and published facts."""

import dataclasses
import tomllib
from pathlib import Path

CATALOGUE = Path(__file__).with_name("catalogue.toml")


@dataclasses.dataclass(frozen=True)
class Mirror:
    """A place to download from.

    Attributes:
      url: Of the raw log, or of an archive that contains it.
      source: The publication that names the URL.
      tried: Whether this package has downloaded the log from there.
    """

    url: str
    source: str
    tried: bool


@dataclasses.dataclass(frozen=True)
class PublicLog:
    """A public log; what no source states is empty or 0.

    Attributes:
      name: The name of the download.
      title: A description for messages.
      page: The provider's page.
      file: Name of the raw log.
      licence: The licence in short.
      licence_source: The page that states it.
      mirrors: Places to download from, in the order in which they are tried.
      archive_bytes: Size of the archive, about.
      file_bytes: Size of the raw log, about.
      sizes_source: The page that states the sizes.
      lines: Lines of the raw log.
      lines_source: The page that states them.
      checksum: `algorithm:digits` of the raw log.
      checksum_source: The page that states it.
    """

    name: str
    title: str
    page: str
    file: str
    licence: str
    licence_source: str
    mirrors: tuple[Mirror, ...]
    archive_bytes: int = 0
    file_bytes: int = 0
    sizes_source: str = ""
    lines: int = 0
    lines_source: str = ""
    checksum: str = ""
    checksum_source: str = ""

    def notice(self) -> str:
        """Describe source, sizes and licence, for a user to accept."""
        sizes = {"download": self.archive_bytes, "raw log": self.file_bytes}
        known = [f"{name} about {megabytes(size)}" for name, size in sizes.items() if size]
        lines = [
            f"{self.title}, {self.page}",
            f"  size: {', '.join(known) or 'stated by the server when the download begins'}",
            f"  licence: {self.licence} ({self.licence_source})",
        ]
        for mirror in self.mirrors:
            tried = "" if mirror.tried else "untried, "
            lines.append(f"  mirror: {mirror.url} ({tried}named by {mirror.source})")
        return "\n".join(lines)


def read_catalogue() -> dict[str, PublicLog]:
    """Read the public logs by name."""
    entries = tomllib.loads(CATALOGUE.read_text("utf-8"))
    return {
        name: PublicLog(
            name=name, **{**entry, "mirrors": tuple(Mirror(**each) for each in entry["mirrors"])}
        )
        for name, entry in entries.items()
    }


def megabytes(size: int) -> str:
    """Format a number of bytes, such as `1,486.8 MB`."""
    return f"{size / 1e6:,.1f} MB"
