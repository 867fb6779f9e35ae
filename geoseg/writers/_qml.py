"""QGIS styles for layers of classes: polygons to look at, and points to label."""

from __future__ import annotations

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


def polygon_style(classes: list[tuple[int, str, str]]) -> str:
    """QML of a layer whose `class_id` decides its colour.

    Args:
        classes: id, name and colour ("#rrggbb") of each class.
    """
    categories = [
        f'   <category render="true" type="long" value="{id_}" symbol="{number}" label={quoteattr(name)}/>'
        for number, (id_, name, _) in enumerate(classes)
    ]
    symbols = []
    for number, (_, _, color) in enumerate(classes):
        rgb = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
        fill, line = (",".join(str(int(share * value)) for value in rgb) + ",255" for share in (1.0, 0.6))
        symbols.append(_SYMBOL.format(number=number, fill=fill, line=line))
    return "\n".join(
        [
            "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>",
            '<qgis styleCategories="Symbology" version="3.28.0">',
            ' <renderer-v2 type="categorizedSymbol" attr="class_id" symbollevels="0" enableorderby="0">',
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


def sample_style(field: str, classes: list[tuple[int, str, str]], hidden: tuple[str, ...]) -> str:
    """QML of points to label: coloured by `field`, white where it is empty, which is chosen from the classes' names.

    Args:
        field: column of class ids that is filled in.
        classes: id, name and colour ("#rrggbb") of each class.
        hidden: columns that forms do not show, so that whoever labels is not led by them.
    """
    entries = [("(not labelled)", _NULL), *((name, str(id_)) for id_, name, _ in classes)]
    choices = [
        f'       <Option type="Map"><Option type="QString" name={quoteattr(name)} value={quoteattr(value)}/></Option>'
        for name, value in entries
    ]
    widgets = [
        f'  <field name={quoteattr(name)}><editWidget type="Hidden"><config><Option/></config></editWidget></field>'
        for name in hidden
    ]
    categories = [
        f'   <category render="true" type="long" value="{id_}" symbol="{number}" label={quoteattr(name)}/>'
        for number, (id_, name, _) in enumerate(classes)
    ]
    categories.append(f'   <category render="true" value="" symbol="{len(classes)}" label="not labelled"/>')
    symbols = [
        _POINT.format(
            number=number, fill=",".join(str(int(color[place : place + 2], 16)) for place in (1, 3, 5)) + ",255"
        )
        for number, color in enumerate([*(color for _, _, color in classes), "#ffffff"])
    ]
    return "\n".join(
        [
            "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>",
            '<qgis styleCategories="Symbology|Fields|Forms" version="3.28.0">',
            " <fieldConfiguration>",
            f"  <field name={quoteattr(field)}>",
            '   <editWidget type="ValueMap"><config><Option type="Map"><Option type="List" name="map">',
            *choices,
            "   </Option></Option></config></editWidget>",
            "  </field>",
            *widgets,
            " </fieldConfiguration>",
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
