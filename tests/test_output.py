import os

import pytest

from geoseg.errors import OutputError, OutputExistsError
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
    assert (target / "my_notes.txt").exists()


def test_a_name_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(OutputError, match="UTF-8"), new_output(tmp_path / "a\udcff.txt"):
        pytest.fail("no work may begin")


@pytest.mark.parametrize("name", ["lock", "scratch", ".geoseg"])
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
