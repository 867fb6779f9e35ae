"""Several files of labels share a legend."""

import pytest

from conftest import polygons
from geoseg.errors import LabelError
from geoseg.labels import merged_legend, open_labels
from labels.conftest import FOREST, WATER


class TestSeveralFiles:
    def opened(self, folder, *files, **options):
        for number, values in enumerate(files):
            frame = polygons({"x": [FOREST, WATER]}).drop(columns="class").assign(**values)
            frame.to_file(folder / f"{number}.gpkg")
        return [open_labels(folder / f"{number}.gpkg", **options) for number in range(len(files))]

    def test_names_join_what_others_number(self, tmp_path):
        numbered = {"class_id": [3, 8], "class": ["forest", "water"]}
        legend = merged_legend(self.opened(tmp_path, {"class": ["Water", "crop"]}, numbered))
        assert [(item.id, item.name) for item in legend] == [(3, "forest"), (8, "water"), (9, "crop")]

    def test_a_real_name_goes_before_a_made_up_one(self, tmp_path):
        named = {"class_id": [3, 8], "class": ["forest", "water"]}
        for files in (({"class_id": [3, 5]}, named), (named, {"class_id": [3, 5]})):
            legend = merged_legend(self.opened(tmp_path, *files))
            assert [(item.id, item.name) for item in legend] == [(3, "forest"), (5, "class 5"), (8, "water")]

    def test_one_name_has_one_id(self, tmp_path):
        files = [{"class_id": ids, "class": ["forest", "water"]} for ids in ([1, 2], [1, 3])]
        with pytest.raises(
            LabelError, match=r"1\.gpkg: 'water' is class 3, in .*0\.gpkg it is class 2; give them one id"
        ):
            merged_legend(self.opened(tmp_path, *files))

    def test_background_keeps_its_id(self, tmp_path):
        files = [{"class": ["b", "c"]}, {"class": ["a", "b"]}]
        legend = merged_legend(self.opened(tmp_path, *files, background=2))
        assert [(item.id, item.name) for item in legend] == [(1, "a"), (2, "background"), (3, "b"), (4, "c")]

    def test_the_same_legend_is_returned_as_it_is(self, tmp_path):
        found = self.opened(tmp_path, {"class": ["a", "b"]}, {"class": ["b", "a"]})
        assert merged_legend(found) is found[0].legend

    def test_names_alone_are_numbered_together(self, tmp_path):
        for name, classes in (("a", ("forest", "water")), ("b", ("crop", "water"))):
            polygons({classes[0]: [FOREST], classes[1]: [WATER]}).to_file(tmp_path / f"{name}.gpkg")
        legend = merged_legend([open_labels(tmp_path / f"{name}.gpkg") for name in "ab"])
        assert legend.names == ("crop", "forest", "water")
        assert legend.ids == (1, 2, 3)

    def test_ids_must_agree(self, tmp_path):
        for name, other in (("a", "lake"), ("b", "town")):
            frame = polygons({"x": [FOREST, WATER]}).assign(class_id=[1, 2], **{"class": ["wood", other]})
            frame.to_file(tmp_path / f"{name}.gpkg")
        with pytest.raises(LabelError, match=r"b\.gpkg: calls class 2 'town'.*a\.gpkg calls it 'lake'"):
            merged_legend([open_labels(tmp_path / f"{name}.gpkg") for name in "ab"])
