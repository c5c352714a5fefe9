"""The cells of the notebooks, by assignment: what to think about before each blank, and what to look at after it."""

from __future__ import annotations

__all__ = ["CELLS"]

Cells = tuple[tuple[str, str], ...]

SETUP = """
%load_ext autoreload
%autoreload 2
import numpy as np
from linprobe import open_dataset
from linprobe.assignments import check_assignment
from linprobe.data.splits import split_dataset

digits = split_dataset(open_dataset("digits"))
train, test = digits.train, digits.test
X, y = train.X[train.rows] / 16.0, train.y      # 8x8 pixels, 0..1
X_test, y_test = test.X[test.rows] / 16.0, test.y
X.shape, X_test.shape
"""
"""Loads the images, and again the student's file whenever it has changed."""

CHECK = "print(check_assignment())"
"""Shows the verdicts."""

HINGE: Cells = (
    ("markdown", "# The multiclass SVM loss\n\nFill the blanks of `hinge.py`, from top to bottom. The last cell of "
     "each part checks them."),
    ("code", SETUP + "import hinge"),
    ("markdown", "## Scores and loss\n\nThe scores are `W x + b`, a number for each class. Write `scores`, "
     "`loss_by_loops` and `loss`.\n\n**Before you run the next cell**: with W = 0 and b = 0 all scores are equal. "
     "What is the loss of an image then, with 10 classes?"),
    ("code", "W, b = np.zeros((10, 64)), np.zeros(10)\nhinge.loss_by_loops(W, b, X, y, 0.0)"),
    ("markdown", "Loops in Python are slow. How many times as fast is the loss without loops?"),
    ("code", "import time\n\nrandom = np.random.default_rng(0)\nW = 0.1 * random.normal(size=(10, 64))\n"
     "for function in (hinge.loss_by_loops, hinge.loss):\n    start = time.perf_counter()\n"
     "    value = function(W, b, X, y, 1e-3)\n"
     "    print(f\"{function.__name__}: {value:.6f} in {1000 * (time.perf_counter() - start):.2f} ms\")"),
    ("code", CHECK),
    ("markdown", "## The gradient\n\nWrite `gradient_by_loops` and `gradient`. The check compares them with the "
     "numeric gradient and leaves out numbers whose difference crosses a kink.\n\n**A question**: where has this "
     "loss a kink, and what does the centred difference give there?"),
    ("code", "dW, db = hinge.gradient(W, b, X, y, 1e-3)\nh = 1e-5\nmoved = W.copy()\nmoved[3, 20] += h\n"
     "forward = (hinge.loss(moved, b, X, y, 1e-3) - hinge.loss(W, b, X, y, 1e-3)) / h\n"
     "print(f\"by formula {dW[3, 20]:.8f}, by a forward difference {forward:.8f}\")"),
    ("code", CHECK),
)  # fmt: skip

SOFTMAX: Cells = (
    ("markdown", "# The softmax loss\n\nFill the blanks of `softmax.py`, from top to bottom."),
    ("code", SETUP + "import softmax"),
    ("markdown", "## Probabilities\n\nWrite `probabilities`.\n\n**Before you run the next cell**: what does a constant "
     "that is added to all scores of an image change?"),
    ("code", "S = np.array([[3.2, 5.1, -1.7], [1003.2, 1005.1, 998.3]])\nsoftmax.probabilities(S).round(2)"),
    ("markdown", "## Loss and gradient\n\nWrite `loss_by_loops`, `loss` and `gradient`.\n\n**Before you run the next "
     "cell**: with W = 0 and b = 0, what is the loss with 10 classes?"),
    ("code", "W, b = np.zeros((10, 64)), np.zeros(10)\nsoftmax.loss(W, b, X, y, 0.0), np.log(10)"),
    ("markdown", "The gradient in b is the mean of p minus the share of each class. What must it be when the training "
     "has ended?"),
    ("code", "dW, db = softmax.gradient(W, b, X, y, 0.0)\nshares = np.bincount(y) / len(y)\n"
     "np.abs(db - (0.1 - shares)).max()"),
    ("code", CHECK),
)  # fmt: skip

TRAINING: Cells = (
    ("markdown", "# Training\n\nFill the blanks of `training.py`: predictions, stochastic gradient descent, and reg "
     "chosen by validation. The gradient is the library's; yours of `softmax.py` does as well."),
    ("code", SETUP + """
import training
from linprobe.losses import SoftmaxCrossEntropy

X_train, y_train, X_validation, y_validation = X[:1150], y[:1150], X[1150:], y[1150:]
softmax = SoftmaxCrossEntropy()


def gradient_of(reg):
    def gradient(W, b, X, y):
        dS = softmax.value_and_gradient(X @ W.T + b, y)[1]
        return dS.T @ X / len(X) + 2 * reg * W, dS.sum(axis=0) / len(X)
    return gradient


def fit(reg, learning_rate=0.5, n_steps=3000):
    start = np.zeros((10, 64)), np.zeros(10)
    random = np.random.default_rng(0)
    return training.descend(*start, X_train, y_train, gradient_of(reg), learning_rate, n_steps, 32, random)
"""),
    ("markdown", "## Descent\n\nWrite `predict` and `descend`."),
    ("code", "W, b = fit(1e-3)\n(training.predict(W, b, X_train) == y_train).mean()"),
    ("markdown", "How far is that from the minimum? `LinearClassifier` finds it and proves it.\n\n**A question**: what "
     "happens with a learning rate of 50, and with one of 0.0005?"),
    ("code", "from linprobe import LinearClassifier\n\nexact = LinearClassifier(reg=1e-3).fit(X_train, y_train)\n"
     "S = X_train @ W.T + b\nours = softmax.value(S, y_train).mean() + 1e-3 * (W**2).sum()\n"
     "print(f\"SGD {ours:.4f}, the minimum {exact.certificate_.objective:.4f}\")"),
    ("markdown", "## Choosing reg\n\nWrite `choose_reg`. **A question**: why not by the training images, and why "
     "not by the test images?"),
    ("code", "best = training.choose_reg([1e-4, 1e-3, 1e-2, 1e-1], fit, X_validation, y_validation)\nW, b = fit(best)\n"
     "best, (training.predict(W, b, X_test) == y_test).mean()"),
    ("code", CHECK),
)  # fmt: skip

NEIGHBORS: Cells = (
    ("markdown", "# Nearest neighbours\n\nFill the blanks of `neighbors.py`."),
    ("code", SETUP + "import neighbors"),
    ("markdown", "## Distances\n\nWrite `distances_by_loops` and `distances`. **Before you run the next cell**: how "
     "many numbers would an array of all differences hold here?"),
    ("code", "import time\n\nfor function in (neighbors.distances_by_loops, neighbors.distances):\n"
     "    start = time.perf_counter()\n    D = function(X_test[:50], X)\n"
     "    print(f\"{function.__name__}: {1000 * (time.perf_counter() - start):.1f} ms\")"),
    ("markdown", "## The vote, and k\n\nWrite `vote` and `choose_k`. **A question**: what is the training accuracy of "
     "k = 1, and what does it say?"),
    ("code", "k = neighbors.choose_k([1, 3, 5, 9, 15], X, y, 5)\nD = neighbors.distances(X_test, X)\n"
     "k, (neighbors.vote(D, y, k) == y_test).mean()"),
    ("code", CHECK),
)  # fmt: skip

CELLS: dict[str, Cells] = {"hinge": HINGE, "softmax": SOFTMAX, "training": TRAINING, "neighbors": NEIGHBORS}
"""The cells of each exercise: (markdown or code, text)."""
