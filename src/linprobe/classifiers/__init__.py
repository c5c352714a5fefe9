"""Classifiers: the objective and its optimizers as scikit-learn estimators, and the file that keeps one."""
