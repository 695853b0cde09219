"""Events: the message says all that the fields say."""

import logging

import pytest

from transforms.adapters.events import EVENT, FIELDS, report

LOG = logging.getLogger("transforms.of_a_test")


def test_message_and_fields_say_the_same(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOG.name):
        report(LOG, logging.INFO, "run finished", rows=12, status='half "done"\nhere', share=0.5, ledger=None)
        report(LOG, logging.DEBUG, "never")
        report(LOG, logging.WARNING, "no fields; 100 %")
    told, bare = caplog.records
    assert told.getMessage() == 'run finished rows=12 status="half \\"done\\"\\nhere" share=0.5 ledger=null'
    assert getattr(told, EVENT) == "run finished"
    assert getattr(told, FIELDS) == {"rows": 12, "status": 'half "done"\nhere', "share": 0.5, "ledger": None}
    assert told.pathname == __file__
    assert (bare.getMessage(), bare.levelname) == ("no fields; 100 %", "WARNING")
