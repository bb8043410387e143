"""Model selection: candidates, their criteria, the retirement of those that can't win, the winner.

AIC: Akaike 1974. BIC: Schwarz 1978; mclust's BIC is the negative of it. ICL: Biernacki, Celeux and
Govaert, IEEE PAMI 22(7), 2000: BIC plus twice the entropy of the posteriors. Smaller is better for
these three. Held-out: mean log-likelihood of rows outside the fit (Smyth, Model selection for
probabilistic clustering using cross-validated likelihood, Statist. Comput. 10, 2000); larger is better.

Penalties count rows. Weighted rows count as the number of rows of equal weight that would be as good, (sum w)^2 / sum
w^2 (Kish, Survey Sampling, 1965), and their log-likelihood is scaled to that number: the unit of the weights does not
matter, and equal weights give what no weights give. A weight of 2 is not two copies: copies are two rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from gmm_spark.errors import DataError
from gmm_spark.mixture.criteria import aic, at_mean_weight, bic, icl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gmm_spark.mixture.parameters import Family

Criterion: TypeAlias = Literal["bic", "aic", "icl", "heldout", "gain"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

RETIRED, FAILED = "retired", "failed"
# Aitken's estimate of the remaining gain can be several times too low in early steps: only if it is this many times too
# low, a candidate is retired that would have won.
_CAUTION = 10.0


@dataclass(frozen=True, order=True)
class Candidate:
    """A mixture to be fitted.

    Args:
        family: its covariance family.
        k: its number of components.
        start: the rank on the sample of the start that it is fitted from; 0 is the best.
    """

    family: Family
    k: int
    start: int = 0

    @property
    def name(self) -> str:
        """A short name that is valid for a folder."""
        return f"{self.family}-{self.k}" + (f"-start{self.start}" if self.start else "")


def grid(ks: Iterable[int], families: Iterable[Family], starts: int = 1) -> tuple[Candidate, ...]:
    """Return the candidates of a grid, `starts` of each family and number of components."""
    return tuple(Candidate(family, k, start) for family in families for k in sorted(set(ks)) for start in range(starts))


@dataclass(frozen=True)
class Standing:
    """The progress of a candidate while it is fitted.

    Args:
        candidate: the candidate.
        log_likelihood: the best one measured so far, in nats, of rows at mean weight.
        remaining: what EM can still gain, by Aitken's estimate; infinite where it is unknown.
        parameters: p, its free parameters.
        rows: its number of effective rows.
        sound: whether each of its components is sound and holds ample rows.
    """

    candidate: Candidate
    log_likelihood: float
    remaining: float
    parameters: int
    rows: float
    sound: bool = True


def hopeless(standings: Sequence[Standing], criterion: Criterion) -> set[Candidate]:
    """Return the candidates that can't win any more; finished candidates count as rivals.

    A candidate's log-likelihood is assumed to stay below the measured one plus ten times the remaining gain. It is
    retired if another start of the same family and number of components has already measured more than that; and, if
    the criterion is BIC or AIC, if its criterion at that log-likelihood is worse than one already measured. The other
    criteria are not monotone in the log-likelihood. A candidate with a suspicious component retires no other, because
    it can't win against a sound one.
    """
    best_start: dict[tuple[Family, int], float] = {}
    sound = [each for each in standings if each.sound]
    for each in sound:
        cell = each.candidate.family, each.candidate.k
        best_start[cell] = max(best_start.get(cell, -math.inf), each.log_likelihood)
    penalised = {"bic": _bic, "aic": _aic}.get(criterion)
    least = min((penalised(each, each.log_likelihood) for each in sound), default=math.inf) if penalised else 0.0
    losers = set()
    for each in standings:
        reach = each.log_likelihood + _CAUTION * each.remaining
        if reach < best_start.get((each.candidate.family, each.candidate.k), -math.inf) or (
            penalised and penalised(each, reach) > least
        ):
            losers.add(each.candidate)
    return losers


def _bic(each: Standing, log_likelihood: float) -> float:
    return bic(log_likelihood, each.parameters, each.rows)


def _aic(each: Standing, log_likelihood: float) -> float:
    return aic(log_likelihood, each.parameters)


@dataclass(frozen=True)
class Evaluation:
    """A row of the selection table: the result of a candidate.

    Args:
        candidate: the candidate.
        outcome: that of its fit; "retired" if it was stopped because it could not win, "failed" if it had no valid
            start. The other numbers are those of the best parameters measured.
        message: the outcome in a sentence.
        log_likelihood: in nats, of the rows that it was fitted to; NaN if it failed.
        weight: the total weight of those rows.
        parameters: p, its free parameters.
        entropy: the weighted sum of the entropies of the posteriors, in nats.
        passes: full reads of the data that it took part in, survey and packing included.
        floor_hits: covariances that were raised to the floor, over all steps.
        heldout: mean log-likelihood per unit of weight of the held-out rows; None without them.
        effective_rows: the number of rows of equal weight that would be as good; None: each row has weight 1.
        penalty: what the covariance prior takes off its log-likelihood, in nats.
        stability: the share of the starts that led to the partition of the best start; None without a search.
        charge: what its components of few rows are charged, in nats: `winner` adds it to the criteria.
        suspicious: the number of findings that make it unsound, see `unsound_findings`.
    """

    candidate: Candidate
    outcome: str
    message: str
    log_likelihood: float
    weight: float
    parameters: int
    entropy: float
    passes: int
    floor_hits: int
    heldout: float | None = None
    effective_rows: float | None = None
    penalty: float = 0.0
    charge: float = 0.0
    suspicious: int = 0
    stability: float | None = None

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit of weight, in nats."""
        return self.log_likelihood / self.weight

    @property
    def standing(self) -> tuple[bool, float]:
        """The rank among the starts of one mixture: sound ones first, then by EM's objective less the charge."""
        return self.suspicious == 0, self.log_likelihood - self.penalty - self.charge

    @property
    def criterion_charge(self) -> float:
        """The amount that the charge adds to a criterion."""
        return 2 * self._at_mean_weight(self.charge)

    @property
    def aic(self) -> float:
        """Akaike's criterion; smaller is better."""
        return aic(self._at_mean_weight(self.log_likelihood), self.parameters)

    @property
    def bic(self) -> float:
        """Schwarz's criterion; smaller is better."""
        return bic(self._at_mean_weight(self.log_likelihood), self.parameters, self._rows)

    @property
    def icl(self) -> float:
        """BIC plus twice the entropy; smaller is better."""
        entropy = self._at_mean_weight(self.entropy)
        return icl(self._at_mean_weight(self.log_likelihood), self.parameters, self._rows, entropy)

    @property
    def _rows(self) -> float:
        return self.weight if self.effective_rows is None else self.effective_rows

    def _at_mean_weight(self, value: float) -> float:
        return at_mean_weight(value, self.weight, self._rows)


def gains(evaluations: Iterable[Evaluation]) -> dict[Candidate, float]:
    """Return the gain per added component, in nats per unit of weight, over the next smaller k of the family.

    The best of several starts counts; the smallest k of a family has no gain. Held-out mean log-likelihoods are
    compared where rows are held out.
    """
    result = {}
    for _, members in groupby(_best_of_each_cell(evaluations), key=lambda each: each.candidate.family):
        for fewer, more in pairwise(members):
            added = more.candidate.k - fewer.candidate.k
            result[more.candidate] = (_mean(more) - _mean(fewer)) / added
    return result


def winner(evaluations: Sequence[Evaluation], criterion: Criterion, least_gain: float = 0.01) -> Evaluation:
    """Return the best candidate.

    Args:
        evaluations: the table.
        criterion: bic, aic, icl (the smallest wins), heldout (the largest wins), or gain: in each family components
            are added as long as each gains `least_gain` or more; between the families BIC decides.
        least_gain: nats per unit of weight.

    Raises:
        DataError: no candidate has a valid mixture.
    """
    valid = [each for each in evaluations if math.isfinite(each.log_likelihood)]
    # The likelihood of a mixture that collapses has no bound, and that of a component on a few rows, a tie or a rounded
    # value is high: such a mixture wins only if all mixtures are such.
    ended = [each for each in valid if each.outcome not in {RETIRED, "degenerate"}] or valid
    sound = [each for each in ended if each.suspicious == 0] or ended
    if not sound:
        raise DataError(
            "the candidates",
            got=f"{len(evaluations)} that all failed",
            expected="at least one valid mixture",
            do=evaluations[0].message if evaluations else "Name at least one family and one number of components.",
        )
    if criterion == "gain":
        return min(_last_worthwhile(sound, least_gain), key=lambda each: each.bic + each.criterion_charge)
    rivals = _best_of_each_cell(sound) if criterion in {"bic", "aic"} else sound
    return min(rivals, key=lambda each: (_loss(each, criterion), each.candidate))


def _loss(each: Evaluation, criterion: Criterion) -> float:
    if criterion == "heldout":
        return math.inf if each.heldout is None else -each.heldout
    return float(getattr(each, criterion)) + each.criterion_charge


def _last_worthwhile(evaluations: Sequence[Evaluation], least_gain: float) -> list[Evaluation]:
    gain_of, chosen = gains(evaluations), {}
    ended = set()
    for each in _best_of_each_cell(evaluations):
        family = each.candidate.family
        if gain_of.get(each.candidate, math.inf) < least_gain:
            ended.add(family)
        if family not in ended:
            chosen[family] = each
    return list(chosen.values())


def _best_of_each_cell(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the best start of each family and k, ordered by family, then k."""
    cells: dict[tuple[Family, int], Evaluation] = {}
    for each in evaluations:
        cell = each.candidate.family, each.candidate.k
        if math.isfinite(each.log_likelihood) and (cell not in cells or each.standing > cells[cell].standing):
            cells[cell] = each
    return [cells[cell] for cell in sorted(cells)]


def _mean(each: Evaluation) -> float:
    return each.mean_log_likelihood if each.heldout is None else each.heldout
