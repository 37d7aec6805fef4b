"""Tar archives and Arrow files made in tests."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq


def tar(path, files):
    """Write an archive of (name, bytes)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return path


def features(table, kinds):
    """Return the table with what the Hugging Face library says of its columns."""
    told = json.dumps({"info": {"features": kinds}})
    return table.replace_schema_metadata({"huggingface": told})


def saved(folder, table, kinds, rows_a_file=2):
    """Write a folder as `Dataset.save_to_disk` does."""
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-table.num_rows // rows_a_file)
    names = [f"data-{i:05d}-of-{count:05d}.arrow" for i in range(count)]
    for i, name in enumerate(names):
        part = features(table, kinds).slice(i * rows_a_file, rows_a_file)
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, part.schema) as stream:
            stream.write_table(part, max_chunksize=1)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": kinds}))
    return folder


def parquet(path, table, kinds, rows_a_group=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(features(table, kinds), path, row_group_size=rows_a_group)
    return path
