"""Linear support vector machines on few images with many features."""

import warnings

import numpy as np

from dcgan.errors import UserError

# The root mean square norm of the features that C is chosen for, and the number beside them whose
# weight is the intercept. LIBLINEAR penalises that weight too: beside a 1, its default, it would
# keep the intercept near 0.
FEATURE_NORM = 100.0

_JITTER = 1e-10  # of the mean squared norm: keeps Cholesky's method from failing on equal images
_MAX_ITERATIONS = 1000  # the default of scikit-learn, which the authors used


def check_scikit_learn() -> None:
    """Raise UserError unless scikit-learn is installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UserError('features need scikit-learn: pip install "dcgan[features]"') from None


class LinearSvm:
    """L2-SVMs, scikit-learn's LinearSVC, of one set of training features for several C.

    features: float32 [n, F]. Where n < F, the weights of an SVM are sums of the rows, so that it is
    trained on n coordinates of the rows instead of F: with the Cholesky factor L of all inner
    products, X X' = L L', the SVM on L has the same margins, and its weights v are those of X' w
    with w = L'^-1 v. That is exact up to rounding, and takes n / F of the time.
    """

    def __init__(self, features: np.ndarray, seed: int = 0):
        self.features, self.seed = features, seed
        rows: np.ndarray = features.astype(np.float64)
        self._reduced = len(rows) < rows.shape[1]
        if self._reduced:
            products = rows @ rows.T
            diagonal = np.einsum("ii->i", products)  # a view
            diagonal += _JITTER * max(diagonal.mean(), 1.0)
            rows = np.linalg.cholesky(products)
        self._rows = rows

    def fit(self, labels: np.ndarray, C: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights float32 [F, k] and intercepts float32 [k] of the SVM for labels [n].

        k is the number of classes, one against the rest each, or 1 for two classes, whose score is
        positive for the second one.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        # The dual has one unknown for each image, the primal one for each feature.
        machine = LinearSVC(
            C=C,
            dual=self._reduced,
            intercept_scaling=FEATURE_NORM,
            max_iter=_MAX_ITERATIONS,
            random_state=self.seed,
        )
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            machine.fit(self._rows, labels)
        weights = machine.coef_.T  # [n, k] or [F, k]
        if self._reduced:
            from scipy.linalg import solve_triangular

            dual = solve_triangular(self._rows, weights, lower=True, trans="T")
            weights = self.features.T @ dual.astype(np.float32)
        return weights.astype(np.float32), machine.intercept_.astype(np.float32)


def predict(scores: np.ndarray) -> np.ndarray:
    """Scores [N, k] of `LinearSvm.fit` to classes [N]."""
    return scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.int64)
