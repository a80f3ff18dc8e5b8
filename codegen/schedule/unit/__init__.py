"""Units of work, one kind in each file: what it needs, what it costs, which instructions it becomes."""

import pkgutil
from importlib import import_module

for _module in pkgutil.iter_modules(__path__):  # each says what it is made of
    import_module(f"{__name__}.{_module.name}")
