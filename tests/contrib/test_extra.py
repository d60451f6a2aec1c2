"""An adapter whose library is not installed says what to install; the package itself never asks for one."""

import subprocess
import sys

import pytest

from forecast import Refusal


def test_a_missing_library_is_refused_by_its_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "forecast.contrib.sktime", raising=False)
    for name in ("sktime", "sktime.forecasting", "sktime.forecasting.base"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Refusal, match=r"pip install 'forecast\[sktime\]'"):
        import forecast.contrib.sktime  # noqa: F401


def test_the_package_imports_no_adapter():
    code = "import sys, forecast; forecast.Forecaster; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sktime", "forecast.contrib"} & set(done.stdout.split())
