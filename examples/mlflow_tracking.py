"""
Track a ranker with MLflow
==========================

One run holds the parameters, the learning curve, NDCG on held-out lists and the model.
The model is a file written by `persistence.save`, which the class below reads: MLflow
keeps this script as the code of the model, so nothing is pickled. The served model
takes the list ids in a column. Install ``mlflow``, or only ``mlflow-skinny sqlalchemy
alembic``. This example is not run when the pages are built.

Guide: :doc:`/monitoring`.
"""

# sphinx_gallery_thumbnail_path = "_static/thumb_mlflow.svg"
import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_rankformer import RankFormerRanker, persistence
from sklearn_rankformer.datasets import make_ranking
from sklearn_rankformer.metrics import ndcg_score
from sklearn_rankformer.model_selection import train_test_split

try:
    import mlflow
except ImportError as error:
    raise SystemExit("This example needs MLflow: pip install mlflow") from error

LIST_ID = "list_id"

# %%
# What is served
# --------------


class ServedRanker(mlflow.pyfunc.PythonModel):
    """Scores the rows of a frame, one column of which holds their list ids."""

    def load_context(self, context):
        """Read the ranker, which runs no code of the file."""
        self.ranker = persistence.load(context.artifacts["ranker"])

    def predict(self, context, model_input: pd.DataFrame, params=None):
        """Return score, place and the expected best label of the list, row by row."""
        groups = model_input[LIST_ID]
        found = self.ranker.predict_all(model_input.drop(columns=LIST_ID), groups)
        frame = pd.DataFrame({"score": found.scores}, index=model_input.index)
        places = frame["score"].groupby(groups).rank(ascending=False, method="first")
        # Lists come in the order of their sorted ids.
        of_list = np.unique(groups, return_inverse=True)[1]
        values = found.list_value.value[of_list]
        return frame.assign(place=places.astype("int64"), list_value=values)


# MLflow runs this file again where the model is loaded, and takes what is set here.
mlflow.models.set_model(ServedRanker())

# %%
# One run
# -------


def searches():
    """Lists with two numbers and a category; their ids are a column, too."""
    X, y, groups = make_ranking(n_lists=300, n_features=8, random_state=0)
    kinds = np.array(["city", "beach", "spa"])[np.digitize(X[:, 7], [-0.5, 0.5])]
    frame = pd.DataFrame(X[:, :7], columns=[f"feature_{j}" for j in range(7)])
    return frame.assign(kind=pd.Categorical(kinds)), y, groups


def track(ranker, X, y, groups, seed=0):
    """Fit on three quarters of the lists, and log parameters, metrics and model."""
    X_train, X_test, y_train, y_test, g_train, g_test = train_test_split(
        X, y, groups, random_state=seed
    )
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        mlflow.log_params(ranker.get_params())
        ranker.fit(X_train, y_train, groups=g_train)
        mlflow.log_params({f"{name}_": getattr(ranker, f"{name}_") for name in CHOSEN})
        for epoch in ranker.history_:
            values = {name: float(epoch[name]) for name in epoch if name != "epoch"}
            mlflow.log_metrics(values, step=epoch["epoch"])
        score = ndcg_score(y_test, ranker.predict(X_test, g_test), g_test, k=10)
        mlflow.log_metric("test_ndcg_at_10", score)

        path = Path(folder, "ranker.safetensors")
        persistence.save(ranker, path)
        # Its schema has no categories, and the ranker knows them as text.
        example = X_test.head(3).astype({"kind": object}).assign(**{LIST_ID: 0})
        model = mlflow.pyfunc.log_model(
            name="ranker",
            python_model=str(Path(__file__).resolve()),
            artifacts={"ranker": str(path)},
            input_example=example,
            pip_requirements=["sklearn-rankformer", "pandas"],
        )
    return run.info.run_id, model.model_uri


CHOSEN = ("dropout", "feature_dropout", "batch_items", "n_iter", "kept_epoch")

# %%
# And back
# --------


def main():
    """Track one fit, load what was logged, and compare."""
    parser = argparse.ArgumentParser(description="Track a ranker with MLflow.")
    parser.add_argument("--uri", default="sqlite:///mlflow.db")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    mlflow.set_tracking_uri(args.uri)

    X, y, groups = searches()
    ranker = RankFormerRanker(max_epochs=args.epochs, random_state=0)
    run_id, uri = track(ranker, X, y, groups)
    logged = mlflow.get_run(run_id).data
    print(f"{len(logged.params)} parameters, metrics: {sorted(logged.metrics)}")

    served = mlflow.pyfunc.load_model(uri)
    answer = served.predict(X.assign(**{LIST_ID: groups}).astype({"kind": object}))
    same = np.array_equal(answer["score"], ranker.predict(X, groups))
    print(answer.head(3))
    print(f"the model gives the ranker's scores: {same}")


if __name__ == "__main__":
    main()
