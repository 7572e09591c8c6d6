"""Charts as SVG text, from frozen values, by plain functions: the same picture in a page and a PDF.

A module for each kind of chart holds its value and the function that draws it:
``control_chart(ControlChart(…), Look(…)) -> str``. Every chart says its message in words, which the
caller passes in the reader's language. Points that lead somewhere are links; only those that stand
out are stops of the Tab key, so that the same points as a table belong beside a chart of many.
"""
