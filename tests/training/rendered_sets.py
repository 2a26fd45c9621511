"""Data sets of small rendered mouths whose file names do not clash."""

from pathlib import Path

from training.render import write_via


def rendered(folder: Path, seeds: range, prefix: str) -> Path:
    for path in write_via(folder, seeds, width=120, height=90, folds=0):
        labels = folder / "json_train" / f"{path.stem}.json"
        rename(labels, rename(path, path.stem.replace("Folder_", prefix)).stem)
    return folder


def rename(path: Path, stem: str) -> Path:
    """Rename a photo or its label file, and the photo that the labels name."""
    renamed = path.rename(path.with_stem(stem))
    if path.suffix == ".json":
        renamed.write_text(renamed.read_text().replace(path.stem, stem))
    return renamed
