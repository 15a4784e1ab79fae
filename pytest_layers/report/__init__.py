"""What is said: results in, text out. Nothing is measured, judged or decided here.

document    the JSON report
junit       properties of a test case in JUnit XML
text        what the terminal shows: the table of a session, the list of engines, the text of a broken limit
grid        draws tables that fit the terminal
timeline    draws the small chart of a case's window
progress    shows on the terminal that data is being made, or that a case waits for another session
"""
