"""From a folder to the Hugging Face hub."""

from pathlib import Path

from detection.system.errors import first_line


def check_packages() -> None:
    """See to it that an upload is possible, before anything is written.

    Raises:
        ImportError: huggingface_hub is missing.
    """
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise ImportError(f"repo= needs huggingface_hub ({error}): pip install -e '.[share]'") from error


def upload(folder: Path, repository: str) -> str:
    """Upload a folder as one commit; a repository that is not there is made, and is private.

    Args:
        folder: that ``write_folder`` has written.
        repository: ``user/name``.

    Returns:
        The commit.

    Raises:
        ValueError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi(library_name="lightning-detection")
    otherwise = f"{folder} is written: upload it later by hf upload {repository} {folder}"
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Share a detector of lightning-detection"
        )
    except Exception as error:  # the network fails in many ways
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if status in (401, 403) or isinstance(error, LocalTokenNotFoundError):
            raise ValueError(
                f"repo={repository}: the hub does not let you write there: type hf auth login, with a token "
                f"that may write. {otherwise}."
            ) from error
        raise ValueError(
            f"repo={repository}: nothing was uploaded ({first_line(error)}). {otherwise}."
        ) from error
    return str(done.oid)
