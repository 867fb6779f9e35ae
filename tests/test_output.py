import os
from pathlib import Path

import pytest

from geoseg.disk import stamps
from geoseg.errors import OutputError, OutputExistsError, SceneError
from geoseg.output import MARKER, new_output


def leftovers(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_appears_only_when_the_block_is_left(tmp_path):
    target = tmp_path / "a.txt"
    with new_output(target, beside=("a.md",)) as workspace:
        workspace.main.write_text("new")
        workspace.beside("a.md").write_text("card")
        workspace.scratch("rest").write_text("scratch")
        assert not target.exists()
    assert target.read_text() == "new"
    assert leftovers(tmp_path) == ["a.md", "a.txt"]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_output(tmp_path / "a.txt") as workspace:
        workspace.main.write_text("half")
        raise ZeroDivisionError
    assert leftovers(tmp_path) == []


def test_an_error_leaves_what_was_there(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), new_output(target, overwrite=True) as workspace:
        workspace.main.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert leftovers(tmp_path) == ["a.txt"]


def publish(target, text, **options):
    with new_output(target, overwrite=True, beside=("a.md", "a.csv"), **options) as workspace:
        workspace.main.write_text(text)
        workspace.beside("a.md").write_text(text)
        workspace.beside("a.csv").write_text(text)


def die_after(renames, work):
    """Do some work in a process that is killed after some renames; False where it ended before."""
    child = os.fork()
    if child == 0:
        replace, left = Path.replace, renames

        def counted(self, target):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), 9)
            left -= 1
            return replace(self, target)

        Path.replace = counted
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("before", [False, True], ids=["new", "replaced"])
def test_killed_between_its_renames_a_set_of_files_is_never_mixed(tmp_path, before, key):
    target, names = tmp_path / "a.txt", ["a.csv", "a.md", "a.txt"]
    renames = 0
    while True:
        for path in list(tmp_path.iterdir()):
            path.unlink()
        if before:
            publish(target, "old")
        if not die_after(renames, lambda: publish(target, "new", key=key)):
            break
        # Whoever sees the main file never sees it with what belongs to another.
        texts = {name: (tmp_path / name).read_text() for name in names if (tmp_path / name).exists()}
        assert "a.txt" not in texts or len(set(texts.values())) == 1
        ended = texts.get("a.txt") == "new"
        with pytest.raises(ZeroDivisionError), new_output(target, overwrite=True, beside=("a.md", "a.csv")):
            raise ZeroDivisionError
        assert leftovers(tmp_path) == (names if before or ended else [])
        assert {(tmp_path / name).read_text() for name in leftovers(tmp_path)} <= {"new" if ended else "old"}
        die_after(renames, lambda: publish(target, "new", key=key))
        publish(target, "new", key=key)
        assert leftovers(tmp_path) == names
        assert {(tmp_path / name).read_text() for name in names} == {"new"}
        renames += 1
    assert renames == (7 if before else 3)


@pytest.mark.parametrize("before", [False, True], ids=["new", "replaced"])
def test_interrupted_right_after_a_rename_nothing_is_lost(tmp_path, monkeypatch, before):
    """Between a rename and the note of it: Ctrl-C comes when Python likes."""
    replace, renames = Path.replace, 0
    while True:
        with monkeypatch.context() as patch:
            for path in list(tmp_path.iterdir()):
                path.unlink()
            if before:
                publish(tmp_path / "a.txt", "old")
            left = renames

            def interrupting(self, target):
                nonlocal left
                left -= 1
                moved = replace(self, target)
                if left == -1:
                    raise KeyboardInterrupt
                return moved

            patch.setattr(Path, "replace", interrupting)
            try:
                publish(tmp_path / "a.txt", "new")
            except KeyboardInterrupt:
                # The last of all moves what was replaced out of the way.
                expected = "new" if before and renames == 6 else "old"
            else:
                break
        texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert texts == (dict.fromkeys(("a.csv", "a.md", "a.txt"), expected) if before else {})
        renames += 1
    assert renames == (7 if before else 3)


def test_where_neither_the_rename_nor_its_taking_back_works_the_next_run_takes_back(tmp_path, monkeypatch):
    publish(tmp_path / "a.txt", "old")
    replace, moves = Path.replace, 0

    def failing(self, target):
        nonlocal moves
        moves += 1
        if moves >= 5:
            raise OSError(5, os.strerror(5))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(OutputError, match="Input/output"):
            publish(tmp_path / "a.txt", "new")
    with pytest.raises(OutputExistsError), new_output(tmp_path / "a.txt", beside=("a.md", "a.csv")):
        pytest.fail("the old one is there again")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("a.csv", "a.md", "a.txt"), "old"
    )


def test_killed_while_it_throws_away_what_was_replaced_it_has_ended(tmp_path):
    def make(text):
        with new_output(tmp_path / "chips", overwrite=True, key="k") as workspace:
            workspace.main.mkdir(exist_ok=True)
            for name in ("1", "2"):
                (workspace.main / f"{text}{name}").touch()

    def dying():
        unlink = os.unlink

        def last(path, *args, **options):
            unlink(path, *args, **options)
            if str(path).startswith("old"):
                os.kill(os.getpid(), 9)

        os.unlink = last
        make("new")

    make("old")
    assert die_after(99, dying)
    assert sorted(path.name for path in (tmp_path / "chips").iterdir()) == [MARKER, "new1", "new2"]
    (tmp_path / "chips").rename(tmp_path / "kept")
    make("newer")  # with the same key, and without what was half thrown away
    make("newest")
    for name, files in (("chips", ["newest1", "newest2"]), ("kept", ["new1", "new2"])):
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [MARKER, *files]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chips", "kept"]


def test_a_folder_that_replaces_another_is_back_after_a_kill(tmp_path):
    def make(text):
        with new_output(tmp_path / "chips", overwrite=True) as workspace:
            workspace.main.mkdir()
            (workspace.main / text).touch()

    make("old")
    assert die_after(1, lambda: make("new"))
    assert not (tmp_path / "chips").exists()
    with pytest.raises(OutputExistsError), new_output(tmp_path / "chips"):
        pytest.fail("no work may begin")
    assert leftovers(tmp_path) == ["chips", f"chips/{MARKER}", "chips/old"]


def test_a_rename_that_fails_takes_back_those_before_it(tmp_path, monkeypatch):
    publish(tmp_path / "a.txt", "old")
    replace = Path.replace

    def failing(self, target):
        if self.name == "a.txt" and Path(target).parent == tmp_path and "replaced" not in str(self):
            raise OSError(5, os.strerror(5))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OutputError, match="Input/output"):
        publish(tmp_path / "a.txt", "new")
    assert leftovers(tmp_path) == ["a.csv", "a.md", "a.txt"]
    assert {(tmp_path / name).read_text() for name in leftovers(tmp_path)} == {"old"}


def test_a_run_that_ended_but_did_not_clean_up_leaves_nothing_for_long(tmp_path):
    def work():
        with new_output(tmp_path / "a.txt") as workspace:
            workspace.main.write_text("whole")
            clear = os.unlink
            os.unlink = lambda *_, **__: os.kill(os.getpid(), 9)
            assert clear

    assert die_after(9, work)
    assert (tmp_path / ".a.txt.partial").is_dir()
    with pytest.raises(OutputExistsError), new_output(tmp_path / "a.txt"):
        pytest.fail("no work may begin")
    assert leftovers(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_stranger_where_geoseg_would_work_is_left_alone(tmp_path, overwrite):
    hidden = tmp_path / ".a.txt.partial"
    hidden.mkdir()
    (hidden / "precious.txt").write_text("!")
    with pytest.raises(OutputExistsError, match="did not make"), new_output(tmp_path / "a.txt", overwrite=overwrite):
        pytest.fail("no work may begin")
    assert (hidden / "precious.txt").read_text() == "!"
    (hidden / "precious.txt").replace(tmp_path / "saved")
    hidden.rmdir()
    (tmp_path / "saved").replace(hidden)
    with pytest.raises(OutputExistsError, match="in the way"), new_output(tmp_path / "a.txt", overwrite=overwrite):
        pytest.fail("no work may begin")
    assert hidden.read_text() == "!"
    hidden.unlink()
    (tmp_path / "elsewhere").mkdir()
    hidden.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputExistsError, match="in the way"), new_output(tmp_path / "a.txt", overwrite=overwrite):
        pytest.fail("no work may begin")


def test_a_file_beside_is_replaced_only_together_with_its_output(tmp_path):
    (tmp_path / "a.md").write_text("a stranger's")
    with pytest.raises(OutputExistsError, match="no part of it"):
        publish(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.md").read_text() == "a stranger's"
    assert leftovers(tmp_path) == ["a.md"]


def test_a_source_that_changes_while_it_is_read_makes_no_output(tmp_path):
    source, gone = tmp_path / "scene", tmp_path / "gone"
    source.write_text("1")
    gone.write_text("1")
    with (
        pytest.raises(SceneError, match="scene: was changed while it was read"),
        new_output(tmp_path / "a.txt", sources=stamps([source, "https://example.org/x"])) as workspace,
    ):
        workspace.main.write_text("half of each")
        source.write_text("22")
    assert leftovers(tmp_path) == ["gone", "scene"]
    with new_output(tmp_path / "a.txt", sources=stamps([source, gone])) as workspace:
        workspace.main.write_text("whole")
        gone.unlink()
    assert leftovers(tmp_path) == ["a.txt", "scene"]


@pytest.mark.parametrize("there", ["a.txt", "a.md"])
def test_what_exists_is_refused_before_any_work(tmp_path, there):
    (tmp_path / there).write_text("old")
    with pytest.raises(OutputExistsError, match=there), new_output(tmp_path / "a.txt", beside=("a.md",)):
        pytest.fail("no work may begin")
    assert leftovers(tmp_path) == [there]


def test_overwriting_replaces(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with new_output(target, overwrite=True) as workspace:
        workspace.main.write_text("new")
    assert target.read_text() == "new"


def test_a_folder_is_replaced_only_when_geoseg_made_it(tmp_path):
    target = tmp_path / "chips"
    with new_output(target) as workspace:
        workspace.main.mkdir()
        (workspace.main / "one").write_text("1")
    with new_output(target, overwrite=True) as workspace:
        workspace.main.mkdir()
        (workspace.main / "two").write_text("2")
    assert leftovers(tmp_path) == ["chips", f"chips/{MARKER}", "chips/two"]
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "precious.jpg").write_text("!")
    with pytest.raises(OutputExistsError, match="did not make"), new_output(foreign, overwrite=True):
        pytest.fail("no work may begin")
    assert (foreign / "precious.jpg").exists()


def test_a_file_that_someone_put_into_our_folder_is_kept(tmp_path):
    target = tmp_path / "chips"
    with new_output(target) as workspace:
        workspace.main.mkdir()
        (workspace.main / "one").write_text("1")
    (target / "my_notes.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"my_notes\.txt"), new_output(target, overwrite=True):
        pytest.fail("no work may begin")
    (target / "my_notes.txt").rename(tmp_path / "my_notes.txt")
    (target / "my_link").symlink_to(tmp_path)
    with pytest.raises(OutputExistsError, match="my_link"), new_output(target, overwrite=True):
        pytest.fail("no work may begin")


def test_a_file_that_someone_puts_into_our_folder_during_the_work_is_kept(tmp_path):
    target = tmp_path / "chips"
    with new_output(target) as workspace:
        workspace.main.mkdir()
    with (
        pytest.raises(OutputExistsError, match=r"my_notes\.txt"),
        new_output(target, overwrite=True) as workspace,
    ):
        workspace.main.mkdir()
        (target / "my_notes.txt").write_text("precious")
    assert (target / "my_notes.txt").read_text() == "precious"


def test_a_name_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(OutputError, match="UTF-8"), new_output(tmp_path / "a\udcff.txt"):
        pytest.fail("no work may begin")


@pytest.mark.parametrize("name", ["lock", "scratch", MARKER])
def test_any_name_will_do(tmp_path, name):
    with new_output(tmp_path / name) as workspace:
        workspace.main.write_text("new")
    assert leftovers(tmp_path) == [name]


def test_two_runs_do_not_fight(tmp_path):
    with new_output(tmp_path / "a.txt") as workspace:
        with pytest.raises(OutputError, match="another run"), new_output(tmp_path / "a.txt"):
            pytest.fail("no work may begin")
        workspace.main.write_text("first")
    assert (tmp_path / "a.txt").read_text() == "first"


def test_what_a_killed_run_left_is_taken_over(tmp_path):
    stale = tmp_path / ".a.txt.partial"
    (stale / "scratch").mkdir(parents=True)
    (stale / "a.txt").write_text("half")
    (stale / ".geoseg-lock").touch()
    with new_output(tmp_path / "a.txt") as workspace:
        assert not workspace.main.exists()
        workspace.main.write_text("whole")
    assert leftovers(tmp_path) == ["a.txt"]


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(OutputError, match="does not exist"), new_output(tmp_path / "no" / "a.txt"):
        pytest.fail("no work may begin")


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="nothing was written"), new_output(tmp_path / "a.txt"):
        pass
    assert leftovers(tmp_path) == []


def test_a_full_disk_is_said(tmp_path):
    with pytest.raises(OutputError, match="No space left"), new_output(tmp_path / "a.txt"):
        raise OSError(28, os.strerror(28))
    assert leftovers(tmp_path) == []


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with new_output(tmp_path / "a.txt") as workspace:
            workspace.main.touch(mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(OutputError, match="no file can have this name"), new_output(tmp_path / "a\0.txt"):
        pytest.fail("no work may begin")


@pytest.mark.parametrize("name", [".geoseg-record", ".geoseg-key"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 90_000, b'["a.txt"]', b'{"../x": [1]}', b"3", b" " * 200_000],
                         ids=["no text", "deep", "a list", "elsewhere", "a number", "long"])  # fmt: skip
def test_notes_that_no_run_wrote_are_none(tmp_path, name, content):
    hidden, elsewhere = tmp_path / ".a.txt.partial", tmp_path.parent / "x"
    hidden.mkdir()
    (hidden / name).write_bytes(content)
    elsewhere.write_text("precious")
    with new_output(tmp_path / "a.txt", key="k") as workspace:
        workspace.main.write_text("whole")
    assert leftovers(tmp_path) == ["a.txt"]
    assert elsewhere.read_text() == "precious"


def test_a_list_of_files_that_is_no_text_lists_none(tmp_path):
    target = tmp_path / "chips"
    target.mkdir()
    (target / MARKER).write_bytes(b"\xff\xfe")
    (target / "mine").touch()
    with pytest.raises(OutputExistsError, match="mine, which geoseg did not make"), new_output(target, overwrite=True):
        pytest.fail("no work may begin")
