"""Pixels that more than one class claims, and what nobody claims."""

import itertools

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS

from conftest import CORNER, UTM
from geoseg.errors import LabelError, OptionError
from geoseg.grid import Grid
from geoseg.labels import open_labels
from geoseg.legend import IGNORE, Legend
from labels.conftest import GRID, columns, shapes, square


class TestConflicts:
    def test_pixels_of_two_classes_are_left_out(self, tmp_path):
        stack = [square(0, 0, 20), square(5, 5, 20), square(8, 8, 4)]
        for order in itertools.permutations(range(3)):
            path = shapes(
                tmp_path, [stack[i] for i in order], ["aba"[i] for i in order], name=f"order{order[0]}{order[1]}.gpkg"
            )
            read = open_labels(path, on_conflict="ignore").read(GRID)
            assert (read[5:20, 5:20] == IGNORE).all()
            assert (read == 0).sum() == (read == 1).sum() == 400 - 225

    def test_one_class_has_no_conflict_with_itself(self, tmp_path):
        path = shapes(tmp_path, [square(0, 0, 9), square(4, 4, 9)])
        later, ignored = (open_labels(path, on_conflict=kind).read(GRID) for kind in ("later", "ignore"))
        assert (later == ignored).all()

    def test_points_in_one_pixel_are_a_conflict(self, tmp_path):
        points = [shapely.Point(CORNER @ place) for place in ((3.2, 3.2), (3.8, 3.8), (9.5, 9.5))]
        read = open_labels(shapes(tmp_path, points, ["a", "b", "b"]), on_conflict="ignore").read(GRID)
        assert np.argwhere(read != IGNORE).tolist() == [[9, 9]]

    def test_other_words_are_refused(self, drawn):
        with pytest.raises(OptionError, match="on_conflict is 'latter'; did you mean 'later'"):
            open_labels(drawn, on_conflict="latter")


class TestBackground:
    @pytest.mark.parametrize("id_", [0, 7, 300])
    def test_labels_and_background_share_out_the_grid(self, drawn, id_):
        labels = open_labels(drawn, background=id_)
        ids = labels.legend.decode(labels.read(GRID))
        plain = open_labels(drawn).read(GRID)
        assert labels.legend.names[labels.legend.ids.index(id_)] == "background"
        assert ((ids == id_) == (plain == IGNORE)).all()

    def test_names_are_numbered_around_it(self, drawn):
        legend = open_labels(drawn, background=1).legend
        assert [(item.id, item.name) for item in legend] == [(1, "background"), (2, "forest"), (3, "water")]

    def test_a_class_that_is_there_already(self, tmp_path):
        legend = open_labels(columns(tmp_path, class_id=[4, 5], **{"class": ["a", "b"]}), background=5).legend
        assert legend.names == ("a", "b")
        assert open_labels(columns(tmp_path, **{"class": ["Background", "b"]}), background=9).legend.ids == (1, 9)
        with pytest.raises(LabelError, match=r"class 4 is called 'background'; give --background 4"):
            open_labels(columns(tmp_path, class_id=[4, 5], **{"class": ["background", "b"]}), background=9)

    def test_conflicts_stay_unlabelled(self, tmp_path):
        path = shapes(tmp_path, [square(0, 0, 9), square(4, 4, 9)], ["a", "b"])
        read = open_labels(path, on_conflict="ignore", background=0).read(GRID)
        assert (read == IGNORE).sum() == 25

    def test_a_raster_and_what_lies_beyond_it(self, write_scene, caplog):
        path = write_scene(np.array([[[0, 1], [2, 2]]], np.uint8), nodata=0)
        grid = Grid(CRS.from_user_input(UTM), CORNER, 3, 3)
        for id_, legend in ((0, None), (9, None), (0, Legend.from_names([(0, "none"), (1, "a"), (2, "b")]))):
            labels = open_labels(path, background=id_, legend=legend)
            ids = [[id_, 1, id_], [2, 2, id_], [id_] * 3]
            assert labels.legend.decode(labels.read(grid)).tolist() == ids
        assert not caplog.records

    def test_a_given_legend_must_have_it(self, drawn):
        legend = Legend.from_names([(1, "forest"), (2, "water")])
        with pytest.raises(LabelError, match=r"no class 9 for --background \(1 forest, 2 water\)"):
            open_labels(drawn, legend=legend, background=9)
        assert (open_labels(drawn, legend=legend, background=2).read(GRID) == 0).sum() == 120

    @pytest.mark.parametrize("background", [-1, 65536, 1.5, True])
    def test_only_ids_will_do(self, drawn, background):
        with pytest.raises(OptionError, match="whole number from 0 to 65535"):
            open_labels(drawn, background=background)
