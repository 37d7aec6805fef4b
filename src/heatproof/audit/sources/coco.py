"""COCO annotations: one JSON file with images, categories and, for each object, a box, polygons or a run-length mask.

The label of an image is the category that covers most of it, and its annotation is what is marked of that category.
Pictures are looked for beside the file, in `images` there or one folder up, and in a folder named like the file's split
(instances_val2017.json -> val2017); `path` may name their folder. The format is one JSON document, so it is held in
memory as a whole.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heatproof.audit.entry import Cell, Entry, Roles
from heatproof.audit.sources._fingerprint import fingerprint_of_file
from heatproof.audit.sources._names import id_of
from heatproof.audit.sources._places import exists, folder_of, folder_with, is_url, join, open_bytes, read_place
from heatproof.audit.sources._polygons import rings_mask
from heatproof.audit.sources._roles import find_roles
from heatproof.audit.sources._runlength import runs_mask
from heatproof.audit.sources._unique import Unique
from heatproof.errors import InputError, UsageError
from heatproof.types import Input

NAME = "COCO"
ALIASES = ("coco json",)
TIER = "core"
BIBTEX = """
@inproceedings{lin2014coco,
  title     = {Microsoft {COCO}: Common Objects in Context},
  author    = {Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona, Pietro and Ramanan, Deva
               and Doll{\\'a}r, Piotr and Zitnick, C. Lawrence},
  booktitle = {European Conference on Computer Vision},
  year      = {2014}
}
"""

OWN = ("categories", "objects")
"""Columns that are counted from the annotations: the categories in an image, and how many objects."""
_USED = ("id", "file_name", "width", "height")


def open_source(data: str, roles: Roles) -> "CocoSource | None":
    """Return the images of a COCO file; None for what is none.

    Raises:
        InputError: an image or an object lacks what the format demands.
        UsageError: a role names what no image has.
    """
    if not data.partition("?")[0].lower().endswith(".json"):
        return None
    with open_bytes(data) as file:
        try:
            document: Any = json.loads(file.read())
        except ValueError:
            return None  # a table may say better what is wrong
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        return None
    return CocoSource(data, roles, _checked(document, data))


@dataclass
class CocoSource:
    """The images of a COCO file.

    Args:
        data: its path or URL.
        roles: `path` names the folder of the pictures; label, cluster and split name fields of the images.
        document: what it holds.
    """

    data: str
    roles: Roles
    document: Mapping[str, Any] = field(repr=False)
    kind: str = "coco"
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Sort the objects by image, and find what the images' fields mean."""
        ordered = sorted(self.document.get("categories") or (), key=lambda one: one["id"])
        self._names = {one["id"]: str(one["name"]) for one in ordered}
        self.labels = tuple(self._names.values()) or None
        self._objects: dict[Any, list[Mapping[str, Any]]] = {}
        for one in self.document.get("annotations") or ():
            self._objects.setdefault(one["image_id"], []).append(one)
        images: list[Mapping[str, Any]] = self.document["images"]
        fields = tuple(dict.fromkeys(name for image in images for name in image if name not in _USED))
        told = Roles(None, self.roles.label, "", self.roles.cluster, self.roles.split, self.roles.only)
        found = find_roles(fields, told, self.data)
        folder = _folder(self.data, self.roles.path, [image["file_name"] for image in images[:5]])
        self._folder = folder
        marks = "" if self.roles.annotation == "" else "annotations"
        label = found.label or "categories"
        self.roles = Roles(self.roles.path or "file_name", label, marks or None, found.cluster, found.split, found.only)
        self.columns = (*(name for name in fields if name not in (found.label, found.cluster)), *OWN)
        self._unique = Unique(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the images in the order of the file."""
        return iter(self._unique)

    def read(self, entry: Entry) -> tuple[Input, str]:
        """Return an image and the SHA-256 of its bytes.

        Raises:
            InputError: it cannot be read; the sentence says why.
        """
        return read_place(entry.location, entry.id)

    def annotation(self, entry: Entry) -> Any:
        """Return the mask of the objects of an image's label, or their boxes where no object has a mask.

        Raises:
            InputError: an object has no shape that can be drawn.
        """
        if entry.annotation is None:
            return None
        stated = json.loads(entry.annotation)
        image, wanted = self._by_id[stated["image"]], stated["category"]
        objects = [one for one in self._objects.get(image["id"], ()) if one["category_id"] == wanted]
        if not any(one.get("segmentation") for one in objects):
            return {"boxes": [_corners(one, entry.id) for one in objects]}
        size = self._size(image, entry)
        mask = np.zeros(size, dtype=bool)
        for one in objects:
            mask |= _drawn(one, size, entry.id)
        return mask

    def fingerprint(self) -> str:
        """Return a SHA-256 of the file's own bytes and its roles."""
        return fingerprint_of_file(self.data, self.roles)

    @property
    def _by_id(self) -> Mapping[str, Mapping[str, Any]]:
        if not hasattr(self, "_images"):
            self._images = {str(image["id"]): image for image in self.document["images"]}
        return self._images

    def _size(self, image: Mapping[str, Any], entry: Entry) -> tuple[int, int]:
        if image.get("height") and image.get("width"):
            return int(image["height"]), int(image["width"])
        height, width = self.read(entry)[0].size
        return height, width

    def _entries(self) -> Iterator[Entry]:
        roles = self.roles
        for image in self.document["images"]:
            if roles.split and roles.only is not None and str(image.get(roles.split)) != roles.only:
                continue
            objects = self._objects.get(image["id"], [])
            category = _largest(objects)
            label = self._names.get(category) if roles.label == "categories" else image.get(roles.label or "")
            own = sorted({self._names.get(one["category_id"], "") for one in objects})
            columns: dict[str, Cell] = {name: _cell(image.get(name)) for name in self.columns if name not in OWN}
            yield Entry(
                id=id_of(str(image["file_name"])),
                location=join(self._folder, str(image["file_name"])),
                label=label if label is None or isinstance(label, int) else str(label),
                annotation=json.dumps({"image": str(image["id"]), "category": category}) if roles.annotation else None,
                cluster=None if image.get(roles.cluster or "") is None else str(image[roles.cluster or ""]),
                columns={**columns, "categories": ", ".join(own), "objects": len(objects)},
            )


def _largest(objects: Sequence[Mapping[str, Any]]) -> Any:
    """Return the category that covers most; of equals, the first in the file."""
    areas: dict[Any, float] = {}
    for one in objects:
        areas[one["category_id"]] = areas.get(one["category_id"], 0.0) + _area(one)
    return max(areas, key=lambda category: areas[category]) if areas else None


def _area(one: Mapping[str, Any]) -> float:
    try:
        return float(one.get("area") or one["bbox"][2] * one["bbox"][3])
    except (KeyError, TypeError, ValueError, IndexError):
        return 0.0  # of another form: said when its annotation is read


def _corners(one: Mapping[str, Any], name: str) -> list[float]:
    try:
        x, y, width, height = (float(v) for v in one["bbox"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"An object of {name} has the box {one.get('bbox')!r}; give [x, y, width, height].") from error
    return [x, y, x + width, y + height]


def _drawn(one: Mapping[str, Any], size: tuple[int, int], name: str) -> np.ndarray:
    match one.get("segmentation"):
        case {"counts": counts, "size": [height, width]}:
            if (height, width) != size:
                raise InputError(f"A mask of {name} has size {(height, width)}, but the image {size}; mend the file.")
            return runs_mask(counts, size, name)
        case list() as rings if rings:
            return rings_mask(rings, size, name)
        case None | []:
            x_min, y_min, x_max, y_max = _corners(one, name)
            return rings_mask([[x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max]], size, name)
        case other:
            raise InputError(f"An object of {name} has the segmentation {str(other)[:60]}; give polygons or runs.")


def _checked(document: Any, data: str) -> Mapping[str, Any]:
    """Return the document, all of whose images, objects and categories have the fields that are used."""
    for part, needed in (
        ("images", ("id", "file_name")),
        ("annotations", ("image_id", "category_id")),
        ("categories", ("id", "name")),
    ):
        listed: list[Any] = document.get(part) or []
        for number, one in enumerate(listed):
            lacking = [name for name in needed if not (isinstance(one, dict) and name in one)]
            if lacking:
                raise InputError(f"{data}: number {number} of its {part} has no {lacking[0]!r}; add it.")
    if not document["images"]:
        raise InputError(f"{data} lists no images; add them.")
    return document


def _folder(data: str, told: str | None, names: Sequence[str]) -> str:
    """Return where the pictures lie: as told, or the first of the usual folders in which one of them is found."""
    base = folder_of(data)
    if told is not None:
        places = [told, join(base, told)]
        found = next((place for place in places if exists(place)), None)
        if found is None:
            raise UsageError(f"path={told!r} is no folder, neither here nor beside {data}; name the pictures' folder.")
        return found if is_url(found) else str(Path(found).absolute())
    return folder_with(base, names, [Path(data).stem.rpartition("_")[2]])


def _cell(value: Any) -> Cell:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
