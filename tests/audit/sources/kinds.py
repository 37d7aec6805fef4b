"""A small data set of every kind, for what every kind must keep: 7 entries, one of them broken."""

import json

import pyarrow as pa
from tests.audit.sources.archives import saved, tar
from tests.audit.sources.pictures import png, put

BROKEN = b"no picture"
LABELS = ["cat", "dog", "cat", "dog", "dog", "cat", "dog"]
DATA = [png(i) for i in range(6)] + [BROKEN]


def folder(place):
    for i, (label, data) in enumerate(zip(LABELS, DATA, strict=True)):
        put(place, f"{label}/{i}.png", data)
    put(place, "annotations/0.json", b'{"boxes": [[1, 1, 2, 2]]}')
    return str(place)


def table(place):
    lines = ["file,label,patient,site,boxes"]
    for i, (label, data) in enumerate(zip(LABELS, DATA, strict=True)):
        put(place, f"{i}.png", data)
        lines.append(f'{i}.png,{label},p{i // 2},{i % 3},"{"[[1, 1, 2, 2]]" if i == 0 else ""}"')
    return str(put(place, "m.csv", "\n".join(lines).encode()))


def huggingface(place):
    cells = [{"bytes": data, "path": None} for data in DATA]
    objects = [{"bbox": [[1.0, 1.0, 1.0, 1.0]]}, *[None] * 6]
    rows = {
        "image": pa.array(cells),
        "label": [int(one == "dog") for one in LABELS],
        "objects": objects,
        "site": [1] * 7,
    }
    kinds = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    return str(saved(place, pa.table(rows), kinds))


def webdataset(place):
    files = []
    for i, (label, data) in enumerate(zip(LABELS, DATA, strict=True)):
        files += [(f"{i}.png", data), (f"{i}.cls", label.encode()), (f"{i}.json", b'{"site": 1}')]
    files.insert(1, ("0.boxes.json", b"[[1, 1, 2, 2]]"))
    return str(tar(place / "s.tar", files))


def coco(place):
    images = [{"id": i, "file_name": f"{i}.png", "height": 6, "width": 8, "site": "A"} for i in range(7)]
    objects = [
        {"id": i, "image_id": i, "category_id": 1 + (label == "dog"), "bbox": [1, 1, 1, 1]}
        for i, label in enumerate(LABELS)
    ]
    for i, data in enumerate(DATA):
        put(place, f"{i}.png", data)
    told = {
        "images": images,
        "annotations": objects,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    return str(put(place, "c.json", json.dumps(told).encode()))


MAKERS = {
    "coco": coco,
    "folder": folder,
    "huggingface": huggingface,
    "table": table,
    "webdataset": webdataset,
}
