"""Says what a KubeFATE bundle is, without unpacking it: the archive's SHA-256, and one over the files in use.

The second is the same for upstream's release archive and for an archive made from its git tag.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path, PurePosixPath

USED = ("generate_config.sh", "training_template", "serving_template")


def content_digest(archive: tarfile.TarFile) -> str:
    """Digest of names and contents of the files in use, whatever their order, owners and dates."""
    lines = []
    for member in archive.getmembers():
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise ValueError(f"{member.name}: neither a file nor a directory below docker-deploy/")
        if member.isfile() and path.parts[0] == "docker-deploy" and path.parts[1:2] and path.parts[1] in USED:
            content = archive.extractfile(member)
            assert content is not None
            lines.append(f"{hashlib.sha256(content.read()).hexdigest()}  {path}\n")
    if not any(line.endswith("  docker-deploy/generate_config.sh\n") for line in lines):
        raise ValueError("there is no docker-deploy/generate_config.sh in it")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def main(path: Path) -> None:
    """Print both digests as JSON, or one line of error."""
    try:
        with tarfile.open(path) as archive:
            content = content_digest(archive)
        print(json.dumps({"archive": hashlib.sha256(path.read_bytes()).hexdigest(), "content": content}))
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        sys.exit(f"{path} is no bundle of KubeFATE: {str(error).splitlines()[0].rstrip(':')}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
