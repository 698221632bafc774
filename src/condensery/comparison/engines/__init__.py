"""Where jobs run: in this process, in processes of this machine, or on a Ray cluster. All give equal outcomes."""

from condensery.comparison.engines.in_process import InProcess
from condensery.comparison.engines.local import LocalProcesses
from condensery.comparison.engines.pick import pick_engine
from condensery.comparison.engines.ray_cluster import RayCluster

__all__ = ["InProcess", "LocalProcesses", "RayCluster", "pick_engine"]
