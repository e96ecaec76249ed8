"""Files until they are whole, and what a run finds that goes on with another one's."""

from __future__ import annotations

import errno
from datetime import datetime
from pathlib import Path

import pytest

from sinks.parts import Parts, PartSink, is_whole
from stream.errors import ConfigError, SinkError
from tests.support.doubles import make_depth_frame

IDENTITY = {"model": "nano"}


def begin(*sinks: PartSink, frames: int = 0, identity: dict[str, object] | None = None, batch: int = 1) -> Parts:
    """Go on with what there is, and write so many frames."""
    parts = Parts(sinks)
    parts.claim()
    done = parts.earlier(identity or IDENTITY, batch=batch)
    parts.begin(done, [make_depth_frame(record.index).capture for record in done])
    for sink in parts.unfinished(sinks):
        for index in range(len(done), frames):
            sink.write(make_depth_frame(index))
        sink.close()
    return parts


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_part_becomes_the_file_when_it_is_whole(tmp_path: Path) -> None:
    sink = PartSink(f"{tmp_path}/walk.mp4", overwrite=False)
    assert (sink.name, sink.needs_image) == (f"{tmp_path}/walk.mp4", False)
    parts = begin(sink, frames=1)
    assert names(tmp_path) == ["walk.part.mp4", "walk.part.mp4.journal", "walk.part.mp4.lock"]
    assert not is_whole(f"{tmp_path}/walk.mp4")
    parts.publish({})
    assert names(tmp_path) == ["walk.mp4"]
    assert is_whole(f"{tmp_path}/walk.mp4?crf=30")


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "walk.mkv"
    for foreign in (path, tmp_path / "walk.mkv.json"):
        parts = begin(PartSink(f"{path}?codec=ffv1", overwrite=False), frames=1)
        foreign.write_text("someone else's")
        with pytest.raises(SinkError, match=f"{foreign.name} has come to exist meanwhile; what was written is in"):
            parts.publish({})
        assert foreign.read_text() == "someone else's"
        assert {"walk.part.mkv", "walk.part.mkv.json"} <= set(names(tmp_path))
        foreign.unlink()
    path.write_text("someone else's")
    with pytest.raises(SinkError, match=r"walk.mkv exists; choose another name"):
        Parts([PartSink(str(path), overwrite=False)]).look()
    assert path.read_text() == "someone else's"


def test_one_that_cannot_get_its_name_keeps_no_other_from_it(tmp_path: Path) -> None:
    parts = begin(*(PartSink(f"png:{tmp_path}/{name}", overwrite=False) for name in "ab"), frames=1)
    (tmp_path / "a").write_text("someone else's")
    with pytest.raises(SinkError, match="a has come to exist meanwhile"):
        parts.publish({})
    assert names(tmp_path) == ["a", "a.part", "a.part.journal", "b", "b.part.journal"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_has_its_name_when_it_is_whole(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "depth").mkdir()
        for old in ("depth_000000.png", "depth_000007.png", "depth_000001.exr"):
            (tmp_path / "depth" / old).write_text("of a longer film, or in another format")
        (tmp_path / "depth/notes.txt").write_text("someone's")
        with pytest.raises(SinkError, match=r"depth exists; choose another name"):
            Parts([PartSink(f"png:{tmp_path}/depth", overwrite=False)]).look()
    parts = begin(PartSink(f"png:{tmp_path}/depth", overwrite=there), frames=2)
    assert names(tmp_path / "depth.part") == ["depth_000000.png", "depth_000001.png"]
    parts.publish({})
    assert names(tmp_path / "depth") == ["depth_000000.png", "depth_000001.png", *(["notes.txt"] if there else [])]
    assert (tmp_path / "depth/depth_000000.png").read_bytes()[1:4] == b"PNG"
    assert names(tmp_path) == ["depth"]


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    sink = PartSink(str(tmp_path / "walk.mkv"), overwrite=False)
    begin(sink).publish({sink: True})
    assert names(tmp_path) == []


def test_a_file_is_written_by_one_run_at_a_time(tmp_path: Path) -> None:
    uri = f"{tmp_path}/walk.mp4"
    living = PartSink(uri, overwrite=False)
    living.claim()
    for overwrite in (False, True):
        with pytest.raises(SinkError, match=r"another run writes .*/walk.mp4; wait for it"):
            PartSink(uri, overwrite=overwrite).claim()
    late = PartSink(uri, overwrite=False)
    parts = Parts([living])
    parts.begin(parts.earlier(IDENTITY, batch=1), [])
    living.write(make_depth_frame())
    living.close()
    parts.publish({})
    with pytest.raises(SinkError, match=r"walk.mp4 exists; choose another name"):
        Parts([late]).claim()
    late.release(forget=False)
    assert names(tmp_path) == ["walk.mp4"]


def test_a_lock_that_nobody_holds_is_none(tmp_path: Path) -> None:
    (tmp_path / "walk.part.mp4.lock").touch()  # of a run that was killed
    begin(PartSink(f"{tmp_path}/walk.mp4", overwrite=False), frames=1).publish({})
    assert names(tmp_path) == ["walk.mp4"]


def test_what_is_whole_stays_until_the_others_are(tmp_path: Path) -> None:
    uris = [f"png:{tmp_path}/a", f"png:{tmp_path}/b"]
    a, b = (PartSink(uri, overwrite=False) for uri in uris)
    begin(a, b, frames=3).publish({b: True})
    assert names(tmp_path) == ["a", "a.part.journal", "b.part", "b.part.journal"]
    assert not is_whole(uris[0])  # of a batch, it is handed to the run that does the rest
    a, b = (PartSink(uri, overwrite=False) for uri in uris)
    assert (a.is_done, b.is_done) == (True, False)
    parts = begin(a, b, frames=3)
    assert parts.unfinished([a, b]) == [b]
    parts.publish({})
    assert names(tmp_path) == ["a", "b"]


def test_a_run_killed_while_files_get_their_names(tmp_path: Path) -> None:
    uris = [f"{tmp_path}/a.mkv?codec=ffv1", f"png:{tmp_path}/b"]
    for sink in (parts := begin(*(PartSink(uri, overwrite=False) for uri in uris), frames=3))._all:
        sink._claim.release()
    del parts
    (tmp_path / "a.part.mkv").rename(tmp_path / "a.mkv")
    again = [PartSink(uri, overwrite=False) for uri in uris]
    begin(*again, frames=3).publish({})
    assert names(tmp_path) == ["a.mkv", "a.mkv.json", "b"]
    for sink in (parts := begin(*(PartSink(uri, overwrite=True) for uri in uris), frames=3))._all:
        sink.publish()
        sink._claim.release()
    del parts
    assert names(tmp_path) == ["a.mkv", "a.mkv.json", "a.part.mkv.journal", "b", "b.part.journal"]
    (tmp_path / "a.part.mkv.journal").unlink()  # killed while it tidied up
    begin(*(again := [PartSink(uri, overwrite=False) for uri in uris])).publish({})
    assert names(tmp_path) == ["a.mkv", "a.mkv.json", "b"]
    with pytest.raises(SinkError, match=r"a.mkv exists; choose another name or use `overwrite=True`$"):
        begin(*(PartSink(uri, overwrite=False) for uri in uris))


def test_one_that_is_there_and_others_that_were_begun(tmp_path: Path) -> None:
    leave(tmp_path, "png:{}/a", "png:{}/b")
    (tmp_path / "a.part").rename(tmp_path / "a")
    (tmp_path / "a.part.journal").unlink()
    with pytest.raises(SinkError, match=r"a exists; .*, or leave it out to go on with the others"):
        begin(*(PartSink(f"png:{tmp_path}/{name}", overwrite=False) for name in "ab"))


def test_another_kind_of_output_is_another_run(tmp_path: Path) -> None:
    leave(tmp_path, "png:{}/a")
    with pytest.raises(SinkError, match="a was begun by another run, its kind: png, now exr;"):
        begin(PartSink(f"exr:{tmp_path}/a", overwrite=False))
    assert len(names(tmp_path / "a.part")) == 9


def test_the_part_of_an_output_is_no_output(tmp_path: Path) -> None:
    leave(tmp_path, "{}/a.mkv?codec=ffv1")
    with pytest.raises(SinkError, match=r"a.part.mkv is what a run has made so far of another output"):
        PartSink(f"{tmp_path}/a.part.mkv", overwrite=True)


def test_where_no_lock_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "a.part.mkv.lock").mkdir()
    with pytest.raises(SinkError, match=r"cannot write .*a.mkv: .*a.part.mkv.lock cannot be made"):
        PartSink(f"{tmp_path}/a.mkv", overwrite=True).claim()
    with pytest.raises(SinkError, match=r"cannot write /proc/a.csv: "):
        PartSink("focal:/proc/a.csv", overwrite=False).claim()


@pytest.mark.parametrize("length", [240, 250, 300])
@pytest.mark.parametrize("uri", ["{}.mkv?codec=ffv1", "png:{}"])
def test_a_name_without_room_for_what_lies_beside_it_is_refused(tmp_path: Path, uri: str, length: int) -> None:
    uri = uri.format(tmp_path / ("a" * length))
    assert not is_whole(uri)
    with pytest.raises(SinkError, match=r"its name is too long, .*; give a shorter one"):
        PartSink(uri, overwrite=False)
    assert names(tmp_path) == []


def test_the_longest_name_that_has_room_for_what_lies_beside_it_is_written(tmp_path: Path) -> None:
    name = "a" * (255 - len(".part.mkv.journal.new")) + ".mkv"
    begin(PartSink(f"{tmp_path}/{name}?codec=ffv1", overwrite=False), frames=1).publish({})
    assert names(tmp_path) == [name, f"{name}.json"]


@pytest.mark.parametrize(("frames", "then"), [(0, "begins anew"), (3, "goes on")])
def test_a_full_disk_is_told_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int, then: str
) -> None:
    path = tmp_path / "walk.mkv"
    if frames:
        begin(PartSink(f"{path}?codec=ffv1", overwrite=False), frames=frames).release(forget=False)
    before = names(tmp_path)

    def write_bytes(path: Path, _data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", write_bytes)
        parts = Parts([PartSink(f"{path}?codec=ffv1", overwrite=False)])
        told = f"walk.part.mkv: No space left on device; free some space, and the same command {then}"
        parts.claim()
        with pytest.raises(SinkError, match=told):
            parts.begin(parts.earlier(IDENTITY, batch=1), [])
        parts.release(forget=False)
    assert names(tmp_path) == before
    begin(PartSink(f"{path}?codec=ffv1", overwrite=False), frames=frames + 1).publish({})
    assert names(tmp_path) == ["walk.mkv", "walk.mkv.json"]


def test_a_damaged_part_of_many_frames_is_told(tmp_path: Path) -> None:
    leave(tmp_path, "{}/a.mkv?codec=ffv1", "png:{}/b", frames=1001)
    (tmp_path / "a.part.mkv").write_bytes(b"\0" * 1000)
    sinks = [PartSink(uri, overwrite=False) for uri in (f"{tmp_path}/a.mkv?codec=ffv1", f"png:{tmp_path}/b")]
    with pytest.raises(SinkError, match=r"a.part.mkv is damaged: none of the 1001 frames that were made is whole"):
        begin(*sinks)
    assert len(names(tmp_path / "b.part")) == 1001


def test_a_file_of_another_run_counts_as_somebodys(tmp_path: Path) -> None:
    a, b = (PartSink(f"png:{tmp_path}/{name}", overwrite=False) for name in "ab")
    begin(a, b, frames=3).publish({b: True})
    sink = PartSink(f"png:{tmp_path}/a", overwrite=False)
    with pytest.raises(SinkError, match="a exists; choose another name"):
        Parts([sink]).earlier({"model": "large"}, batch=1)
    sink.release(forget=False)
    assert names(tmp_path) == ["a", "a.part.journal", "b.part", "b.part.journal"]


def leave(folder: Path, *uris: str, frames: int = 9) -> None:
    """What a run leaves that was stopped."""
    sinks = [PartSink(uri.format(folder), overwrite=False) for uri in uris]
    begin(*sinks, frames=frames).publish(dict.fromkeys(sinks, True))


@pytest.mark.parametrize(("batch", "kept"), [(1, 8), (3, 6), (4, 8), (5, 5), (9, 0)])
def test_batches_begin_where_they_did(tmp_path: Path, batch: int, kept: int) -> None:
    leave(tmp_path, "png:{}/a")
    sink = PartSink(f"png:{tmp_path}/a", overwrite=False)
    assert len(Parts([sink]).earlier(IDENTITY, batch=batch)) == kept
    sink.release(forget=False)


def test_a_file_that_joins_does_not_undo_the_others(tmp_path: Path) -> None:
    leave(tmp_path, "png:{}/a")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    sinks = [PartSink(f"png:{tmp_path}/{name}", overwrite=False) for name in "ab"]
    with pytest.raises(SinkError, match=r"b was not written by the run that has made 9 frames of .*a; leave it out"):
        begin(*sinks)
    for sink in sinks:
        sink.release(forget=False)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_holes_in_a_sequence_are_filled(tmp_path: Path) -> None:
    for harm in (Path.unlink, lambda path: path.write_bytes(b"")):
        leave(tmp_path, "png:{}/a")
        harm(tmp_path / "a.part/depth_000004.png")
        begin(PartSink(f"png:{tmp_path}/a", overwrite=False), frames=9).publish({})
        assert all(path.stat().st_size for path in (tmp_path / "a").iterdir())
        assert len(names(tmp_path / "a")) == 9
        for path in (tmp_path / "a").iterdir():
            path.unlink()
        (tmp_path / "a").rmdir()


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    leave(tmp_path, "png:{}/a")
    (tmp_path / "a.part.journal").write_bytes(b"\0" * 100 + b"\n")
    sink = PartSink(f"png:{tmp_path}/a", overwrite=False)
    with pytest.raises(SinkError, match=r"a.part.journal is damaged, so that nothing can go on with .*/a; `overwrite"):
        begin(sink)
    sink.release(forget=False)
    assert len(names(tmp_path / "a.part")) == 9
    begin(PartSink(f"png:{tmp_path}/a", overwrite=True), frames=2).publish({})
    assert len(names(tmp_path / "a")) == 2  # and nothing of what was there


def test_a_part_that_is_gone_is_told(tmp_path: Path) -> None:
    leave(tmp_path, "{}/a.mkv?codec=ffv1")
    (tmp_path / "a.part.mkv").unlink()
    sink = PartSink(f"{tmp_path}/a.mkv?codec=ffv1", overwrite=False)
    with pytest.raises(SinkError, match=r"a.part.mkv is gone, of which 9 frames are noted; `overwrite=True` begins"):
        begin(sink)
    sink.release(forget=False)


def test_a_file_called_as_a_part_would_be_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "keep.part.mp4").write_text("a film")
    with pytest.raises(SinkError, match=r"keep.part.mp4 is in the way of .*keep.mp4"):
        PartSink(f"{tmp_path}/keep.mp4", overwrite=False)
    (tmp_path / "keep.part").mkdir()
    with pytest.raises(SinkError, match=r"keep.part is in the way of .*keep,"):
        PartSink(f"png:{tmp_path}/keep", overwrite=True)
    assert names(tmp_path) == ["keep.part", "keep.part.mp4"]


def test_what_differs_is_named_in_words(tmp_path: Path) -> None:
    leave(tmp_path, "{}/a.mkv?codec=ffv1")
    sink = PartSink(f"{tmp_path}/a.mkv?codec=ffv1&encoding=log", overwrite=False)
    with pytest.raises(SinkError, match=r"a.mkv was begun by another run, its option encoding: not given, now log;"):
        begin(sink)
    sink.release(forget=False)


def test_when_a_source_was_written_is_told_as_people_write_it(tmp_path: Path) -> None:
    uri, began = f"{tmp_path}/a.mkv?codec=ffv1", int(datetime(2026, 11, 28, 1, 2, 3).timestamp())
    identity: dict[str, object] = {"source time": began * 10**9 + 250_000_000}
    begin(PartSink(uri, overwrite=False), frames=2, identity=identity).release(forget=False)
    sink = PartSink(uri, overwrite=False)
    told = r"another run, source time: 2026-11-28 01:02:03\.250, now 2026-11-28 01:02:04\.000; the same"
    with pytest.raises(SinkError, match=told):
        begin(sink, identity={"source time": (began + 1) * 10**9})
    sink.release(forget=False)


def test_a_mistake_is_told_of_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        PartSink(f"{tmp_path}/a%20b.mp4?crf=99", overwrite=False)
    assert "/a%20b.mp4?crf=99: crf must be" in str(told.value)
    assert names(tmp_path) == []
