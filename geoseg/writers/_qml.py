"""QGIS styles for layers of classes: polygons to look at, and points to label."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

_SYMBOL = """   <symbol type="fill" name="{number}" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{fill}"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="{line}"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.1"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>"""


_POINT = """   <symbol type="marker" name="{number}" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{fill}"/>
      <Option type="QString" name="name" value="circle"/>
      <Option type="QString" name="outline_color" value="0,0,0,255"/>
      <Option type="QString" name="size" value="2.6"/>
      <Option type="QString" name="size_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>"""

_NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""What QGIS writes for no value in a list of values."""


Classes = list[tuple[int, str, str]]
"""Id, name and colour ("#rrggbb") of each class."""


def polygon_style(classes: Classes) -> str:
    """QML of a layer whose `class_id` decides its colour."""
    symbols = [
        _SYMBOL.format(number=number, fill=_color(color), line=_color(color, 0.6))
        for number, (_, _, color) in enumerate(classes)
    ]
    return _document("Symbology", "class_id", _categories(classes), symbols)


def sample_style(field: str, classes: Classes, hidden: tuple[str, ...]) -> str:
    """QML of points to label: coloured by `field`, white where it is empty, which is chosen from the classes' names.

    Args:
        field: column of class ids that is filled in.
        classes: the classes.
        hidden: columns that forms do not show, so that whoever labels is not led by them.
    """
    categories = _categories(classes)
    categories.append(f'   <category render="true" value="" symbol="{len(classes)}" label="not labelled"/>')
    colors = [*(color for _, _, color in classes), "#ffffff"]
    symbols = [_POINT.format(number=number, fill=_color(color)) for number, color in enumerate(colors)]
    return _document("Symbology|Fields|Forms", field, categories, symbols, _form(field, classes, hidden))


def _form(field: str, classes: Classes, hidden: tuple[str, ...]) -> list[str]:
    """What a form shows: a list of names for the field, and nothing for hidden columns."""
    entries = [("(not labelled)", _NULL), *((name, str(id_)) for id_, name, _ in classes)]
    choice = '       <Option type="Map"><Option type="QString" name={} value={}/></Option>'
    return [
        " <fieldConfiguration>",
        f"  <field name={quoteattr(field)}>",
        '   <editWidget type="ValueMap"><config><Option type="Map"><Option type="List" name="map">',
        *(choice.format(quoteattr(name), quoteattr(value)) for name, value in entries),
        "   </Option></Option></config></editWidget>",
        "  </field>",
        *(
            f'  <field name={quoteattr(name)}><editWidget type="Hidden"><config><Option/></config></editWidget></field>'
            for name in hidden
        ),
        " </fieldConfiguration>",
    ]


def _categories(classes: Classes) -> list[str]:
    return [
        f'   <category render="true" type="long" value="{id_}" symbol="{number}" label={quoteattr(name)}/>'
        for number, (id_, name, _) in enumerate(classes)
    ]


def _color(color: str, share: float = 1.0) -> str:
    """A colour "#rrggbb", darker by a share, in QGIS's words."""
    return ",".join(str(int(share * int(color[place : place + 2], 16))) for place in (1, 3, 5)) + ",255"


def _document(kinds: str, field: str, categories: list[str], symbols: list[str], form: Sequence[str] = ()) -> str:
    return "\n".join(
        [
            "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>",
            f'<qgis styleCategories="{kinds}" version="3.28.0">',
            *form,
            f' <renderer-v2 type="categorizedSymbol" attr={quoteattr(field)} symbollevels="0" enableorderby="0">',
            "  <categories>",
            *categories,
            "  </categories>",
            "  <symbols>",
            *symbols,
            "  </symbols>",
            " </renderer-v2>",
            "</qgis>",
            "",
        ]
    )
