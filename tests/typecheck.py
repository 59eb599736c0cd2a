"""The checker that conftest puts on every function of the package."""

from beartype import BeartypeConf, beartype

# An int is good where a float is asked for, as in mypy.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
