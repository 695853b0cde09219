"""Each day's documents become searchable: the newest complete interval, every day.

Settings: the Variable `corpus_embed`. Intervals that were missed while Airflow was away are not caught up; `embed_corpus_backfill` is for
them.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG, CronDataIntervalTimetable
from corpus_embed_tasks import DEFAULTS, PARAMS, embed_interval

with DAG(
    "embed_corpus_daily",
    # An interval of a day and more than a moment: "@daily" in Airflow 3 starts and ends at the same instant.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # A day that is due goes before a backfill.
    default_args={**DEFAULTS, "priority_weight": 10},
    params=PARAMS,
    doc_md=__doc__,
    tags=["corpus-embed"],
):
    embed_interval()
