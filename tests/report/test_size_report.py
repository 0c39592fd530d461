"""The picture of a size, its words, and the directory that it is opened from."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from capacity_cases import capacity, probe

from mlk8s.assess.capacity.plan import Demand
from mlk8s.errors import SpecError, UsageError
from mlk8s.operations.sizing import Sizing
from mlk8s.report.size import draw_size, probe_rows
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.load import Slo
from mlk8s.spec.service import ModelService

FACTS = {"service": "iris", "namespace": "lab", "track": "stable"}
SPEC = ModelService(name="iris", model="s3://models/iris/1", autoscale=Autoscale(min=1, max=3, target=4))


@pytest.fixture
def sizing(tmp_path: Path) -> Sizing:
    measured = capacity(50.0, checks=(probe(45.0), probe(60.0, held=False)), memory=2e8)
    return Sizing(tmp_path, FACTS, SPEC, measured, Demand(peak=180, pod_hour_price=0.1))


def test_what_was_stored_is_opened_as_it_was(sizing: Sizing) -> None:
    sizing.save()
    again = Sizing.open(sizing.directory)
    assert again.capacity == sizing.capacity and again.demand == sizing.demand
    assert again.plan == sizing.plan and repr(again) == repr(sizing)
    assert again.spec == sizing.spec
    assert {file.name for file in sizing.directory.iterdir()} == {
        "size.json", "service.yaml", "patch-deployment.yaml", "patch-horizontalpodautoscaler.yaml",
    }  # fmt: skip


def test_another_demand_needs_no_other_measurement(sizing: Sizing) -> None:
    more = sizing.planned(peak=900)
    assert more.plan is not None and sizing.plan is not None
    assert more.plan.replicas is not None and sizing.plan.replicas is not None
    assert more.plan.replicas.max > sizing.plan.replicas.max
    assert more.rate == sizing.rate and sizing.demand.peak == 180
    with pytest.raises(UsageError, match="peak is 0"):
        sizing.planned(peak=0)


def test_everything_is_plain_for_json(sizing: Sizing) -> None:
    found = orjson.loads(orjson.dumps(sizing.as_dict()))
    assert found["rate"] == 50.0 and found["interval"] == [48.0, 52.0] and found["confirmed"] is True
    assert found["capacity"]["slo"] == {"p99": 0.1, "errors": 0.01}
    assert found["plan"]["resources"]["memory"] == "240Mi"
    assert [item["kind"] for item in found["patches"]] == ["Deployment", "HorizontalPodAutoscaler"]


def test_a_pod_that_holds_nothing_has_no_plan(tmp_path: Path) -> None:
    broken = capacity(50.0, estimate=None, probes=(probe(2.5, held=False),) * 2)
    found = Sizing(tmp_path, FACTS, SPEC, broken, Demand(peak=180))
    found.save()
    again = Sizing.open(tmp_path)
    assert (again.exit_code, again.rate, again.plan, again.patches) == (1, None, None, [])
    assert "does not hold" in repr(again)
    assert "Not even the lowest rate held." in again.plot().alt
    with pytest.raises(UsageError, match="does not hold"):
        _ = again.spec


def test_a_plan_that_does_not_fit_is_told_and_nothing_is_lost(sizing: Sizing) -> None:
    huge = sizing.planned(peak=1e6)
    huge.save()
    again = Sizing.open(huge.directory)
    assert again.rate == 50.0 and again.patches == []
    assert "does not fit the rest of its spec" in repr(again) and "less than or equal to 1000" in repr(again)
    assert not (huge.directory / "service.yaml").exists()
    with pytest.raises(SpecError):
        _ = again.spec


def test_a_size_that_was_cut_says_so(tmp_path: Path) -> None:
    Sizing.write_cut(tmp_path, FACTS | {"cut": "interrupted by Ctrl-C"})
    with pytest.raises(UsageError, match="no answer: interrupted by Ctrl-C"):
        Sizing.open(tmp_path)
    with pytest.raises(UsageError, match="not a size's directory"):
        Sizing.open(tmp_path / "elsewhere")


def test_the_picture_tells_everything_in_words(sizing: Sizing) -> None:
    picture = sizing.plot()
    for words in (
        "p99 of one pod of iris by the requests/s that it was offered, 3 probes",
        "2 held, the highest at 45/s", "1 broke, the lowest at 55/s",
        "The answer is 50/s, between 48 and 52", "A check of 45/s held", "A check of 60/s broke",
    ):  # fmt: skip
        assert words in picture.alt, picture.alt
    panel = picture.figure.axes[0]
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert {"probe that held", "probe that broke", "check that held", "check that broke"} < set(labels)
    assert "SLO p99 100 ms" in labels and "answer 50/s" in labels
    assert panel.get_ylabel() == "p99 in milliseconds (log scale)"
    assert picture.png()[:4] == b"\x89PNG"


def test_errors_alone_have_an_axis_of_their_own() -> None:
    panel = draw_size(capacity(50.0, slo=Slo(errors=0.05)), "iris").figure.axes[0]
    assert "percent" in panel.get_ylabel()


def test_a_notebook_shows_sentences_picture_and_table(sizing: Sizing) -> None:
    html = sizing._repr_mimebundle_()["text/html"]
    assert "One pod of iris holds" in html and 'alt="p99 of one pod' in html
    assert html.count("<tr>") == 1 + len(probe_rows(sizing.capacity)) == 6
