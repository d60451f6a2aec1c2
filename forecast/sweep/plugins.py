"""Tells Hydra of our launcher and sweepers, which it would else look for in a package of its own."""

import sys
from types import ModuleType

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from forecast.sweep.launcher import PLUGINS, Processes, ProcessesConf
from forecast.sweep.search import Search, SearchConf
from forecast.sweep.sweeper import Grid, GridConf

__all__ = ["Grid", "Processes", "Search", "register"]


def register() -> None:
    """Makes them choices of hydra/launcher and hydra/sweeper.

    Hydra takes plugins from below `hydra_plugins` only, a package that others put there if they are installed: this
    module is found there too, under the name that the classes say is their module's.
    """
    package, name = PLUGINS.split(".")
    try:
        import hydra_plugins as found  # type: ignore[import-not-found]
    except ImportError:
        found = sys.modules[package] = ModuleType(package)
        found.__path__ = []
    setattr(found, name, sys.modules[__name__])
    for group, key, node, plugin in (
        ("launcher", "processes", ProcessesConf, Processes),
        ("sweeper", "grid", GridConf, Grid),
        ("sweeper", "search", SearchConf, Search),
    ):
        ConfigStore.instance().store(group=f"hydra/{group}", name=key, node=node, provider="forecast")
        Plugins.instance().register(plugin)
