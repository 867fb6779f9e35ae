"""A QGIS style for a layer of classes."""

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
