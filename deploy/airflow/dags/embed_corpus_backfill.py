"""Days of the past become searchable: one run for each interval of a date range, by Airflow's own backfills alone.

    airflow backfill create --dag-id embed_corpus_backfill --from-date 2026-03-01 --to-date 2026-03-31 --max-active-runs 1
    airflow backfill create … --reprocess-behavior failed

The second runs the failed intervals of the same range again, and only those. Settings: the Variable `corpus_embed`.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG, CronDataIntervalTimetable
from corpus_embed_tasks import DEFAULTS, PARAMS, embed_interval

with DAG(
    "embed_corpus_backfill",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    # It has a schedule, which tells the intervals of a backfill, and starts so late that nothing is ever due by itself.
    start_date=datetime(2100, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULTS, "priority_weight": 1},
    params=PARAMS,
    doc_md=__doc__,
    tags=["corpus-embed"],
):
    embed_interval()
