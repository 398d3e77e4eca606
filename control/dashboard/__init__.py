"""The dashboard: pages that show and do what the API does, in the name of whoever signed in, and nothing else.

A page asks the API (calls.py), renders what it answers (render.py, templates/), and is one row of the table in site.py.
"""
