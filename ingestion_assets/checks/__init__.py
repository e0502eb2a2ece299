"""Asset checks, one module for each kind. They look at the lake and the ledger through the workbench.

Checks are not partitioned: what they find is listed by series in their metadata.
"""
