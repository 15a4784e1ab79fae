"""What is said: a run goes in, text comes out. Nothing is measured, judged or decided here.

`document` is the JSON file, `text` what the terminal shows, `junit` the properties of a test case
in JUnit XML; `grid` and `timeline` draw the tables and the small charts of `text`; `progress` shows what a case
waits for.
"""
