"""The engine: it claims runs, calls their tools and commits their steps. It meets the API in the store alone."""

from service.engine.engine import Engine, EngineSettings

__all__ = ["Engine", "EngineSettings"]
