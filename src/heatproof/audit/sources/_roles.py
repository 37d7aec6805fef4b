"""Which columns of a data set mean what: by their names, unless told."""

from collections.abc import Sequence

from heatproof.audit.entry import Roles
from heatproof.errors import UsageError, nearest
from heatproof.inputs.marks import marked_columns
from heatproof.plugins import simplify

PARENT = "parent"
"""In place of a column: the name of the folder that an input lies in."""

PATHS = (
    "path", "file", "filename", "filepath", "image", "imagepath", "imagefile", "img", "imgpath", "url", "imageurl",
    "uri", "slide", "slidepath", "wsi", "volume", "volumepath", "scan", "nifti", "dicom", "signal", "input", "location",
)  # fmt: skip
LABELS = (
    "label", "labels", "class", "classname", "classlabel", "target", "diagnosis", "y", "category", "groundtruth", "gt",
    "labelname", "species",
)  # fmt: skip
LISTS = ("boxes", "bboxes", "box", "bbox", "points", "point")
"""Columns whose cells are lists of numbers."""
ANNOTATIONS = (
    "annotation", "annotations", "annotationpath", "annotationfile", "mask", "maskpath", "maskfile", "segmentation",
    "segmentationpath", "geojson", *LISTS,
)  # fmt: skip
CLUSTERS = (
    "patientid", "patient", "subjectid", "subject", "caseid", "case", "participantid", "participant", "cluster",
    "clusterid", "lesionid", "animalid",
)  # fmt: skip
SPLITS = ("split", "subset", "fold", "partition")
IDS = ("id", "uid", "inputid")


def find_roles(columns: Sequence[str], told: Roles, data: str, path: str | None = None) -> Roles:
    """Return what each role's column is; those told are kept, and "" says that there is none.

    Box and point columns are one annotation, their names joined by commas: "x_min,y_min,x_max,y_max".

    Args:
        columns: names of the columns.
        told: what the user says.
        data: what errors call the data set.
        path: the column of inputs, where the data set itself says which.

    Raises:
        UsageError: a column that is told does not exist, or `only` is told without a split column.
    """
    for role in ("path", "label", "annotation", "cluster", "split"):
        _check(role, getattr(told, role), columns, data)
    found_path = path or _role(told.path, columns, PATHS)
    split = _role(told.split, columns, SPLITS)
    if told.only is not None and split is None:
        raise UsageError(
            f"only={told.only!r} asks for one split, but {data} has no column that says the split (its columns are "
            f"{', '.join(columns)}); say which with split=."
        )
    taken = {found_path, split}
    beside_x = "x" in map(simplify, columns)  # then y is a coordinate
    label = _role(told.label, columns, [name for name in LABELS if not (beside_x and name == "y")], taken)
    if label is None and told.label is None and "name" in columns and "name" not in taken:
        label = "name"  # beside a column of files, it is the class's
    taken |= {label}
    annotation = told.annotation or None
    if told.annotation is None:
        annotation = _role(None, columns, ANNOTATIONS, taken) or _marked(columns, taken)
    cluster = _role(told.cluster, columns, CLUSTERS, taken)
    return Roles(found_path, label, annotation, cluster, split, told.only)


def marked_by(annotation: str | None, columns: Sequence[str]) -> list[str]:
    """Return the box or point columns that an annotation role joins; empty if it is one column or none."""
    parts = [part.strip() for part in (annotation or "").split(",")]
    return parts if len(parts) > 1 and set(parts) <= set(columns) else []


def _role(
    told: str | None, columns: Sequence[str], names: Sequence[str], taken: set[str | None] | None = None
) -> str | None:
    if told is not None:
        return told or None
    by_name = {simplify(column): column for column in reversed(columns) if column not in (taken or ())}
    return next((by_name[name] for name in names if name in by_name), None)


def _marked(columns: Sequence[str], taken: set[str | None]) -> str | None:
    found = marked_columns([column for column in columns if column not in taken])
    return ",".join(found[1]) if found else None


def _check(role: str, told: str | None, columns: Sequence[str], data: str) -> None:
    if not told or told in columns:
        return
    if role in ("label", "cluster") and told == PARENT:
        return
    if role == "annotation" and marked_by(told, columns):
        return
    close = nearest(told, columns, 2) or "; name one of them."
    raise UsageError(f"{role}={told!r} is no column of {data}, which has {', '.join(columns)}{close}")
