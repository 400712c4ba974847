"""Files uploaded to a repository of the Hub."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from dcgan.errors import UserError
from dcgan.hub.client import calling_hub, open_hub


def upload_files(
    repository: str,
    files: Iterable[Path],
    message: str,
    *,
    private: bool,
    stale: Sequence[str] = (),
) -> str:
    """Upload files under their names in one commit, and create the repository if there is none.

    `stale`: names of files to delete if the repository has them. `private`: only its owner sees a
    new repository. -> the address of its page.

    Raises UserError for a repository that should be private and is public already, and all that
    the Hub refuses.
    """
    api = open_hub("dcgan push")

    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with calling_hub(repository):
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise UserError(
                f"{repository} is there and public, which --private does not change: name another "
                "repository, or make it private on its page"
            )
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file) for file in files
        ]
        operations += [
            CommitOperationDelete(name) for name in stale if api.file_exists(repository, name)
        ]
        api.create_commit(repository, operations, commit_message=message)
    return str(url)
