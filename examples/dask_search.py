"""
Search on several machines with Dask
====================================

Searches of scikit-learn run their fits with joblib, which can use the workers of a Dask
cluster. Groups are routed as usual. Install the extra first: ``pip install -e
".[dask]"`` in a checkout. This example is not run when the pages are built.

Guide: :doc:`/tuning`.
"""

# sphinx_gallery_thumbnail_path = "_static/thumb_dask.svg"
import argparse

import joblib
import sklearn
from sklearn.model_selection import GroupKFold, RandomizedSearchCV

from sklearn_rankformer import RankFormerRanker
from sklearn_rankformer.datasets import make_ranking

try:
    from dask.distributed import Client
except ImportError as error:
    raise SystemExit('This example needs Dask: pip install -e ".[dask]"') from error


def main():
    """Search with every fold of every candidate on the cluster."""
    parser = argparse.ArgumentParser(description="Search on a Dask cluster.")
    parser.add_argument("--scheduler", help="address; none starts two workers here")
    parser.add_argument("--candidates", type=int, default=4)
    args = parser.parse_args()

    X, y, groups = make_ranking(n_lists=120, random_state=0)
    sklearn.set_config(enable_metadata_routing=True)
    search = RandomizedSearchCV(
        RankFormerRanker(max_epochs=5, n_members=1, random_state=0),
        {"dropout": [0.1, 0.2, 0.3, 0.4], "listwide_weight": [0.0, 0.25, 1.0]},
        n_iter=args.candidates,
        cv=GroupKFold(3),
        random_state=0,
    )
    # One thread a worker: several fits at once are faster than one with many threads.
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        Client(args.scheduler) if args.scheduler else Client(**local),
        joblib.parallel_config("dask"),
    ):
        search.fit(X, y, groups=groups)
    print(f"best NDCG@10: {search.best_score_:.4f} with {search.best_params_}")


# Workers import this file, and must not search themselves.
if __name__ == "__main__":
    main()
