"""A cell of a real kernel that shows a rollout on the cluster, and its buttons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kernel_front import Front, Kernel

_CODE = """
import mlk8s
from mlk8s.operations.canary_run import Told
told = Told(directory={directory!r})
k8s = mlk8s.connect(kubeconfig={kubeconfig!r}, namespace={namespace!r})
canary = k8s.service({name!r}).running_canary()
slo = mlk8s.Slo(errors=0.2)
analysis = mlk8s.Analysis(slo=slo, block="4s", bake="8m", deadline="10m", min_weight=30)
result = canary.{verb}
"""


class Cell:
    """A cell that runs.

    Args:
        local: the cluster.
        namespace, name: of the service.
        verb: the call that shows its rollout; it may use `told` and `analysis`.
        directory: of the evidence.
    """

    def __init__(
        self, kernel: Kernel, local: Any, namespace: str, name: str, verb: str, directory: Path
    ) -> None:
        code = _CODE.format(
            kubeconfig=str(local.kubeconfig), namespace=namespace, name=name, verb=verb,
            directory=str(directory),
        )  # fmt: skip
        self.front = Front(kernel[1], code)

    def shown(self) -> str:
        """Return what the widgets show now."""
        front = self.front
        return " ".join(str(front.widgets[comm].get("value", "")) for comm in front.named("HTMLModel"))

    def until(self, words: str) -> None:
        """Wait until something is shown."""
        self.front.until(lambda: words in self.shown(), 120)

    def click(self, word: str) -> None:
        """Click the button on which the word stands, when it can be clicked."""
        found: list[str] = []

        def ready() -> bool:
            found[:] = [
                comm
                for comm in self.front.named("ButtonModel")
                if (state := self.front.widgets[comm])["description"] == word and not state["disabled"]
            ]
            return bool(found)

        self.front.until(ready, 120)
        self.front.click(found[0])

    def left(self, error: str | None = None) -> dict[str, str]:
        """Return the output that stays, once the cell has ended: with an error of that name, or with none."""
        self.front.until(lambda: self.front.over, 120)
        errors = [content["ename"] for kind, content in self.front.outputs if kind == "error"]
        assert errors == ([error] if error else []), self.front.outputs
        return [data["data"] for kind, data in self.front.outputs if kind == "update_display_data"][-1]
