"""Full disks, signals, tampered run folders, damaged files. `make campaign` runs the long form and prints the counts.

CAMPAIGN_SIZE scales it (default 1: 200 disks, 50 signals of each kind, 1,000 folders, 10,000 files). CAMPAIGN_SEED
draws others.
"""

from __future__ import annotations

import os
import random

import pytest
from damaged import damaged
from disks import full_disks
from harness import Campaign
from signals import stopped
from tampered import tampered

_SIZE, _SEED = float(os.environ.get("CAMPAIGN_SIZE", 1)), int(os.environ.get("CAMPAIGN_SEED", 0))


@pytest.fixture(autouse=True)
def _draws(campaign: Campaign, request: pytest.FixtureRequest) -> None:
    campaign.draws = random.Random(f"{_SEED} {request.node.name}")


def test_full_disks(campaign: Campaign) -> None:
    full_disks(campaign, 6, ("run", "evaluate", "export png"))


def test_signals(campaign: Campaign) -> None:
    stopped(campaign, 1)


def test_tampered_run_folders(campaign: Campaign) -> None:
    tampered(campaign, 10)


def test_damaged_files(campaign: Campaign) -> None:
    damaged(campaign, 38)  # two of each format


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_many_full_disks(campaign: Campaign) -> None:
    full_disks(campaign, round(200 * _SIZE))


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_many_signals(campaign: Campaign) -> None:
    stopped(campaign, round(50 * _SIZE))


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_many_tampered_run_folders(campaign: Campaign) -> None:
    tampered(campaign, round(1000 * _SIZE))


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_many_damaged_files(campaign: Campaign) -> None:
    damaged(campaign, round(10_000 * _SIZE))
