"""Which secrets and variables the text of a job mentions."""

import pytest

from mainstay.model.plan import Call, Matrix, Plan, PlannedJob, Service, Step
from mainstay.workflow.mentions import NONE, Mentions, of_job, of_text

ALL = Mentions(all_secrets=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo secrets.ONE and $VARS", NONE),
        ("${{ github.ref }} secrets.ONE", NONE),
        ("a ${{ secrets.one }} b ${{ SECRETS['Two'] }}", Mentions(frozenset({"ONE", "TWO"}))),
        ("${{ format('{0}', secrets.a) == vars.b && secrets.c }}",
         Mentions(frozenset({"A", "C"}), variables=True, variable_names=frozenset({"B"}))),
        ("vars.b == 'x'", Mentions(variables=True, variable_names=frozenset({"B"}))),
        ("${{ toJSON(vars) }}", Mentions(variables=True)),
        ("${{ toJSON(secrets) }}", ALL),
        ("${{ secrets[matrix.name] }}", ALL),
        ("${{ secrets[format('{0}', vars.x)] }}",
         Mentions(all_secrets=True, variables=True, variable_names=frozenset({"X"}))),
        ("${{ secrets.* }}", ALL),
        ("${{ 'secrets.ONE' }}", NONE),
        ("${{ secrets.ONE", Mentions(all_secrets=True, variables=True)),
    ],
)  # fmt: skip
def test_a_text_mentions(text: str, expected: Mentions) -> None:
    assert of_text(text) == expected


def test_every_key_of_a_job_counts() -> None:
    def secret(name: str) -> str:
        return f"${{{{ secrets.{name} }}}}"

    job = PlannedJob(
        "a",
        condition="vars.v",
        steps=(
            Step(run=secret("a"), name=secret("b"), env={"X": secret("c")}, working_directory=secret("d")),
            Step(uses="x", inputs={"y": secret("e")}, timeout_s=secret("f"), condition=secret("g")),
        ),
        env={"Y": secret("h")},
        outputs={"o": secret("i")},
        matrix=Matrix(axes={"x": ["${{ vars.m }}"]}),
        container=Service("image", env={"Z": secret("j")}, credentials={"password": secret("k")}),
        services={"db": Service("image", env={"Z": secret("l")})},
    )
    plan = Plan("tests", "x.yml", (job, PlannedJob("b", env={"X": secret("other")})))
    assert of_job(plan, job) == Mentions(
        frozenset("ABCDEFGHIJKL"), variables=True, variable_names=frozenset({"V", "M"})
    )


def test_names_are_followed_out_of_called_workflows() -> None:
    job = PlannedJob("o / i / a", steps=(Step(run="${{ secrets.deep }} ${{ secrets.github_token }}"),), call="o / i")
    outer = Call("o", "o", "o.yml", secrets={"mid": "${{ secrets.top }}", "unused": "${{ secrets.unused }}"})
    inner = Call("o / i", "i", "i.yml", within="o", secrets={"Deep": "${{ secrets.mid }}"})
    plan = Plan("tests", "x.yml", (job,), calls=(outer, inner))
    assert of_job(plan, job).secrets == {"TOP", "GITHUB_TOKEN"}
