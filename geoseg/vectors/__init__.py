"""From a class raster to polygons that form one valid coverage.

label -> trace -> simplify -> area -> assemble, driven band of rows by band of rows by `stream`, put into a file by
`vectorize`. All of it works in pixel coordinates: corner (x, y) lies x columns right of and y rows below the upper left
corner of the raster; the affine transform comes last.
"""
