"""Another revision of a git repository, checked out beside it for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gradscope.errors import UsageError

SOURCE_FOLDERS = ("", "src")  # of a repository, where packages lie
# Set by git for its hooks; they would point its commands at another repository or index than the folder's.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


def repository_of(folder: Path) -> Path:
    """The top folder of the git repository that a folder lies in.

    Raises:
        UsageError: There is none, or no git.
    """
    try:
        found = _git(folder, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        raise UsageError("--against needs git, and there is no command git here; install it.") from None
    if found.returncode:
        said = found.stderr.strip().splitlines()
        why = f" (git says: {said[0]})" if said and "not a git repository" not in found.stderr else ""
        raise UsageError(
            f"--against compares two revisions of a git repository, but {folder} lies in none{why}; compare with a "
            "baseline instead."
        )
    return Path(found.stdout.strip()).resolve()


@contextlib.contextmanager
def worktree(repository: Path, revision: str) -> Iterator[Path]:
    """A folder outside the repository that holds a revision; it is removed afterwards, whatever happens.

    Raises:
        UsageError: No such revision, or git cannot check it out.
    """
    commit = _commit(repository, revision)
    parent = Path(tempfile.mkdtemp(prefix="gradscope-against-")).resolve()
    tree = parent / "tree"
    try:
        made = _git(repository, "worktree", "add", "--detach", "--force", str(tree), commit)
        if made.returncode:
            said = " ".join(made.stderr.split())
            raise UsageError(f"git could not check out {revision} beside the repository: {said}")
        yield tree
    finally:
        _git(repository, "worktree", "remove", "--force", "--force", str(tree))
        shutil.rmtree(parent, ignore_errors=True)


def is_source(place: Path, repository: Path) -> bool:
    """Whether a path belongs to the repository's own code, not to an environment inside it."""
    if not place.is_relative_to(repository) or place.is_relative_to(Path(sys.prefix).resolve()):
        return False
    return not {"site-packages", "dist-packages"} & set(place.parts)


def own_gradscope(tree: Path) -> Path | None:
    """The gradscope package that a repository holds itself, as gradscope's own does; None for everybody else's."""
    packages = (tree / part / "gradscope" for part in SOURCE_FOLDERS)
    return next((package for package in packages if (package / "__init__.py").is_file()), None)


def _commit(repository: Path, revision: str) -> str:
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode == 0:
        return found.stdout.strip()
    if _git(repository, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        raise UsageError(
            f"There is no revision '{revision}' in {repository}, which is a shallow clone; fetch its history first: "
            "git fetch --unshallow, or fetch-depth: 0 in actions/checkout."
        )
    raise UsageError(
        f"There is no revision '{revision}' in {repository}; give a branch, tag or commit that git log knows, and "
        "fetch one of a remote first: git fetch origin."
    )


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs git in a folder, without the repository's own hooks."""
    environment = {key: value for key, value in os.environ.items() if key not in _OF_A_HOOK} | {"LC_ALL": "C"}
    command = ["git", "-c", f"core.hooksPath={os.devnull}", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
